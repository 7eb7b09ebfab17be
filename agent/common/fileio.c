// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

#define READ_STEP	4096
#define TEMP_SUFFIX	".tmp"

static int fail(struct error *e, int code, const char *what, const char *path)
{
	return error_fail(e, code, "Cannot %s %s: %s", what, path, strerror(abs(code)));
}

static ssize_t read_retry(int fd, void *p, size_t n)
{
	ssize_t got;

	do
		got = read(fd, p, n);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* O_NONBLOCK: a FIFO in the place of a file must not hang the opener. */
static int open_regular(const char *path, struct error *e)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(e, errno, "read", path);
	if (!S_ISREG(st.st_mode))
		return error_fail(e, S_ISDIR(st.st_mode) ? EISDIR : EINVAL,
				  "Cannot read %s: not a regular file", path);
	return TAKE_FD(fd);
}

int file_read_bounded(const char *path, size_t max, char **ret, size_t *ret_size, struct error *e)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *data = NULL;
	size_t size = 0, room = 0;

	fd = open_regular(path, e);
	if (fd < 0)
		return fd;
	for (;;) {
		ssize_t got;

		if (room - size < READ_STEP) {
			char *more = realloc(data, size + READ_STEP + 1);

			if (!more)
				return error_oom(e);
			data = more;
			room = size + READ_STEP;
		}
		got = read_retry(fd, data + size, room - size);
		if (got < 0)
			return fail(e, (int) got, "read", path);
		if (got == 0)
			break;
		size += (size_t) got;
		if (size > max)
			return error_fail(e, EFBIG, "Cannot read %s: larger than %zu bytes", path, max);
	}
	data[size] = '\0';
	*ret = TAKE_PTR(data);
	if (ret_size)
		*ret_size = size;
	return 0;
}

int file_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t put = write(fd, at, size);

		if (put < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		at += put;
		size -= (size_t) put;
	}
	return 0;
}

/* "/a/b" → "/a" and "b", "b" → "." and "b" */
static int split_path(const char *path, char dir[PATH_MAX], const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t) (slash - path) : 0;

	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	*ret_name = slash ? slash + 1 : path;
	if (!**ret_name)
		return -EISDIR;
	if (!slash) {
		dir[0] = '.';
		n = 1;
	} else if (n == 0) {
		dir[0] = '/';
		n = 1;
	} else {
		memcpy(dir, path, n);
	}
	dir[n] = '\0';
	return 0;
}

int file_sync_parent(const char *path, struct error *e)
{
	_cleanup_close_ int fd = -1;
	char dir[PATH_MAX];
	const char *name;
	int r;

	r = split_path(path, dir, &name);
	if (r < 0)
		return fail(e, r, "use the path", path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return fail(e, errno, "make durable the folder", dir);
	return 0;
}

static int fill_temp(int fd, const void *data, size_t size, mode_t mode)
{
	int r;

	if (fchmod(fd, mode) < 0)
		return -errno;
	r = file_write_all(fd, data, size);
	if (r < 0)
		return r;
	return fsync(fd) < 0 ? -errno : 0;
}

/* What stands in the blocks of a file, whatever its name is by now. */
static int overwrite_fd(int fd)
{
	static const uint8_t zeroes[4096];
	off_t left = lseek(fd, 0, SEEK_END);
	int r = 0;

	if (left < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	for (; left > 0 && r == 0; left -= (off_t) sizeof(zeroes))
		r = file_write_all(fd, zeroes, left < (off_t) sizeof(zeroes) ? (size_t) left :
				   sizeof(zeroes));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

/* @secret: what could not be finished is overwritten before it is deleted */
static int write_atomic(const char *path, const void *data, size_t size, mode_t mode, bool secret,
			struct error *e)
{
	_cleanup_close_ int fd = -1;
	char dir[PATH_MAX], temp[PATH_MAX + 16];
	const char *name;
	int r;

	r = split_path(path, dir, &name);
	if (r < 0)
		return fail(e, r, "write", path);
	snprintf(temp, sizeof(temp), "%.*s.%s.XXXXXX" TEMP_SUFFIX, (int) (name - path), path, name);
	fd = mkostemps(temp, sizeof(TEMP_SUFFIX) - 1, O_CLOEXEC);
	if (fd < 0)
		return fail(e, errno, "write", path);

	r = fill_temp(fd, data, size, mode);
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0) {
		if (secret)
			(void) overwrite_fd(fd);
		unlink(temp);
		return fail(e, r, "write", path);
	}
	return file_sync_parent(path, e);
}

int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode,
		      struct error *e)
{
	return write_atomic(path, data, size, mode, /* secret= */ false, e);
}

int file_replace_secret(const char *path, const void *data, size_t size, mode_t mode,
			struct error *e)
{
	_cleanup_close_ int old = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int r;

	if (old < 0 && errno != ENOENT)
		return fail(e, errno, "write", path);
	r = write_atomic(path, data, size, mode, /* secret= */ true, e);
	if (r < 0 || old < 0)
		return r;
	r = overwrite_fd(old);
	if (r < 0)
		log_warning("What %s held before could not be overwritten: %s", path, strerror(-r));
	return 0;
}

int file_remove(const char *path, struct error *e)
{
	if (unlink(path) < 0)
		return fail(e, errno, "delete", path);
	return file_sync_parent(path, e);
}

static int overwrite(const char *path, struct error *e)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int r;

	if (fd < 0)
		return fail(e, errno, "overwrite", path);
	r = overwrite_fd(fd);
	return r < 0 ? fail(e, r, "overwrite", path) : 0;
}

int file_erase_rest(const char *path, struct error *e)
{
	int r = overwrite(path, e);

	return r < 0 ? r : file_remove(path, e);
}

int file_erase(const char *path, bool *ret_gone, struct error *e)
{
	char dir[PATH_MAX], gone[PATH_MAX + 16];
	const char *name;
	int r;

	r = split_path(path, dir, &name);
	if (r < 0)
		return fail(e, r, "delete", path);
	snprintf(gone, sizeof(gone), "%.*s.deleted" TEMP_SUFFIX, (int) (name - path), path);
	if (rename(path, gone) < 0)
		return fail(e, errno, "delete", path);
	if (ret_gone)
		*ret_gone = true;
	r = file_sync_parent(gone, e);
	return r < 0 ? r : file_erase_rest(gone, e);
}

int file_read_secret(int fd, const char *name, size_t max, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret s = SECRET_NULL;
	size_t size = 0;
	int r;

	if (max == 0 || max >= SECRET_MAX)
		max = SECRET_MAX - 1;
	r = secret_new(max + 1, &s);
	if (r < 0)
		return error_fail(e, r, "Cannot read %s: no secure memory left", name);

	while (size <= max) {
		ssize_t got = read_retry(fd, s.data + size, max + 1 - size);

		if (got < 0)
			return fail(e, (int) got, "read", name);
		if (got == 0)
			break;
		size += (size_t) got;
	}
	if (size > max)
		return error_fail(e, EFBIG, "Cannot read %s: larger than %zu bytes", name, max);
	if (size == 0)
		return error_fail(e, ENODATA, "Cannot read %s: it is empty", name);

	/* A copy of the right size: the heap is small, and its blocks are rounded up. */
	r = secret_copy(s.data, size, ret);
	if (r < 0)
		return error_fail(e, r, "Cannot read %s: no secure memory left", name);
	return 0;
}

int file_read_secret_path(const char *path, size_t max, struct secret *ret, struct error *e)
{
	_cleanup_close_ int fd = -1;

	fd = open_regular(path, e);
	if (fd < 0)
		return fd;
	return file_read_secret(fd, path, max, ret, e);
}

int file_read_password(int fd, const char *name, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret s = SECRET_NULL;
	int r;

	r = file_read_secret(fd, name, PASSWORD_MAX + 1, &s, e);
	if (r == -EFBIG)
		return error_fail(e, EFBIG, "The password in %s is longer than %zu bytes", name,
				  PASSWORD_MAX);
	if (r < 0)
		return r;
	if (s.data[s.size - 1] == '\n')
		secret_shrink(&s, s.size - 1);
	if (s.size == 0)
		return error_fail(e, EINVAL, "The password in %s is empty", name);
	if (s.size > PASSWORD_MAX)
		return error_fail(e, EFBIG, "The password in %s is longer than %zu bytes", name,
				  PASSWORD_MAX);
	if (memchr(s.data, '\0', s.size))
		return error_fail(e, EINVAL, "The password in %s holds a zero byte: "
				  "give one line of text", name);
	*ret = secret_take(&s);
	return 0;
}

int file_make_dir(const char *path, mode_t mode, struct error *e)
{
	struct stat st;

	if (mkdir(path, mode) == 0) {
		if (chmod(path, mode) < 0)
			return fail(e, errno, "set the mode of", path);
		return file_sync_parent(path, e);
	}
	if (errno != EEXIST)
		return fail(e, errno, "make the folder", path);
	if (stat(path, &st) < 0)
		return fail(e, errno, "use", path);
	if (!S_ISDIR(st.st_mode))
		return error_fail(e, ENOTDIR, "Cannot make the folder %s: "
				  "something else has this name, move it away", path);
	return 0;
}
