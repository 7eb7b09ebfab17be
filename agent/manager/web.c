/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/web.h"

#include <arpa/inet.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/secret.h"
#include "manager/links.h"
#include "manager/web_channel.h"
#include "manager/web_peers.h"
#include "manager/web_pool.h"
#include "manager/web_tls.h"

#define WEB_CHUNK	4096
#define WEB_HEADER_MAX	8192

struct web {
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct web_pool *pool;
	struct links *links;
	struct web_channel channel;
	int (*tls)(SSL_CTX *ctx, void *user);
	void *user;
	struct web_peers *peers;
	SSL_CTX *ssl;		/* the vhost's */
	atomic_bool stopping;
	atomic_bool renewing;
	lws_sorted_usec_list_t watchdog;
	uint64_t watchdog_us;
};

/**
 * struct web_connection - what libwebsockets keeps for each
 * @lingering: it is answered and hung up on, once the client has read that
 * @dropped: bytes that came since
 */
struct web_connection {
	struct web_call *call;
	bool lingering;
	size_t dropped;
};

static const struct {
	const char *method;
	enum lws_token_indexes token;
	bool body;
} methods[] = {
	{ "GET", WSI_TOKEN_GET_URI, false },
	{ "POST", WSI_TOKEN_POST_URI, true },
	{ "PUT", WSI_TOKEN_PUT_URI, true },
	{ "PATCH", WSI_TOKEN_PATCH_URI, true },
	{ "DELETE", WSI_TOKEN_DELETE_URI, false },
};

/* The call outlives its connection while a thread works on it. */
static void detach(struct web_connection *connection)
{
	struct web_call *call = connection ? connection->call : NULL;

	if (!call)
		return;
	connection->call = NULL;
	call->wsi = NULL;
	if (!call->with_pool)
		web_call_free(call);
}

static int answer_now(struct web_call *call, unsigned int status, const char *text)
{
	struct error e = ERROR_NULL;

	error_set(&e, status == 503 ? EAGAIN : EINVAL, EXIT_USAGE, 0, "%s", text);
	http_answer_error(&call->an, status, &e);
	call->answered = true;
	lws_callback_on_writable(call->wsi);
	return 0;
}

/* Answer before all of the request was read: the rest would be taken for the next one. */
static int refuse(struct web_call *call, unsigned int status, const char *text)
{
	call->unread = true;
	return answer_now(call, status, text);
}

static int hand_over(struct web *web, struct web_call *call)
{
	lws_set_timeout(call->wsi, NO_PENDING_TIMEOUT, 0);
	if (web_pool_give(web->pool, call) < 0)
		return answer_now(call, 503, "Too many requests wait already: try again later");
	return 0;
}

static int read_method(struct web_call *call, bool *ret_body)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(methods); i++) {
		if (!lws_hdr_total_length(call->wsi, methods[i].token))
			continue;
		call->rq.method = methods[i].method;
		*ret_body = methods[i].body;
		return 0;
	}
	return -EINVAL;
}

/* Return: a status of HTTP, 0 when all is well. */
static unsigned int read_headers(struct web_call *call)
{
	char buffer[1024];
	int i, length;

	for (i = 0; lws_hdr_fragment_length(call->wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0; i++) {
		length = lws_hdr_copy_fragment(call->wsi, buffer, sizeof(buffer),
					       WSI_TOKEN_HTTP_URI_ARGS, i);
		if (length < 0 || (size_t)length != strlen(buffer) ||
		    http_query_add(&call->rq, buffer) < 0)
			return 400;
	}
	if (lws_hdr_total_length(call->wsi, WSI_TOKEN_HTTP_AUTHORIZATION) > 0) {
		length = lws_hdr_copy(call->wsi, buffer, sizeof(buffer),
				      WSI_TOKEN_HTTP_AUTHORIZATION);
		if (length < 0 || http_bearer(buffer, call->rq.token) < 0)
			call->rq.token[0] = '\0';
		erase(buffer, sizeof(buffer));
	}
	lws_get_peer_simple(call->wsi, call->rq.peer, sizeof(call->rq.peer));
	web_tls_fingerprint(lws_get_ssl(call->wsi), call->rq.certificate);
	return 0;
}

/* Return: bytes that follow; -EFBIG, -EINVAL. */
static int body_length(struct lws *wsi)
{
	char text[24], *end;
	unsigned long length;

	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING))
		return -EINVAL;
	if (!lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH))
		return -EINVAL;
	if (lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH) < 1)
		return -EFBIG;
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	length = strtoul(text, &end, 10);
	if (*end)
		return -EINVAL;
	return errno || length > HTTP_BODY_MAX ? -EFBIG : (int)length;
}

static int expect_body(struct web *web, struct web_call *call)
{
	int length = body_length(call->wsi);

	if (length < 0)
		lws_set_timeout(call->wsi, PENDING_TIMEOUT_HTTP_CONTENT, WEB_IDLE_S);
	if (length == -EFBIG)
		return refuse(call, 413, "The request's body is larger than 64 KiB");
	if (length < 0)
		return refuse(call, 411, "A request of this method needs a Content-Length");
	if (length == 0)
		return hand_over(web, call);
	call->rq.body = malloc((size_t)length);
	if (!call->rq.body)
		return -1;
	call->rq.body_size = (size_t)length;
	return 0;
}

static int on_request(struct web *web, struct lws *wsi, struct web_connection *connection,
		      const char *path, size_t length)
{
	struct web_call *call;
	unsigned int status;
	bool body = false;

	if (connection->call)
		return -1;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -1;
	call->wsi = wsi;
	connection->call = call;
	lws_set_timer_usecs(wsi, WEB_REQUEST_S * LWS_USEC_PER_SEC);
	if (read_method(call, &body) < 0)
		return refuse(call, 405, "There is no such method here");
	if (length >= sizeof(call->rq.path))
		return refuse(call, 414, "The path is too long");
	memcpy(call->rq.path, path, length);
	status = read_headers(call);
	if (status)
		return refuse(call, status, "The request's parameters are too long or too many");
	return body ? expect_body(web, call) : hand_over(web, call);
}

/* Hanging up on unread bytes makes the kernel send a reset, which overtakes the answer. */
static int drop_body(struct web_connection *connection, size_t size)
{
	connection->dropped += size;
	return connection->dropped > WEB_LINGER_MAX ? -1 : 0;
}

static int take_body(struct web_connection *connection, const void *data, size_t size)
{
	struct web_call *call = connection->call;

	if (!call || call->answered)
		return drop_body(connection, size);
	/* An empty body of POST is announced, too, when the call is already under way. */
	if (!size)
		return 0;
	if (call->with_pool || size > call->rq.body_size - call->received)
		return -1;
	memcpy(call->rq.body + call->received, data, size);
	call->received += size;
	return 0;
}

static int on_body(struct web_connection *connection, void *data, size_t size)
{
	int r = take_body(connection, data, size);

	/* The library's buffer lives as long as it does, and a password may be in it. */
	if (size)
		erase(data, size);
	return r;
}

static int on_body_end(struct web *web, const struct web_connection *connection)
{
	struct web_call *call = connection->call;

	if (connection->lingering)
		return -1;
	if (!call || call->answered || call->with_pool)
		return 0;
	if (call->received != call->rq.body_size)
		return -1;
	return hand_over(web, call);
}

static int add_header(struct lws *wsi, const char *name, const char *value, unsigned char **p,
		      unsigned char *end)
{
	return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
					   (const unsigned char *)value, (int)strlen(value), p,
					   end);
}

static int send_headers(struct web_call *call)
{
	unsigned char buffer[LWS_PRE + 1024], *p = buffer + LWS_PRE, *start = p;
	unsigned char *end = buffer + sizeof(buffer) - 1;
	const struct http_answer *an = &call->an;

	lws_set_timer_usecs(call->wsi, WEB_ANSWER_S * LWS_USEC_PER_SEC);
	if (lws_add_http_common_headers(call->wsi, an->status, an->size ? an->type : NULL,
					an->size, &p, end) ||
	    add_header(call->wsi, "Cache-Control:", "no-store", &p, end) ||
	    (an->allow[0] && add_header(call->wsi, "Allow:", an->allow, &p, end)) ||
	    (call->unread && add_header(call->wsi, "Connection:", "close", &p, end)) ||
	    (an->status == 503 && add_header(call->wsi, "Retry-After:", WEB_RETRY_AFTER, &p, end)) ||
	    (an->status == 401 && add_header(call->wsi, "WWW-Authenticate:", "Bearer", &p, end)) ||
	    lws_finalize_write_http_header(call->wsi, start, &p, end))
		return -1;
	call->headers_sent = true;
	return 0;
}

/* Return: 0 when more follows, 1 at the end, -1 to hang up. */
static int send_body(struct web_call *call)
{
	unsigned char buffer[LWS_PRE + WEB_CHUNK];
	size_t left = call->an.size - call->sent;
	size_t size = left < WEB_CHUNK ? left : WEB_CHUNK;
	enum lws_write_protocol how = size == left ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP;
	int r;

	memcpy(buffer + LWS_PRE, call->an.body + call->sent, size);
	r = lws_write(call->wsi, buffer + LWS_PRE, size, how);
	erase(buffer, sizeof(buffer));
	if (r < 0 || (size_t)r != size)
		return -1;
	call->sent += size;
	return call->sent == call->an.size;
}

static int linger(struct web_connection *connection, struct lws *wsi)
{
	connection->lingering = true;
	lws_set_timer_usecs(wsi, WEB_LINGER_S * LWS_USEC_PER_SEC);
	return 0;
}

static int on_writable(struct web_connection *connection)
{
	struct web_call *call = connection->call;
	struct lws *wsi;
	bool unread;
	int r;

	if (!call || !call->answered)
		return 0;
	wsi = call->wsi;
	if (!call->headers_sent) {
		if (send_headers(call) < 0)
			return -1;
		if (call->an.size) {
			lws_callback_on_writable(wsi);
			return 0;
		}
	}
	r = call->an.size ? send_body(call) : 1;
	if (r < 0)
		return -1;
	if (r == 0) {
		lws_callback_on_writable(wsi);
		return 0;
	}
	unread = call->unread;
	detach(connection);
	if (unread)
		return linger(connection, wsi);
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* A timer that is cancelled fires at once in libwebsockets 4.1, so none is: it is set
 * anew, or finds here that nobody waits for the client. */
static int on_timer(const struct web_connection *connection)
{
	if (!connection)
		return 0;
	return connection->lingering || (connection->call && !connection->call->with_pool) ? -1 : 0;
}

static void take_back(struct web *web)
{
	struct web_call *call;

	while ((call = web_pool_take(web->pool))) {
		if (call->wsi)
			lws_callback_on_writable(call->wsi);
		else
			web_call_free(call);
	}
}

/* Connections that are open go on with the certificate they know. */
static void renew(struct web *web)
{
	if (atomic_exchange(&web->renewing, false) && web->ssl)
		web->tls(web->ssl, web->user);
}

static struct web *web_of(struct lws *wsi)
{
	return wsi ? lws_context_user(lws_get_context(wsi)) : NULL;
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		   size_t length)
{
	struct web_connection *connection = user;
	struct web *web = web_of(wsi);

	switch (reason) {
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return web_channel_upgrade(&web->channel, wsi, in);
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return -1;
	case LWS_CALLBACK_HTTP:
		return on_request(web, wsi, connection, in, length);
	case LWS_CALLBACK_HTTP_BODY:
		return on_body(connection, in, length);
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return on_body_end(web, connection);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return on_writable(connection);
	case LWS_CALLBACK_TIMER:
		return on_timer(connection);
	case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
		return web_peers_admit(web->peers, (int)(intptr_t)in) ? 0 : -1;
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		if (web)
			renew(web);
		if (web && web->pool)
			take_back(web);
		if (web)
			web_channel_flush(&web->channel);
		return 0;
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
		detach(connection);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		/* It may have ended on its way to becoming a channel. */
		web_channel_drop(&web->channel, wsi);
		return 0;
	default:
		return 0;
	}
}

/* The vhost's TLS context is in the making. */
static int on_context(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		      size_t length)
{
	struct web *web;

	if (reason != LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
		return on_http(wsi, reason, user, in, length);
	web = lws_context_user(lws_get_context(wsi));
	web->ssl = user;
	return web_tls_setup(user) < 0 || web->tls(user, web->user) < 0 ? -1 : 0;
}

static int on_channel(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		      size_t length)
{
	struct web *web = web_of(wsi);

	(void)user;
	return web ? web_channel_callback(&web->channel, wsi, reason, in, length) : 0;
}

static const struct lws_protocols protocols[] = {
	{ .name = "http", .callback = on_context,
	  .per_session_data_size = sizeof(struct web_connection) },
	{ .name = CHANNEL_PROTOCOL, .callback = on_channel,
	  .per_session_data_size = sizeof(struct web_connection), .rx_buffer_size = WEB_CHUNK },
	{ .name = NULL },
};

static void log_line(int level, const char *line)
{
	size_t length = strcspn(line, "\n");

	log_print(level & LLL_ERR ? LOG_WARNING : LOG_DEBUG, "libwebsockets: %.*s", (int)length,
		  line);
}

static void wake(void *waker)
{
	const struct web *web = waker;

	lws_cancel_service(web->context);
}

static void feed_watchdog(lws_sorted_usec_list_t *timer)
{
	struct web *web = lws_container_of(timer, struct web, watchdog);

	sd_notify(/* unset_environment= */ 0, "WATCHDOG=1");
	lws_sul_schedule(web->context, /* tsi= */ 0, timer, feed_watchdog,
			 (lws_usec_t)(web->watchdog_us / 2));
}

static bool is_ipv4(const char *text)
{
	struct in_addr address;

	return text && inet_pton(AF_INET, text, &address) == 1;
}

static int open_port(struct web *web, const struct web_settings *s, struct error *e)
{
	struct lws_context_creation_info info = {
		.port = s->port, .iface = s->listen, .protocols = protocols,
		.user = web, .uid = -1, .gid = -1, .server_string = "vmcrypt-manager",
		/* Wants TLS to be had by this; without a key's name beside it no file is
		 * read, and on_context() sets both. */
		.ssl_cert_filepath = "certificate",
		.alpn = "http/1.1", .timeout_secs = WEB_IDLE_S,
		.timeout_secs_ah_idle = WEB_IDLE_S, .keepalive_timeout = WEB_IDLE_S,
		.max_http_header_data = WEB_HEADER_MAX, .max_http_header_pool = 256,
		.fd_limit_per_thread = WEB_CONNECTIONS_MAX + 8,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME |
			   LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
			   LWS_SERVER_OPTION_VALIDATE_UTF8 |
			   LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE |
			   (is_ipv4(s->listen) ? LWS_SERVER_OPTION_DISABLE_IPV6 : 0),
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
	web->context = lws_create_context(&info);
	web->vhost = web->context ? lws_get_vhost_by_name(web->context, "default") : NULL;
	if (!web->vhost)
		return error_fail(e, EADDRINUSE, "Cannot listen on %s port %u: the lines above say "
				  "why; is it taken, or the address not this machine's?",
				  s->listen ? s->listen : "all addresses", s->port);
	return 0;
}

int web_new(const struct web_settings *settings, struct web **ret, struct error *e)
{
	struct web *web = calloc(1, sizeof(*web));
	int r;

	if (!web)
		return error_oom(e);
	web->links = settings->links;
	web_channel_init(&web->channel, web->links, settings->ping_ms, settings->dead_ms);
	web->tls = settings->tls;
	web->user = settings->user;
	web->peers = web_peers_new(settings->per_address);
	r = web->peers ? open_port(web, settings, e) : error_oom(e);
	if (r == 0) {
		r = web_pool_new(settings->threads, WEB_QUEUE_MAX, settings->serve,
				 settings->user, wake, web, &web->pool);
		if (r < 0)
			error_fail(e, r, "Cannot start %u threads for requests: %s",
				   settings->threads, error_name(r));
	}
	if (r < 0) {
		web_free(web);
		return r;
	}
	if (web->links)
		links_set_wake(web->links, wake, web);
	*ret = web;
	return 0;
}

uint16_t web_port(const struct web *web)
{
	return (uint16_t)lws_get_vhost_listen_port(web->vhost);
}

int web_run(struct web *web, struct error *e)
{
	int r = 0;

	if (sd_watchdog_enabled(/* unset_environment= */ 0, &web->watchdog_us) > 0)
		feed_watchdog(&web->watchdog);
	while (r >= 0 && !web->stopping)
		r = lws_service(web->context, /* timeout_ms= */ 0);
	if (!web->stopping)
		return error_fail(e, EIO, "The loop that serves connections has failed: restart "
				  "the manager");
	return 0;
}

void web_renew(struct web *web)
{
	web->renewing = true;
	lws_cancel_service(web->context);
}

void web_stop(struct web *web)
{
	web->stopping = true;
	lws_cancel_service(web->context);
}

void web_free(struct web *web)
{
	if (!web)
		return;
	/* Threads wake the context, connections know calls that are with the pool. */
	if (web->pool)
		web_pool_stop(web->pool);
	if (web->links)
		links_set_wake(web->links, NULL, NULL);
	if (web->context)
		lws_context_destroy(web->context);
	web_pool_free(web->pool);
	web_peers_free(web->peers);
	free(web);
}
