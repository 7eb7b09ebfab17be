/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one lock around libcryptsetup and libdevmapper.
 *
 * Neither library is safe in threads: libdevmapper keeps its control descriptor,
 * its log function and its list of pending device nodes in globals, and
 * libcryptsetup sets that log function in crypt_init() and closes that
 * descriptor in crypt_free(). So the two share a lock. What runs under it must
 * not wait for storage of a guest: libcryptsetup only sees copies in memory.
 */
#ifndef VMCRYPT_DISK_LIBRARY_H
#define VMCRYPT_DISK_LIBRARY_H

#include <stddef.h>

/**
 * disk_library_lock() - enter the libraries
 *
 * From here to disk_library_unlock() their messages are kept for
 * disk_library_message(), in the thread that holds the lock.
 */
void disk_library_lock(void);
void disk_library_unlock(void);

/**
 * disk_library_message() - what the libraries said last since the lock was taken
 *
 * One line, "" when nothing was said. Only with the lock held; valid until
 * disk_library_unlock().
 */
const char *disk_library_message(void);

#endif
