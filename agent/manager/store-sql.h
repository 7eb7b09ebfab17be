/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store's connection to SQLite, for the files store*.c alone. */
#ifndef MANAGER_STORE_SQL_H
#define MANAGER_STORE_SQL_H

#include <sqlite3.h>

#include "manager/store-internal.h"

#define STORE_STATEMENTS	64U

/** struct statement - one that is kept prepared; @used: when it was used last */
struct statement {
	char *sql;
	sqlite3_stmt *stmt;
	uint64_t used;
};

/**
 * struct database
 * @sqlite: the connection
 * @clock: counts uses of statements
 */
struct database {
	sqlite3 *sqlite;
	struct statement statements[STORE_STATEMENTS];
	uint64_t clock;
};

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

#endif /* MANAGER_STORE_SQL_H */
