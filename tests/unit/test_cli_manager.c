// SPDX-License-Identifier: LGPL-2.1-or-later
/* Command lines for a manager: what each asks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/manager.h"
#include "cli/rest.h"
#include "common/cleanup.h"

#define WORDS_MAX 16

static int parse(const char *const *words, struct cli_call *ret, struct error *e)
{
	char *argv[WORDS_MAX + 4] = { "c", "--manager", "https://m:8443", NULL };
	int argc = 3;

	for (; *words; words++) {
		assert_true(argc < WORDS_MAX);
		argv[argc++] = (char *)*words;
	}
	return cli_parse(argc, argv, ret, e);
}

static const struct {
	const char *words[10];
	const char *path;
	const char *args;
} requests[] = {
	{ { "about" }, "/about", "{}" },
	{ { "user", "list" }, "/users", "{}" },
	{ { "user", "create", "anna" }, "/users", "{\"name\":\"anna\"}" },
	{ { "user", "password", "a/b?c#d" }, "/users/a%2Fb%3Fc%23d", "{}" },
	{ { "user", "delete", ".." }, "/users/..", "{}" },
	{ { "user", "delete", "\xc3\xa4" }, "/users/%C3%A4", "{}" },
	{ { "role", "create", "r", "A.b,C.d" }, "/roles",
	  "{\"name\":\"r\",\"privileges\":[\"A.b\",\"C.d\"]}" },
	{ { "vm", "register", "web", "--id", "u", "--cluster", "c1" }, "/vms",
	  "{\"cluster\":\"c1\",\"id\":\"u\",\"name\":\"web\"}" },
	{ { "event", "list", "--since", "7", "--user", "a&b=c" },
	  "/events?since=7&user=a%26b%3Dc", NULL },
};

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		_cleanup_call_ struct cli_call call = { .secret_fd = -1 };
		_cleanup_free_ char *path = NULL, *args = NULL;
		struct error e = ERROR_NULL;

		if (parse(requests[i].words, &call, &e) < 0)
			fail_msg("%s: %s", requests[i].path, e.text);
		assert_string_equal(call.manager, "https://m:8443");
		assert_int_equal(manager_path(call.command->route, call.args, &path, &e), 0);
		assert_string_equal(path, requests[i].path);
		args = json_dumps(call.args, JSON_COMPACT | JSON_SORT_KEYS);
		if (requests[i].args)
			assert_string_equal(args, requests[i].args);
	}
}

static const char *const wrong[][12] = {
	{ "disk", "table", "/dev/vdb" },		/* the agent's */
	{ "user" },
	{ "user", "create" },
	{ "role", "create", "r", "A.b,,C.d" },
	{ "role", "create", "r", "," },
	{ "vm", "register", "v", "--id", "u", "--cluster", "c", "--host", "h" },
	{ "host", "token", "--cluster", "c" },
	{ "user", "list", "--manager", "https://other" },
	{ "event", "list", "--limit", "0" },
	{ "user", "create", "u", "--password", "secret" },
};

static void test_wrong_usage(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_cleanup_call_ struct cli_call call = { .secret_fd = -1 };
		struct error e = ERROR_NULL;

		if (parse(wrong[i], &call, &e) == 0)
			fail_msg("line %zu was taken", i);
		assert_int_equal(e.status, EXIT_USAGE);
	}
}

static void test_address(void **state)
{
	static const char *const good[] = { "https://m", "https://m:8443", "https://[::1]:8443",
					    "https://10.0.0.1" };
	static const char *const bad[] = { "", "m", "http://m", "HTTPS://m", "https://", "https://:8443",
					   "https://m/", "https://m?x", "https://m#x", "https://u:p@m",
					   "https://m x", "ftp://m", "https:m" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(rest_check_url(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(rest_check_url(bad[i], NULL), -EINVAL);
}

/* Mistakes in the table itself. */
static void test_table(void **state)
{
	static const char *const methods[] = { "GET /", "POST /", "PATCH /", "DELETE /" };

	(void)state;
	for (size_t i = 0; i < manager_n_commands; i++) {
		const struct cli_command *c = &manager_commands[i];
		bool known = false;

		assert_null(c->op);
		assert_non_null(c->summary);
		for (size_t j = 0; j < ARRAY_SIZE(methods); j++)
			known |= strncmp(c->route, methods[j], strlen(methods[j])) == 0;
		assert_true(known);
		assert_true(!c->member || c->n_columns > 0);
		assert_null(c->positionals[CLI_POSITIONALS_MAX].name);
		assert_null(c->options[CLI_OPTIONS_MAX].name);
		/* what stands in a path has to be an argument that is always there */
		for (const char *at = strchr(c->route, '{'); at; at = strchr(at + 1, '{')) {
			bool found = false;

			for (const struct cli_param *p = c->positionals; p->name; p++)
				found |= strncmp(at + 1, p->name, strlen(p->name)) == 0;
			assert_true(found);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_wrong_usage),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("cli_manager", tests, NULL, NULL);
}
