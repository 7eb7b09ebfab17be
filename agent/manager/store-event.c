/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rows of the record of events, in SQLite. */
#include "manager/store-event.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "manager/store-sql.h"

#define HEX	"0123456789abcdef"
#define COLUMNS	"id, object, vm, time, user, operation, type, key, host"
#define MEMBER(name) "json_extract(?2, '$." name "')"

const char *const event_column_names[EVENT_COLUMNS] = {
	[EVENT_ID] = "id", [EVENT_OBJECT] = "object", [EVENT_VM] = "vm", [EVENT_TIME] = "time",
	[EVENT_USER] = "user", [EVENT_OPERATION] = "operation", [EVENT_TYPE] = "type",
	[EVENT_KEY] = "key", [EVENT_HOST] = "host",
};

bool event_hash_valid(const char *hash)
{
	return strlen(hash) == EVENT_HASH_SIZE - 1 && strspn(hash, HEX) == EVENT_HASH_SIZE - 1;
}

/* The mark that a statement finds in its first two columns. */
static int step_mark(struct store *s, sqlite3_stmt *stmt, struct event_mark *ret, struct error *e)
{
	const char *hash;
	int r = sql_step(s, stmt, e);

	if (r < 0)
		return r;
	hash = r > 0 ? sql_column(stmt, 1, NULL) : NULL;
	if (!hash || !event_hash_valid(hash) || sqlite3_column_int64(stmt, 0) < 0)
		return -ENOENT;
	ret->seq = (uint64_t)sqlite3_column_int64(stmt, 0);
	snprintf(ret->hash, sizeof(ret->hash), "%s", hash);
	return 0;
}

static int read_mark(struct store *s, const char *sql, struct event_mark *ret, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(s, sql, &stmt, e);

	return r < 0 ? r : step_mark(s, stmt, ret, e);
}

int event_mark_read(struct store *s, enum event_mark_name name, struct event_mark *ret,
		    struct error *e)
{
	static const char *const sql[] = {
		[EVENT_HEAD] = "SELECT seq, hash FROM event_head WHERE one = 1",
		[EVENT_ANCHOR] = "SELECT seq, hash FROM event_anchor WHERE one = 1",
	};

	return read_mark(s, sql[name], ret, e);
}

int event_mark_write(struct store *s, enum event_mark_name name, const struct event_mark *mark,
		     struct error *e)
{
	static const char *const sql[] = {
		[EVENT_HEAD] = "INSERT OR REPLACE INTO event_head(one, seq, hash) VALUES(1, ?1, ?2)",
		[EVENT_ANCHOR] = "INSERT OR REPLACE INTO event_anchor(one, seq, hash) VALUES(1, ?1, ?2)",
	};
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(s, sql[name], &stmt, e);

	if (r == 0)
		r = sql_number(s, stmt, 1, mark->seq, e);
	if (r == 0)
		r = sql_text(s, stmt, 2, mark->hash, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	return r;
}

int event_newest(struct store *s, struct event_mark *ret, struct error *e)
{
	return read_mark(s, "SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1", ret, e);
}

int event_insert(struct store *s, uint64_t seq, const char *text, const char *hash,
		 struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(s, "INSERT INTO event(seq, row, hash, " COLUMNS ") VALUES(?1, ?2, ?3, "
			MEMBER("id") ", " MEMBER("object") ", " MEMBER("vm") ", " MEMBER("time") ", "
			MEMBER("user") ", " MEMBER("operation") ", " MEMBER("type") ", "
			MEMBER("key") ", " MEMBER("host") ")", &stmt, e);
	if (r == 0)
		r = sql_number(s, stmt, 1, seq, e);
	if (r == 0)
		r = sql_text(s, stmt, 2, text, e);
	if (r == 0)
		r = sql_text(s, stmt, 3, hash, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	return r;
}

int event_get(struct store *s, uint64_t seq, struct event_mark *ret, char ret_time[TIME_TEXT_SIZE],
	      struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	const char *time;
	int r;

	r = sql_prepare(s, "SELECT seq, hash, time FROM event WHERE seq = ?1", &stmt, e);
	if (r == 0)
		r = sql_number(s, stmt, 1, seq, e);
	if (r == 0)
		r = step_mark(s, stmt, ret, e);
	if (r < 0 || !ret_time)
		return r;
	time = sql_column(stmt, 2, NULL);
	snprintf(ret_time, TIME_TEXT_SIZE, "%s", time ? time : "");
	return 0;
}

int event_open_add(struct store *s, const char *id, uint64_t seq, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(s, "INSERT INTO event_open(id, seq) VALUES(?1, ?2)", &stmt, e);
	if (r == 0)
		r = sql_text(s, stmt, 1, id, e);
	if (r == 0)
		r = sql_number(s, stmt, 2, seq, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	return r;
}

int event_open_remove(struct store *s, const char *id, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(s, "DELETE FROM event_open WHERE id = ?1", &stmt, e);
	if (r == 0)
		r = sql_text(s, stmt, 1, id, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	return r;
}

int event_open_get(struct store *s, const char *id, char **ret_text, size_t *ret_size,
		   struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	const char *text;
	size_t size;
	int r;

	r = sql_prepare(s, "SELECT row FROM event WHERE seq ="
			" (SELECT seq FROM event_open WHERE id = ?1)", &stmt, e);
	if (r == 0)
		r = sql_text(s, stmt, 1, id, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r < 0)
		return r;
	text = r > 0 ? sql_column(stmt, 0, &size) : NULL;
	if (!text)
		return -ENOENT;
	*ret_text = strndup(text, size);
	*ret_size = size;
	return *ret_text ? 0 : error_oom(e);
}

int event_open_oldest(struct store *s, char ret_id[UUID_TEXT_SIZE], uint64_t *ret_seq,
		      struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	const char *id;
	int r;

	r = sql_prepare(s, "SELECT id, seq FROM event_open ORDER BY seq LIMIT 1", &stmt, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	id = sql_column(stmt, 0, NULL);
	snprintf(ret_id, UUID_TEXT_SIZE, "%s", id ? id : "");
	*ret_seq = (uint64_t)sqlite3_column_int64(stmt, 1);
	return 0;
}

/* The first row behind @after, or the last one up to @to. Return: 1; 0: there is none. */
static int neighbour(struct store *s, const char *sql, uint64_t bound, uint64_t *ret,
		     struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(s, sql, &stmt, e);

	if (r == 0)
		r = sql_number(s, stmt, 1, bound, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r > 0)
		*ret = (uint64_t)sqlite3_column_int64(stmt, 0);
	return r;
}

/* Names of columns stand in the statement; what is looked for is bound. */
static int prepare_search(struct store *s, const struct event_query *q, const char *columns,
			  const char *order, sqlite3_stmt **ret, struct error *e)
{
	const char *values[EVENT_COLUMNS + 2];
	char sql[640];
	size_t size;
	int i, r, n = 0;

	size = (size_t)snprintf(sql, sizeof(sql), "SELECT %s FROM event WHERE seq > ?1 AND seq <= ?2",
				columns);
	for (i = 0; i < EVENT_COLUMNS; i++) {
		if (!q->equal[i])
			continue;
		values[n++] = q->equal[i];
		size += (size_t)snprintf(sql + size, sizeof(sql) - size, " AND %s = ?%d",
					 event_column_names[i], n + 3);
	}
	if (q->from) {
		values[n++] = q->from;
		size += (size_t)snprintf(sql + size, sizeof(sql) - size, " AND time >= ?%d", n + 3);
	}
	if (q->before) {
		values[n++] = q->before;
		size += (size_t)snprintf(sql + size, sizeof(sql) - size, " AND time < ?%d", n + 3);
	}
	snprintf(sql + size, sizeof(sql) - size, " ORDER BY seq %s LIMIT ?3", order);
	r = sql_prepare(s, sql, ret, e);
	if (r == 0)
		r = sql_number(s, *ret, 1, q->after, e);
	if (r == 0)
		r = sql_number(s, *ret, 2, q->to, e);
	for (i = 0; r == 0 && i < n; i++)
		r = sql_text(s, *ret, i + 4, values[i], e);
	return r;
}

static int hand_on(sqlite3_stmt *stmt, uint64_t *ret_seq,
		   int (*row)(const struct event_row *row, void *userdata, struct error *e),
		   void *userdata, struct error *e)
{
	struct event_row found = { .seq = (uint64_t)sqlite3_column_int64(stmt, 0) };
	int i;

	found.text = sql_column(stmt, 1, &found.size);
	found.hash = sql_column(stmt, 2, NULL);
	for (i = 0; i < EVENT_COLUMNS; i++)
		found.columns[i] = sql_column(stmt, i + 3, NULL);
	*ret_seq = found.seq;
	return row(&found, userdata, e);
}

int event_search(struct store *s, struct event_query *q, unsigned int limit,
		 int (*row)(const struct event_row *row, void *userdata, struct error *e),
		 void *userdata, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	struct event_query window = *q;
	unsigned int n = 0;
	uint64_t first = 0;
	int r;

	r = neighbour(s, "SELECT seq FROM event WHERE seq > ?1 ORDER BY seq LIMIT 1", q->after,
		      &first, e);
	if (r <= 0 || first > q->to)
		return r < 0 ? r : 0;
	window.after = first - 1;
	if (q->to - window.after > EVENT_WINDOW)
		window.to = window.after + EVENT_WINDOW;
	r = prepare_search(s, &window, "seq, row, hash, " COLUMNS, "ASC", &stmt, e);
	if (r == 0)
		r = sql_number(s, stmt, 3, limit, e);
	while (r == 0 && (r = sql_step(s, stmt, e)) > 0) {
		r = hand_on(stmt, &q->after, row, userdata, e);
		n++;
	}
	if (r < 0)
		return r;
	if (n < limit)
		q->after = window.to;
	return q->after < q->to;
}

int event_search_back(struct store *s, struct event_query *q, uint64_t limit,
		      uint64_t *ret_found, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	struct event_query window = *q;
	uint64_t last = 0, n = 0;
	int r;

	*ret_found = 0;
	r = neighbour(s, "SELECT seq FROM event WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1", q->to,
		      &last, e);
	if (r <= 0 || last <= q->after)
		return r < 0 ? r : 0;
	window.to = last;
	if (last - q->after > EVENT_WINDOW)
		window.after = last - EVENT_WINDOW;
	r = prepare_search(s, &window, "seq", "DESC", &stmt, e);
	if (r == 0)
		r = sql_number(s, stmt, 3, limit, e);
	while (r == 0 && (r = sql_step(s, stmt, e)) > 0) {
		q->to = (uint64_t)sqlite3_column_int64(stmt, 0) - 1;
		n++;
		r = 0;
	}
	if (r < 0)
		return r;
	*ret_found = n;
	if (n == limit)
		return 0;
	q->to = window.after;
	return q->to > q->after;
}

int event_cut(struct store *s, uint64_t seq, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(s, "DELETE FROM event WHERE seq <= ?1", &stmt, e);

	if (r == 0)
		r = sql_number(s, stmt, 1, seq, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	return r;
}

int event_outside(struct store *s, uint64_t low, uint64_t high, int64_t *ret_seq, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(s, "SELECT seq FROM event WHERE seq <= ?2 OR seq > ?1 LIMIT 1", &stmt, e);
	if (r == 0)
		r = sql_number(s, stmt, 1, high, e);
	if (r == 0)
		r = sql_number(s, stmt, 2, low, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r > 0)
		*ret_seq = sqlite3_column_int64(stmt, 0);
	return r;
}
