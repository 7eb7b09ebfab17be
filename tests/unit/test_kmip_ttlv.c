// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include "kmip/ttlv.h"

#define TAG 0x420020

/* The examples of KMIP 1.4 section 9.1.2. */
#define INTEGER		"42002002000000040000000800000000"
#define LONG		"420020030000000801b69b4ba5749200"
#define BIG		"42002004000000100000000003fd35eb6bc2df4618080000"
#define ENUMERATION	"4200200500000004000000ff00000000"
#define BOOLEAN		"42002006000000080000000000000001"
#define TEXT		"420020070000000b48656c6c6f20576f726c640000000000"
#define BYTES		"42002008000000030102030000000000"
#define DATE		"42002009000000080000000047da67f8"
#define INTERVAL	"4200200a00000004000d2f0000000000"
#define STRUCTURE	"4200200100000020" "4200040500000004000000fe00000000" \
			"4200050200000004000000ff00000000"

/* A row in a block of its own, so that a byte read behind it shows. */
struct row {
	uint8_t *data;
	struct ttlv_reader reader;
};

static void row_done(struct row *row)
{
	free(row->data);
}

#define _cleanup_row_ __attribute__((cleanup(row_done)))

/* The first @size bytes of @hex. */
static struct row make_row(const char *hex, size_t size)
{
	_cleanup_free_ char *head = strndup(hex, 2 * size);
	struct row row = { .data = malloc(size ? size : 1) };

	assert_non_null(head);
	assert_non_null(row.data);
	assert_int_equal(hex_decode(head, row.data, size), 0);
	ttlv_reader_init(&row.reader, row.data, size);
	return row;
}

static struct row row_of(const char *hex)
{
	return make_row(hex, strlen(hex) / 2);
}

static void refused(const char *hex, const char *why)
{
	_cleanup_row_ struct row row = row_of(hex);
	struct error e = ERROR_NULL;
	struct ttlv_item item;

	assert_int_equal(ttlv_next(&row.reader, &item, &e), -EBADMSG);
	unit_speaks(&e, why);
}

static void reads_the_examples(void **state)
{
	_cleanup_row_ struct row row =
		row_of(INTEGER LONG BIG ENUMERATION BOOLEAN TEXT BYTES DATE INTERVAL STRUCTURE);
	struct error e = ERROR_NULL;
	struct ttlv_reader inside;
	struct ttlv_item item;
	const uint8_t *bytes;
	int64_t wide = 0;
	int32_t number = 0;
	uint32_t word = 0;
	bool flag = false;
	char text[12];
	size_t size;

	(void) state;
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(item.tag, TAG);
	assert_int_equal(ttlv_integer(&item, &number, &e), 0);
	assert_int_equal(number, 8);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_long(&item, &wide, &e), 0);
	assert_int_equal(wide, 123456789000000000);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(item.type, TTLV_BIG);
	assert_int_equal(item.size, 16);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_enumeration(&item, &word, &e), 0);
	assert_int_equal(word, 255);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_boolean(&item, &flag, &e), 0);
	assert_true(flag);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_text(&item, text, sizeof(text), &e), 0);
	assert_string_equal(text, "Hello World");
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_bytes(&item, &bytes, &size, &e), 0);
	assert_int_equal(size, 3);
	assert_memory_equal(bytes, "\1\2\3", 3);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_date(&item, &wide, &e), 0);
	assert_int_equal(wide, 1205495800);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(item.type, TTLV_INTERVAL);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_enter(&item, &inside, &e), 0);
	assert_int_equal(ttlv_need(&inside, 0x420005, "number", &item, &e), 0);
	assert_int_equal(ttlv_integer(&item, &number, &e), 0);
	assert_int_equal(number, 255);
	assert_int_equal(ttlv_find(&inside, 0x420006, &item, &e), 0);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 0);
	assert_false(error_is_set(&e));
}

/* Microseconds, before 1970 too. */
static void reads_extended_dates(void **state)
{
	_cleanup_row_ struct row row = row_of("4200200b00000008" "000448645cff303f" "4200200b00000008" "ffffffffffffffff"
					      "4200200b00000008" "fffffffffff0bdc0");
	struct error e = ERROR_NULL;
	struct ttlv_item item;
	int64_t date = 0;

	(void) state;
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_date(&item, &date, &e), 0);
	assert_int_equal(date, 1205495800);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_date(&item, &date, &e), 0);
	assert_int_equal(date, -1);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(ttlv_date(&item, &date, &e), 0);
	assert_int_equal(date, -1);
}

static void writes_the_examples(void **state)
{
	static const char wanted[] = "42002001000000d0"
		INTEGER LONG ENUMERATION BOOLEAN TEXT BYTES DATE INTERVAL STRUCTURE
		"4200200700000000" "4200200100000000" "4200200800000008" "0102030405060708";
	_cleanup_ttlv_writer_ struct ttlv_writer w = TTLV_WRITER_NULL;
	_cleanup_secret_ struct secret message = SECRET_NULL;
	_cleanup_free_ char *hex = NULL;
	struct error e = ERROR_NULL;

	(void) state;
	ttlv_begin(&w, TAG);
	ttlv_put_integer(&w, TAG, 8);
	ttlv_put_long(&w, TAG, 123456789000000000);
	ttlv_put_enumeration(&w, TAG, 255);
	ttlv_put_boolean(&w, TAG, true);
	ttlv_put_text(&w, TAG, "Hello World");
	ttlv_put_bytes(&w, TAG, "\1\2\3", 3);
	ttlv_put_date(&w, TAG, 1205495800);
	ttlv_put_interval(&w, TAG, 864000);
	ttlv_begin(&w, TAG);
	ttlv_put_enumeration(&w, 0x420004, 254);
	ttlv_put_integer(&w, 0x420005, 255);
	ttlv_end(&w);
	ttlv_put_text(&w, TAG, "");
	ttlv_begin(&w, TAG);
	ttlv_end(&w);
	ttlv_put_bytes(&w, TAG, "\1\2\3\4\5\6\7\10", 8);
	ttlv_end(&w);
	assert_int_equal(ttlv_finish(&w, &message, &e), 0);
	hex = malloc(2 * message.size + 1);
	assert_non_null(hex);
	hex_encode(message.data, message.size, hex);
	assert_string_equal(hex, wanted);
	assert_null(w.buffer.data);
}

static void refuses_lengths(void **state)
{
	(void) state;
	refused("42002002000000", "7 bytes stand");
	refused("4200200200000004", "where 0 are left");
	refused("42002008000000090102030405060708", "where 8 are left");
	refused("42002008ffffffff0102030405060708", "4294967295 bytes");
	refused("42002008fffffffc0102030405060708", "4294967292 bytes");
	refused("4200200800000003010203", "padding of item 420020 is missing");
	refused("42002008000000030102030000000001", "is not zero");
	refused("42002002000000080000000000000001", "no integer");
	refused("420020060000000400000001" "00000000", "no boolean");
	refused("42002009000000000000000047da67f8", "no date");
	refused("4200200100000004" "4200040500000004", "no structure");
	refused("42002004000000040000000000000000", "no big integer");
	refused("4200200400000000", "no big integer");
}

static void refuses_values(void **state)
{
	_cleanup_row_ struct row two = row_of("42002006000000080000000000000002");
	_cleanup_row_ struct row nul = row_of("42002007000000034100420000000000");
	_cleanup_row_ struct row bad = row_of("4200200700000002c328000000000000");
	_cleanup_row_ struct row twice = row_of(INTEGER INTEGER);
	struct error e = ERROR_NULL;
	struct ttlv_item item;
	uint32_t word = 7;
	char text[4];
	bool flag;

	(void) state;
	assert_int_equal(ttlv_next(&two.reader, &item, &e), 1);
	assert_int_equal(ttlv_boolean(&item, &flag, &e), -EBADMSG);
	assert_int_equal(ttlv_next(&nul.reader, &item, &e), 1);
	assert_int_equal(ttlv_text(&item, text, sizeof(text), &e), -EBADMSG);
	unit_speaks(&e, "NUL");
	assert_int_equal(ttlv_text(&item, text, 3, &e), -EMSGSIZE);
	assert_int_equal(ttlv_next(&bad.reader, &item, &e), 1);
	assert_int_equal(ttlv_text(&item, text, sizeof(text), &e), -EBADMSG);
	unit_speaks(&e, "UTF-8");
	assert_int_equal(ttlv_enumeration(&item, &word, &e), -EBADMSG);
	unit_speaks(&e, "07 (text), not enumeration");
	assert_int_equal(word, 7);
	assert_int_equal(ttlv_find(&twice.reader, TAG, &item, &e), -EBADMSG);
	unit_speaks(&e, "twice");
	assert_int_equal(ttlv_need(&twice.reader, 0x420021, "name", &item, &e), -EBADMSG);
	unit_speaks(&e, "name (420021) is missing");
}

/* A type of a later version is stepped over, whatever its size. */
static void skips_unknown(void **state)
{
	_cleanup_row_ struct row row = row_of("54abcd0c000000030102030000000000" INTEGER);
	struct error e = ERROR_NULL;
	struct ttlv_item item;
	int32_t number = 0;

	(void) state;
	assert_int_equal(ttlv_need(&row.reader, TAG, "number", &item, &e), 0);
	assert_int_equal(ttlv_integer(&item, &number, &e), 0);
	assert_int_equal(number, 8);
	assert_int_equal(ttlv_next(&row.reader, &item, &e), 1);
	assert_int_equal(item.tag, 0x54abcd);
}

static void depth_ends(void **state)
{
	_cleanup_ttlv_writer_ struct ttlv_writer w = TTLV_WRITER_NULL;
	_cleanup_secret_ struct secret message = SECRET_NULL;
	uint8_t deep[8 * (TTLV_DEPTH_MAX + 2)];
	struct error e = ERROR_NULL;
	struct ttlv_reader r;
	struct ttlv_item item;
	size_t i, n = ARRAY_SIZE(deep) / 8;

	(void) state;
	for (i = 0; i < n; i++) {
		const uint8_t header[8] = { 0x42, 0, 0x20, 1, 0, 0, 0, (uint8_t) (8 * (n - 1 - i)) };

		memcpy(deep + 8 * i, header, 8);
	}
	ttlv_reader_init(&r, deep, sizeof(deep));
	for (i = 0; i < TTLV_DEPTH_MAX; i++) {
		assert_int_equal(ttlv_next(&r, &item, &e), 1);
		assert_int_equal(ttlv_enter(&item, &r, &e), 0);
	}
	assert_int_equal(ttlv_next(&r, &item, &e), 1);
	assert_int_equal(ttlv_enter(&item, &r, &e), -EBADMSG);
	unit_speaks(&e, "inside each other");

	for (i = 0; i <= TTLV_DEPTH_MAX; i++)
		ttlv_begin(&w, TAG);
	for (i = 0; i <= TTLV_DEPTH_MAX; i++)
		ttlv_end(&w);
	assert_int_equal(ttlv_finish(&w, &message, &e), -EINVAL);
}

static void writer_tells_its_faults(void **state)
{
	_cleanup_ttlv_writer_ struct ttlv_writer open = TTLV_WRITER_NULL, ended = TTLV_WRITER_NULL;
	_cleanup_ttlv_writer_ struct ttlv_writer none = TTLV_WRITER_NULL, large = TTLV_WRITER_NULL;
	_cleanup_secret_ struct secret message = SECRET_NULL;
	static const uint8_t block[65536];
	struct error e = ERROR_NULL;
	unsigned int i;

	(void) state;
	ttlv_begin(&open, TAG);
	assert_int_equal(ttlv_finish(&open, &message, &e), -EINVAL);
	unit_speaks(&e, "not closed");
	ttlv_end(&ended);
	ttlv_put_integer(&ended, TAG, 1);
	assert_int_equal(ttlv_finish(&ended, &message, &e), -EINVAL);
	assert_int_equal(ttlv_finish(&none, &message, &e), -EINVAL);
	for (i = 0; i < TTLV_MESSAGE_MAX / sizeof(block); i++)
		ttlv_put_bytes(&large, TAG, block, sizeof(block));
	assert_int_equal(ttlv_finish(&large, &message, &e), -EMSGSIZE);
	unit_speaks(&e, "262144");
	assert_null(message.data);
}

/* Cut anywhere, a message is either read up to the cut or refused. */
static void survives_cuts(void **state)
{
	static const char whole[] = STRUCTURE TEXT BIG;
	size_t size;

	(void) state;
	for (size = 0; size < strlen(whole) / 2; size++) {
		_cleanup_row_ struct row row = make_row(whole, size);
		struct error e = ERROR_NULL;
		struct ttlv_item item;
		int r;

		while ((r = ttlv_next(&row.reader, &item, &e)) > 0)
			;
		assert_int_equal(r < 0, size != 0 && size != 40 && size != 64);
	}
}

static void message_sizes(void **state)
{
	const uint8_t good[8] = { 0x42, 0, 0x7b, 1, 0, 0, 1, 0 };
	const uint8_t odd[8] = { 0x42, 0, 0x7b, 1, 0, 0, 1, 4 };
	const uint8_t huge[8] = { 0x42, 0, 0x7b, 1, 0xff, 0xff, 0xff, 0xf8 };
	struct error e = ERROR_NULL;
	size_t size = 0;

	(void) state;
	assert_int_equal(ttlv_message_size(good, 0x42007b, 264, &size, &e), 0);
	assert_int_equal(size, 256);
	assert_int_equal(ttlv_message_size(good, 0x42007b, 263, &size, &e), -EMSGSIZE);
	assert_int_equal(ttlv_message_size(good, 0x420078, 264, &size, &e), -EBADMSG);
	assert_int_equal(ttlv_message_size(odd, 0x42007b, 4096, &size, &e), -EBADMSG);
	unit_speaks(&e, "no KMIP message");
	assert_int_equal(ttlv_message_size(huge, 0x42007b, TTLV_MESSAGE_MAX, &size, &e), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_examples),
		cmocka_unit_test(reads_extended_dates),
		cmocka_unit_test(writes_the_examples),
		cmocka_unit_test(refuses_lengths),
		cmocka_unit_test(refuses_values),
		cmocka_unit_test(skips_unknown),
		cmocka_unit_test(depth_ends),
		cmocka_unit_test(writer_tells_its_faults),
		cmocka_unit_test(survives_cuts),
		cmocka_unit_test(message_sizes),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
