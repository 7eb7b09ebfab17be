// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each allocation of an operation fails once, one after the other: the kernel's
 * fail-nth counts the sites of this task. An operation whose allocation failed
 * may fail, with a clean errno, and must then succeed when it is tried again;
 * nothing of it may be left. Needs a kernel with FAILSLAB and FAIL_PAGE_ALLOC.
 *
 * A write has one more to do: when the page that it is encrypted into fails, it
 * takes the way through the target's reserve, which the module traces. And where a
 * constructor asks for its key, another process has it: a question that was lost for
 * want of memory has to reach that one, too.
 */
#include <signal.h>
#include <sys/prctl.h>

#include "lib.h"

#include "failing.h"

#define DISK_SIZE	(4 * MIB)
#define BYTES		(256 * KIB)
#define SMALL		(4 * KIB)
#define RESERVE_USED	"vmcrypt_reserve"
#define KEY_ASKED_FOR	"vmcrypt_key_request"

/**
 * struct scene - what the operations work on
 * @agent: the process that loads @dek when a constructor asks for it
 * @p: what is written
 * @q: what is read
 */
struct scene {
	struct nl nl;
	struct disk disk;
	struct vdisk v;
	struct dek dek;
	char line[512];
	pid_t agent;
	uint8_t *p;
	uint8_t *q;
};

/* ---- the agent ---- */

/* what is lost shows as ENOBUFS, and those who wait are there to be listed */
static void serve(const struct dek *dek, int ready)
{
	static struct answer a;
	struct nl nl;
	int r = nl_open(&nl);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!r)
		r = nl_join(&nl, nl.requests);
	if (r || write(ready, "", 1) != 1)
		_exit(1);
	for (;;) {
		r = nl_event(&nl, 60000, &a);
		if ((!r || r == -ENOBUFS) && request_count(&nl, &a) > 0)
			key_set(&nl, dek);
	}
}

static int start_agent(struct scene *s)
{
	int p[2];
	char byte;
	ssize_t n;

	if (pipe(p))
		return -errno;
	s->agent = fork();
	if (!s->agent)
		serve(&s->dek, p[1]);
	close(p[1]);
	n = read(p[0], &byte, 1);
	close(p[0]);
	return s->agent < 0 || n != 1 ? -ESRCH : 0;
}

static void stop_agent(struct scene *s)
{
	kill(s->agent, SIGKILL);
	waitpid(s->agent, NULL, 0);
}

/* ---- the operations ---- */

static int load_table(struct scene *s)
{
	return dm_load("vt-nth", s->line, 0);
}

static int resume(struct scene *s)
{
	(void)s;
	return dm_resume("vt-nth");
}

static int set_key(struct scene *s)
{
	return key_set(&s->nl, &s->dek);
}

static int wipe_key(struct scene *s)
{
	return key_wipe(&s->nl, s->dek.uuid, WIPE_FORCE);
}

static int list_disks(struct scene *s)
{
	static struct answer a;
	struct msg m;

	msg_begin(&s->nl, &m, CMD_DISK_GET, 0x300);
	return nl_call(&s->nl, &m, &a);
}

static int write_bytes(struct scene *s, size_t bytes)
{
	ssize_t n = pwrite(s->v.fd, s->p, bytes, 0);

	return n < 0 ? -errno : n == (ssize_t)bytes ? 0 : -EIO;
}

static int write_disk(struct scene *s)
{
	return write_bytes(s, BYTES);
}

static int write_small(struct scene *s)
{
	return write_bytes(s, SMALL);
}

static int read_disk(struct scene *s)
{
	ssize_t n = pread(s->v.fd, s->q, BYTES, 0);

	if (n < 0)
		return -errno;
	return memcmp(s->p, s->q, (size_t)n) ? -EILSEQ : n == (ssize_t)BYTES ? 0 : -EIO;
}

static int swap_table(struct scene *s)
{
	char line[512];

	vdisk_line(&s->v, line, sizeof(line));
	return dm_swap(s->v.name, line, 0);
}

/* ---- before and after ---- */

static int with_device_only(struct scene *s)
{
	unsigned int minor;

	(void)s;
	return dm_new("vt-nth", &minor);
}

static int with_device(struct scene *s)
{
	int r = key_set(&s->nl, &s->dek);

	return r ? r : with_device_only(s);
}

static int with_table(struct scene *s)
{
	int r = with_device(s);

	return r ? r : dm_load("vt-nth", s->line, 0);
}

static int with_key(struct scene *s)
{
	return key_set(&s->nl, &s->dek);
}

static int with_nothing(struct scene *s)
{
	(void)s;
	return 0;
}

/* the shrinkers take the used pages that a write would have been given */
static int with_no_used_pages(struct scene *s)
{
	(void)s;
	return file_write("/proc/sys/vm/drop_caches", "2");
}

static int clear(struct scene *s)
{
	dm_remove("vt-nth");
	key_wipe(&s->nl, s->dek.uuid, WIPE_FORCE);
	return key_wait(&s->nl, s->dek.uuid, KEY_ABSENT, 5000);
}

static int settle(struct scene *s)
{
	/* a reload that failed half way has left it suspended */
	return dm_resume(s->v.name);
}

/* @event: one of the module's, which the operation has to cause; or NULL */
static const struct {
	const char *name;
	int (*before)(struct scene *s);
	int (*op)(struct scene *s);
	int (*after)(struct scene *s);
	const char *event;
} steps[] = {
	{ "load a table", with_device, load_table, clear, NULL },
	{ "load a table and ask for its key", with_device_only, load_table, clear, KEY_ASKED_FOR },
	{ "resume a new device", with_table, resume, clear, NULL },
	{ "set a key", with_nothing, set_key, clear, NULL },
	{ "wipe a key", with_key, wipe_key, clear, NULL },
	{ "list disks", with_nothing, list_disks, clear, NULL },
	{ "write", with_nothing, write_disk, with_nothing, NULL },
	{ "write into new pages", with_no_used_pages, write_small, with_nothing, RESERVE_USED },
	{ "read", with_nothing, read_disk, with_nothing, NULL },
	{ "reload under the same name", with_nothing, swap_table, settle, NULL },
};

static bool clean_errno(int r)
{
	return !r || r == -ENOMEM || r == -EIO || r == -ENOBUFS || r == -EAGAIN || r == -ENOSPC || r == -ENXIO ||
	       r == -ENOKEY || r == -EINVAL || r == -ENOENT;
}

/* 0 when each site was tried; the number of sites in @ret_sites */
static int try_sites(struct scene *s, int fd, size_t i, unsigned int *ret_sites)
{
	for (unsigned int nth = 1; nth < SITES_MAX; nth++) {
		int result, again;
		bool reached;

		if (steps[i].before(s))
			return -ENOTRECOVERABLE;
		failing_arm(fd, nth);
		result = steps[i].op(s);
		reached = failing_reached(fd);
		if (!clean_errno(result)) {
			printf("# %s, site %u: %s\n", steps[i].name, nth, strerror(-result));
			return result;
		}
		if (result) {
			steps[i].after(s);
			if (steps[i].before(s))
				return -ENOTRECOVERABLE;
			again = steps[i].op(s);
			if (again) {
				printf("# %s, after site %u: %s\n", steps[i].name, nth, strerror(-again));
				return again;
			}
		}
		if (steps[i].after(s))
			return -ENOTRECOVERABLE;
		if (!reached) {
			*ret_sites = nth - 1;
			return result;
		}
	}
	return -E2BIG;
}

static int run_step(struct scene *s, int fd, size_t i, unsigned int *ret_sites)
{
	const char *event = steps[i].event;
	uint64_t times = 0;
	int r = event ? trace_begin(event) : 0;

	if (!r)
		r = try_sites(s, fd, i, ret_sites);
	if (event) {
		times = trace_times(event);
		trace_end(event);
		printf("# %s: %llu times %s\n", steps[i].name, (unsigned long long)times, event);
	}
	if (r)
		return r;
	/* an operation that allocates nothing was not tested */
	return !*ret_sites || (event && !times) ? -ENODATA : 0;
}

static int prepare(struct scene *s)
{
	struct line l = { .length = MIB / SECTOR, .uuid = s->dek.text };
	int r = test_begin(&s->nl);

	if (!r)
		r = loop_new(&s->disk, DISK_SIZE, 512, 0);
	if (!r)
		r = vdisk_new(&s->v, &s->nl, "stands", DISK_SIZE, 64, "");
	if (r)
		return r;
	dek_random(&s->dek, 64);
	l.device = s->disk.node;
	line_print(&l, s->line, sizeof(s->line));
	s->p = buffer(BYTES);
	s->q = buffer(BYTES);
	fill(s->p, BYTES, 1);
	r = write_disk(s);
	return r ? r : start_agent(s);
}

/* fail_nth [WORDS]: only the operations whose name has these */
int main(int argc, char **argv)
{
	const char *wanted = argc > 1 ? argv[1] : "";
	unsigned int number = 0, planned = 0;
	static struct scene s;
	int fd = failing_open();
	int r = fd < 0 ? fd : prepare(&s);
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (r) {
		printf("1..1\nnot ok 1 set-up: %s\n", strerror(-r));
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		planned += strstr(steps[i].name, wanted) != NULL;
	printf("1..%u\n", planned);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		unsigned int sites = 0;

		if (!strstr(steps[i].name, wanted))
			continue;
		r = run_step(&s, fd, i, &sites);
		failed += r != 0;
		printf("%s %u %s: %u sites failed\n", r ? "not ok" : "ok", ++number, steps[i].name, sites);
		if (r)
			printf("# %s\n", strerror(-r));
	}
	stop_agent(&s);
	vdisk_free(&s.v);
	test_end(&s.nl);
	disk_free(&s.disk);
	return failed ? 1 : 0;
}
