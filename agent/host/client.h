/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection to the control socket.
 *
 * The main loop reads and writes the socket. Workers add lines to what is to be
 * sent, under the server's lock, and wake the loop.
 */
#ifndef HOST_CLIENT_H
#define HOST_CLIENT_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "host/host.h"
#include "host/op.h"
#include "host/protocol.h"

/* Bytes that wait for a client: more, and it is cut off. */
#define CLIENT_OUT_MAX		(2U * PROTOCOL_ANSWER_MAX)
/* From here on workers with events wait for it. */
#define CLIENT_OUT_SLOW		(256U * 1024)
#define CLIENT_SLOW_S		30
#define CLIENT_HELD_MAX		4096	/* new events while old ones are being sent */

struct server;

struct held_event {
	uint64_t seq;
	char *text;
	size_t size;
	STAILQ_ENTRY(held_event) entry;
};

enum follow_state {
	FOLLOW_NONE,
	FOLLOW_HOLD,		/* old events are being sent, new ones are held */
	FOLLOW_LIVE,
};

/**
 * struct client - a connection
 * @has: what it may
 * @in: the line that is coming
 * @fds: descriptors that came and that no request has taken yet
 * @calls: requests under way
 *
 * From here on under the server's lock:
 * @refs: the server, while connected, and each call
 * @gone: disconnected
 * @closing: to be disconnected once @out is sent
 * @out: what is to be sent, from @out_done to @out_size
 */
struct client {
	struct server *server;
	int fd;
	sd_event_source *source;
	uid_t uid;
	pid_t pid;
	enum privilege has;
	char in[PROTOCOL_LINE_MAX];
	size_t in_size;
	int fds[PROTOCOL_FDS_MAX];
	size_t n_fds;
	unsigned int calls;

	unsigned int refs;
	bool gone;
	bool closing;
	char *out;
	size_t out_done, out_size, out_room;
	enum follow_state follow;
	int64_t follow_id;
	STAILQ_HEAD(, held_event) held;
	unsigned int n_held;

	TAILQ_ENTRY(client) entry;
};

TAILQ_HEAD(client_list, client);

/**
 * struct server - shared by all clients
 * @lock: protects what struct client says, and @drained
 * @drained: signalled when a client's output has shrunk or it is gone
 * @wake_fd: wakes the main loop to send
 * @others_calls: requests under way of those who may not change anything: they
 *	get half of the workers, so that slow readers cannot keep root out
 */
struct server {
	struct host *host;
	char *path;
	int fd;
	sd_event_source *source;
	int wake_fd;
	sd_event_source *wake_source;
	gid_t group;
	bool has_group;
	pthread_mutex_t lock;
	pthread_cond_t drained;
	struct client_list clients;
	unsigned int n_clients;
	unsigned int others_calls;
};

/* Take over a connected descriptor. */
int client_new(struct server *server, int fd, struct client **ret);

/* Read what has come and start the requests in it; in the main loop. */
void client_read(struct client *client);

/* Send what waits; in the main loop. */
void client_flush(struct client *client);

/* Disconnect; in the main loop. */
void client_drop(struct client *client);

void client_ref(struct client *client);
void client_unref(struct client *client);

/**
 * client_send() - add one line, of any thread
 * @root: the message; the reference is taken
 */
void client_send(struct client *client, json_t *root);

/* Add {"id":ID,"event":TEXT}; waits while the client is slow. -EPIPE, -ETIMEDOUT. */
int client_send_event(struct client *client, int64_t id, const char *text, size_t size);

/**
 * client_follow() - hold new events from now on, for client_follow_live()
 *
 * Return: 0; -EBUSY when it follows already.
 */
int client_follow(struct client *client, int64_t id);

/* Send what was held and is newer than @seq, and from now on what comes. */
void client_follow_live(struct client *client, uint64_t seq);
void client_follow_end(struct client *client);

/* A new event, from events_watch(). */
void client_event_seen(struct client *client, const char *text, size_t size, uint64_t seq);

#endif /* HOST_CLIENT_H */
