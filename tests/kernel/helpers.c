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

/* a trace instance for each event that is counted */
#define INSTANCE(event)	"/sys/kernel/tracing/instances/vt-" event
#define SMALL_DONE	"vmcrypt_take_over"
#define PIECE_DONE	"vmcrypt_piece"

static const struct {
	const char *instance, *enable, *size;
} counted[] = {
	{ INSTANCE(SMALL_DONE), INSTANCE(SMALL_DONE) "/events/vmcrypt/" SMALL_DONE "/enable",
	  INSTANCE(SMALL_DONE) "/buffer_size_kb" },
	{ INSTANCE(PIECE_DONE), INSTANCE(PIECE_DONE) "/events/vmcrypt/" PIECE_DONE "/enable",
	  INSTANCE(PIECE_DONE) "/buffer_size_kb" },
};

static void count_end(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(counted); i++) {
		if (access(counted[i].instance, F_OK))
			continue;
		file_write(counted[i].enable, "0");
		rmdir(counted[i].instance);
	}
}

static int count_begin(void)
{
	int r = 0;

	/* of a test that was killed */
	count_end();
	for (size_t i = 0; i < ARRAY_SIZE(counted) && !r; i++) {
		r = mkdir(counted[i].instance, 0700) ? -errno : file_write(counted[i].size, "16");
		if (!r)
			r = file_write(counted[i].enable, "1");
	}
	return r;
}

/* how often the event came, on all CPUs, seen or overwritten; 0 if that cannot be read */
static uint64_t times(const char *instance)
{
	const long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint64_t sum = 0;

	for (long cpu = 0; cpu < cpus; cpu++) {
		char path[200], stats[1024];
		unsigned long long entries, overrun;

		snprintf(path, sizeof(path), "%s/per_cpu/cpu%ld/stats", instance, cpu);
		if (!file_read(path, stats, sizeof(stats)) &&
		    sscanf(stats, "entries: %llu overrun: %llu", &entries, &overrun) == 2)
			sum += entries + overrun;
	}
	return sum;
}

static bool small_enough_done(void)
{
	return times(INSTANCE(SMALL_DONE)) >= ENOUGH;
}

static bool pieces_enough_done(void)
{
	return times(INSTANCE(PIECE_DONE)) >= ENOUGH;
}

/* Under both loads a helper of a slow machine does pieces, and comes too late for the rest. */
static bool enough_done(void)
{
	return times(INSTANCE(SMALL_DONE)) + times(INSTANCE(PIECE_DONE)) >= ENOUGH;
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

static bool is_helper(const char *pid)
{
	char path[300], name[64];
	const char *c = name + strlen("vmcrypt/");

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	if (!isdigit(pid[0]) || file_read(path, name, sizeof(name)) || strncmp(name, "vmcrypt/", 8))
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
	       (unsigned long long)times(INSTANCE(SMALL_DONE)),
	       (unsigned long long)times(INSTANCE(PIECE_DONE)));
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
	int r = file_write("/sys/devices/system/cpu/cpu1/online", "0");

	if (!r)
		sleep_ms(20);
	return r ? r : file_write("/sys/devices/system/cpu/cpu1/online", "1");
}

TEST_F_TIMEOUT(helpers, unplug_under_load, 120)
{
	if (access("/sys/devices/system/cpu/cpu1/online", W_OK))
		SKIP(return, "CPU 1 cannot be unplugged");
	ASSERT_EQ(0, under_load(self, 10, unplug_and_plug));
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
