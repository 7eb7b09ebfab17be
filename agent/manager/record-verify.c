/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of events checked as a chain. */
#include "manager/record-internal.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define PAGE	256U	/* rows that are read under one hold of the lock */

/* A walk along the chain. */
struct chain {
	struct event_mark anchor;	/* before the first row that was kept */
	struct event_mark at;		/* the last row that was right */
	struct event_mark table;	/* what is said of the newest one */
	struct event_mark file;
	bool has_file;
	bool attested;			/* a row says that @anchor was cut down to */
	uint64_t rows;
	uint64_t bad;
};

static int start(struct store *s, struct chain *c, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	int r = anchor_read(s, &c->anchor, e);

	if (r < 0)
		return r;
	r = event_mark_read(s, EVENT_HEAD, &c->table, e);
	c->at = c->anchor;
	c->attested = c->anchor.seq == 0;
	c->has_file = head_file_read(s, &c->file) == 0;
	if (r == -ENOENT) {	/* what cannot be is what shows */
		c->table = (struct event_mark){ .seq = INT64_MAX, .hash = RECORD_HASH_ZERO };
		return 0;
	}
	return r;
}

/* The columns that are searched, against the row's own members. */
static bool columns_agree(const struct event_row *found, const json_t *row)
{
	size_t i;

	for (i = 0; i < EVENT_COLUMNS; i++) {
		const char *searched = found->columns[i];
		const char *said = json_string_value(json_object_get(row, event_column_names[i]));

		if (searched && said ? strcmp(searched, said) != 0 : searched != said)
			return false;
	}
	return true;
}

/* Whether the row is the manager's intent to cut away what stood before the first. */
static bool attests(const json_t *row, const struct event_mark *anchor)
{
	const json_t *data = json_object_get(row, "data");

	return strcmp(json_text(row, "operation"), RECORD_CUT) == 0 &&
	       strcmp(json_text(row, "phase"), "intent") == 0 &&
	       json_integer_value(json_object_get(data, "to")) == (json_int_t)anchor->seq &&
	       strcmp(json_text(data, "hash"), anchor->hash) == 0;
}

/* Whether the row says what its place and its columns say. */
static bool row_agrees(struct chain *c, const struct event_row *found)
{
	_cleanup_json_ json_t *row = NULL;
	uint64_t said;

	if (json_parse(found->text, found->size, RECORD_ROW_MAX, "event", &row, NULL) < 0 ||
	    json_get_uint(row, "event", "seq", INT64_MAX, &said, NULL) < 0 || said != found->seq)
		return false;
	c->attested = c->attested || attests(row, &c->anchor);
	return columns_agree(found, row);
}

static int check_row(const struct event_row *found, void *userdata, struct error *e)
{
	struct chain *c = userdata;
	char hash[RECORD_HASH_SIZE];
	int r;

	if (c->bad)
		return 0;
	if (!found->text || !found->hash || found->seq != c->at.seq + 1 || !row_agrees(c, found)) {
		c->bad = c->at.seq + 1;
		return 0;
	}
	r = record_hash(c->at.hash, found->text, found->size, hash, e);
	if (r < 0)
		return r;
	if (strcmp(hash, found->hash) != 0 ||
	    (c->has_file && found->seq == c->file.seq && strcmp(hash, c->file.hash) != 0)) {
		c->bad = found->seq;
		return 0;
	}
	c->at.seq = found->seq;
	memcpy(c->at.hash, hash, sizeof(hash));
	c->rows++;
	return 0;
}

/* Return: 1: there may be more; -ESTALE: rows were cut away since the start. */
static int check_page(struct store *s, struct chain *c, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	struct event_query rows = { .after = c->at.seq, .to = c->table.seq };
	struct event_mark anchor;
	int r = anchor_read(s, &anchor, e);

	if (r == 0 && anchor.seq != c->anchor.seq)
		return -ESTALE;
	if (r == 0)
		r = event_search(s, &rows, PAGE, check_row, c, e);
	return r < 0 ? r : r > 0 && !c->bad;
}

/* Rows below the first and above the newest: nobody should have put them there. */
static int check_outside(struct store *s, struct chain *c, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);
	struct event_mark now;
	int64_t seq;
	int r;

	r = event_mark_read(s, EVENT_HEAD, &now, e);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = event_outside(s, c->anchor.seq, now.seq, &seq, e);
	if (r > 0)
		c->bad = seq <= (int64_t)c->anchor.seq ? c->anchor.seq + 1 : now.seq + 1;
	return r < 0 ? r : 0;
}

static void check_end(struct chain *c)
{
	if (c->at.seq < c->table.seq || !c->has_file || c->at.seq < c->file.seq)
		c->bad = c->at.seq + 1;
	else if (strcmp(c->at.hash, c->table.hash) != 0)
		c->bad = c->at.seq;
	else if (!c->attested)
		c->bad = c->anchor.seq;
}

static int walk(struct store *s, struct chain *c, struct error *e)
{
	int r;

	do {
		r = check_page(s, c, e);
		store_rest(s);
	} while (r > 0);
	return r;
}

static int broken(uint64_t seq, struct error *e)
{
	return error_fail(e, EBADMSG,
			  "The record of events is broken at number %llu: that event has been removed, altered or put there, or those behind it; compare with the journal and a backup",
			  (unsigned long long)seq);
}

int record_check_oldest(struct store *s, const struct event_mark *to, struct error *e)
{
	struct chain c = { .rows = 0 };
	int r = start(s, &c, e);

	if (r < 0)
		return r;
	c.table = *to;
	c.has_file = false;
	r = walk(s, &c, e);
	if (r == -ESTALE)
		return error_fail(e, r, "Events were cut away while they were checked: try again");
	if (r < 0)
		return r;
	if (!c.bad && (c.at.seq != to->seq || strcmp(c.at.hash, to->hash) != 0))
		c.bad = c.at.seq + 1;
	return c.bad ? broken(c.bad, e) : 0;
}

static int verify_once(struct store *s, struct chain *c, struct error *e)
{
	int r = start(s, c, e);

	if (r == 0)
		r = walk(s, c, e);
	if (r == 0 && !c->bad)
		check_end(c);
	if (r == 0 && !c->bad)
		r = check_outside(s, c, e);
	return r;
}

int record_verify(struct store *s, uint64_t *ret_rows, uint64_t *ret_bad_seq,
		  char ret_head[RECORD_HASH_SIZE], struct error *e)
{
	struct chain c;
	int r;

	do {
		c = (struct chain){ .rows = 0 };
		r = verify_once(s, &c, e);
	} while (r == -ESTALE);
	if (r < 0)
		return r;
	if (ret_rows)
		*ret_rows = c.rows;
	if (ret_bad_seq)
		*ret_bad_seq = c.bad;
	if (ret_head)
		memcpy(ret_head, c.at.hash, RECORD_HASH_SIZE);
	return c.bad ? broken(c.bad, e) : 0;
}
