/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/keys_material.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "crypto/kdf.h"
#include "crypto/locator.h"
#include "manager/keys_use.h"
#include "manager/manager.h"
#include "manager/store.h"
#include "provider/provider.h"

#define PRODUCT		"vmcrypt"

/*
 * When nothing more is begun, ms. A host waits for PROVIDER_ASK_S: within that a message
 * begun at the last moment has to end, and a key that was made too slowly to be gone again,
 * which are two messages more.
 */
#define GET_MS		13000
#define MAKE_MS		8000

_Static_assert(GET_MS + PROVIDERS_TIMEOUT_MS < PROVIDER_ASK_S * 1000, "a host would not hear why");
_Static_assert(MAKE_MS + 2 * PROVIDERS_TIMEOUT_MS < PROVIDER_ASK_S * 1000,
	       "a host would not hear why");

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

static int fetch(struct provider_set *set, int64_t deadline, const char *key, struct secret *ret,
		 struct key_failure *f)
{
	const struct kmip_wanted wanted = provider_wanted(set, key);
	bool wrapping = false;
	int r = kmip_servers_fetch(set->servers, deadline, &wanted, ret, &wrapping, &f->error);

	return r < 0 ? fail(f, "Getting key", set, key, wrapping) : 0;
}

int key_fetch(struct provider_set *set, const char *key, struct secret *ret,
	      struct key_failure *f)
{
	return fetch(set, kmip_deadline(GET_MS), key, ret, f);
}

int key_destroy(struct provider_set *set, const char *key, struct error *e)
{
	int r = kmip_servers_destroy(set->servers, kmip_deadline(GET_MS), key, e);

	return r == -ENOKEY ? 0 : r;
}

static void label(struct provider_set *set, int64_t deadline, const char *key,
		  const struct key_owner *owner)
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

	if (kmip_servers_tag(set->servers, deadline, key, labels, ARRAY_SIZE(labels), &e) < 0)
		log_debug("Key %s/%s has no labels: %s", set->name, key, e.text);
}

static int keep(struct manager *m, const struct provider_set *set, const char *key,
		const struct key_owner *owner, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	char id[KEY_DOCUMENT_SIZE], created[TIME_TEXT_SIZE];

	time_format(time_now(), created);
	key_document_id(set->id, key, id);
	document = json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s}", "provider", set->id, "key", key,
			     "vm", owner->vm, "host", owner->host, "disk", owner->disk, "made_on",
			     owner->made_on, "created", created);
	return document ? store_insert(m->store, KEY_KIND, id, document, e) : error_oom(e);
}

/*
 * Servers that do not hold the same keys may call a new one as another that is in use
 * is called, and what is done to it by its id could be done to that one.
 */
static int check_new(struct manager *m, const struct provider_set *set, const char *key,
		     struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	char id[KEY_DOCUMENT_SIZE];
	bool own = strcmp(key, set->probe_key) == 0 || strcmp(key, set->wrapping_key) == 0;
	int r;

	key_document_id(set->id, key, id);
	r = own ? 0 : store_get(m->store, KEY_KIND, id, &document, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_fail(e, r, "Cannot look for key %s on the manager's list: %s", key,
				  strerror(-r));
	return error_fail(e, EEXIST, "A key server of provider %s calls the new key %s, as another key "
			  "is called that is in use: its servers do not hold the same keys; \"provider "
			  "status\" tells which one differs, remove it", set->name, key);
}

/* A key that nobody will know of. */
static void undo(struct manager *m, struct provider_set *set, const char *key)
{
	struct error e = ERROR_NULL;

	if (check_new(m, set, key, &e) < 0 || key_destroy(set, key, &e) < 0)
		log_warning("Key %s/%s stays on the key server, and nobody uses it: %s", set->name, key,
			    e.text);
}

/* Active, fetched back, and labelled if there is time left. */
static int make(struct manager *m, struct provider_set *set, const struct key_owner *owner,
		char key[KMIP_ID_SIZE], struct secret *ret, struct key_failure *f)
{
	int64_t deadline = kmip_deadline(MAKE_MS);
	int r = kmip_servers_create(set->servers, deadline, key, &f->error);

	if (r < 0)
		return fail(f, "Making key", set, "(new)", /* wrapping= */ false);
	if (!key_id_valid(key)) {
		undo(m, set, key);
		return error_fail(&f->error, EPROTO, "The key server of provider %s calls its keys by "
				  "names that cannot be used (more than %d bytes, or odd characters)",
				  set->name, KEY_ID_MAX);
	}
	r = check_new(m, set, key, &f->error);
	if (r < 0)
		return r;
	r = fetch(set, deadline, key, ret, f);
	if (r < 0) {
		undo(m, set, key);
		return r;
	}
	label(set, deadline, key, owner);
	return 0;
}

int key_make(struct manager *m, struct provider_set *set, const struct key_owner *owner,
	     char *ret_key, struct secret *ret, struct key_failure *f)
{
	_cleanup_secret_ struct secret material = SECRET_NULL;
	char key[KMIP_ID_SIZE];
	int r = make(m, set, owner, key, &material, f);

	if (r < 0)
		return r;
	r = keep(m, set, key, owner, &f->error);
	if (r < 0) {
		undo(m, set, key);
		return r;
	}
	snprintf(ret_key, KEY_ID_MAX + 1, "%.128s", key);
	if (ret)
		*ret = secret_take(&material);
	return 0;
}

int key_make_probe(struct manager *m, struct provider_set *set, struct key_failure *f)
{
	const struct key_owner owner = { .name = "probe" };
	_cleanup_secret_ struct secret material = SECRET_NULL;
	char key[KMIP_ID_SIZE];
	int r;

	/* Of the one before it nothing is left, and its id may be given again. */
	set->probe_key[0] = '\0';
	r = make(m, set, &owner, key, &material, f);
	if (r < 0)
		return r;
	r = kdf_key_check(&material, set->probe_check, &f->error);
	if (r < 0) {
		undo(m, set, key);
		return r;
	}
	set->checked = true;
	memcpy(set->probe_key, key, sizeof(set->probe_key));
	return 0;
}
