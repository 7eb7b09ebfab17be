/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Native providers: the KDK, made here, backed up, and given to the hosts. */
#include "manager/provider_native.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "crypto/backup.h"
#include "crypto/kdf.h"
#include "manager/hosts.h"
#include "manager/keys_push.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/store.h"
#include "manager/vault.h"

#define GONE		"provider-gone"
#define EVENT_HOST	"com.vmware.vc.host.Crypto.SendKeyError.HostError"

int provider_native_document(struct manager *m, const char *id, const char *name,
			     const char *created, bool require_tpm, const struct secret *kdk,
			     json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *sealed = NULL;
	int r = provider_seal(m, id, "kdk", kdk, &sealed, e);

	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s, s:s, s:b, s:n, s:O}", "name", name, "type", PROVIDER_NATIVE,
			 "created", created, "require_tpm", (int)require_tpm, "backed_up", "kdk",
			 sealed);
	return *ret ? 0 : error_oom(e);
}

int provider_kdk(struct manager *m, const char *id, const json_t *document, struct secret *ret,
		 struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	int r = provider_unseal(m->vault, id, "kdk", json_object_get(document, "kdk"), &kdk, e);

	if (r < 0)
		return r;
	if (kdk.size != KDK_SIZE)
		return error_fail(e, EBADMSG, "The key of native provider %s is damaged: restore it from "
				  "its backup", json_text(document, "name"));
	*ret = secret_take(&kdk);
	return 0;
}

int provider_native_gone(struct store *store, const char *id, struct error *e)
{
	_cleanup_json_ json_t *hosts = NULL, *ids = json_array(), *document = NULL;
	json_t *host;
	size_t i;
	int r = store_list(store, "host", NULL, NULL, &hosts, e);

	if (r < 0)
		return r;
	json_array_foreach(hosts, i, host)
		if (json_array_append(ids, json_object_get(host, "id")) < 0)
			return error_oom(e);
	if (json_array_size(ids) == 0)
		return 0;
	document = json_pack("{s:O}", "hosts", ids);
	return document ? store_insert(store, GONE, id, document, e) : error_oom(e);
}

static int make_backup(const struct backup_content *content, const struct secret *password,
		       uint8_t **ret, size_t *ret_size, struct error *e)
{
	_cleanup_backup_ struct backup_content again = { .kdk = SECRET_NULL };
	_cleanup_free_ uint8_t *data = NULL;
	size_t size;
	int r = backup_write(content, password, &data, &size, e);

	if (r == 0)
		r = backup_read(data, size, password, &again, e);
	if (r < 0)
		return r;
	if (!secret_equal(&again.kdk, &content->kdk))
		return error_fail(e, EIO, "The backup of provider %s does not hold its key: do not trust "
				  "this machine", content->name);
	*ret = TAKE_PTR(data);
	*ret_size = size;
	return 0;
}

int provider_backup_file(struct manager *m, const char *id, const struct secret *password,
			 uint8_t **ret, size_t *ret_size, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_backup_ struct backup_content content = { .kdk = SECRET_NULL };
	_cleanup_json_ json_t *document = NULL;
	_cleanup_free_ uint8_t *data = NULL;
	char now[TIME_TEXT_SIZE];
	size_t size = 0;
	int r = provider_get(m, id, PROVIDER_NATIVE, &document, e);

	if (r == 0)
		r = provider_kdk(m, id, document, &content.kdk, e);
	if (r < 0)
		return r;
	if (uuid_parse_text(id, content.provider) < 0 ||
	    time_parse(json_text(document, "created"), &content.created) < 0)
		return error_fail(e, EBADMSG, "The document of provider %s is damaged",
				  json_text(document, "name"));
	snprintf(content.name, sizeof(content.name), "%s", json_text(document, "name"));
	r = make_backup(&content, password, &data, &size, e);
	if (r < 0)
		return r;
	time_format(time_now(), now);
	if (json_object_set_new(document, "backed_up", json_string(now)) < 0)
		return error_oom(e);
	r = store_update(m->store, PROVIDER_KIND, id, document, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(data);
	*ret_size = size;
	return 0;
}

/**
 * struct restoration - a provider that comes back from its backup
 * @same: it is here, with this KDK
 */
struct restoration {
	struct manager *m;
	struct backup_content content;
	char id[UUID_TEXT_SIZE];
	char created[TIME_TEXT_SIZE];
	json_t *document;
	bool require_tpm;
	bool same;
};

static void restoration_done(struct restoration *r)
{
	backup_content_done(&r->content);
	json_decref(r->document);
}

static int check_existing(struct restoration *r, const json_t *document, struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	int rc;

	if (strcmp(json_text(document, "type"), PROVIDER_NATIVE) != 0)
		return error_fail(e, EEXIST, "Provider %s has the UUID of the backup and is a %s one",
				  json_text(document, "name"), json_text(document, "type"));
	rc = provider_kdk(r->m, r->id, document, &kdk, e);
	if (rc < 0)
		return rc;
	if (!secret_equal(&kdk, &r->content.kdk))
		return error_fail(e, EEXIST, "Provider %s has the UUID of the backup and another key: one "
				  "of the two is not what it seems to be", json_text(document, "name"));
	r->same = true;
	return 0;
}

static int check_name(const struct restoration *r, struct error *e)
{
	_cleanup_json_ json_t *other = NULL;
	int rc = store_find(r->m->store, PROVIDER_KIND, "name", r->content.name, &other, NULL);

	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? error_fail(e, rc, "Cannot look for providers: %s", error_name(rc)) :
			error_fail(e, EEXIST, "Another key provider is called %s: delete it, or restore "
				   "at another manager", r->content.name);
}

static int plan(struct restoration *r, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int rc = store_get(r->m->store, PROVIDER_KIND, r->id, &document, NULL);

	if (rc == 0)
		return check_existing(r, document, e);
	if (rc != -ENOENT)
		return error_fail(e, rc, "Cannot look for providers: %s", error_name(rc));
	return check_name(r, e);
}

static int insert(struct store *store, void *userdata, struct error *e)
{
	const struct restoration *r = userdata;
	struct provider_insertion new = { .id = r->id, .document = r->document };
	int rc = store_delete(store, GONE, r->id, NULL);

	if (rc < 0 && rc != -ENOENT)
		return error_fail(e, rc, "Cannot have hosts keep the provider: %s", error_name(rc));
	return provider_insert(store, &new, e);
}

static int restore(struct restoration *r, struct error *e)
{
	char now[TIME_TEXT_SIZE];
	int rc = provider_native_document(r->m, r->id, r->content.name, r->created,
					  r->require_tpm, &r->content.kdk, &r->document, e);

	if (rc < 0)
		return rc;
	/* The file that it comes from is its backup. */
	time_format(time_now(), now);
	if (json_object_set_new(r->document, "backed_up", json_string(now)) < 0)
		return error_oom(e);
	return store_write(r->m->store, insert, r, e);
}

int provider_restore_file(struct manager *m, const uint8_t *data, size_t size,
			  const struct secret *password, bool require_tpm, bool dry_run,
			  json_t **ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_(restoration_done) struct restoration r = { .m = m, .require_tpm = require_tpm };
	int rc = backup_read(data, size, password, &r.content, e);

	if (rc < 0)
		return rc;
	uuid_format(r.content.provider, r.id);
	time_format(r.content.created, r.created);
	rc = plan(&r, e);
	if (rc == 0 && !r.same && !dry_run)
		rc = restore(&r, e);
	if (rc < 0)
		return rc;
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:b}", "id", r.id, "name", r.content.name, "created",
			 r.created, "state", r.same ? "same" : "new", "dry_run", (int)dry_run);
	return *ret ? 0 : error_oom(e);
}

/**
 * struct native_push - one provider for one host
 */
struct native_push {
	struct manager *m;
	const char *host;
	const struct host_view *view;
	const char *chosen;
};

static int send_kdk(struct native_push *p, const json_t *document, struct error *e)
{
	const char *id = json_text(document, "id");
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	_cleanup_free_ char *sealed = NULL;
	uint8_t uuid[UUID_SIZE];
	json_t *args;
	int r = provider_kdk(p->m, id, document, &kdk, e);

	if (r < 0)
		return r;
	if (uuid_parse_text(id, uuid) < 0)
		return error_fail(e, EBADMSG, "\"%.64s\" is no UUID of a provider", id);
	r = link_seal_kdk(p->m, p->host, uuid, &kdk, &sealed, e);
	if (r < 0)
		return r;
	args = json_pack("{s:s, s:s, s:s, s:b, s:b, s:s}", "provider", id, "name",
			 json_text(document, "name"), "created", json_text(document, "created"),
			 "require_tpm", (int)json_is_true(json_object_get(document, "require_tpm")),
			 "default", strcmp(p->chosen, id) == 0, "sealed", sealed);
	return keys_ask_host(p->m, p->host, "kdk.push", args, LINK_ASK_MS, NULL, e);
}

static int recorded(struct native_push *p, const char *operation, const json_t *document,
		    int (*work)(struct native_push *p, const json_t *document, struct error *e),
		    struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "provider", json_text(document, "id"));
	char object[6 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	struct record_event event = { .user = RECORD_USER_MANAGER, .operation = operation,
				      .type = RECORD_TYPE_OPERATION, .failed_type = EVENT_HOST,
				      .object = object, .host = p->host,
				      .data = data };
	int r;

	snprintf(object, sizeof(object), "host:%.36s", p->host);
	r = record_begin(p->m->store, &event, id, e);
	if (r < 0)
		return r;
	r = work(p, document, e);
	(void)record_end(p->m->store, id, &event, r < 0 ? e : NULL);
	return r;
}

static int push_one(struct native_push *p, const json_t *document, struct error *e)
{
	if (!json_is_string(json_object_get(document, "backed_up")))
		return 0;
	if (json_is_true(json_object_get(document, "require_tpm")) && !p->view->tpm)
		return error_fail(e, ENODEV, "Host %s does not get native provider %s, for it has no TPM "
				  "and the provider requires one", p->view->name,
				  json_text(document, "name"));
	return recorded(p, "kdk.push", document, send_kdk, e);
}

static int send_remove(struct native_push *p, const json_t *document, struct error *e)
{
	int r = keys_ask_host(p->m, p->host, "provider.remove",
			      json_pack("{s:s}", "provider", json_text(document, "id")),
			      LINK_ASK_MS, NULL, e);

	return r == -ENOENT || r == -EINVAL ? 0 : r;
}

/**
 * struct told - a host that has forgotten a provider
 */
struct told {
	const char *id;
	const char *host;
};

static size_t find_host(const json_t *document, const char *name)
{
	json_t *host;
	size_t i;

	json_array_foreach(json_object_get(document, "hosts"), i, host)
		if (json_is_string(host) && strcmp(json_string_value(host), name) == 0)
			break;
	return i;
}

/* The last one ends it. */
static int tick_off(struct store *store, void *userdata, struct error *e)
{
	const struct told *told = userdata;
	_cleanup_json_ json_t *document = NULL;
	int r = store_get(store, GONE, told->id, &document, e);

	if (r < 0)
		return r;
	json_array_remove(json_object_get(document, "hosts"), find_host(document, told->host));
	if (json_array_size(json_object_get(document, "hosts")) == 0)
		return store_delete(store, GONE, told->id, e);
	return store_update(store, GONE, told->id, document, e);
}

static int remove_one(struct native_push *p, const json_t *document, struct error *e)
{
	struct told told = { .id = json_text(document, "id"), .host = p->host };
	int r;

	if (find_host(document, p->host) == json_array_size(json_object_get(document, "hosts")))
		return 0;
	r = recorded(p, "provider.remove", document, send_remove, e);
	return r < 0 ? r : store_write(p->m->store, tick_off, &told, e);
}

static int for_all(struct native_push *p, const char *kind, const char *type,
		   int (*work)(struct native_push *p, const json_t *document, struct error *e),
		   struct error *e)
{
	_cleanup_json_ json_t *documents = NULL;
	struct error first = ERROR_NULL;
	json_t *document;
	size_t i;
	int r = store_list(p->m->store, kind, type ? "type" : NULL, type, &documents, e);

	if (r < 0)
		return r;
	json_array_foreach(documents, i, document) {
		struct error failure = ERROR_NULL;

		if (work(p, document, &failure) < 0 && !error_is_set(&first))
			first = failure;
	}
	if (error_is_set(&first) && e)
		*e = first;
	return first.code;
}

int provider_native_push(struct manager *m, const char *host, const struct host_view *view,
			 struct error *e)
{
	struct error failure = ERROR_NULL;
	char chosen[UUID_TEXT_SIZE] = "";
	struct native_push p = { .m = m, .host = host, .view = view, .chosen = chosen };
	int r, gone;

	(void)provider_default_of(m, host, view, chosen, NULL);
	/* First, so that a name is free for another one. */
	gone = for_all(&p, GONE, /* type= */ NULL, remove_one, &failure);
	r = for_all(&p, PROVIDER_KIND, PROVIDER_NATIVE, push_one, e);
	if (gone < 0 && r == 0 && e)
		*e = failure;
	return r < 0 ? r : gone;
}
