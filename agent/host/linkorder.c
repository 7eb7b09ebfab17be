/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the manager asks of this host. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "crypto/gcm.h"
#include "crypto/locator.h"
#include "host/linkstate.h"
#include "host/retry.h"

#define USER	"manager"	/* who it is, for events */
#define FLUSH_MS	5000	/* for the last answer to go out */

/**
 * struct order_context - one order under way
 * @connection: that it came over
 */
struct order_context {
	struct link *link;
	struct host *host;
	uint64_t connection;
	const char *op;
	json_t *args;
};

/* Between intent and outcome. */
static int begin(const struct order_context *o, const char *object, const char *key,
		 struct event_record *ret, struct error *e)
{
	return events_begin(o->host->events,
			    &(struct event){ .user = USER, .operation = o->op, .object = object,
					     .key = key },
			    ret, e);
}

static int end(const struct order_context *o, struct event_record *record, int r,
	       const struct error *e)
{
	events_end(o->host->events, record, r < 0 ? e : NULL);
	return r;
}

static bool has_no_keys(enum host_mode mode)
{
	return mode == MODE_INCAPABLE || mode == MODE_PENDING_INCAPABLE;
}

/* The manager keeps its key, and gives it again to a host that may have it. */
static int withdraw_one(const struct order_context *o, const struct provider_info *info,
			struct error *e)
{
	const struct order_context removal = { .host = o->host, .op = "provider.remove" };
	struct event_record record = EVENT_RECORD_NULL;
	int r = begin(&removal, info->name, NULL, &record, e);

	if (r == 0)
		r = end(o, &record, provider_remove_managed(o->host->providers, info->id,
							    /* kept= */ true, e), e);
	return r;
}

/* All native providers of the manager's but those of attached disks; the first failure. */
static int withdraw_native(const struct order_context *o, struct error *e)
{
	_cleanup_free_ struct provider_info *list = NULL;
	struct error first = ERROR_NULL, why;
	size_t n, i;
	int r = provider_list(o->host->providers, &list, &n, e);

	for (i = 0; r == 0 && i < n; i++) {
		why = ERROR_NULL;
		if (!list[i].managed || withdraw_one(o, &list[i], &why) == 0)
			continue;
		log_warning("The host has no right to provider \"%s\" any more, and keeps it: %s",
			    list[i].name, why.text);
		if (why.code != -EBUSY && !error_is_set(&first))
			first = why;
	}
	if (error_is_set(&first))
		*e = first;
	return r < 0 ? r : first.code;
}

static int do_mode(const struct order_context *o, enum host_mode mode, struct error *e)
{
	int r;

	r = link_set_mode(o->link, mode, e);
	if (r == 0 && has_no_keys(mode))
		provider_keys_forget(o->host->providers);
	return r;
}

static int order_mode(const struct order_context *o, json_t *result, struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	const char *name = json_text(o->args, "mode");
	struct link_view view;
	enum host_mode mode;
	int r;

	(void)result;
	if (host_mode_from_name(name, &mode) < 0)
		return error_fail(e, EBADMSG, "There is no encryption mode \"%s\"", name);
	link_look(o->link, &view);
	/* It is said again with each connection. */
	if (!view.joined || view.mode != mode) {
		r = begin(o, name, NULL, &record, e);
		if (r == 0)
			r = end(o, &record, do_mode(o, mode, e), e);
		if (r < 0)
			return r;
		log_notice("The encryption mode of this host is now %s", name);
	}
	/* Each time: what failed, or was in use, the last time may go now. */
	return has_no_keys(mode) ? withdraw_native(o, e) : 0;
}

static int order_providers(const struct order_context *o, json_t *result, struct error *e)
{
	const json_t *array = json_object_get(o->args, "providers"), *item;
	_cleanup_free_ struct provider_standard *list = NULL;
	size_t n = json_array_size(array), i;
	const char *name;
	int r = 0;

	(void)result;
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return error_oom(e);
	json_array_foreach(array, i, item) {
		name = json_text(item, "name");
		if (strlen(name) > PROVIDER_NAME_MAX)
			return error_fail(e, EBADMSG, "The name of a provider is too long");
		r = json_get_uuid(item, "provider", "uuid", list[i].id, e);
		if (r < 0)
			return r;
		memcpy(list[i].name, name, strlen(name) + 1);
		list[i].is_default = json_is_true(json_object_get(item, "default"));
	}
	return provider_set_standard(o->host->providers, list, n, e);
}

static int put_recorded(const struct order_context *o, const uint8_t provider[UUID_SIZE],
			const char *name, const char *key_id, const struct secret *kek,
			struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	char locator[LOCATOR_TEXT_SIZE];
	int r;

	/* They come again with each connection: what is here already is no news. */
	if (provider_key_known(o->host->providers, provider, key_id))
		return provider_key_put(o->host->providers, provider, key_id, kek, e);
	snprintf(locator, sizeof(locator), "%s/%s", name, key_id);
	r = begin(o, name, locator, &record, e);
	if (r == 0)
		r = end(o, &record, provider_key_put(o->host->providers, provider, key_id, kek, e),
			e);
	return r;
}

static int put_key(const struct order_context *o, const json_t *key, struct error *e)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	const char *key_id, *name = json_text(key, "provider_name");
	uint8_t provider[UUID_SIZE];
	int r;

	if (!provider_name_valid(name))
		return error_fail(e, EBADMSG, "its provider's name is none");
	r = link_open_kek(o->link, o->connection, key, provider, &key_id, &kek, e);
	return r < 0 ? r : put_recorded(o, provider, name, key_id, &kek, e);
}

static int order_push(const struct order_context *o, json_t *result, struct error *e)
{
	const json_t *keys = json_object_get(o->args, "keys"), *key;
	json_t *refused = json_array();
	struct error why;
	bool any = false;
	size_t i;

	if (json_object_set_new(result, "refused", refused) < 0)
		return error_oom(e);
	json_array_foreach(keys, i, key) {
		why = ERROR_NULL;
		if (link_check_safe(o->link, &why) == 0 && put_key(o, key, &why) == 0) {
			any = true;
			continue;
		}
		log_warning("A key that the manager gave is refused: %s", why.text);
		json_array_append_new(refused,
			json_pack("{s:O, s:O, s:o}", "provider", json_object_get(key, "provider"),
				  "key", json_object_get(key, "key"), "text",
				  json_string_printable(why.text)));
	}
	if (any)
		retry_all_soon(o->host);
	return 0;
}

static int order_remove_key(const struct order_context *o, json_t *result, struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	const char *key_id = json_text(o->args, "key"), *uuid = json_text(o->args, "provider");
	uint8_t provider[UUID_SIZE];
	int r;

	(void)result;
	r = json_get_uuid(o->args, "request", "provider", provider, e);
	if (r == 0)
		r = begin(o, key_id, NULL, &record, e);
	if (r == 0)
		r = end(o, &record, provider_key_remove(o->host->providers, provider, key_id, e), e);
	if (r == 0)
		log_notice("The manager has taken key %s of provider %s away", key_id, uuid);
	return r;
}

static int probe(const struct order_context *o, const struct secret *kek,
		 const struct secret *nonce, json_t *result, struct error *e)
{
	uint8_t iv[GCM_IV_SIZE], tag[GCM_TAG_SIZE], ciphertext[CHANNEL_NONCE_SIZE];
	char aad[sizeof(CHANNEL_PROBE_LABEL) + UUID_TEXT_SIZE];
	struct link_view view;
	int n, r;

	link_look(o->link, &view);
	n = snprintf(aad, sizeof(aad), CHANNEL_PROBE_LABEL "|%s", view.host);
	r = getrandom_full(iv, sizeof(iv));
	if (r == 0)
		r = gcm_seal(kek, iv, aad, (size_t)n, nonce, ciphertext, tag);
	if (r < 0)
		return error_fail(e, r, "Cannot wrap with the key: %s", strerror(-r));
	if (json_set_base64(result, "iv", iv, sizeof(iv)) < 0 ||
	    json_set_base64(result, "ciphertext", ciphertext, sizeof(ciphertext)) < 0 ||
	    json_set_base64(result, "tag", tag, sizeof(tag)) < 0)
		return error_oom(e);
	return 0;
}

static int order_probe(const struct order_context *o, json_t *result, struct error *e)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, nonce = SECRET_NULL;
	uint8_t provider[UUID_SIZE];
	const char *key_id;
	int r;

	r = link_check_safe(o->link, e);
	if (r == 0)
		r = link_open_kek(o->link, o->connection, json_object_get(o->args, "key"), provider,
				  &key_id, &kek, e);
	if (r == 0 && secret_new(CHANNEL_NONCE_SIZE, &nonce) < 0)
		r = error_oom(e);
	if (r == 0)
		r = json_get_base64(o->args, "request", "nonce", nonce.data, nonce.size, e);
	return r < 0 ? r : probe(o, &kek, &nonce, result, e);
}

static int open_kdk(const struct order_context *o, struct provider_managed *ret,
		    struct secret *ret_kdk, struct error *e)
{
	int r;

	*ret = (struct provider_managed){
		.name = json_text(o->args, "name"),
		.require_tpm = json_is_true(json_object_get(o->args, "require_tpm")),
		.is_default = json_is_true(json_object_get(o->args, "default")),
	};
	r = link_check_safe(o->link, e);
	if (r == 0)
		r = json_get_uuid(o->args, "request", "provider", ret->id, e);
	if (r == 0)
		r = json_get_time(o->args, "request", "created", &ret->created, e);
	return r < 0 ? r : link_open_kdk(o->link, o->connection, o->args, ret_kdk, e);
}

static int tell_sealing(const struct order_context *o, const char *name, json_t *result,
			struct error *e)
{
	struct provider_info info;
	int r = provider_show(o->host->providers, name, &info, e);

	if (r < 0)
		return r;
	return json_object_set_new(result, "sealed", json_boolean(info.sealing == SEALING_TPM)) < 0 ?
	       error_oom(e) : 0;
}

static int order_kdk(const struct order_context *o, json_t *result, struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	struct provider_managed managed;
	int r;

	r = open_kdk(o, &managed, &kdk, e);
	if (r < 0)
		return r;
	/* It comes again with each connection: what is here already is no news. */
	if (provider_managed_known(o->host->providers, &managed, &kdk))
		return tell_sealing(o, managed.name, result, e);
	r = begin(o, managed.name, NULL, &record, e);
	if (r == 0)
		r = end(o, &record, provider_put_managed(o->host->providers, &managed, &kdk, e), e);
	if (r < 0)
		return r;
	retry_all_soon(o->host);
	return tell_sealing(o, managed.name, result, e);
}

static int order_remove_provider(const struct order_context *o, json_t *result, struct error *e)
{
	bool kept = json_is_true(json_object_get(o->args, "kept"));
	struct event_record record = EVENT_RECORD_NULL;
	uint8_t provider[UUID_SIZE];
	int r;

	(void)result;
	r = json_get_uuid(o->args, "request", "provider", provider, e);
	if (r == 0)
		r = begin(o, json_text(o->args, "provider"), NULL, &record, e);
	if (r == 0)
		r = end(o, &record, provider_remove_managed(o->host->providers, provider, kept, e), e);
	return r;
}

static const struct {
	const char *op;
	int (*run)(const struct order_context *o, json_t *result, struct error *e);
} orders[] = {
	{ "mode.set", order_mode },
	{ "provider.set", order_providers },
	{ "key.push", order_push },
	{ "key.remove", order_remove_key },
	{ "key.probe", order_probe },
	{ "kdk.push", order_kdk },
	{ "provider.remove", order_remove_provider },
};

static int dispatch(const struct order_context *o, json_t *result, struct error *e)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(orders); i++)
		if (!strcmp(orders[i].op, o->op))
			return orders[i].run(o, result, e);
	return error_fail(e, EOPNOTSUPP, "This host knows no operation \"%.64s\"", o->op);
}

/*
 * Whether it still is an order of this host's manager.
 * @ret_host: this host's UUID there; NULL: not wanted
 */
static bool stands(const struct order_context *o, char *ret_host)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&o->link->lock);

	if (!link_stands(o->link, o->connection))
		return false;
	if (ret_host)
		memcpy(ret_host, o->link->identity.host, UUID_TEXT_SIZE);
	return true;
}

/* A host that leaves its manager forgets what came from it: nothing of that may come after. */
static int dispatch_in_time(const struct order_context *o, json_t *result, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&o->link->order_lock);

	if (!stands(o, /* ret_host= */ NULL))
		return error_fail(e, ECONNRESET, "The connection that %.64s came over has ended", o->op);
	return dispatch(o, result, e);
}

/* The answer first, then the end of all that it could go over. */
static void removed(const struct order_context *o, struct link_order *order, const char *own)
{
	_cleanup_json_ json_t *result = json_object();
	struct event_record record = EVENT_RECORD_NULL;
	struct error e = ERROR_NULL;
	uint64_t deadline = link_now() + FLUSH_MS;
	int r;

	r = begin(o, "this host", NULL, &record, &e);
	if (r < 0) {
		link_answer(o->link, order, NULL, &(struct channel_failure){ .error = e });
		return;
	}
	link_answer(o->link, order, result, NULL);
	pthread_mutex_lock(&o->link->lock);
	while (!STAILQ_EMPTY(&o->link->messages) && link_wait(o->link, deadline))
		;
	pthread_mutex_unlock(&o->link->lock);
	/* An administrator may have been faster, and have joined anew. */
	r = link_leave_one(o->link, own, &e);
	events_end(o->host->events, &record, r < 0 ? &e : NULL);
	if (r < 0)
		log_error("The manager has removed this host, and it cannot be forgotten: %s", e.text);
	else
		log_notice("The manager has removed this host: its keys and its certificate are forgotten");
}

void link_order_run(struct link *link, struct link_order *order)
{
	const struct order_context o = {
		.link = link, .host = link->host, .connection = order->connection,
		.op = order->frame.op, .args = order->frame.body,
	};
	struct channel_failure failure = { .key_reason = "" };
	_cleanup_json_ json_t *result = json_object();
	char own[UUID_TEXT_SIZE];
	int r;

	r = channel_check_args(CHANNEL_MANAGER, o.op, o.args, &failure.error);
	if (r == 0 && !strcmp(o.op, "host.removed") && stands(&o, own)) {
		removed(&o, order, own);
		return;
	}
	if (r == 0 && !strcmp(o.op, "run")) {
		link_run(link, order);
		return;
	}
	if (r == 0)
		r = dispatch_in_time(&o, result, &failure.error);
	link_answer(link, order, result, r < 0 ? &failure : NULL);
}
