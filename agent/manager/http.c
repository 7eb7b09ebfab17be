/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/secret.h"

const char *http_query(const struct http_request *rq, const char *name)
{
	size_t i, length = strlen(name);

	for (i = 0; i < rq->n_query; i++)
		if (!strncmp(rq->query[i], name, length) && rq->query[i][length] == '=')
			return rq->query[i] + length + 1;
	return NULL;
}

int http_query_add(struct http_request *rq, const char *pair)
{
	char *copy;

	if (rq->n_query == HTTP_QUERY_MAX)
		return -E2BIG;
	copy = strdup(pair);
	if (!copy)
		return -ENOMEM;
	rq->query[rq->n_query++] = copy;
	return 0;
}

int http_bearer(const char *value, char ret[HTTP_TOKEN_SIZE])
{
	static const char scheme[] = "Bearer ";
	size_t i, length;

	if (strncasecmp(value, scheme, strlen(scheme)) != 0)
		return -EINVAL;
	value += strlen(scheme);
	length = strlen(value);
	if (!length || length >= HTTP_TOKEN_SIZE)
		return -EINVAL;
	for (i = 0; i < length; i++)
		if (!isalnum((unsigned char)value[i]))
			return -EINVAL;
	memcpy(ret, value, length + 1);
	return 0;
}

unsigned int http_status(const struct error *e)
{
	static const struct {
		int code;
		unsigned int status;
	} by_code[] = {
		{ -ENOENT, 404 }, { -EEXIST, 409 }, { -EBUSY, 409 }, { -EFBIG, 413 },
		{ -EAGAIN, 503 }, { -ENOSPC, 503 }, { -ETIMEDOUT, 503 }, { -EHOSTUNREACH, 503 },
		{ -ECONNREFUSED, 503 }, { -EPROTONOSUPPORT, 424 },
	};
	size_t i;

	switch (e->status) {
	case EXIT_NOT_ALLOWED:
		return 403;
	case EXIT_NO_KEY:
		return 424;
	case EXIT_DONE:
	case EXIT_FAILED:
	case EXIT_USAGE:
		break;
	}
	for (i = 0; i < ARRAY_SIZE(by_code); i++)
		if (by_code[i].code == e->code)
			return by_code[i].status;
	return e->status == EXIT_USAGE ? 400 : 500;
}

void http_answer_json(struct http_answer *an, unsigned int status, const json_t *value)
{
	struct error e = ERROR_NULL;

	an->status = value ? status : 204;
	an->type = "application/json";
	if (!value || json_format(value, &an->body, &an->size, &e) == 0)
		return;
	an->status = 500;
	an->body = NULL;
	an->size = 0;
}

void http_answer_error(struct http_answer *an, unsigned int status, const struct error *e)
{
	_cleanup_json_ json_t *body = json_pack("{s:{s:i, s:s, s:s, s:s}}", "error",
		"status", (int)(e->status == EXIT_DONE ? EXIT_FAILED : e->status),
		"errno", error_name(e->code), "reason", error_reason_text(e->reason),
		"text", e->text);

	an->status = status ? status : http_status(e);
	an->type = "application/json";
	/* Text that is no UTF-8 leaves the status alone to speak. */
	if (body && json_format(body, &an->body, &an->size, NULL) == 0)
		return;
	an->body = NULL;
	an->size = 0;
}

void http_request_done(struct http_request *rq)
{
	size_t i;

	for (i = 0; i < rq->n_query; i++)
		free(rq->query[i]);
	if (rq->body)
		erase(rq->body, rq->body_size);
	free(rq->body);
	erase(rq, sizeof(*rq));
}

void http_answer_done(struct http_answer *an)
{
	if (an->body)
		erase(an->body, an->size);
	free(an->body);
	an->body = NULL;
	an->size = 0;
}
