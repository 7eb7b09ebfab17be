// SPDX-License-Identifier: LGPL-2.1-or-later
/* Suspend, resume and reload, at rest and under load; events of disks. */
#include <linux/fs.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sys/sysmacros.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(16 * MIB)
#define ROUNDS	100

FIXTURE(suspend) {
	struct nl nl;
	struct vdisk v;
};

FIXTURE_SETUP(suspend)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, vdisk_new(&self->v, &self->nl, "suspend", SIZE, 64, ""));
}

FIXTURE_TEARDOWN(suspend)
{
	vdisk_free(&self->v);
	test_end(&self->nl);
}

struct load {
	pthread_t thread;
	int fd;
	unsigned int index, rounds;
	volatile bool *stop;
	int result;
};

/* writes and checks its own megabyte until told to stop */
static void *run_load(void *arg)
{
	struct load *l = arg;
	uint8_t *p = buffer(256 * KIB), *q = buffer(256 * KIB);

	while (!*l->stop && !l->result) {
		const uint64_t at = (l->index * 4 + l->rounds % 4) * 256 * KIB;

		fill(p, 256 * KIB, l->index * 1000 + l->rounds++);
		l->result = write_all(l->fd, p, 256 * KIB, at);
		if (!l->result)
			l->result = read_all(l->fd, q, 256 * KIB, at);
		if (!l->result && memcmp(p, q, 256 * KIB))
			l->result = -EBADMSG;
	}
	return NULL;
}

/* @change runs ROUNDS times while four threads write and check */
static int under_load(FIXTURE_DATA(suspend) *self, int (*change)(FIXTURE_DATA(suspend) *self, int round))
{
	struct load l[4];
	volatile bool stop = false;
	unsigned int rounds = 0;
	int r = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		l[i] = (struct load){ .fd = self->v.fd, .index = i, .stop = &stop };
		if (pthread_create(&l[i].thread, NULL, run_load, &l[i]))
			abort();
	}
	for (int i = 0; i < ROUNDS && !r; i++)
		r = change(self, i);
	stop = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		pthread_join(l[i].thread, NULL);
		rounds += l[i].rounds;
		if (!r)
			r = l[i].result;
	}
	return r ? r : rounds < ARRAY_SIZE(l) ? -EIO : 0;
}

static int suspend_resume(FIXTURE_DATA(suspend) *self, int round)
{
	int r = dm_suspend(self->v.name, DMF_NOLOCKFS | (round & 1 ? DMF_NOFLUSH : 0));

	return r ? r : dm_resume(self->v.name);
}

TEST_F_TIMEOUT(suspend, under_load, 90)
{
	ASSERT_EQ(0, under_load(self, suspend_resume));
}

static int reload_same(FIXTURE_DATA(suspend) *self, int round)
{
	char table[512];

	vdisk_line(&self->v, table, sizeof(table));
	return dm_swap(self->v.name, table, DMF_NOLOCKFS | (round & 1 ? DMF_NOFLUSH : 0));
}

TEST_F_TIMEOUT(suspend, reload_under_load, 90)
{
	ASSERT_EQ(0, under_load(self, reload_same));
	ASSERT_EQ(1, key_targets(&self->nl, self->v.dek.uuid));
}

/* I/O sent while suspended waits, and goes on with the resume */
TEST_F(suspend, io_waits)
{
	uint8_t *p = buffer(4096), *q = buffer(4096);
	struct ring ring;
	int result;

	fill(p, 4096, 1);
	ASSERT_EQ(0, ring_open(&ring, 8, false));
	ASSERT_EQ(0, dm_suspend(self->v.name, 0));
	ASSERT_EQ(0, ring_rw(&ring, true, self->v.fd, p, 4096, 0, 0, 1));
	ASSERT_EQ(-ETIME, ring_wait(&ring, 300, NULL, &result));
	ASSERT_EQ(0, dm_resume(self->v.name));
	ASSERT_EQ(0, ring_wait(&ring, 5000, NULL, &result));
	ASSERT_EQ(4096, result);
	ASSERT_EQ(0, read_all(self->v.fd, q, 4096, 0));
	ASSERT_EQ(0, memcmp(p, q, 4096));
	ring_close(&ring);
}

TEST_F(suspend, reload_to_a_new_dek)
{
	struct line l = { .length = SIZE / SECTOR, .device = self->v.below.node };
	uint8_t *p = buffer(4096), *q = buffer(4096);
	struct dek dek;
	char table[256];

	fill(p, 4096, 2);
	ASSERT_EQ(0, write_all(self->v.fd, p, 4096, 0));
	dek_random(&dek, 32);
	ASSERT_EQ(0, key_set(&self->nl, &dek));
	l.uuid = dek.text;
	line_print(&l, table, sizeof(table));
	ASSERT_EQ(0, dm_load(self->v.name, table, 0));
	ASSERT_EQ(1, key_targets(&self->nl, self->v.dek.uuid));
	ASSERT_EQ(1, key_targets(&self->nl, dek.uuid));
	ASSERT_EQ(0, dm_suspend(self->v.name, 0));
	ASSERT_EQ(0, dm_resume(self->v.name));
	/* the old table is gone, and its key with it */
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, self->v.dek.uuid));
	ASSERT_EQ(0, read_all(self->v.fd, q, 4096, 0));
	ASSERT_NE(0, memcmp(p, q, 4096));
	ASSERT_EQ(0, write_all(self->v.fd, p, 4096, 0));
	ASSERT_EQ(0, read_all(self->v.below.raw, q, 4096, 0));
	ASSERT_EQ(0, xts(&dek, false, 0, 1, 512, q, q, 4096));
	ASSERT_EQ(0, memcmp(p, q, 4096));
}

TEST_F(suspend, loaded_table_dropped)
{
	struct line l = { .length = SIZE / SECTOR, .device = self->v.below.node };
	struct dek dek;
	char table[256];

	dek_random(&dek, 64);
	ASSERT_EQ(0, key_set(&self->nl, &dek));
	l.uuid = dek.text;
	line_print(&l, table, sizeof(table));
	ASSERT_EQ(0, dm_load(self->v.name, table, 0));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, dek.uuid));
	/* a table loaded over it takes its place */
	vdisk_line(&self->v, table, sizeof(table));
	ASSERT_EQ(0, dm_load(self->v.name, table, 0));
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, dek.uuid));
	ASSERT_EQ(2, key_targets(&self->nl, self->v.dek.uuid));
}

TEST_F(suspend, reload_to_another_size)
{
	struct line l = { .uuid = self->v.dek.text, .device = self->v.below.node };
	static const uint64_t sizes[] = { SIZE / 2, SIZE / 4, SIZE };
	uint8_t *p = buffer(4096), *q = buffer(4096);
	char table[256];
	uint64_t n = 0;

	fill(p, 4096, 3);
	ASSERT_EQ(0, write_all(self->v.fd, p, 4096, 8192));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		l.length = sizes[i] / SECTOR;
		line_print(&l, table, sizeof(table));
		ASSERT_EQ(0, dm_swap(self->v.name, table, 0));
		ASSERT_EQ(0, ioctl(self->v.fd, BLKGETSIZE64, &n));
		ASSERT_EQ(sizes[i], n);
		ASSERT_EQ(0, read_all(self->v.fd, q, 4096, 8192));
		ASSERT_EQ(0, memcmp(p, q, 4096));
	}
}

TEST_F(suspend, reload_to_another_device)
{
	struct line l = { .length = SIZE / SECTOR, .uuid = self->v.dek.text };
	uint8_t *p = buffer(4096), *q = buffer(4096);
	struct disk other;
	char table[256];

	ASSERT_EQ(0, loop_new(&other, SIZE, 512, 0));
	fill(p, 4096, 4);
	ASSERT_EQ(0, write_all(self->v.fd, p, 4096, 0));
	ASSERT_EQ(0, read_all(self->v.below.raw, q, 4096, 0));
	ASSERT_EQ(0, write_all(other.raw, q, 4096, 8192));
	l.device = other.node;
	line_print(&l, table, sizeof(table));
	ASSERT_EQ(0, dm_swap(self->v.name, table, 0));
	/* what was sector 0 is sector 16 now, under another IV */
	ASSERT_EQ(0, read_all(self->v.fd, q, 4096, 8192));
	ASSERT_NE(0, memcmp(p, q, 4096));
	ASSERT_EQ(0, write_all(self->v.fd, p, 4096, 0));
	ASSERT_EQ(0, read_all(other.raw, q, 4096, 0));
	ASSERT_EQ(0, xts(&self->v.dek, false, 0, 1, 512, q, q, 4096));
	ASSERT_EQ(0, memcmp(p, q, 4096));
	close(self->v.fd);
	self->v.fd = -1;
	ASSERT_EQ(0, dm_remove(self->v.name));
	disk_free(&other);
}

TEST_F(suspend, unload_is_refused)
{
	ASSERT_GT(0, module_unload());
	ASSERT_TRUE(module_loaded());
	/* a table that is only loaded counts too */
	close(self->v.fd);
	self->v.fd = -1;
	ASSERT_EQ(0, dm_remove(self->v.name));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	{
		char table[512];
		unsigned int minor;

		vdisk_line(&self->v, table, sizeof(table));
		ASSERT_EQ(0, dm_new("vt-idle", &minor));
		ASSERT_EQ(0, dm_load("vt-idle", table, 0));
	}
	ASSERT_GT(0, module_unload());
	ASSERT_EQ(0, dm_remove("vt-idle"));
}

TEST_F(suspend, removal_of_an_open_disk_is_refused)
{
	ASSERT_EQ(-EBUSY, dm_remove(self->v.name));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, self->v.dek.uuid));
}

static void take_disk(const struct answer *a, void *arg)
{
	unsigned int *n = arg;

	if (a->attr[A_NAME].data && !strcmp((const char *)a->attr[A_NAME].data, "vt-suspend"))
		++*n;
}

/* DISK_GET: every field, while the disk lives, and never after */
TEST_F(suspend, disk_get)
{
	static struct answer a;
	uint8_t *p = buffer(4096);
	unsigned int n = 0;
	struct msg m;
	struct stat st;

	ASSERT_EQ(0, write_all(self->v.fd, p, 4096, 0));
	ASSERT_EQ(0, read_all(self->v.fd, p, 4096, 0));
	ASSERT_EQ(0, read_all(self->v.fd, p, 4096, 0));
	ASSERT_EQ(0, fstat(self->v.fd, &st));
	ASSERT_EQ(0, disk_get(&self->nl, "vt-suspend", &a));
	ASSERT_EQ(CMD_DISK_GET, a.cmd);
	ASSERT_EQ(0, a.strange);
	ASSERT_NE(NULL, a.attr[A_NAME].data);
	EXPECT_STREQ("vt-suspend", (const char *)a.attr[A_NAME].data);
	EXPECT_EQ(strlen("vt-suspend") + 1, a.attr[A_NAME].size);
	EXPECT_EQ(major(st.st_rdev), get_u32(&a, A_MAJOR));
	EXPECT_EQ(minor(st.st_rdev), get_u32(&a, A_MINOR));
	ASSERT_TRUE(has_attr(&a, A_DEK, UUID_LEN));
	EXPECT_EQ(0, memcmp(self->v.dek.uuid, a.attr[A_DEK].data, UUID_LEN));
	EXPECT_EQ(KEY_LOADED, get_u32(&a, A_STATE));
	EXPECT_EQ(512, get_u32(&a, A_SECTOR_SIZE));
	EXPECT_EQ(SIZE / SECTOR, get_u64(&a, A_SECTORS));
	EXPECT_EQ(0, get_u32(&a, A_INFLIGHT));
	EXPECT_EQ(0, get_u32(&a, A_QUEUED));
	EXPECT_EQ(2, get_u64(&a, A_READS));
	EXPECT_EQ(1, get_u64(&a, A_WRITES));
	EXPECT_EQ(0, get_u64(&a, A_ERRORS));
	msg_begin(&self->nl, &m, CMD_DISK_GET, NLM_F_DUMP);
	ASSERT_EQ(0, nl_dump(&self->nl, &m, &a, take_disk, &n));
	EXPECT_EQ(1, n);
	close(self->v.fd);
	self->v.fd = -1;
	ASSERT_EQ(0, dm_remove(self->v.name));
	ASSERT_EQ(-ENOENT, disk_get(&self->nl, "vt-suspend", &a));
	EXPECT_NE(0, strlen(a.text));
}

/* several targets of one table: an entry each, in its order */
static void take_sectors(const struct answer *a, void *arg)
{
	uint64_t *order = arg;

	if (a->attr[A_NAME].data && !strcmp((const char *)a->attr[A_NAME].data, "vt-several"))
		*order = *order * 100 + get_u64(a, A_SECTORS);
}

TEST_F(suspend, disk_get_several_targets)
{
	static struct answer a;
	char table[1024] = "";
	uint64_t order = 0;
	unsigned int minor;
	struct msg m;

	for (int i = 0, start = 0; i < 3; start += 16 + 8 * i, i++)
		snprintf(table + strlen(table), sizeof(table) - strlen(table),
			 "%d %d vmcrypt aes-xts-plain64 %s 0 %s 0\n", start, 16 + 8 * i, self->v.dek.text,
			 self->v.below.node);
	ASSERT_EQ(0, dm_make("vt-several", table, 0, &minor));
	msg_begin(&self->nl, &m, CMD_DISK_GET, NLM_F_DUMP);
	ASSERT_EQ(0, nl_dump(&self->nl, &m, &a, take_sectors, &order));
	ASSERT_EQ(162432, order);
	ASSERT_EQ(0, disk_get(&self->nl, "vt-several", &a));
	ASSERT_EQ(16, get_u64(&a, A_SECTORS));
	ASSERT_EQ(4, key_targets(&self->nl, self->v.dek.uuid));
}

/* a disk goes by the name that it has now */
TEST_F(suspend, renamed)
{
	static struct answer a;
	struct nl events;

	ASSERT_EQ(0, nl_open(&events));
	ASSERT_EQ(0, nl_join(&events, events.events));
	ASSERT_EQ(0, dm_rename("vt-suspend", "vt-other"));
	EXPECT_EQ(0, disk_get(&self->nl, "vt-other", &a));
	EXPECT_EQ(-ENOENT, disk_get(&self->nl, "vt-suspend", &a));
	EXPECT_EQ(0, key_wipe(&self->nl, self->v.dek.uuid, WIPE_FORCE));
	EXPECT_EQ(0, nl_expect(&events, CMD_DISK_CHANGED, self->v.dek.uuid, KEY_LOCKED, 2000, &a));
	EXPECT_STREQ("vt-other", (const char *)a.attr[A_NAME].data);
	EXPECT_EQ(0, dm_rename("vt-other", "vt-suspend"));
	EXPECT_EQ(0, key_set(&self->nl, &self->v.dek));
	nl_close(&events);
}

/* device-mapper allows 127 bytes, and so must everything that tells a name */
TEST_F(suspend, longest_name)
{
	static struct answer a;
	char name[NAME_LEN_MAX + 1] = DM_TEST_PREFIX;
	char table[512];
	unsigned int minor;

	memset(name + strlen(name), 'x', NAME_LEN_MAX - strlen(name));
	vdisk_line(&self->v, table, sizeof(table));
	ASSERT_EQ(0, dm_make(name, table, 0, &minor));
	EXPECT_EQ(0, disk_get(&self->nl, name, &a));
	ASSERT_NE(NULL, a.attr[A_NAME].data);
	EXPECT_STREQ(name, (const char *)a.attr[A_NAME].data);
	EXPECT_EQ(minor, get_u32(&a, A_MINOR));
	EXPECT_EQ(0, dm_remove(name));
}

TEST_F(suspend, disk_events)
{
	static struct answer a;
	struct nl events;
	struct dek dek;
	char table[256];
	unsigned int minor;
	const struct line l = { .length = 2048, .uuid = dek.text, .device = self->v.below.node };

	ASSERT_EQ(0, nl_open(&events));
	ASSERT_EQ(0, nl_join(&events, events.events));
	dek_random(&dek, 64);
	ASSERT_EQ(0, key_set(&self->nl, &dek));
	ASSERT_EQ(0, nl_expect(&events, CMD_KEY_CHANGED, dek.uuid, KEY_LOADED, 2000, &a));
	line_print(&l, table, sizeof(table));
	ASSERT_EQ(0, dm_make("vt-events", table, 0, &minor));
	ASSERT_EQ(0, nl_expect(&events, CMD_DISK_CHANGED, dek.uuid, KEY_LOADED, 2000, &a));
	EXPECT_STREQ("vt-events", (const char *)a.attr[A_NAME].data);
	ASSERT_EQ(0, key_wipe(&self->nl, dek.uuid, WIPE_FORCE));
	ASSERT_EQ(0, nl_expect(&events, CMD_DISK_CHANGED, dek.uuid, KEY_LOCKED, 2000, &a));
	EXPECT_STREQ("vt-events", (const char *)a.attr[A_NAME].data);
	ASSERT_EQ(0, key_set(&self->nl, &dek));
	ASSERT_EQ(0, nl_expect(&events, CMD_DISK_CHANGED, dek.uuid, KEY_LOADED, 2000, &a));
	ASSERT_EQ(0, dm_remove("vt-events"));
	ASSERT_EQ(0, nl_expect(&events, CMD_DISK_CHANGED, dek.uuid, KEY_ABSENT, 2000, &a));
	EXPECT_STREQ("vt-events", (const char *)a.attr[A_NAME].data);
	nl_close(&events);
}

TEST_HARNESS_MAIN
