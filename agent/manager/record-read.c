/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of events read, filtered. */
#include "manager/record-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define PAGE	256U	/* rows that are found under one hold of the lock */

/* Rows as they were read, to be parsed without the lock. */
struct page {
	size_t n;
	struct read_row {
		char *text;
		size_t size;
		char hash[RECORD_HASH_SIZE];
	} rows[PAGE];
};

static void page_clear(struct page *page)
{
	while (page->n > 0)
		free(page->rows[--page->n].text);
}

static void page_free(struct page **page)
{
	if (*page)
		page_clear(*page);
	free(*page);
}

/* A filter as a query, with the times as text, which has the same order. */
struct search {
	struct event_query query;
	char from[TIME_TEXT_SIZE];
	char to[TIME_TEXT_SIZE];
};

static void make_search(const struct record_filter *f, uint64_t last, struct search *search)
{
	const char *const equal[EVENT_COLUMNS] = {
		[EVENT_ID] = f->id, [EVENT_OBJECT] = f->object, [EVENT_VM] = f->vm,
		[EVENT_USER] = f->user, [EVENT_OPERATION] = f->operation,
		[EVENT_TYPE] = f->type, [EVENT_KEY] = f->key, [EVENT_HOST] = f->host,
	};

	search->query = (struct event_query){ .after = f->since_seq, .to = last };
	memcpy(search->query.equal, equal, sizeof(equal));
	if (f->before_seq && f->before_seq <= last)
		search->query.to = f->before_seq - 1;
	if (f->from) {
		time_format(f->from, search->from);
		search->query.from = search->from;
	}
	if (f->to) {
		time_format(f->to, search->to);
		search->query.before = search->to;
	}
}

int record_last(struct store *s, uint64_t *ret_seq, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	struct event_mark last;
	int r = head_read_last(s, &last, e);

	if (r == 0)
		*ret_seq = last.seq;
	return r;
}

static int search_back(struct store *s, struct event_query *q, uint64_t limit, uint64_t *ret_found,
		       struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);

	return event_search_back(s, q, limit, ret_found, e);
}

/* Moves the lower bound so that the newest @limit rows are left. */
static int skip_old(struct store *s, struct event_query *q, uint64_t limit, struct error *e)
{
	struct event_query back = *q;
	uint64_t found, left = limit;
	int r;

	do {
		r = search_back(s, &back, left, &found, e);
		left -= found;
		store_rest(s);
	} while (r > 0);
	if (r == 0 && left == 0)
		q->after = back.to;
	return r;
}

static int take_row(const struct event_row *row, void *userdata, struct error *e)
{
	struct page *page = userdata;
	struct read_row *to = &page->rows[page->n];

	if (!row->text || !row->hash || strlen(row->hash) != RECORD_HASH_SIZE - 1)
		return error_fail(e, EBADMSG, "An event has no hash: verify the events");
	to->text = strndup(row->text, row->size);
	if (!to->text)
		return error_oom(e);
	to->size = row->size;
	memcpy(to->hash, row->hash, RECORD_HASH_SIZE);
	page->n++;
	return 0;
}

static int read_page(struct store *s, struct event_query *q, struct page *page, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);

	return event_search(s, q, PAGE, take_row, page, e);
}

static int hand_on(const struct read_row *read, int (*row)(const json_t *row, void *userdata),
		   void *userdata, struct error *e)
{
	_cleanup_json_ json_t *one = NULL;
	int r = json_parse(read->text, read->size, RECORD_ROW_MAX, "event", &one, e);

	if (r < 0)
		return r;
	if (json_object_set_new(one, "hash", json_string(read->hash)) < 0)
		return error_oom(e);
	return row(one, userdata);
}

int record_each(struct store *s, const struct record_filter *f,
		int (*row)(const json_t *row, void *userdata), void *userdata, struct error *e)
{
	static const struct record_filter all;
	_cleanup_(page_free) struct page *page = calloc(1, sizeof(*page));
	struct search search;
	uint64_t left, last = 0;
	int more = 1, r;

	if (!page)
		return error_oom(e);
	f = f ? f : &all;
	left = f->limit ? f->limit : UINT64_MAX;
	r = record_last(s, &last, e);
	make_search(f, last, &search);
	if (r == 0 && f->newest && f->limit)
		r = skip_old(s, &search.query, f->limit, e);
	while (r == 0 && more > 0 && left > 0) {
		size_t i;

		page_clear(page);
		more = read_page(s, &search.query, page, e);
		if (more < 0)
			return more;
		for (i = 0; r == 0 && i < page->n && left > 0; i++, left--)
			r = hand_on(&page->rows[i], row, userdata, e);
		store_rest(s);
	}
	return r < 0 ? r : 0;
}
