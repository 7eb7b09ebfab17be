// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a mapped device says of itself and what it lets through: queue limits,
 * misaligned I/O, discard, zeroing, ioctls, flush and FUA, zoned and read-only
 * devices.
 */
#include <linux/fs.h>
#include <linux/loop.h>
#include <scsi/sg.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(16 * MIB)

FIXTURE(limits) {
	struct nl nl;
	struct vdisk v;
};

FIXTURE_VARIANT(limits) {
	unsigned int sector_size;
	const char *options;
};

FIXTURE_VARIANT_ADD(limits, s512) {
	.sector_size = 512, .options = "",
};

FIXTURE_VARIANT_ADD(limits, s1024) {
	.sector_size = 1024, .options = "1 sector_size:1024",
};

FIXTURE_VARIANT_ADD(limits, s4096) {
	.sector_size = 4096, .options = "1 sector_size:4096",
};

FIXTURE_SETUP(limits)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, vdisk_new(&self->v, &self->nl, "limits", SIZE, 64, variant->options));
}

FIXTURE_TEARDOWN(limits)
{
	vdisk_free(&self->v);
	test_end(&self->nl);
}

TEST_F(limits, queue)
{
	const uint64_t s = variant->sector_size;
	uint64_t v = 0;

	ASSERT_EQ(0, queue_limit(self->v.minor, "logical_block_size", &v));
	EXPECT_EQ(s, v);
	ASSERT_EQ(0, queue_limit(self->v.minor, "physical_block_size", &v));
	EXPECT_LE(s, v);
	ASSERT_EQ(0, queue_limit(self->v.minor, "minimum_io_size", &v));
	EXPECT_LE(s, v);
	EXPECT_EQ(0, v % s);
	ASSERT_EQ(0, queue_limit(self->v.minor, "write_zeroes_max_bytes", &v));
	EXPECT_EQ(0, v);
	ASSERT_EQ(0, queue_limit(self->v.minor, "discard_max_bytes", &v));
	EXPECT_EQ(0, v);
	if (!queue_limit(self->v.minor, "dma_alignment", &v)) {
		EXPECT_GE(s - 1, v);
	}
}

TEST_F(limits, sizes_by_ioctl)
{
	int logical = 0;
	unsigned int physical = 0;
	uint64_t size = 0;

	ASSERT_EQ(0, ioctl(self->v.fd, BLKSSZGET, &logical));
	ASSERT_EQ(variant->sector_size, logical);
	ASSERT_EQ(0, ioctl(self->v.fd, BLKPBSZGET, &physical));
	ASSERT_LE(variant->sector_size, physical);
	ASSERT_EQ(0, ioctl(self->v.fd, BLKGETSIZE64, &size));
	ASSERT_EQ(SIZE, size);
}

TEST_F(limits, misaligned)
{
	const size_t s = variant->sector_size;
	uint8_t *p = buffer(2 * s);

	EXPECT_EQ(-1, pwrite(self->v.fd, p, s / 2, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pwrite(self->v.fd, p, s, s / 2));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->v.fd, p, s + s / 2, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, pread(self->v.fd, p, s, 3 * s + s / 2));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, write_all(self->v.fd, p, s, s));
}

TEST_F(limits, discard_is_off)
{
	uint64_t range[2] = { 0, MIB };
	uint8_t *p = buffer(MIB), *q = buffer(MIB);

	fill(p, MIB, 1);
	ASSERT_EQ(0, write_all(self->v.fd, p, MIB, 0));
	ASSERT_EQ(-1, ioctl(self->v.fd, BLKDISCARD, range));
	ASSERT_EQ(EOPNOTSUPP, errno);
	ASSERT_EQ(-1, ioctl(self->v.fd, BLKSECDISCARD, range));
	ASSERT_EQ(EOPNOTSUPP, errno);
	ASSERT_EQ(0, read_all(self->v.fd, q, MIB, 0));
	ASSERT_EQ(0, memcmp(p, q, MIB));
}

/* zeroes are written as ciphertext of zeroes, never as zeroes of the device below */
TEST_F(limits, zeroing_is_writing)
{
	uint64_t range[2] = { 64 * KIB, MIB };
	uint8_t *p = buffer(MIB), *q = buffer(MIB), *raw = buffer(MIB);

	fill(p, MIB, 1);
	ASSERT_EQ(0, write_all(self->v.fd, p, MIB, 64 * KIB));
	ASSERT_EQ(0, ioctl(self->v.fd, BLKZEROOUT, range));
	ASSERT_EQ(0, read_all(self->v.fd, q, MIB, 64 * KIB));
	memset(p, 0, MIB);
	ASSERT_EQ(0, memcmp(p, q, MIB));
	ASSERT_EQ(0, xts(&self->v.dek, true, 128, variant->sector_size / SECTOR, variant->sector_size, p, q, MIB));
	ASSERT_EQ(0, read_all(self->v.below.raw, raw, MIB, 64 * KIB));
	ASSERT_EQ(0, memcmp(raw, q, MIB));
}

/* dm-linear shows that the ioctl is one that goes through where a target lets it */
TEST_F(limits, no_ioctl_passes)
{
	struct loop_info64 info;
	char table[128];
	unsigned int minor;
	int fd;

	snprintf(table, sizeof(table), "0 %llu linear %s 0", (unsigned long long)(SIZE / SECTOR),
		 self->v.below.node);
	ASSERT_EQ(0, dm_make("vt-linear", table, 0, &minor));
	fd = dm_open(minor, O_RDWR);
	ASSERT_EQ(0, ioctl(fd, LOOP_GET_STATUS64, &info));
	close(fd);
	ASSERT_EQ(-1, ioctl(self->v.fd, LOOP_GET_STATUS64, &info));
	ASSERT_EQ(ENOTTY, errno);
}

TEST_F(limits, no_scsi_command_passes)
{
	uint8_t inquiry[6] = { 0x12, 0, 0, 0, 96, 0 }, data[96];
	struct sg_io_hdr h = {
		.interface_id = 'S', .dxfer_direction = SG_DXFER_FROM_DEV, .cmd_len = 6, .cmdp = inquiry,
		.dxfer_len = sizeof(data), .dxferp = data, .timeout = 1000,
	};

	ASSERT_EQ(-1, ioctl(self->v.fd, SG_IO, &h));
	ASSERT_EQ(ENOTTY, errno);
}

FIXTURE(below) {
	struct nl nl;
	struct vdisk v;
};

FIXTURE_SETUP(below)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	self->v.fd = self->v.below.fd = self->v.below.raw = -1;
}

FIXTURE_TEARDOWN(below)
{
	vdisk_free(&self->v);
	test_end(&self->nl);
}

TEST_F(below, discard_passes_when_allowed)
{
	uint64_t range[2] = { MIB, MIB }, v = 0;
	uint8_t *p = buffer(3 * MIB), *raw = buffer(3 * MIB), *zero = buffer(MIB);

	ASSERT_EQ(0, vdisk_new(&self->v, &self->nl, "discard", SIZE, 64, "2 sector_size:4096 allow_discards"));
	ASSERT_EQ(0, queue_limit(self->v.minor, "discard_max_bytes", &v));
	EXPECT_LT(0, v);
	ASSERT_EQ(0, queue_limit(self->v.minor, "discard_granularity", &v));
	EXPECT_LE(4096, v);
	EXPECT_EQ(0, v % 4096);
	fill(p, 3 * MIB, 1);
	ASSERT_EQ(0, write_all(self->v.fd, p, 3 * MIB, 0));
	ASSERT_EQ(0, ioctl(self->v.fd, BLKDISCARD, range));
	ASSERT_EQ(0, read_all(self->v.below.raw, raw, 3 * MIB, 0));
	ASSERT_EQ(0, memcmp(raw + MIB, zero, MIB));
	/* around it nothing changed */
	ASSERT_EQ(0, read_all(self->v.fd, raw, MIB, 0));
	ASSERT_EQ(0, memcmp(raw, p, MIB));
	ASSERT_EQ(0, read_all(self->v.fd, raw, MIB, 2 * MIB));
	ASSERT_EQ(0, memcmp(raw, p + 2 * MIB, MIB));
	ASSERT_EQ(-1, ioctl(self->v.fd, BLKSECDISCARD, range));
	ASSERT_EQ(EOPNOTSUPP, errno);
}

/* flush, FUA and discard as dm-log-writes sees them arrive below */
#define LOG_FLUSH	1
#define LOG_FUA		2
#define LOG_DISCARD	4

struct log_entry {
	uint64_t sector, sectors, flags, length;
};

/* the flags of all entries about @sector (-1: any), or'ed; @flushes: how many had LOG_FLUSH */
static uint64_t log_flags(int fd, int64_t sector, unsigned int *flushes)
{
	uint8_t *block = buffer(512);
	struct log_entry e;
	uint64_t n, at = 512, flags = 0;

	*flushes = 0;
	if (read_all(fd, block, 512, 0))
		return 0;
	memcpy(&n, block + 16, sizeof(n));
	for (uint64_t i = 0; i < n && !read_all(fd, block, 512, at); i++) {
		memcpy(&e, block, sizeof(e));
		at += 512 + (e.flags & LOG_DISCARD ? 0 : e.sectors * 512);
		*flushes += !!(e.flags & LOG_FLUSH);
		if (sector < 0 || e.sector == (uint64_t)sector)
			flags |= e.flags;
	}
	free(block);
	return flags;
}

TEST_F(below, flush_and_fua_arrive)
{
	struct disk data, log;
	char table[256];
	uint64_t range[2] = { 2 * MIB, MIB };
	unsigned int minor, flushes;
	uint8_t *p = buffer(4096);
	struct iovec iov = { p, 4096 };

	ASSERT_EQ(0, loop_new(&data, SIZE, 512, 0));
	ASSERT_EQ(0, loop_new(&log, 4 * SIZE, 512, 0));
	snprintf(table, sizeof(table), "0 %llu log-writes %s %s", (unsigned long long)(SIZE / SECTOR), data.node,
		 log.node);
	ASSERT_EQ(0, dm_make("vt-log", table, 0, &minor));
	self->v.below.size = SIZE;
	snprintf(self->v.below.node, sizeof(self->v.below.node), "/dev/dm-%u", minor);
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "flush", 64, "1 allow_discards"));
	ASSERT_EQ(0, write_all(self->v.fd, p, 4096, 0));
	ASSERT_EQ(0, fsync(self->v.fd));
	ASSERT_EQ(4096, pwritev2(self->v.fd, &iov, 1, 64 * KIB, RWF_DSYNC));
	ASSERT_EQ(0, ioctl(self->v.fd, BLKDISCARD, range));
	close(self->v.fd);
	self->v.fd = -1;
	ASSERT_EQ(0, dm_remove(self->v.name));
	ASSERT_EQ(0, dm_remove("vt-log"));
	EXPECT_EQ(0, log_flags(log.raw, 0, &flushes) & LOG_FUA);
	EXPECT_LE(1, flushes);
	/* on its way as FUA, or as a write with a flush after it: durable either way */
	EXPECT_TRUE(log_flags(log.raw, 128, &flushes) & LOG_FUA || flushes >= 2);
	EXPECT_EQ(LOG_DISCARD, log_flags(log.raw, 2 * MIB / SECTOR, &flushes) & LOG_DISCARD);
	disk_free(&data);
	disk_free(&log);
}

TEST_F(below, write_cache_shows)
{
	struct disk *d = &self->v.below;
	char text[32];
	char path[64];

	ASSERT_EQ(0, nullb_new(d, "cache", SIZE, "memory_backed=1 cache_size=1"));
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "cache", 64, ""));
	snprintf(path, sizeof(path), "/sys/block/dm-%u/queue/write_cache", self->v.minor);
	ASSERT_EQ(0, file_read(path, text, sizeof(text)));
	ASSERT_STREQ("write back", text);
	snprintf(path, sizeof(path), "/sys/block/dm-%u/queue/fua", self->v.minor);
	ASSERT_EQ(0, file_read(path, text, sizeof(text)));
	ASSERT_STREQ("1", text);
	ASSERT_EQ(0, fsync(self->v.fd));
}

TEST_F(below, zoned_is_refused)
{
	int kmsg = kmsg_open();

	ASSERT_EQ(0, nullb_new(&self->v.below, "zoned", 64 * MIB, "memory_backed=1 zoned=1 zone_size=4"));
	ASSERT_EQ(-EINVAL, vdisk_over(&self->v, &self->nl, "zoned", 64, ""));
	ASSERT_TRUE(kmsg_find(kmsg, "zoned"));
	close(kmsg);
}

TEST_F(below, read_only)
{
	struct vdisk *v = &self->v;
	uint8_t *p = buffer(4096), *q = buffer(4096);
	char table[512];

	ASSERT_EQ(0, vdisk_new(v, &self->nl, "ro", SIZE, 64, ""));
	fill(p, 4096, 6);
	ASSERT_EQ(0, write_all(v->fd, p, 4096, 0));
	close(v->fd);
	v->fd = -1;
	vdisk_line(v, table, sizeof(table));
	ASSERT_EQ(0, dm_remove(v->name));
	ASSERT_EQ(0, key_set(&self->nl, &v->dek));
	ASSERT_EQ(0, dm_make(v->name, table, DMF_READONLY, &v->minor));
	v->fd = dm_open(v->minor, O_RDWR | O_DIRECT);
	if (v->fd >= 0) {
		ASSERT_EQ(-1, pwrite(v->fd, q, 4096, 0));
		ASSERT_EQ(EPERM, errno);
		close(v->fd);
	}
	v->fd = dm_open(v->minor, O_RDONLY | O_DIRECT);
	ASSERT_LE(0, v->fd);
	ASSERT_EQ(0, read_all(v->fd, q, 4096, 0));
	ASSERT_EQ(0, memcmp(p, q, 4096));
}

TEST_F(below, read_only_device)
{
	struct vdisk *v = &self->v;
	char table[512];

	ASSERT_EQ(0, loop_new(&v->below, SIZE, 512, LOOP_RO));
	dek_random(&v->dek, 64);
	v->options = "";
	snprintf(v->name, sizeof(v->name), "vt-ro");
	vdisk_line(v, table, sizeof(table));
	ASSERT_EQ(0, key_set(&self->nl, &v->dek));
	ASSERT_EQ(0, dm_make(v->name, table, DMF_READONLY, &v->minor));
	v->fd = dm_open(v->minor, O_RDONLY | O_DIRECT);
	ASSERT_LE(0, v->fd);
	ASSERT_EQ(0, read_all(v->fd, buffer(4096), 4096, 0));
}

/* a disk of 4096-byte sectors: a table of 512 takes its limits from below */
TEST_F(below, stacks_on_4096)
{
	uint64_t v = 0;
	uint8_t *p = buffer(8192);

	ASSERT_EQ(0, loop_new(&self->v.below, SIZE, 4096, 0));
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "4k", 64, ""));
	ASSERT_EQ(0, queue_limit(self->v.minor, "logical_block_size", &v));
	ASSERT_EQ(4096, v);
	ASSERT_EQ(0, write_all(self->v.fd, p, 8192, 4096));
	ASSERT_EQ(-1, pwrite(self->v.fd, p, 512, 0));
	ASSERT_EQ(EINVAL, errno);
}

/* device-mapper checks a table against the devices it can iterate over */
TEST_F(below, larger_than_the_device)
{
	struct line l = { .length = SIZE / SECTOR, .offset = 8 };
	struct vdisk *v = &self->v;
	char table[256];

	ASSERT_EQ(0, loop_new(&v->below, SIZE, 512, 0));
	dek_random(&v->dek, 64);
	ASSERT_EQ(0, key_set(&self->nl, &v->dek));
	l.uuid = v->dek.text;
	l.device = v->below.node;
	line_print(&l, table, sizeof(table));
	ASSERT_EQ(-EINVAL, dm_make("vt-large", table, 0, &v->minor));
}

/* dm-linear on top hands the limits on */
TEST_F(below, stacks_under_linear)
{
	char table[128];
	unsigned int minor;
	uint64_t v = 0;

	ASSERT_EQ(0, vdisk_new(&self->v, &self->nl, "under", SIZE, 64, "1 sector_size:4096"));
	snprintf(table, sizeof(table), "0 %llu linear /dev/dm-%u 0", (unsigned long long)(SIZE / SECTOR),
		 self->v.minor);
	ASSERT_EQ(0, dm_make("vt-linear", table, 0, &minor));
	ASSERT_EQ(0, queue_limit(minor, "logical_block_size", &v));
	ASSERT_EQ(4096, v);
	ASSERT_EQ(0, dm_remove("vt-linear"));
}

TEST_HARNESS_MAIN
