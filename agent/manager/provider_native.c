/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Native providers: the KDK, made here and backed up. */
#include "manager/provider_native.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "crypto/backup.h"
#include "crypto/kdf.h"
#include "manager/manager.h"
#include "manager/store.h"
#include "manager/vault.h"

int provider_native_document(struct manager *m, const char *id, const char *name,
			     const char *created, bool allow_unsealed, const struct secret *kdk,
			     json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *sealed = NULL;
	int r = provider_seal(m, id, "kdk", kdk, &sealed, e);

	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s, s:s, s:b, s:n, s:O}", "name", name, "type", PROVIDER_NATIVE,
			 "created", created, "allow_unsealed", (int)allow_unsealed, "backed_up", "kdk",
			 sealed);
	return *ret ? 0 : error_oom(e);
}

bool provider_allows_unsealed(const json_t *document)
{
	return json_is_true(json_object_get(document, "allow_unsealed"));
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
	const struct backup_content *content;
	char id[UUID_TEXT_SIZE];
	char created[TIME_TEXT_SIZE];
	json_t *document;
	bool allow_unsealed;
	bool same;
};

static void restoration_done(struct restoration *r)
{
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
	if (!secret_equal(&kdk, &r->content->kdk))
		return error_fail(e, EEXIST, "Provider %s has the UUID of the backup and another key: one "
				  "of the two is not what it seems to be", json_text(document, "name"));
	r->same = true;
	return 0;
}

static int check_name(const struct restoration *r, struct error *e)
{
	_cleanup_json_ json_t *other = NULL;
	int rc = store_find(r->m->store, PROVIDER_KIND, "name", r->content->name, &other, NULL);

	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? error_fail(e, rc, "Cannot look for providers: %s", error_name(rc)) :
			error_fail(e, EEXIST, "Another key provider is called %s: delete it, or restore "
				   "at another manager", r->content->name);
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

	return provider_insert(store, &new, e);
}

static int restore(struct restoration *r, struct error *e)
{
	char now[TIME_TEXT_SIZE];
	int rc = provider_native_document(r->m, r->id, r->content->name, r->created,
					  r->allow_unsealed, &r->content->kdk, &r->document, e);

	if (rc < 0)
		return rc;
	/* The file that it comes from is its backup. */
	time_format(time_now(), now);
	if (json_object_set_new(r->document, "backed_up", json_string(now)) < 0)
		return error_oom(e);
	return store_write(r->m->store, insert, r, e);
}

int provider_restore_backup(struct manager *m, const struct backup_content *content,
			    bool allow_unsealed, bool dry_run, json_t **ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_(restoration_done) struct restoration r = { .m = m, .content = content,
							     .allow_unsealed = allow_unsealed };
	int rc;

	uuid_format(content->provider, r.id);
	time_format(content->created, r.created);
	rc = plan(&r, e);
	if (rc == 0 && !r.same && !dry_run)
		rc = restore(&r, e);
	if (rc < 0)
		return rc;
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:b}", "id", r.id, "name", content->name, "created",
			 r.created, "state", r.same ? "same" : "new", "dry_run", (int)dry_run);
	return *ret ? 0 : error_oom(e);
}
