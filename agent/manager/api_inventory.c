/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clusters and VMs: what is there and belongs to whom. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "manager/api.h"
#include "manager/host_join.h"
#include "manager/host_mode.h"
#include "manager/hosts.h"
#include "manager/keys.h"
#include "manager/keys_use.h"
#include "manager/keys_withdraw.h"
#include "manager/manager.h"
#include "manager/permission_move.h"
#include "manager/provider_native.h"
#include "manager/store.h"

#define NAME_MAX_BYTES 64

static int get(struct api_call *call, const char *kind, json_t **ret, struct error *e)
{
	return store_get(call->manager->store, kind, call->params[0], ret, e);
}

int api_clusters_list(struct api_call *call, json_t **ret, struct error *e)
{
	return api_list(call, &(struct api_listing){ .kind = "cluster", .member = "clusters" }, ret, e);
}

int api_vms_list(struct api_call *call, json_t **ret, struct error *e)
{
	return api_list(call, &(struct api_listing){ .kind = "vm", .member = "vms" }, ret, e);
}

int api_clusters_get(struct api_call *call, json_t **ret, struct error *e)
{
	return get(call, "cluster", ret, e);
}

int api_vms_get(struct api_call *call, json_t **ret, struct error *e)
{
	return get(call, "vm", ret, e);
}

int api_clusters_create(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	char id[UUID_TEXT_SIZE], created[TIME_TEXT_SIZE];
	const char *name;
	int r = api_string(call, "name", NAME_MAX_BYTES, &name, e);

	if (r < 0)
		return r;
	r = uuid_random_text(id);
	if (r < 0)
		return error_fail(e, r, "Cannot make an id for cluster \"%s\": %s", name,
				  strerror(-r));
	time_format(time_now(), created);
	document = json_pack("{s:s, s:s, s:s}", "name", name, "created", created, "crypto_mode",
			     HOST_ON_DEMAND);
	if (!document)
		return error_oom(e);
	r = store_insert(call->manager->store, "cluster", id, document, e);
	if (r == 0)
		api_set_object(call, "cluster", id);
	return r < 0 ? r : store_get(call->manager->store, "cluster", id, ret, e);
}

struct cluster_change {
	const char *id;
	const char *name;
	const char *crypto_mode;
};

static int set_text(json_t *document, const char *key, const char *value, struct error *e)
{
	if (!value)
		return 0;
	return json_object_set_new(document, key, json_string(value)) < 0 ? error_oom(e) : 0;
}

static int change_cluster(struct store *store, void *userdata, struct error *e)
{
	const struct cluster_change *change = userdata;
	_cleanup_json_ json_t *document = NULL;
	int r = store_get(store, "cluster", change->id, &document, e);

	if (r == 0)
		r = set_text(document, "name", change->name, e);
	if (r == 0)
		r = set_text(document, "crypto_mode", change->crypto_mode, e);
	return r < 0 ? r : store_update(store, "cluster", change->id, document, e);
}

static int read_crypto_mode(struct api_call *call, const char **ret, struct error *e)
{
	int r = api_string_or_null(call, "crypto_mode", 16, ret, e);

	if (r < 0 || !*ret)
		return r;
	if (strcmp(*ret, HOST_ON_DEMAND) != 0 && strcmp(*ret, HOST_FORCE_ENABLE) != 0)
		return error_usage(e, "The \"crypto_mode\" of a cluster is \"" HOST_ON_DEMAND "\" or \""
				   HOST_FORCE_ENABLE "\"");
	return 0;
}

int api_clusters_may_change(struct api_call *call, struct error *e)
{
	const char *crypto_mode = NULL;
	int r = read_crypto_mode(call, &crypto_mode, e);

	if (r < 0 || !crypto_mode)
		return r;
	return api_require(call, "Cryptographer.RegisterHost", call->object, e);
}

int api_clusters_change(struct api_call *call, json_t **ret, struct error *e)
{
	struct store *store = call->manager->store;
	struct cluster_change change = { .id = call->params[0] };
	int r = api_string_or_null(call, "name", NAME_MAX_BYTES, &change.name, e);

	if (r == 0)
		r = read_crypto_mode(call, &change.crypto_mode, e);
	if (r == 0)
		r = store_write(store, change_cluster, &change, e);
	if (r == 0 && change.crypto_mode)
		host_mode_force_all(call->manager, change.id);
	return r < 0 ? r : store_get(store, "cluster", change.id, ret, e);
}

static int check_unused(struct store *store, const char *kind, const char *cluster,
			struct error *e)
{
	_cleanup_json_ json_t *user = NULL;
	int r = store_find(store, kind, "cluster", cluster, &user, NULL);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_fail(e, r, "Cannot see whether the cluster has a %s: %s", kind,
				  error_name(r));
	return error_fail(e, EBUSY, "Cluster %s still has %ss, the first is %.64s: move or remove "
			  "them first", cluster, kind,
			  json_string_value(json_object_get(user, "id")));
}

/* A document with the permissions on it, and its default provider. */
static int delete_object(struct store *store, const struct api_call *call, struct error *e)
{
	int r = store_delete(store, call->route->kind, call->params[0], e);

	if (r == 0)
		r = provider_default_drop(store, call->route->kind, call->params[0], e);
	return r < 0 ? r : permission_remove_all(store, /* user= */ NULL, call->object, e);
}

static int delete_cluster(struct store *store, void *userdata, struct error *e)
{
	const struct api_call *call = userdata;
	int r = check_unused(store, "host", call->params[0], e);

	if (r == 0)
		r = check_unused(store, "vm", call->params[0], e);
	if (r == 0)
		/* A token for a cluster that is gone lets nobody in. */
		r = store_delete_all(store, HOST_TOKEN_KIND, "cluster", call->params[0], e);
	return r < 0 ? r : delete_object(store, call, e);
}

int api_clusters_delete(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return store_write(call->manager->store, delete_cluster, call, e);
}

/**
 * struct vm_change - a VM that moves or goes
 * @kind, @place: where to; NULL: it goes
 * @before: UUIDs of the hosts that could have its keys
 */
struct vm_change {
	const struct api_call *call;
	const char *kind;
	const char *place;
	json_t *before;
};

static int read_before(struct vm_change *change, struct error *e)
{
	/* The transaction may be on its second try. */
	json_decref(TAKE_PTR(change->before));
	return hosts_of_vm(change->call->manager, change->call->params[0], &change->before, e);
}

/* Whoever may register a VM of this id elsewhere would get what is left. */
static int check_no_keys(struct store *store, const char *vm, struct error *e)
{
	_cleanup_json_ json_t *key = NULL;
	int r = store_find(store, KEY_KIND, "vm", vm, &key, NULL);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_fail(e, r, "Cannot see whether VM %s has keys: %s", vm, error_name(r));
	return error_fail(e, EBUSY, "VM %s still has keys, the first is %.170s: remove them first (key "
			  "remove, with --destroy when none of its disks is to be opened again), else who "
			  "registers a VM of this id gets them", vm, json_text(key, "id"));
}

static int delete_vm(struct store *store, void *userdata, struct error *e)
{
	struct vm_change *change = userdata;
	const struct api_call *call = change->call;
	_cleanup_json_ json_t *disk = NULL;
	int r = store_find(store, "disk", "vm", call->params[0], &disk, NULL);

	if (r == 0)
		return error_fail(e, EBUSY, "VM %s still has encrypted disks: decrypt or remove "
				  "them first, else no host could have their keys",
				  call->params[0]);
	if (r != -ENOENT)
		return error_fail(e, r, "Cannot see whether VM %s has disks: %s", call->params[0],
				  error_name(r));
	r = check_no_keys(store, call->params[0], e);
	if (r == 0)
		r = read_before(change, e);
	if (r == 0)
		r = delete_object(store, call, e);
	return r < 0 ? r : keys_withdraw_vm(call->manager, change->before, call->params[0], e);
}

int api_vms_unregister(struct api_call *call, json_t **ret, struct error *e)
{
	struct vm_change change = { .call = call };
	int r = store_write(call->manager->store, delete_vm, &change, e);

	(void)ret;
	if (r == 0)
		keys_withdraw_each(call->manager, change.before);
	json_decref(change.before);
	return r;
}

/* Where the VM is to live: a cluster, or a host that is in none. */
static int read_place(struct api_call *call, const char **ret_kind, const char **ret_id,
		      struct error *e)
{
	const char *cluster = NULL, *host = NULL;
	int r = api_string_or_null(call, "cluster", UUID_TEXT_SIZE - 1, &cluster, e);

	if (r == 0)
		r = api_string_or_null(call, "host", UUID_TEXT_SIZE - 1, &host, e);
	if (r < 0)
		return r;
	if (!cluster == !host)
		return error_usage(e, "A VM is registered to a \"cluster\" or to a \"host\", to "
				   "one of the two");
	*ret_kind = cluster ? "cluster" : "host";
	*ret_id = cluster ? cluster : host;
	return 0;
}

/* An id as it is given, libvirt's, else a new one. */
static int read_vm_id(struct api_call *call, char ret[UUID_TEXT_SIZE], struct error *e)
{
	const char *id = NULL;
	uint8_t uuid[UUID_SIZE];
	int r = api_string_or_null(call, "id", UUID_TEXT_SIZE - 1, &id, e);

	if (r < 0)
		return r;
	if (!id) {
		r = uuid_random_text(ret);
		return r < 0 ? error_fail(e, r, "Cannot make an id for a VM: %s", error_name(r)) : 0;
	}
	if (uuid_parse_text(id, uuid) < 0)
		return error_usage(e, "The id of a VM is a UUID in lower case");
	memcpy(ret, id, UUID_TEXT_SIZE);
	return 0;
}

/* Whose hosts get its keys: that is a right on them. */
static int require_place(struct api_call *call, const char *kind, const char *id, struct error *e)
{
	_cleanup_json_ json_t *place = NULL;
	uint8_t uuid[UUID_SIZE];
	int r;

	if (uuid_parse_text(id, uuid) < 0)
		return error_usage(e, "The id of a %s is a UUID in lower case", kind);
	r = api_require_on(call, "Cryptographer.RegisterVM", kind, id, e);
	return r < 0 ? r : store_get(call->manager->store, kind, id, &place, e);
}

/* The id is chosen here, so that the intent has it. */
int api_vms_may_register(struct api_call *call, struct error *e)
{
	const char *kind = NULL, *place = NULL;
	char id[UUID_TEXT_SIZE];
	int r = read_vm_id(call, id, e);

	if (r == 0)
		r = read_place(call, &kind, &place, e);
	if (r < 0)
		return r;
	api_set_object(call, "vm", id);
	return require_place(call, kind, place, e);
}

int api_vms_register(struct api_call *call, json_t **ret, struct error *e)
{
	const char *name = NULL, *kind = NULL, *place = NULL, *id = call->object + strlen("vm:");
	struct store *store = call->manager->store;
	_cleanup_json_ json_t *document = NULL;
	char created[TIME_TEXT_SIZE];
	int r = api_string(call, "name", NAME_MAX_BYTES, &name, e);

	if (r == 0)
		r = read_place(call, &kind, &place, e);
	if (r < 0)
		return r;
	time_format(time_now(), created);
	document = json_pack("{s:s, s:s, s:s}", "name", name, "created", created, kind, place);
	if (!document)
		return error_oom(e);
	r = store_insert(store, "vm", id, document, e);
	if (r < 0)
		return r;
	/* It may have been here before, and its keys still are. */
	keys_share_vm(call->manager, id);
	return store_get(store, "vm", id, ret, e);
}

int api_vms_may_move(struct api_call *call, struct error *e)
{
	const char *kind = NULL, *place = NULL;
	int r = read_place(call, &kind, &place, e);

	if (r == 0)
		r = api_require(call, "Cryptographer.RegisterVM", call->object, e);
	if (r == 0)
		r = api_require_encrypted(call, "Cryptographer.Migrate", call->params[0], e);
	return r < 0 ? r : require_place(call, kind, place, e);
}

static int move_vm(struct store *store, void *userdata, struct error *e)
{
	struct vm_change *change = userdata;
	const char *id = change->call->params[0], *user = change->call->user;
	_cleanup_json_ json_t *document = NULL, *rights = NULL;
	int r = store_get(store, "vm", id, &document, e);

	if (r == 0)
		r = read_before(change, e);
	if (r == 0)
		r = permission_before_move(store, user, "vm", id, &rights, e);
	if (r < 0)
		return r;
	json_object_del(document, "cluster");
	json_object_del(document, "host");
	r = set_text(document, change->kind, change->place, e);
	if (r == 0)
		r = store_update(store, "vm", id, document, e);
	if (r == 0)
		r = permission_after_move(store, user, rights, e);
	return r < 0 ? r : keys_withdraw_vm(change->call->manager, change->before, id, e);
}

int api_vms_move(struct api_call *call, json_t **ret, struct error *e)
{
	struct vm_change change = { .call = call };
	struct store *store = call->manager->store;
	int r = read_place(call, &change.kind, &change.place, e);

	if (r == 0)
		r = store_write(store, move_vm, &change, e);
	if (r == 0)
		keys_withdraw_each(call->manager, change.before);
	json_decref(change.before);
	if (r < 0)
		return r;
	keys_share_vm(call->manager, call->params[0]);
	return store_get(store, "vm", call->params[0], ret, e);
}
