// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is done with keys, by whichever server of a set.
 */
#include "kmip/servers-internal.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "crypto/kdf.h"

static int create(struct kmip_client *client, void *userdata, struct error *e)
{
	char *id = userdata;
	int r;

	r = kmip_create_key(client, id, e);
	if (r < 0)
		return r;
	r = kmip_activate_key(client, id, e);
	if (r == 0 || client->broken)
		return r;
	/* Nobody will ever use it, nor know of it later, so that it takes the time it takes. */
	client->deadline = 0;
	(void) kmip_destroy_key(client, id, NULL);
	return r;
}

int kmip_servers_create(struct kmip_servers *set, int64_t deadline, char ret_id[KMIP_ID_SIZE],
			struct error *e)
{
	char id[KMIP_ID_SIZE] = "";
	int r;

	r = kmip_servers_call(set, deadline, create, id, e);
	if (r == 0)
		memcpy(ret_id, id, sizeof(id));
	return r;
}

static int destroy(struct kmip_client *client, void *userdata, struct error *e)
{
	const char *id = userdata;
	int r = kmip_revoke_key(client, id, e);

	/* One that was never active, or is revoked already, goes all the same. */
	if (r == -ENOKEY || client->broken)
		return r;
	return kmip_destroy_key(client, id, e);
}

int kmip_servers_destroy(struct kmip_servers *set, int64_t deadline, const char *id,
			 struct error *e)
{
	return servers_call(set, deadline, /* insist= */ true, destroy, (char *) id, e);
}

/**
 * struct search - for a key, by whichever server
 * @wrapping: what failed was about the wrapping key
 * @missing_wrapping: what was missing at the last server that missed something
 */
struct search {
	const struct kmip_wanted *wanted;
	uint32_t state;
	struct secret key;
	bool wrapping;
	bool missing_wrapping;
};

static int state_of(struct kmip_client *client, void *userdata, struct error *e)
{
	struct search *s = userdata;

	return kmip_key_state(client, s->wanted->id, &s->state, e);
}

int kmip_servers_state(struct kmip_servers *set, const char *id, uint32_t *ret, struct error *e)
{
	const struct kmip_wanted wanted = { .id = id };
	struct search s = { .wanted = &wanted, .key = SECRET_NULL };
	int r;

	r = kmip_servers_call(set, kmip_deadline(3 * set->timeout), state_of, &s, e);
	if (r == 0)
		*ret = s.state;
	return r;
}

static int not_usable(const char *id, enum keystate why, struct error *e)
{
	if (why == KEYSTATE_MISSING)
		return error_set(e, ENOKEY, EXIT_NO_KEY, 0,
				 "Getting key %s: it was destroyed on the key server; only a backup of the server brings it back", id);
	return error_set(e, EKEYREJECTED, EXIT_NO_KEY, 0,
			 "Getting key %s: %s; only active keys are used, look at it on the key server", id,
			 keystate_text(why));
}

static int fetch_wrapping(struct kmip_client *client, const char *id, struct secret *ret,
			  struct error *e)
{
	uint32_t state = 0;
	int r = kmip_key_state(client, id, &state, e);

	if (r < 0)
		return r;
	switch (keystate_of_kmip(state, /* wrapping= */ true)) {
	case KEYSTATE_AVAILABLE:
		return kmip_fetch_key(client, id, /* wrapping= */ NULL, /* wrapping_key= */ NULL, ret, e);
	case KEYSTATE_WRAPPING_MISSING:
		return error_set(e, ENOKEY, EXIT_NO_KEY, 0, "Wrapping key %s was destroyed on the key server", id);
	default:
		return error_set(e, EKEYREJECTED, EXIT_NO_KEY, 0,
				 "Wrapping key %s is not active: look at it on the key server", id);
	}
}

static int compare(const struct kmip_wanted *wanted, const struct secret *key, struct error *e)
{
	uint8_t check[KEY_CHECK_SIZE];
	int r;

	if (!wanted->check)
		return 0;
	r = kdf_key_check(key, check, e);
	if (r < 0 || memcmp(check, wanted->check, sizeof(check)) == 0)
		return r;
	return error_set(e, ENOKEY, EXIT_NO_KEY, 0,
			 "What the server holds under the id %s is another key: its check value differs from the one kept when the provider's key was made; let the server replicate from the provider's others, or make a provider of its own for it",
			 wanted->id);
}

int kmip_servers_read(struct kmip_client *client, const struct kmip_wanted *wanted,
		      struct secret *ret, bool *wrapping, struct error *e)
{
	struct kmip_wrapping how = { .mode = KMIP_NIST_KEY_WRAP, .encoding = KMIP_NO_ENCODING };
	_cleanup_secret_ struct secret key = SECRET_NULL, wrapping_key = SECRET_NULL;
	bool wrapped = wanted->wrapping_id;
	int r;

	if (wrapped) {
		snprintf(how.key_id, sizeof(how.key_id), "%s", wanted->wrapping_id);
		r = fetch_wrapping(client, wanted->wrapping_id, &wrapping_key, e);
		*wrapping = r < 0;
		if (r < 0)
			return r;
	}
	r = kmip_fetch_key(client, wanted->id, wrapped ? &how : NULL, wrapped ? &wrapping_key : NULL, &key, e);
	if (r == 0)
		r = compare(wanted, &key, e);
	if (r == 0)
		*ret = secret_take(&key);
	return r;
}

static int fetch_active(struct kmip_client *client, struct search *s, struct error *e)
{
	const char *id = s->wanted->id;
	enum keystate why;
	int r;

	s->wrapping = false;
	r = kmip_key_state(client, id, &s->state, e);
	if (r == 0 && s->state == KMIP_PRE_ACTIVE) {
		r = kmip_activate_key(client, id, e);
		s->state = KMIP_ACTIVE;
	}
	if (r < 0)
		return r;
	why = keystate_of_kmip(s->state, /* wrapping= */ false);
	if (why != KEYSTATE_AVAILABLE)
		return not_usable(id, why, e);
	return kmip_servers_read(client, s->wanted, &s->key, &s->wrapping, e);
}

static int fetch(struct kmip_client *client, void *userdata, struct error *e)
{
	struct search *s = userdata;
	int r = fetch_active(client, s, e);

	if (r == -ENOKEY)
		s->missing_wrapping = s->wrapping;
	return r;
}

int kmip_servers_fetch(struct kmip_servers *set, int64_t deadline,
		       const struct kmip_wanted *wanted, struct secret *ret, bool *wrapping,
		       struct error *e)
{
	struct search s = { .wanted = wanted, .key = SECRET_NULL };
	int r;

	r = kmip_servers_call(set, deadline, fetch, &s, e);
	if (r == 0)
		*ret = secret_take(&s.key);
	/* What one server misses is told even if others fail otherwise. */
	*wrapping = r == -ENOKEY ? s.missing_wrapping : s.wrapping;
	return r;
}

struct labels {
	const char *id;
	const struct kmip_label *labels;
	size_t n;
};

static int label(struct kmip_client *client, void *userdata, struct error *e)
{
	const struct labels *l = userdata;
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	_cleanup_free_ struct kmip_attribute *attributes = calloc(l->n, sizeof(*attributes));
	_cleanup_free_ struct kmip_request *requests = calloc(l->n, sizeof(*requests));
	size_t i;
	int r;

	if (!attributes || !requests)
		return error_oom(e);
	for (i = 0; i < l->n; i++) {
		r = kmip_attribute_named(l->labels[i].name, &attributes[i], e);
		if (r < 0)
			return r;
		attributes[i].kind = KMIP_KIND_TEXT;
		snprintf(attributes[i].text, sizeof(attributes[i].text), "%s", l->labels[i].value);
		requests[i] = (struct kmip_request) {
			.operation = KMIP_ADD_ATTRIBUTE, .id = l->id, .attributes = &attributes[i], .n_attributes = 1,
		};
	}
	r = kmip_call(client, requests, l->n, /* ordered= */ true, &answer, e);
	for (i = 0; r == 0 && i < l->n; i++)
		r = kmip_succeeded(&answer.response.results[i], KMIP_ADD_ATTRIBUTE, e);
	return r;
}

int kmip_servers_tag(struct kmip_servers *set, int64_t deadline, const char *id,
		     const struct kmip_label *labels, size_t n, struct error *e)
{
	struct labels l = { .id = id, .labels = labels, .n = n };

	if (n == 0 || n > KMIP_BATCH_MAX)
		return error_usage(e, "A key takes 1 to %d attributes at once", KMIP_BATCH_MAX);
	return kmip_servers_call(set, deadline, label, &l, e);
}
