/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/event-csv.h"
#include "common/encode.h"
#include "manager/api.h"
#include "manager/manager.h"
#include "manager/record.h"

#define EVENTS_DEFAULT	100U
#define EVENTS_MAX	1000U	/* in one answer; the next one starts where it ended */

static int read_number(const struct api_call *call, const char *name, uint64_t max,
		       uint64_t *ret, struct error *e)
{
	const char *text = http_query(call->rq, name);
	char *end;
	unsigned long long number;

	if (!text)
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || number > max)
		return error_usage(e, "%s=%.32s: want a number from 0 to %llu", name, text,
				   (unsigned long long)max);
	*ret = number;
	return 0;
}

static int read_time(const struct api_call *call, const char *name, int64_t *ret,
		     struct error *e)
{
	const char *text = http_query(call->rq, name);

	if (text && time_parse(text, ret) < 0)
		return error_usage(e, "%s=%.40s: want a time as 2026-01-31T23:59:59Z", name, text);
	return 0;
}

static int read_filter(const struct api_call *call, struct record_filter *f, struct error *e)
{
	int r = read_number(call, "since", INT64_MAX, &f->since_seq, e);

	f->limit = EVENTS_DEFAULT;
	if (r == 0)
		r = read_number(call, "before", INT64_MAX, &f->before_seq, e);
	if (r == 0)
		r = read_number(call, "limit", EVENTS_MAX, &f->limit, e);
	if (r == 0)
		r = read_time(call, "from", &f->from, e);
	if (r == 0)
		r = read_time(call, "to", &f->to, e);
	if (r < 0)
		return r;
	f->id = http_query(call->rq, "id");
	f->user = http_query(call->rq, "user");
	f->operation = http_query(call->rq, "operation");
	f->type = http_query(call->rq, "type");
	f->object = http_query(call->rq, "object");
	f->key = http_query(call->rq, "key");
	f->host = http_query(call->rq, "host");
	f->vm = http_query(call->rq, "vm");
	/* Followers want the oldest that they have not seen, lookers the newest. */
	f->newest = !http_query(call->rq, "since") && !f->from;
	if (!f->limit)
		f->limit = EVENTS_MAX;
	return 0;
}

static int append_row(const json_t *row, void *list)
{
	return json_array_append_new(list, json_deep_copy(row)) < 0 ? -ENOMEM : 0;
}

static int print_row(const json_t *row, void *out)
{
	return event_csv(row, out);
}

static int as_csv(struct api_call *call, const struct record_filter *f, struct error *e)
{
	FILE *out = open_memstream(&call->csv, &call->csv_size);
	int r;

	if (!out)
		return error_oom(e);
	r = event_csv_header(out);
	if (r == 0)
		r = record_each(call->manager->store, f, print_row, out, e);
	if (fclose(out) < 0 && r == 0)
		r = error_oom(e);
	return r < 0 && !error_is_set(e) ? error_oom(e) : r;
}

int api_events_list(struct api_call *call, json_t **ret, struct error *e)
{
	const char *format = http_query(call->rq, "format");
	_cleanup_json_ json_t *list = NULL;
	struct record_filter f = { .since_seq = 0 };
	int r = read_filter(call, &f, e);
	uint64_t last;

	if (r < 0)
		return r;
	if (format && !strcmp(format, "csv"))
		return as_csv(call, &f, e);
	if (format && strcmp(format, "json") != 0)
		return error_usage(e, "format=%.32s: want json or csv", format);
	list = json_array();
	if (!list)
		return error_oom(e);
	/* Before the search: rows that come meanwhile may be in the answer or not. */
	r = record_last(call->manager->store, &last, e);
	if (r == 0)
		r = record_each(call->manager->store, &f, append_row, list, e);
	if (r < 0)
		return error_is_set(e) ? r : error_oom(e);
	*ret = json_pack("{s:O, s:I}", "events", list, "last", (json_int_t)last);
	return *ret ? 0 : error_oom(e);
}

int api_events_verify(struct api_call *call, json_t **ret, struct error *e)
{
	char head[RECORD_HASH_SIZE];
	uint64_t rows, bad_seq, cut = 0;
	int r = record_verify(call->manager->store, &rows, &bad_seq, head, e);
	bool broken = r == -EBADMSG;

	/* That it does not verify is the answer, no failure to answer. */
	if (r < 0 && !broken)
		return r;
	r = record_anchor(call->manager->store, &cut, broken ? NULL : e);
	if (r < 0)
		return r;
	*ret = json_pack("{s:b, s:I, s:I, s:I, s:s, s:s}", "intact", !broken, "rows",
			 (json_int_t)rows, "bad_seq", (json_int_t)bad_seq, "cut", (json_int_t)cut,
			 "head", head, "text", broken ? e->text : "");
	return *ret ? 0 : error_oom(e);
}
