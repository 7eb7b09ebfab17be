/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store's statements: prepared once, bound, and their failures in words. */
#include "manager/store-sql.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

static const struct sql_failure {
	int rc;
	int code;
	const char *text;
} failures[] = {
	{ SQLITE_CONSTRAINT_PRIMARYKEY, EEXIST, "the id is taken" },
	{ SQLITE_CONSTRAINT_UNIQUE, EEXIST, "the name is taken" },
	{ SQLITE_CONSTRAINT, EINVAL, "a rule of the database forbids it" },
	{ SQLITE_FULL, ENOSPC, "no space is left on its file system: free some" },
	{ SQLITE_BUSY, EBUSY, "another program has it open: end that one" },
	{ SQLITE_LOCKED, EBUSY, "another program has it open: end that one" },
	{ SQLITE_NOTADB, EBADMSG, "it is no database: restore it from a backup" },
	{ SQLITE_CORRUPT, EBADMSG, "it is damaged: restore it from a backup" },
	{ SQLITE_NOMEM, ENOMEM, "out of memory: free some and try again" },
	{ SQLITE_TOOBIG, EFBIG, "it is too large" },
	{ SQLITE_READONLY, EROFS, "it cannot be written: check its owner and file system" },
	{ SQLITE_PERM, EACCES, "it cannot be opened: check its owner and mode" },
	{ SQLITE_CANTOPEN, EACCES, "it cannot be opened: check its owner and mode" },
	{ SQLITE_IOERR, EIO, "its file system failed: see the kernel's log" },
};

static const struct sql_failure *find_failure(int rc)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(failures); i++)
		if (failures[i].rc == rc)
			return &failures[i];
	for (i = 0; i < ARRAY_SIZE(failures); i++)
		if (failures[i].rc == (rc & 0xff))
			return &failures[i];
	return NULL;
}

int sql_fail(struct store *s, int rc, const char *what, struct error *e)
{
	const struct sql_failure *failure = find_failure(rc);

	if (failure)
		return error_fail(e, failure->code, "Cannot %s %s/" STORE_FILE ": %s", what,
				  s->dir, failure->text);
	return error_fail(e, EIO, "Cannot %s %s/" STORE_FILE ": %s (SQLite %d)", what, s->dir,
			  s->db ? sqlite3_errmsg(s->db->sqlite) : sqlite3_errstr(rc), rc);
}

/* The place of a statement: its own, a free one, or the one longest unused. */
static struct statement *find_statement(struct store *s, const char *sql)
{
	struct statement *oldest = NULL;
	size_t i;

	for (i = 0; i < STORE_STATEMENTS; i++) {
		struct statement *at = &s->db->statements[i];

		if (at->sql && strcmp(at->sql, sql) == 0)
			return at;
		if (at->stmt && sqlite3_stmt_busy(at->stmt))
			continue;
		if (!oldest || at->used < oldest->used)
			oldest = at;
	}
	return oldest;
}

static void forget(struct statement *at)
{
	sqlite3_finalize(at->stmt);
	free(at->sql);
	*at = (struct statement){ .sql = NULL };
}

int sql_prepare(struct store *s, const char *sql, sqlite3_stmt **ret, struct error *e)
{
	struct statement *at = find_statement(s, sql);
	int rc;

	/* A transaction that SQLite gave up: nothing of it may become permanent. */
	if (s->depth > 0 && sqlite3_get_autocommit(s->db->sqlite))
		return error_fail(e, ECANCELED,
				  "Cannot write %s/" STORE_FILE ": the transaction failed before",
				  s->dir);
	if (!at)
		return error_fail(e, EMFILE, "Too many statements are under way in the database");
	at->used = ++s->db->clock;
	if (at->sql && strcmp(at->sql, sql) == 0) {
		*ret = at->stmt;
		return 0;
	}
	forget(at);
	at->sql = strdup(sql);
	if (!at->sql)
		return error_oom(e);
	rc = sqlite3_prepare_v3(s->db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &at->stmt, NULL);
	if (rc != SQLITE_OK) {
		forget(at);
		return sql_fail(s, rc, "use", e);
	}
	at->used = s->db->clock;
	*ret = at->stmt;
	return 0;
}

int sql_text(struct store *s, sqlite3_stmt *stmt, int index, const char *text, struct error *e)
{
	int rc = sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);

	return rc == SQLITE_OK ? 0 : sql_fail(s, rc, "use", e);
}

int sql_number(struct store *s, sqlite3_stmt *stmt, int index, uint64_t number, struct error *e)
{
	int rc = sqlite3_bind_int64(stmt, index,
				    (int64_t)(number > INT64_MAX ? INT64_MAX : number));

	return rc == SQLITE_OK ? 0 : sql_fail(s, rc, "use", e);
}

int sql_step(struct store *s, sqlite3_stmt *stmt, struct error *e)
{
	bool alone = sqlite3_get_autocommit(s->db->sqlite);
	int rc = sqlite3_step(stmt);

	/* Where SQLite has rolled a transaction back with it, only its caller can try again. */
	if ((rc & 0xff) == SQLITE_FULL && reserve_release(s) &&
	    (alone || !sqlite3_get_autocommit(s->db->sqlite))) {
		sqlite3_reset(stmt);
		rc = sqlite3_step(stmt);
	}
	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE)
		return 0;
	return sql_fail(s, rc, "use", e);
}

int sql_run(struct store *s, const char *sql, struct error *e)
{
	_cleanup_statement_ sqlite3_stmt *stmt = NULL;
	int r;

	r = sql_prepare(s, sql, &stmt, e);
	if (r < 0)
		return r;
	do
		r = sql_step(s, stmt, e);
	while (r > 0);
	return r;
}

const char *sql_column(sqlite3_stmt *stmt, int column, size_t *ret_size)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);

	if (ret_size)
		*ret_size = text ? (size_t)sqlite3_column_bytes(stmt, column) : 0;
	return text;
}

void sql_done(sqlite3_stmt **stmt)
{
	if (!*stmt)
		return;
	sqlite3_reset(*stmt);
	sqlite3_clear_bindings(*stmt);
	*stmt = NULL;
}

void sql_close(struct store *s)
{
	size_t i;

	if (!s->db)
		return;
	for (i = 0; i < STORE_STATEMENTS; i++)
		forget(&s->db->statements[i]);
	sqlite3_close(s->db->sqlite);
	free(s->db);
	s->db = NULL;
}
