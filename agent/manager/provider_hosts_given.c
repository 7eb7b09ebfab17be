/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is noted of native providers on hosts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "manager/keys_use.h"
#include "manager/provider_hosts_internal.h"
#include "manager/store.h"

#define ID_SIZE	(2 * UUID_TEXT_SIZE)

static void document_id(const char *host, const char *provider, char ret[ID_SIZE])
{
	snprintf(ret, ID_SIZE, "%.36s/%.36s", host, provider);
}

bool given_is_gone(const json_t *given)
{
	return json_is_true(json_object_get(given, "gone"));
}

bool given_is_refused(const json_t *given)
{
	return json_is_string(json_object_get(given, "refused"));
}

int provider_hosts_find(struct store *store, const char *host, const char *provider, json_t **ret,
			struct error *e)
{
	_cleanup_json_ json_t *given = NULL;
	char id[ID_SIZE];
	int r;

	document_id(host, provider, id);
	r = store_get(store, KDK_KIND, id, &given, e);
	if (r < 0)
		return r;
	if (given_is_gone(given))
		return error_fail(e, ENOENT, "Host %s has forgotten provider %s", host, provider);
	*ret = TAKE_PTR(given);
	return 0;
}

int given_set_gone(struct store *store, json_t *given, struct error *e)
{
	if (json_object_set_new(given, "gone", json_true()) < 0 ||
	    json_object_set_new(given, "sealed", json_null()) < 0 ||
	    json_object_set_new(given, "refused", json_null()) < 0)
		return error_oom(e);
	return store_update(store, KDK_KIND, json_text(given, "id"), given, e);
}

int given_set_refused(struct store *store, json_t *given, const char *text, struct error *e)
{
	if (json_object_set_new(given, "refused", text ? json_string_printable(text) : json_null()) < 0)
		return error_oom(e);
	return store_update(store, KDK_KIND, json_text(given, "id"), given, e);
}

int given_put(struct store *store, const char *host, const json_t *document, json_t *sealed,
	      struct error *e)
{
	const char *provider = json_text(document, "id");
	_cleanup_json_ json_t *given = json_pack("{s:s, s:s, s:O, s:o, s:n, s:b}", "host", host,
						 "provider", provider, "provider_name",
						 json_object_get(document, "name"), "sealed", sealed,
						 "refused", "gone", 0);
	char id[ID_SIZE];
	int r;

	if (!given)
		return error_oom(e);
	document_id(host, provider, id);
	r = store_insert(store, KDK_KIND, id, given, NULL);
	if (r == -EEXIST)
		r = store_update(store, KDK_KIND, id, given, NULL);
	return r < 0 ? error_fail(e, r, "Cannot note that host %s has provider %s: %s", host,
				  json_text(document, "name"), error_name(r)) : 0;
}

int provider_hosts_owing(struct store *store, json_t *hosts, struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	json_t *given;
	size_t i;
	int r = store_list(store, KDK_KIND, NULL, NULL, &list, e);

	json_array_foreach(list, i, given)
		if (given_is_refused(given) &&
		    json_object_set_new(hosts, json_text(given, "host"), json_true()) < 0)
			return error_oom(e);
	return r;
}

bool provider_use_vouched(struct store *store, const char *disk, const char *provider)
{
	_cleanup_json_ json_t *document = NULL;
	char id[ID_SIZE];

	document_id(disk, provider, id);
	return store_get(store, PROVIDER_USE_KIND, id, &document, NULL) == 0;
}

/* Whether an attached one of the disks has a key of the provider. */
static bool holds(const json_t *disks, const char *provider)
{
	json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
		if (json_is_true(json_object_get(disk, "attached")) &&
		    disk_uses_key(disk, provider, /* key= */ NULL))
			return true;
	return false;
}

static int vouch(struct store *store, const char *disk, const char *provider, struct error *e)
{
	_cleanup_json_ json_t *document = json_pack("{s:s, s:s}", "disk", disk, "provider", provider);
	char id[ID_SIZE];

	if (!document)
		return error_oom(e);
	if (provider_use_vouched(store, disk, provider))
		return 0;
	document_id(disk, provider, id);
	return store_insert(store, PROVIDER_USE_KIND, id, document, e);
}

/* The host has had this one, and may tell what it was used for. */
static int vouch_all(struct store *store, const json_t *disks, const char *provider,
		     struct error *e)
{
	json_t *disk;
	size_t i;
	int r = 0;

	json_array_foreach(disks, i, disk) {
		if (disk_uses_key(disk, provider, /* key= */ NULL))
			r = vouch(store, json_text(disk, "dek"), provider, e);
		if (r < 0)
			break;
	}
	return r;
}

int provider_hosts_reported(struct store *store, const char *host, const json_t *disks,
			    struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	json_t *given;
	size_t i;
	int r = store_list(store, KDK_KIND, "host", host, &list, e);

	json_array_foreach(list, i, given) {
		const char *provider = json_text(given, "provider");

		r = vouch_all(store, disks, provider, e);
		if (r == 0 && given_is_refused(given) && !holds(disks, provider))
			r = given_set_refused(store, given, NULL, e);
		if (r < 0)
			break;
	}
	return r;
}

int provider_hosts_drop(struct store *store, const char *host, struct error *e)
{
	return store_delete_all(store, KDK_KIND, "host", host, e);
}

int provider_hosts_list(struct store *store, const char *host, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *list = NULL, *here = json_array();
	json_t *given;
	size_t i;
	int r = store_list(store, KDK_KIND, "host", host, &list, e);

	if (r < 0)
		return r;
	json_array_foreach(list, i, given) {
		if (given_is_gone(given))
			continue;
		json_object_del(given, "id");
		json_object_del(given, "host");
		json_object_del(given, "gone");
		if (json_array_append(here, given) < 0)
			return error_oom(e);
	}
	*ret = TAKE_PTR(here);
	return *ret ? 0 : error_oom(e);
}
