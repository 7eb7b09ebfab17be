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
	const char *words[WORDS_MAX];
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
	{ { "provider", "create", "p", "--type", "native", "--require-tpm" }, "/providers",
	  "{\"name\":\"p\",\"require_tpm\":true,\"type\":\"native\"}" },
	{ { "provider", "create", "native", "p", "--require-tpm" }, "/providers",
	  "{\"name\":\"p\",\"require_tpm\":true,\"type\":\"native\"}" },
	{ { "provider", "create", "standard", "p" }, "/providers",
	  "{\"name\":\"p\",\"type\":\"standard\"}" },
	{ { "provider", "check", "p" }, "/providers/p/status", NULL },
	{ { "provider", "create", "p", "--type", "native", "--allow-unsealed" }, "/providers",
	  "{\"allow_unsealed\":true,\"name\":\"p\",\"type\":\"native\"}" },
	{ { "provider", "default", "p" }, "/defaults/global", "{\"provider\":\"p\"}" },
	{ { "provider", "default", "p", "--cluster", "c" }, "/defaults/clusters/c",
	  "{\"provider\":\"p\"}" },
	{ { "provider", "default", "--host", "h", "p" }, "/defaults/hosts/h",
	  "{\"provider\":\"p\"}" },
	{ { "provider", "reset-default" }, "/defaults/global", "{}" },
	{ { "provider", "reset-default", "--host", "h" }, "/defaults/hosts/h", "{}" },
	{ { "key", "list", "--vm", "v" }, "/keys?vm=v", NULL },
	{ { "key", "remove", "p", "k/1", "--destroy" }, "/keys/p/k%2F1?destroy=true", NULL },
	{ { "host", "move", "h", "--no-cluster" }, "/hosts/h", "{\"cluster\":null}" },
	{ { "host", "move", "h", "--cluster", "c" }, "/hosts/h", "{\"cluster\":\"c\"}" },
	{ { "cluster", "crypto-mode", "c", "forceEnable" }, "/clusters/c",
	  "{\"crypto_mode\":\"forceEnable\"}" },
	{ { "server", "add", "p", "s", "a", "--port", "7", "--server-ca", "f", "--legacy" },
	  "/providers/p/servers",
	  "{\"address\":\"a\",\"ca\":\"f\",\"legacy\":true,\"name\":\"s\",\"port\":7}" },
	{ { "server", "change", "p", "s/1", "--pin", "00" }, "/providers/p/servers/s%2F1",
	  "{\"pin\":\"00\"}" },
	{ { "server", "change", "p", "s", "--address", "a", "--no-server-name", "--no-legacy", "--no-user",
	    "--kmip-version", "auto" }, "/providers/p/servers/s",
	  "{\"address\":\"a\",\"legacy\":false,\"server_name\":null,\"user\":null,\"version\":\"auto\"}" },
	{ { "certificate", "set", "p", "upload", "--file", "c", "--key-file", "k" },
	  "/providers/p/certificate",
	  "{\"certificate\":\"c\",\"private_key\":\"k\",\"way\":\"upload\"}" },
	{ { "provider", "backup", "p", "--out", "f" }, "/providers/p/backup", "{}" },
	{ { "provider", "restore", "f", "--dry-run" }, "/providers/restore",
	  "{\"dry_run\":true,\"file\":\"f\"}" },
	{ { "user", "change", "u", "--enable", "--no-certificate" }, "/users/u",
	  "{\"certificate\":null,\"disabled\":false}" },
	{ { "user", "change", "u", "--disable", "--fingerprint", "00" }, "/users/u",
	  "{\"certificate\":\"00\",\"disabled\":true}" },
	{ { "permission", "create", "u", "r", "global", "--no-propagate" }, "/permissions",
	  "{\"object\":\"global\",\"propagate\":false,\"role\":\"r\",\"user\":\"u\"}" },
	{ { "permission", "list", "--user", "u" }, "/permissions?user=u", NULL },
	{ { "event", "list", "--host", "h", "--operation", "o" }, "/events?host=h&operation=o", NULL },
	{ { "role", "change", "r", "A.b" }, "/roles/r", "{\"privileges\":[\"A.b\"]}" },
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
		assert_int_equal(manager_path(manager_route(&call), call.args, &path, &e), 0);
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
	{ "event", "list", "--limit", "-1" },
	{ "host", "token", "--out", "t", "--hours", "0" },
	{ "user", "create", "u", "--password", "secret" },
	{ "provider", "create", "p" },
	{ "provider", "create", "p", "--type", "cloud" },
	{ "provider", "default", "p", "--cluster", "c", "--host", "h" },
	{ "host", "move", "h", "--cluster", "c", "--no-cluster" },
	{ "host", "move", "h", "--no-cluster=c" },
	{ "provider", "backup", "p" },
	{ "user", "change", "u", "--enable", "--disable" },
	{ "certificate", "set", "p", "bought" },
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

static void check_route(const char *route, const struct cli_param *positionals,
			const struct cli_param *option)
{
	static const char *const methods[] = { "GET /", "POST /", "PUT /", "PATCH /", "DELETE /" };
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		known |= strncmp(route, methods[i], strlen(methods[i])) == 0;
	assert_true(known);
	/* what stands in a path has to be an argument that is there with it */
	for (const char *at = strchr(route, '{'); at; at = strchr(at + 1, '{')) {
		bool found = option && strncmp(at + 1, option->name, strlen(option->name)) == 0;

		for (const struct cli_param *p = positionals; p->name; p++)
			found |= strncmp(at + 1, p->name, strlen(p->name)) == 0;
		assert_true(found);
	}
}

/* Mistakes in the table itself. */
static void test_table(void **state)
{
	const struct cli_command *c;

	(void)state;
	for (size_t i = 0; (c = manager_command(i)); i++) {
		bool out_file = false;

		assert_null(c->op);
		assert_non_null(c->summary);
		assert_true(!c->member || c->n_columns > 0);
		assert_null(c->positionals[CLI_POSITIONALS_MAX].name);
		assert_null(c->options[CLI_OPTIONS_MAX].name);
		check_route(c->route, c->positionals, /* option= */ NULL);
		for (const struct cli_param *p = c->options; p->name; p++) {
			out_file |= p->kind == CLI_OUT_FILE;
			bool flag = p->kind == CLI_FLAG || p->kind == CLI_NOT ||
				    p->kind == CLI_NONE;

			assert_true(flag == !p->value);
			if (p->route)
				check_route(p->route, c->positionals, p);
		}
		/* A file is for a member of the answer, or for pages of events. */
		if (c->paged)
			assert_null(c->saved);
		else
			assert_true(out_file == !!c->saved);
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
