// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each allocation of an operation fails once, one after the other: the kernel's
 * fail-nth counts the sites of this task. An operation whose allocation failed
 * may fail, with a clean errno, and must then succeed when it is tried again;
 * nothing of it may be left. Needs a kernel with FAILSLAB and FAIL_PAGE_ALLOC.
 *
 * A write has one more to do: when the page that it is encrypted into fails, it
 * takes the way through the target's reserve, which the module traces.
 */
#include "lib.h"

#define DISK_SIZE	(4 * MIB)
#define BYTES		(256 * KIB)
#define SMALL		(4 * KIB)
#define SITES_MAX	2000
#define RESERVE_USED	"vmcrypt_reserve"

/**
 * struct scene - what the operations work on
 * @p: what is written
 * @q: what is read
 */
struct scene {
	struct nl nl;
	struct disk disk;
	struct vdisk v;
	struct dek dek;
	char line[512];
	uint8_t *p;
	uint8_t *q;
};

static int settings(void)
{
	static const char *const all[][2] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int r = file_write(all[i][0], all[i][1]);

		if (r)
			return r;
	}
	return 0;
}

/* true when the site was reached */
static bool arm_and_run(int fd, unsigned int nth, int (*op)(struct scene *), struct scene *s, int *ret_result)
{
	char text[16];
	ssize_t n = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fd, text, (size_t)n, 0) != n)
		abort();
	*ret_result = op(s);
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0 || pwrite(fd, "0", 1, 0) != 1)
		abort();
	text[n] = 0;
	return !strtoul(text, NULL, 10);
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

static int with_device(struct scene *s)
{
	unsigned int minor;
	int r = key_set(&s->nl, &s->dek);

	return r ? r : dm_new("vt-nth", &minor);
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
		reached = arm_and_run(fd, nth, steps[i].op, s, &result);
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
		r = settings();
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
	return write_disk(s);
}

/* fail_nth [WORDS]: only the operations whose name has these */
int main(int argc, char **argv)
{
	const char *wanted = argc > 1 ? argv[1] : "";
	unsigned int number = 0, planned = 0;
	static struct scene s;
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	int r = fd < 0 ? -errno : prepare(&s);
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
	vdisk_free(&s.v);
	test_end(&s.nl);
	disk_free(&s.disk);
	return failed ? 1 : 0;
}
