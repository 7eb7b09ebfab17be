// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is written reads back, and what lies on the disk is what OpenSSL makes of
 * it: sizes, offsets, cached and direct, many at once. Completions come from a
 * worker (loop) and from an interrupt's context (null_blk with a timer).
 */
#include <linux/fs.h>
#include <pthread.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(32 * MIB)

FIXTURE(data) {
	struct nl nl;
	struct vdisk v;
};

FIXTURE_VARIANT(data) {
	unsigned int sector_size;
	size_t key_size;
	const char *options;
	bool interrupt;
};

FIXTURE_VARIANT_ADD(data, loop_512) {
	.sector_size = 512, .key_size = 64, .options = "",
};

FIXTURE_VARIANT_ADD(data, loop_4096) {
	.sector_size = 4096, .key_size = 64, .options = "1 sector_size:4096",
};

FIXTURE_VARIANT_ADD(data, interrupt_512) {
	.sector_size = 512, .key_size = 32, .options = "", .interrupt = true,
};

FIXTURE_VARIANT_ADD(data, interrupt_4096) {
	.sector_size = 4096, .key_size = 64, .options = "1 sector_size:4096", .interrupt = true,
};

FIXTURE_SETUP(data)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	self->v.fd = -1;
	if (variant->interrupt) {
		ASSERT_EQ(0, nullb_new(&self->v.below, "nullb", SIZE,
				       "memory_backed=1 irqmode=2 completion_nsec=20000"));
	} else {
		ASSERT_EQ(0, loop_new(&self->v.below, SIZE, 512, 0));
	}
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "data", variant->key_size, variant->options));
}

FIXTURE_TEARDOWN(data)
{
	struct status s = { 0 };

	/* read-ahead may still be on its way */
	for (int i = 0; i < 100; i++) {
		EXPECT_EQ(0, dm_counters(self->v.name, &s));
		if (!s.inflight)
			break;
		sleep_ms(20);
	}
	EXPECT_EQ(0, s.inflight);
	EXPECT_EQ(0, s.queued);
	EXPECT_EQ(0, s.errors);
	EXPECT_STREQ("loaded", s.state);
	vdisk_free(&self->v);
	test_end(&self->nl);
}

/* the device below holds the ciphertext of @plain at @at */
static int expect_ciphertext(const struct vdisk *v, unsigned int sector_size, const void *plain, size_t size,
			     uint64_t at)
{
	uint8_t *raw = buffer(size), *out = buffer(size);
	int r = read_all(v->below.raw, raw, size, at);

	if (!r)
		r = xts(&v->dek, true, at / SECTOR, sector_size / SECTOR, sector_size, plain, out, size);
	if (!r && memcmp(raw, out, size))
		r = -EBADMSG;
	free(raw);
	free(out);
	return r;
}

TEST_F(data, sizes_and_offsets)
{
	const size_t s = variant->sector_size;
	const size_t sizes[] = { s, 3 * s, 4 * KIB, 12 * KIB, 64 * KIB - s, 64 * KIB, 128 * KIB + s, 1 * MIB - s,
				 1 * MIB, 1 * MIB + s, 3 * MIB + 5 * s };
	uint8_t *p = buffer(4 * MIB), *q = buffer(4 * MIB);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint64_t at = (i * 7 + 3) * s + i * MIB;

		fill(p, sizes[i], i);
		memset(q, 0, sizes[i]);
		ASSERT_EQ(0, write_all(self->v.fd, p, sizes[i], at));
		ASSERT_EQ(0, expect_ciphertext(&self->v, variant->sector_size, p, sizes[i], at))
			TH_LOG("%zu bytes at %llu", sizes[i], (unsigned long long)at);
		ASSERT_EQ(0, read_all(self->v.fd, q, sizes[i], at));
		ASSERT_EQ(0, memcmp(p, q, sizes[i]))
			TH_LOG("%zu bytes at %llu", sizes[i], (unsigned long long)at);
	}
}

TEST_F(data, last_and_first_sector)
{
	const size_t s = variant->sector_size;
	const uint64_t at[] = { 0, SIZE - s };
	uint8_t *p = buffer(s), *q = buffer(s);

	for (int i = 0; i < 2; i++) {
		fill(p, s, i + 40);
		ASSERT_EQ(0, write_all(self->v.fd, p, s, at[i]));
		ASSERT_EQ(0, read_all(self->v.fd, q, s, at[i]));
		ASSERT_EQ(0, memcmp(p, q, s));
		ASSERT_EQ(0, expect_ciphertext(&self->v, s, p, s, at[i]));
	}
	EXPECT_EQ(0, pread(self->v.fd, q, s, SIZE));
	EXPECT_EQ(-1, pwrite(self->v.fd, q, s, SIZE));
}

TEST_F(data, neighbours_stay)
{
	const size_t s = variant->sector_size, all = 64 * s;
	uint8_t *p = buffer(all), *q = buffer(all);

	fill(p, all, 11);
	ASSERT_EQ(0, write_all(self->v.fd, p, all, MIB));
	for (size_t i = 1; i < 64; i += 9) {
		fill(p + i * s, s, i);
		ASSERT_EQ(0, write_all(self->v.fd, p + i * s, s, MIB + i * s));
	}
	ASSERT_EQ(0, read_all(self->v.fd, q, all, MIB));
	ASSERT_EQ(0, memcmp(p, q, all));
}

/* through the page cache: bytes at any place */
TEST_F(data, buffered)
{
	int fd = dm_open(self->v.minor, O_RDWR);
	uint8_t *p = buffer(2 * MIB), *q = buffer(2 * MIB);
	uint64_t x = 12345;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, write_all(fd, p, 2 * MIB, 0));
	for (int i = 0; i < 200; i++) {
		size_t at, n;

		x = x * 6364136223846793005ull + 1442695040888963407ull;
		at = (x >> 20) % (2 * MIB - 9000);
		n = 1 + (x >> 45) % 9000;
		fill(p + at, n, x);
		ASSERT_EQ(0, write_all(fd, p + at, n, at));
	}
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, expect_ciphertext(&self->v, variant->sector_size, p, 2 * MIB, 0));
	ASSERT_EQ(0, ioctl(fd, BLKFLSBUF));
	ASSERT_EQ(0, read_all(fd, q, 2 * MIB, 0));
	ASSERT_EQ(0, memcmp(p, q, 2 * MIB));
	close(fd);
}

struct worker {
	pthread_t thread;
	const struct vdisk *v;
	unsigned int sector_size, index;
	int result;
};

/* random I/O in a region of its own, checked against a copy in memory */
static void *work(void *arg)
{
	struct worker *w = arg;
	const size_t region = 2 * MIB, s = w->sector_size;
	uint8_t *copy = buffer(region), *io = buffer(256 * KIB);
	const uint64_t base = w->index * region;
	uint64_t x = w->index + 99;

	w->result = write_all(w->v->fd, copy, region, base);
	for (int i = 0; i < 120 && !w->result; i++) {
		size_t at, n;

		x = x * 6364136223846793005ull + 1442695040888963407ull;
		n = (1 + (x >> 33) % (128 * KIB / s)) * s;
		at = (x >> 13) % ((region - n) / s) * s;
		if (x >> 60 & 1) {
			fill(io, n, x);
			memcpy(copy + at, io, n);
			w->result = write_all(w->v->fd, io, n, base + at);
		} else {
			w->result = read_all(w->v->fd, io, n, base + at);
			if (!w->result && memcmp(io, copy + at, n))
				w->result = -EBADMSG;
		}
	}
	if (!w->result)
		w->result = expect_ciphertext(w->v, w->sector_size, copy, region, base);
	free(copy);
	free(io);
	return NULL;
}

TEST_F(data, many_at_once)
{
	struct worker w[6];

	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++) {
		w[i] = (struct worker){ .v = &self->v, .sector_size = variant->sector_size, .index = i };
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, work, &w[i]));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++)
		pthread_join(w[i].thread, NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++) {
		ASSERT_EQ(0, w[i].result)
			TH_LOG("worker %u", i);
	}
}

/* zeroes, the worst plaintext: random to look at, no block of 16 bytes twice */
TEST_F(data, ciphertext_incompressible)
{
	const size_t n = 256 * KIB;
	uint8_t *p = buffer(n), *raw = buffer(n);
	unsigned int equal = 0;

	ASSERT_EQ(0, write_all(self->v.fd, p, n, 0));
	ASSERT_EQ(0, read_all(self->v.below.raw, raw, n, 0));
	ASSERT_LE(490, ones_per_mille(raw, n));
	ASSERT_GE(510, ones_per_mille(raw, n));
	for (size_t i = 16; i < n; i += 16)
		equal += !memcmp(raw, raw + i, 16) || !memcmp(raw + i - 16, raw + i, 16);
	ASSERT_EQ(0, equal);
}

TEST_F(data, counters)
{
	const size_t s = variant->sector_size;
	uint8_t *p = buffer(s);
	struct status before, after;

	ASSERT_EQ(0, dm_counters(self->v.name, &before));
	for (int i = 0; i < 5; i++)
		ASSERT_EQ(0, write_all(self->v.fd, p, s, i * s));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, read_all(self->v.fd, p, s, i * s));
	ASSERT_EQ(0, dm_counters(self->v.name, &after));
	ASSERT_EQ(5, after.writes - before.writes);
	ASSERT_EQ(3, after.reads - before.reads);
}

FIXTURE(two) {
	struct nl nl;
	struct vdisk a, b;
};

FIXTURE_SETUP(two)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, vdisk_new(&self->a, &self->nl, "a", MIB, 64, ""));
	ASSERT_EQ(0, vdisk_new(&self->b, &self->nl, "b", MIB, 64, ""));
}

FIXTURE_TEARDOWN(two)
{
	vdisk_free(&self->a);
	vdisk_free(&self->b);
	test_end(&self->nl);
}

/* one plaintext, two places; one plaintext and place, two DEKs */
TEST_F(two, same_plaintext_differs)
{
	uint8_t *p = buffer(4096), x[4096], y[4096], z[4096];

	fill(p, 4096, 1);
	ASSERT_EQ(0, write_all(self->a.fd, p, 4096, 0));
	ASSERT_EQ(0, write_all(self->a.fd, p, 4096, 8192));
	ASSERT_EQ(0, write_all(self->b.fd, p, 4096, 0));
	ASSERT_EQ(0, read_all(self->a.below.raw, x, 4096, 0));
	ASSERT_EQ(0, read_all(self->a.below.raw, y, 4096, 8192));
	ASSERT_EQ(0, read_all(self->b.below.raw, z, 4096, 0));
	for (int i = 0; i < 4096; i += 16) {
		ASSERT_NE(0, memcmp(x + i, y + i, 16));
		ASSERT_NE(0, memcmp(x + i, z + i, 16));
		ASSERT_NE(0, memcmp(x + i, p + i, 16));
	}
}

/* one key object for both: it is counted, and lives as long as either */
TEST_F(two, one_key_two_targets)
{
	char table[256];
	unsigned int minor;
	const struct line l = { .length = 2048, .uuid = self->a.dek.text, .device = self->b.below.node };

	line_print(&l, table, sizeof(table));
	ASSERT_EQ(1, key_targets(&self->nl, self->a.dek.uuid));
	ASSERT_EQ(0, dm_make("vt-c", table, 0, &minor));
	ASSERT_EQ(2, key_targets(&self->nl, self->a.dek.uuid));
	close(self->a.fd);
	self->a.fd = -1;
	ASSERT_EQ(0, dm_remove(self->a.name));
	ASSERT_EQ(1, key_targets(&self->nl, self->a.dek.uuid));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, self->a.dek.uuid));
	ASSERT_EQ(0, dm_remove("vt-c"));
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, self->a.dek.uuid));
}

TEST_HARNESS_MAIN
