/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hosts: how they come, get keys or none, and go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/channel.h"
#include "common/json.h"
#include "common/jointoken.h"
#include "manager/api.h"
#include "manager/authority.h"
#include "manager/host_change.h"
#include "manager/host_join.h"
#include "manager/host_mode.h"
#include "manager/keys_withdraw.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/provider_hosts.h"
#include "manager/store.h"

static int read_hours(const struct api_call *call, unsigned int *ret, struct error *e)
{
	uint64_t hours = HOST_TOKEN_HOURS;

	if (json_has(call->body, "hours") &&
	    (json_get_uint(call->body, "request", "hours", HOST_TOKEN_HOURS_MAX, &hours, e) < 0 ||
	     hours == 0))
		return error_usage(e, "\"hours\" has to be a number from 1 to %d", HOST_TOKEN_HOURS_MAX);
	*ret = (unsigned int) hours;
	return 0;
}

/* Who may let a host into this cluster; NULL: into none. */
static int require_entry(struct api_call *call, const char *cluster, struct error *e)
{
	if (!cluster)
		return api_require(call, "Host.Inventory.AddStandaloneHost", PERMISSION_GLOBAL, e);
	return api_require_on(call, "Host.Inventory.AddHostToCluster", "cluster", cluster, e);
}

static int read_cluster(struct api_call *call, const char **ret, struct error *e)
{
	uint8_t uuid[UUID_SIZE];
	int r = api_string_or_null(call, "cluster", UUID_TEXT_SIZE - 1, ret, e);

	if (r == 0 && *ret && uuid_parse_text(*ret, uuid) < 0)
		return error_usage(e, "The id of a cluster is a UUID in lower case");
	return r;
}

int api_hosts_may_token(struct api_call *call, struct error *e)
{
	const char *cluster = NULL;
	int r = read_cluster(call, &cluster, e);

	if (r < 0)
		return r;
	if (cluster)
		api_set_object(call, "cluster", cluster);
	return require_entry(call, cluster, e);
}

int api_hosts_token(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_secret_ struct secret token = SECRET_NULL;
	char expires[TIME_TEXT_SIZE];
	const char *cluster = NULL;
	unsigned int hours = 0;
	int r = read_cluster(call, &cluster, e);

	if (r == 0)
		r = read_hours(call, &hours, e);
	if (r == 0)
		r = host_token_new(call->manager, cluster, call->user, hours, &token, expires, e);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s%, s:s}", "token", token.data, token.size, "expires", expires);
	return *ret ? 0 : error_oom(e);
}

int api_hosts_tokens(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *all = NULL;
	int r = store_list(call->manager->store, HOST_TOKEN_KIND, NULL, NULL, &all, e);

	if (r < 0)
		return r;
	*ret = json_pack("{s:O}", "tokens", all);
	return *ret ? 0 : error_oom(e);
}

/* The token itself is no object: it lets a host into a cluster, or into none. */
int api_hosts_may_token_delete(struct api_call *call, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	const char *cluster;
	int r = store_get(call->manager->store, HOST_TOKEN_KIND, call->params[0], &document, e);

	if (r < 0)
		return r;
	cluster = json_string_value(json_object_get(document, "cluster"));
	if (cluster)
		api_set_object(call, "cluster", cluster);
	return require_entry(call, cluster, e);
}

int api_hosts_token_delete(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return store_delete(call->manager->store, HOST_TOKEN_KIND, call->params[0], e);
}

int api_hosts_join(struct api_call *call, json_t **ret, struct error *e)
{
	struct host_join join = { .peer = call->rq->peer };
	_cleanup_free_ char *pem = NULL;
	char host[UUID_TEXT_SIZE];
	int r = api_string(call, "token", 2 * JOINTOKEN_SECRET_SIZE, &join.token, e);

	if (r == 0)
		r = api_string(call, "csr", CHANNEL_PEM_MAX, &join.csr, e);
	if (r == 0)
		r = api_string(call, "name", JOINTOKEN_NAME_MAX, &join.name, e);
	if (r == 0)
		r = host_join(call->manager, &join, host, &pem, e);
	if (r == -EAGAIN)
		call->status = 429;
	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s, s:s}", "host", host, "certificate", pem, "ca",
			 authority_pem(call->manager->authority));
	return *ret ? 0 : error_oom(e);
}

/* The document, what only the running manager knows, and what is left to do there. */
static int with_link(struct api_call *call, json_t *document, struct error *e)
{
	bool connected = link_connected(call->manager, json_text(document, "id"));
	json_t *keys = NULL, *providers = NULL;
	int r = keys_withdraw_list(call->manager->store, json_text(document, "id"), &keys, e);

	if (r < 0)
		return r;
	if (json_object_set_new(document, "keys_to_forget", keys) < 0)
		return error_oom(e);
	r = provider_hosts_list(call->manager->store, json_text(document, "id"), &providers, e);
	if (r < 0)
		return r;
	return json_object_set_new(document, "native_providers", providers) < 0 ||
	       json_object_set_new(document, "connected", json_boolean(connected)) < 0 ?
	       error_oom(e) : 0;
}

int api_hosts_list(struct api_call *call, json_t **ret, struct error *e)
{
	return api_list(call, &(struct api_listing){ .kind = "host", .member = "hosts",
						     .complete = with_link }, ret, e);
}

int api_hosts_get(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = store_get(call->manager->store, "host", call->params[0], &document, e);

	if (r == 0)
		r = with_link(call, document, e);
	if (r == 0)
		*ret = TAKE_PTR(document);
	return r;
}

static int read_changes(struct api_call *call, struct host_changes *ret, struct error *e)
{
	int r = api_string_or_null(call, "name", JOINTOKEN_NAME_MAX, &ret->name, e);

	if (r == 0)
		r = read_cluster(call, &ret->cluster, e);
	if (r == 0 && !ret->cluster && json_has(call->body, "cluster"))
		ret->cluster = "";
	return r;
}

/* A host that gets into a cluster gets its keys, one that leaves is to forget them. */
int api_hosts_may_change(struct api_call *call, struct error *e)
{
	struct host_changes changes = { .name = NULL };
	int r = read_changes(call, &changes, e);

	if (r == 0 && changes.name)
		r = api_require(call, "Host.Config.Settings", call->object, e);
	if (r < 0 || !changes.cluster)
		return r;
	r = api_require(call, "Host.Inventory.MoveHost", call->object, e);
	return r < 0 ? r : require_entry(call, *changes.cluster ? changes.cluster : NULL, e);
}

int api_hosts_change(struct api_call *call, json_t **ret, struct error *e)
{
	struct host_changes changes = { .actor = call->user };
	int r = read_changes(call, &changes, e);

	if (r == 0)
		r = host_change(call->manager, call->params[0], &changes, e);
	return r < 0 ? r : api_hosts_get(call, ret, e);
}

int api_hosts_enable(struct api_call *call, json_t **ret, struct error *e)
{
	int r = host_mode_enable(call->manager, call->params[0], call->user, e);

	if (r < 0)
		call->failed_type = host_mode_failed_event(e);
	return r < 0 ? r : api_hosts_get(call, ret, e);
}

int api_hosts_disable(struct api_call *call, json_t **ret, struct error *e)
{
	int r = host_mode_disable(call->manager, call->params[0], e);

	return r < 0 ? r : api_hosts_get(call, ret, e);
}

int api_hosts_remove(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return host_remove(call->manager, call->params[0], e);
}
