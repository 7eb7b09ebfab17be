/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTPS to the manager by libwebsockets: what joining and the channel share, and the
 * one request of joining.
 */
#ifndef HOST_HTTPCLIENT_H
#define HOST_HTTPCLIENT_H

#include <libwebsockets.h>
#include <stddef.h>

#include "common/errors.h"
#include "common/secret.h"
#include "host/address.h"
#include "host/linktls.h"

/** HTTP_ANSWER_MAX - bytes of an answer that are taken */
#define HTTP_ANSWER_MAX	((size_t)64 * 1024)

/**
 * http_context() - a context for one connection
 * @protocols: end in one without a name
 * @user: lws_context_user()
 *
 * Return: for lws_context_destroy(); NULL: no memory.
 */
struct lws_context *http_context(const struct link_tls *tls,
				 const struct lws_protocols *protocols, void *user);

/**
 * http_connect_info() - what all connections have in common
 * @tls: its name check is the one that counts
 */
struct lws_client_connect_info http_connect_info(struct lws_context *context,
						 const struct address *address);

/**
 * http_failed() - a connection that did not come to be, in words
 * @why: what the library said; may be NULL
 */
int http_failed(const struct address *address, const struct link_tls *tls, const char *why,
		struct error *e);

/**
 * http_post() - one request with a body of JSON
 * @timeout_s: for all of it; looking up a name may take longer
 * @ret_status: of HTTP
 * @ret_answer: malloc'ed, ends in NUL; at most HTTP_ANSWER_MAX bytes
 *
 * Waits; for a worker.
 *
 * Return: 0; -EHOSTUNREACH (no connection, or not to whom it should be), -ETIMEDOUT,
 * -EFBIG, -ENOMEM.
 */
int http_post(const struct address *address, const struct link_tls *tls, const char *path,
	      const struct secret *body, unsigned int timeout_s, unsigned int *ret_status,
	      char **ret_answer, size_t *ret_size, struct error *e);

#endif /* HOST_HTTPCLIENT_H */
