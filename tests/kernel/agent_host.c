/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent against the real module: attaching, the kernel's key requests, locks, the list of disks
 * at start, and an agent that dies at whatever moment. The agent is a child process that runs what
 * main() runs, sanitizers included. Needs /dev/ram0 and VMCRYPT_MODULE, as agent_disk.c.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "common/json.h"
#include "common/log.h"
#include "disk_fixture.h"
#include "disk/dm.h"
#include "disk/netlink.h"
#include "host/conf.h"
#include "host/host.h"
#include "host/loop.h"
#include "host/seccomp.h"

#define DEVICE		"/dev/ram0"
#define NAME		"vm-1"
#define MAPPED		"/dev/mapper/" NAME
#define WAIT_MS		20000
#define POLL_MS		20
#define BLOCK		4096
#define KEY_DEADLINE_S	6	/* as agent_start() writes it */

extern char **environ;

static char dir[64];
static pid_t agent;
static const char *disks = "";

static const char *in_dir(const char *name)
{
	static char paths[4][128];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static int run(const char *const *argv)
{
	int status;
	pid_t pid;

	assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* What main() does, but for locked memory, which sanitizers cannot live with. */
static void agent_main(void)
{
	char *argv[] = { "vmcryptd", "--config", (char *)in_dir("conf"), "--state", (char *)in_dir("state"),
			 "--socket", strdup(in_dir("sock")), "--disks", strdup(in_dir("disks")), NULL };
	struct error e = ERROR_NULL;
	struct host_conf conf;
	struct host host;

	if (host_conf_read(9, argv, &conf, &e) < 0 || secret_init() < 0 || host_seccomp(&e) < 0 ||
	    host_start(&conf, &host, &e) < 0 || loop_run(&host, &e) < 0) {
		log_error("%s", e.text);
		_exit(1);
	}
	host_done(&host);
	_exit(0);
}

static int agent_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, i;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_dir("sock"));
	for (i = 0; i < WAIT_MS / POLL_MS; i++) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fd >= 0);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			return fd;
		close(fd);
		usleep(POLL_MS * 1000);
	}
	fail_msg("the agent does not come up");
	return -1;
}

static void agent_start(void)
{
	write_file(in_dir("conf"), "[Agent]\nBootWaitSec=1\nKeyDeadlineSec=6\n");
	write_file(in_dir("disks"), disks);
	agent = fork();
	assert_true(agent >= 0);
	if (agent == 0)
		agent_main();
	close(agent_connect());
}

static void agent_kill(void)
{
	kill(agent, SIGKILL);
	waitpid(agent, NULL, 0);
	unlink(in_dir("sock"));
}

static void agent_stop(void)
{
	int status;

	kill(agent, SIGTERM);
	assert_int_equal(waitpid(agent, &status, 0), agent);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void send_request(int fd, const char *op, const char *args, const int *fds, size_t n_fds)
{
	union {
		char data[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { .data = { 0 } };
	char line[2048];
	struct iovec iov = { line, 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	iov.iov_len = (size_t)snprintf(line, sizeof(line), "{\"v\":1,\"id\":1,\"op\":\"%s\",\"args\":{%s}}\n",
				       op, args);
	if (n_fds) {
		msg.msg_control = control.data;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), iov.iov_len);
}

/* The last line of an answer, or NULL when the agent died. */
static json_t *read_answer(int fd)
{
	json_t *answer = NULL;
	char *line = NULL;
	size_t room = 0;
	FILE *f = fdopen(fd, "r");

	assert_non_null(f);
	while (!answer && getline(&line, &room, f) > 0) {
		answer = json_loads(line, 0, NULL);
		assert_non_null(answer);
		if (!json_object_get(answer, "ok")) {
			json_decref(answer);
			answer = NULL;
		}
	}
	free(line);
	fclose(f);
	return answer;
}

static json_t *call_fds(const char *op, const char *args, const int *fds, size_t n_fds)
{
	int fd = agent_connect();
	json_t *answer;

	send_request(fd, op, args, fds, n_fds);
	answer = read_answer(fd);
	assert_non_null(answer);
	return answer;
}

/* The result of what has to work; the caller's to release. */
static json_t *good(const char *op, const char *args)
{
	_cleanup_json_ json_t *answer = call_fds(op, args, NULL, 0);
	json_t *result = json_object_get(answer, "result");

	if (!json_is_true(json_object_get(answer, "ok")))
		fail_msg("%s: %s", op, json_string_value(json_object_get(json_object_get(answer, "error"),
									 "text")));
	return json_incref(result);
}

static void bad(const char *op, const char *args, int status, const char *reason)
{
	_cleanup_json_ json_t *answer = call_fds(op, args, NULL, 0);
	const json_t *e = json_object_get(answer, "error");
	const char *is = json_string_value(json_object_get(e, "reason"));

	if (json_is_true(json_object_get(answer, "ok")))
		fail_msg("%s worked", op);
	if (json_integer_value(json_object_get(e, "status")) != status || strcmp(is ? is : "", reason) != 0)
		fail_msg("%s: %s", op, json_string_value(json_object_get(e, "text")));
}

static void text_is(const json_t *object, const char *member, const char *wanted)
{
	const char *is = json_string_value(json_object_get(object, member));

	assert_non_null(is);
	assert_string_equal(is, wanted);
}

static void disk_state(const char *wanted)
{
	_cleanup_json_ json_t *disk = good("disk.show", "\"name\":\"" DEVICE "\"");

	text_is(disk, "state", wanted);
}

static void make_provider(void)
{
	_cleanup_json_ json_t *answer = NULL;
	int fds[2], ends[2];

	json_decref(good("provider.create", "\"type\":\"native\",\"name\":\"p1\",\"allow_unsealed\":true"));
	fds[0] = open(in_dir("backup"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "secret", 6), 6);
	close(ends[1]);
	fds[1] = ends[0];
	answer = call_fds("provider.backup", "\"name\":\"p1\"", fds, 2);
	assert_true(json_is_true(json_object_get(answer, "ok")));
	close(fds[0]);
	close(fds[1]);
}

static void clear_device(void)
{
	_cleanup_close_ int fd = open(DEVICE, O_WRONLY | O_CLOEXEC);
	_cleanup_free_ char *zeros = calloc(1, 16 * MIB);

	assert_true(fd >= 0);
	assert_non_null(zeros);
	assert_int_equal(write(fd, zeros, 16 * MIB), 16 * MIB);
}

static int group_setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/vmcrypt-host-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(RUN("insmod", getenv("VMCRYPT_MODULE")), 0);
	clear_device();
	agent_start();
	make_provider();
	json_decref(good("disk.create", "\"device\":\"" DEVICE "\",\"vm\":\"web\""));
	agent_stop();
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	return RUN("rmmod", "dm-vmcrypt");
}

static int setup(void **state)
{
	(void)state;
	disks = "";
	agent_start();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)dm_disk_remove(NAME, DM_REMOVE_FORCE | DM_REMOVE_RETRY, NULL);
	agent_stop();
	return 0;
}

static void write_block(const char *text)
{
	_cleanup_close_ int fd = open(MAPPED, O_RDWR | O_CLOEXEC | O_SYNC);
	char block[BLOCK] = { 0 };

	assert_true(fd >= 0);
	snprintf(block, sizeof(block), "%s", text);
	assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
}

static void read_block(const char *wanted)
{
	_cleanup_close_ int fd = open(MAPPED, O_RDONLY | O_CLOEXEC | O_DIRECT);
	_cleanup_free_ char *block = aligned_alloc(BLOCK, BLOCK);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, block, BLOCK), BLOCK);
	assert_string_equal(block, wanted);
}

static char *table_line(void)
{
	_cleanup_json_ json_t *result = good("disk.table", "\"device\":\"" DEVICE "\"");

	return strdup(json_string_value(json_object_get(result, "table")));
}

#define ATTACH	"\"device\":\"" DEVICE "\",\"name\":\"" NAME "\""
#define NAMED	"\"name\":\"" NAME "\""

static void test_attach_and_detach(void **state)
{
	_cleanup_json_ json_t *disk = NULL;

	(void)state;
	disk = good("disk.attach", ATTACH);
	text_is(disk, "state", "loaded");
	text_is(disk, "path", MAPPED);
	write_block("hello");
	bad("disk.attach", ATTACH, 1, "");
	json_decref(good("disk.detach", NAMED));
	disk_state("absent");
	json_decref(good("disk.attach", ATTACH ",\"read_only\":true,\"key_loss\":\"error\""));
	read_block("hello");
	json_decref(good("disk.detach", NAMED));
}

/* Plain dmsetup: the agent answers the kernel. */
static void test_key_request(void **state)
{
	_cleanup_free_ char *table = table_line();

	(void)state;
	assert_int_equal(RUN("dmsetup", "create", NAME, "--table", table), 0);
	disk_state("loaded");
	assert_int_equal(RUN("dmsetup", "remove", NAME), 0);
}

static void test_lock(void **state)
{
	_cleanup_free_ char *table = table_line();
	_cleanup_json_ json_t *locked = NULL;

	(void)state;
	json_decref(good("disk.attach", ATTACH ",\"key_loss\":\"error\""));
	locked = good("disk.lock", NAMED);
	text_is(locked, "state", "locked");
	assert_true(json_is_true(json_object_get(locked, "locked")));
	assert_int_equal(dm_disk_remove(NAME, 0, NULL), 0);
	bad("disk.attach", ATTACH, 4, "locked");
	assert_int_not_equal(RUN("dmsetup", "create", NAME, "--table", table), 0);
	/* The lock outlives the agent. */
	agent_stop();
	agent_start();
	bad("disk.attach", ATTACH, 4, "locked");
	assert_int_not_equal(RUN("dmsetup", "create", NAME, "--table", table), 0);
	json_decref(good("disk.unlock", NAMED));
	assert_int_equal(RUN("dmsetup", "create", NAME, "--table", table), 0);
}

static void test_unlock_brings_io_back(void **state)
{
	pid_t reader;
	int status;

	(void)state;
	json_decref(good("disk.attach", ATTACH));
	write_block("kept");
	json_decref(good("disk.lock", NAMED));
	reader = fork();
	if (reader == 0) {
		_cleanup_close_ int fd = open(MAPPED, O_RDONLY | O_CLOEXEC | O_DIRECT);
		char *block = aligned_alloc(BLOCK, BLOCK);

		_exit(read(fd, block, BLOCK) == BLOCK && !strcmp(block, "kept") ? 0 : 1);
	}
	usleep(300000);
	assert_int_equal(waitpid(reader, &status, WNOHANG), 0);
	json_decref(good("disk.unlock", NAMED));
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	json_decref(good("disk.detach", NAMED));
}

/* Requests that nobody answered are found by the agent that starts. */
static void test_takes_up_what_is_pending(void **state)
{
	_cleanup_free_ char *table = table_line();
	pid_t waiter;
	int status;

	(void)state;
	kill(agent, SIGSTOP);
	waiter = fork();
	if (waiter == 0)
		_exit(RUN("dmsetup", "create", NAME, "--table", table));
	usleep(1000000);
	assert_int_equal(waitpid(waiter, &status, WNOHANG), 0);
	agent_kill();
	agent_start();
	assert_int_equal(waitpid(waiter, &status, 0), waiter);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	disk_state("loaded");
}

static void wait_attached(void)
{
	int i;

	for (i = 0; i < WAIT_MS / POLL_MS; i++) {
		_cleanup_json_ json_t *status = good("status", "");

		if (json_integer_value(json_object_get(json_object_get(status, "boot"), "attached")) == 1)
			return;
		usleep(POLL_MS * 1000);
	}
	fail_msg("the disk is not attached at start");
}

static void test_attached_at_start(void **state)
{
	struct dm_disk disk;

	(void)state;
	agent_stop();
	disks = "bad line here and there\n" NAME " " DEVICE " key-loss=error,discard\nlost /dev/nonexistent\n";
	agent_start();
	wait_attached();
	assert_int_equal(dm_disk_get(NAME, &disk, NULL), 0);
	assert_true(disk.allow_discards);
	assert_int_equal(disk.key_loss, KEY_LOSS_ERROR);
	write_block("still");
	/* The agent goes and comes; the disk stays and works. */
	agent_kill();
	write_block("there");
	read_block("there");
	agent_start();
	wait_attached();
	read_block("there");
}

/* What an agent that died between two ioctls leaves. */
static void test_leftover_is_cleared(void **state)
{
	(void)state;
	assert_int_equal(RUN("dmsetup", "create", NAME, "--notable", "-u", DM_DISK_UUID_PREFIX "x"), 0);
	json_decref(good("disk.attach", ATTACH));
	json_decref(good("disk.detach", NAMED));
	assert_int_equal(RUN("dmsetup", "create", NAME, "--notable", "-u", "LVM-x"), 0);
	bad("disk.attach", ATTACH, 1, "");
	assert_int_equal(RUN("dmsetup", "remove", NAME), 0);
}

static void test_killed_while_attaching(void **state)
{
	struct dm_disk disk;
	int i, fd;

	(void)state;
	for (i = 0; i < 7; i++) {
		fd = agent_connect();
		send_request(fd, "disk.attach", ATTACH, NULL, 0);
		usleep((useconds_t)i * 25000);
		agent_kill();
		close(fd);
		agent_start();
		if (dm_disk_get(NAME, &disk, NULL) < 0)
			json_decref(good("disk.attach", ATTACH));
		disk_state("loaded");
		json_decref(good("disk.detach", NAMED));
	}
}

static void test_unknown_provider(void **state)
{
	_cleanup_free_ char *table = table_line();

	(void)state;
	agent_stop();
	assert_int_equal(rename(in_dir("state/providers"), in_dir("away")), 0);
	agent_start();
	bad("disk.attach", ATTACH, 3, "unavailable");
	assert_int_not_equal(RUN("dmsetup", "create", NAME, "--table", table), 0);
	agent_stop();
	assert_int_equal(rmdir(in_dir("state/providers")), 0);
	assert_int_equal(rename(in_dir("away"), in_dir("state/providers")), 0);
	agent_start();
	json_decref(good("disk.attach", ATTACH));
	json_decref(good("disk.detach", NAMED));
}

/* A disk that does not answer holds up its own key and nothing else. */
static void test_device_that_hangs(void **state)
{
	_cleanup_free_ char *table = table_line();
	_cleanup_free_ char *slow = NULL;
	char *device = strstr(table, DEVICE);
	time_t began;

	(void)state;
	assert_non_null(device);
	*device = '\0';
	assert_true(asprintf(&slow, "%s/dev/mapper/slow%s", table, device + strlen(DEVICE)) > 0);
	*device = '/';
	assert_int_equal(RUN("dmsetup", "create", "slow", "--table", "0 65536 linear " DEVICE " 0"), 0);
	assert_int_equal(RUN("dmsetup", "suspend", "--noflush", "--nolockfs", "slow"), 0);
	/* Where no udev runs, dmsetup makes nodes when it is told to. */
	assert_int_equal(RUN("dmsetup", "mknodes"), 0);
	began = time(NULL);
	/* Rejected when the deadline of a key request is over. */
	assert_int_not_equal(RUN("dmsetup", "create", NAME, "--table", slow), 0);
	assert_in_range(time(NULL) - began, KEY_DEADLINE_S - 1, KEY_DEADLINE_S + 10);
	json_decref(good("status", ""));
	/* At once, now that this device is known to hang. */
	began = time(NULL);
	assert_int_not_equal(RUN("dmsetup", "create", NAME, "--table", slow), 0);
	assert_in_range(time(NULL) - began, 0, KEY_DEADLINE_S - 2);
	assert_int_equal(RUN("dmsetup", "create", NAME, "--table", table), 0);
	assert_int_equal(RUN("dmsetup", "remove", NAME), 0);
	assert_int_equal(RUN("dmsetup", "resume", "slow"), 0);
	usleep(500000);
	assert_int_equal(RUN("dmsetup", "create", NAME, "--table", slow), 0);
	assert_int_equal(RUN("dmsetup", "remove", NAME), 0);
	assert_int_equal(RUN("dmsetup", "remove", "--retry", "slow"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_attach_and_detach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unlock_brings_io_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_takes_up_what_is_pending, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attached_at_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leftover_is_cleared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_attaching, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_provider, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_that_hangs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
