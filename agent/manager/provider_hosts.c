/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/provider_hosts_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/hosts.h"
#include "manager/hosts_internal.h"
#include "manager/keys_push.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/providers.h"
#include "manager/record.h"
#include "manager/store.h"

#define EVENT_HOST	"com.vmware.vc.host.Crypto.SendKeyError.HostError"

/**
 * struct settling - one host, as things are now
 * @chosen: UUID of its default provider, "": none
 * @providers: documents of all native providers
 * @used: an object whose members are UUIDs of providers that disks of its VMs use
 * @missing: give only what it was not given yet
 */
struct settling {
	struct manager *m;
	const char *host;
	const struct host_view *view;
	char chosen[UUID_TEXT_SIZE];
	json_t *providers;
	json_t *used;
	bool missing;
};

static void settling_done(struct settling *s)
{
	json_decref(s->providers);
	json_decref(s->used);
}

/* NULL: it is deleted. */
static const json_t *find_provider(const struct settling *s, const char *id)
{
	json_t *document;
	size_t i;

	json_array_foreach(s->providers, i, document)
		if (strcmp(json_text(document, "id"), id) == 0)
			return document;
	return NULL;
}

/* Native providers that a list of disks uses. */
static int add_disks(struct settling *s, const json_t *disks, struct error *e)
{
	json_t *disk, *key;
	size_t i, k;

	json_array_foreach(disks, i, disk)
		json_array_foreach(json_object_get(disk, "keys"), k, key) {
			const char *provider = json_text(key, "provider");

			if (json_has(s->used, provider) || !find_provider(s, provider) ||
			    !provider_use_vouched(s->m->store, json_text(disk, "id"), provider))
				continue;
			if (json_object_set_new(s->used, provider, json_true()) < 0)
				return error_oom(e);
		}
	return 0;
}

static int add_vms(struct settling *s, const char *field, const char *value, struct error *e)
{
	_cleanup_json_ json_t *vms = NULL;
	json_t *vm;
	size_t i;
	int r = store_list(s->m->store, "vm", field, value, &vms, e);

	json_array_foreach(vms, i, vm) {
		_cleanup_json_ json_t *disks = NULL;

		r = store_list(s->m->store, "disk", "vm", json_text(vm, "id"), &disks, e);
		if (r == 0)
			r = add_disks(s, disks, e);
		if (r < 0)
			break;
	}
	return r;
}

static int settling_read(struct settling *s, struct error *e)
{
	int r;

	s->used = json_object();
	if (!s->used)
		return error_oom(e);
	r = store_list(s->m->store, PROVIDER_KIND, "type", PROVIDER_NATIVE, &s->providers, e);
	if (r < 0 || !s->view->safe || json_array_size(s->providers) == 0)
		return r;
	r = provider_default_of(s->m, s->host, s->view, s->chosen, NULL);
	if (r < 0 && r != -ENOENT)
		return error_fail(e, r, "Cannot see which provider is the default of host %s: %s", s->host,
				  error_name(r));
	r = s->view->cluster[0] ? add_vms(s, "cluster", s->view->cluster, e) : 0;
	return r < 0 ? r : add_vms(s, "host", s->host, e);
}

int provider_hosts_check_tpm(const struct host_view *view, const json_t *document,
			     struct error *e)
{
	if (view->tpm || provider_allows_unsealed(document))
		return 0;
	return error_fail(e, ENODEV, "Host %s does not get native provider %s, for it has no TPM that "
			  "would seal the key, and the provider was not made with --allow-unsealed",
			  view->name, json_text(document, "name"));
}

/* Whether the host may have it, a TPM apart. */
static bool is_for(const struct settling *s, const json_t *document)
{
	const char *id = json_text(document, "id");

	return s->view->safe && json_is_string(json_object_get(document, "backed_up")) &&
	       (strcmp(s->chosen, id) == 0 || json_has(s->used, id));
}

static bool may_keep(const struct settling *s, const json_t *given)
{
	const json_t *document = find_provider(s, json_text(given, "provider"));

	return document && is_for(s, document) &&
	       provider_hosts_check_tpm(s->view, document, NULL) == 0;
}

/* Asks the host within a record of it. */
static int ask_recorded(const struct settling *s, const char *op, const char *provider,
			json_t *args, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "provider", provider), *own = args;
	char object[6 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	struct record_event event = { .user = RECORD_USER_MANAGER, .operation = op,
				      .type = RECORD_TYPE_OPERATION, .failed_type = EVENT_HOST,
				      .object = object, .host = s->host, .data = data };
	int r;

	snprintf(object, sizeof(object), "host:%.36s", s->host);
	r = record_begin(s->m->store, &event, id, e);
	if (r < 0)
		return r;
	r = keys_ask_host(s->m, s->host, op, json_incref(own), LINK_ASK_MS, ret, e);
	(void)record_end(s->m->store, id, &event, r < 0 ? e : NULL);
	return r;
}

/* One that is not there, or is the host's own, is not the manager's there. */
static int withdraw_one(const struct settling *s, json_t *given, struct error *e)
{
	const char *provider = json_text(given, "provider");
	struct error failure = ERROR_NULL;
	int r = ask_recorded(s, "provider.remove", provider,
			     json_pack("{s:s, s:b}", "provider", provider, "kept",
				       find_provider(s, provider) != NULL),
			     NULL, &failure);

	if (r == 0 || r == -ENOENT || r == -EINVAL)
		return given_set_gone(s->m->store, given, e);
	if (given_set_refused(s->m->store, given, failure.text, e) < 0)
		return e ? e->code : -ENOMEM;
	if (e)
		*e = failure;
	return r;
}

static int withdraw(const struct settling *s, bool all, struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	struct error first = ERROR_NULL;
	json_t *given;
	size_t i;
	int r = store_list(s->m->store, KDK_KIND, "host", s->host, &list, e);

	if (r < 0)
		return r;
	json_array_foreach(list, i, given) {
		bool refused = given_is_refused(given);
		struct error failure = ERROR_NULL;

		if (given_is_gone(given))
			continue;
		if (may_keep(s, given))
			r = refused ? given_set_refused(s->m->store, given, NULL, &failure) : 0;
		else
			r = refused && !all ? 0 : withdraw_one(s, given, &failure);
		if (r < 0 && !error_is_set(&first))
			first = failure;
	}
	if (error_is_set(&first) && e)
		*e = first;
	return first.code;
}

/* @given: what is noted of it so far; NULL: nothing */
static int send_kdk(const struct settling *s, const json_t *document, const json_t *given,
		    struct error *e)
{
	const char *id = json_text(document, "id");
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_free_ char *sealed = NULL;
	uint8_t uuid[UUID_SIZE];
	int r = provider_kdk(s->m, id, document, &kdk, e);

	if (r < 0)
		return r;
	if (uuid_parse_text(id, uuid) < 0)
		return error_fail(e, EBADMSG, "\"%.64s\" is no UUID of a provider", id);
	r = link_seal_kdk(s->m, s->host, uuid, &kdk, &sealed, e);
	if (r == 0 && !given)
		r = given_put(s->m->store, s->host, document, json_null(), e);
	if (r == 0)
		r = ask_recorded(s, "kdk.push", id,
				 json_pack("{s:s, s:s, s:s, s:b, s:b, s:s}", "provider", id, "name",
					   json_text(document, "name"), "created",
					   json_text(document, "created"), "require_tpm",
					   !provider_allows_unsealed(document), "default",
					   strcmp(s->chosen, id) == 0, "sealed", sealed),
				 &answer, e);
	return r < 0 ? r : given_put(s->m->store, s->host, document,
				     json_incref(json_object_get(answer, "sealed")), e);
}

static int push_one(const struct settling *s, const json_t *document, struct error *e)
{
	_cleanup_json_ json_t *given = NULL;
	int r;

	if (!is_for(s, document))
		return 0;
	r = provider_hosts_check_tpm(s->view, document, e);
	if (r < 0)
		return r;
	r = provider_hosts_find(s->m->store, s->host, json_text(document, "id"), &given, NULL);
	if (r < 0 && r != -ENOENT)
		return error_fail(e, r, "Cannot see whether host %s has provider %s: %s", s->view->name,
				  json_text(document, "name"), error_name(r));
	if (s->missing && json_is_boolean(json_object_get(given, "sealed")))
		return 0;
	return send_kdk(s, document, given, e);
}

static int push(const struct settling *s, struct error *e)
{
	struct error first = ERROR_NULL;
	json_t *document;
	size_t i;

	json_array_foreach(s->providers, i, document) {
		struct error failure = ERROR_NULL;

		if (push_one(s, document, &failure) < 0 && !error_is_set(&first))
			first = failure;
	}
	if (error_is_set(&first) && e)
		*e = first;
	return first.code;
}

static int settle(struct settling *s, struct error *e)
{
	struct error failure = ERROR_NULL;
	int r = settling_read(s, e), gone;

	if (r < 0)
		return r;
	/* First, so that a name is free for another one. */
	gone = withdraw(s, /* all= */ false, &failure);
	r = push(s, e);
	if (gone < 0 && r == 0 && e)
		*e = failure;
	return r < 0 ? r : gone;
}

int provider_hosts_settle(struct manager *m, const char *host, const struct host_view *view,
			  struct error *e)
{
	_cleanup_(settling_done) struct settling s = { .m = m, .host = host, .view = view };

	return settle(&s, e);
}

static int withdraw_locked(struct manager *m, const char *host, bool all, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = keywatch_host_lock(m->watch, host);
	struct host_view view;
	_cleanup_(settling_done) struct settling s = { .m = m, .host = host, .view = &view };
	int r = host_view(m, host, &view, e);

	if (r == 0)
		r = settling_read(&s, e);
	return r < 0 ? r : withdraw(&s, all, e);
}

void provider_hosts_withdraw(struct manager *m, const char *host, bool all)
{
	_cleanup_json_ json_t *list = NULL;
	struct error e = ERROR_NULL;
	int r = store_list(m->store, KDK_KIND, "host", host, &list, &e);

	if (r == 0 && json_array_size(list))
		r = withdraw_locked(m, host, all, &e);
	if (r < 0 && r != -ENOENT)
		log_warning("Host %s may have native providers that it has no right to any more, and is "
			    "asked again: %s", host, e.text);
}

static void settle_missing(struct manager *m, const char *host, void *userdata)
{
	_cleanup_unlock_ pthread_mutex_t *lock = keywatch_host_lock(m->watch, host);
	struct host_view view;
	_cleanup_(settling_done) struct settling s = { .m = m, .host = host, .view = &view,
						       .missing = true };
	struct error e = ERROR_NULL;

	(void)userdata;
	if (host_view(m, host, &view, &e) < 0 || settle(&s, &e) < 0)
		log_warning("Host %s has not got the native providers that it may have: %s", host, e.text);
}

void provider_hosts_give(struct manager *m, const json_t *hosts)
{
	keys_each_host(m, hosts, settle_missing, NULL);
}

/* Whether the host lacks a provider that is used, and could have it. */
static bool lacks(const struct settling *s, const json_t *host)
{
	const struct host_view view = {
		.tpm = json_is_true(json_object_get(host, "tpm")),
	};
	json_t *document;
	size_t i;

	if (strcmp(json_text(host, "mode"), MODE_SAFE) != 0)
		return false;
	json_array_foreach(s->providers, i, document) {
		_cleanup_json_ json_t *given = NULL;
		const char *id = json_text(document, "id");

		if (json_has(s->used, id) && provider_hosts_check_tpm(&view, document, NULL) == 0 &&
		    provider_hosts_find(s->m->store, json_text(host, "id"), id, &given, NULL) < 0)
			return true;
	}
	return false;
}

/* The host, or all of its cluster. */
static int list_peers(const struct settling *s, json_t **ret, struct error *e)
{
	json_t *document = NULL;
	int r;

	if (s->view->cluster[0])
		return store_list(s->m->store, "host", "cluster", s->view->cluster, ret, e);
	r = host_get(s->m->store, s->host, &document, e);
	if (r < 0)
		return r;
	*ret = json_pack("[o]", document);
	return *ret ? 0 : error_oom(e);
}

void provider_hosts_spread(struct manager *m, const char *host)
{
	_cleanup_json_ json_t *disks = NULL, *peers = NULL, *lacking = json_array();
	struct host_view view;
	_cleanup_(settling_done) struct settling s = { .m = m, .host = host, .view = &view,
						       .used = json_object() };
	struct error e = ERROR_NULL;
	json_t *peer;
	size_t i;
	int r = host_view(m, host, &view, &e);

	if (r == 0)
		r = store_list(m->store, PROVIDER_KIND, "type", PROVIDER_NATIVE, &s.providers, &e);
	if (r == 0 && json_array_size(s.providers) == 0)
		return;
	if (r == 0)
		r = store_list(m->store, "disk", "host", host, &disks, &e);
	if (r == 0)
		r = add_disks(&s, disks, &e);
	if (r == 0)
		r = list_peers(&s, &peers, &e);
	if (r < 0)
		log_warning("Cannot see which hosts need the providers of host %s's disks: %s", host, e.text);
	json_array_foreach(peers, i, peer)
		if (lacks(&s, peer))
			json_array_append(lacking, json_object_get(peer, "id"));
	provider_hosts_give(m, lacking);
}
