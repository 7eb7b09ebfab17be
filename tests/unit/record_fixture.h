/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store with events, and hands that change its database behind its back. */
#ifndef VMCRYPT_TESTS_RECORD_FIXTURE_H
#define VMCRYPT_TESTS_RECORD_FIXTURE_H

#include "unit.h"

#include <sqlite3.h>

#include "manager/record.h"
#include "manager/store.h"

#define EVENT_FIELDS "id, object, vm, time, user, operation, type, key, host"

/* Makes a database one of the version before, or of the first one. */
#define TO_VERSION_2									\
	"DROP INDEX event_key; DROP INDEX event_host;"					\
	" ALTER TABLE event DROP COLUMN time; ALTER TABLE event DROP COLUMN user;"	\
	" ALTER TABLE event DROP COLUMN operation; ALTER TABLE event DROP COLUMN type;"	\
	" ALTER TABLE event DROP COLUMN key; ALTER TABLE event DROP COLUMN host;"	\
	" PRAGMA user_version = 2"
#define TO_VERSION_1 TO_VERSION_2 "; DROP TABLE event_anchor; PRAGMA user_version = 1"

static const struct record_event key_new = {
	.user = "alice", .operation = "key.new", .type = "vim.event.VmReconfiguredEvent",
	.object = "vm:1", .key = "p/k", .host = "h1", .vm = "1",
};

static inline struct store *open_store(const char *dir)
{
	struct error e = ERROR_NULL;
	struct store *s = NULL;

	if (store_open(dir, &s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static inline void do_event(struct store *s, const struct record_event *event)
{
	struct error e = ERROR_NULL;
	char id[UUID_TEXT_SIZE];

	if (record_begin(s, event, id, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(record_end(s, id, NULL, NULL), 0);
}

static inline int take(const json_t *row, void *userdata)
{
	return json_array_append((json_t *)userdata, (json_t *)row);
}

static inline json_t *read_rows(struct store *s, const struct record_filter *f)
{
	struct error e = ERROR_NULL;
	json_t *rows = json_array();

	if (record_each(s, f, take, rows, &e) < 0)
		fail_msg("%s", e.text);
	return rows;
}

static inline const char *field(const json_t *rows, size_t i, const char *name)
{
	assert_true(i < json_array_size(rows));
	return json_string_value(json_object_get(json_array_get(rows, i), name));
}

static inline void run_sql(const char *dir, const char *sql)
{
	char *text = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(unit_path(dir, "manager.db"), &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", sql, text);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#endif
