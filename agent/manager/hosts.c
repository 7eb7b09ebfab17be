/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/hosts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "manager/hosts_internal.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/store.h"
#include "manager/user_throttle.h"

/* Who mistypes a token does so a few times; nobody guesses 32 bytes. */
static const struct throttle_rule join_rule = { .free = 10, .max = 60 };

static const struct throttle_rule word_rule = { .free = HOST_WORDS, .max = 60 };

int hosts_new(struct hosts **ret, struct error *e)
{
	struct hosts *hosts = calloc(1, sizeof(*hosts));

	if (!hosts)
		return error_oom(e);
	hosts->joins = throttle_new(&join_rule);
	hosts->words = throttle_new(&word_rule);
	if (!hosts->joins || !hosts->words) {
		throttle_free(hosts->joins);
		throttle_free(hosts->words);
		free(hosts);
		return error_oom(e);
	}
	pthread_mutex_init(&hosts->lock, NULL);
	LIST_INIT(&hosts->changing);
	*ret = hosts;
	return 0;
}

void hosts_free(struct hosts *hosts)
{
	if (!hosts)
		return;
	throttle_free(hosts->joins);
	throttle_free(hosts->words);
	pthread_mutex_destroy(&hosts->lock);
	free(hosts);
}

bool hosts_admit(struct hosts *hosts, const char *what, const char *host)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&hosts->lock);
	int64_t now = time_since_boot();
	char key[64];

	snprintf(key, sizeof(key), "%.16s:%.36s", what, host);
	if (throttle_wait(hosts->words, key, now) > 0)
		return false;
	throttle_count(hosts->words, key, now);
	return true;
}

int host_get(struct store *store, const char *host, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = store_get(store, "host", host, &document, e);

	if (r < 0)
		return r;
	if (strcmp(json_text(document, "state"), "active") != 0)
		return error_fail(e, ENOENT, "Host %s was removed: let it join again", host);
	*ret = TAKE_PTR(document);
	return 0;
}

int host_set_string(json_t *document, const char *key, const char *value, struct error *e)
{
	json_t *text = value ? json_string(value) : json_null();

	return json_object_set_new(document, key, text) < 0 ? error_oom(e) : 0;
}

int host_set_now(json_t *document, const char *key, struct error *e)
{
	char now[TIME_TEXT_SIZE];

	time_format(time_now(), now);
	return host_set_string(document, key, now, e);
}

int host_view(struct manager *m, const char *host, struct host_view *ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = host_get(m->store, host, &document, e);

	if (r < 0)
		return r;
	*ret = (struct host_view) {
		.safe = strcmp(json_text(document, "mode"), MODE_SAFE) == 0,
		.tpm = json_is_true(json_object_get(document, "tpm")),
	};
	snprintf(ret->name, sizeof(ret->name), "%s", json_text(document, "name"));
	snprintf(ret->cluster, sizeof(ret->cluster), "%s", json_text(document, "cluster"));
	return 0;
}

static bool belongs(const json_t *vm, const char *host, const char *cluster)
{
	const char *of_cluster = json_text(vm, "cluster");

	if (strcmp(json_text(vm, "host"), host) == 0)
		return true;
	return *of_cluster && strcmp(of_cluster, cluster) == 0;
}

int host_may_have_vm(struct manager *m, const char *host, const char *vm, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	struct host_view view;
	int r = store_get(m->store, "vm", vm, &document, e);

	if (r == 0)
		r = host_view(m, host, &view, e);
	return r < 0 ? r : belongs(document, host, view.cluster);
}

/* Appends the id of each active host of the list. */
static int append_active(json_t *hosts, json_t *ids, struct error *e)
{
	const json_t *host;
	size_t i;

	json_array_foreach(hosts, i, host)
		if (strcmp(json_text(host, "state"), "active") == 0 &&
		    json_array_append(ids, json_object_get(host, "id")) < 0)
			return error_oom(e);
	return 0;
}

int hosts_of_vm(struct manager *m, const char *vm, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL, *hosts = NULL, *ids = json_array();
	const char *cluster;
	int r = store_get(m->store, "vm", vm, &document, e);

	if (r < 0)
		return r;
	cluster = json_text(document, "cluster");
	if (*cluster) {
		r = store_list(m->store, "host", "cluster", cluster, &hosts, e);
	} else {
		json_t *host = NULL;

		r = store_get(m->store, "host", json_text(document, "host"), &host, NULL);
		/* Its host was removed altogether: nobody may have its keys. */
		hosts = r == 0 ? json_pack("[o]", host) : json_array();
		r = r == -ENOENT ? 0 : r;
	}
	if (r == 0 && (!hosts || !ids))
		r = error_oom(e);
	if (r == 0)
		r = append_active(hosts, ids, e);
	if (r == 0)
		*ret = TAKE_PTR(ids);
	return r;
}

struct vm_search {
	const char *host;
	const char *name;
	bool is_uuid;
	bool may_register;
	char *ret_vm;
};

static int find_vm(struct store *store, const struct vm_search *search, json_t **ret)
{
	if (search->is_uuid && store_get(store, "vm", search->name, ret, NULL) == 0)
		return 0;
	return store_find(store, "vm", "name", search->name, ret, NULL);
}

static int note_register(struct store *store, const char *host, const char *vm,
			 const char *name, struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "name", name);
	char object[8 + UUID_TEXT_SIZE];
	const struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = "vm.register", .type = "VmRegisteredEvent",
		.object = object, .host = host, .vm = vm, .data = data,
	};

	snprintf(object, sizeof(object), "vm:%s", vm);
	return record_note(store, &event, "ok", e);
}

static int register_vm(struct store *store, const struct vm_search *search, const char *cluster,
		       struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	char vm[UUID_TEXT_SIZE], created[TIME_TEXT_SIZE];
	int r = 0;

	if (search->is_uuid)
		memcpy(vm, search->name, sizeof(vm));
	else
		r = uuid_random_text(vm);
	if (r < 0)
		return error_fail(e, r, "Cannot make an id for VM \"%s\": %s", search->name,
				  error_name(r));
	time_format(time_now(), created);
	document = json_pack("{s:s, s:s, s:s}", "name", search->name, "created", created,
			     *cluster ? "cluster" : "host", *cluster ? cluster : search->host);
	if (!document)
		return error_oom(e);
	r = store_insert(store, "vm", vm, document, e);
	if (r == 0)
		r = note_register(store, search->host, vm, search->name, e);
	if (r == 0)
		memcpy(search->ret_vm, vm, sizeof(vm));
	return r;
}

static int vm_named(struct store *store, void *userdata, struct error *e)
{
	const struct vm_search *search = userdata;
	_cleanup_json_ json_t *host = NULL, *vm = NULL;
	int r = host_get(store, search->host, &host, e);

	if (r < 0)
		return r;
	r = find_vm(store, search, &vm);
	if (r == -ENOENT && search->may_register)
		return register_vm(store, search, json_text(host, "cluster"), e);
	if (r == -ENOENT)
		return error_fail(e, r, "There is no VM \"%.64s\": register it", search->name);
	if (r < 0)
		return error_fail(e, r, "Cannot look for VM \"%s\": %s", search->name, error_name(r));
	if (!belongs(vm, search->host, json_text(host, "cluster")))
		return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "VM \"%.64s\" is registered elsewhere, so "
				 "that host %s may not have its keys: register it to the host's cluster",
				 search->name, json_text(host, "name"));
	snprintf(search->ret_vm, UUID_TEXT_SIZE, "%s", json_text(vm, "id"));
	return 0;
}

static int find_named(struct manager *m, const char *host, const char *name, bool may_register,
		      char ret_vm[UUID_TEXT_SIZE], struct error *e)
{
	uint8_t uuid[UUID_SIZE];
	struct vm_search search = {
		.host = host, .name = name, .is_uuid = uuid_parse_text(name, uuid) == 0,
		.may_register = may_register, .ret_vm = ret_vm,
	};

	if (!*name || strlen(name) > HOSTS_NAME_MAX)
		return error_usage(e, "The name of a VM has 1 to %d bytes", HOSTS_NAME_MAX);
	return store_write(m->store, vm_named, &search, e);
}

int host_vm_named(struct manager *m, const char *host, const char *name,
		  char ret_vm[UUID_TEXT_SIZE], struct error *e)
{
	return find_named(m, host, name, /* may_register= */ true, ret_vm, e);
}

int host_vm_known(struct manager *m, const char *host, const char *name,
		  char ret_vm[UUID_TEXT_SIZE], struct error *e)
{
	return find_named(m, host, name, /* may_register= */ false, ret_vm, e);
}
