// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Work that one CPU hands over to idle ones: it happens, and the data is right,
 * under wipes, suspends and unplugged CPUs, too. How much is handed over depends
 * on how busy the machine is, so each test goes on until it was enough. What is
 * counted is the module's own word, at the helper's side, of what a helper did:
 * one that only waited has computed, too.
 */
#include <ctype.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE		(16 * MIB)
#define ENOUGH		100
#define PATIENCE_MS	60000
#define DEPTH		32
#define SMALL		4096
#define CPU_1		"/sys/devices/system/cpu/cpu1/online"

FIXTURE(helpers) {
	struct nl nl;
	struct vdisk v;
};

FIXTURE_VARIANT(helpers) {
	const char *below;
	const char *options;
	uint64_t sector_size;
};

/* bios end in the submission; what a helper sends down waits for one of 4 tags */
FIXTURE_VARIANT_ADD(helpers, at_once) {
	.below = "memory_backed=1 irqmode=0 hw_queue_depth=4",
	.options = "", .sector_size = 512,
};

/* bios end in a hard interrupt */
FIXTURE_VARIANT_ADD(helpers, by_interrupt) {
	.below = "memory_backed=1 irqmode=2 completion_nsec=10000",
	.options = "2 sector_size:4096 iv_large_sectors", .sector_size = 4096,
};

/* the events that are counted */
#define SMALL_DONE	"vmcrypt_take_over"
#define PIECE_DONE	"vmcrypt_piece"

static void count_end(void)
{
	trace_end(SMALL_DONE);
	trace_end(PIECE_DONE);
}

static int count_begin(void)
{
	int r = trace_begin(SMALL_DONE);

	return r ? r : trace_begin(PIECE_DONE);
}

static bool small_enough_done(void)
{
	return trace_times(SMALL_DONE) >= ENOUGH;
}

static bool pieces_enough_done(void)
{
	return trace_times(PIECE_DONE) >= ENOUGH;
}

/* Under both loads a helper of a slow machine does pieces, and comes too late for the rest. */
static bool enough_done(void)
{
	return trace_times(SMALL_DONE) + trace_times(PIECE_DONE) >= ENOUGH;
}

FIXTURE_SETUP(helpers)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU: nobody could help");
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, nullb_new(&self->v.below, "nullb", SIZE, variant->below));
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "helpers", 64, variant->options));
	ASSERT_EQ(0, count_begin());
}

FIXTURE_TEARDOWN(helpers)
{
	count_end();
	vdisk_free(&self->v);
	test_end(&self->nl);
}

static bool has_name(const char *pid, char *name, size_t size)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	return isdigit(pid[0]) && !file_read(path, name, size);
}

static bool is_helper(const char *pid)
{
	char name[64];
	const char *c = name + strlen("vmcrypt/");

	if (!has_name(pid, name, sizeof(name)) || strncmp(name, "vmcrypt/", 8))
		return false;
	while (isdigit(*c))
		c++;
	return *c == '\n' || !*c;
}

static unsigned int count_helpers(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	unsigned int n = 0;

	while (dir && (e = readdir(dir)))
		n += is_helper(e->d_name);
	if (dir)
		closedir(dir);
	return n;
}

/* 0 when there is none */
static pid_t find_helper(const char *wanted)
{
	DIR *dir = opendir("/proc");
	const struct dirent *e;
	char name[64];
	pid_t pid = 0;

	while (dir && !pid && (e = readdir(dir)))
		if (has_name(e->d_name, name, sizeof(name)) && !strcmp(name, wanted))
			pid = (pid_t)strtol(e->d_name, NULL, 10);
	if (dir)
		closedir(dir);
	return pid;
}

static int use_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

/* a megabyte in one bio, and what the device below has of it */
static int big_round(const struct vdisk *v, uint64_t sector_size, uint64_t seed, uint8_t *p,
		     uint8_t *q)
{
	const uint64_t at = seed % 16 * MIB;
	int r, fd;

	fill(p, MIB, seed);
	r = write_all(v->fd, p, MIB, at);
	if (!r)
		r = read_all(v->fd, q, MIB, at);
	if (r)
		return r;
	if (memcmp(p, q, MIB))
		return -EBADMSG;

	fd = open(v->below.node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	r = fd < 0 ? -errno : read_all(fd, q, MIB, at);
	close(fd);
	if (!r)
		r = xts(&v->dek, false, at / sector_size, 1, sector_size, q, q, MIB);
	return r ? r : memcmp(p, q, MIB) ? -EUCLEAN : 0;
}

/* all of a megabyte in small pieces, DEPTH in flight */
static int small_pass(struct ring *ring, int fd, bool write, uint8_t *area, uint64_t at)
{
	const unsigned int n = MIB / SMALL;
	unsigned int sent = 0, done = 0;
	int r = 0, failed = 0, result;

	while (done < n && !r) {
		while (sent < n && sent - done < DEPTH && !r) {
			r = ring_rw(ring, write, fd, area + sent * SMALL, SMALL, at + sent * SMALL, 0, sent);
			sent++;
		}
		if (!r)
			r = ring_wait(ring, 30000, NULL, &result);
		if (!r && result != SMALL)
			failed = result < 0 ? result : -EIO;
		done++;
	}
	return r ? r : failed;
}

static int small_round(struct ring *ring, int fd, uint64_t seed, uint8_t *p, uint8_t *q)
{
	const uint64_t at = seed % 16 * MIB;
	int r;

	fill(p, MIB, seed);
	memset(q, 0, MIB);
	r = small_pass(ring, fd, true, p, at);
	if (!r)
		r = small_pass(ring, fd, false, q, at);
	return r ? r : memcmp(p, q, MIB) ? -EBADMSG : 0;
}

TEST_F_TIMEOUT(helpers, share_big_bios, 120)
{
	const uint64_t end = now_ms() + PATIENCE_MS * patience();
	uint8_t *p = buffer(MIB), *q = buffer(MIB);
	uint64_t seed = 0;

	ASSERT_EQ(0, use_cpu(0));
	while (!pieces_enough_done() && now_ms() < end)
		ASSERT_EQ(0, big_round(&self->v, variant->sector_size, seed++, p, q));
	ASSERT_TRUE(pieces_enough_done())
		TH_LOG("%llu rounds", (unsigned long long)seed);
}

TEST_F_TIMEOUT(helpers, take_small_bios, 120)
{
	const uint64_t end = now_ms() + PATIENCE_MS * patience();
	uint8_t *p = buffer(MIB), *q = buffer(MIB);
	uint64_t seed = 0;
	struct ring ring;

	ASSERT_EQ(0, use_cpu(0));
	ASSERT_EQ(0, ring_open(&ring, DEPTH, false));
	while (!small_enough_done() && now_ms() < end)
		ASSERT_EQ(0, small_round(&ring, self->v.fd, seed++, p, q));
	ASSERT_TRUE(small_enough_done())
		TH_LOG("%llu rounds", (unsigned long long)seed);
	ring_close(&ring);
}

struct load {
	pthread_t thread;
	const struct vdisk *v;
	bool big;
	volatile bool *stop;
	unsigned int rounds;
	int result;
};

/* one half of the disk for each kind of load */
static void *run_load(void *arg)
{
	struct load *l = arg;
	uint8_t *p = buffer(MIB), *q = buffer(MIB);
	struct ring ring;

	use_cpu(0);
	l->result = ring_open(&ring, DEPTH, false);
	while (!*l->stop && !l->result) {
		const uint64_t seed = l->rounds++ % 8 + (l->big ? 8 : 0);

		fill(p, MIB, l->rounds);
		if (!l->big) {
			l->result = small_round(&ring, l->v->fd, seed, p, q);
			continue;
		}
		l->result = write_all(l->v->fd, p, MIB, seed * MIB);
		if (!l->result)
			l->result = read_all(l->v->fd, q, MIB, seed * MIB);
		if (!l->result && memcmp(p, q, MIB))
			l->result = -EBADMSG;
	}
	ring_close(&ring);
	free(p);
	free(q);
	return NULL;
}

/* @change until it has come @rounds times and the helpers have done enough */
static int under_load(FIXTURE_DATA(helpers) *self, unsigned int rounds,
		      int (*change)(FIXTURE_DATA(helpers) *self, unsigned int round))
{
	const uint64_t end = now_ms() + PATIENCE_MS * patience();
	struct load l[2];
	volatile bool stop = false;
	unsigned int done = 0;
	int r = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		l[i] = (struct load){ .v = &self->v, .big = i, .stop = &stop };
		if (pthread_create(&l[i].thread, NULL, run_load, &l[i]))
			abort();
	}
	while (!r && (done < rounds || !enough_done())) {
		r = now_ms() < end ? change(self, done++) : -ETIME;
		sleep_ms(20);
	}
	printf("# %u of %u rounds, %llu small bios, %llu pieces\n", done, rounds,
	       (unsigned long long)trace_times(SMALL_DONE),
	       (unsigned long long)trace_times(PIECE_DONE));
	stop = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		pthread_join(l[i].thread, NULL);
		if (!r)
			r = l[i].result;
	}
	return r;
}

static int wipe_and_set(FIXTURE_DATA(helpers) *self, unsigned int round)
{
	int r = key_wipe(&self->nl, self->v.dek.uuid, WIPE_FORCE);

	(void)round;
	if (!r)
		r = key_wait(&self->nl, self->v.dek.uuid, KEY_LOCKED, 10000);
	return r ? r : key_set(&self->nl, &self->v.dek);
}

TEST_F_TIMEOUT(helpers, wipe_under_load, 120)
{
	ASSERT_EQ(0, under_load(self, 50, wipe_and_set));
}

static int suspend_resume(FIXTURE_DATA(helpers) *self, unsigned int round)
{
	int r = dm_suspend(self->v.name, DMF_NOLOCKFS | (round & 1 ? DMF_NOFLUSH : 0));

	return r ? r : dm_resume(self->v.name);
}

TEST_F_TIMEOUT(helpers, suspend_under_load, 120)
{
	ASSERT_EQ(0, under_load(self, 50, suspend_resume));
}

static int unplug_and_plug(FIXTURE_DATA(helpers) *self, unsigned int round)
{
	int r = file_write(CPU_1, "0");

	(void)self;
	(void)round;
	if (!r)
		sleep_ms(20);
	return r ? r : file_write(CPU_1, "1");
}

static pid_t unplug_in_child(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(-file_write(CPU_1, "0"));
	return pid;
}

TEST_F_TIMEOUT(helpers, unplug_under_load, 120)
{
	if (access(CPU_1, W_OK))
		SKIP(return, "CPU 1 cannot be unplugged");
	ASSERT_EQ(0, under_load(self, 10, unplug_and_plug));
}

/* A device that answers nothing while it is suspended, and has 128 tags over it. */
#define DEAD	"vt-dead"
#define MANY	240

FIXTURE(dead) {
	struct nl nl;
	struct disk bottom;
	struct vdisk v;
	struct ring ring;
};

FIXTURE_SETUP(dead)
{
	char table[128], node[32];
	unsigned int minor;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || access(CPU_1, W_OK))
		SKIP(return, "CPU 1 cannot be unplugged");
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, nullb_new(&self->bottom, "nullb", SIZE, "memory_backed=1 irqmode=0"));
	snprintf(table, sizeof(table), "0 %llu linear %s 0", SIZE / SECTOR, self->bottom.node);
	ASSERT_EQ(0, dm_make(DEAD, table, 0, &minor));
	snprintf(node, sizeof(node), "/dev/dm-%u", minor);
	ASSERT_EQ(0, loop_over(&self->v.below, node, SIZE, LOOP_DIO));
	ASSERT_EQ(0, vdisk_over(&self->v, &self->nl, "helpers", 64, ""));
	ASSERT_EQ(0, ring_open(&self->ring, 256, /* poll= */ false));
	ASSERT_EQ(0, count_begin());
}

FIXTURE_TEARDOWN(dead)
{
	dm_resume(DEAD);
	file_write(CPU_1, "1");
	count_end();
	ring_close(&self->ring);
	vdisk_free(&self->v);
	dm_remove(DEAD);
	disk_free(&self->bottom);
	test_end(&self->nl);
}

/* true when the helper of CPU 1 waits for a tag, within a moment */
static bool helper_waits(void)
{
	char path[64], where[64];
	pid_t pid = find_helper("vmcrypt/1");

	snprintf(path, sizeof(path), "/proc/%d/wchan", (int)pid);
	for (int i = 0; pid && i < 50; i++) {
		if (!file_read(path, where, sizeof(where)) && strstr(where, "get_tag"))
			return true;
		sleep_ms(10);
	}
	return false;
}

static int send_many(FIXTURE_DATA(dead) *self, uint8_t *area)
{
	int r = 0;

	for (unsigned int i = 0; i < MANY && !r; i++)
		r = ring_rw(&self->ring, /* write= */ true, self->v.fd, area + i * SMALL, SMALL, i * SMALL, 0, i);
	return r;
}

static int receive_many(FIXTURE_DATA(dead) *self)
{
	int r = 0, failed = 0, result;

	for (unsigned int i = 0; i < MANY && !r; i++) {
		r = ring_wait(&self->ring, 30000, NULL, &result);
		if (!r && result != SMALL)
			failed = result < 0 ? result : -EIO;
	}
	return r ? r : failed;
}

/* 0 or how it failed; -EAGAIN when no helper came to wait for the device */
static int unplug_once(FIXTURE_DATA(dead) *self, uint8_t *area)
{
	int r = dm_suspend(DEAD, DMF_NOFLUSH | DMF_NOLOCKFS), end;

	if (!r)
		r = send_many(self, area);
	if (!r)
		r = helper_waits() ? 0 : -EAGAIN;
	if (!r) {
		pid_t pid = unplug_in_child();

		r = async_wait(pid, 20000 * (int)patience());
	}
	end = dm_resume(DEAD);
	if (!end)
		end = receive_many(self);
	return r ? r : end;
}

/* a CPU goes although its helper waits for a device that does not answer */
TEST_F_TIMEOUT(dead, unplug_while_a_helper_waits, 120)
{
	const uint64_t end = now_ms() + PATIENCE_MS * patience();
	uint8_t *p = buffer(MIB), *q = buffer(MIB);
	uint64_t seed = 0;
	int r = -EAGAIN;

	ASSERT_EQ(0, use_cpu(0));
	while (r == -EAGAIN && now_ms() < end) {
		const uint64_t before = trace_times(SMALL_DONE);

		/* until the helper is at it */
		while (trace_times(SMALL_DONE) == before && now_ms() < end)
			ASSERT_EQ(0, small_round(&self->ring, self->v.fd, seed++, p, q));
		fill(p, MANY * SMALL, seed);
		r = unplug_once(self, p);
	}
	ASSERT_EQ(0, r)
		TH_LOG("%llu rounds", (unsigned long long)seed);
	ASSERT_EQ(0, file_write(CPU_1, "1"));
	ASSERT_EQ(0, read_all(self->v.fd, q, MANY * SMALL, 0));
	ASSERT_EQ(0, memcmp(p, q, MANY * SMALL));
}

TEST_F(helpers, go_with_the_module)
{
	ASSERT_LT(1, count_helpers());
	count_end();
	vdisk_free(&self->v);
	nl_close(&self->nl);
	ASSERT_EQ(0, module_unload());
	ASSERT_EQ(0, count_helpers());
	ASSERT_EQ(0, module_load(NULL));
	ASSERT_EQ((unsigned int)sysconf(_SC_NPROCESSORS_ONLN), count_helpers());
	ASSERT_EQ(0, test_begin(&self->nl));
}

TEST_HARNESS_MAIN
