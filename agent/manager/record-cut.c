/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Old rows of the record cut away, so that it does not grow for ever. */
#include "manager/record-internal.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define DAY_S 86400

/* What is about to go: the rows behind @anchor up to @to. */
struct cut {
	struct record_head anchor;
	struct record_head to;
};

/* One number that a statement finds. Return: 1; 0: none; or why not. */
static int find_seq(struct store *s, const char *sql, const char *bound, uint64_t *ret,
		    struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(s, sql, &stmt, e);

	if (r == 0 && bound)
		r = sql_text(s, stmt, 1, bound, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r > 0)
		*ret = (uint64_t)sqlite3_column_int64(stmt, 0);
	return r;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The newest row that is older than @days. */
static int old_enough(struct store *s, unsigned int days, int64_t now, uint64_t newest,
		      uint64_t *ret, struct error *e)
{
	char bound[TIME_TEXT_SIZE];
	uint64_t first;
	int r;

	time_format(now - (int64_t)days * DAY_S, bound);
	r = find_seq(s, "SELECT seq FROM event WHERE json_extract(row, '$.time') >= ?1"
		     " ORDER BY seq LIMIT 1", bound, &first, e);
	if (r >= 0)
		*ret = r > 0 ? first - 1 : newest;
	return r < 0 ? r : 0;
}

/* Up to which row the settings let it be cut; under the lock. */
static int find_end(struct store *s, const struct record_keep *keep, int64_t now,
		    const struct record_head *anchor, uint64_t *ret, struct error *e)
{
	struct record_head head;
	uint64_t end = 0, by_age = 0, open = 0;
	int r = head_read(s, &head, e);

	if (r < 0)
		return r;
	if (keep->rows && head.seq > keep->rows)
		end = head.seq - keep->rows;
	if (keep->days)
		r = old_enough(s, keep->days, now, head.seq, &by_age, e);
	if (r == 0)
		r = find_seq(s, "SELECT seq FROM event_open ORDER BY seq LIMIT 1", NULL, &open, e);
	if (r < 0)
		return r;
	end = end > by_age ? end : by_age;
	if (r > 0)
		end = less(end, open - 1);
	end = less(end, head.seq > RECORD_KEEP_MIN ? head.seq - RECORD_KEEP_MIN : 0);
	*ret = less(end, anchor->seq + RECORD_CUT_MAX);
	return 0;
}

/* Return: 1: something may go; 0: nothing. */
static int plan(struct store *s, const struct record_keep *keep, int64_t now, struct cut *cut,
		char ret_time[TIME_TEXT_SIZE], struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	const char *hash, *time;
	int r;

	r = anchor_read(s, &cut->anchor, e);
	if (r == 0)
		r = find_end(s, keep, now, &cut->anchor, &cut->to.seq, e);
	if (r < 0 || cut->to.seq < cut->anchor.seq + RECORD_CUT_MIN)
		return r;
	r = sql_prepare(s, "SELECT hash, json_extract(row, '$.time') FROM event WHERE seq = ?1",
			&stmt, e);
	if (r == 0)
		r = sql_number(s, stmt, 1, cut->to.seq, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	if (r < 0)
		return r;
	hash = r > 0 ? sql_column(stmt, 0, NULL) : NULL;
	time = r > 0 ? sql_column(stmt, 1, NULL) : NULL;
	/* What is not there cannot be right: the check that follows says so. */
	snprintf(cut->to.hash, sizeof(cut->to.hash), "%s", hash ? hash : RECORD_HASH_ZERO);
	snprintf(ret_time, TIME_TEXT_SIZE, "%s", time ? time : "");
	return 1;
}

static int cut_work(struct store *s, void *userdata, struct error *e)
{
	const struct cut *cut = userdata;
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(s, "DELETE FROM event WHERE seq <= ?1", &stmt, e);
	if (r == 0)
		r = sql_number(s, stmt, 1, cut->to.seq, e);
	if (r == 0)
		r = sql_step(s, stmt, e);
	return r < 0 ? r : anchor_write(s, &cut->to, e);
}

int record_cut(struct store *s, const struct record_keep *keep, int64_t now, struct error *e)
{
	struct record_event event = { .user = RECORD_USER_MANAGER, .operation = RECORD_CUT };
	struct error own = ERROR_NULL;
	_cleanup_json_ json_t *data = NULL;
	char id[UUID_TEXT_SIZE], time[TIME_TEXT_SIZE];
	struct cut cut;
	int r;

	r = plan(s, keep, now, &cut, time, e);
	if (r <= 0)
		return r;
	r = record_check_oldest(s, &cut.to, e);
	if (r < 0)
		return r;
	data = json_pack("{s:I, s:I, s:s, s:s}", "from", (json_int_t)cut.anchor.seq + 1, "to",
			 (json_int_t)cut.to.seq, "hash", cut.to.hash, "time", time);
	if (!data)
		return error_oom(e);
	event.data = data;
	r = record_begin(s, &event, id, e);
	if (r < 0)
		return r;
	r = store_write(s, cut_work, &cut, &own);
	record_end(s, id, NULL, &own);
	if (r < 0 && e)
		*e = own;
	return r < 0 ? r : cut.to.seq == cut.anchor.seq + RECORD_CUT_MAX;
}

int record_anchor(struct store *s, uint64_t *ret_seq, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	struct record_head anchor;
	int r = anchor_read(s, &anchor, e);

	if (r == 0)
		*ret_seq = anchor.seq;
	return r;
}
