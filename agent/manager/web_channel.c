/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/web_channel.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/secret.h"
#include "crypto/x509.h"
#include "manager/http.h"
#include "manager/links_channel.h"

/* Looked at so many times within the shorter of the two silences. */
#define TICKS	2

/* Belongs to its connection as libwebsockets' opaque data. */
struct web_channel_connection {
	struct lws *wsi;
	struct link *link;
	char *message;		/* being put together */
	size_t size;
	lws_usec_t received;
	lws_usec_t sent;
	bool open;
	bool ping;		/* one is due */
	TAILQ_ENTRY(web_channel_connection) entry;
};

void web_channel_init(struct web_channel *channel, struct links *links, unsigned int ping_ms,
		      unsigned int dead_ms)
{
	channel->links = links;
	channel->ping_us = (ping_ms ? ping_ms : CHANNEL_PING_S * 1000) * LWS_US_PER_MS;
	channel->dead_us = (dead_ms ? dead_ms : CHANNEL_DEAD_S * 1000) * LWS_US_PER_MS;
	TAILQ_INIT(&channel->connections);
}

static bool header_is(struct lws *wsi, enum lws_token_indexes token, const char *wanted)
{
	char text[64];

	return lws_hdr_copy(wsi, text, sizeof(text), token) > 0 && strcmp(text, wanted) == 0;
}

static int add(struct lws *wsi, enum lws_token_indexes token, const char *value,
	       unsigned char **p, unsigned char *end)
{
	return lws_add_http_header_by_token(wsi, token, (const unsigned char *) value,
					    (int) strlen(value), p, end);
}

/* In one piece, for it is short. The library has it as HTTP/1.0, and closes behind it. */
static int refuse(struct lws *wsi, unsigned int status, const struct error *e)
{
	unsigned char buffer[LWS_PRE + 2048], *start = buffer + LWS_PRE, *p = start;
	unsigned char *end = buffer + sizeof(buffer);
	struct http_answer an = { .status = 0 };
	int r = 1;

	http_answer_error(&an, status, e);
	if (!an.body || lws_add_http_common_headers(wsi, an.status, an.type, an.size, &p, end) ||
	    add(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, "no-store", &p, end) ||
	    lws_finalize_http_header(wsi, &p, end) || an.size > (size_t) (end - p)) {
		r = -1;
	} else {
		memcpy(p, an.body, an.size);
		p += an.size;
		if (lws_write(wsi, start, (size_t) (p - start), LWS_WRITE_HTTP_HEADERS) < p - start)
			r = -1;
	}
	http_answer_done(&an);
	return r;
}

/* What can be seen before anybody is asked. Return: 0 or a status of HTTP. */
static unsigned int check_request(struct lws *wsi, struct error *e)
{
	if (!header_is(wsi, WSI_TOKEN_GET_URI, CHANNEL_PATH)) {
		error_usage(e, "There is no channel at this path, but at " CHANNEL_PATH);
		return 404;
	}
	if (!header_is(wsi, WSI_TOKEN_PROTOCOL, CHANNEL_PROTOCOL)) {
		error_usage(e, "The channel speaks the subprotocol " CHANNEL_PROTOCOL " and no other");
		return 400;
	}
	if (SSL_version(lws_get_ssl(wsi)) < TLS1_3_VERSION) {
		error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "The channel needs TLS 1.3");
		return 403;
	}
	return 0;
}

static void connection_free(struct web_channel_connection *c)
{
	if (c->message)
		erase(c->message, c->size);
	free(c->message);
	free(c);
}

static int dialled(struct web_channel *channel, struct lws *wsi, struct error *e)
{
	_cleanup_(x509_freep) X509 *peer = SSL_get1_peer_certificate(lws_get_ssl(wsi));
	struct web_channel_connection *c = calloc(1, sizeof(*c));
	char address[HTTP_PEER_SIZE] = "";
	int r;

	if (!c)
		return error_oom(e);
	lws_get_peer_simple(wsi, address, sizeof(address));
	r = link_new(channel->links, peer, address, &c->link, e);
	if (r < 0) {
		connection_free(c);
		return r;
	}
	c->wsi = wsi;
	lws_set_opaque_user_data(wsi, c);
	TAILQ_INSERT_TAIL(&channel->connections, c, entry);
	return 0;
}

int web_channel_upgrade(struct web_channel *channel, struct lws *wsi, const char *to)
{
	struct error e = ERROR_NULL;
	unsigned int status;

	if (!channel->links || strcmp(to, "websocket") != 0)
		return -1;
	status = check_request(wsi, &e);
	if (status == 0 && dialled(channel, wsi, &e) == 0)
		return 0;
	log_debug("Channel refused: %s", e.text);
	return refuse(wsi, status, &e);
}

static int arm(struct web_channel *channel, struct lws *wsi)
{
	lws_usec_t least = channel->ping_us < channel->dead_us ? channel->ping_us : channel->dead_us;

	lws_set_timer_usecs(wsi, least / TICKS);
	return 0;
}

static int opened(struct web_channel *channel, struct web_channel_connection *c)
{
	c->open = true;
	c->received = c->sent = lws_now_usecs();
	link_opened(c->link);
	return arm(channel, c->wsi);
}

/* The status goes into the closing message: 1002 protocol, 1009 too large. */
static int hang_up(struct web_channel_connection *c, enum lws_close_status status,
		   const struct error *e)
{
	char reason[120];
	int n = snprintf(reason, sizeof(reason), "%s", e->text);

	log_info("Closing the channel: %s", e->text);
	lws_close_reason(c->wsi, status, (unsigned char *) reason,
			 n < (int) sizeof(reason) ? (size_t) n : sizeof(reason) - 1);
	return -1;
}

static int keep(struct web_channel_connection *c, const void *data, size_t size, struct error *e)
{
	char *larger;

	if (size > CHANNEL_FRAME_MAX - c->size)
		return error_fail(e, EFBIG, "A message of more than %zu bytes has come by the channel",
				  CHANNEL_FRAME_MAX);
	/* Grows as the bytes come, not as the frame promises. */
	larger = realloc(c->message, c->size + size + 1);
	if (!larger)
		return error_oom(e);
	memcpy(larger + c->size, data, size);
	c->message = larger;
	c->size += size;
	return 0;
}

static int take(struct web_channel_connection *c, void *data, size_t size)
{
	struct lws *wsi = c->wsi;
	struct error e = ERROR_NULL;
	int r;

	if (lws_frame_is_binary(wsi)) {
		error_fail(&e, EBADMSG, "A binary message has come by the channel, which has text alone");
		return hang_up(c, LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE, &e);
	}
	r = keep(c, data, size, &e);
	if (r < 0)
		return hang_up(c, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, &e);
	if (lws_remaining_packet_payload(wsi) || !lws_is_final_fragment(wsi))
		return 0;
	r = link_received(c->link, c->message, c->size, &e);
	erase(c->message, c->size);
	free(TAKE_PTR(c->message));
	c->size = 0;
	return r < 0 ? hang_up(c, LWS_CLOSE_STATUS_PROTOCOL_ERR, &e) : 0;
}

static int received(struct web_channel_connection *c, void *data, size_t size)
{
	int r;

	c->received = lws_now_usecs();
	r = take(c, data, size);
	/* The library's buffer lives as long as it does. */
	if (size)
		erase(data, size);
	return r;
}

static int send_message(struct web_channel_connection *c, const char *text, size_t size)
{
	unsigned char *buffer = malloc(LWS_PRE + size);
	int r = -1;

	if (!buffer)
		return -1;
	memcpy(buffer + LWS_PRE, text, size);
	if (lws_write(c->wsi, buffer + LWS_PRE, size, LWS_WRITE_TEXT) >= (int) size)
		r = 0;
	erase(buffer, LWS_PRE + size);
	free(buffer);
	return r;
}

static int go(struct web_channel_connection *c)
{
	lws_close_reason(c->wsi, LWS_CLOSE_STATUS_GOINGAWAY, NULL, 0);
	return -1;
}

static int writable(struct web_channel_connection *c)
{
	/* With a payload: the library does not tell of a pong without. */
	unsigned char ping[LWS_PRE + 4] = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r = 0;

	text = link_take(c->link, &size);
	if (text) {
		r = send_message(c, text, size);
		erase(text, size);
	} else if (c->ping) {
		r = lws_write(c->wsi, ping + LWS_PRE, sizeof(ping) - LWS_PRE, LWS_WRITE_PING) < 0 ? -1 : 0;
	} else {
		/* What was said before the end has been sent by now. */
		return link_over(c->link) ? go(c) : 0;
	}
	c->ping = false;
	c->sent = lws_now_usecs();
	if (r == 0 && link_wants(c->link))
		lws_callback_on_writable(c->wsi);
	return r;
}

static int tick(struct web_channel *channel, struct web_channel_connection *c)
{
	lws_usec_t now = lws_now_usecs();

	if (now - c->received >= channel->dead_us)
		return -1;
	if (now - c->sent >= channel->ping_us) {
		c->ping = true;
		lws_callback_on_writable(c->wsi);
	}
	return arm(channel, c->wsi);
}

int web_channel_callback(struct web_channel *channel, struct lws *wsi,
			 enum lws_callback_reasons reason, void *in, size_t size)
{
	struct web_channel_connection *c = lws_get_opaque_user_data(wsi);

	if (!c)
		return reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION ? -1 : 0;
	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		return opened(channel, c);
	case LWS_CALLBACK_RECEIVE:
		return received(c, in, size);
	case LWS_CALLBACK_RECEIVE_PONG:
		c->received = lws_now_usecs();
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return writable(c);
	case LWS_CALLBACK_TIMER:
		return tick(channel, c);
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_WSI_DESTROY:
		web_channel_drop(channel, wsi);
		return 0;
	default:
		return 0;
	}
}

void web_channel_flush(struct web_channel *channel)
{
	struct web_channel_connection *c;

	TAILQ_FOREACH(c, &channel->connections, entry)
		if (c->open && link_wants(c->link))
			lws_callback_on_writable(c->wsi);
}

void web_channel_drop(struct web_channel *channel, struct lws *wsi)
{
	struct web_channel_connection *c = lws_get_opaque_user_data(wsi);

	if (!c)
		return;
	lws_set_opaque_user_data(wsi, NULL);
	TAILQ_REMOVE(&channel->connections, c, entry);
	link_closed(c->link);
	connection_free(c);
}
