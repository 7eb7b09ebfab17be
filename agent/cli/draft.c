// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"

#define TEMP_SUFFIX ".tmp"

static int fail(const char *path, int r, struct error *e)
{
	if (r == -EEXIST)
		return error_fail(e, EEXIST, "%s exists already, and is not written over: name another file",
				  path);
	return error_fail(e, -r, "Cannot make %s: %s", path, strerror(-r));
}

int draft_begin(const char *path, struct draft *ret, struct error *e)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct stat st;
	int fd, n;

	if (lstat(path, &st) == 0)
		return fail(path, -EEXIST, e);
	*ret = (struct draft) { .path = path };
	n = snprintf(ret->temp, sizeof(ret->temp), "%.*s.%s.XXXXXX" TEMP_SUFFIX, (int)(name - path),
		     path, name);
	if (n < 0 || (size_t)n >= sizeof(ret->temp))
		return fail(path, -ENAMETOOLONG, e);
	fd = mkostemps(ret->temp, sizeof(TEMP_SUFFIX) - 1, O_CLOEXEC);
	if (fd < 0) {
		ret->temp[0] = '\0';
		return fail(path, -errno, e);
	}
	ret->out = fdopen(fd, "w");
	if (ret->out)
		return 0;
	close_fd(fd);
	draft_done(ret);
	return error_oom(e);
}

/* Some network file systems know no other way to leave alone what is there. */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (link(from, to) < 0 || unlink(from) < 0)
		return -errno;
	return 0;
}

int draft_keep(struct draft *d, struct error *e)
{
	int r = 0;

	if (fflush(d->out) != 0 || ferror(d->out) || fsync(fileno(d->out)) < 0)
		r = errno ? -errno : -EIO;
	if (r == 0)
		r = rename_new(d->temp, d->path);
	if (r < 0)
		return fail(d->path, r, e);
	d->temp[0] = '\0';
	return file_sync_parent(d->path, e);
}

void draft_done(struct draft *d)
{
	if (d->out)
		fclose(d->out);
	if (d->temp[0])
		unlink(d->temp);
	d->out = NULL;
	d->temp[0] = '\0';
}
