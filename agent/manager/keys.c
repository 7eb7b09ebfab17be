/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What hosts ask for: a new key, a key by its id. */
#include "manager/keys.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/log.h"
#include "crypto/locator.h"
#include "manager/errands.h"
#include "manager/host_requests.h"
#include "manager/hosts.h"
#include "manager/keys_material.h"
#include "manager/keys_push.h"
#include "manager/keys_right.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/refusals.h"

#define EVENT_FAILED	"com.vmware.vc.kms.crypto.KeyGenerateFail"
#define EVENT_HOST_KEY	"com.vmware.vc.crypto.HostKeyUpdatedEvent"

/**
 * struct asking - one request of a host under way
 * @who: "host:UUID", for the record
 * @vm: UUID that it is about, "" while not known
 * @peer: whose @order is taken before it is given a key
 */
struct asking {
	struct manager *m;
	const char *operation;
	const char *host;
	char who[6 + UUID_TEXT_SIZE];
	char object[6 + UUID_TEXT_SIZE];
	char vm[UUID_TEXT_SIZE];
	struct host_view view;
	struct key_failure failure;
	struct host_peer *peer;
};

static void asking_begin(struct asking *a, struct manager *m, const char *operation,
			 struct host_peer *peer)
{
	*a = (struct asking){ .m = m, .operation = operation, .host = peer->host, .peer = peer };
	snprintf(a->who, sizeof(a->who), "host:%.36s", peer->host);
}

static struct record_event asking_event(struct asking *a, const char *type, const char *key,
					const json_t *data)
{
	struct record_event event = { .user = a->who, .operation = a->operation, .type = type,
				      .key = key, .host = a->host, .data = data };

	if (a->vm[0]) {
		snprintf(a->object, sizeof(a->object), "vm:%s", a->vm);
		event.object = a->object;
		event.vm = a->vm;
	} else {
		event.object = a->who;
	}
	return event;
}

/* What a host may not have is told to it and to the record, as often as a user's refusals are. */
static int refuse(struct asking *a, const char *key, const char *hint)
{
	_cleanup_json_ json_t *data = NULL;
	struct record_event event = asking_event(a, /* type= */ NULL, key, /* data= */ NULL);
	struct error e = ERROR_NULL;
	uint64_t unrecorded;

	if (!refusals_count(a->m->refusals, a->who, time_since_boot(), &unrecorded))
		return -EACCES;
	data = json_pack("{s:s, s:s?, s:I}", "text", a->failure.error.text, "vm_named", hint,
			 "unrecorded_before", (json_int_t)unrecorded);
	event.data = data;
	if (record_note(a->m->store, &event, "refused", &e) < 0)
		log_warning("A refusal to host %s cannot be recorded: %s", a->host, e.text);
	return -EACCES;
}

/* Where key servers have no part in a failure there is no reason of theirs. */
static int check_host(struct asking *a, const char *vm)
{
	int r = host_view(a->m, a->host, &a->view, &a->failure.error);

	if (r == 0)
		r = host_may_have_keys(&a->view, &a->failure.error);
	return r == -EACCES ? refuse(a, /* key= */ NULL, vm) : r;
}

static int find_provider(struct asking *a, const json_t *args, struct provider_set **ret)
{
	const char *named = json_string_value(json_object_get(args, "provider"));
	char id[UUID_TEXT_SIZE];
	int r = 0;

	if (named)
		snprintf(id, sizeof(id), "%s", named);
	else
		r = provider_default_of(a->m, a->host, &a->view, id, &a->failure.error);
	if (r < 0) {
		a->failure.why = KEYSTATE_PROVIDER_INVALID;
		return r;
	}
	return key_set(a->m, id, ret, &a->failure);
}

/* The other hosts of the VM get it before it is used: then it runs on any of them. */
static void share(struct asking *a, struct provider_set *set, const char *key,
		  const struct secret *material)
{
	const struct key_push push = { .set = set, .key = key, .material = material };
	_cleanup_json_ json_t *hosts = NULL;
	struct error e = ERROR_NULL;

	if (hosts_of_vm(a->m, a->vm, &hosts, &e) < 0)
		log_warning("Key %s/%s is given to host %s alone: %s", set->name, key, a->view.name,
			    e.text);
	else
		key_push_all(a->m, hosts, a->host, &push);
}

/* What the host may have can have changed while the key server was asked. */
static int seal(struct asking *a, const struct provider_set *set, const char *key,
		const struct secret *material, json_t **ret)
{
	struct key_right right;
	uint8_t uuid[UUID_SIZE];
	int r;

	a->peer->order = keywatch_host_lock(a->m->watch, a->host);
	r = key_right(a->m, a->host, set->id, key, &right, &a->failure.error);
	if (r < 0)
		return r;
	if (uuid_parse_text(set->id, uuid) < 0)
		return error_fail(&a->failure.error, EBADMSG, "\"%s\" is no UUID of a provider", set->id);
	return link_seal_kek(a->m, a->host, uuid, set->name, key, material, ret, &a->failure.error);
}

static int make(struct asking *a, struct provider_set *set, const char *vm_name, const char *disk,
		char *ret_key, json_t **ret)
{
	const struct key_owner owner = { .vm = a->vm, .name = vm_name, .disk = disk,
					 .made_on = a->host };
	_cleanup_secret_ struct secret material = SECRET_NULL;
	int r = key_make(a->m, set, &owner, ret_key, &material, &a->failure);

	if (r < 0)
		return r;
	share(a, set, ret_key, &material);
	return seal(a, set, ret_key, &material, ret);
}

/* Between intent and outcome in the record. */
static int make_recorded(struct asking *a, struct provider_set *set, const json_t *args,
			 json_t **ret)
{
	const char *disk = json_text(args, "disk");
	_cleanup_json_ json_t *data = json_pack("{s:s, s:s, s:s, s:o*}", "provider", set->id,
						"provider_name", set->name, "disk", disk, "order",
						errand_json(a->m->errands, a->host, a->vm));
	struct record_event event = asking_event(a, RECORD_TYPE_OPERATION, /* key= */ NULL, data);
	char id[UUID_TEXT_SIZE], key[KEY_ID_MAX + 1] = "";
	int r = record_begin(a->m->store, &event, id, &a->failure.error);

	if (r < 0)
		return r;
	r = make(a, set, json_text(args, "vm"), disk, key, ret);
	event.key = key[0] ? key : NULL;
	event.failed_type = EVENT_FAILED;
	(void)record_end(a->m->store, id, &event, r < 0 ? &a->failure.error : NULL);
	return r;
}

int keys_serve_new(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		   struct channel_failure *why)
{
	_cleanup_set_ struct provider_set *set = NULL;
	const char *vm = json_text(args, "vm");
	struct asking a;
	int r;

	asking_begin(&a, m, "key.new", peer);
	r = check_host(&a, vm);
	if (r == 0) {
		r = host_vm_named(m, peer->host, vm, a.vm, &a.failure.error);
		if (r == -EACCES)
			(void)refuse(&a, /* key= */ NULL, vm);
	}
	if (r == 0)
		r = find_provider(&a, args, &set);
	if (r == 0)
		r = make_recorded(&a, set, args, ret);
	if (r < 0)
		key_failure_channel(&a.failure, why);
	return r;
}

/* A key that is not on the list: the manager does not know whose it is. */
static int unknown(struct asking *a, const char *provider, const char *key)
{
	_cleanup_set_ struct provider_set *set = NULL;
	int r = key_set(a->m, provider, &set, &a->failure);

	if (r < 0 && a->failure.why != KEYSTATE_PROVIDER_INVALID)
		return r;
	a->failure.why = KEYSTATE_MISSING_IN_CACHE;
	return error_set(&a->failure.error, ENOKEY, EXIT_NO_KEY, 0,
			 "Key %.128s of provider %.64s is not on the manager's list (%s), so that it knows "
			 "no VM that may have it: register it (key register)", key, provider,
			 keystate_name(a->failure.why));
}

static int check_entitled(struct asking *a, const char *provider, const char *key, const char *hint)
{
	struct key_right right;
	int r = key_right(a->m, a->host, provider, key, &right, &a->failure.error);

	a->view = right.view;
	memcpy(a->vm, right.vm, sizeof(a->vm));
	if (r == -ENOKEY)
		return unknown(a, provider, key);
	return r == -EACCES ? refuse(a, key, hint) : r;
}

static int fetch_and_seal(struct asking *a, const char *provider, const char *key, json_t **ret)
{
	_cleanup_secret_ struct secret material = SECRET_NULL;
	_cleanup_set_ struct provider_set *set = NULL;
	int r = key_set(a->m, provider, &set, &a->failure);

	if (r == 0)
		r = key_fetch(set, key, &material, &a->failure);
	return r < 0 ? r : seal(a, set, key, &material, ret);
}

static int get_recorded(struct asking *a, const char *provider, const char *key, json_t **ret)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "provider", provider);
	struct record_event event = asking_event(a, RECORD_TYPE_OPERATION, key, data);
	char id[UUID_TEXT_SIZE];
	int r = record_begin(a->m->store, &event, id, &a->failure.error);

	if (r < 0)
		return r;
	r = fetch_and_seal(a, provider, key, ret);
	event.failed_type = key_failure_event(&a->failure);
	(void)record_end(a->m->store, id, &event, r < 0 ? &a->failure.error : NULL);
	if (r < 0)
		keywatch_want(a->m->watch, a->host, provider, key);
	return r;
}

int keys_serve_get(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		   struct channel_failure *why)
{
	const char *provider = json_text(args, "provider"), *key = json_text(args, "key");
	const char *hint = json_string_value(json_object_get(args, "vm"));
	struct asking a;
	int r;

	asking_begin(&a, m, "key.get", peer);
	r = check_entitled(&a, provider, key, hint);
	if (r == 0)
		r = get_recorded(&a, provider, key, ret);
	if (r < 0)
		key_failure_channel(&a.failure, why);
	return r;
}

/**
 * struct host_key - one that is being made
 */
struct host_key {
	struct manager *m;
	const char *host;
	struct provider_set *set;
	struct host_view view;
	char key[KEY_ID_MAX + 1];
};

static int make_host_key(struct host_key *k, const char *user, struct error *e)
{
	const struct key_owner owner = { .host = k->host, .name = k->view.name };
	char object[6 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	struct key_failure failure = { .why = KEYSTATE_AVAILABLE };
	struct record_event event = { .user = user, .operation = "host.key", .type = EVENT_HOST_KEY,
				      .failed_type = EVENT_FAILED, .object = object, .host = k->host };
	int r;

	snprintf(object, sizeof(object), "host:%.36s", k->host);
	r = record_begin(k->m->store, &event, id, e);
	if (r < 0)
		return r;
	r = key_make(k->m, k->set, &owner, k->key, /* ret= */ NULL, &failure);
	event.key = k->key[0] ? k->key : NULL;
	(void)record_end(k->m->store, id, &event, r < 0 ? &failure.error : NULL);
	if (r < 0 && e)
		*e = failure.error;
	return r;
}

int keys_make_host_key(struct manager *m, const char *host, const char *user, json_t **ret,
		       struct error *e)
{
	struct key_failure failure = { .why = KEYSTATE_AVAILABLE };
	_cleanup_set_ struct provider_set *set = NULL;
	struct host_key k = { .m = m, .host = host };
	char provider[UUID_TEXT_SIZE];
	int r = host_view(m, host, &k.view, e);

	if (r == 0)
		r = provider_default_of(m, host, &k.view, provider, e);
	if (r < 0)
		return r;
	r = key_set(m, provider, &set, &failure);
	if (failure.why == KEYSTATE_NATIVE) {
		*ret = json_null();
		return 0;
	}
	if (r < 0) {
		if (e)
			*e = failure.error;
		return r;
	}
	k.set = set;
	r = make_host_key(&k, user, e);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s}", "provider", set->id, "key", k.key);
	return *ret ? 0 : error_oom(e);
}
