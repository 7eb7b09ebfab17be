// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * I/O of every shape that reaches a block device: scattered buffers, deep
 * queues, polled, no-wait, pages that change while they are written.
 */
#include <linux/fs.h>
#include <pthread.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(16 * MIB)

FIXTURE(shapes) {
	struct nl nl;
	struct vdisk v;
};

FIXTURE_VARIANT(shapes) {
	unsigned int sector_size;
	const char *options;
	const char *below;
};

FIXTURE_VARIANT_ADD(shapes, s512) {
	.sector_size = 512, .options = "",
	.below = "memory_backed=1 irqmode=2 completion_nsec=50000",
};

FIXTURE_VARIANT_ADD(shapes, s4096) {
	.sector_size = 4096, .options = "1 sector_size:4096",
	.below = "memory_backed=1 irqmode=1 hw_queue_depth=8 max_sectors=32",
};

FIXTURE_SETUP(shapes)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, nullb_new(&self->v.below, "nullb", SIZE, variant->below));
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "shapes", 64, variant->options));
}

FIXTURE_TEARDOWN(shapes)
{
	vdisk_free(&self->v);
	test_end(&self->nl);
}

/* @n pieces of @piece bytes, taken from all over @area */
static void scatter(struct iovec *iov, unsigned int n, uint8_t *area, size_t piece, size_t spread)
{
	for (unsigned int i = 0; i < n; i++) {
		iov[i].iov_base = area + ((i * 7ull + 3) % n) * spread;
		iov[i].iov_len = piece;
	}
}

static int scattered(FIXTURE_DATA(shapes) *self, size_t piece, size_t spread, unsigned int n)
{
	const size_t all = piece * n;
	uint8_t *area = buffer(spread * n), *line = buffer(all), *back = buffer(all);
	struct iovec *iov = calloc(n, sizeof(*iov));
	ssize_t done;
	int r = 0;

	scatter(iov, n, area, piece, spread);
	fill(line, all, piece + n);
	for (unsigned int i = 0; i < n; i++)
		memcpy(iov[i].iov_base, line + i * piece, piece);
	done = pwritev(self->v.fd, iov, (int)n, 64 * KIB);
	if (done != (ssize_t)all)
		r = done < 0 ? -errno : -EIO;
	if (!r)
		r = read_all(self->v.fd, back, all, 64 * KIB);
	if (!r && memcmp(line, back, all))
		r = -EBADMSG;
	memset(area, 0, spread * n);
	done = r ? 0 : preadv(self->v.fd, iov, (int)n, 64 * KIB);
	if (!r && done != (ssize_t)all)
		r = done < 0 ? -errno : -EIO;
	for (unsigned int i = 0; i < n && !r; i++)
		if (memcmp(iov[i].iov_base, line + i * piece, piece))
			r = -EBADMSG;
	free(iov);
	free(area);
	free(line);
	free(back);
	return r;
}

TEST_F(shapes, pieces_of_whole_sectors)
{
	const size_t s = variant->sector_size;

	ASSERT_EQ(0, scattered(self, s, 3 * s, 1));
	ASSERT_EQ(0, scattered(self, s, 3 * s, 17));
	ASSERT_EQ(0, scattered(self, s, 5 * s, 300));
	ASSERT_EQ(0, scattered(self, 3 * s, 7 * s, 64));
}

/* one sector in several pieces of memory; refused only if the limits say so */
TEST_F(shapes, pieces_inside_a_sector)
{
	uint64_t mask = 511;
	int r = scattered(self, 512, 2 * 4096 + 3 * 512, 8 * 5);

	if (variant->sector_size == 4096 && r == -EINVAL) {
		ASSERT_EQ(0, queue_limit(self->v.minor, "dma_alignment", &mask));
		ASSERT_LT(511, mask);
		return;
	}
	ASSERT_EQ(0, r);
}

/* memory that begins anywhere the device's DMA alignment allows */
TEST_F(shapes, memory_alignment)
{
	static const size_t shifts[] = { 4, 8, 16, 64, 132, 512, 1024, 1536, 2048, 3072, 3584, 4096 };
	uint8_t *p = buffer(16 * KIB), *q = buffer(16 * KIB);
	uint64_t mask = 511;

	if (queue_limit(self->v.minor, "dma_alignment", &mask))
		mask = 511;
	fill(p, 16 * KIB, 4);
	for (size_t i = 0; i < ARRAY_SIZE(shifts); i++) {
		const size_t shift = shifts[i];
		ssize_t n = pwrite(self->v.fd, p + shift, 8 * KIB, 0);

		if (shift & mask) {
			ASSERT_EQ(-1, n);
			ASSERT_EQ(EINVAL, errno);
			continue;
		}
		ASSERT_EQ(8 * KIB, n);
		ASSERT_EQ(8 * KIB, pread(self->v.fd, q + shift, 8 * KIB, 0));
		ASSERT_EQ(0, memcmp(p + shift, q + shift, 8 * KIB));
	}
}

/* 64 in flight, ends in any order */
static int deep(FIXTURE_DATA(shapes) *self, bool write, uint8_t *area, size_t piece, unsigned int n)
{
	struct ring ring;
	int r = ring_open(&ring, 64, false);
	unsigned int sent = 0, done = 0;

	while (!r && done < n) {
		int result;

		if (sent < n && sent - done < 64) {
			r = ring_rw(&ring, write, self->v.fd, area + sent * piece, piece,
				    ((sent * 29ull) % n) * piece, 0, sent);
			sent++;
			continue;
		}
		r = ring_wait(&ring, 20000, NULL, &result);
		if (!r && result != (int)piece)
			r = result < 0 ? result : -EIO;
		done++;
	}
	ring_close(&ring);
	return r;
}

TEST_F(shapes, deep_queue)
{
	const size_t piece[] = { 4096, 16 * KIB };
	const unsigned int n = 401;
	uint8_t *p = buffer(n * 16 * KIB), *q = buffer(n * 16 * KIB);

	for (int i = 0; i < 2; i++) {
		fill(p, n * piece[i], i);
		memset(q, 0, n * piece[i]);
		ASSERT_EQ(0, deep(self, true, p, piece[i], n));
		ASSERT_EQ(0, deep(self, false, q, piece[i], n));
		ASSERT_EQ(0, memcmp(p, q, n * piece[i]));
	}
}

TEST_F(shapes, one_big_write_scattered_and_deep)
{
	enum { N = 256, PIECE = 8192 };
	uint8_t *p = buffer(2 * N * PIECE), *q = buffer(N * PIECE);
	struct iovec iov[N];
	struct ring ring;
	int result;

	scatter(iov, N, p, PIECE, 2 * PIECE);
	fill(p, 2 * N * PIECE, 9);
	ASSERT_EQ(0, ring_open(&ring, 8, false));
	ASSERT_EQ(0, ring_rwv(&ring, true, self->v.fd, iov, N, MIB, 1));
	ASSERT_EQ(0, ring_wait(&ring, 20000, NULL, &result));
	ASSERT_EQ(N * PIECE, result);
	ASSERT_EQ(0, read_all(self->v.fd, q, N * PIECE, MIB));
	for (int i = 0; i < N; i++)
		ASSERT_EQ(0, memcmp(iov[i].iov_base, q + i * PIECE, PIECE));
	ring_close(&ring);
}

/* EAGAIN is an answer; waiting and wrong data are not. Small enough to need no split, which is EAGAIN too. */
TEST_F(shapes, nowait)
{
	uint8_t *p = buffer(8 * KIB), *q = buffer(8 * KIB);
	const struct iovec out = { p, 8 * KIB }, in = { q, 8 * KIB };
	unsigned int good = 0;

	fill(p, 8 * KIB, 5);
	ASSERT_EQ(0, write_all(self->v.fd, p, 8 * KIB, 0));
	for (int i = 0; i < 50; i++) {
		ssize_t n = pwritev2(self->v.fd, &out, 1, 0, RWF_NOWAIT);

		ASSERT_TRUE(n == 8 * KIB || (n < 0 && errno == EAGAIN) || (n > 0 && n % 512 == 0))
			TH_LOG("write: %zd, errno %d", n, errno);
		memset(q, 0, 8 * KIB);
		n = preadv2(self->v.fd, &in, 1, 0, RWF_NOWAIT);
		ASSERT_TRUE(n >= 0 || errno == EAGAIN)
			TH_LOG("read: %zd, errno %d", n, errno);
		if (n > 0) {
			good++;
			ASSERT_EQ(0, memcmp(p, q, n));
		}
	}
	/* a loaded key and an idle disk: nothing to wait for */
	ASSERT_LT(0, good);
}

struct changer {
	pthread_t thread;
	volatile uint8_t *p;
	size_t size;
	volatile bool stop;
	uint64_t strange;
};

static void *change(void *arg)
{
	struct changer *c = arg;

	while (!c->stop)
		for (size_t i = 0; i < c->size && !c->stop; i++)
			c->p[i] = c->p[i] ? 0 : 0xff;
	return NULL;
}

/* pages that change under a write: each byte is an old or a new one, never torn into others */
TEST_F(shapes, pages_change_while_written)
{
	struct changer c = { .size = 128 * KIB };
	uint8_t *q = buffer(c.size);

	c.p = buffer(c.size);
	ASSERT_EQ(0, pthread_create(&c.thread, NULL, change, &c));
	for (int i = 0; i < 40; i++) {
		ASSERT_EQ(0, write_all(self->v.fd, (const void *)c.p, c.size, 0));
		ASSERT_EQ(0, read_all(self->v.fd, q, c.size, 0));
		for (size_t at = 0; at < c.size; at++) {
			ASSERT_TRUE(q[at] == 0 || q[at] == 0xff)
				TH_LOG("byte %zu is %02x", at, q[at]);
		}
	}
	c.stop = true;
	pthread_join(c.thread, NULL);
}

static void *watch(void *arg)
{
	struct changer *c = arg;

	while (!c->stop)
		for (size_t i = 0; i < c->size; i += 64)
			c->strange += c->p[i] != 0x5a;
	return NULL;
}

/* a write never shows ciphertext in the caller's pages */
TEST_F(shapes, callers_pages_stay_while_written)
{
	struct changer c = { .size = 256 * KIB };

	c.p = buffer(c.size);
	memset((void *)c.p, 0x5a, c.size);
	ASSERT_EQ(0, pthread_create(&c.thread, NULL, watch, &c));
	for (int i = 0; i < 60; i++)
		ASSERT_EQ(0, write_all(self->v.fd, (const void *)c.p, c.size, 0));
	c.stop = true;
	pthread_join(c.thread, NULL);
	ASSERT_EQ(0, c.strange);
}

/* several reads into one buffer: garbage is allowed, a crash or a lasting error is not */
TEST_F(shapes, reads_into_one_buffer)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	struct ring ring;
	int result;

	fill(p, 64 * KIB, 8);
	ASSERT_EQ(0, write_all(self->v.fd, p, 64 * KIB, 0));
	ASSERT_EQ(0, ring_open(&ring, 32, false));
	for (int i = 0; i < 32; i++)
		ASSERT_EQ(0, ring_rw(&ring, false, self->v.fd, q, 64 * KIB, 0, 0, i));
	for (int i = 0; i < 32; i++) {
		ASSERT_EQ(0, ring_wait(&ring, 10000, NULL, &result));
		ASSERT_EQ(64 * KIB, result);
	}
	ring_close(&ring);
	ASSERT_EQ(0, read_all(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
}

/* file pages mapped by a process, written back by the kernel */
TEST_F(shapes, mapped)
{
	int fd = dm_open(self->v.minor, O_RDWR);
	uint8_t *m, *q = buffer(MIB);

	ASSERT_LE(0, fd);
	m = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, m);
	fill(m, MIB, 77);
	ASSERT_EQ(0, msync(m, MIB, MS_SYNC));
	fill(m + 4096, 100, 78);
	ASSERT_EQ(0, msync(m, MIB, MS_SYNC));
	ASSERT_EQ(0, read_all(self->v.fd, q, MIB, 0));
	ASSERT_EQ(0, memcmp(m, q, MIB));
	munmap(m, MIB);
	close(fd);
}

/* What is not found by polling, comes by a timer: much too late. */
#define TIMER_MS	4000
#define SOON_MS		3000

FIXTURE(polled) {
	struct nl nl;
	struct vdisk v;
	struct ring ring;
};

/* null_blk in 6.1 asks for memory while it is polled, under RCU: it shall have it */
static int fill_below(const struct disk *below)
{
	int fd = open(below->node, O_WRONLY | O_CLOEXEC);
	uint8_t *p = buffer(2 * MIB);
	int r = fd < 0 ? -errno : write_all(fd, p, 2 * MIB, 0);

	if (!r && fsync(fd))
		r = -errno;
	close(fd);
	free(p);
	return r;
}

FIXTURE_SETUP(polled)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, nullb_new(&self->v.below, "nullb", SIZE,
			       "memory_backed=1 irqmode=2 completion_nsec=4000000000 poll_queues=1"));
	ASSERT_EQ(0, fill_below(&self->v.below));
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "polled", 64, ""));
	ASSERT_EQ(0, ring_open(&self->ring, 8, /* poll= */ true));
}

FIXTURE_TEARDOWN(polled)
{
	ring_close(&self->ring);
	vdisk_free(&self->v);
	test_end(&self->nl);
}

static int polled(FIXTURE_DATA(polled) *self, bool write, uint8_t *p, size_t size, uint64_t offset)
{
	int result;
	int r = ring_rw(&self->ring, write, self->v.fd, p, size, offset, 0, 1);

	if (!r)
		r = ring_wait(&self->ring, SOON_MS, NULL, &result);
	return r ? r : result < 0 ? result : result == (int)size ? 0 : -EIO;
}

TEST_F(polled, read_and_write)
{
	static const size_t sizes[] = { 512, 4 * KIB, 8 * KIB, 64 * KIB };
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	uint64_t polls = 0;

	ASSERT_EQ(0, queue_limit(self->v.minor, "io_poll", &polls));
	ASSERT_EQ(1, polls);
	for (unsigned int i = 0; i < 20; i++) {
		const size_t size = sizes[i % ARRAY_SIZE(sizes)];

		fill(p, size, i);
		memset(q, 0, size);
		ASSERT_EQ(0, polled(self, /* write= */ true, p, size, i * 64 * KIB));
		ASSERT_EQ(0, polled(self, /* write= */ false, q, size, i * 64 * KIB));
		ASSERT_EQ(0, memcmp(p, q, size));
	}
}

/* the other way round: the timer is what ends I/O that nobody polls for */
TEST_F(polled, not_asked_for)
{
	const uint64_t began = now_ms();
	uint8_t *p = buffer(4 * KIB);

	ASSERT_EQ(0, write_all(self->v.fd, p, 4 * KIB, 0));
	ASSERT_LE(TIMER_MS, now_ms() - began);
}

TEST_HARNESS_MAIN
