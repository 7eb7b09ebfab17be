// SPDX-License-Identifier: LGPL-2.1-or-later
/* Small stress: memory pressure with swap on the device, many disks, many rounds. */
#include <linux/netlink.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/swap.h>

#include "kselftest_harness.h"
#include "lib.h"

FIXTURE(stress) {
	struct nl nl;
};

FIXTURE_SETUP(stress)
{
	ASSERT_EQ(0, test_begin(&self->nl));
}

FIXTURE_TEARDOWN(stress)
{
	test_end(&self->nl);
}

/* unreclaimable slab and vmalloc, KiB: what a leak in the module would grow */
static uint64_t kernel_memory(void)
{
	static char text[16384];
	const char *slab, *vmalloc;

	if (file_read("/proc/meminfo", text, sizeof(text)))
		return 0;
	slab = strstr(text, "SUnreclaim:");
	vmalloc = strstr(text, "VmallocUsed:");
	return (slab ? strtoull(slab + 11, NULL, 10) : 0) + (vmalloc ? strtoull(vmalloc + 12, NULL, 10) : 0);
}

static int set_and_wipe(struct nl *nl, int rounds)
{
	struct dek dek;

	for (int i = 0; i < rounds; i++) {
		int r;

		dek_random(&dek, i & 1 ? 64 : 32);
		r = key_set(nl, &dek);
		if (!r)
			r = key_wipe(nl, dek.uuid, 0);
		if (!r)
			r = key_wait(nl, dek.uuid, KEY_ABSENT, 5000);
		if (r)
			return r;
	}
	return 0;
}

#define QUARANTINED	"freed memory waits in KASAN's quarantine: kmemleak looks for leaks here"

static bool is_quarantined(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

TEST_F_TIMEOUT(stress, thousand_keys_leave_nothing, 90)
{
	uint64_t before, after;

	if (is_quarantined())
		SKIP(return, QUARANTINED);
	ASSERT_EQ(0, set_and_wipe(&self->nl, 100));
	sleep_ms(300);
	before = kernel_memory();
	ASSERT_EQ(0, set_and_wipe(&self->nl, 1000));
	ASSERT_EQ(0, key_count(&self->nl));
	sleep_ms(300);
	after = kernel_memory();
	/* a key schedule alone is 1 KiB and more: 1000 of them would show */
	ASSERT_GT(before + 768, after)
		TH_LOG("%llu KiB before, %llu KiB after", (unsigned long long)before, (unsigned long long)after);
}

static int add_and_remove(struct nl *nl, const struct disk *d, int rounds)
{
	struct dek dek;
	struct line l = { .length = 2048, .uuid = dek.text, .device = d->node };
	uint8_t *p = buffer(64 * KIB);
	char table[256];

	for (int i = 0; i < rounds; i++) {
		unsigned int minor;
		int fd, r;

		dek_random(&dek, 64);
		r = key_set(nl, &dek);
		line_print(&l, table, sizeof(table));
		if (!r)
			r = dm_make("vt-stress", table, 0, &minor);
		if (r)
			return r;
		fd = dm_open(minor, O_RDWR | O_DIRECT);
		r = fd < 0 ? fd : write_all(fd, p, 64 * KIB, 0);
		close(fd);
		if (!r)
			r = dm_remove("vt-stress");
		if (r)
			return r;
	}
	free(p);
	return 0;
}

TEST_F_TIMEOUT(stress, disks_leave_nothing, 90)
{
	uint64_t before, after;
	struct disk d;

	if (is_quarantined())
		SKIP(return, QUARANTINED);
	ASSERT_EQ(0, loop_new(&d, MIB, 512, 0));
	ASSERT_EQ(0, add_and_remove(&self->nl, &d, 10));
	sleep_ms(300);
	before = kernel_memory();
	ASSERT_EQ(0, add_and_remove(&self->nl, &d, 40));
	sleep_ms(300);
	after = kernel_memory();
	ASSERT_GT(before + 4096, after)
		TH_LOG("%llu KiB before, %llu KiB after", (unsigned long long)before, (unsigned long long)after);
	disk_free(&d);
}

TEST_F_TIMEOUT(stress, hundred_disks, 90)
{
	enum { N = 100 };
	static struct dek dek[N];
	static unsigned int minor[N];
	static int fd[N];
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	char table[256], name[32];
	static struct answer a;
	struct disk d;
	struct msg m;

	ASSERT_EQ(0, loop_new(&d, N * MIB, 512, 0));
	for (int i = 0; i < N; i++) {
		const struct line l = { .length = MIB / SECTOR, .uuid = dek[i].text, .device = d.node,
					.offset = i * MIB / SECTOR };

		dek_random(&dek[i], 64);
		ASSERT_EQ(0, key_set(&self->nl, &dek[i]));
		snprintf(name, sizeof(name), "vt-many-%d", i);
		line_print(&l, table, sizeof(table));
		ASSERT_EQ(0, dm_make(name, table, 0, &minor[i]));
		fd[i] = dm_open(minor[i], O_RDWR | O_DIRECT);
		ASSERT_LE(0, fd[i]);
		fill(p, 64 * KIB, i);
		ASSERT_EQ(0, write_all(fd[i], p, 64 * KIB, 0));
	}
	msg_begin(&self->nl, &m, CMD_DISK_GET, NLM_F_DUMP);
	ASSERT_EQ(0, nl_call(&self->nl, &m, &a));
	ASSERT_EQ(N, a.messages);
	ASSERT_EQ(N, key_count(&self->nl));
	for (int i = 0; i < N; i++) {
		fill(p, 64 * KIB, i);
		ASSERT_EQ(0, read_all(fd[i], q, 64 * KIB, 0));
		ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
		close(fd[i]);
		snprintf(name, sizeof(name), "vt-many-%d", i);
		ASSERT_EQ(0, dm_remove(name));
	}
	ASSERT_EQ(0, key_count(&self->nl));
	disk_free(&d);
}

static volatile bool stop;

static void *dump_forever(void *arg)
{
	static struct answer a;
	unsigned long *dumps = arg;
	struct nl nl;

	if (nl_open(&nl))
		return NULL;
	while (!stop) {
		static const uint8_t cmds[] = { CMD_KEY_GET, CMD_DISK_GET, CMD_REQUEST_GET };
		struct msg m;

		for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
			msg_begin(&nl, &m, cmds[i], NLM_F_DUMP);
			if (nl_call(&nl, &m, &a))
				return NULL;
		}
		disk_get(&nl, "vt-stress", &a);
		++*dumps;
	}
	nl_close(&nl);
	return arg;
}

/* disks come and go while somebody reads the lists all the time */
TEST_F_TIMEOUT(stress, dumps_while_disks_come_and_go, 60)
{
	unsigned long dumps = 0;
	pthread_t thread;
	struct disk d;
	void *end;

	stop = false;
	ASSERT_EQ(0, loop_new(&d, MIB, 512, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, dump_forever, &dumps));
	ASSERT_EQ(0, add_and_remove(&self->nl, &d, 40));
	stop = true;
	pthread_join(thread, &end);
	ASSERT_EQ((void *)&dumps, end);
	ASSERT_LT(10, dumps);
	disk_free(&d);
}

/* more memory than a cgroup may have: its pages go out through the device and come back */
TEST_F_TIMEOUT(stress, swap_on_the_device, 120)
{
	const size_t used = 20 * MIB;
	char node[32], limit[32];
	const char *const mkswap[] = { "mkswap", "-f", node, NULL };
	struct status s;
	struct vdisk v;
	uint8_t *p, page[4096];

	ASSERT_EQ(0, nullb_new(&v.below, "swap", 48 * MIB, "memory_backed=1 irqmode=2 completion_nsec=20000"));
	ASSERT_EQ(0, vdisk_over(&v, &self->nl, "swap", 64, ""));
	snprintf(node, sizeof(node), "/dev/dm-%u", v.minor);
	ASSERT_EQ(0, run(mkswap));
	ASSERT_EQ(0, swapon(node, 0));
	if (access("/sys/fs/cgroup/cgroup.procs", F_OK)) {
		ASSERT_EQ(0, mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL));
	}
	ASSERT_EQ(0, file_write("/sys/fs/cgroup/cgroup.subtree_control", "+memory"));
	mkdir("/sys/fs/cgroup/vt-swap", 0755);
	snprintf(limit, sizeof(limit), "%llu", 10 * MIB);
	ASSERT_EQ(0, file_write("/sys/fs/cgroup/vt-swap/memory.max", limit));
	ASSERT_EQ(0, file_write("/sys/fs/cgroup/vt-swap/cgroup.procs", "0"));
	p = mmap(NULL, used, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	for (int round = 0; round < 2; round++) {
		for (size_t at = 0; at < used; at += 4096)
			fill(p + at, 4096, at + round);
		for (size_t at = 0; at < used; at += 4096) {
			fill(page, 4096, at + round);
			ASSERT_EQ(0, memcmp(p + at, page, 4096));
		}
	}
	munmap(p, used);
	ASSERT_EQ(0, file_write("/sys/fs/cgroup/cgroup.procs", "0"));
	ASSERT_EQ(0, dm_counters(v.name, &s));
	EXPECT_LT(1000, s.writes + s.reads);
	EXPECT_EQ(0, s.errors);
	ASSERT_EQ(0, swapoff(node));
	rmdir("/sys/fs/cgroup/vt-swap");
	vdisk_free(&v);
}

/* a file system that is in use while its key goes and comes */
TEST_F_TIMEOUT(stress, file_system_while_the_key_goes, 60)
{
	static const char *const file = "/tmp/vt-mount/file";
	char node[32];
	const char *const mkfs[] = { "mkfs.ext4", "-q", "-F", node, NULL };
	static const char *const load[] = { "modprobe", "-q", "ext4", NULL };
	const char *const fsck[] = { "e2fsck", "-f", "-n", node, NULL };
	uint8_t *p = buffer(2 * MIB), *q = buffer(2 * MIB);
	struct vdisk v;
	int fd;

	ASSERT_EQ(0, vdisk_new(&v, &self->nl, "fs", 32 * MIB, 64, ""));
	/* a kernel may be without BLK_DEV_WRITE_MOUNTED, and mount nothing that is open for writing */
	close(v.fd);
	v.fd = -1;
	snprintf(node, sizeof(node), "/dev/dm-%u", v.minor);
	ASSERT_EQ(0, run(mkfs));
	run(load);
	mkdir("/tmp/vt-mount", 0700);
	ASSERT_EQ(0, mount(node, "/tmp/vt-mount", "ext4", 0, NULL))
		TH_LOG("%s", strerror(errno));
	fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	for (int i = 0; i < 5; i++) {
		pid_t pid;

		fill(p, 2 * MIB, i);
		ASSERT_EQ(0, write_all(fd, p, 2 * MIB, 0));
		ASSERT_EQ(0, key_wipe(&self->nl, v.dek.uuid, WIPE_FORCE));
		pid = fork();
		if (!pid)
			_exit(fsync(fd) ? errno : 0);
		/* it waits for the key, and comes to its end with it */
		ASSERT_EQ(-ETIME, async_wait(pid, 100));
		ASSERT_EQ(0, key_set(&self->nl, &v.dek));
		ASSERT_EQ(0, async_wait(pid, 10000));
	}
	close(fd);
	ASSERT_EQ(0, umount("/tmp/vt-mount"));
	ASSERT_EQ(0, run(fsck));
	ASSERT_EQ(0, mount(node, "/tmp/vt-mount", "ext4", 0, NULL));
	fd = open(file, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, read_all(fd, q, 2 * MIB, 0));
	close(fd);
	ASSERT_EQ(0, umount("/tmp/vt-mount"));
	ASSERT_EQ(0, memcmp(p, q, 2 * MIB));
	vdisk_free(&v);
}

struct hand {
	pthread_t thread;
	const struct vdisk *v;
	int what, result;
	unsigned int rounds;
};

/* one of several that do the same things to one key at the same time */
static void *hand(void *arg)
{
	struct hand *h = arg;
	uint8_t *p = buffer(64 * KIB);
	struct nl nl;

	h->result = nl_open(&nl);
	while (!stop && !h->result) {
		int r = 0;

		if (h->what == 0)
			r = key_set(&nl, &h->v->dek);
		else if (h->what == 1)
			r = key_wipe(&nl, h->v->dek.uuid, WIPE_FORCE);
		else if (h->what == 2)
			r = key_state(&nl, h->v->dek.uuid);
		else
			r = write_all(h->v->fd, p, 64 * KIB, 0);
		/* EIO: its disk fails without the key */
		h->result = r >= 0 || r == -EIO || r == -EBUSY ? 0 : r;
		h->rounds++;
	}
	nl_close(&nl);
	free(p);
	return NULL;
}

TEST_F_TIMEOUT(stress, many_hands_on_one_key, 60)
{
	struct hand h[8];
	struct vdisk v;
	struct status s;

	stop = false;
	ASSERT_EQ(0, vdisk_new(&v, &self->nl, "hands", MIB, 64, "1 key_loss:error"));
	for (int i = 0; i < 8; i++) {
		h[i] = (struct hand){ .v = &v, .what = i % 4 };
		ASSERT_EQ(0, pthread_create(&h[i].thread, NULL, hand, &h[i]));
	}
	sleep_ms(3000);
	stop = true;
	for (int i = 0; i < 8; i++) {
		pthread_join(h[i].thread, NULL);
		EXPECT_EQ(0, h[i].result);
		EXPECT_LT(5, h[i].rounds);
	}
	ASSERT_EQ(0, key_set(&self->nl, &v.dek));
	ASSERT_EQ(0, write_all(v.fd, buffer(4096), 4096, 0));
	ASSERT_EQ(0, dm_counters(v.name, &s));
	EXPECT_EQ(0, s.inflight);
	EXPECT_EQ(0, s.queued);
	vdisk_free(&v);
}

/* a processor goes and comes under load: what it had in its stacks goes back */
TEST_F_TIMEOUT(stress, processor_goes_and_comes, 60)
{
	static const char *const path = "/sys/devices/system/cpu/cpu1/online";
	uint8_t *p = buffer(MIB), *q = buffer(MIB);
	struct vdisk v;

	ASSERT_EQ(0, access(path, W_OK))
		TH_LOG("this machine has one processor");
	ASSERT_EQ(0, vdisk_new(&v, &self->nl, "cpu", 8 * MIB, 64, ""));
	for (int i = 0; i < 6; i++) {
		ASSERT_EQ(0, file_write(path, i & 1 ? "1" : "0"));
		for (int j = 0; j < 6; j++) {
			fill(p, MIB, i * 10 + j);
			ASSERT_EQ(0, write_all(v.fd, p, MIB, j * MIB));
			ASSERT_EQ(0, read_all(v.fd, q, MIB, j * MIB));
			ASSERT_EQ(0, memcmp(p, q, MIB));
		}
	}
	vdisk_free(&v);
}

TEST_HARNESS_MAIN
