/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hosts: how they come, get keys or none, and go. */
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/channel.h"
#include "common/json.h"
#include "common/jointoken.h"
#include "manager/api.h"
#include "manager/authority.h"
#include "manager/host_join.h"
#include "manager/host_mode.h"
#include "manager/manager.h"
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

int api_hosts_token(struct api_call *call, json_t **ret, struct error *e)
{
	char object[PERMISSION_OBJECT_SIZE] = PERMISSION_GLOBAL, expires[TIME_TEXT_SIZE];
	_cleanup_secret_ struct secret token = SECRET_NULL;
	const char *cluster = NULL;
	uint8_t uuid[UUID_SIZE];
	unsigned int hours = 0;
	int r = api_string_or_null(call, "cluster", UUID_TEXT_SIZE - 1, &cluster, e);

	if (r == 0)
		r = read_hours(call, &hours, e);
	if (r < 0)
		return r;
	if (cluster && uuid_parse_text(cluster, uuid) < 0)
		return error_usage(e, "\"cluster\" has to be a UUID in lower case");
	if (cluster)
		snprintf(object, sizeof(object), "cluster:%.36s", cluster);
	snprintf(call->object, sizeof(call->object), "%s", object);
	r = api_require(call, cluster ? "Host.Inventory.AddHostToCluster" :
			"Host.Inventory.AddStandaloneHost", object, e);
	if (r == 0)
		r = host_token_new(call->manager, cluster, call->user, hours, &token, expires, e);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s%, s:s}", "token", token.data, token.size, "expires", expires);
	return *ret ? 0 : error_oom(e);
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

int api_hosts_enable(struct api_call *call, json_t **ret, struct error *e)
{
	int r = host_mode_enable(call->manager, call->params[0], call->user, e);

	return r < 0 ? r : store_get(call->manager->store, "host", call->params[0], ret, e);
}

int api_hosts_disable(struct api_call *call, json_t **ret, struct error *e)
{
	int r = host_mode_disable(call->manager, call->params[0], e);

	return r < 0 ? r : store_get(call->manager->store, "host", call->params[0], ret, e);
}

int api_hosts_remove(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return host_remove(call->manager, call->params[0], e);
}
