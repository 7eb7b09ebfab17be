/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/keys_use.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "crypto/locator.h"
#include "manager/keys_material.h"
#include "manager/manager.h"
#include "manager/store.h"

/* For the states of all keys of a list: those behind it are not known. */
#define STATES_MS 10000

void key_document_id(const char *provider, const char *key, char ret[KEY_DOCUMENT_SIZE])
{
	snprintf(ret, KEY_DOCUMENT_SIZE, "%.36s/%.128s", provider, key);
}

/* Whether a {provider, key} is of a provider, and one key of it; @key NULL: any. */
static bool names(const json_t *pair, const char *provider, const char *key)
{
	return strcmp(json_text(pair, "provider"), provider) == 0 &&
	       (!key || strcmp(json_text(pair, "key"), key) == 0);
}

bool disk_uses_key(const json_t *disk, const char *provider, const char *key)
{
	json_t *pair;
	size_t i;

	json_array_foreach(json_object_get(disk, "keys"), i, pair)
		if (names(pair, provider, key))
			return true;
	return false;
}

static bool host_uses(const json_t *host, const char *provider, const char *key)
{
	return names(json_object_get(host, "host_key"), provider, key);
}

/**
 * struct users - all that can use keys
 */
struct users_of_keys {
	json_t *disks;
	json_t *hosts;
};

static void users_done(struct users_of_keys *u)
{
	json_decref(u->disks);
	json_decref(u->hosts);
}

static int users_read(struct store *store, struct users_of_keys *ret, struct error *e)
{
	int r = store_list(store, "disk", NULL, NULL, &ret->disks, e);

	return r < 0 ? r : store_list(store, "host", NULL, NULL, &ret->hosts, e);
}

static int check_unused(const struct users_of_keys *u, const char *provider, const char *key,
			const char *what, struct error *e)
{
	json_t *user;
	size_t i;

	json_array_foreach(u->disks, i, user)
		if (disk_uses_key(user, provider, key))
			return error_fail(e, EBUSY, "%s is in use by disk %.64s of VM %.64s: rekey or "
					  "remove that first", what, json_text(user, "id"),
					  json_text(user, "vm"));
	json_array_foreach(u->hosts, i, user)
		if (host_uses(user, provider, key))
			return error_fail(e, EBUSY, "%s is the host key of host %.64s: disable "
					  "encryption there first", what, json_text(user, "name"));
	return 0;
}

int keys_settle(struct store *store, const json_t *keys, struct error *e)
{
	const json_t *pair;
	size_t i;
	int r = 0;

	json_array_foreach(keys, i, pair) {
		_cleanup_json_ json_t *document = NULL;
		char id[KEY_DOCUMENT_SIZE];

		key_document_id(json_text(pair, "provider"), json_text(pair, "key"), id);
		if (store_get(store, KEY_KIND, id, &document, NULL) < 0 || !*json_text(document, "made_on"))
			continue;
		r = json_object_set_new(document, "made_on", json_null()) < 0 ? error_oom(e) :
			store_update(store, KEY_KIND, id, document, e);
		if (r < 0)
			break;
	}
	return r;
}

int keys_check_unused(struct store *store, const char *provider, const char *key, struct error *e)
{
	_cleanup_(users_done) struct users_of_keys users = { .disks = NULL };
	char what[160];
	int r = users_read(store, &users, e);

	snprintf(what, sizeof(what), "Key %.128s", key);
	return r < 0 ? r : check_unused(&users, provider, key, what, e);
}

int keys_check_provider_unused(struct store *store, const char *id, const char *name,
			       struct error *e)
{
	_cleanup_(users_done) struct users_of_keys users = { .disks = NULL };
	char what[96];
	int r = users_read(store, &users, e);

	snprintf(what, sizeof(what), "A key of provider %s", name);
	return r < 0 ? r : check_unused(&users, id, /* key= */ NULL, what, e);
}

/* Ids of those that use a key. */
static json_t *using(const json_t *list, const char *provider, const char *key,
		     bool (*uses)(const json_t *user, const char *provider, const char *key))
{
	json_t *ids = json_array(), *user;
	size_t i;

	json_array_foreach(list, i, user)
		if (uses(user, provider, key))
			json_array_append(ids, json_object_get(user, "id"));
	return ids;
}

/**
 * struct listing - keys that are being listed
 * @down: UUIDs of providers that do not answer -> their reason
 * @deadline: ms of CLOCK_MONOTONIC, after which no more states are asked for
 */
struct listing {
	struct manager *m;
	struct users_of_keys users;
	json_t *down;
	int64_t deadline;
};

static void listing_done(struct listing *l)
{
	users_done(&l->users);
	json_decref(l->down);
}

static const char *const state_names[] = {
	[KMIP_PRE_ACTIVE] = "pre-active", [KMIP_ACTIVE] = "active",
	[KMIP_DEACTIVATED] = "deactivated", [KMIP_COMPROMISED] = "compromised",
	[KMIP_DESTROYED] = "destroyed", [KMIP_DESTROYED_COMPROMISED] = "destroyed-compromised",
};

/* Words for the state, NULL: not known; why it cannot be used, "": it can. */
static const char *ask_state(struct listing *l, const char *provider, const char *key,
			     const char **ret_reason)
{
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	_cleanup_set_ struct provider_set *set = NULL;
	const char *down = json_string_value(json_object_get(l->down, provider));
	uint32_t state = 0;
	int r = 0;

	*ret_reason = down;
	if (down || time_monotonic_ms() >= l->deadline)
		return NULL;
	r = key_set(l->m, provider, &set, &why);
	if (r == 0) {
		r = kmip_servers_state(set->servers, key, &state, &why.error);
		why.why = r < 0 ? keystate_of_error(r, /* wrapping= */ false) :
				  keystate_of_kmip(state, /* wrapping= */ false);
	}
	*ret_reason = keystate_name(why.why);
	if (why.why == KEYSTATE_PROVIDER_UNREACHABLE || why.why == KEYSTATE_PROVIDER_INVALID)
		json_object_set_new(l->down, provider, json_string(*ret_reason));
	return r == 0 && state < ARRAY_SIZE(state_names) ? state_names[state] : NULL;
}

static json_t *describe(struct listing *l, const json_t *document)
{
	const char *provider = json_text(document, "provider"), *key = json_text(document, "key");
	const char *reason, *state = ask_state(l, provider, key, &reason);
	json_t *view = json_copy((json_t *)document);

	if (!view)
		return NULL;
	json_object_del(view, "id");
	json_object_del(view, "made_on");
	json_object_set_new(view, "state", state ? json_string(state) : json_null());
	json_object_set_new(view, "reason", reason && *reason ? json_string(reason) : json_null());
	json_object_set_new(view, "disks", using(l->users.disks, provider, key, disk_uses_key));
	json_object_set_new(view, "hosts", using(l->users.hosts, provider, key, host_uses));
	return view;
}

static int listing_begin(struct manager *m, struct listing *l, struct error *e)
{
	*l = (struct listing){
		.m = m, .down = json_object(), .deadline = time_monotonic_ms() + STATES_MS,
	};
	return l->down ? users_read(m->store, &l->users, e) : error_oom(e);
}

int keys_list(struct manager *m, const char *provider, const char *vm, json_t **ret,
	      struct error *e)
{
	_cleanup_json_ json_t *documents = NULL, *list = json_array();
	_cleanup_(listing_done) struct listing l = { .m = m };
	json_t *document;
	size_t i;
	int r = listing_begin(m, &l, e);

	if (r == 0)
		r = store_list(m->store, KEY_KIND, provider ? "provider" : vm ? "vm" : NULL,
			       provider ? provider : vm, &documents, e);
	if (r < 0)
		return r;
	json_array_foreach(documents, i, document) {
		if (vm && strcmp(json_text(document, "vm"), vm) != 0)
			continue;
		if (json_array_append_new(list, describe(&l, document)) < 0)
			return error_oom(e);
	}
	*ret = TAKE_PTR(list);
	return *ret ? 0 : error_oom(e);
}

int keys_get(struct manager *m, const char *provider, const char *key, json_t **ret,
	     struct error *e)
{
	char id[KEY_DOCUMENT_SIZE];
	int r;

	key_document_id(provider, key, id);
	r = store_get(m->store, KEY_KIND, id, ret, e);
	return r == -ENOENT ? error_fail(e, ENOENT, "Key %.128s of provider %.64s is not on the "
					 "manager's list", key, provider) : r;
}

int keys_show(struct manager *m, const char *provider, const char *key, json_t **ret,
	      struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	_cleanup_(listing_done) struct listing l = { .m = m };
	int r = keys_get(m, provider, key, &document, e);

	if (r == 0)
		r = listing_begin(m, &l, e);
	if (r < 0)
		return r;
	*ret = describe(&l, document);
	return *ret ? 0 : error_oom(e);
}

static int check_fetch(struct manager *m, const char *provider, const char *key, struct error *e)
{
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	_cleanup_secret_ struct secret material = SECRET_NULL;
	_cleanup_set_ struct provider_set *set = NULL;
	int r = key_set(m, provider, &set, &why);

	if (r == 0)
		r = key_fetch(set, key, &material, &why);
	if (r < 0 && e)
		*e = why.error;
	return r;
}

int keys_register(struct manager *m, const char *provider, const char *key, const char *vm,
		  struct error *e)
{
	_cleanup_json_ json_t *document = NULL, *its_vm = NULL;
	char id[KEY_DOCUMENT_SIZE], created[TIME_TEXT_SIZE];
	int r;

	if (!key_id_valid(key))
		return error_usage(e, "\"%.64s\" is no key id: 1 to %d printable characters but space, "
				   "'/', '\"' and '\\'", key, KEY_ID_MAX);
	r = store_get(m->store, "vm", vm, &its_vm, e);
	if (r == 0)
		r = check_fetch(m, provider, key, e);
	if (r < 0)
		return r;
	time_format(time_now(), created);
	key_document_id(provider, key, id);
	document = json_pack("{s:s, s:s, s:s, s:n, s:n, s:s}", "provider", provider, "key", key, "vm",
			     vm, "host", "disk", "created", created);
	r = document ? store_insert(m->store, KEY_KIND, id, document, e) : error_oom(e);
	return r == -EEXIST ? error_fail(e, EEXIST, "Key %.128s is on the manager's list already", key) :
			      r;
}
