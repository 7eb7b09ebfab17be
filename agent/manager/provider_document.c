/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key providers: made, shown, deleted. */
#include "manager/providers.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "crypto/kdf.h"
#include "crypto/locator.h"
#include "manager/keys_use.h"
#include "manager/manager.h"
#include "manager/provider_hosts.h"
#include "manager/provider_native.h"
#include "manager/store.h"

int provider_get(struct manager *m, const char *id, const char *type, json_t **ret,
		 struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = store_get(m->store, PROVIDER_KIND, id, &document, e);

	if (r == -ENOENT)
		return error_fail(e, ENOENT, "There is no key provider %.64s", id);
	if (r < 0)
		return r;
	if (type && strcmp(json_text(document, "type"), type) != 0)
		return error_usage(e, "Key provider %s is a %s one: this is for %s ones",
				   json_text(document, "name"), json_text(document, "type"), type);
	*ret = TAKE_PTR(document);
	return 0;
}

/* A server without its password. One that was kept before versions were has none. */
static json_t *server_view(const json_t *server)
{
	_cleanup_json_ json_t *view = json_copy((json_t *)server);

	if (!view)
		return NULL;
	json_object_del(view, "password");
	if (!json_has(view, "version") && json_object_set_new(view, "version", json_null()) < 0)
		return NULL;
	return TAKE_PTR(view);
}

static int add_standard(json_t *view, const json_t *document)
{
	_cleanup_json_ json_t *servers = json_array();
	json_t *server;
	size_t i;

	json_array_foreach(json_object_get(document, "servers"), i, server)
		if (json_array_append_new(servers, server_view(server)) < 0)
			return -ENOMEM;
	if (json_object_set(view, "servers", servers) < 0 ||
	    json_object_set_new(view, "certificate",
				json_boolean(json_is_string(json_object_get(document,
									    "certificate")))) < 0 ||
	    json_object_set(view, "probe_key", json_object_get(document, "probe_key")) < 0 ||
	    json_object_set(view, "wrapping_key", json_object_get(document, "wrapping_key")) < 0)
		return -ENOMEM;
	return 0;
}

static int add_native(json_t *view, const json_t *document)
{
	if (json_object_set_new(view, "allow_unsealed",
				json_boolean(provider_allows_unsealed(document))) < 0 ||
	    json_object_set(view, "backed_up", json_object_get(document, "backed_up")) < 0)
		return -ENOMEM;
	return 0;
}

json_t *provider_view(struct manager *m, const json_t *document)
{
	_cleanup_json_ json_t *view = NULL;
	char global[UUID_TEXT_SIZE] = "";
	const char *id = json_text(document, "id"), *type = json_text(document, "type");
	int r;

	(void)provider_default_of(m, /* host= */ NULL, /* view= */ NULL, global, NULL);
	view = json_pack("{s:s, s:s, s:s, s:s, s:b}", "id", id, "name", json_text(document, "name"),
			 "type", type, "created", json_text(document, "created"), "default",
			 strcmp(id, global) == 0);
	if (!view)
		return NULL;
	r = strcmp(type, PROVIDER_NATIVE) ? add_standard(view, document) :
					    add_native(view, document);
	return r < 0 ? NULL : TAKE_PTR(view);
}

int provider_insert(struct store *store, void *userdata, struct error *e)
{
	const struct provider_insertion *new = userdata;
	_cleanup_json_ json_t *all = NULL;
	int r = store_list(store, PROVIDER_KIND, NULL, NULL, &all, e);

	if (r == 0 && json_array_size(all) >= PROVIDERS_LIST_MAX)
		return error_fail(e, E2BIG, "A manager has at most %d key providers: delete one that "
				  "is not used", PROVIDERS_LIST_MAX);
	if (r == 0)
		r = store_insert(store, PROVIDER_KIND, new->id, new->document, e);
	if (r < 0 || json_array_size(all))
		return r;
	/* One may be left of a provider that was deleted by a manager that is no more. */
	return provider_default_put(store, PROVIDER_DEFAULT_GLOBAL, new->id, e);
}

static json_t *standard_document(const char *name, const char *created, const char *wrapping_key)
{
	return json_pack("{s:s, s:s, s:s, s:[], s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:s?}",
			 "name", name, "type", PROVIDER_STANDARD, "created", created, "servers",
			 "certificate", "certificate_key", "request", "request_key", "authority",
			 "authority_key", "probe_key", "probe_check", "wrapping_key", wrapping_key);
}

static int native_document(struct manager *m, const char *id, const char *name,
			   const char *created, bool allow_unsealed, json_t **ret, struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	int r = secret_random(KDK_SIZE, &kdk);

	if (r < 0)
		return error_fail(e, r, "Cannot make a key for provider %s: %s", name, strerror(-r));
	return provider_native_document(m, id, name, created, allow_unsealed, &kdk, ret, e);
}

int provider_create(struct manager *m, const char *name, const char *type,
		    const char *wrapping_key, bool allow_unsealed, char ret_id[UUID_TEXT_SIZE],
		    struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	bool native = strcmp(type, PROVIDER_NATIVE) == 0;
	_cleanup_json_ json_t *document = NULL;
	char created[TIME_TEXT_SIZE], id[UUID_TEXT_SIZE];
	struct provider_insertion new = { .id = id };
	int r;

	if (!provider_name_valid(name))
		return error_usage(e, "\"%.64s\" is no name of a key provider: 1 to %d letters, digits, "
				   "'.', '_', '-', the first one a letter or a digit", name,
				   PROVIDER_NAME_MAX);
	if (!native && strcmp(type, PROVIDER_STANDARD) != 0)
		return error_usage(e, "\"%.32s\" is no type of a key provider: want standard or native",
				   type);
	if (allow_unsealed && !native)
		return error_usage(e, "A standard provider has no key that hosts keep: there is nothing to "
				   "seal");
	if (wrapping_key && native)
		return error_usage(e, "A native provider has no key servers that wrap its keys");
	r = uuid_random_text(id);
	if (r < 0)
		return error_fail(e, r, "Cannot make an id for provider %s: %s", name, strerror(-r));
	time_format(time_now(), created);
	if (native)
		r = native_document(m, id, name, created, allow_unsealed, &document, e);
	else
		document = standard_document(name, created, wrapping_key);
	if (r == 0 && !document)
		r = error_oom(e);
	new.document = document;
	if (r == 0)
		r = store_write(m->store, provider_insert, &new, e);
	if (r == 0 && !native)
		r = providers_take_up(m->providers, id, /* set= */ NULL, e);
	if (r == 0)
		memcpy(ret_id, id, sizeof(id));
	return r;
}

struct deletion {
	const char *id;
	const char *name;
};

/* The last provider may go with its default; one among others must not be missed. */
static int check_defaults(struct store *store, const struct deletion *d, struct error *e)
{
	_cleanup_json_ json_t *defaults = NULL, *all = NULL;
	int r = store_list(store, PROVIDER_DEFAULT_KIND, "provider", d->id, &defaults, e);

	if (r == 0)
		r = store_list(store, PROVIDER_KIND, NULL, NULL, &all, e);
	if (r < 0 || json_array_size(defaults) == 0 || json_array_size(all) <= 1)
		return r;
	return error_fail(e, EBUSY, "Key provider %s is the default one for %.64s: choose another one "
			  "first", d->name, json_text(json_array_get(defaults, 0), "id"));
}

static int delete(struct store *store, void *userdata, struct error *e)
{
	const struct deletion *d = userdata;
	int r = check_defaults(store, d, e);

	if (r == 0)
		r = keys_check_provider_unused(store, d->id, d->name, e);
	if (r == 0)
		r = store_delete_all(store, PROVIDER_DEFAULT_KIND, "provider", d->id, e);
	if (r == 0)
		r = store_delete_all(store, KEY_KIND, "provider", d->id, e);
	if (r == 0)
		r = store_delete_all(store, PROVIDER_USE_KIND, "provider", d->id, e);
	return r < 0 ? r : store_delete(store, PROVIDER_KIND, d->id, e);
}

int provider_remove(struct manager *m, const char *id, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_json_ json_t *document = NULL;
	struct deletion d = { .id = id };
	int r = provider_get(m, id, /* type= */ NULL, &document, e);

	if (r < 0)
		return r;
	d.name = json_text(document, "name");
	r = store_write(m->store, delete, &d, e);
	if (r == 0)
		providers_forget(m->providers, id);
	return r;
}
