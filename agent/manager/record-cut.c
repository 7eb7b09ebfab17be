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
	struct event_mark anchor;
	struct event_mark to;
};

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int take_seq(const struct event_row *row, void *seq, struct error *e)
{
	(void)e;
	*(uint64_t *)seq = row->seq;
	return 0;
}

/* The newest row up to @to that is older than @days, of those behind @anchor. */
static int old_enough(struct store *s, unsigned int days, int64_t now, uint64_t anchor, uint64_t to,
		      uint64_t *ret, struct error *e)
{
	char bound[TIME_TEXT_SIZE];
	struct event_query young = { .after = anchor, .to = to, .from = bound };
	uint64_t first = 0;
	int r;

	time_format(now - (int64_t)days * DAY_S, bound);
	do
		r = event_search(s, &young, /* limit= */ 1, take_seq, &first, e);
	while (r > 0 && !first);
	if (r >= 0)
		*ret = first ? first - 1 : to;
	return r < 0 ? r : 0;
}

/* Up to which row the settings let it be cut; under the lock. */
static int find_end(struct store *s, const struct record_keep *keep, int64_t now,
		    const struct event_mark *anchor, uint64_t *ret, struct error *e)
{
	uint64_t end = 0, by_age = 0, open, most = anchor->seq + RECORD_CUT_MAX;
	char id[UUID_TEXT_SIZE];
	struct event_mark head;
	int r = event_mark_read(s, EVENT_HEAD, &head, e);

	if (r < 0)
		return r;
	if (keep->rows && head.seq > keep->rows)
		end = head.seq - keep->rows;
	if (keep->days)
		r = old_enough(s, keep->days, now, anchor->seq, less(head.seq, most), &by_age, e);
	if (r == 0)
		r = event_open_oldest(s, id, &open, e);
	if (r < 0 && r != -ENOENT)
		return r;
	end = end > by_age ? end : by_age;
	if (r == 0)
		end = less(end, open - 1);
	end = less(end, head.seq > RECORD_KEEP_MIN ? head.seq - RECORD_KEEP_MIN : 0);
	*ret = less(end, most);
	return 0;
}

/* Return: 1: something may go; 0: nothing. */
static int plan(struct store *s, const struct record_keep *keep, int64_t now, struct cut *cut,
		char ret_time[TIME_TEXT_SIZE], struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	struct event_mark to = { .hash = RECORD_HASH_ZERO };
	uint64_t end = 0;
	int r;

	r = anchor_read(s, &cut->anchor, e);
	if (r == 0)
		r = find_end(s, keep, now, &cut->anchor, &end, e);
	if (r < 0 || end < cut->anchor.seq + RECORD_CUT_MIN)
		return r;
	ret_time[0] = '\0';
	r = event_get(s, end, &to, ret_time, e);
	/* What is not there cannot be right: the check that follows says so. */
	to.seq = end;
	cut->to = to;
	return r < 0 && r != -ENOENT ? r : 1;
}

static int cut_work(struct store *s, void *userdata, struct error *e)
{
	const struct cut *cut = userdata;
	int r = event_cut(s, cut->to.seq, e);

	return r < 0 ? r : event_mark_write(s, EVENT_ANCHOR, &cut->to, e);
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
	store_rest(s);
	return r < 0 ? r : cut.to.seq == cut.anchor.seq + RECORD_CUT_MAX;
}

int record_anchor(struct store *s, uint64_t *ret_seq, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	struct event_mark anchor;
	int r = anchor_read(s, &anchor, e);

	if (r == 0)
		*ret_seq = anchor.seq;
	return r;
}
