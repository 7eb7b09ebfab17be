/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /etc/vmcrypt/disks: what is taken, and each way to write it wrong. */
#include "unit.h"

#include "host/disktab.h"

#define FILE_NAME	"disks"

static void parse(const char *text, struct disktab *tab)
{
	struct error e = ERROR_NULL;

	if (disktab_parse(text, strlen(text), FILE_NAME, tab, &e) < 0)
		fail_msg("%s", e.text);
}

static void test_good_lines(void **state)
{
	struct disktab tab;
	const struct disktab_line *l;

	(void)state;
	parse("# a comment\n"
	      "\n"
	      "web1 /dev/vdb\n"
	      "  web2\tUUID=1b4e28ba-2fa1-11d2-883f-0016d3cca427   discard,key-loss=error\r\n"
	      "web3 /dev/disk/by-id/x header=/etc/h,read-only,nofail,key-loss=queue\n"
	      "   # another\n"
	      "web4 PARTLABEL=data", &tab);
	assert_int_equal(tab.n_lines, 4);
	l = &tab.lines[0];
	assert_int_equal(l->line, 3);
	assert_string_equal(l->name, "web1");
	assert_string_equal(l->path, "/dev/vdb");
	assert_null(l->header);
	assert_null(l->error);
	assert_false(l->discard || l->read_only || l->nofail);
	assert_int_equal(l->key_loss, KEY_LOSS_QUEUE);
	l = &tab.lines[1];
	assert_int_equal(l->line, 4);
	assert_null(l->error);
	assert_string_equal(l->path, "/dev/disk/by-uuid/1b4e28ba-2fa1-11d2-883f-0016d3cca427");
	assert_true(l->discard);
	assert_int_equal(l->key_loss, KEY_LOSS_ERROR);
	l = &tab.lines[2];
	assert_string_equal(l->header, "/etc/h");
	assert_true(l->read_only && l->nofail);
	l = &tab.lines[3];
	assert_int_equal(l->line, 7);
	assert_string_equal(l->path, "/dev/disk/by-partlabel/data");
	disktab_done(&tab);
}

static const struct {
	const char *line;
	const char *says;	/* part of the error */
} bad_lines[] = {
	{ "web1", "no device" },
	{ "web/1 /dev/vdb", "line 2" },
	{ ".. /dev/vdb", "line 2" },
	{ "control /dev/vdb", "line 2" },
	{ "web\x01 /dev/vdb", "printable" },
	{ "w\xc3\xa4" "b /dev/vdb", "printable" },
	{ "web1 vdb", "absolute path" },
	{ "web1 dev/vdb", "absolute path" },
	{ "web1 UUID=", "no device" },
	{ "web1 UUID=../../vdb", "no device" },
	{ "web1 FOO=bar", "no device" },
	{ "web1 /dev/vdb none", "unknown" },
	{ "web1 /dev/vdb -", "unknown" },
	{ "web1 /dev/vdb discard discard", "commas" },
	{ "web1 /dev/vdb discard,discard", "twice" },
	{ "web1 /dev/vdb discard,", "unknown" },
	{ "web1 /dev/vdb discard=yes", "no value" },
	{ "web1 /dev/vdb read-only=1", "no value" },
	{ "web1 /dev/vdb nofail,nofail", "twice" },
	{ "web1 /dev/vdb read-only,read-only", "twice" },
	{ "web1 /dev/vdb header", "absolute path" },
	{ "web1 /dev/vdb header=", "absolute path" },
	{ "web1 /dev/vdb header=h", "absolute path" },
	{ "web1 /dev/vdb header=/a,header=/b", "twice" },
	{ "web1 /dev/vdb key-loss", "queue or error" },
	{ "web1 /dev/vdb key-loss=Queue", "queue or error" },
	{ "web1 /dev/vdb key-loss=error,key-loss=queue", "twice" },
	{ "web1 /dev/vdb Discard", "unknown" },
	{ "good /dev/vdb", "stands in line 1" },
};

/* Each bad line says so, and the lines around it stand. */
static void test_bad_lines(void **state)
{
	struct disktab tab;
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad_lines); i++) {
		snprintf(text, sizeof(text), "good /dev/vda\n%s\nlast /dev/vdz discard\n",
			 bad_lines[i].line);
		parse(text, &tab);
		assert_int_equal(tab.n_lines, 3);
		assert_null(tab.lines[0].error);
		assert_null(tab.lines[2].error);
		assert_true(tab.lines[2].discard);
		if (!tab.lines[1].error)
			fail_msg("taken: %s", bad_lines[i].line);
		if (!strstr(tab.lines[1].error, bad_lines[i].says))
			fail_msg("%s: %s", bad_lines[i].line, tab.lines[1].error);
		assert_non_null(strstr(tab.lines[1].error, FILE_NAME " line 2"));
		disktab_done(&tab);
	}
}

static void test_long_fields(void **state)
{
	char text[6000], name[200];
	struct disktab tab;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[128] = '\0';
	snprintf(text, sizeof(text), "%s /dev/vda\n", name);
	parse(text, &tab);
	assert_non_null(tab.lines[0].error);
	disktab_done(&tab);
	name[127] = '\0';
	snprintf(text, sizeof(text), "%s /dev/vda\n", name);
	parse(text, &tab);
	assert_null(tab.lines[0].error);
	disktab_done(&tab);
	memset(text, 'x', sizeof(text));
	memcpy(text, "web1 /", 6);
	text[5000] = '\0';
	parse(text, &tab);
	assert_non_null(tab.lines[0].error);
	disktab_done(&tab);
}

static void test_nul_and_nothing(void **state)
{
	static const char nul[] = "web1 /dev/vda\0discard\nweb2 /dev/vdb\n";
	struct error e = ERROR_NULL;
	struct disktab tab;

	(void)state;
	parse("", &tab);
	assert_int_equal(tab.n_lines, 0);
	disktab_done(&tab);
	assert_int_equal(disktab_parse(nul, sizeof(nul) - 1, FILE_NAME, &tab, &e), 0);
	assert_int_equal(tab.n_lines, 2);
	assert_non_null(tab.lines[0].error);
	assert_null(tab.lines[1].error);
	disktab_done(&tab);
	assert_int_equal(disktab_load("/nonexistent/disks", &tab, &e), 0);
	assert_int_equal(tab.n_lines, 0);
	assert_false(error_is_set(&e));
	disktab_done(&tab);
}

static void test_too_many_lines(void **state)
{
	struct error e = ERROR_NULL;
	struct disktab tab;
	char *text = NULL;
	size_t size;
	FILE *f;
	int i;

	(void)state;
	f = open_memstream(&text, &size);
	assert_non_null(f);
	for (i = 0; i <= DISKTAB_LINES_MAX; i++)
		fputs("x y z\n", f);
	fclose(f);
	assert_int_equal(disktab_parse(text, size, FILE_NAME, &tab, &e), -E2BIG);
	assert_true(error_is_set(&e));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_lines),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_long_fields),
		cmocka_unit_test(test_nul_and_nothing),
		cmocka_unit_test(test_too_many_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
