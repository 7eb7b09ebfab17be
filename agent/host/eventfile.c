/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/eventfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/log.h"

#define FILE_MODE	0600

/* Allocate up to @max bytes without making the file longer. */
static int allocate(struct eventfile *f, int fd, uint64_t max)
{
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)max) == 0)
		return 0;
	if (errno == EOPNOTSUPP)
		f->no_reserve = true;
	return -errno;
}

static void extend(struct eventfile *f)
{
	if (f->extent < f->max && allocate(f, f->fd, f->max) == 0)
		f->extent = f->max;
}

static int make_spare(struct eventfile *f)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (f->spare_fd >= 0 || f->no_reserve)
		return 0;
	fd = openat(f->dir_fd, EVENTFILE_SPARE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return -errno;
	r = allocate(f, fd, f->max);
	if (r < 0) {
		/* Half a reserve would only take what others need. */
		unlinkat(f->dir_fd, EVENTFILE_SPARE, 0);
		return r;
	}
	if (fsync(fd) < 0)
		return -errno;
	f->spare_fd = TAKE_FD(fd);
	return 0;
}

static void drop_old(struct eventfile *f)
{
	if (unlinkat(f->dir_fd, EVENTFILE_OLD, 0) == 0)
		f->old_size = 0;
}

/* A spare one made now, when the file system cannot make one beforehand. */
static int open_next(struct eventfile *f)
{
	int r = make_spare(f);

	if (r == -ENOSPC || r == -EDQUOT) {
		drop_old(f);
		r = make_spare(f);
	}
	if (r == 0 || !f->no_reserve)
		return r;
	f->spare_fd = openat(f->dir_fd, EVENTFILE_SPARE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			     FILE_MODE);
	return f->spare_fd < 0 ? -errno : 0;
}

static int rotate(struct eventfile *f)
{
	int r;

	if (f->spare_fd < 0) {
		r = open_next(f);
		if (r < 0)
			return r;
	}
	if (renameat(f->dir_fd, EVENTFILE_NAME, f->dir_fd, EVENTFILE_OLD) < 0)
		return -errno;
	/* A crash between the two is mended by take_up_spare(). */
	if (renameat(f->dir_fd, EVENTFILE_SPARE, f->dir_fd, EVENTFILE_NAME) < 0) {
		r = -errno;
		renameat(f->dir_fd, EVENTFILE_OLD, f->dir_fd, EVENTFILE_NAME);
		return r;
	}
	if (fsync(f->dir_fd) < 0)
		log_warning("Cannot sync the folder %s: %s", f->dir, strerror(errno));
	close_fd(f->fd);
	f->fd = TAKE_FD(f->spare_fd);
	f->old_size = f->size;
	f->size = 0;
	f->extent = f->no_reserve ? 0 : f->max;
	(void)make_spare(f);
	return 0;
}

int eventfile_reserve(struct eventfile *f, uint64_t need, struct error *e)
{
	int r;

	if (need > f->max)
		return error_fail(e, ENOSPC, "Cannot record an event in %s: too many operations are under way; try again",
				  f->dir);
	(void)make_spare(f);
	extend(f);
	if (f->size + need <= f->max && (f->no_reserve || f->size + need <= f->extent))
		return 0;
	r = rotate(f);
	if (r < 0)
		return error_fail(e, r, "Cannot record an event in %s: no space is left (%s); free some on its file system",
				  f->dir, strerror(-r));
	return 0;
}

int eventfile_append(struct eventfile *f, const char *text, size_t size, struct error *e)
{
	size_t done = 0;
	ssize_t n;
	int r = 0;

	while (done < size) {
		n = pwrite(f->fd, text + done, size - done, (off_t)(f->size + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -EIO;
			break;
		}
		done += (size_t)n;
	}
	if (r == 0 && fdatasync(f->fd) < 0)
		r = -errno;
	if (r < 0) {
		if (ftruncate(f->fd, (off_t)f->size) == 0) {
			f->extent = f->size;
			extend(f);
		}
		return error_fail(e, r, "Cannot record an event in %s/%s: %s; look at its file system",
				  f->dir, EVENTFILE_NAME, strerror(-r));
	}
	f->size += size;
	if (f->extent < f->size)
		f->extent = f->size;
	return 0;
}

bool eventfile_healthy(const struct eventfile *f)
{
	return !f->no_reserve && f->spare_fd >= 0 && f->extent >= f->max;
}

uint64_t eventfile_reserved(const struct eventfile *f)
{
	return f->extent - f->size + (f->spare_fd >= 0 && !f->no_reserve ? f->max : 0);
}

int eventfile_lines(FILE *file, uint64_t size,
		    int (*line)(const char *text, size_t size, uint64_t end, void *userdata),
		    void *userdata)
{
	_cleanup_free_ char *text = NULL;
	size_t room = 0;
	uint64_t end = 0;
	ssize_t n;
	int r;

	while (end < size && (n = getline(&text, &room, file)) > 0) {
		end += (uint64_t)n;
		if (end > size || text[n - 1] != '\n')
			break;
		text[n - 1] = '\0';
		r = line(text, (size_t)n - 1, end, userdata);
		if (r < 0)
			return r;
	}
	return 0;
}

static FILE *reader(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *file;

	if (fd < 0)
		return NULL;
	file = fdopen(fd, "re");
	if (!file)
		close_fd(fd);
	return file;
}

int eventfile_readers(const struct eventfile *f, FILE *ret[2], uint64_t ret_sizes[2],
		      struct error *e)
{
	FILE *now = reader(f->dir_fd, EVENTFILE_NAME);

	if (!now)
		return error_fail(e, errno, "Cannot read %s/%s: %s", f->dir, EVENTFILE_NAME,
				  strerror(errno));
	ret[0] = reader(f->dir_fd, EVENTFILE_OLD);
	ret[1] = now;
	ret_sizes[0] = ret[0] ? f->old_size : 0;
	ret_sizes[1] = f->size;
	return 0;
}

struct repair {
	bool (*valid)(const char *line, size_t size, void *userdata);
	void *userdata;
	uint64_t good_end;
};

static int repair_line(const char *text, size_t size, uint64_t end, void *userdata)
{
	struct repair *repair = userdata;

	if (repair->valid(text, size, repair->userdata))
		repair->good_end = end;
	return 0;
}

static int walk_file(struct eventfile *f, const char *name, struct repair *repair,
		     uint64_t *ret_size)
{
	_cleanup_fclose_ FILE *file = reader(f->dir_fd, name);
	struct stat st;

	if (!file)
		return -errno;
	if (fstat(fileno(file), &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	eventfile_lines(file, (uint64_t)st.st_size, repair_line, repair);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* A change for the spare file that a crash has cut short. */
static void take_up_spare(struct eventfile *f)
{
	if (faccessat(f->dir_fd, EVENTFILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		renameat(f->dir_fd, EVENTFILE_SPARE, f->dir_fd, EVENTFILE_NAME);
}

static int open_present(struct eventfile *f, struct repair *repair)
{
	int r;

	take_up_spare(f);
	f->fd = openat(f->dir_fd, EVENTFILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		       FILE_MODE);
	if (f->fd < 0)
		return -errno;
	r = walk_file(f, EVENTFILE_OLD, repair, &f->old_size);
	if (r < 0 && r != -ENOENT)
		return r;
	repair->good_end = 0;
	r = walk_file(f, EVENTFILE_NAME, repair, &f->size);
	if (r < 0)
		return r;
	if (f->size > repair->good_end) {
		log_warning("%s/%s: the last %llu bytes are no whole event (a crash?); they are cut off",
			    f->dir, EVENTFILE_NAME,
			    (unsigned long long)(f->size - repair->good_end));
		if (ftruncate(f->fd, (off_t)repair->good_end) < 0 || fsync(f->fd) < 0)
			return -errno;
		f->size = repair->good_end;
	}
	f->extent = f->size;
	extend(f);
	(void)make_spare(f);
	return fsync(f->dir_fd) < 0 ? -errno : 0;
}

int eventfile_open(const char *dir, uint64_t max,
		   bool (*valid)(const char *line, size_t size, void *userdata), void *userdata,
		   struct eventfile *ret, struct error *e)
{
	struct eventfile f = { .fd = -1, .spare_fd = -1, .max = max };
	struct repair repair = { .valid = valid, .userdata = userdata };
	int r;

	f.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f.dir_fd < 0)
		return error_fail(e, errno, "Cannot open the state folder %s: %s; make it (mode 0700)",
				  dir, strerror(errno));
	f.dir = strdup(dir);
	if (!f.dir) {
		eventfile_close(&f);
		return error_oom(e);
	}
	if (flock(f.dir_fd, LOCK_EX | LOCK_NB) < 0) {
		eventfile_close(&f);
		return error_fail(e, EBUSY, "Cannot use the state folder %s: another vmcryptd has it; stop that one first",
				  dir);
	}
	r = open_present(&f, &repair);
	if (r < 0) {
		eventfile_close(&f);
		return error_fail(e, r, "Cannot open the event store %s/%s: %s", dir,
				  EVENTFILE_NAME, strerror(-r));
	}
	*ret = f;
	return 0;
}

void eventfile_close(struct eventfile *f)
{
	f->spare_fd = close_fd(f->spare_fd);
	f->fd = close_fd(f->fd);
	f->dir_fd = close_fd(f->dir_fd);
	free(f->dir);
	f->dir = NULL;
}
