/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The main loop: signals, the service manager, and how the agent's objects tell
 * each other what came.
 */
#ifndef HOST_LOOP_H
#define HOST_LOOP_H

#include "common/errors.h"
#include "host/host.h"

/* Make the loop, block the signals it takes, before any thread starts. */
int loop_new(struct host *host, struct error *e);

/* READY=1, with what is attached. */
void loop_ready(struct host *host);

/* Run until SIGTERM or SIGINT. Return: 0 or -errno. */
int loop_run(struct host *host, struct error *e);

/* key_requests_new()'s module_came, udev_watch_new()'s came. */
void loop_module_came(struct host *host);
void loop_device_came(struct host *host, dev_t device, bool added);

#endif /* HOST_LOOP_H */
