/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The links from inside; all that is not said to be otherwise is under links.lock. */
#ifndef MANAGER_LINKS_INTERNAL_H
#define MANAGER_LINKS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "crypto/box.h"
#include "manager/authority.h"
#include "manager/host_requests.h"
#include "manager/http.h"
#include "manager/links.h"
#include "manager/links_channel.h"

/** LINKS_THREADS_MAX - of all lanes together */
#define LINKS_THREADS_MAX 64

struct lane;

/**
 * struct work - something that waits for a thread
 * @run: called and returning under the lock, which it lets go meanwhile
 * @queued: it is in a lane's queue, which holds a reference to the link
 */
struct work {
	void (*run)(struct link *link);
	struct link *link;
	bool queued;
	TAILQ_ENTRY(work) entry;
};

TAILQ_HEAD(work_list, work);

/**
 * struct lane - threads for work of one sort, so that the other sorts need not wait
 * @max: threads; they are started when they are needed
 */
struct lane {
	struct links *links;
	struct work_list ready;
	pthread_cond_t wake;
	unsigned int n_threads;
	unsigned int n_idle;
	unsigned int max;
};

struct link_message {
	char *text;
	size_t size;
	bool answer;
	STAILQ_ENTRY(link_message) entry;
};

struct link_request {
	struct channel_frame frame;
	STAILQ_ENTRY(link_request) entry;
};

/**
 * struct link_ask - a question to a host
 * @done: answered, or given up by the link; the rest is filled then
 * @abandoned: nobody waits any more, but the host may still answer
 */
struct link_ask {
	uint64_t id;
	const char *op;
	bool done;
	bool abandoned;
	json_t *result;
	struct channel_failure why;
	pthread_cond_t answered;
	TAILQ_ENTRY(link_ask) entry;
};

/**
 * enum link_queue_id - requests of a host that do not wait for each other
 * @QUEUE_REST: all but those for keys; hello is among them
 * @QUEUE_KEYS: may wait for a key server that does not answer
 */
enum link_queue_id {
	QUEUE_REST,
	QUEUE_KEYS,
	N_QUEUES,
};

/**
 * struct link_queue - they are worked on one after the other
 * @requests: that wait
 * @work: on the first of them
 * @busy: a thread works on one
 * @peer: for its handler, which has it alone
 */
struct link_queue {
	STAILQ_HEAD(, link_request) requests;
	struct work work;
	bool busy;
	struct host_peer peer;
};

/**
 * struct link - one connection of a host, and what is left to do when it is gone
 * @refs: the connection, queued work, who waits for an answer
 * @open: the connection is there and is the host's newest
 * @over: it is to be closed
 * @hello: it was said, and was right
 * @n_requests: that wait, are worked on, or whose answer was not sent yet
 * @wants: the thread of the connections is to look; without the lock
 */
struct link {
	struct links *links;
	struct link_queue queues[N_QUEUES];
	char host[UUID_TEXT_SIZE];
	char serial[AUTHORITY_SERIAL_SIZE];
	char address[HTTP_PEER_SIZE];
	uint8_t public_key[BOX_KEY_SIZE];
	unsigned int refs;
	bool open;
	bool over;
	bool hello;
	uint64_t next_id;
	unsigned int n_requests;
	unsigned int n_asks;
	atomic_bool wants;
	STAILQ_HEAD(, link_message) messages;
	TAILQ_HEAD(, link_ask) asks;
	struct work provision;
	struct work reported;
	struct work lost;
	TAILQ_ENTRY(link) entry;
};

/**
 * struct links - all of them
 * @open: links with a connection that is a channel
 * @wake: makes the thread of the connections look at those that want
 */
struct links {
	struct manager *manager;
	pthread_mutex_t lock;
	TAILQ_HEAD(, link) open;
	struct lane lanes[N_LANES];
	pthread_t threads[LINKS_THREADS_MAX];
	unsigned int n_threads;
	bool stopping;
	void (*wake)(void *waker);
	void *waker;
};

/** link_find() - the open link of a host that has said hello; NULL */
struct link *link_find(struct links *links, const char *host);

/** link_unref() - frees the last one */
void link_unref(struct link *link);

/** link_post() - queue a message; takes @text, which is dropped when the link is over */
void link_post(struct link *link, char *text, size_t size, bool answer);

/** link_hang_up() - let the connection be closed, and let go who waits for the host */
void link_hang_up(struct link *link, const char *why);

/** link_answered() - a host's answer or failure. Return: 0; -errno: close the channel */
int link_answered(struct link *link, const struct channel_frame *frame, struct error *e);

/** link_serve() - have what waits worked on, by a lane */
void link_serve(struct link *link);

/** link_queue_of() - where a request belongs */
struct link_queue *link_queue_of(struct link *link, const struct channel_frame *frame);

/** links_work() - queue work, start a thread where one is wanting; @work has its @run */
void links_work(struct link *link, struct work *work, enum lane_id lane);

/** links_lanes_init(), links_lanes_stop() - the latter waits for what runs; no lock held */
void links_lanes_init(struct links *links);
void links_lanes_stop(struct links *links);

#endif
