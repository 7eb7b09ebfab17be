/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests of the control socket against the table of operations. */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/host.h"
#include "host/op.h"
#include "host/ops.h"
#include "host/retry.h"

static int parse(const char *line, struct request *request, struct error *e)
{
	*e = ERROR_NULL;
	return request_parse(line, strlen(line), request, e);
}

static void refused(const char *line, bool has_id, const char *says)
{
	struct request request;
	struct error e;

	if (parse(line, &request, &e) == 0)
		fail_msg("taken: %.200s", line);
	assert_null(request.args);
	assert_int_equal(e.status, EXIT_USAGE);
	if ((request.id >= 0) != has_id)
		fail_msg("id %lld of %.200s", (long long)request.id, line);
	if (!strstr(e.text, says))
		fail_msg("%.200s: %s", line, e.text);
}

static void test_good_requests(void **state)
{
	struct request request;
	struct error e;

	(void)state;
	assert_int_equal(parse("{\"v\":1,\"id\":0,\"op\":\"status\"}", &request, &e), 0);
	assert_int_equal(request.id, 0);
	assert_string_equal(request.op->name, "status");
	assert_int_equal(json_object_size(request.args), 0);
	json_decref(request.args);
	assert_int_equal(parse(" {\"op\":\"disk.create\",\"args\":{\"device\":\"/dev/vdb\",\"vm\":\"w\xc3\xa4\",\"sector_size\":4096,\"force\":true},\"id\":9007199254740992,\"v\":1} ",
			       &request, &e), 0);
	assert_true(request.id == 1LL << 53);
	assert_int_equal(request.op->privilege, PRIVILEGE_CHANGE);
	json_decref(request.args);
}

static void test_no_request(void **state)
{
	static const char *const lines[] = {
		"", "hello", "{", "}", "[]", "null", "1", "\"x\"", "{\"v\":1,\"id\":1",
		"{\"v\":1,\"id\":1,\"op\":\"status\"} x", "{\"v\":1,\"id\":1,\"id\":1,\"op\":\"status\"}",
		"{'v':1}", "{\"v\":1,\"id\":1,\"op\":\"sta\\u0000tus\"}", "{\"v\":1,\"op\":\"status\"}",
		"{\"v\":1,\"id\":-1,\"op\":\"status\"}", "{\"v\":1,\"id\":1.0,\"op\":\"status\"}",
		"{\"v\":1,\"id\":\"1\",\"op\":\"status\"}", "{\"v\":1,\"id\":null,\"op\":\"status\"}",
		"{\"v\":1,\"id\":9007199254740993,\"op\":\"status\"}",
		"{\"v\":1,\"id\":99999999999999999999,\"op\":\"status\"}",
		"{\"v\":1,\"id\":1,\"op\":\"\xff\"}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lines); i++)
		refused(lines[i], false, "");
}

static void test_depth(void **state)
{
	char line[4096] = "{\"v\":1,\"id\":1,\"op\":\"status\",\"args\":";
	size_t i;

	(void)state;
	for (i = 0; i < 40; i++)
		strncat(line, "[", sizeof(line) - strlen(line) - 1);
	for (i = 0; i < 40; i++)
		strncat(line, "]", sizeof(line) - strlen(line) - 1);
	strncat(line, "}", sizeof(line) - strlen(line) - 1);
	refused(line, false, "");
}

static void test_wrong_requests(void **state)
{
	static const struct {
		const char *rest;
		const char *says;
	} cases[] = {
		{ "\"op\":\"status\"", "version" },
		{ "\"v\":2,\"op\":\"status\"", "version 2" },
		{ "\"v\":\"1\",\"op\":\"status\"", "version" },
		{ "\"v\":1", "no operation" },
		{ "\"v\":1,\"op\":7", "no operation" },
		{ "\"v\":1,\"op\":\"disk\"", "\"disk\"" },
		{ "\"v\":1,\"op\":\"disk.attach \"", "no operation" },
		{ "\"v\":1,\"op\":\"status\",\"more\":1", "neither" },
		{ "\"v\":1,\"op\":\"status\",\"args\":[]", "object" },
		{ "\"v\":1,\"op\":\"status\",\"args\":{\"x\":1}", "no argument \"x\"" },
		{ "\"v\":1,\"op\":\"provider.show\"", "wants" },
		{ "\"v\":1,\"op\":\"provider.show\",\"args\":{\"name\":null}", "string" },
		{ "\"v\":1,\"op\":\"provider.show\",\"args\":{\"name\":\"\"}", "bytes" },
		{ "\"v\":1,\"op\":\"provider.show\",\"args\":{\"name\":\"a\\nb\"}", "control" },
		{ "\"v\":1,\"op\":\"disk.table\",\"args\":{\"device\":\"vdb\"}", "absolute" },
		{ "\"v\":1,\"op\":\"disk.table\",\"args\":{\"device\":\"/d\",\"discard\":1}", "true or false" },
		{ "\"v\":1,\"op\":\"disk.create\",\"args\":{\"device\":\"/d\",\"vm\":\"v\",\"sector_size\":-1}", "number" },
		{ "\"v\":1,\"op\":\"disk.create\",\"args\":{\"device\":\"/d\",\"vm\":\"v\",\"sector_size\":4097}", "number" },
		{ "\"v\":1,\"op\":\"disk.create\",\"args\":{\"device\":\"/d\",\"vm\":\"v\",\"sector_size\":\"512\"}", "number" },
		{ "\"v\":1,\"op\":\"disk.create\",\"args\":{\"device\":\"/d\"}", "\"vm\"" },
	};
	char line[512];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line), "{\"id\":5,%s}", cases[i].rest);
		refused(line, true, cases[i].says);
	}
}

static void test_long_values(void **state)
{
	char name[400], line[600];

	(void)state;
	memset(name, 'x', sizeof(name));
	name[300] = '\0';
	snprintf(line, sizeof(line), "{\"id\":5,\"v\":1,\"op\":\"provider.show\",\"args\":{\"name\":\"%s\"}}",
		 name);
	refused(line, true, "bytes");
}

static void test_privileges(void **state)
{
	/* What only looks; everything else is root's. */
	static const char *const reads[] = {
		"status", "provider.list", "provider.show", "provider.check", "disk.table",
		"disk.list", "disk.show", "host.show", "key.list", "event.list",
	};
	const struct op *op;
	struct error e;
	size_t i, n = 0;

	(void)state;
	for (op = op_table; op->name; op++) {
		bool read = false;

		for (i = 0; i < ARRAY_SIZE(reads); i++)
			read |= !strcmp(reads[i], op->name);
		n += read;
		e = ERROR_NULL;
		assert_int_equal(op_check_privilege(op, PRIVILEGE_NONE, &e), -EACCES);
		assert_int_equal(e.status, EXIT_NOT_ALLOWED);
		assert_int_equal(op_check_privilege(op, PRIVILEGE_READ, &e), read ? 0 : -EACCES);
		assert_int_equal(op_check_privilege(op, PRIVILEGE_CHANGE, &e), 0);
		assert_ptr_equal(op_find(op->name), op);
		assert_true(op->files <= PROTOCOL_FDS_MAX);
		assert_non_null(op->run);
	}
	assert_int_equal(n, ARRAY_SIZE(reads));
	assert_null(op_find(""));
}

static int password_pipe(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "secret", 6), 6);
	close(fds[1]);
	return fds[0];
}

static void call_provider(struct host *host, int (*op)(struct call *call, json_t **ret,
						       struct error *e),
			  const char *name, int backup, json_t *args)
{
	struct call call = { .host = host, .op = op_find(name), .args = args,
			     .user = "root", .fds = { backup, password_pipe() } };
	struct error e = ERROR_NULL;
	json_t *result = NULL;

	assert_int_equal(lseek(backup, 0, SEEK_SET), 0);
	must(op(&call, &result, &e));
	json_decref(result);
	json_decref(args);
	close(call.fds[1]);
}

static int awake(struct host *host)
{
	int n = 0;

	while (sd_event_run(host->event, 0) > 0)
		n++;
	return n;
}

/* Attached disks that are locked for want of a provider, too. */
static void test_restore_unlocks(void **state)
{
	char dir[64], *path = NULL;
	struct host host = { .started = 0 };
	struct provider_settings settings = { .tcti = "swtpm:path=/nonexistent/socket" };
	struct error e = ERROR_NULL;
	int backup;

	(void)state;
	unit_make_dir(dir);
	settings.dir = unit_path(dir, "providers");
	must(events_open(dir, EVENTS_SIZE_MIN, &host.events, &e));
	must(nl_client_new(&host.netlink, &e));
	must(provider_registry_open(&settings, &host.providers, &e));
	assert_true(sd_event_new(&host.event) >= 0);
	must(workers_new(host.event, 1, &host.operations));
	must(retry_new(&host, &host.retry, &e));
	path = strdup(unit_path(dir, "backup"));
	backup = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(backup >= 0);
	must(provider_create_native(host.providers, "p", SEALING_NONE, NULL, &e));
	call_provider(&host, op_provider_backup, "provider.backup", backup,
		      json_pack("{s:s}", "name", "p"));
	assert_int_equal(awake(&host), 0);
	call_provider(&host, op_provider_restore, "provider.restore", backup,
		      json_pack("{s:b, s:b}", "dry_run", true, "allow_unsealed", true));
	assert_int_equal(awake(&host), 0);
	call_provider(&host, op_provider_restore, "provider.restore", backup,
		      json_pack("{s:b}", "allow_unsealed", true));
	assert_true(awake(&host) > 0);
	close(backup);
	free(path);
	assert_true(workers_free(host.operations, 60));
	retry_free(host.retry);
	sd_event_unref(host.event);
	provider_registry_free(host.providers);
	nl_client_free(host.netlink);
	events_free(host.events);
	unit_remove_dir(unit_path(dir, "providers"));
	unit_remove_dir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_requests),
		cmocka_unit_test(test_no_request),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_wrong_requests),
		cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_privileges),
		cmocka_unit_test(test_restore_unlocks),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
