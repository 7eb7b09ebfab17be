/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The event store: order, repair, bounds, and a full disk. */
#include "unit.h"

#include <fcntl.h>
#include <sys/mount.h>

#include "common/fileio.h"
#include "common/json.h"
#include "host/eventfile.h"
#include "host/events.h"

#define MAX	EVENTS_SIZE_MIN
#define UNKNOWN	"unknown: agent restarted"

static struct events *open_store(const char *dir)
{
	struct error e = ERROR_NULL;
	struct events *events = NULL;

	if (events_open(dir, MAX, &events, &e) < 0)
		fail_msg("%s", e.text);
	return events;
}

static const struct event one = { .user = "root", .operation = "disk.attach", .object = "web1",
				  .key = "p/k", .vm = "web" };

static void begin(struct events *events, struct event_record *record)
{
	struct error e = ERROR_NULL;

	*record = EVENT_RECORD_NULL;
	if (events_begin(events, &one, record, &e) < 0)
		fail_msg("%s", e.text);
}

static void do_event(struct events *events)
{
	struct event_record record;

	begin(events, &record);
	events_end(events, &record, NULL);
	assert_null(record.line);
}

struct lines {
	json_t *all[8192];
	size_t n;
};

static int take(const char *text, size_t size, void *userdata)
{
	struct lines *lines = userdata;

	assert_true(lines->n < ARRAY_SIZE(lines->all));
	assert_int_equal(json_parse(text, size, EVENT_LINE_MAX, "event", &lines->all[lines->n], NULL), 0);
	lines->n++;
	return 0;
}

static void lines_done(struct lines *lines)
{
	while (lines->n)
		json_decref(lines->all[--lines->n]);
	free(lines);
}

static struct lines *read_all(struct events *events, uint64_t limit)
{
	struct lines *lines = calloc(1, sizeof(*lines));
	struct error e = ERROR_NULL;
	uint64_t seq;

	assert_non_null(lines);
	assert_int_equal(events_each(events, limit, take, lines, &seq, &e), 0);
	return lines;
}

static const char *field(const struct lines *lines, size_t i, const char *name)
{
	assert_true(i < lines->n);
	return json_string_value(json_object_get(lines->all[i], name));
}

static void append_raw(const char *dir, const void *data, size_t size)
{
	int fd = open(unit_path(dir, EVENTFILE_NAME), O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static void test_intent_then_outcome(void **state)
{
	struct event_record record;
	struct error failure = ERROR_NULL;
	struct events *events;
	struct lines *lines;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	events = open_store(dir);
	begin(events, &record);
	lines = read_all(events, 0);
	assert_int_equal(lines->n, 1);
	assert_string_equal(field(lines, 0, "phase"), "intent");
	assert_string_equal(field(lines, 0, "user"), "root");
	assert_string_equal(field(lines, 0, "operation"), "disk.attach");
	assert_string_equal(field(lines, 0, "object"), "web1");
	assert_string_equal(field(lines, 0, "vm"), "web");
	assert_true(json_is_null(json_object_get(lines->all[0], "result")));
	assert_non_null(field(lines, 0, "host"));
	lines_done(lines);
	error_fail(&failure, EIO, "the disk is gone");
	events_learn(&record, "p/k2", NULL);
	events_end(events, &record, &failure);
	do_event(events);
	lines = read_all(events, 0);
	assert_int_equal(lines->n, 4);
	assert_string_equal(field(lines, 0, "id"), field(lines, 1, "id"));
	assert_string_equal(field(lines, 1, "phase"), "outcome");
	assert_string_equal(field(lines, 1, "result"), "the disk is gone");
	assert_string_equal(field(lines, 1, "key"), "p/k2");
	assert_string_equal(field(lines, 3, "result"), "ok");
	assert_string_not_equal(field(lines, 1, "id"), field(lines, 2, "id"));
	lines_done(lines);
	events_free(events);
	unit_remove_dir(dir);
}

/* The intent is in the file when events_begin() returns, before anything else. */
static void test_intent_is_in_the_file(void **state)
{
	struct event_record record;
	_cleanup_free_ char *text = NULL;
	struct events *events;
	char dir[64];
	size_t size;

	(void)state;
	unit_make_dir(dir);
	events = open_store(dir);
	begin(events, &record);
	assert_int_equal(file_read_bounded(unit_path(dir, EVENTFILE_NAME), MAX, &text, &size, NULL), 0);
	assert_true(size > 0 && text[size - 1] == '\n');
	assert_non_null(strstr(text, "\"phase\":\"intent\""));
	events_end(events, &record, NULL);
	events_free(events);
	unit_remove_dir(dir);
}

static void check_repair(const void *tail, size_t size)
{
	struct events *events;
	struct lines *lines;
	struct stat st;
	char dir[64];
	off_t before;

	unit_make_dir(dir);
	events = open_store(dir);
	do_event(events);
	events_free(events);
	assert_int_equal(stat(unit_path(dir, EVENTFILE_NAME), &st), 0);
	before = st.st_size;
	append_raw(dir, tail, size);
	events = open_store(dir);
	assert_int_equal(stat(unit_path(dir, EVENTFILE_NAME), &st), 0);
	assert_int_equal(st.st_size, before);
	do_event(events);
	lines = read_all(events, 0);
	assert_int_equal(lines->n, 4);
	lines_done(lines);
	events_free(events);
	unit_remove_dir(dir);
}

static void test_torn_line_is_cut(void **state)
{
	static const char torn[] = "{\"time\":\"2026-01-01T00:00:00Z\",\"id\":\"x";
	static const char closed[] = "{\"time\":\"2026-01-01T\n";
	static const char zeros[300];

	(void)state;
	check_repair(torn, sizeof(torn) - 1);
	check_repair(closed, sizeof(closed) - 1);
	check_repair(zeros, sizeof(zeros));
}

static void test_open_intent_becomes_unknown(void **state)
{
	struct event_record record;
	struct events *events;
	struct lines *lines;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	events = open_store(dir);
	do_event(events);
	begin(events, &record);
	json_decref(record.line);	/* the agent dies here */
	events_free(events);
	events = open_store(dir);
	lines = read_all(events, 0);
	assert_int_equal(lines->n, 4);
	assert_string_equal(field(lines, 3, "id"), field(lines, 2, "id"));
	assert_string_equal(field(lines, 3, "phase"), "outcome");
	assert_string_equal(field(lines, 3, "result"), UNKNOWN);
	lines_done(lines);
	events_free(events);
	events = open_store(dir);
	lines = read_all(events, 0);
	assert_int_equal(lines->n, 4);
	lines_done(lines);
	events_free(events);
	unit_remove_dir(dir);
}

static void test_one_agent_at_a_time(void **state)
{
	struct events *events, *second = NULL;
	struct error e = ERROR_NULL;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	events = open_store(dir);
	assert_int_equal(events_open(dir, MAX, &second, &e), -EBUSY);
	assert_null(second);
	events_free(events);
	events_free(open_store(dir));
	unit_remove_dir(dir);
}

static void test_bounds_and_order(void **state)
{
	struct events *events;
	struct events_status status;
	struct lines *lines;
	char dir[64];
	size_t i;

	(void)state;
	unit_make_dir(dir);
	events = open_store(dir);
	for (i = 0; i < 3000; i++)
		do_event(events);
	events_get_status(events, &status);
	assert_true(status.bytes <= 2 * MAX);
	assert_true(status.bytes > MAX);
	assert_true(status.healthy);
	assert_true(status.reserved >= MAX);
	lines = read_all(events, 0);
	assert_true(lines->n > 500);
	/* Across the change of files nothing is missing: pairs stand together. */
	for (i = lines->n % 2; i + 1 < lines->n; i += 2)
		assert_string_equal(field(lines, i, "id"), field(lines, i + 1, "id"));
	lines_done(lines);
	lines = read_all(events, 7);
	assert_int_equal(lines->n, 7);
	lines_done(lines);
	events_free(events);
	unit_remove_dir(dir);
}

static void seen(const char *text, size_t size, uint64_t seq, void *userdata)
{
	uint64_t *last = userdata;

	assert_non_null(memmem(text, size, "\"phase\"", 7));
	assert_int_equal(seq, *last + 1);
	*last = seq;
}

static void test_watch_sees_each_line(void **state)
{
	struct events *events;
	uint64_t last = 0;
	char dir[64];

	(void)state;
	unit_make_dir(dir);
	events = open_store(dir);
	events_watch(events, seen, &last);
	do_event(events);
	do_event(events);
	assert_int_equal(last, 4);
	events_free(events);
	unit_remove_dir(dir);
}

/* Bytes that are no UTF-8 come from a kernel that names devices as it likes. */
static void test_any_name_can_be_recorded(void **state)
{
	struct event odd = { .user = "root", .operation = "key.load", .object = "a\xff\xfe\"\\b" };
	struct event_record record = EVENT_RECORD_NULL;
	struct error e = ERROR_NULL;
	struct events *events;
	struct lines *lines;
	char dir[64], longest[5000];

	(void)state;
	unit_make_dir(dir);
	events = open_store(dir);
	assert_int_equal(events_begin(events, &odd, &record, &e), 0);
	events_end(events, &record, NULL);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	odd.object = longest;
	assert_int_equal(events_begin(events, &odd, &record, &e), 0);
	events_end(events, &record, NULL);
	lines = read_all(events, 0);
	assert_int_equal(lines->n, 4);
	assert_string_equal(field(lines, 0, "object"), "a\?\?\"\\b");
	lines_done(lines);
	events_free(events);
	unit_remove_dir(dir);
}

static void fill(const char *dir)
{
	int fd = open(unit_path(dir, "fill"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char block[4096];

	assert_true(fd >= 0);
	memset(block, 1, sizeof(block));
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

/* The disk fills up: operations go on for as long as the files are used in turn. */
static void test_full_disk(void **state)
{
	struct events *events;
	struct lines *lines;
	char dir[64];
	int i;

	(void)state;
	unit_make_dir(dir);
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=2m"), 0);
	events = open_store(dir);
	fill(dir);
	for (i = 0; i < 4000; i++) {
		do_event(events);
		/* Whatever the store gives back somebody else takes at once. */
		if (i % 64 == 0)
			fill(dir);
	}
	lines = read_all(events, 2);
	assert_int_equal(lines->n, 2);
	assert_string_equal(field(lines, 1, "result"), "ok");
	lines_done(lines);
	events_free(events);
	/* And an agent that starts on the full disk records too. */
	fill(dir);
	events = open_store(dir);
	do_event(events);
	events_free(events);
	assert_int_equal(umount(dir), 0);
	unit_remove_dir(dir);
}

/* No reserve could be made: no record, so no operation. */
static void test_no_space_no_operation(void **state)
{
	struct event_record record = EVENT_RECORD_NULL;
	struct error e = ERROR_NULL;
	struct events_status status;
	struct events *events;
	char dir[64];
	int r = 0, i;

	(void)state;
	unit_make_dir(dir);
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=128k"), 0);
	fill(dir);
	if (events_open(dir, MAX, &events, &e) == 0) {
		events_get_status(events, &status);
		assert_false(status.healthy);
		assert_true(*status.trouble);
		for (i = 0; i < 100 && r == 0; i++) {
			r = events_begin(events, &one, &record, &e);
			events_end(events, &record, NULL);
		}
		events_free(events);
	} else {
		r = e.code;
	}
	assert_int_equal(r, -ENOSPC);
	assert_non_null(strstr(e.text, "space"));
	assert_int_equal(umount(dir), 0);
	unit_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intent_then_outcome),
		cmocka_unit_test(test_intent_is_in_the_file),
		cmocka_unit_test(test_torn_line_is_cut),
		cmocka_unit_test(test_open_intent_becomes_unknown),
		cmocka_unit_test(test_one_agent_at_a_time),
		cmocka_unit_test(test_bounds_and_order),
		cmocka_unit_test(test_watch_sees_each_line),
		cmocka_unit_test(test_any_name_can_be_recorded),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_no_space_no_operation),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
