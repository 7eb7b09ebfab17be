/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/keys_withdraw.h"

#include <errno.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/hosts.h"
#include "manager/keys_push.h"
#include "manager/keys_use.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/store.h"

struct withdrawal {
	const char *vm;
	const json_t *keys;
};

/* A key that is not there is what was wanted. */
static int ask(struct manager *m, const char *host, const json_t *key, struct error *e)
{
	struct error failure = ERROR_NULL;
	int r = keys_ask_host(m, host, "key.remove",
			      json_pack("{s:O, s:O}", "provider", json_object_get(key, "provider"),
					"key", json_object_get(key, "key")),
			      LINK_ASK_MS, NULL, &failure);

	if (r == 0 || r == -ENOENT)
		return 0;
	*e = failure;
	return r;
}

static int withdraw(struct manager *m, const char *host, const char *vm, const json_t *key,
		    struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:O}", "provider", json_object_get(key, "provider"));
	char object[6 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	const struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = "key.withdraw",
		.type = "com.vmware.vc.crypto.Operation", .object = object,
		.key = json_text(key, "key"), .host = host, .vm = vm, .data = data,
	};
	int r;

	snprintf(object, sizeof(object), "host:%.36s", host);
	r = record_begin(m->store, &event, id, e);
	if (r < 0)
		return r;
	r = ask(m, host, key, e);
	(void)record_end(m->store, id, &event, r < 0 ? e : NULL);
	return r;
}

static void withdraw_from(struct manager *m, const char *host, void *userdata)
{
	/* Behind what is given to the host at this time. */
	_cleanup_unlock_ pthread_mutex_t *lock = keywatch_host_lock(m->watch, host);
	const struct withdrawal *w = userdata;
	const json_t *key;
	struct error e;
	size_t i;

	if (host_may_have_vm(m, host, w->vm, NULL) != 0)
		return;
	json_array_foreach(w->keys, i, key) {
		e = ERROR_NULL;
		if (withdraw(m, host, w->vm, key, &e) < 0)
			log_warning("Host %s may not have key %s any more, and keeps it: %s", host,
				    json_text(key, "key"), e.text);
	}
}

void keys_withdraw(struct manager *m, const json_t *hosts, const char *vm)
{
	_cleanup_json_ json_t *keys = NULL;
	struct withdrawal w = { .vm = vm };
	struct error e = ERROR_NULL;

	if (store_list(m->store, KEY_KIND, "vm", vm, &keys, &e) < 0) {
		log_warning("Hosts keep the keys of VM %s: %s", vm, e.text);
		return;
	}
	w.keys = keys;
	keys_each_host(m, hosts, withdraw_from, &w);
}

void keys_withdraw_cluster(struct manager *m, const char *host, const char *cluster)
{
	_cleanup_json_ json_t *vms = NULL, *hosts = json_pack("[s]", host);
	struct error e = ERROR_NULL;
	const json_t *vm;
	size_t i;

	if (store_list(m->store, "vm", "cluster", cluster, &vms, &e) < 0)
		log_warning("Host %s keeps the keys of cluster %s: %s", host, cluster, e.text);
	json_array_foreach(vms, i, vm)
		keys_withdraw(m, hosts, json_text(vm, "id"));
}
