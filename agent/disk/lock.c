/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "disk/lock.h"

#define LOCK_DIR	"/run/cryptsetup"
#define LOCK_NAME_MAX	32

static void lock_name(dev_t device, char ret[LOCK_NAME_MAX])
{
	snprintf(ret, LOCK_NAME_MAX, "L_%u:%u", major(device), minor(device));
}

static int open_dir(void)
{
	int fd = open(LOCK_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		if (mkdir(LOCK_DIR, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = open(LOCK_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

static int flock_wait(int fd, int how)
{
	while (flock(fd, how) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static bool is_file_of(int fd, int dir, const char *name)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The last holder removes the file; who waited for that one starts again. */
static int lock_block(dev_t device, int how)
{
	_cleanup_close_ int dir = open_dir();
	char name[LOCK_NAME_MAX];

	if (dir < 0)
		return TAKE_FD(dir);
	lock_name(device, name);
	for (;;) {
		_cleanup_close_ int fd = openat(dir, name,
						O_CREAT | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600);
		int r;

		if (fd < 0)
			return -errno;
		r = flock_wait(fd, how);
		if (r < 0)
			return r;
		if (is_file_of(fd, dir, name))
			return TAKE_FD(fd);
	}
}

/* A descriptor of its own, whose lock also excludes other threads of ours. */
static int lock_plain(int fd, int how)
{
	_cleanup_close_ int own = -1;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return -errno;
	r = flock_wait(own, how);
	return r < 0 ? r : TAKE_FD(own);
}

int header_lock(int fd, const char *path, bool exclusive, struct header_lock *ret, struct error *e)
{
	int how = exclusive ? LOCK_EX : LOCK_SH, r;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_fail(e, errno, "Reading the state of %s: %s", path, strerror(errno));
	r = S_ISBLK(st.st_mode) ? lock_block(st.st_rdev, how) : lock_plain(fd, how);
	if (r < 0)
		return error_fail(e, r, "Locking the header of %s%s: %s", path,
				  S_ISBLK(st.st_mode) ? " in " LOCK_DIR : "", strerror(-r));
	ret->fd = r;
	ret->device = S_ISBLK(st.st_mode) ? st.st_rdev : 0;
	return 0;
}

void header_lock_done(struct header_lock *l)
{
	_cleanup_close_ int dir = -1;
	char name[LOCK_NAME_MAX];

	if (l->fd < 0)
		return;
	if (l->device) {
		lock_name(l->device, name);
		dir = open(LOCK_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0 && flock(l->fd, LOCK_EX | LOCK_NB) == 0 &&
		    is_file_of(l->fd, dir, name))
			unlinkat(dir, name, 0);
	}
	l->fd = close_fd(l->fd);
}
