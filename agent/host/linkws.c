/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection to the manager: a WebSocket by libwebsockets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "host/address.h"
#include "host/httpclient.h"
#include "host/linkstate.h"
#include "host/linktls.h"

/* The clock is looked at so often in the time between two pings. */
#define TICKS	4

/**
 * struct connection - what lives as long as the library's context
 * @epoch: of the identity that it is dialled with
 * @wsi: NULL once it is closed
 * @over: nothing more comes
 * @in: the message that is coming, @in_size bytes of it
 * @heard: when the last bytes came, ms
 * @said: when the last message went out
 */
struct connection {
	struct link *link;
	uint64_t epoch;
	struct address address;
	struct link_tls tls;
	struct lws *wsi;
	bool over;
	bool ping;
	char *in;
	size_t in_size;
	uint64_t heard;
	uint64_t said;
	struct error why;
};

static int hang_up(struct connection *c, const struct error *why)
{
	if (!error_is_set(&c->why))
		c->why = *why;
	c->over = true;
	/* After a timer the library goes on to wait for sockets, of which none is left. */
	if (c->link->context)
		lws_cancel_service(c->link->context);
	return -1;
}

static void set_timer(struct connection *c)
{
	lws_set_timer_usecs(c->wsi, (lws_usec_t)c->link->times.ping_ms * 1000 / TICKS);
}

static int on_established(struct connection *c)
{
	struct error e = ERROR_NULL;
	int r;

	if (!link_tls_good(lws_get_ssl(c->wsi))) {
		error_fail(&e, EHOSTUNREACH, "the manager's TLS is not what it has to be");
		return hang_up(c, &e);
	}
	c->heard = link_now();
	c->said = c->heard;
	set_timer(c);
	pthread_mutex_lock(&c->link->lock);
	r = link_hello(c->link, &e);
	pthread_mutex_unlock(&c->link->lock);
	if (r < 0)
		return hang_up(c, &e);
	lws_callback_on_writable(c->wsi);
	return 0;
}

static int on_receive(struct connection *c, const void *data, size_t size)
{
	struct error e = ERROR_NULL;

	c->heard = link_now();
	if (lws_is_first_fragment(c->wsi))
		c->in_size = 0;
	if (lws_frame_is_binary(c->wsi) || size > CHANNEL_FRAME_MAX - c->in_size) {
		error_fail(&e, EBADMSG, "the manager sends what is no message of the channel, or one that is too large");
		return hang_up(c, &e);
	}
	memcpy(c->in + c->in_size, data, size);
	c->in_size += size;
	if (!lws_is_final_fragment(c->wsi))
		return 0;
	if (uplink_take(c->link, c->in, c->in_size, &e) < 0)
		return hang_up(c, &e);
	c->in_size = 0;
	return 0;
}

static struct link_message *next_message(struct link *link, bool *ret_more)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);
	struct link_message *message = STAILQ_FIRST(&link->messages);

	if (message)
		STAILQ_REMOVE_HEAD(&link->messages, entry);
	*ret_more = !STAILQ_EMPTY(&link->messages);
	/* Who waits for all to be gone. */
	pthread_cond_broadcast(&link->changed);
	return message;
}

static int send_ping(struct connection *c)
{
	unsigned char buffer[LWS_PRE];

	c->ping = false;
	c->said = link_now();
	return lws_write(c->wsi, buffer + LWS_PRE, 0, LWS_WRITE_PING) < 0 ? -1 : 0;
}

static int on_writable(struct connection *c)
{
	struct link_message *message;
	bool more;
	int n;

	if (c->ping) {
		lws_callback_on_writable(c->wsi);
		return send_ping(c);
	}
	message = next_message(c->link, &more);
	if (!message)
		return 0;
	n = lws_write(c->wsi, message->data + LWS_PRE, message->size, LWS_WRITE_TEXT);
	c->said = link_now();
	if (n < 0 || (size_t)n < message->size)
		n = -1;
	free(message);
	if (more)
		lws_callback_on_writable(c->wsi);
	return n < 0 ? -1 : 0;
}

static int on_tick(struct connection *c)
{
	const struct link_times *times = &c->link->times;
	struct error e = ERROR_NULL;
	uint64_t now = link_now();

	if (now - c->heard >= times->dead_ms) {
		error_fail(&e, ETIMEDOUT, "nothing was heard of the manager for %u s",
			   times->dead_ms / 1000);
		return hang_up(c, &e);
	}
	if (now - c->said >= times->ping_ms || now - c->heard >= times->ping_ms) {
		c->ping = true;
		lws_callback_on_writable(c->wsi);
	}
	set_timer(c);
	return 0;
}

/* Another thread wants something. */
static int on_wake(struct connection *c)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&c->link->lock);

	if (c->link->stop || c->link->epoch != c->epoch)
		c->over = true;
	else if (c->wsi && c->link->open && !STAILQ_EMPTY(&c->link->messages))
		lws_callback_on_writable(c->wsi);
	return 0;
}

/* @text: why, of @size bytes; NULL: it was closed. */
static int on_failed(struct connection *c, const char *text, size_t size)
{
	_cleanup_free_ char *why = text ? strndup(text, size) : NULL;
	struct error e = ERROR_NULL;

	http_failed(&c->address, &c->tls, why, &e);
	hang_up(c, &e);
	c->wsi = NULL;
	return 0;
}

static int on_channel(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		      size_t size)
{
	struct connection *c = wsi ? lws_context_user(lws_get_context(wsi)) : NULL;

	(void)user;
	if (!c)
		return 0;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		return on_established(c);
	case LWS_CALLBACK_CLIENT_RECEIVE:
		return on_receive(c, in, size);
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		c->heard = link_now();
		return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return on_writable(c);
	case LWS_CALLBACK_TIMER:
		return on_tick(c);
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		return on_wake(c);
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		return on_failed(c, in, size);
	case LWS_CALLBACK_CLIENT_CLOSED:
		return on_failed(c, /* text= */ NULL, 0);
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{ .name = CHANNEL_PROTOCOL, .callback = on_channel, .rx_buffer_size = 4096 },
	{ .name = NULL },
};

static int open_context(struct connection *c)
{
	struct link *link = c->link;
	struct lws_context *context = http_context(&c->tls, protocols, c);
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;

	if (!context)
		return error_oom(&c->why);
	lock = mutex_lock(&link->lock);
	link->context = context;
	/* What came before there was something to wake. */
	c->over = link->stop || link->epoch != c->epoch;
	return 0;
}

static bool close_context(struct connection *c)
{
	struct link *link = c->link;
	struct lws_context *context;
	bool good;

	pthread_mutex_lock(&link->lock);
	context = link->context;
	link->context = NULL;
	good = link->connected;
	/* It need not have failed: the host has left, or has another certificate now. */
	if (!error_is_set(&c->why))
		error_set(&c->why, ECONNRESET, EXIT_NO_KEY, 0,
			  "the connection to the manager has ended: try again");
	link_end(link, &c->why);
	pthread_mutex_unlock(&link->lock);
	lws_context_destroy(context);
	return good;
}

static void serve(struct connection *c)
{
	struct lws_client_connect_info info = http_connect_info(c->link->context, &c->address);
	int r = 0;

	info.path = CHANNEL_PATH;
	info.protocol = CHANNEL_PROTOCOL;
	info.pwsi = &c->wsi;
	if (!lws_client_connect_via_info(&info) && !c->over)
		on_failed(c, /* text= */ NULL, 0);
	while (r >= 0 && !c->over)
		r = lws_service(c->link->context, /* timeout_ms= */ 0);
}

bool link_connect(struct link *link, const struct identity *identity, uint64_t epoch,
		  struct error *ret_why)
{
	struct connection c = { .link = link, .epoch = epoch };
	bool good = false;
	int r;

	r = address_parse(identity->url, &c.address, &c.why);
	if (r == 0)
		r = link_tls_channel(&c.address, identity, &c.tls, &c.why);
	c.in = r == 0 ? malloc(CHANNEL_FRAME_MAX) : NULL;
	if (r == 0 && !c.in)
		r = error_oom(&c.why);
	if (r == 0)
		r = open_context(&c);
	if (r == 0) {
		if (!c.over)
			serve(&c);
		good = close_context(&c);
	}
	link_tls_done(&c.tls);
	free(c.in);
	*ret_why = c.why;
	return good;
}
