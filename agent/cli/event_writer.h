/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events as they are printed or filed, page after page. */
#ifndef CLI_EVENT_WRITER_H
#define CLI_EVENT_WRITER_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/command.h"
#include "common/errors.h"

/**
 * enum event_style - how events are written
 * @EVENT_TABLE: for people, with the columns of the command
 * @EVENT_LINES: for people, a line as soon as an event comes
 * @EVENT_JSON_LINES: one object on a line
 * @EVENT_JSON: one document, ``{"events": [...]}``, an event on a line
 * @EVENT_CSV: RFC 4180, with all members
 */
enum event_style {
	EVENT_TABLE,
	EVENT_LINES,
	EVENT_JSON_LINES,
	EVENT_JSON,
	EVENT_CSV,
};

/**
 * struct event_writer - where events go
 * @out: the caller's
 * @safe: nothing that is written may move a terminal
 * @rows: events that were written
 */
struct event_writer {
	FILE *out;
	enum event_style style;
	bool safe;
	const struct cli_command *command;
	uint64_t rows;
};

/**
 * event_writer_begin(), event_writer_put(), event_writer_end() - what stands before
 * the events, some of them, and what stands behind all
 *
 * What was put has been handed to the system on return.
 *
 * Return: 0; -EIO: @out takes no more; -ENOMEM.
 */
int event_writer_begin(struct event_writer *w, struct error *e);
int event_writer_put(struct event_writer *w, const json_t *events, struct error *e);
int event_writer_end(struct event_writer *w, struct error *e);

#endif
