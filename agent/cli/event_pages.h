/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's events: more of them than one answer has, and those that come. */
#ifndef CLI_EVENT_PAGES_H
#define CLI_EVENT_PAGES_H

#include <stdio.h>

#include "cli/parse.h"
#include "cli/rest.h"

/**
 * event_pages_run() - list, follow or export events
 * @call: ``event list`` or, with a file for them, ``event export``; its arguments are
 *	what is asked for, names resolved
 * @target: the manager; its token is replaced while a follower waits for a new session
 * @out: where results go
 * @err: where it is told that the manager is away, and that it is back
 *
 * What is followed ends by SIGINT or SIGTERM, which is no failure. A file for events
 * appears whole or not at all.
 *
 * Return: the exit status, or as rest_call(); -EINTR: an export was interrupted;
 * -EPROTO: the manager's answers lead nowhere.
 */
int event_pages_run(const struct cli_call *call, struct rest_target *target, FILE *out, FILE *err,
		    struct error *e);

#endif
