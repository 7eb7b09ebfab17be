/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the record of events needs of the database: rows under rising numbers, the
 * intents among them that are open, and two marks. The record decides what a row says
 * and whether the chain is whole; here it is written and found.
 *
 * All of it under the store's lock; what writes, within a transaction. A search looks at
 * a bounded number of rows, for all operations on keys wait while it does.
 */
#ifndef MANAGER_STORE_EVENT_H
#define MANAGER_STORE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"

#define EVENT_HASH_SIZE	65U	/* SHA-256 in hexadecimal, with the NUL */
#define EVENT_WINDOW	1024U	/* rows that a search looks at under one hold of the lock */

struct store;

/**
 * enum event_column - members of a row that are searched for
 *
 * Each stands in a column of its own beside the row's text.
 */
enum event_column {
	EVENT_ID,
	EVENT_OBJECT,
	EVENT_VM,
	EVENT_TIME,
	EVENT_USER,
	EVENT_OPERATION,
	EVENT_TYPE,
	EVENT_KEY,
	EVENT_HOST,
	EVENT_COLUMNS,
};

/** event_column_names - the members' names */
extern const char *const event_column_names[EVENT_COLUMNS];

/** struct event_mark - a row: its number and its hash */
struct event_mark {
	uint64_t seq;
	char hash[EVENT_HASH_SIZE];
};

/** event_hash_valid() - whether a text is a hash */
bool event_hash_valid(const char *hash);

/** enum event_mark_name - EVENT_HEAD: the newest row; EVENT_ANCHOR: the newest one cut away */
enum event_mark_name {
	EVENT_HEAD,
	EVENT_ANCHOR,
};

/** event_mark_read() - Return: 0; -ENOENT: there is none, or none that can be */
int event_mark_read(struct store *s, enum event_mark_name name, struct event_mark *ret,
		    struct error *e);
int event_mark_write(struct store *s, enum event_mark_name name, const struct event_mark *mark,
		     struct error *e);

/**
 * event_insert() - add a row
 * @text: JSON, with the members that are searched for
 */
int event_insert(struct store *s, uint64_t seq, const char *text, const char *hash,
		 struct error *e);

/** event_newest() - the row with the highest number. Return: 0; -ENOENT. */
int event_newest(struct store *s, struct event_mark *ret, struct error *e);

/**
 * event_get() - one row's hash and time
 * @ret_time: may be NULL
 *
 * Return: 0; -ENOENT.
 */
int event_get(struct store *s, uint64_t seq, struct event_mark *ret, char ret_time[TIME_TEXT_SIZE],
	      struct error *e);

/**
 * event_open_add() - note that the intent @id, in row @seq, is open
 * event_open_remove() - or no longer
 */
int event_open_add(struct store *s, const char *id, uint64_t seq, struct error *e);
int event_open_remove(struct store *s, const char *id, struct error *e);

/** event_open_get() - an open intent's row; the caller frees it. Return: 0; -ENOENT. */
int event_open_get(struct store *s, const char *id, char **ret_text, size_t *ret_size,
		   struct error *e);

/** event_open_oldest() - the open intent in the lowest row. Return: 0; -ENOENT. */
int event_open_oldest(struct store *s, char ret_id[UUID_TEXT_SIZE], uint64_t *ret_seq,
		      struct error *e);

/**
 * struct event_query - which rows
 * @after: numbers behind this one
 * @to: numbers up to this one
 * @from: time as text, with it; NULL: from the first on
 * @before: time as text, without it; NULL: to the newest
 * @equal: what stands in the columns; NULL: anything
 */
struct event_query {
	uint64_t after;
	uint64_t to;
	const char *from;
	const char *before;
	const char *equal[EVENT_COLUMNS];
};

/** struct event_row - a row that was found; valid until the callback returns */
struct event_row {
	uint64_t seq;
	const char *text;
	size_t size;
	const char *hash;
	const char *columns[EVENT_COLUMNS];
};

/**
 * event_search() - look through the next rows, the oldest first
 * @q: @after moves behind what was looked at
 * @limit: at most so many are found
 * @row: called for each; a negative return ends the search
 *
 * Return: 1: there may be more; 0: @to has been reached; what @row returned.
 */
int event_search(struct store *s, struct event_query *q, unsigned int limit,
		 int (*row)(const struct event_row *row, void *userdata, struct error *e),
		 void *userdata, struct error *e);

/**
 * event_search_back() - the same from the newest on
 * @q: @to moves before what was looked at
 * @ret_found: so many were found, at most @limit
 *
 * Return: 1: there may be more; 0: @after has been reached, or @limit.
 */
int event_search_back(struct store *s, struct event_query *q, uint64_t limit,
		      uint64_t *ret_found, struct error *e);

/** event_cut() - remove the rows up to @seq */
int event_cut(struct store *s, uint64_t seq, struct error *e);

/** event_outside() - a row up to @low or behind @high. Return: 1; 0: there is none. */
int event_outside(struct store *s, uint64_t low, uint64_t high, int64_t *ret_seq,
		  struct error *e);

#endif /* MANAGER_STORE_EVENT_H */
