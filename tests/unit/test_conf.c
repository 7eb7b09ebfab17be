// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <errno.h>

#include "common/conf.h"

static struct {
	char *tcti;
	char *path;
	bool on;
	unsigned int seconds;
} got;

static const struct conf_item items[] = {
	{ "TPM", "TCTI", conf_string, &got.tcti, "a TCTI" },
	{ "TPM", "On", conf_bool, &got.on, "yes or no" },
	{ "Agent", "Path", conf_path, &got.path, "an absolute path" },
	{ "Agent", "Seconds", conf_uint, &got.seconds, "a number of seconds" },
	{ NULL, NULL, NULL, NULL, NULL },
};

static char dir[64];

static void reset(void)
{
	free(got.tcti);
	free(got.path);
	memset(&got, 0, sizeof(got));
}

static int load(const char *text, size_t size, struct error *e)
{
	const char *path = unit_path(dir, "conf");

	reset();
	*e = ERROR_NULL;
	unit_write(path, text, size, 0600);
	return conf_load(path, items, /* optional= */ false, e);
}

static void takes_what_it_knows(void **state)
{
	static const char text[] = "# comment\n; another\n\n[TPM]\n  TCTI = swtpm:path=/x  \r\nOn=yes\n"
		"[Agent]\nPath=/a b\nSeconds=42";
	struct error e;

	(void) state;
	assert_int_equal(load(text, strlen(text), &e), 0);
	assert_string_equal(got.tcti, "swtpm:path=/x");
	assert_string_equal(got.path, "/a b");
	assert_true(got.on);
	assert_int_equal(got.seconds, 42);
	assert_int_equal(load("", 0, &e), 0);
	assert_int_equal(load("[TPM]\n[Agent]\n[TPM]\nOn=off\n", 26, &e), 0);
}

static void names_file_and_line(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} bad[] = {
		{ "On=yes\n", "conf:1: A [section]" },
		{ "\n[Nope]\n", "conf:2: Unknown section \"Nope\"" },
		{ "[TPM\n", "conf:1: Section without ']'" },
		{ "[TPM]\nOff=yes\n", "conf:2: Unknown key \"Off\"" },
		{ "[TPM]\nSeconds=1\n", "conf:2: Unknown key \"Seconds\"" },
		{ "[TPM]\non=yes\n", "conf:2: Unknown key \"on\"" },
		{ "[TPM]\nyes\n", "conf:2: Expected KEY=value" },
		{ "[TPM]\nOn=maybe\n", "On= expects yes or no, not \"maybe\"" },
		{ "[TPM]\nOn=yes\nOn=yes\n", "conf:3: This key comes twice" },
		{ "[TPM]\nTCTI=\n", "expects a TCTI" },
		{ "[Agent]\nPath=relative\n", "an absolute path" },
		{ "[Agent]\nSeconds=-1\n", "a number of seconds" },
		{ "[Agent]\nSeconds=4294967296\n", "a number of seconds" },
		{ "[Agent]\nSeconds=99999999999999999999\n", "a number of seconds" },
		{ "[Agent]\nSeconds=1s\n", "a number of seconds" },
		{ "[Agent]\nSeconds= \n", "a number of seconds" },
	};
	struct error e;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(load(bad[i].text, strlen(bad[i].text), &e), -EINVAL);
		unit_speaks(&e, bad[i].says);
	}
	assert_int_equal(load("[TPM]\n\0", 7, &e), -EINVAL);
	unit_speaks(&e, "zero byte");
	assert_int_equal(load("[Agent]\nSeconds=4294967295", 26, &e), 0);
	assert_int_equal(got.seconds, UINT32_MAX);
}

static void missing_and_too_large(void **state)
{
	_cleanup_free_ char *big = calloc(1, 70000);
	struct error e = ERROR_NULL;

	(void) state;
	reset();
	assert_int_equal(conf_load(unit_path(dir, "none"), items, true, &e), 0);
	assert_false(error_is_set(&e));
	assert_int_equal(conf_load(unit_path(dir, "none"), items, false, &e), -ENOENT);
	unit_speaks(&e, "none");
	assert_int_equal(conf_load(dir, items, true, &e), -EISDIR);
	memset(big, '\n', 70000);
	assert_int_equal(load(big, 70000, &e), -EFBIG);
	assert_int_equal(load(big, 65536, &e), 0);
}

static int setup(void **state)
{
	unit_make_dir(dir);
	return unit_setup(state);
}

static int teardown(void **state)
{
	(void) state;
	reset();
	unit_remove_dir(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_it_knows),
		cmocka_unit_test(names_file_and_line),
		cmocka_unit_test(missing_and_too_large),
	};

	return cmocka_run_group_tests_name("conf", tests, setup, teardown);
}
