/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The advisory lock that cryptsetup takes around its work on a LUKS2 header, so
 * that neither writes while the other does: flock(2) on the file itself, or for a
 * block device on /run/cryptsetup/L_MAJOR:MINOR (cryptsetup,
 * lib/utils_device_locking.c).
 */
#ifndef VMCRYPT_DISK_LOCK_H
#define VMCRYPT_DISK_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/errors.h"

/** struct header_lock - a lock that is held; HEADER_LOCK_NULL: none */
struct header_lock {
	int fd;
	dev_t device;		/* 0: a plain file */
};

#define HEADER_LOCK_NULL ((struct header_lock) { .fd = -1 })

/**
 * header_lock() - wait for the lock and take it
 * @fd: the device or file, open
 * @path: for error texts
 */
int header_lock(int fd, const char *path, bool exclusive, struct header_lock *ret,
		struct error *e);

/** header_lock_done() - give it back; takes HEADER_LOCK_NULL too */
void header_lock_done(struct header_lock *l);

#define _cleanup_header_lock_ __attribute__((cleanup(header_lock_done)))

#endif
