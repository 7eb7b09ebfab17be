/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/httpclient.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"

#define FDS_MAX		64	/* of a context: the library takes memory for each */
#define READ_SIZE	4096

static void log_line(int level, const char *line)
{
	(void)level;
	log_debug("libwebsockets: %.*s", (int)strcspn(line, "\n"), line);
}

struct lws_context *http_context(const struct link_tls *tls,
				 const struct lws_protocols *protocols, void *user)
{
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols, .user = user,
		.uid = -1, .gid = -1, .provided_client_ssl_ctx = tls->context,
		.fd_limit_per_thread = FDS_MAX, .alpn = "http/1.1",
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
	};

	/* What fails is said in words of our own. */
	lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
	return lws_create_context(&info);
}

struct lws_client_connect_info http_connect_info(struct lws_context *context,
						 const struct address *address)
{
	return (struct lws_client_connect_info){
		.context = context, .address = address->name, .port = address->port,
		.host = address->name, .origin = address->name, .alpn = "http/1.1",
		/* The name is checked by link_tls: the library's way knows no addresses. */
		.ssl_connection = LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK |
				  LCCSCF_HTTP_NO_FOLLOW_REDIRECT,
	};
}

int http_failed(const struct address *address, const struct link_tls *tls, const char *why,
		struct error *e)
{
	ERR_clear_error();
	if (tls->why[0])
		return error_set(e, EHOSTUNREACH, EXIT_NO_KEY, 0,
				 "The server at %s port %u is not trusted: %s", address->name,
				 address->port, tls->why);
	return error_set(e, EHOSTUNREACH, EXIT_NO_KEY, 0,
			 "The manager at %s port %u does not answer as one: %s", address->name,
			 address->port, why && *why ? why : "the connection was closed");
}

/**
 * struct exchange - the request under way
 * @sent: the body is with the library
 * @over: nothing more comes
 * @complete: the answer is whole
 */
struct exchange {
	const struct secret *body;
	lws_sorted_usec_list_t timer;
	struct lws *wsi;
	bool sent;
	bool over;
	bool complete;
	bool timed_out;
	bool too_large;
	unsigned int status;
	char *answer;
	size_t size;
	char why[128];
};

static int append_headers(const struct exchange *x, struct lws *wsi, unsigned char **p,
			  unsigned char *end)
{
	static const char type[] = "application/json";
	char length[24];
	int n = snprintf(length, sizeof(length), "%zu", x->body->size);

	if (lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE,
					 (const unsigned char *)type, (int)strlen(type), p, end) ||
	    lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH,
					 (const unsigned char *)length, n, p, end))
		return -1;
	lws_client_http_body_pending(wsi, 1);
	lws_callback_on_writable(wsi);
	return 0;
}

static int send_body(struct exchange *x, struct lws *wsi)
{
	_cleanup_secret_ struct secret buffer = SECRET_NULL;
	size_t size = x->body->size;

	if (x->sent)
		return 0;
	/* The library writes before what it is given. */
	if (!link_tls_good(lws_get_ssl(wsi)) || secret_new(LWS_PRE + size, &buffer) < 0)
		return -1;
	memcpy(buffer.data + LWS_PRE, x->body->data, size);
	x->sent = true;
	lws_client_http_body_pending(wsi, 0);
	return lws_write(wsi, buffer.data + LWS_PRE, size, LWS_WRITE_HTTP_FINAL) == (int)size ?
	       0 : -1;
}

static int take(struct exchange *x, const void *data, size_t size)
{
	char *more;

	if (size > HTTP_ANSWER_MAX - x->size) {
		x->too_large = true;
		return -1;
	}
	more = realloc(x->answer, x->size + size + 1);
	if (!more)
		return -1;
	memcpy(more + x->size, data, size);
	x->answer = more;
	x->size += size;
	more[x->size] = '\0';
	return 0;
}

static int read_some(struct lws *wsi)
{
	char buffer[LWS_PRE + READ_SIZE], *p = buffer + LWS_PRE;
	int size = READ_SIZE;

	return lws_http_client_read(wsi, &p, &size) < 0 ? -1 : 0;
}

static int on_exchange(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		       size_t size)
{
	struct exchange *x = wsi ? lws_context_user(lws_get_context(wsi)) : NULL;

	(void)user;
	if (!x)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		return append_headers(x, wsi, in, *(unsigned char **)in + size);
	case LWS_CALLBACK_CLIENT_HTTP_WRITEABLE:
		return send_body(x, wsi);
	case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
		x->status = lws_http_client_http_response(wsi);
		return 0;
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
		return read_some(wsi);
	case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
		return take(x, in, size);
	case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
		x->complete = true;
		x->over = true;
		return 0;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		snprintf(x->why, sizeof(x->why), "%.*s", (int)size, in ? (const char *)in : "");
		x->over = true;
		return 0;
	case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
		x->over = true;
		return 0;
	default:
		return 0;
	}
}

static void on_timeout(lws_sorted_usec_list_t *timer)
{
	struct exchange *x = lws_container_of(timer, struct exchange, timer);

	x->timed_out = true;
	x->over = true;
}

static const struct lws_protocols protocols[] = {
	{ .name = "http", .callback = on_exchange },
	{ .name = NULL },
};

static int run(struct exchange *x, const struct address *address, const struct link_tls *tls,
	       const char *path, unsigned int timeout_s, struct error *e)
{
	struct lws_context *context = http_context(tls, protocols, x);
	struct lws_client_connect_info info;
	int r = 0;

	if (!context)
		return error_oom(e);
	info = http_connect_info(context, address);
	info.method = "POST";
	info.path = path;
	info.protocol = protocols[0].name;
	info.pwsi = &x->wsi;
	lws_sul_schedule(context, /* tsi= */ 0, &x->timer, on_timeout,
			 (lws_usec_t)timeout_s * LWS_USEC_PER_SEC);
	if (!lws_client_connect_via_info(&info))
		x->over = true;
	while (r >= 0 && !x->over)
		r = lws_service(context, /* timeout_ms= */ 0);
	lws_context_destroy(context);
	return 0;
}

static int outcome(const struct exchange *x, const struct address *address,
		   const struct link_tls *tls, unsigned int timeout_s, struct error *e)
{
	if (x->complete)
		return 0;
	if (x->too_large)
		return error_fail(e, EFBIG, "The manager at %s port %u answers with more than %zu bytes: it is none",
				  address->name, address->port, HTTP_ANSWER_MAX);
	if (x->timed_out)
		return error_set(e, ETIMEDOUT, EXIT_NO_KEY, 0,
				 "The manager at %s port %u has not answered within %u s%s",
				 address->name, address->port, timeout_s, x->sent ?
				 "; the token may be used up: see vmcryptctl --manager URL host list" :
				 "");
	return http_failed(address, tls, x->why, e);
}

int http_post(const struct address *address, const struct link_tls *tls, const char *path,
	      const struct secret *body, unsigned int timeout_s, unsigned int *ret_status,
	      char **ret_answer, size_t *ret_size, struct error *e)
{
	struct exchange x = { .body = body };
	int r;

	r = run(&x, address, tls, path, timeout_s, e);
	if (r == 0)
		r = outcome(&x, address, tls, timeout_s, e);
	if (r == 0 && !x.answer)
		r = take(&x, "", 0) < 0 ? error_oom(e) : 0;
	if (r < 0) {
		free(x.answer);
		return r;
	}
	*ret_status = x.status;
	*ret_answer = x.answer;
	*ret_size = x.size;
	return 0;
}
