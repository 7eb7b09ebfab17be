/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's store: documents, transactions, threads, a full disk, foreign files. */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/mount.h>

#include "common/fileio.h"
#include "manager/record.h"
#include "manager/store.h"

static struct store *open_store(const char *dir)
{
	struct error e = ERROR_NULL;
	struct store *s = NULL;

	if (store_open(dir, &s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static int insert(struct store *s, const char *kind, const char *id, const char *text,
		  struct error *e)
{
	_cleanup_json_ json_t *document = json_loads(text, 0, NULL);

	assert_non_null(document);
	return store_insert(s, kind, id, document, e);
}

static void put(struct store *s, const char *kind, const char *id, const char *text)
{
	struct error e = ERROR_NULL;

	if (insert(s, kind, id, text, &e) < 0)
		fail_msg("%s", e.text);
}

static bool there(struct store *s, const char *kind, const char *id)
{
	_cleanup_json_ json_t *document = NULL;
	struct error e = ERROR_NULL;
	int r = store_get(s, kind, id, &document, &e);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

static void test_documents(void **state)
{
	_cleanup_json_ json_t *got = NULL, *list = NULL, *found = NULL, *changed = NULL;
	struct error e = ERROR_NULL;
	struct store *s;
	struct stat st;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	assert_int_equal(stat(unit_path(dir, "manager.db"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	put(s, "host", "1", "{\"name\":\"b\",\"cluster\":\"c1\"}");
	put(s, "host", "2", "{\"name\":\"a\",\"cluster\":\"c1\",\"odd\":\"x'\\\"\"}");
	put(s, "host", "3", "{\"name\":\"c\",\"cluster\":\"c2\"}");
	put(s, "vm", "1", "{\"name\":\"b\"}");
	put(s, "vm", "2", "{}");
	put(s, "vm", "3", "{}");
	assert_int_equal(stat(unit_path(dir, "manager.db-wal"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(store_get(s, "host", "2", &got, &e), 0);
	assert_string_equal(json_string_value(json_object_get(got, "id")), "2");
	assert_string_equal(json_string_value(json_object_get(got, "odd")), "x'\"");
	assert_int_equal(store_list(s, "host", "cluster", "c1", &list, &e), 0);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "id")), "2");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "id")), "1");
	assert_int_equal(store_find(s, "host", "name", "c", &found, &e), 0);
	assert_string_equal(json_string_value(json_object_get(found, "id")), "3");
	changed = json_pack("{s:s}", "name", "d");
	assert_int_equal(store_update(s, "host", "3", changed, &e), 0);
	assert_int_equal(store_find(s, "host", "name", "c", &list, &e), -ENOENT);
	unit_speaks(&e, "no host");
	assert_int_equal(store_delete(s, "host", "3", &e), 0);
	assert_false(there(s, "host", "3"));
	assert_true(there(s, "vm", "3"));
	store_free(s);
	s = open_store(dir);
	assert_true(there(s, "host", "1"));
	assert_false(there(s, "host", "3"));
	store_free(s);
	unit_remove_dir(dir);
}

static void test_all_are_deleted(void **state)
{
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	put(s, "host", "1", "{\"name\":\"a\",\"cluster\":\"c1\"}");
	put(s, "host", "2", "{\"name\":\"b\",\"cluster\":\"c1\"}");
	put(s, "host", "3", "{\"name\":\"c\",\"cluster\":\"c2\"}");
	put(s, "vm", "1", "{\"cluster\":\"c1\"}");
	assert_int_equal(store_delete_all(s, "host", "cluster", "c1", &e), 0);
	assert_false(there(s, "host", "1") || there(s, "host", "2"));
	assert_true(there(s, "host", "3") && there(s, "vm", "1"));
	/* None is as good as some. */
	assert_int_equal(store_delete_all(s, "host", "cluster", "c1", &e), 0);
	store_free(s);
	unit_remove_dir(dir);
}

static void test_each_field_is_found(void **state)
{
	static const char *const fields[] = {
		"name", "cluster", "host", "vm", "provider", "user", "serial", "another",
	};
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	size_t i;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		_cleanup_json_ json_t *d = json_pack("{s:s}", fields[i], "v"), *found = NULL;
		_cleanup_json_ json_t *list = NULL;

		assert_int_equal(store_insert(s, "vm", fields[i], d, &e), 0);
		assert_int_equal(store_insert(s, "host", fields[i], d, &e), 0);
		if (store_find(s, "vm", fields[i], "v", &found, &e) < 0)
			fail_msg("%s", e.text);
		assert_string_equal(json_string_value(json_object_get(found, "id")), fields[i]);
		assert_int_equal(store_list(s, "vm", fields[i], "v", &list, &e), 0);
		assert_int_equal(json_array_size(list), 1);
		/* An update takes the document out of where it was found. */
		json_object_set_new(d, fields[i], json_string("w"));
		assert_int_equal(store_update(s, "vm", fields[i], d, &e), 0);
		assert_int_equal(store_find(s, "vm", fields[i], "v", &found, &e), -ENOENT);
	}
	store_free(s);
	unit_remove_dir(dir);
}

static void test_refusals(void **state)
{
	_cleanup_json_ json_t *d = json_pack("{s:s}", "name", "a"), *got = NULL;
	_cleanup_json_ json_t *large = json_object(), *list = json_array();
	_cleanup_free_ char *text = calloc(1, STORE_DOCUMENT_MAX + 1);
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	put(s, "host", "1", "{\"name\":\"a\"}");
	put(s, "host", "2", "{\"name\":\"b\"}");
	assert_int_equal(store_insert(s, "host", "1", d, &e), -EEXIST);
	assert_int_equal(store_insert(s, "host", "3", d, &e), -EEXIST);
	unit_speaks(&e, "host a already");
	assert_int_equal(store_update(s, "host", "2", d, &e), -EEXIST);
	assert_int_equal(store_update(s, "host", "9", d, &e), -ENOENT);
	assert_int_equal(store_delete(s, "host", "9", &e), -ENOENT);
	assert_int_equal(store_insert(s, "Host'; --", "1", d, &e), -EINVAL);
	assert_int_equal(store_insert(s, "host", "", d, &e), -EINVAL);
	assert_int_equal(store_insert(s, "host", "4", list, &e), -EINVAL);
	assert_int_equal(store_find(s, "host", "x') --", "a", &got, &e), -EINVAL);
	assert_int_equal(store_get(s, "host", "9", &got, &e), -ENOENT);
	assert_int_equal(e.status, EXIT_FAILED);
	memset(text, 'x', STORE_DOCUMENT_MAX);
	json_object_set_new(large, "x", json_string(text));
	assert_int_equal(store_insert(s, "host", "5", large, &e), -EFBIG);
	assert_null(got);
	assert_int_equal(store_commit(s, &e), -EINVAL);
	store_rollback(s);
	put(s, "host", "5", "{}");
	store_free(s);
	unit_remove_dir(dir);
}

static void test_transactions(void **state)
{
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	unsigned int i;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	assert_int_equal(store_begin(s, &e), 0);
	put(s, "vm", "1", "{}");
	assert_int_equal(store_begin(s, &e), 0);
	put(s, "vm", "2", "{}");
	store_rollback(s);
	assert_int_equal(store_begin(s, &e), 0);
	put(s, "vm", "3", "{}");
	assert_int_equal(store_commit(s, &e), 0);
	/* A call that fails undoes itself alone. */
	assert_int_equal(insert(s, "vm", "1", "{}", &e), -EEXIST);
	assert_int_equal(store_commit(s, &e), 0);
	assert_int_equal(store_begin(s, &e), 0);
	put(s, "vm", "4", "{}");
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
	store_rollback(s);
	for (i = 0; i < STORE_DEPTH_MAX; i++)
		assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(store_begin(s, &e), -E2BIG);
	while (i--)
		store_rollback(s);
	store_free(s);
	s = open_store(dir);
	assert_true(there(s, "vm", "1"));
	assert_false(there(s, "vm", "2"));
	assert_true(there(s, "vm", "3"));
	assert_false(there(s, "vm", "4"));
	store_free(s);
	unit_remove_dir(dir);
}

#define THREADS	4
#define ROUNDS	25

/* Takes the number, waits for nobody, writes it back one higher. */
static void *count_up(void *userdata)
{
	struct store *s = userdata;
	struct error e = ERROR_NULL;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		json_t *d = NULL;

		assert_int_equal(store_begin(s, &e), 0);
		assert_int_equal(store_get(s, "count", "1", &d, &e), 0);
		json_object_set_new(d, "n",
				    json_integer(json_integer_value(json_object_get(d, "n")) + 1));
		assert_int_equal(store_update(s, "count", "1", d, &e), 0);
		if (i % 5 == 4)
			store_rollback(s);
		else
			assert_int_equal(store_commit(s, &e), 0);
		json_decref(d);
	}
	return NULL;
}

static void test_threads(void **state)
{
	_cleanup_json_ json_t *d = NULL;
	pthread_t threads[THREADS];
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	int i;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	put(s, "count", "1", "{\"n\":0}");
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, s), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(store_get(s, "count", "1", &d, &e), 0);
	assert_int_equal(json_integer_value(json_object_get(d, "n")), THREADS * ROUNDS * 4 / 5);
	store_free(s);
	unit_remove_dir(dir);
}

static void test_one_manager_at_a_time(void **state)
{
	struct store *s, *second = NULL;
	struct error e = ERROR_NULL;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	assert_int_equal(store_open(dir, &second, &e), -EBUSY);
	unit_speaks(&e, "Another manager");
	assert_null(second);
	store_free(s);
	store_free(open_store(dir));
	unit_remove_dir(dir);
}

static void refused(const char *dir, int code, const char *part)
{
	struct error e = ERROR_NULL;
	struct store *s = NULL;

	assert_int_equal(store_open(dir, &s, &e), code);
	assert_null(s);
	unit_speaks(&e, part);
}

static void run_sql(const char *dir, const char *sql)
{
	char *text = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(unit_path(dir, "manager.db"), &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s", text);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_foreign_files(void **state)
{
	char dir[64], garbage[8192];
	int fd;

	(void)state;
	unit_make_dir(dir);
	memset(garbage, 'g', sizeof(garbage));
	unit_write(unit_path(dir, "manager.db"), garbage, sizeof(garbage), 0600);
	refused(dir, -EBADMSG, "no database");
	unlink(unit_path(dir, "manager.db"));
	run_sql(dir, "CREATE TABLE a(b)");
	refused(dir, -EPROTONOSUPPORT, "another program's");
	unlink(unit_path(dir, "manager.db"));
	store_free(open_store(dir));
	run_sql(dir, "PRAGMA user_version = 99");
	refused(dir, -EPROTONOSUPPORT, "update the manager");
	run_sql(dir, "PRAGMA user_version = 3");
	store_free(open_store(dir));
	/* Its own header, and then nothing that holds. */
	fd = open(unit_path(dir, "manager.db"), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, garbage, sizeof(garbage), 100), sizeof(garbage));
	close(fd);
	refused(dir, -EBADMSG, "damaged");
	assert_int_equal(rename(unit_path(dir, "manager.db"), unit_path(dir, "other")), 0);
	assert_int_equal(symlink("other", unit_path(dir, "manager.db")), 0);
	refused(dir, -ELOOP, "manager.db");
	refused(unit_path(dir, "no/folder"), -ENOENT, "folder");
	unit_remove_dir(dir);
}

static void fill(const char *dir)
{
	int fd = open(unit_path(dir, "fill"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	char block[4096];

	assert_true(fd >= 0);
	memset(block, 1, sizeof(block));
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

/* Takes @size bytes of that away. */
static void shrink(const char *dir, off_t size)
{
	int fd = open(unit_path(dir, "fill"), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) - size), 0);
	close(fd);
}

/* Others fill the disk: work goes on for as long as the reserve lasts, and says so. */
static void test_full_disk(void **state)
{
	static const struct record_event event = { .user = "u", .operation = "key.new" };
	struct store_status status;
	struct error e = ERROR_NULL;
	char dir[64], id[UUID_TEXT_SIZE];
	struct store *s;
	uint64_t rows;
	int i, r;

	(void)state;
	unit_make_dir(dir);
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=24m"), 0);
	s = open_store(dir);
	store_get_status(s, &status);
	assert_true(status.healthy);
	assert_true(status.reserve >= (8 << 20));
	fill(dir);
	for (i = 0; i < 300; i++) {
		if (record_begin(s, &event, id, &e) < 0)
			fail_msg("%d: %s", i, e.text);
		assert_int_equal(record_end(s, id, &event, NULL), 0);
	}
	store_get_status(s, &status);
	assert_false(status.healthy);
	assert_non_null(strstr(status.trouble, "free space"));
	/* Some more room is no room for a reserve that would take all of it. */
	shrink(dir, 6 << 20);
	assert_int_equal(record_begin(s, &event, id, &e), 0);
	store_get_status(s, &status);
	assert_int_equal(status.reserve, 0);
	/* The reserve is used up as well: no record, so no operation; what is there stays. */
	fill(dir);
	for (i = 0, r = 0; i < 5000 && r == 0; i++)
		r = record_begin(s, &event, id, &e);
	assert_int_equal(r, -ENOSPC);
	unit_speaks(&e, "key.new is not done");
	unit_speaks(&e, "space");
	store_get_status(s, &status);
	assert_false(status.healthy);
	assert_int_equal(record_verify(s, &rows, NULL, NULL, &e), 0);
	assert_true(rows >= 600);
	/* Space comes back, and so does the reserve. */
	unlink(unit_path(dir, "fill"));
	assert_int_equal(record_begin(s, &event, id, &e), 0);
	assert_int_equal(record_end(s, id, &event, NULL), 0);
	store_get_status(s, &status);
	assert_true(status.healthy);
	store_free(s);
	/* A manager that starts on a full disk records, too. */
	fill(dir);
	s = open_store(dir);
	assert_int_equal(record_begin(s, &event, id, &e), 0);
	assert_int_equal(record_end(s, id, &event, NULL), 0);
	assert_int_equal(record_verify(s, NULL, NULL, NULL, &e), 0);
	store_free(s);
	assert_int_equal(umount(dir), 0);
	unit_remove_dir(dir);
}

static int insert_large(struct store *s, int n, struct error *e)
{
	_cleanup_free_ char *text = calloc(1, 250001);
	_cleanup_json_ json_t *large = json_object();
	char id[16];

	assert_non_null(text);
	memset(text, 'x', 250000);
	json_object_set_new(large, "x", json_string(text));
	snprintf(id, sizeof(id), "%d", n);
	return store_insert(s, "vm", id, large, e);
}

static struct store *open_small(char dir[64])
{
	unit_make_dir(dir);
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=24m"), 0);
	return open_store(dir);
}

static void close_small(struct store *s, const char *dir)
{
	store_free(s);
	assert_int_equal(umount(dir), 0);
	unit_remove_dir(dir);
}

/* One call that needs more than what is looked for beforehand tries again by itself. */
static void test_disk_full_in_a_call(void **state)
{
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	int i;

	(void)state;
	s = open_small(dir);
	fill(dir);
	shrink(dir, 260 << 10);
	for (i = 0; i < 4; i++)
		if (insert_large(s, i, &e) < 0)
			fail_msg("%d: %s", i, e.text);
	close_small(s, dir);
}

struct disk_fills {
	const char *dir;
	int calls;
};

static int insert_while_disk_fills(struct store *s, void *userdata, struct error *e)
{
	struct disk_fills *fills = userdata;
	int i, r = 0;

	for (i = 0; r == 0 && i < 4; i++)
		r = insert_large(s, i, e);
	if (fills->calls++ == 0)
		fill(fills->dir);
	return r;
}

/* That it was tried twice is nobody's failure. */
static void test_disk_full_in_store_write(void **state)
{
	struct error e = ERROR_NULL;
	struct disk_fills fills = { .calls = 0 };
	struct store *s;
	char dir[64];

	(void)state;
	s = open_small(dir);
	fills.dir = dir;
	assert_int_equal(store_write(s, insert_while_disk_fills, &fills, &e), 0);
	assert_int_equal(fills.calls, 2);
	assert_false(error_is_set(&e));
	assert_true(there(s, "vm", "3"));
	close_small(s, dir);
}

/* A caller's own transaction: space is there before it begins; where the disk fills up
 * within, it is undone as a whole, and can be done again. */
static void test_disk_full_in_a_transaction(void **state)
{
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	int i;

	(void)state;
	s = open_small(dir);
	fill(dir);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(insert_large(s, 0, &e), 0);
	assert_int_equal(insert_large(s, 1, &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
	unlink(unit_path(dir, "fill"));
	put(s, "host", "1", "{}");
	assert_int_equal(store_begin(s, &e), 0);
	for (i = 2; i < 6; i++)
		assert_int_equal(insert_large(s, i, &e), 0);
	fill(dir);
	assert_int_equal(store_commit(s, &e), -ENOSPC);
	assert_true(there(s, "vm", "1"));
	assert_false(there(s, "vm", "2"));
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(insert_large(s, 2, &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
	close_small(s, dir);
}

/* So much that SQLite writes before the end: what comes after the failure is refused, or
 * it would become permanent without what came before. */
static void test_disk_full_within_a_large_transaction(void **state)
{
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	int i, r = 0;

	(void)state;
	s = open_small(dir);
	assert_int_equal(store_begin(s, &e), 0);
	fill(dir);
	for (i = 0; i < 100 && r == 0; i++)
		r = insert_large(s, i, &e);
	assert_int_equal(r, -ENOSPC);
	unlink(unit_path(dir, "fill"));
	r = insert(s, "vm", "after", "{}", &e);
	assert_int_equal(r, -ECANCELED);
	assert_true(store_commit(s, &e) < 0);
	assert_false(there(s, "vm", "0"));
	assert_false(there(s, "vm", "after"));
	put(s, "vm", "after", "{}");
	close_small(s, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_all_are_deleted),
		cmocka_unit_test(test_each_field_is_found),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_one_manager_at_a_time),
		cmocka_unit_test(test_foreign_files),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_disk_full_in_a_call),
		cmocka_unit_test(test_disk_full_in_store_write),
		cmocka_unit_test(test_disk_full_in_a_transaction),
		cmocka_unit_test(test_disk_full_within_a_large_transaction),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
