// SPDX-License-Identifier: LGPL-2.1-or-later
/* What vmcryptctl prints: nothing that a terminal obeys, aligned columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cli/text.h"
#include "common/cleanup.h"

static void test_safe(void **state)
{
	static const struct {
		const char *text, *safe;
		size_t width;
	} cases[] = {
		{ "", "", 0 },
		{ "web-1", "web-1", 5 },
		{ "gr\xc3\xbc\xc3\x9f""e", "gr\xc3\xbc\xc3\x9f""e", 5 },
		{ "\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5\xe6\x9c\xac", 4 },
		{ "a\033[2Jb", "a\\u001b[2Jb", 11 },
		{ "a\nb\tc\r", "a\\u000ab\\u0009c\\u000d", 21 },
		{ "\x7f", "\\u007f", 6 },
		{ "\xc2\x9b""31m", "\\u009b31m", 9 },
		{ "\xe2\x80\xae""gpj.exe", "\\u202egpj.exe", 13 },
		{ "\xef\xbb\xbf", "\\ufeff", 6 },
		{ "\xff\xfe", "\\xff\\xfe", 8 },
		{ "a\xc3", "a\\xc3", 5 },
		{ "\xc0\x80", "\\xc0\\x80", 8 },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80", 12 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *safe = text_safe(cases[i].text);

		assert_string_equal(safe, cases[i].safe);
		assert_int_equal(text_width(safe), cases[i].width);
	}
}

static void test_size(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1 KiB" },
		{ 1536, "1.5 KiB" }, { 1048575, "1023.9 KiB" },
		{ UINT64_C(10) << 30, "10 GiB" },
		{ (UINT64_C(3) << 40) / 2, "1.5 TiB" },
		{ UINT64_MAX, "15.9 EiB" },
	};
	char text[TEXT_SIZE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		text_size(cases[i].bytes, text);
		assert_string_equal(text, cases[i].text);
	}
}

static char *shown(void (*show)(FILE *, const json_t *), const char *json)
{
	_cleanup_json_ json_t *value = json_loads(json, 0, NULL);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_non_null(value);
	show(out, value);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void test_columns(void **state)
{
	_cleanup_free_ char *text = shown(show_key_list,
		"{\"keys\":["
		"{\"dek\":\"d1\",\"key_bits\":512,\"state\":\"loaded\",\"targets\":1,"
		" \"disks\":[\"\xc3\xa4\",\"b\"],\"keys\":[\"p/k\"],\"locked\":false},"
		"{\"dek\":\"d2\",\"key_bits\":256,\"state\":\"locked\",\"targets\":10,"
		" \"disks\":[],\"keys\":[\"p/\\u001b\"],\"locked\":true}]}");

	(void)state;
	assert_string_equal(text,
		"DEK  BITS  STATE   LOCKED  TARGETS  DISKS  KEK\n"
		"d1   512   loaded  no      1        \xc3\xa4, b   p/k\n"
		"d2   256   locked  yes     10       -      p/\\u001b\n");
}

static void test_disk_state(void **state)
{
	_cleanup_free_ char *text = shown(show_disk_list,
		"{\"disks\":["
		"{\"name\":\"a\",\"vm\":\"v\",\"disk\":\"d\",\"size\":1073741824,\"state\":\"loaded\","
		" \"attached\":true,\"locked\":false,\"device\":\"/dev/vdb\",\"dek\":\"u\",\"keys\":[\"p/k\"]},"
		"{\"name\":null,\"vm\":\"v\",\"disk\":\"e\",\"size\":512,\"state\":\"absent\","
		" \"attached\":false,\"locked\":true,\"device\":null,\"dek\":\"w\",\"keys\":[]}]}");

	(void)state;
	assert_string_equal(text,
		"NAME  VM  DISK  SIZE   STATE                           DEVICE    DEK  KEK\n"
		"a     v   d     1 GiB  loaded                          /dev/vdb  u    p/k\n"
		"-     v   e     512 B  detached (by an administrator)  -         w    -\n");
}

/* An agent that sends something else must not crash the client. */
static void test_odd_results(void **state)
{
	static const char *const results[] = {
		"{}", "{\"disks\":3,\"providers\":\"x\",\"keys\":{},\"checks\":null}",
		"{\"disks\":[1,null,[],{}],\"providers\":[[]],\"keys\":[\"\"],\"checks\":[7]}",
		"{\"name\":1,\"size\":-1,\"counters\":{},\"boot\":[],\"warnings\":[1,{}]}",
		"{\"boot\":{\"lines\":[{}]},\"events\":{\"healthy\":0},\"warnings\":\"x\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		for (size_t j = 0; j < cli_n_commands; j++) {
			_cleanup_free_ char *text =
				shown(cli_commands[j].show, results[i]);

			assert_non_null(text);
		}
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		free(shown(show_event, results[i]));
}

static char *progressed(bool terminal, const char *json)
{
	_cleanup_json_ json_t *report = json_loads(json, 0, NULL);
	struct cli_progress p = { .terminal = terminal };
	char *text = NULL;
	size_t size;

	p.out = open_memstream(&text, &size);
	assert_non_null(p.out);
	cli_progress_show(&p, report);
	cli_progress_end(&p);
	assert_int_equal(fclose(p.out), 0);
	return text;
}

static void test_progress(void **state)
{
	_cleanup_free_ char *line = progressed(false,
		"{\"step\":1,\"steps\":4,\"phase\":\"x\",\"text\":\"write \\u001b\"}");
	_cleanup_free_ char *bar = progressed(true,
		"{\"step\":1,\"steps\":4,\"phase\":\"x\",\"text\":\"write\"}");
	_cleanup_free_ char *wild = progressed(true,
		"{\"step\":9223372036854775807,\"steps\":3,\"text\":\"t\"}");
	_cleanup_free_ char *none = progressed(true, "{\"step\":-1}");

	(void)state;
	assert_string_equal(line, "1/4 write \\u001b\n");
	assert_string_equal(bar, "\r\033[K[######..................] write\r\033[K");
	assert_string_equal(wild, "\r\033[K[########################] t\r\033[K");
	assert_string_equal(none, "\r\033[K[........................] -\r\033[K");
}

static int init(void **state)
{
	(void)state;
	text_init();
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safe),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_disk_state),
		cmocka_unit_test(test_odd_results),
		cmocka_unit_test(test_progress),
	};

	return cmocka_run_group_tests_name("cli_text", tests, init, NULL);
}
