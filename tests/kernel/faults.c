// SPDX-License-Identifier: LGPL-2.1-or-later
/* Errors of the device below reach the caller, and nothing else does. */
#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(8 * MIB)
#define HALF	(SIZE / 2)
#define BELOW	"vt-below"

FIXTURE(faults) {
	struct nl nl;
	struct disk disk;
	struct vdisk v;
};

FIXTURE_VARIANT(faults) {
	const char *options;
};

FIXTURE_VARIANT_ADD(faults, s512) {
	.options = "",
};

FIXTURE_VARIANT_ADD(faults, s4096) {
	.options = "1 sector_size:4096",
};

FIXTURE_SETUP(faults)
{
	char table[128];
	unsigned int minor;

	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, loop_new(&self->disk, SIZE, 512, 0));
	snprintf(table, sizeof(table), "0 %llu linear %s 0", SIZE / SECTOR, self->disk.node);
	ASSERT_EQ(0, dm_make(BELOW, table, 0, &minor));
	snprintf(self->v.below.node, sizeof(self->v.below.node), "/dev/dm-%u", minor);
	self->v.below.size = SIZE;
	self->v.below.raw = self->v.below.fd = -1;
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "faults", 64, variant->options));
}

FIXTURE_TEARDOWN(faults)
{
	vdisk_free(&self->v);
	test_end(&self->nl);
	disk_free(&self->disk);
}

/* the second half of the device below gives errors */
static int half_bad(FIXTURE_DATA(faults) *self)
{
	char table[256];

	snprintf(table, sizeof(table), "0 %llu linear %s 0\n%llu %llu error ", HALF / SECTOR, self->disk.node,
		 HALF / SECTOR, HALF / SECTOR);
	return dm_swap(BELOW, table, 0);
}

TEST_F(faults, read_error)
{
	uint8_t *p = buffer(MIB), *q = buffer(MIB);
	struct status s;

	fill(p, MIB, 1);
	ASSERT_EQ(0, write_all(self->v.fd, p, MIB, 0));
	ASSERT_EQ(0, write_all(self->v.fd, p, MIB, HALF));
	ASSERT_EQ(0, half_bad(self));
	ASSERT_EQ(-1, pread(self->v.fd, q, 4096, HALF));
	ASSERT_EQ(EIO, errno);
	ASSERT_EQ(-1, pread(self->v.fd, q, MIB, HALF));
	ASSERT_EQ(EIO, errno);
	ASSERT_EQ(0, read_all(self->v.fd, q, MIB, 0));
	ASSERT_EQ(0, memcmp(p, q, MIB));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_LE(2, s.errors);
	ASSERT_EQ(0, s.inflight);
}

/* each block is plaintext, zeroed, or what the buffer held before: @untouched */
static bool harmless(const uint8_t *q, const uint8_t *plain, size_t size, uint8_t untouched)
{
	static const uint8_t zero[16];
	uint8_t old[16];

	memset(old, untouched, sizeof(old));
	for (size_t at = 0; at < size; at += 16)
		if (memcmp(q + at, plain + at, 16) && memcmp(q + at, zero, 16) && memcmp(q + at, old, 16))
			return false;
	return true;
}

/* a read that fails half way: what it says it read is right, and no ciphertext is left */
TEST_F(faults, read_error_half_way)
{
	uint8_t *p = buffer(2 * MIB), *q = buffer(2 * MIB);
	unsigned int failed = 0;

	fill(p, 2 * MIB, 2);
	ASSERT_EQ(0, write_all(self->v.fd, p, 2 * MIB, HALF - MIB));
	ASSERT_EQ(0, half_bad(self));
	for (size_t before = 4096; before <= MIB; before *= 4) {
		const size_t all = before + 64 * KIB;
		ssize_t n;

		memset(q, 0x77, all);
		n = pread(self->v.fd, q, all, HALF - before);
		ASSERT_TRUE(harmless(q, p + MIB - before, all, 0x77))
			TH_LOG("%zu bytes before the error", before);
		if (n < 0) {
			ASSERT_EQ(EIO, errno);
			failed++;
			continue;
		}
		ASSERT_LE(n, before);
		ASSERT_EQ(0, memcmp(q, p + MIB - before, n));
	}
	ASSERT_LT(0, failed);
}

TEST_F(faults, write_error)
{
	uint8_t *p = buffer(2 * MIB), *copy = buffer(2 * MIB);
	struct status s;

	ASSERT_EQ(0, half_bad(self));
	fill(p, 2 * MIB, 3);
	memcpy(copy, p, 2 * MIB);
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(-1, pwrite(self->v.fd, p, 64 * KIB, HALF + i * MIB / 16));
		ASSERT_EQ(EIO, errno);
	}
	/* over the border: an error, or as much as went well */
	ASSERT_GE((ssize_t)MIB, pwrite(self->v.fd, p, 2 * MIB, HALF - MIB));
	ASSERT_EQ(0, memcmp(p, copy, 2 * MIB));
	ASSERT_EQ(0, write_all(self->v.fd, p, MIB, 0));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_LE(20, s.errors);
	ASSERT_EQ(0, s.inflight);
}

/* many failures at once, then the device is well again */
TEST_F(faults, errors_in_a_deep_queue)
{
	enum { N = 64 };
	uint8_t *p = buffer(N * 16 * KIB), *q = buffer(N * 16 * KIB);
	char table[128];
	struct ring ring;
	int result;

	ASSERT_EQ(0, half_bad(self));
	ASSERT_EQ(0, ring_open(&ring, N, false));
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < N; i++)
			ASSERT_EQ(0, ring_rw(&ring, round & 1, self->v.fd, p + i * 16 * KIB, 16 * KIB,
					     HALF + i * 16 * KIB, 0, i));
		for (int i = 0; i < N; i++) {
			ASSERT_EQ(0, ring_wait(&ring, 10000, NULL, &result));
			ASSERT_EQ(-EIO, result);
		}
	}
	ring_close(&ring);
	snprintf(table, sizeof(table), "0 %llu linear %s 0", SIZE / SECTOR, self->disk.node);
	ASSERT_EQ(0, dm_swap(BELOW, table, 0));
	fill(p, N * 16 * KIB, 4);
	ASSERT_EQ(0, write_all(self->v.fd, p, N * 16 * KIB, HALF));
	ASSERT_EQ(0, read_all(self->v.fd, q, N * 16 * KIB, HALF));
	ASSERT_EQ(0, memcmp(p, q, N * 16 * KIB));
}

/* dm-flakey: reads fail, writes are dropped without a word */
TEST_F(faults, flakey)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	char table[256];

	fill(p, 64 * KIB, 5);
	ASSERT_EQ(0, write_all(self->v.fd, p, 64 * KIB, 0));
	snprintf(table, sizeof(table), "0 %llu flakey %s 0 0 100 1 drop_writes", SIZE / SECTOR, self->disk.node);
	ASSERT_EQ(0, dm_swap(BELOW, table, 0));
	fill(q, 64 * KIB, 6);
	ASSERT_EQ(0, write_all(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(0, read_all(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
	snprintf(table, sizeof(table), "0 %llu flakey %s 0 0 100 1 error_writes", SIZE / SECTOR, self->disk.node);
	ASSERT_EQ(0, dm_swap(BELOW, table, 0));
	ASSERT_EQ(-1, pwrite(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(EIO, errno);
	ASSERT_EQ(0, read_all(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
}

/* what is on its way below shows as in flight, and a flushing suspend waits for it */
TEST_F(faults, slow_device)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	struct status s;
	struct ring ring;
	char table[256];
	uint64_t began;
	int result;

	fill(p, 64 * KIB, 5);
	ASSERT_EQ(0, write_all(self->v.fd, p, 64 * KIB, 0));
	snprintf(table, sizeof(table), "0 %llu delay %s 0 500", SIZE / SECTOR, self->disk.node);
	ASSERT_EQ(0, dm_swap(BELOW, table, 0));
	ASSERT_EQ(0, ring_open(&ring, 8, false));
	ASSERT_EQ(0, ring_rw(&ring, false, self->v.fd, q, 64 * KIB, 0, 0, 1));
	ASSERT_EQ(-ETIME, ring_wait(&ring, 100, NULL, &result));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_LE(1, s.inflight);
	ASSERT_EQ(0, s.queued);
	began = now_ms();
	ASSERT_EQ(0, dm_suspend(self->v.name, 0));
	ASSERT_LE(200, now_ms() - began);
	ASSERT_EQ(0, ring_wait(&ring, 1000, NULL, &result));
	ASSERT_EQ(64 * KIB, result);
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
	ASSERT_EQ(0, dm_resume(self->v.name));
	ring_close(&ring);
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_EQ(0, s.inflight);
}

TEST_HARNESS_MAIN
