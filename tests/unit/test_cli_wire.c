// SPDX-License-Identifier: LGPL-2.1-or-later
/* What comes from the control socket: whole lines, bounded, held to the
 * protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/wire.h"
#include "common/cleanup.h"
#include "host/protocol.h"

static int parse(const char *line, struct wire_message *ret, struct error *e)
{
	return wire_parse(line, strlen(line), 1, ret, e);
}

static void test_good(void **state)
{
	static const struct {
		const char *line;
		enum wire_type type;
	} cases[] = {
		{ "{\"id\":1,\"ok\":true,\"result\":{}}", WIRE_DONE },
		{ " { \"ok\" : true , \"result\" : { \"a\" : [ 1 ] } , \"id\" : 1 } ", WIRE_DONE },
		{ "{\"id\":1,\"progress\":{\"step\":1}}", WIRE_PROGRESS },
		{ "{\"id\":1,\"event\":{\"time\":\"t\"}}", WIRE_EVENT },
		{ "{\"id\":1,\"ok\":false,\"error\":{\"status\":3,\"text\":\"no key\"}}", WIRE_FAILED },
		{ "{\"id\":null,\"ok\":false,\"error\":{\"status\":2,\"text\":\"no\"}}", WIRE_FAILED },
		/* A later agent may say more. */
		{ "{\"id\":1,\"ok\":true,\"result\":{},\"more\":1}", WIRE_DONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_message_ struct wire_message m = { 0 };
		struct error e = ERROR_NULL;

		if (parse(cases[i].line, &m, &e) < 0)
			fail_msg("%s: %s", cases[i].line, e.text);
		assert_int_equal(m.type, cases[i].type);
		assert_true(json_is_object(m.body));
	}
}

static void test_bad(void **state)
{
	static const char *const lines[] = {
		"", "{", "[]", "null", "1", "\"x\"", "{}", "{}x",
		"{\"id\":1}",
		"{\"id\":1,\"ok\":true}",
		"{\"id\":1,\"result\":{}}",
		"{\"id\":1,\"ok\":false,\"result\":{}}",
		"{\"id\":1,\"ok\":1,\"result\":{}}",
		"{\"id\":1,\"ok\":true,\"result\":[]}",
		"{\"id\":1,\"ok\":true,\"result\":null}",
		"{\"id\":2,\"ok\":true,\"result\":{}}",
		"{\"id\":\"1\",\"ok\":true,\"result\":{}}",
		"{\"id\":1.0,\"ok\":true,\"result\":{}}",
		"{\"id\":null,\"ok\":true,\"result\":{}}",
		"{\"ok\":true,\"result\":{}}",
		"{\"id\":1,\"id\":1,\"ok\":true,\"result\":{}}",
		"{\"id\":1,\"ok\":true,\"result\":{\"a\":1,\"a\":2}}",
		"{\"id\":1,\"ok\":true,\"result\":{},\"progress\":{}}",
		"{\"id\":1,\"ok\":true,\"result\":{},\"error\":{\"status\":1,\"text\":\"x\"}}",
		"{\"id\":1,\"ok\":true,\"progress\":{}}",
		"{\"id\":1,\"progress\":1}",
		"{\"id\":1,\"event\":[]}",
		"{\"id\":1,\"ok\":true,\"error\":{\"status\":1,\"text\":\"x\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":0,\"text\":\"x\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":5,\"text\":\"x\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":-1,\"text\":\"x\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":\"1\",\"text\":\"x\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":1}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":1,\"text\":\"\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":1,\"text\":5}}",
		"{\"id\":1,\"ok\":true,\"result\":{\"a\":\"\xff\"}}",
		"{\"id\":1,\"ok\":true,\"result\":{\"a\":\"\\u0000\"}}",
		"{\"id\":1,\"ok\":true,\"result\":{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct wire_message m = { 0 };
		struct error e = ERROR_NULL;

		if (parse(lines[i], &m, &e) != -EPROTO)
			fail_msg("taken: %s", lines[i]);
		assert_null(m.body);
		assert_int_equal(e.status, EXIT_FAILED);
	}
}

static void test_nul(void **state)
{
	static const char line[] = "{\"id\":1,\"ok\":true,\"result\":{}}\0x";
	struct wire_message m = { 0 };
	struct error e = ERROR_NULL;

	(void)state;
	assert_int_equal(wire_parse(line, sizeof(line) - 1, 1, &m, &e), -EPROTO);
}

/* Every cut of a good line is a bad line. */
static void test_cut(void **state)
{
	static const char line[] =
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":3,\"errno\":\"ENOKEY\",\"text\":\"x\"}}";

	(void)state;
	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		struct wire_message m = { 0 };

		assert_int_equal(wire_parse(line, i, 1, &m, NULL), -EPROTO);
	}
}

static void put(struct wire_buffer *b, const char *text, size_t size)
{
	while (size > 0) {
		struct error e = ERROR_NULL;
		char *room;
		size_t n;

		assert_int_equal(wire_room(b, &room, &n, &e), 0);
		assert_true(n >= 1);
		if (n > size)
			n = size;
		memcpy(room, text, n);
		wire_came(b, n);
		text += n;
		size -= n;
	}
}

static void check_line(struct wire_buffer *b, const char *expected)
{
	const char *line;
	size_t size;

	assert_int_equal(wire_line(b, &line, &size), 1);
	assert_int_equal(size, strlen(expected));
	assert_memory_equal(line, expected, size);
}

static void test_lines(void **state)
{
	_cleanup_buffer_ struct wire_buffer b = { 0 };
	const char *line;
	size_t size;

	(void)state;
	assert_int_equal(wire_line(&b, &line, &size), 0);
	put(&b, "one\ntwo\n\nthr", 12);
	check_line(&b, "one");
	check_line(&b, "two");
	check_line(&b, "");
	assert_int_equal(wire_line(&b, &line, &size), 0);
	assert_int_equal(wire_line(&b, &line, &size), 0);
	for (const char *at = "ee\nfour\n"; *at; at++)
		put(&b, at, 1);
	check_line(&b, "three");
	check_line(&b, "four");
	assert_int_equal(wire_line(&b, &line, &size), 0);
}

/* A line as long as allowed comes through, one that never ends does not. */
static void test_long_line(void **state)
{
	_cleanup_buffer_ struct wire_buffer b = { 0 };
	_cleanup_free_ char *long_line = malloc(PROTOCOL_ANSWER_MAX);
	struct error e = ERROR_NULL;
	const char *line;
	char *room;
	size_t size;

	(void)state;
	assert_non_null(long_line);
	memset(long_line, 'x', PROTOCOL_ANSWER_MAX);
	put(&b, long_line, PROTOCOL_ANSWER_MAX - 1);
	assert_int_equal(wire_line(&b, &line, &size), 0);
	put(&b, "\n", 1);
	assert_int_equal(wire_line(&b, &line, &size), 1);
	assert_int_equal(size, PROTOCOL_ANSWER_MAX - 1);

	put(&b, long_line, PROTOCOL_ANSWER_MAX);
	assert_int_equal(wire_line(&b, &line, &size), 0);
	assert_int_equal(wire_room(&b, &room, &size, &e), -EMSGSIZE);
	assert_int_equal(e.status, EXIT_FAILED);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
	return *state >> 8;
}

/* Random damage to good lines: no crash, and a message only when it is whole.
 * What must hold is checked by the sanitizers and here. */
static void test_damage(void **state)
{
	static const char *const lines[] = {
		"{\"id\":1,\"ok\":true,\"result\":{\"disks\":[{\"name\":null,\"size\":12}]}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":3,\"errno\":\"ENOKEY\",\"reason\":null,\"text\":\"x\"}}",
		"{\"id\":1,\"progress\":{\"step\":1,\"steps\":2,\"phase\":\"p\",\"text\":\"t\"}}",
	};
	static const char bytes[] = "{}[]\",:\\0123nulltrefas\xc3\xff\n\t e-.+E";
	uint32_t seed = 20240607;
	char line[128];

	(void)state;
	for (unsigned int round = 0; round < 60000; round++) {
		struct wire_message m = { 0 };
		size_t size = strlen(lines[round % 3]);

		memcpy(line, lines[round % 3], size);
		for (uint32_t i = next_random(&seed) % 4; i < 4; i++)
			line[next_random(&seed) % size] =
				bytes[next_random(&seed) % (sizeof(bytes) - 1)];
		if (wire_parse(line, size, 1, &m, NULL) < 0) {
			assert_null(m.body);
			continue;
		}
		assert_true(json_is_object(m.body));
		if (m.type == WIRE_FAILED)
			assert_in_range(wire_status(&m), 1, 4);
		wire_message_done(&m);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests_name("cli_wire", tests, NULL, NULL);
}
