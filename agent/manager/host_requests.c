/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/host_requests.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "manager/authority.h"
#include "manager/host_mode.h"
#include "manager/hosts_internal.h"
#include "manager/keys.h"
#include "manager/keys_withdraw.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/provider_hosts.h"
#include "manager/record.h"
#include "manager/store.h"

static const struct host_request requests[] = {
	{ HOST_HELLO, LANE_QUICK, host_hello },
	{ HOST_REPORT, LANE_QUICK, host_report },
	{ "cert.renew", LANE_QUICK, host_renew },
	{ "key.new", LANE_KEYS, keys_serve_new },
	{ "key.get", LANE_KEYS, keys_serve_get },
};

const struct host_request *host_request_find(const char *op)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (strcmp(requests[i].op, op) == 0)
			return &requests[i];
	return NULL;
}

/* The certificate before counts until the new one was used. */
static int check_serial(const json_t *document, const char *serial, struct error *e)
{
	if (strcmp(json_text(document, "serial"), serial) == 0 ||
	    strcmp(json_text(document, "old_serial"), serial) == 0)
		return 0;
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "Host %s has a newer certificate than this one, "
			 "which does not count any more", json_text(document, "name"));
}

#define DIAL_WAIT_MS	100U	/* that others wait whose connections are served meanwhile */

static int get_own(struct store *store, const char *host, const char *serial, json_t **ret,
		   struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = host_get(store, host, &document, e);

	if (r == -ENOENT)
		return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "Host %s is not one of this manager's, or "
				 "not any more: let it join again", host);
	if (r == 0)
		r = check_serial(document, serial, e);
	if (r == 0)
		*ret = TAKE_PTR(document);
	return r;
}

int host_dialled(struct manager *m, const char *host, const char *serial, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = store_hold(m->store, DIAL_WAIT_MS, e);

	if (r < 0)
		return r;
	r = get_own(m->store, host, serial, &document, e);
	store_let_go(m->store);
	return r;
}

static int note(struct store *store, const char *operation, const char *type, const char *host,
		const char *address, struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "peer", address);
	char object[8 + UUID_TEXT_SIZE];
	const struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = operation, .type = type, .object = object,
		.host = host, .data = data,
	};

	snprintf(object, sizeof(object), "host:%s", host);
	return record_note(store, &event, "ok", e);
}

struct greeting {
	const struct host_peer *peer;
	const json_t *args;
	json_t *document;
};

static int update_host(struct greeting *g, json_t *document, struct error *e)
{
	static const char *const copied[] = { "version", "module", "tpm", "boot_id" };
	bool rebooted = strcmp(json_text(document, "boot_id"), json_text(g->args, "boot_id")) != 0;
	size_t i;
	int r;

	if (strcmp(json_text(document, "serial"), g->peer->serial) == 0 &&
	    json_object_set_new(document, "old_serial", json_null()) < 0)
		return error_oom(e);
	for (i = 0; i < ARRAY_SIZE(copied); i++)
		if (json_object_set(document, copied[i], json_object_get(g->args, copied[i])) < 0)
			return error_oom(e);
	r = host_set_now(document, "last_seen", e);
	if (r == 0)
		r = host_set_string(document, "reported", NULL, e);
	return r == 0 && rebooted ? host_mode_rebooted(document, e) : r;
}

static int greet(struct store *store, void *userdata, struct error *e)
{
	struct greeting *g = userdata;
	_cleanup_json_ json_t *document = NULL;
	bool pending;
	int r = get_own(store, g->peer->host, g->peer->serial, &document, e);

	if (r < 0)
		return r;
	pending = strcmp(json_text(document, "mode"), MODE_PENDING) == 0;
	r = update_host(g, document, e);
	if (r == 0)
		r = store_update(store, "host", g->peer->host, document, e);
	if (r == 0)
		r = note(store, "host.connect", "HostConnectedEvent", g->peer->host, g->peer->address, e);
	if (r == 0 && pending && strcmp(json_text(document, "mode"), MODE_INCAPABLE) == 0)
		r = note(store, "host.rebooted", HOST_DISABLED_EVENT, g->peer->host, g->peer->address, e);
	if (r < 0)
		return r;
	json_decref(g->document);
	g->document = TAKE_PTR(document);
	return 0;
}

int host_hello(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
	       struct channel_failure *why)
{
	struct greeting g = { .peer = peer, .args = args };
	int r = store_write(m->store, greet, &g, &why->error);

	if (r == 0) {
		*ret = json_pack("{s:s, s:s}", "host", peer->host, "name",
				 json_text(g.document, "name"));
		r = *ret ? 0 : error_oom(&why->error);
		log_info("Host %s is connected from %s", json_text(g.document, "name"), peer->address);
	}
	json_decref(g.document);
	return r;
}

void host_greeted(struct manager *m, const char *host)
{
	struct error e = ERROR_NULL;
	int r = host_mode_tell(m, host, &e);

	keys_withdraw(m, host, /* all= */ true);
	if (r == 0)
		r = host_mode_forced(m, host, &e);
	if (r < 0)
		log_warning("Host %s: %s", host, e.text);
	if (r == 1)
		return;
	e = ERROR_NULL;
	if (keys_provision(m, host, &e) < 0)
		log_warning("Host %s did not get all that it may have: %s", host, e.text);
}

void host_reported(struct manager *m, const char *host)
{
	keys_withdraw(m, host, /* all= */ false);
	provider_hosts_spread(m, host);
}

static int part(struct store *store, void *userdata, struct error *e)
{
	const struct host_peer *peer = userdata;
	_cleanup_json_ json_t *document = NULL;
	int r = host_get(store, peer->host, &document, e);

	if (r == 0)
		r = host_set_now(document, "last_seen", e);
	if (r == 0)
		r = store_update(store, "host", peer->host, document, e);
	if (r == 0)
		r = note(store, "host.disconnect", "HostConnectionLostEvent", peer->host, peer->address, e);
	return r;
}

void host_lost(struct manager *m, const char *host, const char *address)
{
	struct host_peer peer = { .host = host, .address = address };
	struct error e = ERROR_NULL;
	int r = store_write(m->store, part, &peer, &e);

	/* One that was removed has its event. */
	if (r < 0 && r != -ENOENT)
		log_warning("Cannot record that host %s is gone: %s", host, e.text);
	else
		log_info("Host %s is not connected any more", host);
}

struct renewal {
	const struct host_peer *peer;
	const struct authority_certificate *issued;
};

/* The one that this connection was made with stays until the new one is used. */
static int renew(struct store *store, void *userdata, struct error *e)
{
	const struct renewal *renewal = userdata;
	_cleanup_json_ json_t *document = NULL;
	char end[TIME_TEXT_SIZE];
	int r = get_own(store, renewal->peer->host, renewal->peer->serial, &document, e);

	if (r < 0)
		return r;
	time_format(renewal->issued->not_after, end);
	r = host_set_string(document, "old_serial", renewal->peer->serial, e);
	if (r == 0)
		r = host_set_string(document, "serial", renewal->issued->serial, e);
	if (r == 0)
		r = host_set_string(document, "fingerprint", renewal->issued->fingerprint, e);
	if (r == 0)
		r = host_set_string(document, "certificate_end", end, e);
	return r < 0 ? r : store_update(store, "host", renewal->peer->host, document, e);
}

int host_renew(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
	       struct channel_failure *why)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	struct renewal renewal = { .peer = peer, .issued = &issued };
	const char *csr = json_text(args, "csr");
	char object[8 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	const struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = "host.certificate", .object = object,
		.host = peer->host,
	};
	struct error *e = &why->error;
	int r;

	snprintf(object, sizeof(object), "host:%s", peer->host);
	r = record_begin(m->store, &event, id, e);
	if (r < 0)
		return r;
	r = authority_issue_host(m->authority, peer->host, csr, strlen(csr), &issued, e);
	if (r == 0)
		r = store_write(m->store, renew, &renewal, e);
	if (r == 0)
		*ret = json_pack("{s:s}", "certificate", issued.pem);
	if (r == 0 && !*ret)
		r = error_oom(e);
	(void) record_end(m->store, id, &event, r < 0 ? e : NULL);
	return r;
}
