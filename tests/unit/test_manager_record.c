/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager's record: intents and outcomes, crashes, filters, CSV, threads. */
#include "record_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "common/event-csv.h"
#include "common/json.h"

#define UNKNOWN "unknown: manager restarted"

/* The type of an intent, and of an outcome with this failure. */
static void check_types(struct store *s, const struct error *failure, const char *wanted)
{
	struct record_event event = key_new;
	const struct record_filter f = { .limit = 2, .newest = true };
	_cleanup_json_ json_t *rows = NULL;
	struct error e = ERROR_NULL;
	char id[UUID_TEXT_SIZE];

	event.failed_type = "com.vmware.vc.kms.crypto.KeyGenerateFail";
	assert_int_equal(record_begin(s, &event, id, &e), 0);
	assert_int_equal(record_end(s, id, &event, failure), 0);
	rows = read_rows(s, &f);
	assert_null(field(rows, 0, "type"));
	assert_string_equal(field(rows, 1, "type"), wanted);
}

/* What was only begun, or failed, is not called by the name of what was done. */
static void test_types(void **state)
{
	struct error failure = ERROR_NULL;
	char dir[64];
	struct store *s;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	error_fail(&failure, EIO, "the key server is gone");
	check_types(s, NULL, "vim.event.VmReconfiguredEvent");
	check_types(s, &failure, "com.vmware.vc.kms.crypto.KeyGenerateFail");
	store_free(s);
	unit_remove_dir(dir);
}

static void test_intent_then_outcome(void **state)
{
	struct record_event done = key_new;
	struct error e = ERROR_NULL, failure = ERROR_NULL;
	_cleanup_json_ json_t *rows = NULL, *data = json_pack("{s:i}", "n", 7);
	char dir[64], id[UUID_TEXT_SIZE];
	struct store *s;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	done.data = data;
	assert_int_equal(record_begin(s, &done, id, &e), 0);
	error_fail(&failure, EIO, "the key server is gone");
	done = (struct record_event){ .key = "p/k2" };
	assert_int_equal(record_end(s, id, &done, &failure), 0);
	assert_int_equal(record_end(s, id, &done, NULL), -ENOENT);
	assert_int_equal(record_note(s, &key_new, "refused", &e), 0);
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), 3);
	assert_string_equal(field(rows, 0, "id"), id);
	assert_string_equal(field(rows, 0, "phase"), "intent");
	assert_null(field(rows, 0, "result"));
	assert_string_equal(field(rows, 0, "key"), "p/k");
	assert_string_equal(field(rows, 1, "id"), id);
	assert_string_equal(field(rows, 1, "phase"), "outcome");
	assert_string_equal(field(rows, 1, "result"), "the key server is gone");
	assert_string_equal(field(rows, 1, "key"), "p/k2");
	assert_string_equal(field(rows, 1, "user"), "alice");
	assert_string_equal(field(rows, 1, "operation"), "key.new");
	assert_null(field(rows, 1, "type"));
	assert_string_equal(field(rows, 1, "object"), "vm:1");
	assert_string_equal(field(rows, 1, "host"), "h1");
	assert_string_equal(field(rows, 1, "vm"), "1");
	assert_int_equal(json_integer_value(json_object_get(
		json_object_get(json_array_get(rows, 1), "data"), "n")), 7);
	assert_string_equal(field(rows, 2, "phase"), "note");
	assert_string_equal(field(rows, 2, "result"), "refused");
	store_free(s);
	unit_remove_dir(dir);
}

/* What is in the file when record_begin() returns is what a killed manager leaves. */
static void crash_after_intent(const char *dir)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct store *s = open_store(dir);
		struct error e = ERROR_NULL;
		char id[UUID_TEXT_SIZE];

		do_event(s, &key_new);
		if (record_begin(s, &key_new, id, &e) == 0 && store_begin(s, &e) == 0 &&
		    record_end(s, id, NULL, NULL) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

static void test_killed_before_outcome(void **state)
{
	_cleanup_json_ json_t *rows = NULL;
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	crash_after_intent(dir);
	store_free(open_store(dir));
	s = open_store(dir);	/* once, not again */
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), 4);
	assert_string_equal(field(rows, 3, "id"), field(rows, 2, "id"));
	assert_string_equal(field(rows, 3, "phase"), "outcome");
	assert_string_equal(field(rows, 3, "result"), UNKNOWN);
	assert_string_equal(field(rows, 3, "object"), "vm:1");
	assert_int_equal(record_verify(s, NULL, NULL, NULL, &e), 0);
	store_free(s);
	unit_remove_dir(dir);
}

static void count_seen(const json_t *row, void *userdata)
{
	json_int_t *last = userdata;

	assert_int_equal(json_integer_value(json_object_get(row, "seq")), *last + 1);
	assert_int_equal(json_string_length(json_object_get(row, "hash")), 64);
	++*last;
}

static void test_transactions(void **state)
{
	_cleanup_json_ json_t *rows = NULL;
	struct error e = ERROR_NULL;
	char dir[64], id[UUID_TEXT_SIZE], none[UUID_TEXT_SIZE] = "";
	json_int_t last = 0;
	struct store *s;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	record_watch(s, count_seen, &last);
	assert_int_equal(record_begin(s, &key_new, id, &e), 0);
	assert_int_equal(last, 1);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(record_begin(s, &key_new, none, &e), -EDEADLK);
	unit_speaks(&e, "transaction");
	assert_string_equal(none, "");
	assert_int_equal(record_end(s, id, NULL, NULL), 0);
	assert_int_equal(record_note(s, &key_new, "kept", &e), 0);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(record_note(s, &key_new, "undone", &e), 0);
	store_rollback(s);
	assert_int_equal(last, 1);
	assert_int_equal(store_commit(s, &e), 0);
	assert_int_equal(last, 3);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(record_note(s, &key_new, "undone", &e), 0);
	store_rollback(s);
	assert_int_equal(last, 3);
	record_watch(s, NULL, NULL);
	do_event(s, &key_new);
	assert_int_equal(last, 3);
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), 5);
	assert_string_equal(field(rows, 2, "result"), "kept");
	assert_int_equal(record_verify(s, NULL, NULL, NULL, &e), 0);
	store_free(s);
	unit_remove_dir(dir);
}

static size_t count(struct store *s, struct record_filter f)
{
	_cleanup_json_ json_t *rows = read_rows(s, &f);

	return json_array_size(rows);
}

static int stop_at_third(const json_t *row, void *userdata)
{
	struct store *s = userdata;
	struct error e = ERROR_NULL;

	/* No lock is held: the store can be used, and what is added is not seen. */
	assert_int_equal(record_note(s, &key_new, "while walking", &e), 0);
	return json_integer_value(json_object_get(row, "seq")) == 3 ? -ECANCELED : 0;
}

static void test_filters(void **state)
{
	struct record_event other = { .user = "bob", .operation = "host.join", .type = "T",
				      .object = "host:2", .key = "q/l", .host = "h2", .vm = "2" };
	_cleanup_json_ json_t *rows = NULL;
	struct record_filter f = { .limit = 0 };
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	int i;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	assert_int_equal(store_begin(s, &e), 0);
	for (i = 0; i < 600; i++)
		assert_int_equal(record_note(s, i % 3 ? &key_new : &other, "x", &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
	assert_int_equal(count(s, f), 600);
	assert_int_equal(count(s, (struct record_filter){ .user = "bob" }), 200);
	assert_int_equal(count(s, (struct record_filter){ .operation = "key.new" }), 400);
	assert_int_equal(count(s, (struct record_filter){ .type = "T" }), 200);
	assert_int_equal(count(s, (struct record_filter){ .object = "vm:1" }), 400);
	assert_int_equal(count(s, (struct record_filter){ .key = "q/l" }), 200);
	assert_int_equal(count(s, (struct record_filter){ .host = "h2" }), 200);
	assert_int_equal(count(s, (struct record_filter){ .vm = "1" }), 400);
	assert_int_equal(count(s, (struct record_filter){ .vm = "1", .user = "bob" }), 0);
	assert_int_equal(count(s, (struct record_filter){ .user = "' OR 1 --" }), 0);
	assert_int_equal(count(s, (struct record_filter){ .since_seq = 590 }), 10);
	assert_int_equal(count(s, (struct record_filter){ .from = time_now() + 3600 }), 0);
	assert_int_equal(count(s, (struct record_filter){ .to = time_now() - 3600 }), 0);
	assert_int_equal(count(s, (struct record_filter){ .from = time_now() - 3600,
							  .to = time_now() + 3600 }), 600);
	f = (struct record_filter){ .vm = "2", .limit = 3, .newest = true };
	rows = read_rows(s, &f);
	assert_int_equal(json_array_size(rows), 3);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 0), "seq")), 592);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 2), "seq")), 598);
	json_decref(rows);
	f = (struct record_filter){ .since_seq = 10, .limit = 300 };
	rows = read_rows(s, &f);
	assert_int_equal(json_array_size(rows), 300);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 0), "seq")), 11);
	assert_int_equal(count(s, (struct record_filter){ .limit = 1000, .newest = true }), 600);
	assert_int_equal(record_each(s, NULL, stop_at_third, s, &e), -ECANCELED);
	assert_int_equal(count(s, (struct record_filter){ .limit = 0 }), 603);
	store_free(s);
	unit_remove_dir(dir);
}

/* What a search looks at under one hold of the lock ends in the middle of what it finds. */
static void test_windows(void **state)
{
	static const int counts[] = { 1, 255, 256, 257, 1023, 1024, 1025, 2500 };
	struct record_event rare = { .user = "rare", .operation = "o", .key = "k" };
	struct record_filter f = { .user = "alice" };
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];
	int i, n = 2500;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	assert_int_equal(store_begin(s, &e), 0);
	assert_int_equal(record_note(s, &rare, "x", &e), 0);
	for (i = 0; i < n; i++)
		assert_int_equal(record_note(s, &key_new, "x", &e), 0);
	assert_int_equal(record_note(s, &rare, "x", &e), 0);
	assert_int_equal(store_commit(s, &e), 0);
	for (i = 0; i < (int)ARRAY_SIZE(counts); i++) {
		_cleanup_json_ json_t *rows = NULL, *newest = NULL;

		f.limit = (uint64_t)counts[i];
		f.newest = false;
		rows = read_rows(s, &f);
		f.newest = true;
		newest = read_rows(s, &f);
		assert_int_equal(json_array_size(rows), counts[i]);
		assert_int_equal(json_array_size(newest), counts[i]);
		assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 0), "seq")), 2);
		assert_int_equal(json_integer_value(json_object_get(
			json_array_get(newest, (size_t)counts[i] - 1), "seq")), n + 1);
	}
	assert_int_equal(count(s, (struct record_filter){ .key = "k" }), 2);
	assert_int_equal(count(s, (struct record_filter){ .key = "k", .limit = 2, .newest = true }), 2);
	assert_int_equal(count(s, (struct record_filter){ .key = "k", .limit = 1, .newest = true,
							  .before_seq = 2500 }), 1);
	assert_int_equal(count(s, (struct record_filter){ .before_seq = 1 }), 0);
	assert_int_equal(count(s, (struct record_filter){ .before_seq = 11, .since_seq = 5 }), 5);
	/* Numbers far away, which no walk by windows would reach in a lifetime. */
	store_free(s);
	run_sql(dir, "DELETE FROM event WHERE seq BETWEEN 5 AND 2490;"
		     " UPDATE event SET seq = 1000000000000000 WHERE seq = 2502");
	s = open_store(dir);
	assert_int_equal(count(s, (struct record_filter){ .key = "k" }), 2);
	assert_int_equal(count(s, (struct record_filter){ .key = "k", .limit = 2, .newest = true }), 2);
	store_free(s);
	unit_remove_dir(dir);
}

static void test_any_text_can_be_recorded(void **state)
{
	_cleanup_json_ json_t *rows = NULL, *data = json_object();
	_cleanup_free_ char *longest = calloc(1, 20001);
	struct record_event odd = { .operation = "a\xff\xfe\"\\b\n\x1b[2J" };
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64], id[UUID_TEXT_SIZE];
	size_t i;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	do_event(s, &odd);
	memset(longest, '"', 20000);
	odd = (struct record_event){ .user = longest, .operation = longest, .type = longest,
				     .object = longest, .key = longest, .host = longest,
				     .vm = longest };
	do_event(s, &odd);
	assert_int_equal(record_note(s, &odd, longest, &e), 0);
	longest[1000] = '\0';
	for (i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "x%zu", i);
		json_object_set_new(data, id, json_string(longest));
	}
	odd.data = data;
	assert_int_equal(record_begin(s, &odd, id, &e), -EFBIG);
	rows = read_rows(s, NULL);
	assert_int_equal(json_array_size(rows), 5);
	assert_string_equal(field(rows, 0, "operation"), "a\?\?\"\\b\?\?[2J");
	assert_int_equal(strlen(field(rows, 2, "object")), 512);
	store_free(s);
	unit_remove_dir(dir);
}

/* Whatever a caller forgets: what is called as secrets are, or is a key, is not kept. */
static void test_no_secret_stays(void **state)
{
	static const char given[] =
		"{\"name\":\"kms\",\"new_password\":\"s3cret\",\"n\":7,\"flag\":true,\"none\":null,"
		"\"server\":{\"Password\":\"s3cret\",\"client\":[{\"clientSecret\":\"s3cret\",\"port\":5696},"
		"\"x-----BEGIN EC PRIVATE KEY-----s3cret\"],\"join_token\":{\"a\":\"s3cret\"}},\"key\":\"id-7\"}";
	static const char kept[] =
		"{\"flag\":true,\"key\":\"id-7\",\"long\":\"(1025 bytes)\",\"n\":7,\"name\":\"kms\",\"none\":null,"
		"\"server\":{\"client\":[{\"port\":5696},\"(a private key)\"]}}";
	_cleanup_json_ json_t *data = json_loads(given, 0, NULL), *rows = NULL;
	const struct record_event event = { .user = "u", .operation = "o", .data = data };
	_cleanup_free_ char *text = NULL;
	char id[UUID_TEXT_SIZE], longest[1026] = "";
	struct error e = ERROR_NULL;
	struct store *s;
	char dir[64];

	(void)state;
	assert_non_null(data);
	memset(longest, 'x', sizeof(longest) - 1);
	json_object_set_new(data, "long", json_string(longest));
	unit_make_dir(dir);
	s = open_store(dir);
	assert_int_equal(record_begin(s, &event, id, &e), 0);
	assert_int_equal(record_end(s, id, &event, NULL), 0);
	rows = read_rows(s, NULL);
	text = json_dumps(json_object_get(json_array_get(rows, 1), "data"), JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, kept);
	assert_true(json_equal(json_object_get(json_array_get(rows, 0), "data"),
			       json_object_get(json_array_get(rows, 1), "data")));
	/* The caller's own is as it was. */
	assert_string_equal(json_text(data, "new_password"), "s3cret");
	store_free(s);
	unit_remove_dir(dir);
}

static void test_csv(void **state)
{
	struct record_event event = { .user = "=1+1", .operation = "a,\"b\"", .object = "x" };
	_cleanup_json_ json_t *rows = NULL, *data = json_pack("{s:s}", "a", "b");
	_cleanup_free_ char *text = NULL;
	struct error e = ERROR_NULL;
	char dir[64], expected[512];
	struct store *s;
	size_t size;
	FILE *out;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	event.data = data;
	assert_int_equal(record_note(s, &event, "ok", &e), 0);
	rows = read_rows(s, NULL);
	out = open_memstream(&text, &size);
	assert_non_null(out);
	assert_int_equal(event_csv_header(out), 0);
	assert_int_equal(event_csv(json_array_get(rows, 0), out), 0);
	fclose(out);
	snprintf(expected, sizeof(expected),
		 "seq,time,id,user,operation,type,object,key,phase,result,host,vm,data,hash\r\n"
		 "1,\"%s\",\"%s\",\"'=1+1\",\"a,\"\"b\"\"\",,\"x\",,\"note\",\"ok\",,,\"{\"\"a\"\":\"\"b\"\"}\",\"%s\"\r\n",
		 field(rows, 0, "time"), field(rows, 0, "id"), field(rows, 0, "hash"));
	assert_string_equal(text, expected);
	out = fopen("/dev/full", "w");
	assert_non_null(out);
	setbuf(out, NULL);
	assert_int_equal(event_csv(json_array_get(rows, 0), out), -EIO);
	fclose(out);
	store_free(s);
	unit_remove_dir(dir);
}

#define THREADS	4
#define ROUNDS	25

static void *do_events(void *userdata)
{
	struct store *s = userdata;
	struct error e = ERROR_NULL;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		if (i % 5 == 4) {
			assert_int_equal(store_begin(s, &e), 0);
			assert_int_equal(record_note(s, &key_new, "undone", &e), 0);
			store_rollback(s);
		} else {
			do_event(s, &key_new);
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	struct error e = ERROR_NULL;
	json_int_t last = 0;
	struct store *s;
	uint64_t rows;
	char dir[64];
	int i;

	(void)state;
	unit_make_dir(dir);
	s = open_store(dir);
	record_watch(s, count_seen, &last);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, do_events, s), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(record_verify(s, NULL, NULL, NULL, &e), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(record_verify(s, &rows, NULL, NULL, &e), 0);
	assert_int_equal(rows, THREADS * ROUNDS * 4 / 5 * 2);
	assert_int_equal(last, rows);
	store_free(s);
	unit_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intent_then_outcome),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_killed_before_outcome),
		cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_any_text_can_be_recorded),
		cmocka_unit_test(test_no_secret_stays),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
