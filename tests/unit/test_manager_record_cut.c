/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Old events cut away: what is left still proves itself, and nothing hides in it. */
#include "record_fixture.h"

#include <errno.h>

#define ROWS	400
#define DAY_S	86400

static void add_rows(struct store *s, int n)
{
	struct error e = ERROR_NULL;
	int i;

	assert_int_equal(store_begin(s, &e), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(record_note(s, &key_new, "ok", &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
}

static struct store *make(char dir[64])
{
	struct store *s;

	unit_make_dir(dir);
	s = open_store(dir);
	add_rows(s, ROWS);
	return s;
}

static void verified(struct store *s, uint64_t rows, uint64_t cut)
{
	struct error e = ERROR_NULL;
	uint64_t n = 0, bad = 1, anchor = 1;

	if (record_verify(s, &n, &bad, NULL, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(n, rows);
	assert_int_equal(bad, 0);
	assert_int_equal(record_anchor(s, &anchor, &e), 0);
	assert_int_equal(anchor, cut);
}

static void test_keeps_so_many(void **state)
{
	const struct record_keep keep = { .rows = 250 }, all = { .rows = 0 };
	_cleanup_json_ json_t *rows = NULL;
	struct error e = ERROR_NULL;
	const json_t *data;
	struct store *s;
	char dir[64];

	(void)state;
	s = make(dir);
	assert_int_equal(record_cut(s, &all, time_now() + 1000 * DAY_S, &e), 0);
	verified(s, ROWS, 0);
	assert_int_equal(record_cut(s, &keep, time_now(), &e), 0);
	verified(s, 252, 150);
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), 252);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 0), "seq")), 151);
	assert_string_equal(field(rows, 250, "operation"), "event.cut");
	assert_string_equal(field(rows, 250, "phase"), "intent");
	assert_string_equal(field(rows, 251, "result"), "ok");
	data = json_object_get(json_array_get(rows, 250), "data");
	assert_int_equal(json_integer_value(json_object_get(data, "from")), 1);
	assert_int_equal(json_integer_value(json_object_get(data, "to")), 150);
	/* The two events of the cut are not worth another one. */
	assert_int_equal(record_cut(s, &keep, time_now(), &e), 0);
	verified(s, 252, 150);
	store_free(s);
	s = open_store(dir);
	add_rows(s, 200);
	assert_int_equal(record_cut(s, &keep, time_now(), &e), 0);
	verified(s, 252, 352);
	store_free(s);
	unit_remove_dir(dir);
}

static void test_keeps_so_long(void **state)
{
	const struct record_keep keep = { .days = 30 };
	struct error e = ERROR_NULL;
	char dir[64], id[UUID_TEXT_SIZE];
	struct store *s;

	(void)state;
	s = make(dir);
	assert_int_equal(record_cut(s, &keep, time_now() + 29 * DAY_S, &e), 0);
	verified(s, ROWS, 0);
	/* All are old: the newest stay, and what is under way and behind it. */
	assert_int_equal(record_begin(s, &key_new, id, &e), 0);
	add_rows(s, 300);
	assert_int_equal(record_cut(s, &keep, time_now() + 31 * DAY_S, &e), 0);
	verified(s, 303, ROWS);
	assert_int_equal(record_end(s, id, NULL, NULL), 0);
	assert_int_equal(record_cut(s, &keep, time_now() + 31 * DAY_S, &e), 0);
	verified(s, RECORD_KEEP_MIN + 2, ROWS + 304 - RECORD_KEEP_MIN);
	store_free(s);
	unit_remove_dir(dir);
}

/* A manager that is down is tampered with after a cut; @bad: what shows. */
static void tamper(const char *sql, uint64_t bad)
{
	const struct record_keep keep = { .rows = 250 };
	struct error e = ERROR_NULL;
	uint64_t found = 0;
	struct store *s;
	char dir[64];

	s = make(dir);
	assert_int_equal(record_cut(s, &keep, time_now(), &e), 0);
	store_free(s);
	run_sql(dir, sql);
	s = open_store(dir);
	assert_int_equal(record_verify(s, NULL, &found, NULL, &e), -EBADMSG);
	if (found != bad)
		fail_msg("%s: %llu", sql, (unsigned long long)found);
	store_free(s);
	unit_remove_dir(dir);
}

static void test_more_was_cut(void **state)
{
	(void)state;
	tamper("DELETE FROM event WHERE seq = 151", 151);
	tamper("DELETE FROM event WHERE seq <= 200", 151);
	tamper("UPDATE event_anchor SET (seq, hash) = (SELECT seq, hash FROM event WHERE seq = 200);"
	       "DELETE FROM event WHERE seq <= 200", 200);
	tamper("DELETE FROM event_anchor", 1);
	tamper("UPDATE event_anchor SET hash = printf('%064d', 7)", 151);
	tamper("INSERT INTO event(seq, row, hash, " EVENT_FIELDS ") SELECT 7, row, hash, " EVENT_FIELDS
	       " FROM event WHERE seq = 160", 151);
	tamper("UPDATE event SET row = replace(row, '\"to\":150', '\"to\":149') WHERE seq = 401", 401);
}

/* What is broken stays, for it is what somebody may have to look at. */
static void test_broken_stays(void **state)
{
	const struct record_keep keep = { .rows = 250 };
	struct error e = ERROR_NULL;
	_cleanup_json_ json_t *rows = NULL;
	uint64_t anchor = 1;
	struct store *s;
	char dir[64];

	(void)state;
	s = make(dir);
	store_free(s);
	run_sql(dir, "UPDATE event SET row = replace(row, 'alice', 'malice') WHERE seq = 17");
	s = open_store(dir);
	assert_int_equal(record_cut(s, &keep, time_now(), &e), -EBADMSG);
	unit_speaks(&e, "broken at number 17");
	assert_int_equal(record_anchor(s, &anchor, &e), 0);
	assert_int_equal(anchor, 0);
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), ROWS);
	store_free(s);
	unit_remove_dir(dir);
}

static size_t found(struct store *s, struct record_filter f)
{
	_cleanup_json_ json_t *rows = read_rows(s, &f);

	return json_array_size(rows);
}

/* A store of an earlier version has no anchor, or no columns for what is searched. */
static void from_version(const char *sql)
{
	const struct record_keep keep = { .rows = 250 };
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];

	s = make(dir);
	store_free(s);
	run_sql(dir, sql);
	s = open_store(dir);
	verified(s, ROWS, 0);
	add_rows(s, 1);
	assert_int_equal(found(s, (struct record_filter){ .key = "p/k", .host = "h1" }), ROWS + 1);
	assert_int_equal(found(s, (struct record_filter){ .user = "alice", .operation = "key.new" }),
			 ROWS + 1);
	assert_int_equal(found(s, (struct record_filter){ .type = "vim.event.VmReconfiguredEvent",
							  .from = time_now() - DAY_S }), ROWS + 1);
	assert_int_equal(found(s, (struct record_filter){ .to = time_now() - DAY_S }), 0);
	assert_int_equal(record_cut(s, &keep, time_now(), &e), 0);
	verified(s, 252, 151);
	store_free(s);
	unit_remove_dir(dir);
}

/* What was tampered with in an earlier version keeps no manager from starting. */
static void test_broken_in_an_earlier_version(void **state)
{
	struct error e = ERROR_NULL;
	uint64_t bad = 0;
	struct store *s;
	char dir[64];

	(void)state;
	s = make(dir);
	store_free(s);
	run_sql(dir, TO_VERSION_2 "; UPDATE event SET row = 'x' WHERE seq = 17");
	s = open_store(dir);
	assert_int_equal(record_verify(s, NULL, &bad, NULL, &e), -EBADMSG);
	assert_int_equal(bad, 17);
	store_free(s);
	unit_remove_dir(dir);
}

static void test_from_earlier_versions(void **state)
{
	(void)state;
	from_version(TO_VERSION_2);
	from_version(TO_VERSION_1);
}

/* What a first cut after years finds: more than one cut takes. */
static void test_cuts_in_parts(void **state)
{
	const struct record_keep keep = { .days = 30 };
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];

	(void)state;
	s = make(dir);
	add_rows(s, 2 * RECORD_CUT_MAX);
	assert_int_equal(record_cut(s, &keep, time_now() + 31 * DAY_S, &e), 1);
	verified(s, ROWS + RECORD_CUT_MAX + 2, RECORD_CUT_MAX);
	assert_int_equal(record_cut(s, &keep, time_now() + 31 * DAY_S, &e), 1);
	assert_int_equal(record_cut(s, &keep, time_now() + 31 * DAY_S, &e), 0);
	verified(s, RECORD_KEEP_MIN + 2, 2 * RECORD_CUT_MAX + ROWS + 4 - RECORD_KEEP_MIN);
	store_free(s);
	unit_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keeps_so_many),
		cmocka_unit_test(test_keeps_so_long),
		cmocka_unit_test(test_more_was_cut),
		cmocka_unit_test(test_broken_stays),
		cmocka_unit_test(test_from_earlier_versions),
		cmocka_unit_test(test_broken_in_an_earlier_version),
		cmocka_unit_test(test_cuts_in_parts),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
