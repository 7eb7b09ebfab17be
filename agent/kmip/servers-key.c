// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is done with keys, by whichever server of a set.
 */
#include "kmip/servers.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

static int create(struct kmip_client *client, void *userdata, struct error *e)
{
	char *id = userdata;
	int r;

	r = kmip_create_key(client, id, e);
	if (r < 0)
		return r;
	r = kmip_activate_key(client, id, e);
	if (r < 0 && !client->broken)
		/* Nobody will ever use it. */
		(void) kmip_destroy_key(client, id, NULL);
	return r;
}

int kmip_servers_create(struct kmip_servers *set, char ret_id[KMIP_ID_SIZE], struct error *e)
{
	char id[KMIP_ID_SIZE] = "";
	int r;

	r = kmip_servers_call(set, create, id, e);
	if (r == 0)
		memcpy(ret_id, id, sizeof(id));
	return r;
}

struct wanted {
	const char *id;
	uint32_t state;
	struct secret key;
};

static int state_of(struct kmip_client *client, void *userdata, struct error *e)
{
	struct wanted *wanted = userdata;

	return kmip_key_state(client, wanted->id, &wanted->state, e);
}

int kmip_servers_state(struct kmip_servers *set, const char *id, uint32_t *ret, struct error *e)
{
	struct wanted wanted = { .id = id, .key = SECRET_NULL };
	int r;

	r = kmip_servers_call(set, state_of, &wanted, e);
	if (r == 0)
		*ret = wanted.state;
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

static int fetch(struct kmip_client *client, void *userdata, struct error *e)
{
	struct wanted *wanted = userdata;
	enum keystate why;
	int r;

	r = kmip_key_state(client, wanted->id, &wanted->state, e);
	if (r == 0 && wanted->state == KMIP_PRE_ACTIVE) {
		r = kmip_activate_key(client, wanted->id, e);
		wanted->state = KMIP_ACTIVE;
	}
	if (r < 0)
		return r;
	why = keystate_of_kmip(wanted->state, /* wrapping= */ false);
	if (why != KEYSTATE_AVAILABLE)
		return not_usable(wanted->id, why, e);
	return kmip_fetch_key(client, wanted->id, /* wrapping= */ NULL, /* wrapping_key= */ NULL,
			      &wanted->key, e);
}

int kmip_servers_fetch(struct kmip_servers *set, const char *id, struct secret *ret,
		       struct error *e)
{
	struct wanted wanted = { .id = id, .key = SECRET_NULL };
	int r;

	r = kmip_servers_call(set, fetch, &wanted, e);
	if (r == 0)
		*ret = secret_take(&wanted.key);
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

int kmip_servers_tag(struct kmip_servers *set, const char *id, const struct kmip_label *labels,
		     size_t n, struct error *e)
{
	struct labels l = { .id = id, .labels = labels, .n = n };

	if (n == 0 || n > KMIP_BATCH_MAX)
		return error_usage(e, "A key takes 1 to %d attributes at once", KMIP_BATCH_MAX);
	return kmip_servers_call(set, label, &l, e);
}
