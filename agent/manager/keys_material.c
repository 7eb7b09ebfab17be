/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/keys_material.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "crypto/locator.h"
#include "manager/keys_use.h"
#include "manager/manager.h"
#include "manager/store.h"

#define PRODUCT		"vmcrypt"

void key_failure_channel(const struct key_failure *failure, struct channel_failure *ret)
{
	ret->error = failure->error;
	snprintf(ret->key_reason, sizeof(ret->key_reason), "%s", keystate_name(failure->why));
}

const char *key_failure_event(const struct key_failure *failure)
{
	switch (failure->why) {
	case KEYSTATE_AVAILABLE:
		return NULL;
	case KEYSTATE_MISSING:
	case KEYSTATE_NOT_ACTIVE:
	case KEYSTATE_WRAPPING_MISSING:
	case KEYSTATE_WRAPPING_NOT_ACTIVE:
		return "com.vmware.vc.kms.crypto.SendKeyError.KeyMissingOnKMS";
	default:
		return "com.vmware.vc.kms.crypto.SendKeyError.KMSClusterError";
	}
}

/* A failure of the provider: the reason by its name goes into the text, too. */
static int fail(struct key_failure *f, const char *what, const struct provider_set *set,
		const char *key, bool wrapping)
{
	f->why = keystate_of_error(f->error.code, wrapping);
	f->error.status = EXIT_NO_KEY;
	return error_prefix(&f->error, "%s %s/%.128s (%s)", what, set->name, key,
			    keystate_name(f->why));
}

static int fail_type(struct key_failure *f, const char *provider, const char *type,
		     enum keystate why)
{
	f->why = why;
	return error_set(&f->error, EOPNOTSUPP, EXIT_NO_KEY, 0, "The manager has no keys of provider "
			 "%s, which is a %s one (%s): hosts get them by themselves", provider, type,
			 keystate_name(why));
}

int key_set(struct manager *m, const char *provider, struct provider_set **ret,
	    struct key_failure *f)
{
	_cleanup_json_ json_t *document = NULL;
	const char *type;
	int r = store_get(m->store, PROVIDER_KIND, provider, &document, &f->error);

	if (r == -ENOENT) {
		f->why = KEYSTATE_PROVIDER_INVALID;
		return error_set(&f->error, ENOENT, EXIT_NO_KEY, 0, "There is no key provider %.64s (%s): "
				 "it was deleted, or belongs to another manager", provider,
				 keystate_name(f->why));
	}
	if (r < 0)
		return r;
	type = json_text(document, "type");
	if (strcmp(type, PROVIDER_NATIVE) == 0)
		return fail_type(f, json_text(document, "name"), type, KEYSTATE_NATIVE);
	if (strcmp(type, PROVIDER_TRUSTED) == 0)
		return fail_type(f, json_text(document, "name"), type, KEYSTATE_TRUST_AUTHORITY);
	r = providers_hold(m->providers, provider, ret, &f->error);
	if (r < 0)
		f->why = KEYSTATE_PROVIDER_INVALID;
	return r;
}

/**
 * struct wrapped - a key that the server gives wrapped only
 * @wrapping: what failed was about the wrapping key
 */
struct wrapped {
	const char *id;
	const char *wrapping_id;
	struct secret key;
	bool wrapping;
};

static int check_wrapping(struct kmip_client *client, const char *id, struct error *e)
{
	uint32_t state = 0;
	int r = kmip_key_state(client, id, &state, e);

	if (r < 0)
		return r;
	switch (keystate_of_kmip(state, /* wrapping= */ true)) {
	case KEYSTATE_AVAILABLE:
		return 0;
	case KEYSTATE_WRAPPING_MISSING:
		return error_set(e, ENOKEY, EXIT_NO_KEY, 0, "Wrapping key %s was destroyed on the key "
				 "server", id);
	default:
		return error_set(e, EKEYREJECTED, EXIT_NO_KEY, 0, "Wrapping key %s is not active: look at "
				 "it on the key server", id);
	}
}

static int check_state(struct kmip_client *client, const char *id, struct error *e)
{
	uint32_t state = 0;
	int r = kmip_key_state(client, id, &state, e);

	if (r == 0 && state == KMIP_PRE_ACTIVE)
		return kmip_activate_key(client, id, e);
	if (r < 0)
		return r;
	switch (keystate_of_kmip(state, /* wrapping= */ false)) {
	case KEYSTATE_AVAILABLE:
		return 0;
	case KEYSTATE_MISSING:
		return error_set(e, ENOKEY, EXIT_NO_KEY, 0, "It was destroyed on the key server");
	default:
		return error_set(e, EKEYREJECTED, EXIT_NO_KEY, 0, "It is not active: look at it on the key "
				 "server");
	}
}

static int fetch_wrapped(struct kmip_client *client, void *userdata, struct error *e)
{
	struct wrapped *w = userdata;
	struct kmip_wrapping how = { .mode = KMIP_NIST_KEY_WRAP, .encoding = KMIP_NO_ENCODING };
	_cleanup_secret_ struct secret wrapping = SECRET_NULL;
	int r;

	w->wrapping = true;
	r = check_wrapping(client, w->wrapping_id, e);
	if (r == 0)
		r = kmip_fetch_key(client, w->wrapping_id, /* wrapping= */ NULL,
				   /* wrapping_key= */ NULL, &wrapping, e);
	if (r < 0)
		return r;
	w->wrapping = false;
	snprintf(how.key_id, sizeof(how.key_id), "%s", w->wrapping_id);
	r = check_state(client, w->id, e);
	return r < 0 ? r : kmip_fetch_key(client, w->id, &how, &wrapping, &w->key, e);
}

int key_fetch(struct provider_set *set, const char *key, struct secret *ret,
	      struct key_failure *f)
{
	struct wrapped w = { .id = key, .wrapping_id = set->wrapping_key, .key = SECRET_NULL };
	int r;

	if (set->wrapping_key[0]) {
		r = kmip_servers_call(set->servers, fetch_wrapped, &w, &f->error);
		if (r == 0)
			*ret = secret_take(&w.key);
	} else {
		r = kmip_servers_fetch(set->servers, key, ret, &f->error);
	}
	return r < 0 ? fail(f, "Getting key", set, key, w.wrapping) : 0;
}

static int destroy(struct kmip_client *client, void *key, struct error *e)
{
	int r = kmip_revoke_key(client, key, e);

	/* One that was never active, or is revoked already, goes all the same. */
	if (r == -ENOKEY)
		return r;
	return kmip_destroy_key(client, key, e);
}

int key_destroy(struct provider_set *set, const char *key, struct error *e)
{
	int r = kmip_servers_call(set->servers, destroy, (char *)key, e);

	return r == -ENOKEY ? 0 : r;
}

static void label(struct provider_set *set, const char *key, const struct key_owner *owner)
{
	const struct kmip_label labels[] = {
		{ "x-Product_Version", VMCRYPT_VERSION },
		{ "x-Vendor", PRODUCT },
		{ "x-Product", PRODUCT },
		{ "x-Identifier", owner->vm ? owner->vm : owner->host ? owner->host : set->id },
		{ "x-Component", owner->vm ? "Virtual Machine" : owner->host ? "Host" : "Provider" },
		{ "x-Name", owner->name },
	};
	struct error e = ERROR_NULL;

	if (kmip_servers_tag(set->servers, key, labels, ARRAY_SIZE(labels), &e) < 0)
		log_debug("Key %s/%s has no labels: %s", set->name, key, e.text);
}

static int keep(struct manager *m, const struct provider_set *set, const char *key,
		const struct key_owner *owner, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	char id[KEY_DOCUMENT_SIZE], created[TIME_TEXT_SIZE];

	time_format(time_now(), created);
	key_document_id(set->id, key, id);
	document = json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s}", "provider", set->id, "key", key,
			     "vm", owner->vm, "host", owner->host, "disk", owner->disk, "created",
			     created);
	return document ? store_insert(m->store, KEY_KIND, id, document, e) : error_oom(e);
}

/* A key that nobody will know of. */
static void undo(struct provider_set *set, const char *key)
{
	struct error e = ERROR_NULL;

	if (key_destroy(set, key, &e) < 0)
		log_warning("Key %s/%s stays on the key server, and nobody uses it: %s", set->name, key,
			    e.text);
}

/* Active, labelled, and fetched back. */
static int make(struct provider_set *set, const struct key_owner *owner, char key[KMIP_ID_SIZE],
		struct secret *ret, struct key_failure *f)
{
	int r = kmip_servers_create(set->servers, key, &f->error);

	if (r < 0)
		return fail(f, "Making key", set, "(new)", /* wrapping= */ false);
	if (!key_id_valid(key)) {
		undo(set, key);
		return error_fail(&f->error, EPROTO, "The key server of provider %s calls its keys by "
				  "names that cannot be used (more than %d bytes, or odd characters)",
				  set->name, KEY_ID_MAX);
	}
	label(set, key, owner);
	r = key_fetch(set, key, ret, f);
	if (r < 0)
		undo(set, key);
	return r;
}

int key_make(struct manager *m, struct provider_set *set, const struct key_owner *owner,
	     char *ret_key, struct secret *ret, struct key_failure *f)
{
	_cleanup_secret_ struct secret material = SECRET_NULL;
	char key[KMIP_ID_SIZE];
	int r = make(set, owner, key, &material, f);

	if (r < 0)
		return r;
	r = keep(m, set, key, owner, &f->error);
	if (r < 0) {
		undo(set, key);
		return r;
	}
	snprintf(ret_key, KEY_ID_MAX + 1, "%.128s", key);
	if (ret)
		*ret = secret_take(&material);
	return 0;
}

int key_make_probe(struct provider_set *set, struct key_failure *f)
{
	const struct key_owner owner = { .name = "probe" };
	_cleanup_secret_ struct secret material = SECRET_NULL;
	char key[KMIP_ID_SIZE];
	int r = make(set, &owner, key, &material, f);

	if (r == 0)
		memcpy(set->probe_key, key, sizeof(set->probe_key));
	return r;
}
