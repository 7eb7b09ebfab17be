// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each allocation of the module's beginning fails once, one after the other. A
 * load that failed has taken down all that it had set up: the next one succeeds,
 * and so does what the module is for. The module must not be loaded.
 *
 * What the kernel does before it looks at the module's parameters is left alone:
 * its tracing warns of what it lacks memory for.
 *
 * fail_load [EVERY [FIRST]]: only each EVERYth of them, from FIRST on
 */
#include <dirent.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "lib.h"

#include "failing.h"

#define MODULE_FILE	"/lib/vmcrypt/dm-vmcrypt.ko"

static int unload(void)
{
	return syscall(SYS_delete_module, "dm_vmcrypt", 0) ? -errno : 0;
}

/* threads of the module, and of its workqueues, whose names may be cut short */
static bool has_threads(void)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	bool found = false;

	while (proc && !found && (entry = readdir(proc))) {
		char path[300], comm[64];

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		found = *entry->d_name >= '1' && *entry->d_name <= '9' &&
			!file_read(path, comm, sizeof(comm)) && strstr(comm, "vmcry");
		if (found)
			printf("# left behind: thread %s\n", comm);
	}
	if (proc)
		closedir(proc);
	return found;
}

/* what the module is for */
static int works(void)
{
	struct vdisk v;
	struct nl nl;
	uint8_t *p, *q;
	int r = test_begin(&nl);

	if (r)
		return r;
	p = buffer(4096);
	q = buffer(4096);
	r = vdisk_new(&v, &nl, "loaded", MIB, 64, "");
	if (!r) {
		fill(p, 4096, 1);
		r = write_all(v.fd, p, 4096, 0);
		if (!r)
			r = read_all(v.fd, q, 4096, 0);
		if (!r && memcmp(p, q, 4096))
			r = -EILSEQ;
		vdisk_free(&v);
	}
	test_end(&nl);
	free(p);
	free(q);
	return r;
}

/* ENODEV: a part of the kernel's that the module asks for, which lacked memory itself */
static bool clean_errno(int r)
{
	return r == -ENOMEM || r == -ENOBUFS || r == -ENOSPC || r == -ENODEV || r == -ENOENT || r == -EAGAIN;
}

/**
 * struct run - which sites fail, and what came of it
 * @image: the module, @size bytes: of memory that it lacks for a file the kernel
 *	would warn
 * @sites: how many there were
 * @failed: how many made the load fail
 */
struct run {
	int fd;
	void *image;
	size_t size;
	unsigned int every;
	unsigned int first;
	unsigned int sites;
	unsigned int failed;
};

static int map_module(struct run *run)
{
	int fd = open(MODULE_FILE, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	run->size = (size_t)st.st_size;
	run->image = mmap(NULL, run->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	close(fd);
	return run->image == MAP_FAILED ? -ENOMEM : 0;
}

static int load(const struct run *run, const char *parameters)
{
	return syscall(SYS_init_module, run->image, run->size, parameters) ? -errno : 0;
}

/* allocations before the parameters */
static int count_before(const struct run *run)
{
	int r;

	failing_arm(run->fd, SITES_MAX);
	r = load(run, "request_timeout_ms=?");
	return r == -EINVAL ? SITES_MAX - (int)failing_left(run->fd) : -EPROTO;
}

static int try_sites(struct run *run)
{
	const int before = count_before(run);

	if (before < 0)
		return before;
	for (unsigned int nth = before + run->first; nth < SITES_MAX; nth += run->every) {
		bool reached;
		int r;

		failing_arm(run->fd, nth);
		r = load(run, "");
		reached = failing_reached(run->fd);
		if (r && !clean_errno(r)) {
			printf("# site %u: %s\n", nth, strerror(-r));
			return r;
		}
		run->failed += r != 0;
		if (r && !reached)
			return r;
		if (r && has_threads())
			return -EBUSY;
		if (r)
			r = load(run, "");
		if (!r && !(run->sites & 15))
			r = works();
		if (!r)
			r = unload();
		if (r) {
			printf("# after site %u: %s\n", nth, strerror(-r));
			return r;
		}
		if (!reached)
			return 0;
		run->sites++;
	}
	return -E2BIG;
}

int main(int argc, char **argv)
{
	struct run run = {
		.fd = failing_open(),
		.every = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : 1,
		.first = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 1,
	};
	int r = run.fd < 0 ? run.fd : !run.every || !run.first ? -EINVAL : map_module(&run);
	bool ok;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..1\n");
	if (!r)
		r = try_sites(&run);
	ok = !r && run.failed;
	printf("%s 1 the module is loaded: %u sites failed, each %u. from %u on, the load with %u\n",
	       ok ? "ok" : "not ok", run.sites, run.every, run.first, run.failed);
	if (r)
		printf("# %s\n", strerror(-r));
	return !ok;
}
