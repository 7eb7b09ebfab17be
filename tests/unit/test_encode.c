// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <errno.h>

static void hex_both_ways(void **state)
{
	const uint8_t bytes[] = { 0x00, 0x7f, 0x80, 0xff };
	uint8_t back[4];
	char text[9];

	(void) state;
	hex_encode(bytes, sizeof(bytes), text);
	assert_string_equal(text, "007f80ff");
	assert_int_equal(hex_decode("007F80fF", back, sizeof(back)), 0);
	assert_memory_equal(back, bytes, sizeof(bytes));
	assert_int_equal(hex_decode("007f80f", back, sizeof(back)), -EINVAL);
	assert_int_equal(hex_decode("007f80ff0", back, sizeof(back)), -EINVAL);
	assert_int_equal(hex_decode("007f80fg", back, sizeof(back)), -EINVAL);
	assert_int_equal(hex_decode(" 07f80ff", back, sizeof(back)), -EINVAL);
}

/* RFC 4648 section 10 */
static void base64_vectors(void **state)
{
	static const char *const vectors[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
	};
	char text[16];
	uint8_t back[8];
	size_t i, n;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		base64_encode(vectors[i][0], strlen(vectors[i][0]), text);
		assert_string_equal(text, vectors[i][1]);
		n = 99;
		assert_int_equal(base64_decode(text, strlen(text), back, sizeof(back), &n), 0);
		assert_int_equal(n, strlen(vectors[i][0]));
		assert_memory_equal(back, vectors[i][0], n);
	}
}

static void base64_refuses(void **state)
{
	static const char *const bad[] = {
		"Zg=", "Zg", "Z===", "====", "Zg==Zg==", "Zm9v Zm8=", " Zm9v", "Zm9v\n", "Zm9\n",
		"Zm-v", "Zm_v", "Zh==", "Zm9=", "Zm=v", "=m9v", "Z\0==",
	};
	uint8_t back[16];
	size_t i, n;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), back, sizeof(back), &n), -EINVAL);
	assert_int_equal(base64_decode("Zm9vYmFy", 8, back, 5, &n), -EFBIG);
	assert_int_equal(base64_decode("Zm9vYmFy", 8, back, 6, &n), 0);
}

static void base64_large(void **state)
{
	enum { SIZE = 10000 };
	uint8_t *data = malloc(SIZE), *back = malloc(SIZE);
	char *text = malloc(BASE64_SIZE(SIZE));
	size_t i, n;

	(void) state;
	for (i = 0; i < SIZE; i++)
		data[i] = (uint8_t) (i * 7 + i / 251);
	base64_encode(data, SIZE, text);
	assert_int_equal(strlen(text), BASE64_SIZE(SIZE) - 1);
	assert_int_equal(base64_decode(text, strlen(text), back, SIZE, &n), 0);
	assert_int_equal(n, SIZE);
	assert_memory_equal(data, back, SIZE);
	free(data);
	free(back);
	free(text);
}

static void uuid_both_ways(void **state)
{
	static const char *const bad[] = {
		"", "0123", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-456789abcdef0",
		"01234567-89AB-cdef-0123-456789abcdef", "0123456789ab-cdef-0123-456789abcdef----",
		"01234567+89ab-cdef-0123-456789abcdef", "012345678-9ab-cdef-0123-456789abcdef",
		"01234567-89ab-cdef-0123-456789abcdeg", "{1234567-89ab-cdef-0123-456789abcde}",
		"------------------------------------",
	};
	uint8_t uuid[UUID_SIZE] = { 0xee }, other[UUID_SIZE];
	char text[UUID_TEXT_SIZE];
	size_t i;

	(void) state;
	assert_int_equal(uuid_parse_text("01234567-89ab-cdef-0123-456789abcdef", uuid), 0);
	assert_int_equal(uuid[0], 0x01);
	assert_int_equal(uuid[15], 0xef);
	uuid_format(uuid, text);
	assert_string_equal(text, "01234567-89ab-cdef-0123-456789abcdef");
	memcpy(other, uuid, sizeof(uuid));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(uuid_parse_text(bad[i], other), -EINVAL);
	assert_memory_equal(other, uuid, sizeof(uuid));
}

static void uuid_random_has_version(void **state)
{
	uint8_t a[UUID_SIZE], b[UUID_SIZE];
	int i;

	(void) state;
	for (i = 0; i < 64; i++) {
		assert_int_equal(uuid_random(a), 0);
		assert_int_equal(uuid_random(b), 0);
		assert_int_equal(a[6] & 0xf0, 0x40);
		assert_int_equal(a[8] & 0xc0, 0x80);
		assert_memory_not_equal(a, b, sizeof(a));
	}
}

static void time_both_ways(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
	} vectors[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2000-02-29T12:34:56Z", 951827696 },
		{ "2038-01-19T03:14:08Z", INT64_C(2147483648) },
		{ "9999-12-31T23:59:59Z", INT64_C(253402300799) },
	};
	char text[TIME_TEXT_SIZE];
	int64_t t;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		time_format(vectors[i].seconds, text);
		assert_string_equal(text, vectors[i].text);
		assert_int_equal(time_parse(text, &t), 0);
		assert_int_equal(t, vectors[i].seconds);
	}
	assert_int_equal(time_parse("2000-02-29T12:34:56.5Z", &t), 0);
	assert_int_equal(t, 951827696);
	assert_int_equal(time_parse("2000-02-29T13:34:56.123456789+01:00", &t), 0);
	assert_int_equal(t, 951827696);
	assert_int_equal(time_parse("2000-02-28T23:04:56-13:30", &t), 0);
	assert_int_equal(t, 951827696);
	time_format(-1, text);
	assert_string_equal(text, "1970-01-01T00:00:00Z");
	time_format(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59Z");
}

static void time_refuses(void **state)
{
	static const char *const bad[] = {
		"", "2001-02-29T00:00:00Z", "2001-13-01T00:00:00Z", "2001-01-01T24:00:00Z",
		"2001-01-01T00:60:00Z", "2001-01-01T00:00:60Z", "2001-01-01 00:00:00Z",
		"2001-01-01T00:00:00", "2001-01-01T00:00:00+0000", "2001-01-01T00:00:00z",
		"1969-12-31T23:59:59Z", "2001- 1-01T00:00:00Z", "02001-01-01T00:00:00Z",
		"2001-01-01T00:00:00.Z", "2001-01-01T00:00:00.0123456789Z", "2001-01-01T00:00:00Z ",
		"2001-01-01T00:00:00+24:00", "2001-01-01T00:00:00+00:60", "2001-01-01T00:00:00+0:000",
		"1970-01-01T00:00:00+00:01", "2001-01-01T00:00:00.5", "2001-01-01T00:00:00Z+00:00",
	};
	int64_t t = 5;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(time_parse(bad[i], &t), -EINVAL);
	assert_int_equal(t, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_both_ways),
		cmocka_unit_test(base64_vectors),
		cmocka_unit_test(base64_refuses),
		cmocka_unit_test(base64_large),
		cmocka_unit_test(uuid_both_ways),
		cmocka_unit_test(uuid_random_has_version),
		cmocka_unit_test(time_both_ways),
		cmocka_unit_test(time_refuses),
	};

	return cmocka_run_group_tests_name("encode", tests, unit_setup, NULL);
}
