/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that dies at any write to the header, the write done not at all, in part or whole: what is
 * left opens with the old wrap or the new one. A second process traces the first one's system calls
 * (ptrace(2)), so that nothing in the code under test knows of it.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <linux/ptrace.h>

#include "common/log.h"
#include "disk_fixture.h"

typedef int (*operation_t)(struct fixture *f);

/**
 * struct death - where the traced process dies
 * @at: number of the write or sync to the file, from 0
 * @part: of a write that still reaches the file, in 1/256 of it
 * @seen: writes and syncs so far
 * @reached: it died there
 */
struct death {
	const char *path;
	unsigned int at, part, seen;
	bool reached;
};

static bool is_file(pid_t pid, uint64_t fd, const char *path)
{
	char link[64], target[256];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/fd/%llu", (int) pid, (unsigned long long) fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, path) == 0;
}

/* Does what the kernel had done of the write when the machine stopped. */
static void write_part(pid_t pid, const struct death *d, const uint64_t *args)
{
	size_t size = args[2] * d->part / 256;
	uint8_t *data = malloc(size + 1);
	struct iovec to = { data, size }, from = { (void *) (uintptr_t) args[1], size };

	assert_non_null(data);
	if (size > 0) {
		assert_int_equal(process_vm_readv(pid, &to, 1, &from, 1, 0), (ssize_t) size);
		fixture_write(d->path, data, size, (off_t) args[3]);
	}
	free(data);
}

/* Whether the process has to die at this system call. */
static bool dies_here(pid_t pid, struct death *d, const struct ptrace_syscall_info *i)
{
	bool writes = i->entry.nr == SYS_pwrite64 || i->entry.nr == SYS_write ||
		      i->entry.nr == SYS_ftruncate;
	bool syncs = i->entry.nr == SYS_fsync || i->entry.nr == SYS_fdatasync;

	if ((!writes && !syncs) || !is_file(pid, i->entry.args[0], d->path))
		return false;
	if (d->seen++ != d->at)
		return false;
	if (i->entry.nr == SYS_pwrite64) {
		uint64_t args[6];

		memcpy(args, i->entry.args, sizeof(args));
		write_part(pid, d, args);
	}
	d->reached = true;
	return true;
}

static void trace(pid_t pid, struct death *d)
{
	struct ptrace_syscall_info info;
	int status, deliver = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, (void *) (intptr_t) deliver), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) || WIFSIGNALED(status))
			break;
		deliver = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		if (deliver)
			continue;
		assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *) sizeof(info), &info) > 0);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY && dies_here(pid, d, &info)) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return;
		}
	}
	/* It came to its end: that has to be a good one. */
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void run_until_death(struct fixture *f, operation_t operation, struct death *d)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(99);
		raise(SIGSTOP);
		_exit(operation(f) == 0 ? 0 : 1);
	}
	trace(pid, d);
}

static int add_wrap(struct fixture *f)
{
	_cleanup_header_ struct disk_header *h = fixture_open(f, NULL, 0);
	struct error e = ERROR_NULL;

	return header_add_wrap(h, &f->dek, &f->locator2, &f->kek2, &e);
}

static int rewrap(struct fixture *f)
{
	_cleanup_header_ struct disk_header *h = fixture_open(f, NULL, 0);
	struct error e = ERROR_NULL;

	return header_rewrap(h, &f->dek, &f->locator2, &f->kek2, &e);
}

static int repair(struct fixture *f)
{
	_cleanup_header_ struct disk_header *h = fixture_open(f, NULL, HEADER_REPAIR);

	return h->repaired ? 0 : -EIO;
}

static int create(struct fixture *f)
{
	struct header_params p = fixture_params(f);
	_cleanup_header_ struct disk_header *h = NULL;
	struct error e = ERROR_NULL;

	p.force = true;
	return header_create(&p, &f->dek, &f->locator, &f->kek, &h, &e);
}

/* The disk opens after every death; with the wraps that its header then has. */
static void check_opens(struct fixture *f, size_t least, size_t most)
{
	struct disk_header *h = fixture_open(f, NULL, HEADER_REPAIR);

	assert_in_range(h->token.n_wraps, least, most);
	header_free(h);
	h = fixture_open(f, NULL, 0);
	assert_false(h->damaged);
	header_free(h);
}

/* Kills @operation at each of its writes, in each of these parts. Return: how many there were. */
static unsigned int kill_everywhere(struct fixture *f, operation_t operation, const uint8_t *before)
{
	static const unsigned int parts[] = { 0, 1, 200 };
	unsigned int deaths = 0;

	for (unsigned int at = 0;; at++)
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
			struct death d = { .path = f->disk, .at = at, .part = parts[i] };

			fixture_write(f->disk, before, 2 * COPY_SIZE, 0);
			run_until_death(f, operation, &d);
			check_opens(f, 1, 2);
			if (!d.reached)
				return deaths;
			deaths++;
		}
}

static void test_operations(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	uint8_t before[2 * COPY_SIZE], damaged[2 * COPY_SIZE];

	fixture_create(f, &p);
	fixture_read(f->disk, before, sizeof(before), 0);

	/* Two copies, each written and synced: at least four places to die. */
	assert_true(kill_everywhere(f, add_wrap, before) >= 4 * 3);
	assert_true(kill_everywhere(f, rewrap, before) >= 8 * 3);
	for (int copy = 0; copy < 2; copy++) {
		memcpy(damaged, before, sizeof(damaged));
		memset(damaged + copy * COPY_SIZE + 5000, 'x', 500);
		assert_true(kill_everywhere(f, repair, damaged) >= 2 * 3);
		assert_true(kill_everywhere(f, add_wrap, damaged) >= 4 * 3);
	}
}

/* A creation that dies leaves no header, or the whole one; never one that half opens. */
static void test_create(void **state)
{
	struct fixture *f = *state;
	static const unsigned int parts[] = { 0, 200 };
	unsigned int none = 0, whole = 0;

	for (unsigned int at = 0;; at++)
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
			struct death d = { .path = f->disk, .at = at, .part = parts[i] };
			_cleanup_header_ struct disk_header *h = NULL;
			struct error e = ERROR_NULL;
			int r;

			fixture_disk(f->disk, DISK_SIZE);
			run_until_death(f, create, &d);
			r = header_open(f->disk, NULL, 0, &h, &e);
			if (r < 0) {
				assert_true(r == -ENOMSG || r == -EBADMSG);
				none++;
			} else {
				header_free(fixture_open(f, NULL, HEADER_REPAIR));
				whole++;
			}
			if (!d.reached) {
				assert_true(none > 10 && whole > 3);
				return;
			}
		}
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_operations),
		TEST(test_create),
	};

	/* 500 lines about damaged copies are what this test wants, not what anybody wants to read. */
	log_set_level(LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
