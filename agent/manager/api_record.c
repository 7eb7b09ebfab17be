/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the record is told of requests: what is about to be done, to what, and who was refused. */
#include "manager/api.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/refusals.h"

void api_note_refusal(const struct api_call *call, const char *privilege, const char *object)
{
	_cleanup_json_ json_t *data = NULL;
	char operation[160];
	struct record_event event = { .user = call->user, .operation = operation,
				      .object = object };
	uint64_t unrecorded;

	if (!refusals_count(call->manager->refusals, call->user, time_since_boot(), &unrecorded))
		return;
	snprintf(operation, sizeof(operation), "%s %s", call->route->method,
		 call->route->pattern);
	data = json_pack("{s:s?, s:s, s:I}", "privilege", privilege, "peer", call->rq->peer,
			 "unrecorded_before", (json_int_t)unrecorded);
	event.data = data;
	/* Refused it is, recorded or not: the journal tells why it was not. */
	if (record_note(call->manager->store, &event, "refused", NULL) < 0)
		log_warning("Cannot record that %s was refused %s", call->user,
			    privilege ? privilege : object);
}

/* Any bytes; the first that has a name keeps it. */
static void add_text(json_t *data, const char *name, const char *text)
{
	if (!json_has(data, name))
		json_object_set_new(data, name, json_string_printable(text));
}

/* The parts of the path, by the names that the pattern gives them. */
static void add_params(const struct api_call *call, json_t *data)
{
	const char *p = call->route->pattern;
	char name[32];
	size_t i;

	for (i = 0; i < API_PARAMS_MAX && (p = strchr(p, '{')); i++) {
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(p + 1, "}"), p + 1);
		add_text(data, name, call->params[i]);
		p++;
	}
}

static void add_query(const struct api_call *call, json_t *data)
{
	const struct http_request *rq = call->rq;
	json_t *query;
	char name[32];
	size_t i;

	if (!rq->n_query)
		return;
	query = json_object();
	for (i = 0; i < rq->n_query; i++) {
		const char *pair = rq->query[i];
		size_t n = strcspn(pair, "=");

		snprintf(name, sizeof(name), "%.*s", (int)n, pair);
		add_text(query, name, pair[n] ? pair + n + 1 : "");
	}
	json_object_set_new(data, "query", query);
}

/* What the record may know of the request: all but secrets. */
static json_t *recorded_data(const struct api_call *call)
{
	json_t *data = call->body ? json_copy(call->body) : json_object();

	if (!data)
		return NULL;
	json_object_del(data, "password");
	json_object_del(data, "new_password");
	add_params(call, data);
	add_query(call, data);
	json_object_set_new(data, "peer", json_string(call->rq->peer));
	return data;
}

/* What has no object of its own, or none yet, is done to the whole. */
static void set_object(const struct api_call *call, struct record_event *event)
{
	event->object = call->object[0] ? call->object : PERMISSION_GLOBAL;
	event->key = call->key[0] ? call->key : NULL;
	/* Where the body names a host or a VM, what is done concerns them. */
	event->host = json_string_value(json_object_get(call->body, "host"));
	event->vm = call->vm[0] ? call->vm :
		json_string_value(json_object_get(call->body, "vm"));
	if (!strncmp(event->object, "vm:", 3))
		event->vm = event->object + 3;
	if (!strncmp(event->object, "host:", 5))
		event->host = event->object + 5;
}

int api_run(struct api_call *call, json_t **ret, struct error *e)
{
	const struct api_route *route = call->route;
	struct store *store = call->manager->store;
	_cleanup_json_ json_t *data = NULL;
	struct record_event event = { .user = call->user, .operation = route->operation,
				      .type = route->type };
	int r;

	if (!route->operation)
		return route->handler(call, ret, e);
	data = recorded_data(call);
	event.data = data;
	set_object(call, &event);
	r = record_begin(store, &event, call->event, e);
	if (r < 0)
		return error_prefix(e, "Nothing was done, for it cannot be recorded");
	r = route->handler(call, ret, e);
	set_object(call, &event);
	event.failed_type = call->failed_type;
	(void)record_end(store, call->event, &event, r < 0 ? e : NULL);
	return r;
}
