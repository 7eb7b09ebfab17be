/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request under way: what an operation is given, and how it answers.
 */
#ifndef HOST_CALL_H
#define HOST_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"
#include "host/host.h"
#include "host/op.h"
#include "host/workers.h"

struct client;

#define CALL_USER_MAX	128

/**
 * struct call - a request in a worker
 * @client: where the answer goes; a reference; NULL: to @remote
 * @remote: takes the answer, once, in the main loop; NULL once it has it. Of @result, the
 *	call's, and @e the one that is set counts
 * @user: who asks, for events
 * @fds: the files that came with it, -1 where taken
 * @result: the answer, or @e the failure
 * @follow: event.list goes on when @run has returned
 */
struct call {
	struct work work;
	struct host *host;
	struct client *client;
	void (*remote)(json_t *result, const struct error *e, void *userdata);
	void *userdata;
	int64_t id;
	const struct op *op;
	json_t *args;
	char user[CALL_USER_MAX];
	int fds[PROTOCOL_FDS_MAX];
	json_t *result;
	struct error e;
	bool follow;
};

/* Arguments, which were checked against the table; NULL, false or 0 where left out. */
const char *call_text(const struct call *call, const char *name);
bool call_flag(const struct call *call, const char *name);
uint64_t call_number(const struct call *call, const char *name);

/* Tell the client how far it is; from the worker. */
void call_progress(struct call *call, unsigned int step, unsigned int steps, const char *phase,
		   const char *text);

/**
 * call_event() - send one event line; from the worker
 *
 * Waits while the client is slow.
 *
 * Return: 0; -EPIPE when the client is gone, -ETIMEDOUT when it reads nothing.
 */
int call_event(struct call *call, const char *text, size_t size);

/* Whether the client has been told that the operation hangs. */
bool call_given_up(struct call *call);

#endif /* HOST_CALL_H */
