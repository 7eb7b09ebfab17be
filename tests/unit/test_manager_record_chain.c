/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's record as a chain: what was removed, altered or put there shows, and
 * goes on showing after the next start. */
#include "record_fixture.h"

#include <openssl/sha.h>

#include "common/fileio.h"

#define ROWS 6	/* of each store */

/* In memory where there is such a file system: dozens of stores are made here, and
 * each of their writes would wait for a disk. */
static struct store *make(char dir[64])
{
	struct error e = ERROR_NULL;
	struct store *s;
	int i;

	snprintf(dir, 64, "/dev/shm/vmcrypt-unit-XXXXXX");
	if (!mkdtemp(dir))
		unit_make_dir(dir);
	s = open_store(dir);
	assert_int_equal(store_begin(s, &e), 0);
	for (i = 0; i < ROWS; i++)
		assert_int_equal(record_note(s, &key_new, "ok", &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
	return s;
}

/* As the header says it is made, from what anybody can read. */
static void test_hash_as_documented(void **state)
{
	uint8_t hash[SHA256_DIGEST_LENGTH] = { 0 };
	_cleanup_json_ json_t *rows = NULL;
	struct error e = ERROR_NULL;
	char dir[64], hex[65], head[RECORD_HASH_SIZE];
	uint64_t n, bad = 1;
	struct store *s;
	json_t *row;
	size_t i;

	(void)state;
	s = make(dir);
	rows = read_rows(s, NULL);
	json_array_foreach(rows, i, row) {
		_cleanup_json_ json_t *copy = json_copy(row);
		_cleanup_free_ char *text = NULL;
		uint8_t both[1024];

		json_object_del(copy, "hash");
		assert_int_equal(json_object_size(copy), 13);
		text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
		assert_non_null(text);
		assert_true(strlen(text) < sizeof(both) - sizeof(hash));
		memcpy(both, hash, sizeof(hash));
		memcpy(both + sizeof(hash), text, strlen(text));
		SHA256(both, sizeof(hash) + strlen(text), hash);
		hex_encode(hash, sizeof(hash), hex);
		assert_string_equal(json_string_value(json_object_get(row, "hash")), hex);
		assert_int_equal(json_integer_value(json_object_get(copy, "seq")), i + 1);
	}
	assert_int_equal(record_verify(s, &n, &bad, head, &e), 0);
	assert_int_equal(n, ROWS);
	assert_int_equal(bad, 0);
	assert_string_equal(head, hex);
	store_free(s);
	unit_remove_dir(dir);
}

static uint64_t bad_seq(struct store *s)
{
	struct error e = ERROR_NULL;
	uint64_t bad = 0;

	assert_int_equal(record_verify(s, NULL, &bad, NULL, &e), -EBADMSG);
	unit_speaks(&e, "broken at number");
	return bad;
}

/* Changes the database of a manager that is down; @bad: what must show from then on. */
static void tamper(const char *sql, uint64_t bad)
{
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	int i;

	s = make(dir);
	store_free(s);
	run_sql(dir, sql);
	for (i = 0; i < 2; i++) {
		s = open_store(dir);
		if (bad_seq(s) != bad)
			fail_msg("%s: start %d: %llu", sql, i, (unsigned long long)bad_seq(s));
		assert_int_equal(record_note(s, &key_new, "ok", &e), 0);
		assert_int_equal(bad_seq(s), bad);
		store_free(s);
	}
	unit_remove_dir(dir);
}

#define HEAD_OF(seq) "; UPDATE event_head SET (seq, hash) = (SELECT seq, hash FROM event WHERE seq = " seq ")"

static void test_removed(void **state)
{
	(void)state;
	tamper("DELETE FROM event WHERE seq = 1", 1);
	tamper("DELETE FROM event WHERE seq = 3", 3);
	tamper("DELETE FROM event WHERE seq = 6", 6);
	tamper("DELETE FROM event WHERE seq > 2", 3);
	tamper("DELETE FROM event", 1);
	tamper("DELETE FROM event WHERE seq = 6" HEAD_OF("5"), 6);
	tamper("DELETE FROM event WHERE seq > 2" HEAD_OF("2"), 3);
	tamper("DELETE FROM event; UPDATE event_head SET seq = 0,"
	       " hash = '0000000000000000000000000000000000000000000000000000000000000000'", 1);
	tamper("DELETE FROM event; DELETE FROM event_head", 1);
	/* and the numbers closed up behind it */
	tamper("DELETE FROM event WHERE seq = 3; UPDATE event SET seq = 3 WHERE seq = 4;"
	       " UPDATE event SET seq = 4 WHERE seq = 5; UPDATE event SET seq = 5 WHERE seq = 6"
	       HEAD_OF("5"), 3);
}

static void test_altered(void **state)
{
	(void)state;
	tamper("UPDATE event SET row = replace(row, 'alice', 'malice') WHERE seq = 2", 2);
	tamper("UPDATE event SET row = replace(row, 'alice', 'malice') WHERE seq = 6", 6);
	tamper("UPDATE event SET row = 'x' WHERE seq = 5", 5);
	tamper("UPDATE event SET object = 'vm:2' WHERE seq = 4", 4);
	tamper("UPDATE event SET vm = NULL WHERE seq = 4", 4);
	/* what keeps it from being found */
	tamper("UPDATE event SET user = 'bob' WHERE seq = 4", 4);
	tamper("UPDATE event SET key = NULL WHERE seq = 4", 4);
	tamper("UPDATE event SET host = '' WHERE seq = 4", 4);
	tamper("UPDATE event SET operation = 'x', type = 'x' WHERE seq = 4", 4);
	tamper("UPDATE event SET time = '2001-01-01T00:00:00Z' WHERE seq = 4", 4);
	tamper("UPDATE event SET hash = replace(hash, substr(hash, 1, 1), '-') WHERE seq = 3", 3);
	/* the newest: its hash, too, and what the database says of it */
	tamper("UPDATE event SET row = replace(row, 'alice', 'malice'), hash = printf('%064d', 7)"
	       " WHERE seq = 6" HEAD_OF("6"), 6);
}

#define COPY(to, from) "INSERT INTO event(seq, row, hash, " EVENT_FIELDS ") SELECT " to		\
	", row, hash, " EVENT_FIELDS " FROM event WHERE seq = " from

static void test_reordered_and_added(void **state)
{
	(void)state;
	tamper("UPDATE event SET seq = 99 WHERE seq = 3; UPDATE event SET seq = 3 WHERE seq = 4;"
	       " UPDATE event SET seq = 4 WHERE seq = 99", 3);
	tamper(COPY("7", "6"), 7);
	tamper(COPY("0", "6"), 1);
	tamper(COPY("-5", "6"), 1);
}

/* While it runs nobody else can write, but the file beside it can be changed. */
static void test_head_file(void **state)
{
	_cleanup_free_ char *old = NULL;
	_cleanup_json_ json_t *rows = NULL;
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	size_t size;

	(void)state;
	s = make(dir);
	assert_int_equal(file_read_bounded(unit_path(dir, "events.head"), 200, &old, &size, &e), 0);
	do_event(s, &key_new);
	store_free(s);
	/* Killed between the commit and the file: that is no tampering. */
	unit_write(unit_path(dir, "events.head"), old, size, 0600);
	s = open_store(dir);
	assert_int_equal(record_verify(s, NULL, NULL, NULL, &e), 0);
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), ROWS + 2);
	json_decref(rows);
	store_free(s);
	/* Gone: nobody can tell, so it is said for ever. */
	assert_int_equal(unlink(unit_path(dir, "events.head")), 0);
	s = open_store(dir);
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), ROWS + 3);
	assert_string_equal(field(rows, ROWS + 2, "operation"), "event.verify");
	assert_non_null(strstr(field(rows, ROWS + 2, "result"), "events.head is gone"));
	assert_int_equal(record_verify(s, NULL, NULL, NULL, &e), 0);
	store_free(s);
	unit_write(unit_path(dir, "events.head"), "garbage", 7, 0600);
	s = open_store(dir);
	json_decref(rows);
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), ROWS + 4);
	store_free(s);
	/* The other rows' head: a number that is right and a hash that is not. */
	old[30] = old[30] == '0' ? '1' : '0';
	unit_write(unit_path(dir, "events.head"), old, size, 0600);
	s = open_store(dir);
	assert_true(bad_seq(s) > 0);
	do_event(s, &key_new);
	assert_true(bad_seq(s) > 0);
	store_free(s);
	unit_remove_dir(dir);
}

/* All three places: only a head that was kept elsewhere tells. */
static void test_head_kept_elsewhere(void **state)
{
	_cleanup_free_ char *old = NULL;
	char dir[64], before[RECORD_HASH_SIZE], after[RECORD_HASH_SIZE];
	struct error e = ERROR_NULL;
	struct store *s;
	size_t size;

	(void)state;
	s = make(dir);
	assert_int_equal(file_read_bounded(unit_path(dir, "events.head"), 200, &old, &size, &e), 0);
	do_event(s, &key_new);
	assert_int_equal(record_verify(s, NULL, NULL, before, &e), 0);
	store_free(s);
	run_sql(dir, "DELETE FROM event WHERE seq > 6" HEAD_OF("6"));
	unit_write(unit_path(dir, "events.head"), old, size, 0600);
	s = open_store(dir);
	assert_int_equal(record_verify(s, NULL, NULL, after, &e), 0);
	assert_string_not_equal(before, after);
	store_free(s);
	unit_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_as_documented),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_altered),
		cmocka_unit_test(test_reordered_and_added),
		cmocka_unit_test(test_head_file),
		cmocka_unit_test(test_head_kept_elsewhere),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
