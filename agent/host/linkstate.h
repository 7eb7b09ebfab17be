/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of the link: for the files host/link*.c only.
 */
#ifndef HOST_LINKSTATE_H
#define HOST_LINKSTATE_H

#include <libwebsockets.h>
#include <pthread.h>
#include <sys/queue.h>

#include "common/encode.h"
#include "common/lock.h"
#include "crypto/box.h"
#include "host/link.h"

/**
 * struct link_request - what we have asked
 * @id: of the message
 * @hello: the first one, for which nobody waits
 * @over: @result or @why is there
 * @abandoned: who asked has gone: the answer is dropped, and frees it
 */
struct link_request {
	uint64_t id;
	char op[32];
	bool hello;
	bool over;
	bool abandoned;
	json_t *result;
	struct channel_failure why;
	TAILQ_ENTRY(link_request) entry;
};

/**
 * struct link_order - what the manager asks
 * @connection: that it came over, and that its answer has to go over
 * @result: its answer, while that waits for a report; owned
 */
struct link_order {
	uint64_t connection;
	struct channel_frame frame;
	json_t *result;
	STAILQ_ENTRY(link_order) entry;
};

STAILQ_HEAD(link_orders, link_order);

/** struct link_message - one that is to be sent; @size bytes behind LWS_PRE */
struct link_message {
	STAILQ_ENTRY(link_message) entry;
	size_t size;
	unsigned char data[];
};

/**
 * struct link - the link
 * @order_lock: held while an order of the manager takes effect, and while the host leaves;
 *	taken before @lock
 * @lock: of what follows
 * @changed: of what threads wait for
 * @stop: the agent ends
 * @joining: a join is under way
 * @joined: @identity is there
 * @tpm: there is one, as hello says
 * @epoch: rises whenever @identity changes: connections of an older one end
 * @connection: number of the one that stands, or stood last
 * @open: it stands; hello may not be answered yet
 * @connected: hello is answered
 * @context: of the connection, for waking its thread
 * @box: what keys are sealed for; erased when the connection ends
 * @requests: ours, @n_requests of them
 * @orders: the manager's that wait, @n_orders with those that are being worked on
 * @messages: to be sent
 * @report_at: when the disks are to be reported, ms of CLOCK_MONOTONIC; 0: not
 * @renew_at: when the certificate is to be looked at
 * @reported: what was reported last over this connection, or NULL
 * @runs: orders for the main loop
 * @ended: orders that have changed disks: answered when the manager knows that
 */
struct link {
	struct host *host;
	struct link_times times;
	pthread_t wire, worker, chores;
	unsigned int threads;
	int run_fd;
	sd_event_source *run_source;

	pthread_mutex_t order_lock;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop;
	bool joining;
	bool joined;
	bool tpm;
	uint64_t epoch;
	struct identity identity;
	enum host_mode mode;
	char name[CHANNEL_TEXT_MAX + 1];
	int64_t connected_since;
	struct error trouble;

	uint64_t connection;
	bool open;
	bool connected;
	struct lws_context *context;
	struct box_key box;
	uint64_t next_id;
	TAILQ_HEAD(, link_request) requests;
	unsigned int n_requests;
	struct link_orders orders;
	unsigned int n_orders;
	STAILQ_HEAD(, link_message) messages;
	uint64_t report_at;
	uint64_t renew_at;
	json_t *reported;
	struct link_orders runs;
	struct link_orders ended;
};

/** link_now() - ms of CLOCK_MONOTONIC, as deadlines are counted */
static inline uint64_t link_now(void)
{
	return (uint64_t)time_monotonic_ms();
}

/* From here to link_end(): with the lock held. */

/** link_wake() - make the connection's thread look */
void link_wake(struct link *link);

/** link_send() - add a message; @text of @size bytes stays the caller's. 0 or -ENOMEM */
int link_send(struct link *link, const char *text, size_t size);

/** link_wait() - for a change, until @deadline_ms (0: for ever). Return: false: it is past */
bool link_wait(struct link *link, uint64_t deadline_ms);

/** link_request_add() - NULL: out of memory, or too many wait; @e says which */
struct link_request *link_request_add(struct link *link, const char *op, json_t *args,
				      struct error *e);

/** link_end() - the connection has ended: erase its key, fail and drop what waits */
void link_end(struct link *link, const struct error *why);

/** link_stands() - whether a connection still is the one to this host's manager */
bool link_stands(const struct link *link, uint64_t connection);

/* Without it. */

/**
 * link_connect() - one connection, from dialling to its end
 * @identity: its key is open
 * @epoch: as it was when @identity was taken
 *
 * Return: whether hello was answered; @ret_why says how it ended.
 */
bool link_connect(struct link *link, const struct identity *identity, uint64_t epoch,
		  struct error *ret_why);

/** link_hello() - say it; with the lock held. 0 or -errno: hang up */
int link_hello(struct link *link, struct error *e);

/**
 * uplink_take() - a whole message has come
 *
 * Return: 0; -errno: it breaks the rules, hang up.
 */
int uplink_take(struct link *link, const char *text, size_t size, struct error *e);

/** link_answer() - answer an order, unless its connection is gone; frees it */
void link_answer(struct link *link, struct link_order *order, json_t *result,
		 const struct channel_failure *failure);

/**
 * link_answer_reported() - link_answer(), once the manager knows the disks as they are now
 * @result: stays the caller's
 *
 * What a user does next is checked by what the manager knows.
 */
void link_answer_reported(struct link *link, struct link_order *order, json_t *result);

/** link_open_kek() - open a sealed key that came over a connection */
int link_open_kek(struct link *link, uint64_t connection, const json_t *key,
		  uint8_t ret_provider[UUID_SIZE], const char **ret_key_id,
		  struct secret *ret_kek, struct error *e);

/** link_open_kdk() - the same for kdk.push */
int link_open_kdk(struct link *link, uint64_t connection, const json_t *args,
		  struct secret *ret_kdk, struct error *e);

/**
 * link_leave_one() - link_leave(), if the manager still is the one
 * @host: this host's UUID there, which no other joining has; NULL: whichever it is
 */
int link_leave_one(struct link *link, const char *host, struct error *e);

/** link_set_mode() - durably */
int link_set_mode(struct link *link, enum host_mode mode, struct error *e);

/** link_order_run() - one of the manager's requests, in the worker's thread */
void link_order_run(struct link *link, struct link_order *order);

/** link_run() - an order that an operation of the control socket answers, in the main loop */
void link_run(struct link *link, struct link_order *order);
int link_run_init(struct link *link);
void link_run_done(struct link *link);

/** link_report() - tell the manager of all disks, if anything has changed. 0 or -errno */
int link_report(struct link *link, struct error *e);

/** link_answer_ended() - answer those that waited for a report; empties @ended */
void link_answer_ended(struct link *link, struct link_orders *ended);

/** link_renew() - have a new certificate made, and dial with it */
int link_renew(struct link *link, struct error *e);

#endif /* HOST_LINKSTATE_H */
