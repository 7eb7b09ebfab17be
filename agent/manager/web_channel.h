/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hosts' channel (common/channel.h) as libwebsockets has it: whole messages in, whole
 * messages out, pings, and an end to who is silent. What the messages say is for
 * links_channel.h. Everything here is called by the thread of the connections.
 */
#ifndef MANAGER_WEB_CHANNEL_H
#define MANAGER_WEB_CHANNEL_H

#include <libwebsockets.h>
#include <sys/queue.h>

struct links;
struct web_channel_connection;

/**
 * struct web_channel - all connections of hosts
 * @links: NULL: there is no channel here
 * @ping_us: silence after which we send a ping
 * @dead_us: silence after which the host is given up
 */
struct web_channel {
	struct links *links;
	lws_usec_t ping_us;
	lws_usec_t dead_us;
	TAILQ_HEAD(, web_channel_connection) connections;
};

/** web_channel_init() - @links may be NULL; 0 ms: as common/channel.h has them */
void web_channel_init(struct web_channel *channel, struct links *links, unsigned int ping_ms,
		      unsigned int dead_ms);

/**
 * web_channel_upgrade() - a request to become a WebSocket, whose headers are there
 * @to: what it wants to become
 *
 * Who may not is answered with a status of HTTP and the reason.
 *
 * Return: 0: goes on, 1: answered, -1: hang up.
 */
int web_channel_upgrade(struct web_channel *channel, struct lws *wsi, const char *to);

/** web_channel_callback() - for the entry of the subprotocol */
int web_channel_callback(struct web_channel *channel, struct lws *wsi,
			 enum lws_callback_reasons reason, void *in, size_t size);

/** web_channel_flush() - links_channel.h has something to send, or hangs up */
void web_channel_flush(struct web_channel *channel);

/** web_channel_drop() - the connection is gone, whatever had become of it */
void web_channel_drop(struct web_channel *channel, struct lws *wsi);

#endif
