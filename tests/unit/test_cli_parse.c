// SPDX-License-Identifier: LGPL-2.1-or-later
/* Command lines of vmcryptctl: what each becomes, and what is wrong usage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/help.h"
#include "cli/parse.h"
#include "common/cleanup.h"

#define WORDS_MAX 24

/* Splits at single spaces; an empty pair of quotes is an empty word. */
static int parse_line(const char *line, struct cli_call *ret, struct error *e,
		      char words[512])
{
	char *argv[WORDS_MAX + 1] = { NULL };
	int argc = 0;

	assert_true(strlen(line) < 512);
	memcpy(words, line, strlen(line) + 1);
	for (char *save = NULL, *word = strtok_r(words, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		assert_true(argc < WORDS_MAX);
		argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
	}
	return cli_parse(argc, argv, ret, e);
}

static const struct {
	const char *line;
	const char *op;
	const char *args;
} good_lines[] = {
	{ "c status", "status", "{}" },
	{ "c --json status", "status", "{}" },
	{ "c provider create native p", "provider.create",
	  "{\"name\":\"p\",\"type\":\"native\"}" },
	{ "c provider create native p --require-tpm", "provider.create",
	  "{\"name\":\"p\",\"require_tpm\":true,\"type\":\"native\"}" },
	{ "c provider create --allow-unsealed native p", "provider.create",
	  "{\"allow_unsealed\":true,\"name\":\"p\",\"type\":\"native\"}" },
	{ "c provider list", "provider.list", "{}" },
	{ "c provider show p", "provider.show", "{\"name\":\"p\"}" },
	{ "c provider default p", "provider.default", "{\"name\":\"p\"}" },
	{ "c provider create p --type native", "provider.create",
	  "{\"name\":\"p\",\"type\":\"native\"}" },
	{ "c provider create --type=native native --require-tpm", "provider.create",
	  "{\"name\":\"native\",\"require_tpm\":true,\"type\":\"native\"}" },
	{ "c provider check p", "provider.check", "{\"name\":\"p\"}" },
	{ "c provider status p", "provider.check", "{\"name\":\"p\"}" },
	{ "c provider delete p", "provider.delete", "{\"name\":\"p\"}" },
	{ "c provider backup p --out f --password-file pw", "provider.backup",
	  "{\"name\":\"p\"}" },
	{ "c provider restore f --dry-run --password-fd 7", "provider.restore",
	  "{\"dry_run\":true}" },
	{ "c disk create /dev/vdb --vm=web --disk root --provider p --sector-size 4096 --key-bits 256 --header /h --force",
	  "disk.create",
	  "{\"device\":\"/dev/vdb\",\"disk\":\"root\",\"force\":true,\"header\":\"/h\",\"key_bits\":256,\"provider\":\"p\",\"sector_size\":4096,\"vm\":\"web\"}" },
	{ "c disk attach /dev/vdb n --header /h --discard --key-loss error --read-only",
	  "disk.attach",
	  "{\"device\":\"/dev/vdb\",\"discard\":true,\"header\":\"/h\",\"key_loss\":\"error\",\"name\":\"n\",\"read_only\":true}" },
	{ "c disk detach n --force", "disk.detach", "{\"force\":true,\"name\":\"n\"}" },
	{ "c disk forget n", "disk.forget", "{\"name\":\"n\"}" },
	{ "c disk lock n", "disk.lock", "{\"name\":\"n\"}" },
	{ "c disk unlock n", "disk.unlock", "{\"name\":\"n\"}" },
	{ "c disk table /dev/vdb --key-loss queue", "disk.table",
	  "{\"device\":\"/dev/vdb\",\"key_loss\":\"queue\"}" },
	{ "c disk list", "disk.list", "{}" },
	{ "c disk show /dev/vdb", "disk.show", "{\"name\":\"/dev/vdb\"}" },
	{ "c disk export-key /dev/vdb --out f", "disk.export-key",
	  "{\"device\":\"/dev/vdb\"}" },
	{ "c key list", "key.list", "{}" },
	{ "c event list --follow --limit 20", "event.list",
	  "{\"follow\":true,\"limit\":20}" },
	{ "c event list --limit 1", "event.list", "{\"limit\":1}" },
	{ "c event list --limit 2147483647", "event.list", "{\"limit\":2147483647}" },
	/* Relative paths become absolute: the working directory is /. */
	{ "c disk create dev/vdb --vm v", "disk.create",
	  "{\"device\":\"/dev/vdb\",\"vm\":\"v\"}" },
	{ "c disk show dev/vdb", "disk.show", "{\"name\":\"/dev/vdb\"}" },
	/* Behind -- everything is an argument. */
	{ "c disk lock -- --json", "disk.lock", "{\"name\":\"--json\"}" },
	{ "c disk lock -- n", "disk.lock", "{\"name\":\"n\"}" },
};

static void test_good(void **state)
{
	char words[512];

	(void)state;
	assert_int_equal(chdir("/"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(good_lines); i++) {
		_cleanup_call_ struct cli_call call = { .secret_fd = -1 };
		_cleanup_free_ char *args = NULL;
		struct error e = ERROR_NULL;

		if (parse_line(good_lines[i].line, &call, &e, words) < 0)
			fail_msg("%s: %s", good_lines[i].line, e.text);
		assert_int_equal(call.action, CLI_RUN);
		assert_string_equal(call.command->op, good_lines[i].op);
		args = json_dumps(call.args, JSON_COMPACT | JSON_SORT_KEYS);
		assert_string_equal(args, good_lines[i].args);
	}
}

static void test_not_in_args(void **state)
{
	_cleanup_call_ struct cli_call call = { .secret_fd = -1 };
	_cleanup_call_ struct cli_call other = { .secret_fd = -1 };
	struct error e = ERROR_NULL;
	char words[512];

	(void)state;
	assert_int_equal(parse_line("c --socket /s provider backup p --out o --password-file pw --json",
				    &call, &e, words), 0);
	assert_string_equal(call.socket, "/s");
	assert_string_equal(call.out_file, "o");
	assert_string_equal(call.secret_file, "pw");
	assert_int_equal(call.secret_fd, -1);
	assert_null(call.in_file);
	assert_true(call.json);

	assert_int_equal(parse_line("c provider restore b --password-fd 0",
				    &other, &e, words), 0);
	assert_string_equal(other.in_file, "b");
	assert_int_equal(other.secret_fd, 0);
	assert_null(other.secret_file);
	assert_false(other.json);
}

static const char *const bad_lines[] = {
	"c",
	"c ''",
	"c bogus",
	"c statusx",
	"c status now",
	"c status --force",
	"c disk",
	"c disk bogus",
	"c disk list extra",
	"c list disk",
	"c -x",
	"c --bogus",
	"c --socket",
	"c --json=1 status",
	"c --js status",
	"c provider create",
	"c provider create native",
	"c provider create standard p",
	"c provider create p",
	"c provider create --type native",
	"c provider create native p --type native",
	"c provider create p --type standard",
	"c provider create nativ p",
	"c provider create native| p",
	"c provider create native p q",
	"c provider create native p --require-tpm --allow-unsealed",
	"c provider create native p --allow-unsealed --require-tpm",
	"c provider create native p --require-tpm --require-tpm",
	"c provider create native p --require-tpm=yes",
	"c provider create native ''",
	"c provider show",
	"c provider default",
	"c provider check",
	"c provider delete",
	"c provider backup p",
	"c provider backup --out f",
	"c provider backup p --out",
	"c provider backup p --out ''",
	"c provider backup p --out f --password secret",
	"c provider backup p --out f --password-file a --password-fd 3",
	"c provider backup p --out f --password-fd x",
	"c provider backup p --out f --password-fd -1",
	"c provider restore",
	"c provider restore a b",
	"c disk create",
	"c disk create /dev/vdb",
	"c disk create --vm v",
	"c disk create /dev/vdb --vm",
	"c disk create /dev/vdb --vm ''",
	"c disk create /dev/vdb --vm a --vm b",
	"c disk create /dev/vdb --vm v --sector-size 513",
	"c disk create /dev/vdb --vm v --sector-size 8192",
	"c disk create /dev/vdb --vm v --sector-size 0512",
	"c disk create /dev/vdb --vm v --sector-size -512",
	"c disk create /dev/vdb --vm v --key-bits 128",
	"c disk create /dev/vdb --vm v --sector 512",
	"c disk create /dev/vdb --vm v --vm-name w",
	"c disk create /dev/vdb /dev/vdc --vm v",
	"c disk create /dev/vdb --vm \xff",
	"c disk attach /dev/vdb",
	"c disk attach /dev/vdb n --key-loss fail",
	"c disk attach /dev/vdb n --key-loss",
	"c disk detach",
	"c disk detach n --key-loss queue",
	"c disk lock",
	"c disk unlock",
	"c disk table",
	"c disk table /dev/vdb --read-only",
	"c disk show",
	"c disk export-key /dev/vdb",
	"c disk export-key --out f",
	"c key",
	"c key list x",
	"c event list --limit",
	"c event list --limit -1",
	"c event list --limit 0",
	"c event list --limit 1k",
	"c event list --limit 2147483648",
	"c event list --limit 18446744073709551617",
	"c event list --limit 0x10",
	"c event list --follow --follow",
};

static void test_wrong_usage(void **state)
{
	char words[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_lines); i++) {
		_cleanup_call_ struct cli_call call = { .secret_fd = -1 };
		struct error e = ERROR_NULL;

		if (parse_line(bad_lines[i], &call, &e, words) != -EINVAL)
			fail_msg("taken: %s", bad_lines[i]);
		assert_int_equal(e.status, EXIT_USAGE);
		assert_non_null(strstr(e.text, "--help"));
	}
}

/* A value that is one byte too long, for a name and for a path. */
static void test_too_long(void **state)
{
	char name[129], path[4098], dot[] = "c", show[] = "show", disk[] = "disk";
	char *argv[] = { dot, disk, show, name, NULL };
	struct error e = ERROR_NULL;

	(void)state;
	memset(name, 'n', sizeof(name));
	memset(path, '/', sizeof(path));
	for (int extra = 0; extra <= 1; extra++) {
		struct cli_call call = { .secret_fd = -1 };

		name[127 + extra] = '\0';
		assert_int_equal(cli_parse(4, argv, &call, &e), extra ? -EINVAL : 0);
		cli_call_done(&call);
		name[127] = 'n';
	}
	argv[3] = path;
	for (int extra = 0; extra <= 1; extra++) {
		struct cli_call call = { .secret_fd = -1 };

		path[4095 + extra] = '\0';
		assert_int_equal(cli_parse(4, argv, &call, &e), extra ? -EINVAL : 0);
		cli_call_done(&call);
		path[4095] = '/';
	}
}

static void test_help(void **state)
{
	static const struct {
		const char *line, *noun, *op;
	} lines[] = {
		{ "c --help", NULL, NULL },
		{ "c -h", NULL, NULL },
		{ "c disk --help", "disk", NULL },
		{ "c disk -h list", "disk", NULL },
		{ "c disk create --help", "disk", "disk.create" },
		{ "c disk create /dev/vdb -h", "disk", "disk.create" },
		{ "c status --help", "status", "status" },
	};
	char words[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_call_ struct cli_call call = { .secret_fd = -1 };
		struct error e = ERROR_NULL;

		assert_int_equal(parse_line(lines[i].line, &call, &e, words), 0);
		assert_int_equal(call.action, CLI_HELP);
		if (lines[i].noun)
			assert_string_equal(call.noun, lines[i].noun);
		else
			assert_null(call.noun);
		if (lines[i].op)
			assert_string_equal(call.command->op, lines[i].op);
		else
			assert_null(call.command);
	}
}

/* Help on a command names each of its arguments and options, and fits. */
static void test_help_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < cli_n_commands; i++) {
		const struct cli_command *c = &cli_commands[i];
		_cleanup_free_ char *text = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);

		assert_non_null(out);
		cli_help(out, c->noun, c, /* manager= */ false);
		assert_int_equal(fclose(out), 0);
		assert_non_null(strstr(text, c->summary));
		for (const struct cli_param *p = c->options; p->name; p++)
			assert_non_null(strstr(text, p->name));
		for (const struct cli_param *p = c->positionals; p->name; p++)
			assert_non_null(strstr(text, p->value));
	}
}

/* Mistakes in the table itself. */
static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < cli_n_commands; i++) {
		const struct cli_command *c = &cli_commands[i];
		char op[64];

		snprintf(op, sizeof(op), "%s%s%s", c->noun, c->verb ? "." : "",
			 c->verb ? c->verb : "");
		assert_string_equal(op, c->op);
		assert_non_null(c->show);
		assert_null(c->positionals[CLI_POSITIONALS_MAX].name);
		assert_null(c->options[CLI_OPTIONS_MAX].name);
		for (const struct cli_param *p = c->options; p->name; p++) {
			assert_true(strlen(p->name) < 32);
			assert_int_equal(p->kind == CLI_FLAG, !p->value);
			assert_null(strstr(p->name, "secret"));
			assert_true(strcmp(p->name, "password") != 0);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_not_in_args),
		cmocka_unit_test(test_wrong_usage),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_help_text),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("cli_parse", tests, NULL, NULL);
}
