// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/event_writer.h"

#include <errno.h>
#include <string.h>

#include "cli/fields.h"
#include "cli/show.h"
#include "cli/text.h"
#include "common/cleanup.h"
#include "common/event-csv.h"

#define JSON_LINE	(JSON_COMPACT | JSON_ENSURE_ASCII)

static int flush(struct event_writer *w, struct error *e)
{
	if (fflush(w->out) != 0 || ferror(w->out))
		return error_fail(e, EIO, "The events could not be written: %s", strerror(errno));
	return 0;
}

/* A spreadsheet's line for a terminal, which could obey what others have written. */
static int put_csv(struct event_writer *w, const json_t *event)
{
	_cleanup_free_ char *text = NULL, *safe = NULL;
	size_t size;
	FILE *line = open_memstream(&text, &size);
	int r;

	if (!line)
		return -ENOMEM;
	r = event ? event_csv(event, line) : event_csv_header(line);
	if (fclose(line) != 0 || r < 0)
		return -ENOMEM;
	if (!w->safe) {
		fputs(text, w->out);
		return 0;
	}
	text[strcspn(text, "\r\n")] = '\0';
	safe = text_safe(text);
	if (!safe)
		return -ENOMEM;
	fprintf(w->out, "%s\n", safe);
	return 0;
}

static int put_json(struct event_writer *w, const json_t *event)
{
	if (w->style == EVENT_JSON)
		fputs(w->rows > 0 ? ",\n" : "\n", w->out);
	if (json_dumpf(event, w->out, JSON_LINE) < 0)
		return ferror(w->out) ? -EIO : -ENOMEM;
	if (w->style == EVENT_JSON_LINES)
		fputc('\n', w->out);
	return 0;
}

static int put_one(struct event_writer *w, const json_t *event)
{
	switch (w->style) {
	case EVENT_CSV:
		return put_csv(w, event);
	case EVENT_LINES:
		show_event(w->out, event);
		return 0;
	default:
		return put_json(w, event);
	}
}

int event_writer_begin(struct event_writer *w, struct error *e)
{
	if (w->style == EVENT_JSON)
		fputs("{\"events\": [", w->out);
	else if (w->style == EVENT_CSV && put_csv(w, /* event= */ NULL) < 0)
		return error_oom(e);
	return flush(w, e);
}

int event_writer_put(struct event_writer *w, const json_t *events, struct error *e)
{
	const struct cli_command *c = w->command;
	json_t *event;
	size_t i;

	if (w->style == EVENT_TABLE && json_array_size(events) > 0)
		fields_print_rows(w->out, c->columns, c->n_columns, events,
				  /* labels= */ w->rows == 0);
	json_array_foreach(events, i, event) {
		int r = w->style == EVENT_TABLE ? 0 : put_one(w, event);

		if (r == -ENOMEM)
			return error_oom(e);
		w->rows++;
	}
	return flush(w, e);
}

int event_writer_end(struct event_writer *w, struct error *e)
{
	if (w->style == EVENT_JSON)
		fputs("\n]}\n", w->out);
	else if (w->style == EVENT_TABLE && w->rows == 0)
		fputs("There is none.\n", w->out);
	return flush(w, e);
}
