/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a host is given when it comes, and when what it may have changes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/hosts.h"
#include "manager/keys.h"
#include "manager/keys_material.h"
#include "manager/keys_push.h"
#include "manager/keys_right.h"
#include "manager/keys_use.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/provider_hosts.h"
#include "manager/record.h"
#include "manager/store.h"

#define BATCH		32	/* keys of one message */
#define EVENT_HOST	"com.vmware.vc.host.Crypto.SendKeyError.HostError"

/**
 * struct provision - one host
 * @first: the first failure
 * @set: the provider of the keys that are under way; NULL: none
 * @failed: UUIDs of providers that cannot be asked, and are not again
 * @missing: keys that could not be had
 * @why: the first of them
 * @keys: sealed, to be sent
 */
struct provision {
	struct manager *m;
	const char *host;
	struct host_view view;
	struct error first;
	struct provider_set *set;
	json_t *failed;
	struct key_failure why;
	size_t missing;
	json_t *keys;
};

static void note_failure(struct provision *p, const struct error *e)
{
	if (!error_is_set(&p->first))
		p->first = *e;
}

/* All standard providers: a host may use any, for VMs decide who gets which key. */
static json_t *list_providers(struct provision *p, const char *chosen, struct error *e)
{
	_cleanup_json_ json_t *documents = NULL, *list = json_array();
	json_t *document;
	size_t i;

	if (store_list(p->m->store, PROVIDER_KIND, "type", PROVIDER_STANDARD, &documents, e) < 0)
		return NULL;
	json_array_foreach(documents, i, document) {
		const char *id = json_text(document, "id");

		if (json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "uuid", id, "name",
							  json_text(document, "name"), "type",
							  PROVIDER_STANDARD, "default",
							  strcmp(id, chosen) == 0)) < 0) {
			(void)error_oom(e);
			return NULL;
		}
	}
	return TAKE_PTR(list);
}

static void set_providers(struct provision *p)
{
	_cleanup_json_ json_t *list = NULL;
	char chosen[UUID_TEXT_SIZE] = "";
	struct error e = ERROR_NULL;

	(void)provider_default_of(p->m, p->host, &p->view, chosen, NULL);
	list = list_providers(p, chosen, &e);
	if (!list ||
	    keys_ask_host(p->m, p->host, "provider.set", json_pack("{s:O}", "providers", list),
			  LINK_ASK_MS, NULL, &e) < 0)
		note_failure(p, &e);
}

static int check_refused(struct provision *p, const json_t *refused, struct error *e)
{
	if (json_array_size(refused) == 0)
		return 0;
	return error_fail(e, EREMOTEIO, "Host %s does not take %zu of %zu keys, the first is %.128s: "
			  "%.200s", p->view.name, json_array_size(refused), json_array_size(p->keys),
			  json_text(json_array_get(refused, 0), "key"),
			  json_text(json_array_get(refused, 0), "text"));
}

/* What the host may have can have changed while key servers were asked. */
static void drop_lost(struct provision *p)
{
	size_t i = json_array_size(p->keys);

	while (i--) {
		const json_t *key = json_array_get(p->keys, i);
		struct error e = ERROR_NULL;
		struct key_right right;

		if (key_right(p->m, p->host, json_text(key, "provider"), json_text(key, "key"), &right,
			      &e) == 0)
			continue;
		log_info("Host %s does not get key %s: %s", p->view.name, json_text(key, "key"), e.text);
		json_array_remove(p->keys, i);
	}
}

/**
 * struct sending - keys that were sent to a host
 * @ids: of their intents
 * @refused: as the host answered
 * @failure: of all of them
 */
struct sending {
	struct provision *p;
	const struct record_event *event;
	json_t *ids;
	const json_t *refused;
	struct error failure;
};

/* Why the host does not take this key; an error that is not set: it does. */
static struct error outcome_of(const struct sending *s, const json_t *key)
{
	struct error e = s->failure;
	const json_t *one;
	size_t i;

	json_array_foreach(s->refused, i, one)
		if (json_equal(json_object_get(one, "provider"), json_object_get(key, "provider")) &&
		    json_equal(json_object_get(one, "key"), json_object_get(key, "key")))
			error_fail(&e, EREMOTEIO, "Host %s does not take it: %.400s", s->p->view.name,
				   json_text(one, "text"));
	return e;
}

static int end_each(struct store *store, void *userdata, struct error *e)
{
	const struct sending *s = userdata;
	const json_t *id;
	size_t i;
	int r = 0;

	(void)e;
	json_array_foreach(s->ids, i, id) {
		const struct error failure = outcome_of(s, json_array_get(s->p->keys, i));

		if (r == 0)
			r = record_end(store, json_string_value(id), s->event, &failure);
	}
	return r;
}

static int send_recorded(struct provision *p, const struct record_event *event, struct error *e)
{
	struct sending s = { .p = p, .event = event };
	_cleanup_json_ json_t *answer = NULL;
	int r = record_begin_keys(p->m->store, event, p->keys, &s.ids, e);

	if (r < 0)
		return r;
	r = keys_ask_host(p->m, p->host, "key.push", json_pack("{s:O}", "keys", p->keys),
			  LINK_ASK_MS, &answer, &s.failure);
	s.refused = json_object_get(answer, "refused");
	/* What fails to be recorded is in the journal, and the intents stay open. */
	(void)store_write(p->m->store, end_each, &s, NULL);
	json_decref(s.ids);
	if (r < 0)
		*e = s.failure;
	return r < 0 ? r : check_refused(p, s.refused, e);
}

/* What is under way goes. */
static void flush(struct provision *p)
{
	_cleanup_unlock_ pthread_mutex_t *lock = keywatch_host_lock(p->m->watch, p->host);
	char object[6 + UUID_TEXT_SIZE];
	const struct record_event event = { .user = RECORD_USER_MANAGER, .operation = "key.push",
					    .type = RECORD_TYPE_OPERATION, .failed_type = EVENT_HOST,
					    .object = object, .host = p->host };
	struct error e = ERROR_NULL;

	snprintf(object, sizeof(object), "host:%.36s", p->host);
	drop_lost(p);
	if (json_array_size(p->keys) > 0 && send_recorded(p, &event, &e) < 0)
		note_failure(p, &e);
	json_array_clear(p->keys);
}

/* One event for all keys that cannot be had. */
static void note_missing(struct provision *p)
{
	_cleanup_json_ json_t *data = json_pack("{s:I, s:s}", "missing", (json_int_t)p->missing,
						"reason", keystate_name(p->why.why));
	char object[6 + UUID_TEXT_SIZE];
	struct record_event event = { .user = RECORD_USER_MANAGER, .operation = "key.push",
				      .type = key_failure_event(&p->why), .object = object,
				      .host = p->host, .data = data };
	struct error e = ERROR_NULL;

	snprintf(object, sizeof(object), "host:%.36s", p->host);
	if (p->missing && record_note(p->m->store, &event, p->why.error.text, &e) < 0)
		log_warning("Cannot record that host %s misses keys: %s", p->view.name, e.text);
}

/* A server that is away would cost its timeout for each key. */
static bool is_down(const struct key_failure *why)
{
	return why->why == KEYSTATE_PROVIDER_UNREACHABLE || why->why == KEYSTATE_PROVIDER_INVALID;
}

static void miss(struct provision *p, const char *provider, const char *key,
		 const struct key_failure *why)
{
	if (p->missing++ == 0)
		p->why = *why;
	note_failure(p, &why->error);
	keywatch_want(p->m->watch, p->host, provider, key);
	if (is_down(why))
		json_object_set_new(p->failed, provider, json_true());
}

static int fetch(struct provision *p, const char *provider, const char *key, struct secret *ret,
		 struct key_failure *why)
{
	int r = 0;

	if (json_object_get(p->failed, provider)) {
		why->why = KEYSTATE_PROVIDER_UNREACHABLE;
		return error_set(&why->error, EHOSTUNREACH, EXIT_NO_KEY, 0,
				 "Key provider %s was not reached just now", provider);
	}
	if (p->set && strcmp(p->set->id, provider) != 0)
		providers_release(&p->set);
	if (!p->set)
		r = key_set(p->m, provider, &p->set, why);
	return r < 0 ? r : key_fetch(p->set, key, ret, why);
}

static void add_key(struct provision *p, const json_t *document)
{
	const char *provider = json_text(document, "provider"), *key = json_text(document, "key");
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	_cleanup_secret_ struct secret material = SECRET_NULL;
	json_t *sealed = NULL;
	uint8_t uuid[UUID_SIZE];
	int r;

	if (uuid_parse_text(provider, uuid) < 0)
		return;
	if (fetch(p, provider, key, &material, &why) < 0) {
		miss(p, provider, key, &why);
		return;
	}
	r = link_seal_kek(p->m, p->host, uuid, p->set->name, key, &material, &sealed, &why.error);
	if (r < 0) {
		note_failure(p, &why.error);
		return;
	}
	if (json_array_append_new(p->keys, sealed) < 0)
		(void)error_oom(&p->first);
	if (json_array_size(p->keys) == BATCH)
		flush(p);
}

static void add_keys(struct provision *p, const char *field, const char *value)
{
	_cleanup_json_ json_t *documents = NULL;
	struct error e = ERROR_NULL;
	json_t *document;
	size_t i;

	if (store_list(p->m->store, KEY_KIND, field, value, &documents, &e) < 0) {
		note_failure(p, &e);
		return;
	}
	json_array_foreach(documents, i, document)
		add_key(p, document);
}

static void add_vms(struct provision *p, const char *field, const char *value)
{
	_cleanup_json_ json_t *vms = NULL;
	struct error e = ERROR_NULL;
	json_t *vm;
	size_t i;

	if (store_list(p->m->store, "vm", field, value, &vms, &e) < 0) {
		note_failure(p, &e);
		return;
	}
	json_array_foreach(vms, i, vm)
		add_keys(p, "vm", json_text(vm, "id"));
}

static void push_keys(struct provision *p)
{
	p->keys = json_array();
	p->failed = json_object();
	if (p->keys && p->failed) {
		if (p->view.cluster[0])
			add_vms(p, "cluster", p->view.cluster);
		add_vms(p, "host", p->host);
		add_keys(p, "host", p->host);
		flush(p);
		note_missing(p);
	}
	providers_release(&p->set);
	json_decref(p->failed);
	json_decref(p->keys);
}

static int give_providers(struct provision *p, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = keywatch_host_lock(p->m->watch, p->host);
	struct error failure = ERROR_NULL;
	int r = host_view(p->m, p->host, &p->view, e);

	if (r < 0)
		return r;
	set_providers(p);
	if (provider_hosts_settle(p->m, p->host, &p->view, &failure) < 0)
		note_failure(p, &failure);
	return 0;
}

int keys_provision(struct manager *m, const char *host, struct error *e)
{
	struct provision p = { .m = m, .host = host };
	int r = give_providers(&p, e);

	if (r < 0)
		return r;
	/* Key servers are asked without the lock: others may have something for the host. */
	if (p.view.safe)
		push_keys(&p);
	if (error_is_set(&p.first) && e)
		*e = p.first;
	return p.first.code;
}

static void provision_one(struct manager *m, const char *host, void *userdata)
{
	struct error e = ERROR_NULL;

	struct provision p = { .m = m, .host = host };
	int r = give_providers(&p, &e);

	(void)userdata;
	if (r < 0 || error_is_set(&p.first))
		log_warning("Host %s does not know its providers as they are: %s", host,
			    r < 0 ? e.text : p.first.text);
}

void keys_provision_all(struct manager *m, const char *cluster)
{
	_cleanup_json_ json_t *documents = NULL, *hosts = json_array();
	struct error e = ERROR_NULL;
	json_t *document;
	size_t i;
	int r = store_list(m->store, "host", cluster ? "cluster" : NULL, cluster, &documents, &e);

	if (r < 0) {
		log_warning("Hosts are not told what has changed: %s", e.text);
		return;
	}
	json_array_foreach(documents, i, document)
		json_array_append(hosts, json_object_get(document, "id"));
	keys_each_host(m, hosts, provision_one, NULL);
}

/* Those of a VM's hosts that can take a key now. */
static int ready_hosts(struct manager *m, const char *vm, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *all = NULL, *ready = json_array();
	const json_t *host;
	size_t i;
	int r = hosts_of_vm(m, vm, &all, e);

	if (r < 0)
		return r;
	json_array_foreach(all, i, host) {
		const char *id = json_string_value(host);
		struct host_view view;

		if (link_connected(m, id) && host_view(m, id, &view, NULL) == 0 && view.safe &&
		    json_array_append(ready, (json_t *)host) < 0)
			return error_oom(e);
	}
	*ret = TAKE_PTR(ready);
	return *ret ? 0 : error_oom(e);
}

static void want_all(struct manager *m, const json_t *hosts, const char *provider, const char *key)
{
	const json_t *host;
	size_t i;

	json_array_foreach(hosts, i, host)
		keywatch_want(m->watch, json_string_value(host), provider, key);
}

/* @failed: UUIDs of providers that were not reached, as members. */
static void share_key(struct manager *m, const json_t *document, const json_t *hosts, json_t *failed)
{
	const char *provider = json_text(document, "provider"), *key = json_text(document, "key");
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	_cleanup_secret_ struct secret material = SECRET_NULL;
	_cleanup_set_ struct provider_set *set = NULL;
	struct key_push push = { .key = key, .material = &material };
	int r = json_has(failed, provider) ? -EHOSTUNREACH : key_set(m, provider, &set, &why);

	if (r == 0)
		r = key_fetch(set, key, &material, &why);
	if (r < 0) {
		log_warning("Key %s of provider %s is not given to the hosts of its VM yet: %s", key, provider,
			    error_is_set(&why.error) ? why.error.text : "the provider was not reached just now");
		want_all(m, hosts, provider, key);
		if (is_down(&why))
			json_object_set_new(failed, provider, json_true());
		return;
	}
	push.set = set;
	key_push_all(m, hosts, /* but= */ NULL, &push);
}

void keys_share_vm(struct manager *m, const char *vm)
{
	_cleanup_json_ json_t *documents = NULL, *hosts = NULL, *failed = json_object();
	struct error e = ERROR_NULL;
	const json_t *document;
	size_t i;
	int r = ready_hosts(m, vm, &hosts, &e);

	if (r == 0 && json_array_size(hosts))
		r = store_list(m->store, KEY_KIND, "vm", vm, &documents, &e);
	if (r < 0)
		log_warning("The hosts of VM %s do not get its keys yet: %s", vm, e.text);
	provider_hosts_give(m, hosts);
	json_array_foreach(documents, i, document)
		share_key(m, document, hosts, failed);
}
