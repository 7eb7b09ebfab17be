/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encrypted disks: what hosts have reported of them, and what a host is asked to
 * do with one. A disk is named by the UUID of its DEK.
 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/lock.h"
#include "manager/api.h"
#include "manager/errands.h"
#include "manager/host_mode.h"
#include "manager/hosts.h"
#include "manager/keys_push.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/providers.h"
#include "manager/store.h"

/* ms: the agent gives up attaching after two minutes */
#define RUN_MS 150000

static const char *text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* Name of a host or a VM, null when there is none. */
static json_t *name_of(struct store *store, const char *kind, const char *id)
{
	_cleanup_json_ json_t *document = NULL;

	if (!id || store_get(store, kind, id, &document, NULL) < 0)
		return json_null();
	return json_incref(json_object_get(document, "name"));
}

/* With the names that people know. */
static int add_names(struct api_call *call, json_t *disk, struct error *e)
{
	struct store *store = call->manager->store;

	if (json_object_set_new(disk, "vm_name", name_of(store, "vm", text(disk, "vm"))) < 0 ||
	    json_object_set_new(disk, "host_name", name_of(store, "host", text(disk, "host"))) < 0)
		return error_oom(e);
	return 0;
}

static bool may_see(const struct api_call *call, const json_t *disk)
{
	const char *vm = text(disk, "vm"), *host = text(disk, "host");

	return (vm && api_may(call, "System.View", "vm", vm)) ||
	       (host && api_may(call, "System.View", "host", host));
}

int api_disks_list(struct api_call *call, json_t **ret, struct error *e)
{
	return api_list(call, &(struct api_listing){ .kind = "disk", .member = "disks", .may_see = may_see,
						     .complete = add_names }, ret, e);
}

/* A disk that the caller may not see is not there. */
static int get_disk(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *disk = NULL;
	int r = store_get(call->manager->store, "disk", call->params[0], &disk, NULL);

	if (r == -ENOENT || (r == 0 && !may_see(call, disk)))
		return error_fail(e, ENOENT, "No host that you may see has reported a disk with DEK "
				  "%s: \"disk list\" has those that are known", call->params[0]);
	if (r < 0)
		return error_fail(e, r, "Cannot look for disk %s: %s", call->params[0],
				  error_name(r));
	*ret = TAKE_PTR(disk);
	return 0;
}

int api_disks_get(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *disk = NULL;
	int r = get_disk(call, &disk, e);

	if (r == 0)
		r = add_names(call, disk, e);
	if (r == 0)
		*ret = TAKE_PTR(disk);
	return r;
}

/* A UUID of the body, and the privilege on what it names. */
static int require_on(struct api_call *call, const char *kind, const char *privilege,
		      const char **ret_id, struct error *e)
{
	uint8_t uuid[UUID_SIZE];
	int r = api_string(call, kind, UUID_TEXT_SIZE - 1, ret_id, e);

	if (r < 0)
		return r;
	if (uuid_parse_text(*ret_id, uuid) < 0)
		return error_usage(e, "\"%.64s\" is not the id of a %s, which is a UUID in lower "
				   "case", *ret_id, kind);
	return api_require_on(call, privilege, kind, *ret_id, e);
}

/* A disk that has one key, as all but those between two providers, is found by it. */
static void note_key(struct api_call *call, const json_t *disk)
{
	const json_t *keys = json_object_get(disk, "keys");
	const char *key = text(json_array_get(keys, 0), "key");

	if (key)
		snprintf(call->key, sizeof(call->key), "%.*s", KEY_ID_MAX, key);
}

/* The privilege on the disk's VM; where nobody knows that, it takes the privilege everywhere. */
static int require_on_disk(struct api_call *call, const char *privilege, struct error *e)
{
	char object[PERMISSION_OBJECT_SIZE] = PERMISSION_GLOBAL;
	_cleanup_json_ json_t *disk = NULL;
	const char *vm;
	int r = get_disk(call, &disk, e);

	if (r < 0)
		return r;
	note_key(call, disk);
	vm = text(disk, "vm");
	if (vm) {
		snprintf(object, sizeof(object), "vm:%.36s", vm);
		snprintf(call->vm, sizeof(call->vm), "%.36s", vm);
	}
	return api_require(call, privilege, object, e);
}

/* Have a host do it; what it answers is the answer. */
static int run_on(struct api_call *call, const char *host, const char *op, json_t *args,
		  json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *request = json_pack("{s:s, s:O, s:s}", "op", op, "args", args,
						   "user", call->user);
	struct channel_failure why = { .key_reason = "" };
	int r;

	if (!request)
		return error_oom(e);
	r = link_ask(call->manager, host, "run", request, RUN_MS, ret, &why);
	if (r < 0)
		*e = why.error;
	return r;
}

/* The body without what was for the manager. */
static json_t *args_of(const struct api_call *call)
{
	json_t *args = json_copy(call->body);

	json_object_del(args, "host");
	json_object_del(args, "vm");
	return args;
}

/* The VM's name, if the host may have its keys. */
static int name_vm(struct api_call *call, const char *host, const char *vm, json_t *args,
		   struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = store_get(call->manager->store, "vm", vm, &document, e);

	if (r == 0)
		r = host_may_have_vm(call->manager, host, vm, e);
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "Host %s may not have keys of VM %s: "
				 "that is registered to another host or cluster", host, vm);
	snprintf(call->vm, sizeof(call->vm), "%s", vm);
	return json_object_set(args, "vm", json_object_get(document, "name")) < 0 ? error_oom(e) : 0;
}

/* Whether it is a key of this manager's that a new disk gets; a host may have providers of its own. */
static bool new_needs_key(struct api_call *call, const char *host)
{
	const char *provider = text(call->body, "provider");
	_cleanup_json_ json_t *document = NULL;
	struct manager *m = call->manager;
	char chosen[UUID_TEXT_SIZE];
	struct host_view view;

	if (!provider)
		return host_view(m, host, &view, NULL) == 0 &&
		       provider_default_of(m, host, &view, chosen, NULL) == 0;
	return store_find(m->store, PROVIDER_KIND, "name", provider, &document, NULL) == 0 ||
	       store_get(m->store, PROVIDER_KIND, provider, &document, NULL) == 0;
}

static bool known_needs_key(struct api_call *call)
{
	_cleanup_json_ json_t *disk = NULL;
	const json_t *key;
	size_t i;

	if (store_get(call->manager->store, "disk", call->params[0], &disk, NULL) < 0)
		return false;
	json_array_foreach(json_object_get(disk, "keys"), i, key) {
		_cleanup_json_ json_t *provider = NULL;

		if (store_get(call->manager->store, PROVIDER_KIND, text(key, "provider"), &provider, NULL) == 0)
			return true;
	}
	return false;
}

/* Who needs a key on a host that is prepared enables it, if that is allowed. */
static int enable_host(struct api_call *call, const char *host, struct error *e)
{
	int r = host_mode_prepared(call->manager, host, e);

	if (r <= 0)
		return r;
	/* One that is away is not to be changed by what cannot be done there. */
	if (!link_connected(call->manager, host))
		return 0;
	r = api_require_on(call, "Cryptographer.RegisterHost", "host", host, e);
	return r < 0 ? r : host_mode_on_demand(call->manager, host, call->user, e);
}

/* The disk has no id yet: what is done is done to its VM. */
int api_disks_may_create(struct api_call *call, struct error *e)
{
	const char *host = NULL, *vm = NULL;
	int r = require_on(call, "host", "Cryptographer.EncryptNew", &host, e);

	if (r == 0)
		r = require_on(call, "vm", "Cryptographer.EncryptNew", &vm, e);
	if (r == 0)
		r = api_require_encrypted(call, "Cryptographer.AddDisk", vm, e);
	if (r == 0)
		api_set_object(call, "vm", vm);
	return r;
}

int api_disks_create(struct api_call *call, json_t **ret, struct error *e)
{
	const char *host = text(call->body, "host"), *vm = text(call->body, "vm");
	struct errand errand = { .host = host, .vm = vm, .user = call->user,
				 .event = call->event };
	_cleanup_json_ json_t *args = args_of(call);
	int r;

	if (!args)
		return error_oom(e);
	r = name_vm(call, host, vm, args, e);
	if (r == 0 && new_needs_key(call, host))
		r = enable_host(call, host, e);
	if (r < 0)
		return r;
	errand_begin(call->manager->errands, &errand);
	r = run_on(call, host, "disk.create", args, ret, e);
	errand_end(call->manager->errands, &errand);
	if (r < 0)
		return r;
	api_set_object(call, "disk", text(*ret, "dek") ?: "");
	note_key(call, *ret);
	return 0;
}

/* On the host that the body names, and on the disk's VM. */
int api_disks_may(struct api_call *call, struct error *e)
{
	const char *host = NULL;
	int r = require_on(call, "host", call->route->wants, &host, e);

	return r < 0 ? r : require_on_disk(call, call->route->wants, e);
}

/**
 * struct operation - one on a disk that is known
 * @op: of the host
 * @member: of the host's arguments that names the disk
 * @needs_key: a host that is prepared has to be enabled for it
 */
struct operation {
	const char *op;
	const char *member;
	bool needs_key;
};

/* With the arguments beside what the body has. */
static int operate(struct api_call *call, const struct operation *o, json_t **ret, struct error *e)
{
	const char *host = text(call->body, "host");
	_cleanup_json_ json_t *args = args_of(call);
	int r = 0;

	if (!args || json_object_set_new(args, o->member, json_string(call->params[0])) < 0)
		return error_oom(e);
	if (o->needs_key && known_needs_key(call))
		r = enable_host(call, host, e);
	return r < 0 ? r : run_on(call, host, o->op, args, ret, e);
}

/* The host holds the device against "dek": what is attached is the disk that was asked for. */
int api_disks_attach(struct api_call *call, json_t **ret, struct error *e)
{
	static const struct operation attach = { "disk.attach", "dek", true };

	return operate(call, &attach, ret, e);
}

int api_disks_lock(struct api_call *call, json_t **ret, struct error *e)
{
	static const struct operation lock = { "disk.lock", "name", false };

	return operate(call, &lock, ret, e);
}

int api_disks_unlock(struct api_call *call, json_t **ret, struct error *e)
{
	static const struct operation unlock = { "disk.unlock", "name", true };

	return operate(call, &unlock, ret, e);
}

/* By the name that it has on the host. */
int api_disks_detach(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *disk = NULL, *args = NULL;
	static const struct operation show = {
		"disk.show", "name", false,
	};
	int r = operate(call, &show, &disk, e);

	if (r < 0)
		return r;
	if (!json_is_true(json_object_get(disk, "attached")) || !text(disk, "name"))
		return error_fail(e, ENOENT, "Disk %s is not attached there", call->params[0]);
	args = json_pack("{s:s}", "name", text(disk, "name"));
	return args ? run_on(call, text(call->body, "host"), "disk.detach", args, ret, e) :
		error_oom(e);
}

/**
 * struct forgetting - a disk that hosts are to forget
 * @lock: of @failure
 * @failure: what the first one said that keeps it
 */
struct forgetting {
	const struct api_call *call;
	const char *dek;
	pthread_mutex_t lock;
	struct error failure;
};

/* A host that does not know the disk has nothing to forget; one that is away tells later. */
static void forget_on(struct manager *m, const char *host, void *userdata)
{
	struct forgetting *f = userdata;
	struct error e = ERROR_NULL;
	int r = keys_ask_host(m, host, "run",
			      json_pack("{s:s, s:{s:s}, s:s}", "op", "disk.forget", "args", "name", f->dek,
					"user", f->call->user),
			      LINK_ASK_MS, NULL, &e);

	if (r == 0 || r == -ENOENT || r == -ENOTCONN)
		return;
	pthread_mutex_lock(&f->lock);
	if (!error_is_set(&f->failure)) {
		f->failure = e;
		(void)error_prefix(&f->failure, "Host %s", host);
	}
	pthread_mutex_unlock(&f->lock);
}

/* All that are connected: storage may be seen by more than have told of the disk. */
static int forget_on_hosts(struct api_call *call, struct error *e)
{
	struct forgetting f = { .call = call, .dek = call->params[0], .lock = PTHREAD_MUTEX_INITIALIZER };
	_cleanup_json_ json_t *hosts = NULL, *ids = json_array();
	const json_t *host;
	size_t i;
	int r = store_list(call->manager->store, "host", NULL, NULL, &hosts, e);

	json_array_foreach(hosts, i, host)
		if (json_array_append(ids, json_object_get(host, "id")) < 0)
			r = error_oom(e);
	if (r < 0)
		return r;
	keys_each_host(call->manager, ids, forget_on, &f);
	pthread_mutex_destroy(&f.lock);
	if (error_is_set(&f.failure))
		*e = f.failure;
	return f.failure.code;
}

static int check_detached(const json_t *disk, struct error *e)
{
	if (!json_is_true(json_object_get(disk, "attached")))
		return 0;
	return error_fail(e, EBUSY, "Disk %s is attached on host %s, or was when that went away: detach it "
			  "first", text(disk, "id"), text(disk, "host"));
}

static int delete_disk(struct store *store, void *userdata, struct error *e)
{
	const struct api_call *call = userdata;
	_cleanup_json_ json_t *disk = NULL;
	int r = store_get(store, "disk", call->params[0], &disk, e);

	if (r == 0)
		r = check_detached(disk, e);
	return r < 0 ? r : store_delete(store, "disk", call->params[0], e);
}

int api_disks_may_forget(struct api_call *call, struct error *e)
{
	return require_on_disk(call, call->route->wants, e);
}

int api_disks_forget(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *disk = NULL;
	int r = get_disk(call, &disk, e);

	(void)ret;
	if (r == 0)
		r = check_detached(disk, e);
	if (r == 0)
		r = forget_on_hosts(call, e);
	return r < 0 ? r : store_write(call->manager->store, delete_disk, call, e);
}
