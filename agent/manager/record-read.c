/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of events read, filtered. */
#include "manager/record-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define PAGE		256	/* rows that are read under one hold of the lock */
#define VALUES_MAX	16

/* A statement's conditions, and what is bound to them. */
struct query {
	char where[1024];
	size_t size;
	struct value {
		const char *text;
		uint64_t number;
		char time[TIME_TEXT_SIZE];
	} values[VALUES_MAX];
	int n;
};

static struct value *add(struct query *q, const char *condition)
{
	struct value *value = &q->values[q->n++];

	q->size += (size_t)snprintf(q->where + q->size, sizeof(q->where) - q->size, " AND %s ?%d",
				    condition, q->n);
	return value;
}

static void add_text(struct query *q, const char *condition, const char *text)
{
	if (text)
		add(q, condition)->text = text;
}

/* As text, which has the same order. */
static void add_time(struct query *q, const char *condition, int64_t time)
{
	struct value *value;

	if (!time)
		return;
	value = add(q, condition);
	time_format(time, value->time);
	value->text = value->time;
}

/* ?1 and ?2 are the rows' bounds; the names are constants of this file. */
static void make_query(const struct record_filter *f, struct query *q)
{
	*q = (struct query){ .size = 0 };
	add(q, "seq >")->number = f->since_seq;
	add(q, "seq <=")->number = INT64_MAX;
	add_time(q, "json_extract(row, '$.time') >=", f->from);
	add_time(q, "json_extract(row, '$.time') <", f->to);
	add_text(q, "id =", f->id);
	add_text(q, "json_extract(row, '$.user') =", f->user);
	add_text(q, "json_extract(row, '$.operation') =", f->operation);
	add_text(q, "json_extract(row, '$.type') =", f->type);
	add_text(q, "object =", f->object);
	add_text(q, "json_extract(row, '$.key') =", f->key);
	add_text(q, "json_extract(row, '$.host') =", f->host);
	add_text(q, "vm =", f->vm);
}

/* Under the lock. */
static int prepare(struct store *s, const struct query *q, const char *columns, const char *order,
		   sqlite3_stmt **ret, struct error *e)
{
	char sql[1400];
	int i, r;

	snprintf(sql, sizeof(sql), "SELECT %s FROM event WHERE 1%s %s", columns, q->where, order);
	r = sql_prepare(s, sql, ret, e);
	for (i = 0; r == 0 && i < q->n; i++) {
		const struct value *value = &q->values[i];

		r = value->text ? sql_text(s, *ret, i + 1, value->text, e) :
				  sql_number(s, *ret, i + 1, value->number, e);
	}
	return r;
}

int record_last(struct store *s, uint64_t *ret_seq, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	struct record_head last;
	int r = head_read_last(s, &last, e);

	if (r == 0)
		*ret_seq = last.seq;
	return r;
}

/* Moves the lower bound so that the newest @limit rows are left. */
static int skip_old(struct store *s, struct query *q, uint64_t limit, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	char order[64];
	int r;

	snprintf(order, sizeof(order), "ORDER BY seq DESC LIMIT 1 OFFSET ?%d", q->n + 1);
	r = prepare(s, q, "seq", order, &stmt, e);
	if (r == 0)
		r = sql_number(s, stmt, q->n + 1, limit, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r > 0)
		q->values[0].number = (uint64_t)sqlite3_column_int64(stmt, 0);
	return r < 0 ? r : 0;
}

static int take_row(sqlite3_stmt *stmt, json_t *page, uint64_t *ret_seq, struct error *e)
{
	json_t *row;
	size_t size;
	const char *text = sql_column(stmt, 1, &size);
	int r;

	*ret_seq = (uint64_t)sqlite3_column_int64(stmt, 0);
	if (!text)
		return error_oom(e);
	r = json_parse(text, size, RECORD_ROW_MAX, "event", &row, e);
	if (r < 0)
		return r;
	if (json_object_set_new(row, "hash", json_string(sql_column(stmt, 2, NULL))) < 0) {
		json_decref(row);
		return error_fail(e, EBADMSG, "An event has no hash: verify the events");
	}
	return json_array_append_new(page, row) < 0 ? error_oom(e) : 0;
}

/* The next rows, and the lower bound behind them. */
static int read_page(struct store *s, struct query *q, json_t *page, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = prepare(s, q, "seq, row, hash", "ORDER BY seq", &stmt, e);
	while (r == 0 && json_array_size(page) < PAGE && (r = sql_step(s, stmt, e)) > 0)
		r = take_row(stmt, page, &q->values[0].number, e);
	return r;
}

int record_each(struct store *s, const struct record_filter *f,
		int (*row)(const json_t *row, void *userdata), void *userdata, struct error *e)
{
	static const struct record_filter all;
	struct query q;
	uint64_t left;
	int r;

	f = f ? f : &all;
	left = f->limit ? f->limit : UINT64_MAX;
	make_query(f, &q);
	r = record_last(s, &q.values[1].number, e);
	if (r == 0 && f->before_seq && f->before_seq <= q.values[1].number)
		q.values[1].number = f->before_seq - 1;
	if (r == 0 && f->newest && f->limit)
		r = skip_old(s, &q, f->limit, e);
	while (r == 0 && left > 0) {
		_cleanup_json_ json_t *page = json_array();
		json_t *one;
		size_t i;

		r = page ? read_page(s, &q, page, e) : error_oom(e);
		if (r < 0)
			return r;
		json_array_foreach(page, i, one) {
			if (left-- == 0)
				return 0;
			r = row(one, userdata);
			if (r < 0)
				return r;
		}
		if (json_array_size(page) < PAGE)
			return 0;
	}
	return r;
}
