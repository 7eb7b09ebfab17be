/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store from inside: one connection to SQLite, statements kept prepared, the
 * space in reserve, and what the record of events keeps in memory.
 */
#ifndef MANAGER_STORE_INTERNAL_H
#define MANAGER_STORE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>

#include "common/lock.h"
#include "manager/store.h"

#define STORE_FILE		"manager.db"
#define STORE_RESERVE_FILE	"reserve"
#define STORE_RESERVE_SIZE	((uint64_t)8 << 20)	/* bytes: thousands of events */
#define STORE_APPLICATION_ID	0x766d636d		/* "vmcm" */
#define STORE_STATEMENTS	64U

struct statement {
	char *sql;
	sqlite3_stmt *stmt;
	uint64_t used;
};

/**
 * struct store_record - the newest rows on their way out
 * @fd: DIR/events.head
 * @pending: rows of the transaction that is open
 * @marks: how many rows there were when each of its levels began
 */
struct store_record {
	int fd;
	json_t *pending;
	size_t marks[STORE_DEPTH_MAX];
	void (*seen)(const json_t *row, void *userdata);
	void *userdata;
};

/**
 * struct store
 * @lock: recursive; a transaction holds it once for each of its levels
 * @depth: levels of the transaction that is open; under the lock
 * @dir_fd: the folder; its flock(2) keeps other managers out
 * @reserve: bytes that the reserve has
 * @released: how often it has been given back
 * @trouble: why the last write failed; empty when it went well
 */
struct store {
	pthread_mutex_t lock;
	unsigned int depth;
	int dir_fd;
	char *dir;
	sqlite3 *db;
	struct statement statements[STORE_STATEMENTS];
	uint64_t clock;
	uint64_t reserve;
	unsigned int released;
	char trouble[ERROR_TEXT_SIZE];
	struct store_record record;
};

static inline pthread_mutex_t *store_lock(struct store *s)
{
	return mutex_lock(&s->lock);
}

/* store-sql.c: all of it under the lock */

/** sql_fail() - the words and the errno for what SQLite answered */
int sql_fail(struct store *s, int rc, const char *what, struct error *e);

/** sql_prepare() - a statement from the cache, to be given back by sql_done() */
int sql_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct error *e);

/** sql_text(), sql_number() - bind; the text must live until sql_done() */
int sql_text(struct store *s, sqlite3_stmt *stmt, int index, const char *text, struct error *e);
int sql_number(struct store *s, sqlite3_stmt *stmt, int index, uint64_t number,
	       struct error *e);

/**
 * sql_step() - gives the reserve back and tries again when the disk is full
 *
 * Return: 1: a row; 0: no more; or why not.
 */
int sql_step(struct store *s, sqlite3_stmt *stmt, struct error *e);

/** sql_run() - a statement without parameters, to its end */
int sql_run(struct store *s, const char *sql, struct error *e);

/** sql_column() - text of a column; NULL when it is none */
const char *sql_column(sqlite3_stmt *stmt, int column, size_t *ret_size);

void sql_done(sqlite3_stmt **stmt);
void sql_close(struct store *s);

#define _cleanup_statement_ __attribute__((cleanup(sql_done)))

/* store-schema.c */
int schema_open(struct store *s, struct error *e);

/* store-reserve.c */

/** reserve_fill() - make the reserve whole when there is room for it and as much again */
void reserve_fill(struct store *s);

/** reserve_is_needed() - whether the next transaction may not find the space it needs */
bool reserve_is_needed(const struct store *s);

/** reserve_release() - give it back. Return: whether there was any. */
bool reserve_release(struct store *s);

/* record.c, for store.c */
int record_open(struct store *s, struct error *e);
void record_close(struct store *s);
void record_rolled_back(struct store *s, unsigned int depth);

/** record_committed() - Return: rows for record_journal(), which needs no lock */
json_t *record_committed(struct store *s);
void record_journal(json_t *rows);

#endif /* MANAGER_STORE_INTERNAL_H */
