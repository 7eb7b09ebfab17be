/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <blkid/blkid.h>

#include "common/cleanup.h"
#include "disk/probe.h"

static void probe_freep(blkid_probe *p)
{
	blkid_free_probe(*p);
}

static const char *found_what(blkid_probe p)
{
	const char *type = NULL;

	if (blkid_probe_lookup_value(p, "TYPE", &type, NULL) < 0 &&
	    blkid_probe_lookup_value(p, "PTTYPE", &type, NULL) < 0)
		return "something";
	return type;
}

int probe_empty(const char *path, struct error *e)
{
	_cleanup_(probe_freep) blkid_probe p = blkid_new_probe();
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (!p)
		return error_oom(e);
	if (fd < 0)
		return error_fail(e, errno, "Opening %s: %s", path, strerror(errno));
	errno = 0;
	if (blkid_probe_set_device(p, fd, 0, 0) < 0)
		return error_fail(e, errno, "Looking for data on %s: %s", path,
				  strerror(errno ? errno : EIO));
	blkid_probe_enable_superblocks(p, 1);
	blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_TYPE);
	blkid_probe_enable_partitions(p, 1);

	r = blkid_do_safeprobe(p);
	if (r == 1)
		return 0;
	/* -2: several signatures at once */
	if (r == 0 || r == -2)
		return error_fail(e, EEXIST, "%s holds data already (%s): give another device, or force "
				  "to lose what is on it", path,
				  r == 0 ? found_what(p) : "several signatures");
	return error_fail(e, errno ? errno : EIO, "Looking for data on %s: %s", path,
			  strerror(errno ? errno : EIO));
}
