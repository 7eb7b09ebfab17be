/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making a disk, killed at each step: nothing or a complete disk is left, and a
 * second try works. Real files, real providers; only the kernel is not needed.
 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "disk/header.h"
#include "host/create.h"
#include "host/host.h"

#define DISK_SIZE	(24 << 20)

static char dir[64];

static void make_disk(void)
{
	int fd = open(unit_path(dir, "disk"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
	close(fd);
}

static void host_open(struct host *host)
{
	struct provider_settings settings = { .dir = unit_path(dir, "providers") };
	struct error e = ERROR_NULL;

	*host = (struct host){ .started = 0 };
	if (events_open(dir, EVENTS_SIZE_MIN, &host->events, &e) < 0 ||
	    state_open(dir, &host->state, &e) < 0 ||
	    provider_registry_open(&settings, &host->providers, &e) < 0)
		fail_msg("%s", e.text);
}

static void host_close(struct host *host)
{
	provider_registry_free(host->providers);
	state_free(host->state);
	events_free(host->events);
}

static void make_provider(struct host *host)
{
	struct secret password = unit_secret("secret", 6);
	struct error e = ERROR_NULL;
	int fd = open(unit_path(dir, "backup"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (provider_create_native(host->providers, "p1", SEALING_NONE, NULL, &e) < 0 ||
	    provider_backup(host->providers, "p1", &password, fd, &e) < 0)
		fail_msg("%s", e.text);
	close(fd);
	secret_done(&password);
}

static int setup(void **state)
{
	struct host host;

	(void)state;
	unit_make_dir(dir);
	host_open(&host);
	make_provider(&host);
	host_close(&host);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unit_remove_dir(dir);
	return 0;
}

static void die_at(void *userdata, unsigned int step, const char *phase, const char *text)
{
	(void)phase;
	(void)text;
	if (step == *(unsigned int *)userdata)
		raise(SIGKILL);
}

static int create(struct host *host, unsigned int die, const char *header, struct error *e)
{
	char disk[128];
	struct create c = { .device = disk, .vm = "web", .header = header,
			    .user = "root", .progress = die_at, .userdata = &die };
	uint8_t dek[UUID_SIZE];

	snprintf(disk, sizeof(disk), "%s/disk", dir);
	return create_disk(host, &c, dek, e);
}

static void create_and_die(unsigned int step, const char *header)
{
	struct host host;
	struct error e;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		host_open(&host);
		create(&host, step, header, &e);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static int give_kek(const struct key_locator *locator, void *userdata, struct secret *ret_kek,
		    struct error *e)
{
	return provider_key_get(((struct host *)userdata)->providers, locator, NULL, ret_kek, e);
}

/* 1: a disk that opens; 0: nothing; anything between is a failure. */
static int disk_there(struct host *host, const char *header)
{
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	struct error e = ERROR_NULL;

	if (header_open(unit_path(dir, "disk"), header, 0, &h, &e) < 0) {
		if (e.reason != VMCRYPT_REASON_NO_HEADER)
			fail_msg("half a disk is left: %s", e.text);
		return 0;
	}
	if (header_unlock(h, give_kek, host, &dek, &e) < 0)
		fail_msg("the disk does not open: %s", e.text);
	return 1;
}

static size_t count_lines(const char *member)
{
	char line[EVENT_LINE_MAX];
	FILE *f = fopen(unit_path(dir, "events"), "r");
	size_t n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, member) != NULL;
	fclose(f);
	return n;
}

static void killed_at(unsigned int step, const char *header)
{
	struct error e = ERROR_NULL;
	json_t *list;
	struct host host;
	int there;

	make_disk();
	unlink(unit_path(dir, "disks.json"));
	create_and_die(step, header);
	host_open(&host);
	there = disk_there(&host, header);
	/* The header is whole from the moment that it is written. */
	assert_int_equal(there, step > 3);
	create_resume(&host);
	list = state_pending(host.state);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	list = state_all(host.state);
	assert_int_equal(json_object_size(list), there);
	json_decref(list);
	assert_int_equal(count_lines("\"phase\":\"intent\""), count_lines("\"phase\":\"outcome\""));
	assert_true(count_lines("unknown: agent restarted") > 0);
	if (there) {
		assert_int_equal(create(&host, 0, header, &e), -EEXIST);
	} else if (create(&host, 0, header, &e) < 0) {
		fail_msg("the second try after step %u: %s", step, e.text);
	}
	assert_int_equal(disk_there(&host, header), 1);
	host_close(&host);
}

static void test_killed_at_each_step(void **state)
{
	unsigned int step;

	(void)state;
	for (step = 1; step <= CREATE_STEPS; step++)
		killed_at(step, NULL);
}

static void test_killed_with_a_detached_header(void **state)
{
	char header[128];
	unsigned int step;

	(void)state;
	snprintf(header, sizeof(header), "%s/header", dir);
	for (step = 1; step <= CREATE_STEPS; step++) {
		unlink(header);
		killed_at(step, header);
	}
}

static void test_created(void **state)
{
	struct error e = ERROR_NULL;
	struct host host;
	json_t *all;

	(void)state;
	make_disk();
	host_open(&host);
	if (create(&host, 0, NULL, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(disk_there(&host, NULL), 1);
	all = state_all(host.state);
	assert_int_equal(json_object_size(all), 1);
	json_decref(all);
	assert_int_equal(create(&host, 0, NULL, &e), -EEXIST);
	assert_int_equal(disk_there(&host, NULL), 1);
	host_close(&host);
}

static void test_wrong_values(void **state)
{
	char disk[128];
	struct create c = { .device = disk, .vm = "web", .user = "root" };
	struct error e = ERROR_NULL;
	uint8_t dek[UUID_SIZE];
	struct host host;

	(void)state;
	snprintf(disk, sizeof(disk), "%s/disk", dir);
	make_disk();
	host_open(&host);
	c.key_bits = 384;
	assert_int_equal(create_disk(&host, &c, dek, &e), -EINVAL);
	c.key_bits = 0;
	c.sector_size = 8192;
	assert_int_equal(create_disk(&host, &c, dek, &e), -EINVAL);
	c.sector_size = 0;
	c.provider = "nobody";
	assert_true(create_disk(&host, &c, dek, &e) < 0);
	assert_non_null(strstr(e.text, "nobody"));
	assert_int_equal(disk_there(&host, NULL), 0);
	host_close(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_created, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_at_each_step, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_with_a_detached_header, setup, teardown),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
