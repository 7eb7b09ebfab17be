/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a parsed request to a call in a worker, and the lines that answer it.
 */
#ifndef HOST_CALLSTART_H
#define HOST_CALLSTART_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"
#include "host/client.h"
#include "host/op.h"

/**
 * call_start() - hand a request to a worker
 * @request: stays the caller's
 * @last: nothing that came behind this request waits to be read, so all
 *	descriptors that came belong to it
 *
 * Return: 0, and it will be answered; or -errno.
 */
int call_start(struct client *client, struct request *request, bool last, struct error *e);

/**
 * call_start_remote() - the same for the manager; in the main loop
 * @request: its operation is @remote, its args are checked and stay the caller's
 * @user: for the record
 * @done: struct call.remote
 *
 * Return: 0, and @done will be called, unless the agent ends; or -errno.
 */
int call_start_remote(struct host *host, const struct request *request, const char *user,
		      void (*done)(json_t *result, const struct error *e, void *userdata),
		      void *userdata, struct error *e);

/* The line that ends a request; a negative id becomes null. NULL: out of memory. */
json_t *answer_failed(int64_t id, const struct error *e);
json_t *answer_done(int64_t id, json_t *result);

#endif /* HOST_CALLSTART_H */
