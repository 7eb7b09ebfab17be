// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A disk whose key goes and comes back: what is held, what fails, what a
 * suspend does meanwhile, at rest and under load.
 */
#include <linux/fs.h>
#include <pthread.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(16 * MIB)
#define BELOW	"vt-below"

FIXTURE(life) {
	struct nl nl;
	struct disk disk;
	struct vdisk v;
	struct ring ring;
};

FIXTURE_VARIANT(life) {
	const char *options;
	bool error;
	size_t key_size;
};

FIXTURE_VARIANT_ADD(life, queue) {
	.options = "1 allow_discards", .key_size = 64,
};

FIXTURE_VARIANT_ADD(life, queue_4096) {
	.options = "2 sector_size:4096 allow_discards", .key_size = 32,
};

FIXTURE_VARIANT_ADD(life, error) {
	.options = "2 key_loss:error allow_discards", .error = true, .key_size = 64,
};

/* a linear device lies between, so that a test can make it slow */
FIXTURE_SETUP(life)
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
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "life", variant->key_size, variant->options));
	ASSERT_EQ(0, ring_open(&self->ring, 64, false));
}

FIXTURE_TEARDOWN(life)
{
	/* lets go of what is held, or the process could not end */
	key_set(&self->nl, &self->v.dek);
	dm_resume(self->v.name);
	ring_close(&self->ring);
	vdisk_free(&self->v);
	test_end(&self->nl);
	disk_free(&self->disk);
}

static int lock(FIXTURE_DATA(life) *self)
{
	int r = key_wipe(&self->nl, self->v.dek.uuid, WIPE_FORCE);

	return r ? r : key_wait(&self->nl, self->v.dek.uuid, KEY_LOCKED, 5000);
}

static int slow(FIXTURE_DATA(life) *self, unsigned int ms)
{
	char table[128];

	snprintf(table, sizeof(table), "0 %llu delay %s 0 %u", SIZE / SECTOR, self->disk.node, ms);
	return dm_swap(BELOW, table, 0);
}

/* the fixture's queue variants only */
#define QUEUE_ONLY()	do { if (variant->error) return; } while (0)
#define ERROR_ONLY()	do { if (!variant->error) return; } while (0)

TEST_F(life, wipe_needs_force)
{
	uint8_t *p = buffer(4096);

	ASSERT_EQ(-EBUSY, key_wipe(&self->nl, self->v.dek.uuid, 0));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, self->v.dek.uuid));
	ASSERT_EQ(0, write_all(self->v.fd, p, 4096, 0));
	ASSERT_EQ(0, lock(self));
	/* locked already: 0, and it stays so */
	ASSERT_EQ(0, key_wipe(&self->nl, self->v.dek.uuid, WIPE_FORCE));
	ASSERT_EQ(0, key_wipe(&self->nl, self->v.dek.uuid, 0));
	ASSERT_EQ(KEY_LOCKED, key_state(&self->nl, self->v.dek.uuid));
	ASSERT_EQ(1, key_targets(&self->nl, self->v.dek.uuid));
}

TEST_F(life, events_of_a_wipe)
{
	static struct answer a;
	struct nl events;

	ASSERT_EQ(0, nl_open(&events));
	ASSERT_EQ(0, nl_join(&events, events.events));
	ASSERT_EQ(0, key_wipe(&self->nl, self->v.dek.uuid, WIPE_FORCE));
	ASSERT_EQ(0, nl_expect(&events, CMD_KEY_CHANGED, self->v.dek.uuid, KEY_LOCKED, 5000, &a));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, nl_expect(&events, CMD_KEY_CHANGED, self->v.dek.uuid, KEY_LOADED, 5000, &a));
	nl_close(&events);
}

TEST_F(life, only_the_same_key_unlocks)
{
	struct dek other;

	ASSERT_EQ(0, lock(self));
	dek_random(&other, variant->key_size);
	ASSERT_EQ(-EKEYREJECTED, key_set_as(&self->nl, &other, self->v.dek.uuid));
	ASSERT_EQ(KEY_LOCKED, key_state(&self->nl, self->v.dek.uuid));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, self->v.dek.uuid));
}

/* held, counted, and let go with the right data; on the disk nothing moves meanwhile */
TEST_F(life, queued)
{
	enum { N = 16, PIECE = 16 * KIB };
	uint8_t *p = buffer(N * PIECE), *q = buffer(N * PIECE), *raw = buffer(N * PIECE), *raw2 = buffer(N * PIECE);
	struct status s;
	int result;

	QUEUE_ONLY();
	fill(p, N * PIECE, 1);
	ASSERT_EQ(0, write_all(self->v.fd, p, N * PIECE, 0));
	ASSERT_EQ(0, read_all(self->disk.raw, raw, N * PIECE, 0));
	ASSERT_EQ(0, lock(self));
	fill(p + N / 2 * PIECE, N / 2 * PIECE, 2);
	for (int i = 0; i < N; i++)
		ASSERT_EQ(0, ring_rw(&self->ring, i >= N / 2, self->v.fd, i < N / 2 ? q + i * PIECE : p + i * PIECE,
				     PIECE, (uint64_t)i * PIECE, 0, i));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 300, NULL, &result));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_STREQ("locked", s.state);
	ASSERT_EQ(N, s.queued);
	ASSERT_EQ(N, s.inflight);
	ASSERT_EQ(0, read_all(self->disk.raw, raw2, N * PIECE, 0));
	ASSERT_EQ(0, memcmp(raw, raw2, N * PIECE));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	for (int i = 0; i < N; i++) {
		ASSERT_EQ(0, ring_wait(&self->ring, 5000, NULL, &result));
		ASSERT_EQ(PIECE, result);
	}
	ASSERT_EQ(0, memcmp(p, q, N / 2 * PIECE));
	ASSERT_EQ(0, read_all(self->v.fd, q, N * PIECE, 0));
	ASSERT_EQ(0, memcmp(p, q, N * PIECE));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_STREQ("loaded", s.state);
	ASSERT_EQ(0, s.queued);
	ASSERT_EQ(0, s.inflight);
	ASSERT_EQ(0, s.errors);
}

TEST_F(life, fails)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB), *raw = buffer(64 * KIB), *raw2 = buffer(64 * KIB);
	struct status s;

	ERROR_ONLY();
	fill(p, 64 * KIB, 1);
	ASSERT_EQ(0, write_all(self->v.fd, p, 64 * KIB, 0));
	ASSERT_EQ(0, read_all(self->disk.raw, raw, 64 * KIB, 0));
	ASSERT_EQ(0, lock(self));
	memset(q, 0x77, 64 * KIB);
	ASSERT_EQ(-1, pread(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(EIO, errno);
	for (size_t i = 0; i < 64 * KIB; i++)
		ASSERT_TRUE(q[i] == 0x77 || q[i] == 0);
	ASSERT_EQ(-1, pwrite(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(EIO, errno);
	ASSERT_EQ(0, read_all(self->disk.raw, raw2, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(raw, raw2, 64 * KIB));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_LE(2, s.errors);
	ASSERT_EQ(0, s.queued);
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, read_all(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
}

static int discard(int fd, uint64_t offset, uint64_t size)
{
	const uint64_t range[2] = { offset, size };

	return ioctl(fd, BLKDISCARD, range) ? -errno : 0;
}

static pid_t discard_in_child(int fd, uint64_t offset, uint64_t size)
{
	pid_t pid = fork();

	if (!pid)
		_exit(-discard(fd, offset, size));
	return pid;
}

/* what is discarded without the key is lost as what is overwritten: it waits, too */
TEST_F(life, discard_waits)
{
	uint8_t *p = buffer(64 * KIB), *raw = buffer(64 * KIB), *raw2 = buffer(64 * KIB), *zero = buffer(64 * KIB);
	struct status s;
	pid_t pid;

	QUEUE_ONLY();
	fill(p, 64 * KIB, 1);
	ASSERT_EQ(0, write_all(self->v.fd, p, 64 * KIB, 0));
	ASSERT_EQ(0, read_all(self->disk.raw, raw, 64 * KIB, 0));
	ASSERT_EQ(0, lock(self));
	pid = discard_in_child(self->v.fd, 0, 64 * KIB);
	ASSERT_EQ(-ETIME, async_wait(pid, 300));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	EXPECT_LE(1, s.queued);
	ASSERT_EQ(0, read_all(self->disk.raw, raw2, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(raw, raw2, 64 * KIB));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, async_wait(pid, 5000));
	ASSERT_EQ(0, read_all(self->disk.raw, raw2, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(zero, raw2, 64 * KIB));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_EQ(0, s.queued);
	ASSERT_EQ(0, s.inflight);
}

TEST_F(life, discard_fails)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);

	ERROR_ONLY();
	fill(p, 64 * KIB, 1);
	ASSERT_EQ(0, write_all(self->v.fd, p, 64 * KIB, 0));
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(-EIO, discard(self->v.fd, 0, 64 * KIB));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, read_all(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
	ASSERT_EQ(0, discard(self->v.fd, 0, 64 * KIB));
	ASSERT_EQ(0, read_all(self->disk.raw, q, 64 * KIB, 0));
	memset(p, 0, 64 * KIB);
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
}

static int flush(void *arg)
{
	return fsync(*(const int *)arg) ? -errno : 0;
}

/* a flush carries no data */
TEST_F(life, flush_needs_no_key)
{
	uint64_t began;

	ASSERT_EQ(0, lock(self));
	began = now_ms();
	ASSERT_EQ(0, in_child(flush, &self->v.fd));
	ASSERT_GT(5000, now_ms() - began);
}

/* a read that was below when the key went */
TEST_F(life, read_comes_back_late)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	uint64_t began;
	struct status s;
	int result;

	fill(p, 64 * KIB, 3);
	ASSERT_EQ(0, write_all(self->v.fd, p, 64 * KIB, 0));
	ASSERT_EQ(0, slow(self, 500));
	memset(q, 0x77, 64 * KIB);
	ASSERT_EQ(0, ring_rw(&self->ring, false, self->v.fd, q, 64 * KIB, 0, 0, 1));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 100, NULL, &result));
	began = now_ms();
	ASSERT_EQ(0, lock(self));
	/* a wipe waits for no storage */
	ASSERT_GT(300, now_ms() - began);
	if (variant->error) {
		ASSERT_EQ(0, ring_wait(&self->ring, 3000, NULL, &result));
		ASSERT_EQ(-EIO, result);
		for (size_t i = 0; i < 64 * KIB; i++)
			ASSERT_EQ(0, q[i]);
		return;
	}
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 1000, NULL, &result));
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_EQ(1, s.queued);
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, ring_wait(&self->ring, 3000, NULL, &result));
	ASSERT_EQ(64 * KIB, result);
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
}

/* a write that was below when the key went has its ciphertext already */
TEST_F(life, write_on_its_way)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	int result;

	fill(p, 64 * KIB, 4);
	ASSERT_EQ(0, slow(self, 400));
	ASSERT_EQ(0, ring_rw(&self->ring, true, self->v.fd, p, 64 * KIB, 0, 0, 1));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 100, NULL, &result));
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(0, ring_wait(&self->ring, 3000, NULL, &result));
	ASSERT_EQ(64 * KIB, result);
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, slow(self, 0));
	ASSERT_EQ(0, read_all(self->v.fd, q, 64 * KIB, 0));
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
}

TEST_F(life, nowait_gets_eagain)
{
	uint8_t *p = buffer(4096);
	const struct iovec iov = { p, 4096 };
	struct status s;

	QUEUE_ONLY();
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(-1, preadv2(self->v.fd, &iov, 1, 0, RWF_NOWAIT));
	ASSERT_EQ(EAGAIN, errno);
	ASSERT_EQ(-1, pwritev2(self->v.fd, &iov, 1, 0, RWF_NOWAIT));
	ASSERT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_EQ(0, s.queued);
}

/* read-ahead is a guess, and holding guesses helps nobody */
TEST_F(life, readahead_fails)
{
	int fd = dm_open(self->v.minor, O_RDONLY);
	struct status s;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, BLKFLSBUF));
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(0, posix_fadvise(fd, 0, MIB, POSIX_FADV_WILLNEED));
	sleep_ms(200);
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	EXPECT_EQ(0, s.queued);
	EXPECT_EQ(0, s.inflight);
	close(fd);
}

/* pushed back to device-mapper: the suspend ends, the I/O goes on after the resume */
TEST_F(life, noflush_suspend_while_held)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	uint64_t began = now_ms();
	int result;

	QUEUE_ONLY();
	fill(p, 64 * KIB, 5);
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(0, ring_rw(&self->ring, true, self->v.fd, p, 64 * KIB, 0, 0, 1));
	ASSERT_EQ(0, ring_rw(&self->ring, true, self->v.fd, p, 64 * KIB, MIB, 0, 2));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 200, NULL, &result));
	ASSERT_EQ(0, dm_suspend(self->v.name, DMF_NOFLUSH | DMF_NOLOCKFS));
	ASSERT_GT(5000, now_ms() - began);
	/* still locked after a resume: held again */
	ASSERT_EQ(0, dm_resume(self->v.name));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 200, NULL, &result));
	ASSERT_EQ(0, dm_suspend(self->v.name, DMF_NOFLUSH | DMF_NOLOCKFS));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 200, NULL, &result));
	ASSERT_EQ(0, dm_resume(self->v.name));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, ring_wait(&self->ring, 5000, NULL, &result));
		ASSERT_EQ(64 * KIB, result);
	}
	ASSERT_EQ(0, read_all(self->v.fd, q, 64 * KIB, MIB));
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
}

/* a late read pushed back is read again from the start */
TEST_F(life, noflush_suspend_with_a_late_read)
{
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);
	int result;

	QUEUE_ONLY();
	fill(p, 64 * KIB, 6);
	ASSERT_EQ(0, write_all(self->v.fd, p, 64 * KIB, 0));
	ASSERT_EQ(0, slow(self, 300));
	ASSERT_EQ(0, ring_rw(&self->ring, false, self->v.fd, q, 64 * KIB, 0, 0, 1));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 50, NULL, &result));
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 600, NULL, &result));
	ASSERT_EQ(0, dm_suspend(self->v.name, DMF_NOFLUSH | DMF_NOLOCKFS));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, dm_resume(self->v.name));
	ASSERT_EQ(0, ring_wait(&self->ring, 5000, NULL, &result));
	ASSERT_EQ(64 * KIB, result);
	ASSERT_EQ(0, memcmp(p, q, 64 * KIB));
}

/* how an administrator gets rid of held I/O: noflush suspend, a table of errors, resume */
TEST_F(life, error_table_ends_held_io)
{
	uint8_t *p = buffer(4096);
	char table[64];
	int result;

	QUEUE_ONLY();
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(0, ring_rw(&self->ring, false, self->v.fd, p, 4096, 0, 0, 1));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 100, NULL, &result));
	snprintf(table, sizeof(table), "0 %llu error ", SIZE / SECTOR);
	ASSERT_EQ(0, dm_swap(self->v.name, table, DMF_NOFLUSH | DMF_NOLOCKFS));
	ASSERT_EQ(0, ring_wait(&self->ring, 5000, NULL, &result));
	ASSERT_EQ(-EIO, result);
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, self->v.dek.uuid));
}

static pid_t suspend_in_child(const char *name)
{
	pid_t pid = fork();

	if (!pid)
		_exit(-dm_suspend(name, DMF_NOLOCKFS));
	return pid;
}

TEST_F(life, flushing_suspend_waits_for_the_key)
{
	uint8_t *p = buffer(4096);
	int result;
	pid_t pid;

	QUEUE_ONLY();
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(0, ring_rw(&self->ring, true, self->v.fd, p, 4096, 0, 0, 1));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 100, NULL, &result));
	pid = suspend_in_child(self->v.name);
	ASSERT_EQ(-ETIME, async_wait(pid, 500));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, async_wait(pid, 5000));
	ASSERT_EQ(0, ring_wait(&self->ring, 5000, NULL, &result));
	ASSERT_EQ(4096, result);
	ASSERT_EQ(0, dm_resume(self->v.name));
}

TEST_F(life, flushing_suspend_can_be_interrupted)
{
	uint8_t *p = buffer(4096), *q = buffer(4096);
	int result;
	pid_t pid;

	QUEUE_ONLY();
	fill(p, 4096, 7);
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(0, ring_rw(&self->ring, true, self->v.fd, p, 4096, 0, 0, 1));
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 100, NULL, &result));
	pid = suspend_in_child(self->v.name);
	ASSERT_EQ(-ETIME, async_wait(pid, 300));
	ASSERT_EQ(0, kill(pid, SIGTERM));
	ASSERT_EQ(-ECANCELED, async_wait(pid, 5000));
	/* not suspended, not lost */
	ASSERT_EQ(-ETIME, ring_wait(&self->ring, 200, NULL, &result));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, ring_wait(&self->ring, 5000, NULL, &result));
	ASSERT_EQ(4096, result);
	ASSERT_EQ(0, read_all(self->v.fd, q, 4096, 0));
	ASSERT_EQ(0, memcmp(p, q, 4096));
}

/* a locked key is not loaded: a constructor asks for it, and nobody is there to ask */
TEST_F(life, reload_while_locked)
{
	char table[512];
	uint8_t *p = buffer(4096);

	vdisk_line(&self->v, table, sizeof(table));
	ASSERT_EQ(0, lock(self));
	ASSERT_EQ(-ENOKEY, dm_load(self->v.name, table, 0));
	ASSERT_EQ(1, key_targets(&self->nl, self->v.dek.uuid));
	ASSERT_EQ(KEY_LOCKED, key_state(&self->nl, self->v.dek.uuid));
	ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
	ASSERT_EQ(0, dm_swap(self->v.name, table, 0));
	ASSERT_EQ(0, read_all(self->v.fd, p, 4096, 0));
}

TEST_F(life, last_target_goes_while_locked)
{
	ASSERT_EQ(0, lock(self));
	close(self->v.fd);
	self->v.fd = -1;
	ASSERT_EQ(0, dm_remove(self->v.name));
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, self->v.dek.uuid));
	self->v.name[0] = 0;
}

struct load {
	pthread_t thread;
	int fd;
	bool error;
	unsigned int index, rounds;
	volatile bool stop;
	int result;
};

/* with key_loss:error, EIO is an answer; wrong data never is */
static void *run_load(void *arg)
{
	struct load *l = arg;
	uint8_t *p = buffer(128 * KIB), *q = buffer(128 * KIB);

	while (!l->stop && !l->result) {
		const uint64_t at = l->index * MIB + l->rounds % 8 * 128 * KIB;

		fill(p, 128 * KIB, l->index * 1000 + l->rounds++);
		l->result = write_all(l->fd, p, 128 * KIB, at);
		if (!l->result)
			l->result = read_all(l->fd, q, 128 * KIB, at);
		if (!l->result && memcmp(p, q, 128 * KIB))
			l->result = -EBADMSG;
		if (l->result == -EIO && l->error)
			l->result = 0;
	}
	return NULL;
}

TEST_F_TIMEOUT(life, wipe_under_load, 60)
{
	struct load l[4];
	struct status s;

	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		l[i] = (struct load){ .fd = self->v.fd, .index = i, .error = variant->error };
		ASSERT_EQ(0, pthread_create(&l[i].thread, NULL, run_load, &l[i]));
	}
	for (int i = 0; i < 25; i++) {
		int r = lock(self);

		sleep_ms(i % 5 * 7);
		ASSERT_EQ(0, key_set(&self->nl, &self->v.dek));
		ASSERT_EQ(0, r);
		sleep_ms(20);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++)
		l[i].stop = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		pthread_join(l[i].thread, NULL);
		EXPECT_EQ(0, l[i].result);
		EXPECT_LT(1, l[i].rounds);
	}
	ASSERT_EQ(0, dm_counters(self->v.name, &s));
	ASSERT_EQ(0, s.inflight);
	ASSERT_EQ(0, s.queued);
}

TEST_HARNESS_MAIN
