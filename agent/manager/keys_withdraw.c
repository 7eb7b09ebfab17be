/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/keys_withdraw.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/hosts.h"
#include "manager/keys_push.h"
#include "manager/keys_right.h"
#include "manager/keys_use.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/provider_hosts.h"
#include "manager/record.h"
#include "manager/store.h"

#define KIND	"withdrawal"
#define ID_SIZE	(UUID_TEXT_SIZE + KEY_DOCUMENT_SIZE)

_Static_assert(ID_SIZE <= STORE_ID_MAX, "the id of a withdrawal is one of the store's");

/* Wanted once more, it is not what an answer to the question before was about. */
static int put(struct store *store, const char *host, const json_t *key, struct error *e)
{
	_cleanup_json_ json_t *document = NULL, *known = NULL;
	char id[ID_SIZE], order[UUID_TEXT_SIZE];
	int r = uuid_random_text(order);

	if (r < 0)
		return error_fail(e, r, "Cannot make an id: %s", error_name(r));
	snprintf(id, sizeof(id), "%.36s/%s", host, json_text(key, "id"));
	document = json_pack("{s:s, s:O, s:O, s:O, s:s, s:n}", "host", host,
			     "provider", json_object_get(key, "provider"),
			     "key", json_object_get(key, "key"), "vm", json_object_get(key, "vm"),
			     "order", order, "refused");
	if (!document)
		return error_oom(e);
	r = store_get(store, KIND, id, &known, NULL);
	if (r == -ENOENT)
		return store_insert(store, KIND, id, document, e);
	return store_update(store, KIND, id, document, e);
}

/* Whether the host may have the key as things are now. Return: 1, 0; -errno: cannot be told. */
static int may_have(struct manager *m, const char *host, const json_t *withdrawal, struct error *e)
{
	struct error own = ERROR_NULL;
	int r = key_is_for(m, host, json_text(withdrawal, "provider"), json_text(withdrawal, "key"), &own);

	if (r == -ENOKEY)
		return 0;
	if (r < 0 && e)
		*e = own;
	return r;
}

/* What a host may have again it need not forget. */
static int drop_regained(struct manager *m, const char *field, const char *value, struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *withdrawal;
	size_t i;
	int r = store_list(m->store, KIND, field, value, &list, e);

	json_array_foreach(list, i, withdrawal) {
		int may = may_have(m, json_text(withdrawal, "host"), withdrawal, e);

		r = may > 0 ? store_delete(m->store, KIND, json_text(withdrawal, "id"), e) : may;
		if (r < 0)
			break;
	}
	return r;
}

static int put_all(struct manager *m, const char *host, const json_t *keys, struct error *e)
{
	struct host_view view;
	const json_t *key;
	size_t i;
	int r = host_view(m, host, &view, e);

	if (r < 0 || !view.safe)
		return r == -ENOENT ? 0 : r;
	json_array_foreach(keys, i, key) {
		r = put(m->store, host, key, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_vm(struct manager *m, const char *host, const char *vm, const json_t *keys,
		  struct error *e)
{
	int r = host_may_have_vm(m, host, vm, NULL);

	if (r == 1)
		return 0;
	if (r < 0 && r != -ENOENT)
		return error_fail(e, r, "Cannot see whether host %s may have the keys of VM %s: %s", host,
				  vm, error_name(r));
	return put_all(m, host, keys, e);
}

int keys_withdraw_vm(struct manager *m, const json_t *before, const char *vm, struct error *e)
{
	_cleanup_json_ json_t *keys = NULL;
	const json_t *host;
	size_t i;
	int r = store_list(m->store, KEY_KIND, "vm", vm, &keys, e);

	if (r == 0)
		r = drop_regained(m, "vm", vm, e);
	json_array_foreach(before, i, host) {
		if (r < 0)
			break;
		r = put_vm(m, json_string_value(host), vm, keys, e);
	}
	return r;
}

int keys_withdraw_cluster(struct manager *m, const char *host, const char *cluster, struct error *e)
{
	_cleanup_json_ json_t *vms = NULL;
	const json_t *vm;
	size_t i;
	int r = drop_regained(m, "host", host, e);

	if (r == 0 && *cluster)
		r = store_list(m->store, "vm", "cluster", cluster, &vms, e);
	json_array_foreach(vms, i, vm) {
		_cleanup_json_ json_t *keys = NULL;

		r = store_list(m->store, KEY_KIND, "vm", json_text(vm, "id"), &keys, e);
		if (r == 0)
			r = put_vm(m, host, json_text(vm, "id"), keys, e);
		if (r < 0)
			break;
	}
	return r;
}

int keys_withdraw_key(struct manager *m, const json_t *key, const json_t *hosts, const json_t *but,
		      struct error *e)
{
	_cleanup_json_ json_t *keys = json_pack("[O]", key);
	const json_t *host;
	size_t i;
	int r = keys ? 0 : error_oom(e);

	json_array_foreach(hosts, i, host) {
		if (r < 0)
			break;
		if (!json_has(but, json_string_value(host)))
			r = put_all(m, json_string_value(host), keys, e);
	}
	return r;
}

int keys_withdraw_drop(struct store *store, const char *host, struct error *e)
{
	return store_delete_all(store, KIND, "host", host, e);
}

static bool is_refused(const json_t *withdrawal)
{
	return json_is_string(json_object_get(withdrawal, "refused"));
}

static int set_refused(struct store *store, json_t *withdrawal, const char *text, struct error *e)
{
	json_t *value = text ? json_string_printable(text) : json_null();

	if (json_object_set_new(withdrawal, "refused", value) < 0)
		return error_oom(e);
	return store_update(store, KIND, json_text(withdrawal, "id"), withdrawal, e);
}

int keys_withdraw_reported(struct store *store, const char *host, const json_t *disks,
			   struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *disk;
	json_t *withdrawal;
	size_t i, k;
	int r = store_list(store, KIND, "host", host, &list, e);

	json_array_foreach(list, i, withdrawal) {
		bool used = false;

		json_array_foreach(disks, k, disk)
			used = used || disk_uses_key(disk, json_text(withdrawal, "provider"),
						     json_text(withdrawal, "key"));
		if (!used && is_refused(withdrawal))
			r = set_refused(store, withdrawal, NULL, e);
		if (r < 0)
			break;
	}
	return r;
}

/**
 * struct answered - what came of a question to a host
 * @refused: NULL: it does not have the key any more
 */
struct answered {
	const json_t *withdrawal;
	const char *refused;
};

static int settle(struct store *store, void *userdata, struct error *e)
{
	const struct answered *answered = userdata;
	_cleanup_json_ json_t *now = NULL;
	const char *id = json_text(answered->withdrawal, "id");
	int r = store_get(store, KIND, id, &now, e);

	/* Dropped, or wanted anew, meanwhile. */
	if (r == -ENOENT || (r == 0 && strcmp(json_text(now, "order"),
					      json_text(answered->withdrawal, "order")) != 0))
		return 0;
	if (r < 0)
		return r;
	return answered->refused ? set_refused(store, now, answered->refused, e) :
				   store_delete(store, KIND, id, e);
}

/* A key that is not there is what was wanted; a provider that makes its own has none to forget. */
static int ask(struct manager *m, const char *host, const json_t *withdrawal, struct error *e)
{
	struct error failure = ERROR_NULL;
	int r = keys_ask_host(m, host, "key.remove",
			      json_pack("{s:O, s:O}", "provider",
					json_object_get(withdrawal, "provider"), "key",
					json_object_get(withdrawal, "key")),
			      LINK_ASK_MS, NULL, &failure);

	if (r == 0 || r == -ENOENT || r == -EINVAL)
		return 0;
	*e = failure;
	return r;
}

static int ask_recorded(struct manager *m, const char *host, const json_t *withdrawal,
			struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:O}", "provider",
						json_object_get(withdrawal, "provider"));
	char object[6 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	const struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = "key.withdraw",
		.type = RECORD_TYPE_OPERATION, .object = object,
		.key = json_text(withdrawal, "key"), .host = host,
		.vm = json_string_value(json_object_get(withdrawal, "vm")), .data = data,
	};
	int r;

	snprintf(object, sizeof(object), "host:%.36s", host);
	r = record_begin(m->store, &event, id, e);
	if (r < 0)
		return r;
	r = ask(m, host, withdrawal, e);
	(void)record_end(m->store, id, &event, r < 0 ? e : NULL);
	return r;
}

static int withdraw(struct manager *m, const char *host, const json_t *withdrawal, struct error *e)
{
	struct answered answered = { .withdrawal = withdrawal };
	struct error failure = ERROR_NULL;
	int may = may_have(m, host, withdrawal, e), r = 0;

	if (may < 0)
		return may;
	if (may == 0)
		r = ask_recorded(m, host, withdrawal, &failure);
	if (r == -EBUSY)
		answered.refused = failure.text;
	if ((r == 0 || r == -EBUSY) && store_write(m->store, settle, &answered, &failure) < 0)
		r = failure.code;
	if (r < 0)
		*e = failure;
	return r;
}

static bool is_gone(int r)
{
	return r == -ENOTCONN || r == -ECONNRESET || r == -ETIMEDOUT || r == -EAGAIN;
}

void keys_withdraw(struct manager *m, const char *host, bool all)
{
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	_cleanup_json_ json_t *list = NULL;
	struct error e = ERROR_NULL;
	const json_t *withdrawal;
	size_t i;
	int r;

	provider_hosts_withdraw(m, host, all);
	r = store_list(m->store, KIND, "host", host, &list, &e);
	if (r < 0)
		log_warning("Host %s may have keys that it has to forget: %s", host, e.text);
	/* Behind what is given to the host at this time. */
	if (json_array_size(list))
		lock = keywatch_host_lock(m->watch, host);
	json_array_foreach(list, i, withdrawal) {
		if (!all && is_refused(withdrawal))
			continue;
		e = ERROR_NULL;
		r = withdraw(m, host, withdrawal, &e);
		if (r < 0)
			log_warning("Host %s may not have key %s any more, and keeps it until it is asked "
				    "again: %s", host, json_text(withdrawal, "key"), e.text);
		/* The rest would but wait for it as long. */
		if (is_gone(r))
			break;
	}
}

static void withdraw_all(struct manager *m, const char *host, void *userdata)
{
	(void)userdata;
	keys_withdraw(m, host, /* all= */ true);
}

void keys_withdraw_each(struct manager *m, const json_t *hosts)
{
	keys_each_host(m, hosts, withdraw_all, NULL);
}

void keys_withdraw_again(struct manager *m)
{
	_cleanup_json_ json_t *list = NULL, *owing = json_object(), *hosts = json_array();
	struct error e = ERROR_NULL;
	const json_t *withdrawal;
	const char *host;
	json_t *one;
	size_t i;

	if (store_list(m->store, KIND, NULL, NULL, &list, &e) < 0 ||
	    provider_hosts_owing(m->store, owing, &e) < 0)
		log_warning("Hosts are not asked again for keys that they have to forget: %s", e.text);
	json_array_foreach(list, i, withdrawal)
		json_object_set_new(owing, json_text(withdrawal, "host"), json_true());
	json_object_foreach(owing, host, one)
		json_array_append_new(hosts, json_string(host));
	keys_withdraw_each(m, hosts);
}

int keys_withdraw_hosts(struct store *store, const char *provider, const char *key, json_t **ret,
			struct error *e)
{
	_cleanup_json_ json_t *list = NULL, *hosts = json_array();
	const json_t *withdrawal;
	size_t i;
	int r = store_list(store, KIND, "provider", provider, &list, e);

	if (r < 0)
		return r;
	json_array_foreach(list, i, withdrawal)
		if (strcmp(json_text(withdrawal, "key"), key) == 0 &&
		    json_array_append(hosts, json_object_get(withdrawal, "host")) < 0)
			return error_oom(e);
	*ret = TAKE_PTR(hosts);
	return *ret ? 0 : error_oom(e);
}

int keys_withdraw_list(struct store *store, const char *host, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	json_t *withdrawal;
	size_t i;
	int r = store_list(store, KIND, "host", host, &list, e);

	if (r < 0)
		return r;
	json_array_foreach(list, i, withdrawal) {
		json_object_del(withdrawal, "id");
		json_object_del(withdrawal, "host");
		json_object_del(withdrawal, "order");
	}
	*ret = TAKE_PTR(list);
	return 0;
}
