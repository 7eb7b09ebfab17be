/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTPS: one thread carries all connections (libwebsockets), a few threads
 * answer requests, so that work that waits keeps nobody else waiting.
 */
#ifndef MANAGER_WEB_H
#define MANAGER_WEB_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "common/errors.h"
#include "manager/http.h"

/** WEB_CONNECTIONS_MAX - open at a time; more wait in the kernel's queue */
#define WEB_CONNECTIONS_MAX	1024
/** WEB_QUEUE_MAX - requests that wait for a thread; more are answered 503 */
#define WEB_QUEUE_MAX		256
/** WEB_REQUEST_S - seconds from a request's first line to its last byte */
#define WEB_REQUEST_S		20
/** WEB_ANSWER_S - seconds a client may take to read its answer */
#define WEB_ANSWER_S		30
/** WEB_RETRY_AFTER - seconds, that a client who was answered 503 is told to wait */
#define WEB_RETRY_AFTER		"5"
/** WEB_LINGER_S - seconds for a client to read the answer to what it has not sent in full */
#define WEB_LINGER_S		5
/** WEB_LINGER_MAX - bytes that it may send meanwhile */
#define WEB_LINGER_MAX		(1024U * 1024U)
/** WEB_IDLE_S - seconds that a connection may stand idle, and a handshake take */
#define WEB_IDLE_S		15

struct links;
struct web;

/**
 * struct web_settings - what web_new() is given
 * @listen: an address, NULL: all
 * @port: 0: any, see web_port()
 * @tls: gives the server its certificate and key, and the authority of hosts;
 * *	@user as given here; called before web_new() returns, and after web_renew() in
 *	web_run(); 0 or -errno
 * @per_address: connections that one client address may have, more are hung up on;
 *	0: any number
 * @threads: that answer requests
 * @serve: fills @an, in one of these threads
 * @links: of the hosts that dial the channel; NULL: there is none
 * @ping_ms: silence on the channel until a ping; 0: CHANNEL_PING_S
 * @dead_ms: silence until a host is given up; 0: CHANNEL_DEAD_S
 */
struct web_settings {
	const char *listen;
	uint16_t port;
	int (*tls)(SSL_CTX *ctx, void *user);
	unsigned int per_address;
	unsigned int threads;
	void (*serve)(const struct http_request *rq, struct http_answer *an, void *user);
	void *user;
	struct links *links;
	unsigned int ping_ms;
	unsigned int dead_ms;
};

/**
 * web_new() - listen
 *
 * A client may show a certificate of whatever issuer: a user's is known by its
 * fingerprint, a host's by the authority. Expired ones fail the handshake.
 *
 * Return: 0; -EADDRINUSE and other errno.
 */
int web_new(const struct web_settings *settings, struct web **ret, struct error *e);

/** web_port() - that it listens on */
uint16_t web_port(const struct web *web);

/** web_run() - serve until web_stop(); in the thread that called web_new() */
int web_run(struct web *web, struct error *e);

/** web_renew() - have @tls called again, for connections to come; from any thread */
void web_renew(struct web *web);

/** web_stop() - end web_run(); from any thread */
void web_stop(struct web *web);

/**
 * web_free() - waits for the requests that run; NULL is left alone
 *
 * After links_stop(), so that none of them waits for a host, and before links_free().
 */
void web_free(struct web *web);

#endif
