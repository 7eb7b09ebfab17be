/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Space in reserve for a disk that others have filled. */
#include "manager/store-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

#define LOW	((uint64_t)256 << 10)	/* bytes: more than most transactions write */

static uint64_t free_bytes(const struct store *s)
{
	struct statvfs fs;

	return fstatvfs(s->dir_fd, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

bool reserve_is_needed(const struct store *s)
{
	return s->reserve > 0 && free_bytes(s) < LOW;
}

/* As much again must stay free: else the reserve would take back what it just gave. */
static bool has_room(const struct store *s)
{
	return free_bytes(s) >= 2 * (STORE_RESERVE_SIZE - s->reserve);
}

/* Bytes that are really allocated, not only said to be in the file. */
static uint64_t allocated(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * 512;
}

void reserve_fill(struct store *s)
{
	_cleanup_close_ int fd = -1;

	if (s->reserve >= STORE_RESERVE_SIZE)
		return;
	fd = openat(s->dir_fd, STORE_RESERVE_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	s->reserve = allocated(fd);
	if (s->reserve >= STORE_RESERVE_SIZE || !has_room(s))
		return;
	/* What a failure leaves of it counts, too. */
	(void)posix_fallocate(fd, 0, (off_t)STORE_RESERVE_SIZE);
	s->reserve = allocated(fd);
	if (s->released > 0 && s->reserve >= STORE_RESERVE_SIZE)
		log_notice("The reserve of %s is whole again", s->dir);
}

bool reserve_release(struct store *s)
{
	_cleanup_close_ int fd = openat(s->dir_fd, STORE_RESERVE_FILE,
					O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	bool had = fd >= 0 && allocated(fd) > 0;

	if (!had || ftruncate(fd, 0) < 0)
		return false;
	s->reserve = 0;
	s->released++;
	log_warning("The file system of %s is full: the manager's reserve of %llu MiB is in use now; free space before it ends",
		    s->dir, (unsigned long long)(STORE_RESERVE_SIZE >> 20));
	return true;
}
