/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "manager/manager.h"
#include "manager/privilege.h"
#include "manager/store.h"

#define WHAT "request"

/* One part of a path against one of a pattern. */
static bool part_matches(const char *pattern, size_t pattern_size, const char *part, size_t size,
			 struct api_call *call, size_t *n_params)
{
	if (pattern[0] != '{')
		return size == pattern_size && !memcmp(pattern, part, size);
	if (!size || size >= API_PARAM_SIZE || *n_params == API_PARAMS_MAX)
		return false;
	memcpy(call->params[*n_params], part, size);
	call->params[(*n_params)++][size] = '\0';
	return true;
}

static bool path_matches(const char *pattern, const char *path, struct api_call *call)
{
	size_t n_params = 0;

	memset(call->params, 0, sizeof(call->params));
	while (*pattern == '/' && *path == '/') {
		size_t pattern_size = strcspn(++pattern, "/"), size = strcspn(++path, "/");

		if (!part_matches(pattern, pattern_size, path, size, call, &n_params))
			return false;
		pattern += pattern_size;
		path += size;
	}
	return !*pattern && !*path;
}

static int no_route(struct http_answer *an, const struct http_request *rq, struct error *e)
{
	if (!an->allow[0]) {
		error_set(e, ENOENT, EXIT_USAGE, 0, "There is nothing at %.128s: see the "
			  "description of the interface, openapi.yaml", rq->path);
		an->status = 404;
		return -ENOENT;
	}
	an->status = 405;
	return error_usage(e, "%s is none of the methods of %.128s: %s", rq->method, rq->path,
			   an->allow);
}

/* Leaves the methods that there are in the answer. */
static int find_route(struct api_call *call, struct http_answer *an, struct error *e)
{
	const char *path = call->rq->path;
	const struct api_route *routes;
	size_t n, i, used = 0;

	routes = api_routes(&n);
	if (strncmp(path, API_PREFIX "/", sizeof(API_PREFIX)) != 0)
		return no_route(an, call->rq, e);
	path += strlen(API_PREFIX);
	for (i = 0; i < n; i++) {
		if (!path_matches(routes[i].pattern, path, call))
			continue;
		if (!strcmp(routes[i].method, call->rq->method)) {
			call->route = &routes[i];
			an->allow[0] = '\0';
			return 0;
		}
		if (used < sizeof(an->allow))
			used += (size_t)snprintf(an->allow + used, sizeof(an->allow) - used, "%s%s",
						 used ? ", " : "", routes[i].method);
	}
	return no_route(an, call->rq, e);
}

static int log_in(struct api_call *call, struct error *e)
{
	int r;

	if (call->route->flags & API_OPEN)
		return 0;
	r = session_check(call->manager->sessions, call->rq->token, &call->session, e);
	if (r < 0)
		call->status = 401;
	else
		call->user = call->session.user;
	return r;
}

int api_require(struct api_call *call, const char *privilege, const char *object,
		struct error *e)
{
	int r = privilege_check(call->manager->store, call->user, privilege, object, e);

	if (r == -EACCES)
		api_note_refusal(call, privilege, object);
	return r;
}

int api_require_on(struct api_call *call, const char *privilege, const char *kind, const char *id,
		   struct error *e)
{
	char object[2 * API_PARAM_SIZE];

	snprintf(object, sizeof(object), "%s:%s", kind, id);
	return api_require(call, privilege, object, e);
}

int api_require_encrypted(struct api_call *call, const char *privilege, const char *vm,
			  struct error *e)
{
	_cleanup_json_ json_t *disk = NULL;
	int r = store_find(call->manager->store, "disk", "vm", vm, &disk, NULL);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_fail(e, r, "Cannot see whether VM %s has disks: %s", vm, error_name(r));
	return api_require_on(call, privilege, "vm", vm, e);
}

bool api_may(const struct api_call *call, const char *privilege, const char *kind,
	     const char *id)
{
	char object[2 * API_PARAM_SIZE];

	snprintf(object, sizeof(object), "%s:%s", kind, id);
	return privilege_check(call->manager->store, call->user, privilege, object, NULL) == 0;
}

static bool listed(const struct api_call *call, const struct api_listing *l, const json_t *document)
{
	const char *id = json_string_value(json_object_get(document, "id"));

	if (l->may_see)
		return l->may_see(call, document);
	return id && api_may(call, "System.View", l->kind, id);
}

int api_list(struct api_call *call, const struct api_listing *l, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *all = NULL, *visible = json_array();
	json_t *document;
	size_t i;
	int r = store_list(call->manager->store, l->kind, NULL, NULL, &all, e);

	if (r < 0)
		return r;
	json_array_foreach(all, i, document) {
		if (!listed(call, l, document))
			continue;
		r = l->complete ? l->complete(call, document, e) : 0;
		if (r < 0)
			return r;
		if (json_array_append(visible, document) < 0)
			return error_oom(e);
	}
	*ret = json_pack("{s:O}", l->member, visible);
	return *ret ? 0 : error_oom(e);
}

void api_set_object(struct api_call *call, const char *kind, const char *id)
{
	snprintf(call->object, sizeof(call->object), "%s:%s", kind, id);
}

static int allow(struct api_call *call, struct error *e)
{
	const struct api_route *route = call->route;
	uint8_t uuid[UUID_SIZE];

	if (!route->kind) {
		if (route->about)
			api_set_object(call, route->about, call->params[0]);
		if (!route->privilege)
			return 0;
		return api_require(call, route->privilege, PERMISSION_GLOBAL, e);
	}
	if (uuid_parse_text(call->params[0], uuid) < 0)
		return error_set(e, ENOENT, EXIT_USAGE, 0, "\"%.64s\" is not the id of a %s, "
				 "which is a UUID in lower case", call->params[0], route->kind);
	api_set_object(call, route->kind, call->params[0]);
	return route->privilege ? api_require(call, route->privilege, call->object, e) : 0;
}

static int wrong_body(struct error *e)
{
	e->status = EXIT_USAGE;
	return e->code;
}

static int read_body(struct api_call *call, struct error *e)
{
	const struct http_request *rq = call->rq;

	if (!(call->route->flags & API_BODY)) {
		if (!rq->body_size)
			return 0;
		return error_usage(e, "%s of %s takes no body", call->route->method,
				   call->route->pattern);
	}
	if (json_parse(rq->body ? rq->body : "", rq->body_size, HTTP_BODY_MAX, WHAT, &call->body,
		       e) < 0 ||
	    json_check_keys(call->body, WHAT, call->route->members, e) < 0)
		return wrong_body(e);
	return 0;
}

static int run_slow(struct api_call *call, json_t **ret, struct error *e)
{
	struct manager *m = call->manager;
	int r;

	if (atomic_fetch_add(&m->slow, 1) >= m->slow_max && m->slow_max) {
		call->status = 503;
		r = error_set(e, EAGAIN, EXIT_FAILED, 0, "%u requests wait for hosts or key servers already: try "
			      "again in some seconds", m->slow_max);
	} else {
		r = api_run(call, ret, e);
	}
	atomic_fetch_sub(&m->slow, 1);
	return r;
}

static void answer(struct api_call *call, struct http_answer *an, const json_t *value, int r,
		   const struct error *e)
{
	if (r < 0) {
		http_answer_error(an, call->status ? call->status : an->status, e);
	} else if (call->csv) {
		an->status = 200;
		an->type = "text/csv";
		an->body = TAKE_PTR(call->csv);
		an->size = call->csv_size;
	} else {
		http_answer_json(an, call->route->flags & API_CREATES ? 201 : 200, value);
	}
}

void api_serve(const struct http_request *rq, struct http_answer *an, void *manager)
{
	struct api_call call = { .manager = manager, .rq = rq, .user = "" };
	_cleanup_json_ json_t *value = NULL;
	struct error e = ERROR_NULL;
	int r = find_route(&call, an, &e);

	if (r == 0)
		r = log_in(&call, &e);
	if (r == 0)
		r = allow(&call, &e);
	if (r == 0)
		r = read_body(&call, &e);
	if (r == 0 && call.route->authorize)
		r = call.route->authorize(&call, &e);
	if (r == 0)
		r = call.route->flags & API_SLOW ? run_slow(&call, &value, &e) :
						    api_run(&call, &value, &e);
	answer(&call, an, value, r, &e);
	json_decref(call.body);
	free(call.csv);
}

int api_string(const struct api_call *call, const char *key, size_t max, const char **ret,
	       struct error *e)
{
	if (json_get_string(call->body, WHAT, key, max, ret, e) < 0)
		return wrong_body(e);
	if (!**ret)
		return error_usage(e, "Member \"%s\" of the request is empty", key);
	return 0;
}

int api_string_or_null(const struct api_call *call, const char *key, size_t max,
		       const char **ret, struct error *e)
{
	const json_t *value = json_object_get(call->body, key);

	if (!value || json_is_null(value)) {
		*ret = NULL;
		return 0;
	}
	return api_string(call, key, max, ret, e);
}

int api_bool(const struct api_call *call, const char *key, bool *ret, struct error *e)
{
	if (!json_has(call->body, key))
		return 0;
	return json_get_bool(call->body, WHAT, key, ret, e) < 0 ? wrong_body(e) : 0;
}

int api_password(const struct api_call *call, const char *key, struct secret *ret,
		 struct error *e)
{
	const char *text;
	int r;

	if (!json_has(call->body, key)) {
		*ret = SECRET_NULL;
		return 0;
	}
	r = api_string(call, key, PASSWORD_MAX, &text, e);
	if (r < 0)
		return r;
	r = secret_copy(text, strlen(text), ret);
	return r < 0 ? error_fail(e, r, "Cannot keep the password in locked memory: %s",
				  error_name(r)) : 0;
}
