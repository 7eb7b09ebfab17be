/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request and its answer, free of the library that carries them.
 */
#ifndef MANAGER_HTTP_H
#define MANAGER_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/errors.h"

/** HTTP_BODY_MAX - largest body of a request, bytes */
#define HTTP_BODY_MAX		((size_t)64 * 1024)
/** HTTP_PATH_MAX - longest path, bytes with the NUL */
#define HTTP_PATH_MAX		512
/** HTTP_QUERY_MAX - parameters behind the question mark */
#define HTTP_QUERY_MAX		16
/** HTTP_TOKEN_SIZE - room for a session's token as text, with the NUL */
#define HTTP_TOKEN_SIZE		65
/** HTTP_FINGERPRINT_SIZE - SHA-256 of a certificate as text, with the NUL */
#define HTTP_FINGERPRINT_SIZE	65
/** HTTP_PEER_SIZE - room for the client's address, with the NUL */
#define HTTP_PEER_SIZE		64

/**
 * struct http_request - what a client asked
 * @method: a literal, "GET", "POST", "PUT", "PATCH" or "DELETE"
 * @path: percent signs decoded, without the query
 * @query: "name=value", decoded; malloc'ed
 * @token: of "Authorization: Bearer", "" without
 * @peer: the client's address
 * @certificate: SHA-256 of the client's certificate in lower-case hex, ""
 *	without one; whether it was issued here is another matter
 * @body: @body_size bytes, erased by http_request_done(); NULL without
 */
struct http_request {
	const char *method;
	char path[HTTP_PATH_MAX];
	char *query[HTTP_QUERY_MAX];
	size_t n_query;
	char token[HTTP_TOKEN_SIZE];
	char peer[HTTP_PEER_SIZE];
	char certificate[HTTP_FINGERPRINT_SIZE];
	char *body;
	size_t body_size;
};

/**
 * struct http_answer - what the client is told
 * @status: of HTTP
 * @type: media type, a literal
 * @body: malloc'ed, @size bytes
 * @allow: for 405: the methods that there are, "" otherwise
 */
struct http_answer {
	unsigned int status;
	const char *type;
	char *body;
	size_t size;
	char allow[48];
};

/** http_query() - the value of a parameter, NULL when it is not there */
const char *http_query(const struct http_request *rq, const char *name);

/**
 * http_query_add() - take "name=value"
 *
 * Return: 0; -E2BIG when there are too many, -ENOMEM.
 */
int http_query_add(struct http_request *rq, const char *pair);

/**
 * http_bearer() - the token of an Authorization header
 * @value: of the header
 *
 * Return: 0; -EINVAL for another scheme or anything but letters and digits.
 */
int http_bearer(const char *value, char ret[HTTP_TOKEN_SIZE]);

/** http_status() - of a failure */
unsigned int http_status(const struct error *e);

/** http_answer_json() - @value may be NULL: 204 and no body */
void http_answer_json(struct http_answer *an, unsigned int status, const json_t *value);

/** http_answer_error() - {"error": {…}}; @status 0: by http_status() */
void http_answer_error(struct http_answer *an, unsigned int status, const struct error *e);

/** http_request_done() - erase and free */
void http_request_done(struct http_request *rq);

/** http_answer_done() - erase and free: answers carry tokens */
void http_answer_done(struct http_answer *an);

#endif
