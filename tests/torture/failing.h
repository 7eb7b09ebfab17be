/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's fail-nth: of this task's allocations the nth one fails. Needs a
 * kernel with FAILSLAB and FAIL_PAGE_ALLOC.
 */
#ifndef VMCRYPT_TESTS_FAILING_H
#define VMCRYPT_TESTS_FAILING_H

#include "lib.h"

/* An operation has fewer sites */
#define SITES_MAX	2000

/* the file, which those below take, or a negative errno */
static inline int failing_open(void)
{
	static const char *const all[][2] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	};
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int r = file_write(all[i][0], all[i][1]);

		if (r)
			return r;
	}
	fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static inline void failing_arm(int fd, unsigned int nth)
{
	char text[16];
	ssize_t n = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fd, text, (size_t)n, 0) != n)
		abort();
}

/* how many of them were not reached; none fails any more */
static inline unsigned long failing_left(int fd)
{
	char text[16];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0 || pwrite(fd, "0", 1, 0) != 1)
		abort();
	text[n] = 0;
	return strtoul(text, NULL, 10);
}

/* whether that many were reached; none fails any more */
static inline bool failing_reached(int fd)
{
	return !failing_left(fd);
}

#endif
