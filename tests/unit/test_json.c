// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <errno.h>

#include "common/json.h"

static int parse(const char *text, size_t size, struct error *e)
{
	json_t *json = NULL;
	int r;

	*e = ERROR_NULL;
	r = json_parse(text, size, 4096, "test text", &json, e);
	assert_true(r == 0 ? json_is_object(json) : json == NULL);
	assert_int_equal(error_is_set(e), r < 0);
	json_decref(json);
	return r;
}

static void takes_objects(void **state)
{
	static const char *const good[] = {
		"{}", " {\"a\":1}\n", "{\"a\":{\"a\":[]}}", "{\"a\":\"}]}]\\\"{[\"}",
	};
	struct error e;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(parse(good[i], strlen(good[i]), &e), 0);
}

static void refuses_what_is_not_strict(void **state)
{
	static const char *const bad[] = {
		"", " ", "[]", "1", "\"a\"", "null", "{", "{}x", "{} {}", "{\"a\":1,}", "{'a':1}",
		"{\"a\":01}", "{\"a\":1,\"a\":1}", "{\"a\":{\"b\":1,\"b\":2}}", "{\"a\":\"\\u0000\"}",
		"{\"a\":\"\x80\"}", "{\"a\":\"\n\"}", "{\"a\":NaN}", "{\"a\":99999999999999999999}",
		"{\"a\":1e999}", "{\"a\":\"\\ud800\"}", "{\"a\" 1}", "//\n{}",
	};
	struct error e;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		if (parse(bad[i], strlen(bad[i]), &e) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
		unit_speaks(&e, "test text");
	}
	assert_int_equal(parse("{\"a\":1}\0", 8, &e), -EBADMSG);
	assert_int_equal(parse("{\"a\":1,\"a\":1}", 13, &e), -EBADMSG);
	unit_speaks(&e, "twice");
}

static void errors_quote_nothing(void **state)
{
	static const char text[] = "{\"kdk\":\"SECRETBYTES\" SECRETTOO}";
	struct error e;

	(void) state;
	assert_int_equal(parse(text, strlen(text), &e), -EBADMSG);
	assert_null(strstr(e.text, "SECRET"));
}

static void bounds_size_and_depth(void **state)
{
	char text[5000];
	struct error e;
	size_t depth, i;

	(void) state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "{}", 2);
	assert_int_equal(parse(text, 4096, &e), 0);
	assert_int_equal(parse(text, 4097, &e), -EFBIG);

	for (depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH; depth++) {
		memset(text, ' ', sizeof(text));
		memcpy(text, "{\"a\":", 5);
		for (i = 0; i < depth; i++) {
			text[5 + i] = '[';
			text[5 + depth + i] = ']';
		}
		text[5 + 2 * depth] = '}';
		assert_int_equal(parse(text, 6 + 2 * depth, &e),
				 depth < JSON_MAX_DEPTH ? 0 : -EBADMSG);
	}
	memset(text, '[', 4096);
	assert_int_equal(parse(text, 4096, &e), -EBADMSG);
	unit_speaks(&e, "deeper");
	memset(text, '}', 4096);
	assert_int_equal(parse(text, 4096, &e), -EBADMSG);
}

static void typed_members(void **state)
{
	static const char text[] = "{\"s\":\"four\",\"n\":7,\"neg\":-1,\"big\":9223372036854775807,"
		"\"b\":true,\"u\":\"01234567-89ab-cdef-0123-456789abcdef\",\"t\":\"2000-02-29T12:34:56Z\","
		"\"x\":\"Zm9v\",\"o\":{},\"a\":[1,2],\"r\":1.5,\"z\":null}";
	_cleanup_json_ json_t *json = NULL;
	struct error e = ERROR_NULL;
	const char *s = "same";
	uint8_t u[16], x[4];
	json_t *sub = NULL;
	uint64_t n = 99;
	size_t size = 0;
	int64_t t = 0;
	bool b = false;

	(void) state;
	assert_int_equal(json_parse(text, strlen(text), 4096, "t", &json, &e), 0);

	assert_int_equal(json_get_string(json, "t", "s", 3, &s, &e), -EBADMSG);
	assert_string_equal(s, "same");
	assert_int_equal(json_get_string(json, "t", "s", 4, &s, &e), 0);
	assert_string_equal(s, "four");
	assert_int_equal(json_get_string(json, "t", "n", 4, &s, &e), -EBADMSG);
	unit_speaks(&e, "\"n\" is no string");
	assert_int_equal(json_get_string(json, "t", "none", 4, &s, &e), -EBADMSG);
	unit_speaks(&e, "\"none\" is missing");

	assert_int_equal(json_get_uint(json, "t", "n", 6, &n, &e), -EBADMSG);
	assert_int_equal(json_get_uint(json, "t", "neg", UINT64_MAX, &n, &e), -EBADMSG);
	assert_int_equal(json_get_uint(json, "t", "r", 6, &n, &e), -EBADMSG);
	assert_int_equal(json_get_uint(json, "t", "z", 6, &n, &e), -EBADMSG);
	assert_int_equal(n, 99);
	assert_int_equal(json_get_uint(json, "t", "n", 7, &n, &e), 0);
	assert_int_equal(n, 7);
	assert_int_equal(json_get_uint(json, "t", "big", UINT64_MAX, &n, &e), 0);
	assert_int_equal(n, INT64_MAX);

	assert_int_equal(json_get_bool(json, "t", "n", &b, &e), -EBADMSG);
	assert_int_equal(json_get_bool(json, "t", "b", &b, &e), 0);
	assert_true(b);
	assert_int_equal(json_get_uuid(json, "t", "s", u, &e), -EBADMSG);
	assert_int_equal(json_get_uuid(json, "t", "u", u, &e), 0);
	assert_int_equal(u[15], 0xef);
	assert_int_equal(json_get_time(json, "t", "u", &t, &e), -EBADMSG);
	assert_int_equal(json_get_time(json, "t", "t", &t, &e), 0);
	assert_int_equal(t, 951827696);
	assert_int_equal(json_get_base64(json, "t", "x", x, 4, &e), -EBADMSG);
	assert_int_equal(json_get_base64(json, "t", "x", x, 2, &e), -EBADMSG);
	assert_int_equal(json_get_base64(json, "t", "x", x, 3, &e), 0);
	assert_memory_equal(x, "foo", 3);
	assert_int_equal(json_get_base64_max(json, "t", "x", x, 4, &size, &e), 0);
	assert_int_equal(size, 3);
	assert_int_equal(json_get_object(json, "t", "a", &sub, &e), -EBADMSG);
	assert_int_equal(json_get_object(json, "t", "o", &sub, &e), 0);
	assert_int_equal(json_get_array(json, "t", "a", 1, &sub, &e), -EBADMSG);
	assert_int_equal(json_get_array(json, "t", "a", 2, &sub, &e), 0);
	assert_true(json_has(json, "z"));
	assert_false(json_has(json, "zz"));
}

static void unknown_members(void **state)
{
	static const char *const known[] = { "a", "b", NULL };
	_cleanup_json_ json_t *json = json_pack("{s:i, s:i}", "a", 1, "b", 2);
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(json_check_keys(json, "t", known, &e), 0);
	json_object_set_new(json, "c", json_null());
	assert_int_equal(json_check_keys(json, "t", known, &e), -EBADMSG);
	unit_speaks(&e, "\"c\"");
}

static void one_form_of_text(void **state)
{
	_cleanup_json_ json_t *json = json_pack("{s:i, s:s, s:{s:b, s:b}}", "z", 1, "a", "\xc3\xa4/\"",
						"m", "y", 1, "x", 0);
	static const char want[] = "{\"a\":\"\xc3\xa4/\\\"\",\"m\":{\"x\":false,\"y\":true},\"z\":1}";
	_cleanup_secret_ struct secret s = SECRET_NULL;
	_cleanup_free_ char *text = NULL;
	struct error e = ERROR_NULL;
	size_t size;

	(void) state;
	assert_int_equal(json_format(json, &text, &size, &e), 0);
	assert_string_equal(text, want);
	assert_int_equal(size, strlen(want));
	assert_int_equal(json_format_secret(json, &s, &e), 0);
	assert_int_equal(s.size, size);
	assert_memory_equal(s.data, want, size);
}

static void sets_binary_members(void **state)
{
	_cleanup_json_ json_t *json = json_object();
	static const uint8_t big[5000];
	const uint8_t uuid[16] = { 1, 2, 3 };
	struct error e = ERROR_NULL;
	uint8_t back[16];

	(void) state;
	assert_int_equal(json_set_uuid(json, "u", uuid), 0);
	assert_int_equal(json_get_uuid(json, "t", "u", back, &e), 0);
	assert_memory_equal(back, uuid, 16);
	assert_int_equal(json_set_base64(json, "x", "foo", 3), 0);
	assert_string_equal(json_string_value(json_object_get(json, "x")), "Zm9v");
	assert_int_equal(json_set_base64(json, "y", big, sizeof(big)), -EINVAL);
	assert_false(json_has(json, "y"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_objects),
		cmocka_unit_test(refuses_what_is_not_strict),
		cmocka_unit_test(errors_quote_nothing),
		cmocka_unit_test(bounds_size_and_depth),
		cmocka_unit_test(typed_members),
		cmocka_unit_test(unknown_members),
		cmocka_unit_test(one_form_of_text),
		cmocka_unit_test(sets_binary_members),
	};

	return cmocka_run_group_tests_name("json", tests, unit_setup, NULL);
}
