// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager_table.h"

static const struct field event_fields[] = {
	{ "SEQ",       "seq",       field_number },
	{ "TIME",      "time",      field_text },
	{ "USER",      "user",      field_text },
	{ "OPERATION", "operation", field_text },
	{ "OBJECT",    "object",    field_text },
	{ "PHASE",     "phase",     field_text },
	{ "RESULT",    "result",    field_text },
};

static const struct field verify_fields[] = {
	{ "Intact", "intact", field_yes_no },
	{ "Rows",   "rows",   field_number },
	{ "Cut to", "cut",    field_number },
	{ "Head",   "head",   field_text },
	{ "Why",    "text",   field_text },
};

/* Which events. */
#define FILTERS \
	{ .name = "since", .value = "SEQ", .kind = CLI_COUNT, \
	  .help = "only those behind this one, the oldest first; 0: from the first on" }, \
	{ .name = "from", .value = "TIME", .kind = CLI_TEXT, \
	  .help = "not before, as 2026-01-31T00:00:00Z" }, \
	{ .name = "to", .value = "TIME", .kind = CLI_TEXT, .help = "not after" }, \
	{ .name = "id", .value = "UUID", .kind = CLI_TEXT, \
	  .help = "only intent and outcome of this operation" }, \
	{ .name = "user", .value = "USER", .kind = CLI_TEXT, .help = "only this user's" }, \
	{ .name = "operation", .value = "NAME", .kind = CLI_TEXT, \
	  .help = "only this, as \"disk.attach\"" }, \
	{ .name = "type", .value = "TYPE", .kind = CLI_TEXT, \
	  .help = "only of this type, by vSphere's name" }, \
	{ .name = "object", .value = "KIND:ID", .kind = CLI_TEXT, \
	  .help = "only on this object, as \"host:UUID\"" }, \
	{ .name = "key", .value = "KEY", .kind = CLI_TEXT, .help = "only on this key" }, \
	{ .name = "host", .value = "HOST", .kind = CLI_REFERENCE, .help = "only on this host" }, \
	{ .name = "vm", .value = "VM", .kind = CLI_REFERENCE, .help = "only on this VM" }

static const struct cli_command commands[] = {
	{
		.noun = "event", .verb = "list", .route = "GET /events", .paged = true,
		COLUMNS(event_fields),
		.summary = "list what was done, newest last",
		.details =
"With --follow, one event is one line, also with --json. It goes on when the\n"
"manager is away for a while, and ends by Ctrl-C. A manager that starts again\n"
"has ended all sessions: it goes on once there is a new one.\n",
		.options = {
			{ .name = "follow", .kind = CLI_FLAG,
			  .help = "go on with the events that come" },
			{ .name = "limit", .value = "N", .kind = CLI_COUNT,
			  .help = "at most so many; default 100, 0: all" },
			{ .name = "format", .value = "json|csv", .kind = CLI_TEXT,
			  .choices = "json|csv", .help = "csv: for a spreadsheet, with all members" },
			FILTERS,
		},
	},
	{
		.noun = "event", .verb = "export", .route = "GET /events", .paged = true,
		.summary = "write events to a file",
		.details =
"All of them, or those that are asked for, the oldest first. The file appears\n"
"once it is whole.\n",
		.options = {
			{ .name = "out", .value = "FILE", .kind = CLI_OUT_FILE, .required = true,
			  .help = "the file to be made; it must not exist" },
			{ .name = "format", .value = "json|csv", .kind = CLI_TEXT,
			  .choices = "json|csv",
			  .help = "json, the default: one document; csv: for a spreadsheet" },
			FILTERS,
		},
	},
	{
		.noun = "event", .verb = "verify", .route = "GET /events/verify",
		COLUMNS(verify_fields), .verdict = "intact",
		.summary = "see whether an event was removed or altered",
		.details =
"Each event carries a hash over itself and the one before. Write the head down\n"
"elsewhere: it shows later that none of today's was changed. \"Cut to\" is the\n"
"number of the newest event that the manager's settings have cut away. The exit\n"
"status is 1 when an event was removed otherwise, or altered.\n",
	},
};

const struct manager_table manager_events = { commands, ARRAY_SIZE(commands) };
