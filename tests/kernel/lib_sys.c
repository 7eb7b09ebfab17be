// SPDX-License-Identifier: LGPL-2.1-or-later
/* The module, the kernel log, sysfs, time, children. */
#include <linux/netlink.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "lib.h"

#define MODULE_NAME	"dm_vmcrypt"
#define PARAMETERS	"/sys/module/" MODULE_NAME "/parameters/"

/* the values of the design; a test that changed one may have died before it put it back */
static const struct {
	const char *path;
	const char *value;
} defaults[] = {
	{ PARAMETERS "request_timeout_ms", "30000" },
	{ PARAMETERS "preload_ttl_s", "60" },
	{ PARAMETERS "cipher_driver", "xts(aes)" },
};

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

unsigned int patience(void)
{
	const char *text = getenv("VMCRYPT_PATIENCE");
	const unsigned long factor = text ? strtoul(text, NULL, 10) : 1;

	return factor ? (unsigned int)factor : 1;
}

int patient_ms(int timeout_ms)
{
	return timeout_ms < 2000 ? timeout_ms : timeout_ms * (int)patience();
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

int file_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	while (n > 0 && buf[n - 1] == '\n')
		buf[--n] = 0;
	return 0;
}

int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

int sysfs_u64(const char *path, uint64_t *v)
{
	char text[64];
	int r = file_read(path, text, sizeof(text));

	if (!r)
		*v = strtoull(text, NULL, 0);
	return r;
}

int queue_limit(unsigned int dm_minor, const char *name, uint64_t *v)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/dm-%u/queue/%s", dm_minor, name);
	return sysfs_u64(path, v);
}

bool module_loaded(void)
{
	return !access("/sys/module/" MODULE_NAME, F_OK);
}

int module_load(const char *parameters)
{
	const char *path = getenv("VMCRYPT_MODULE");
	int fd = open(path ? path : "/lib/vmcrypt/dm-vmcrypt.ko", O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0) {
		const char *const argv[] = { "modprobe", "dm-vmcrypt", parameters, NULL };

		return path ? -errno : run(argv);
	}
	if (syscall(SYS_finit_module, fd, parameters ? parameters : "", 0))
		r = -errno;
	close(fd);
	return r;
}

int module_unload(void)
{
	return syscall(SYS_delete_module, MODULE_NAME, O_NONBLOCK) ? -errno : 0;
}

int module_reload(const char *parameters)
{
	int r = 0;

	/* what an earlier test let go of may still be on its way out */
	for (int i = 0; i < 100 && module_loaded(); i++) {
		r = module_unload();
		if (!r || (r != -EAGAIN && r != -EBUSY))
			break;
		sleep_ms(20);
	}
	if (module_loaded())
		return r ? r : -EBUSY;
	return module_load(parameters);
}

static bool as_designed(void)
{
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (file_read(defaults[i].path, text, sizeof(text)) || strcmp(text, defaults[i].value))
			return false;
	return true;
}

static void wipe_one(const struct answer *a, void *arg)
{
	uint8_t (*uuids)[UUID_LEN] = arg;

	if (has_attr(a, A_DEK, UUID_LEN) && a->messages <= 256)
		memcpy(uuids[a->messages - 1], a->attr[A_DEK].data, UUID_LEN);
}

/* keys that were loaded and never used */
static void keys_sweep(struct nl *nl)
{
	static uint8_t uuids[256][UUID_LEN];
	static struct answer a;
	struct msg m;

	/* a wipe only marks: until the last one is gone, they count */
	for (int round = 0; round < 200; round++) {
		msg_begin(nl, &m, CMD_KEY_GET, NLM_F_DUMP);
		if (nl_dump(nl, &m, &a, wipe_one, uuids) || !a.messages)
			return;
		for (unsigned int i = 0; i < a.messages && i < 256; i++)
			key_wipe(nl, uuids[i], WIPE_FORCE);
		sleep_ms(10);
	}
}

/* what the module depends on, for finit_module(2) does not look; and what tests use */
static void prepare(void)
{
	static const char *const names[] = {
		"dm-mod", "aesni-intel", "xts", "cryptd", "curve25519-x86_64", "libcurve25519",
		"libchacha20poly1305", "dm-crypt", "dm-delay", "dm-flakey", "dm-log-writes", "dm-snapshot",
		"dm-zero", "loop", "nlmon", "crc32c-generic", "ext4",
	};
	const char *const null_blk[] = { "modprobe", "-q", "null_blk", "nr_devices=0", NULL };

	if (!access("/sys/kernel/config/nullb", F_OK) && !access("/dev/loop-control", F_OK))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *const argv[] = { "modprobe", "-q", names[i], NULL };

		run(argv);
	}
	run(null_blk);
	mount("configfs", "/sys/kernel/config", "configfs", 0, NULL);
}

int test_begin(struct nl *nl)
{
	int r;

	/* a test must not outlive its program, which may be stopped for its time */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prepare();
	dm_sweep();
	nullb_sweep();
	if (!module_loaded() || !as_designed()) {
		r = module_reload(NULL);
		if (r) {
			fprintf(stderr, "# dm-vmcrypt.ko does not load: %s\n", strerror(-r));
			return r;
		}
	}
	r = nl_open(nl);
	if (r) {
		fprintf(stderr, "# no netlink family " FAMILY_NAME ": %s\n", strerror(-r));
		return r;
	}
	keys_sweep(nl);
	return 0;
}

void test_end(struct nl *nl)
{
	dm_sweep();
	nl_close(nl);
}

int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

size_t kmsg_read(int fd, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = 0;
	while (used + 1 < size) {
		char record[8192];
		ssize_t n = read(fd, record, sizeof(record) - 1);
		const char *text;

		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			break;
		record[n] = 0;
		text = strchr(record, ';');
		text = text ? text + 1 : record;
		n = snprintf(buf + used, size - used, "%s", text);
		used += n > 0 && (size_t)n < size - used ? (size_t)n : size - used - 1;
	}
	return used;
}

bool kmsg_find(int fd, const char *text)
{
	char buf[65536];

	kmsg_read(fd, buf, sizeof(buf));
	if (strstr(buf, text))
		return true;
	fprintf(stderr, "# the kernel log has no \"%s\" but:\n# %s\n", text, buf);
	return false;
}

/* a child's exit status is its errno; killed: ECANCELED */
static int child_result(int status)
{
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECANCELED;
}

int in_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-fn(arg));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return child_result(status);
}

int run(const char *const argv[])
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECANCELED;
}

pid_t dm_make_async(const char *name, const char *table)
{
	unsigned int minor;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(-dm_make(name, table, 0, &minor));
	return pid;
}

int async_wait(pid_t pid, int timeout_ms)
{
	const uint64_t end = now_ms() + (uint64_t)patient_ms(timeout_ms);
	int status;

	for (;;) {
		pid_t r = waitpid(pid, &status, WNOHANG);

		if (r < 0)
			return -errno;
		if (r == pid)
			return child_result(status);
		if (now_ms() > end)
			return -ETIME;
		sleep_ms(5);
	}
}
