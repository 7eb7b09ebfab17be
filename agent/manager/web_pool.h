/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads that answer requests. The thread of the connections hands calls
 * over and takes them back; between the two a call belongs to the pool.
 */
#ifndef MANAGER_WEB_POOL_H
#define MANAGER_WEB_POOL_H

#include <stdbool.h>
#include <sys/queue.h>

#include "manager/http.h"

struct lws;

/**
 * struct web_call - one request under way
 * @wsi: the connection, NULL when it is gone; for the connections' thread only
 * @rq: written before the call is handed over
 * @an: read after it came back
 * @received: bytes of the body
 * @sent: bytes of the answer
 * @with_pool: handed over and not yet taken back
 * @answered: @an is to be sent
 * @unread: it is refused before all of it was read
 * @headers_sent: the answer's body follows
 */
struct web_call {
	struct lws *wsi;
	struct http_request rq;
	struct http_answer an;
	size_t received;
	size_t sent;
	bool with_pool;
	bool answered;
	bool unread;
	bool headers_sent;
	STAILQ_ENTRY(web_call) entry;
};

struct web_pool;

/**
 * web_pool_new() - start the threads
 * @serve: fills the answer, in one of them
 * @wake: called by them when a call is ready to be taken back
 */
int web_pool_new(unsigned int threads, unsigned int queue_max,
		 void (*serve)(const struct http_request *rq, struct http_answer *an, void *user),
		 void *user, void (*wake)(void *waker), void *waker, struct web_pool **ret);

/** web_pool_give() - Return: 0; -EAGAIN when too many wait */
int web_pool_give(struct web_pool *pool, struct web_call *call);

/** web_pool_take() - a call that is answered, NULL when there is none */
struct web_call *web_pool_take(struct web_pool *pool);

/** web_pool_stop() - end the threads; waits for what runs */
void web_pool_stop(struct web_pool *pool);

/** web_pool_free() - stop, and free the calls that were not taken back */
void web_pool_free(struct web_pool *pool);

/** web_call_free() - erase and free; NULL is left alone */
void web_call_free(struct web_call *call);

#endif
