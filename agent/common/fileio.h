/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files: bounded reading, crash-safe writing, reading without a copy in stdio.
 */
#ifndef VMCRYPT_COMMON_FILEIO_H
#define VMCRYPT_COMMON_FILEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/errors.h"
#include "common/secret.h"

/**
 * file_read_bounded() - read a whole file
 * @path: regular file; opened without following a last symbolic link being
 *	forbidden, for administrators do link configuration
 * @max: bytes; a larger file is -EFBIG
 * @ret: malloc'ed, NUL added behind the last byte; written only on success
 * @ret_size: bytes without that NUL; may be NULL
 *
 * Return: 0; -ENOENT and other errno of open(2) and read(2).
 */
int file_read_bounded(const char *path, size_t max, char **ret, size_t *ret_size, struct error *e);

/**
 * file_write_atomic() - replace a file so that after a crash either the old or
 * the new content is there
 * @path: in a folder that exists
 * @mode: of the new file, whatever umask says
 *
 * Temporary file in the same folder, fsync, rename, fsync of the folder. On
 * failure the old file is as it was and no temporary file is left; one left by
 * a crash is called ``.NAME.XXXXXX.tmp`` and is safe to delete. Only when the
 * folder's own fsync fails, the last step, the new content is there and may
 * yet be lost by a crash.
 */
int file_write_atomic(const char *path, const void *data, size_t size, mode_t mode,
		      struct error *e);

/**
 * file_replace_secret() - the same for a file that holds a key, or held one: once the new file
 * stands, what the old one held is overwritten where it lay
 *
 * Renaming alone leaves the old content in free blocks. Overwriting is worth what the storage
 * below makes of it: nothing where each write goes to a new place (copy-on-write file systems
 * and snapshots, flash). That it failed is said in the log, for the new file stands.
 */
int file_replace_secret(const char *path, const void *data, size_t size, mode_t mode,
			struct error *e);

/**
 * file_remove() - unlink, and make that durable by fsync of the folder
 *
 * Return: 0; -ENOENT when there was no such file.
 */
int file_remove(const char *path, struct error *e);

/**
 * file_erase() - the same for a file with a key: overwritten in place first, for what that is
 * worth on the storage below
 * @ret_gone: set to true once there is no such file any more, whatever follows; may be NULL
 *
 * Out of sight before it is overwritten: half a file must not stop the next start. One left by
 * a crash is called ``.deleted.tmp`` and is safe to delete.
 *
 * Return: 0; -ENOENT when there was no such file.
 */
int file_erase(const char *path, bool *ret_gone, struct error *e);

/**
 * file_erase_rest() - overwrite and delete what a crash has left of one: under a name that
 * nobody reads
 */
int file_erase_rest(const char *path, struct error *e);

/**
 * file_sync_parent() - fsync the folder that @path is in
 */
int file_sync_parent(const char *path, struct error *e);

/**
 * file_write_all() - write(2) until all is written or it fails
 *
 * Return: 0 or -errno; what was written is not undone.
 */
int file_write_all(int fd, const void *data, size_t size);

/**
 * file_read_secret() - read a descriptor to its end into the secure heap
 * @fd: read from where it stands; a file, a pipe or a terminal
 * @name: for error texts
 * @max: bytes, at most SECRET_MAX; more is -EFBIG; nothing at all is -ENODATA
 * @ret: written only on success; the caller owns it
 *
 * read(2) straight into the secret, so that no other copy is made.
 */
int file_read_secret(int fd, const char *name, size_t max, struct secret *ret, struct error *e);

/**
 * file_read_secret_path() - the same for a path
 */
int file_read_secret_path(const char *path, size_t max, struct secret *ret, struct error *e);

/** PASSWORD_MAX - longest password, bytes */
#define PASSWORD_MAX ((size_t) 512)

/**
 * file_read_password() - file_read_secret() of a password: one trailing
 * newline is dropped, an empty one and a NUL inside are -EINVAL
 */
int file_read_password(int fd, const char *name, struct secret *ret, struct error *e);

/**
 * file_make_dir() - make a folder, parents not; one that is there keeps
 * its mode, anything else of that name is -ENOTDIR
 */
int file_make_dir(const char *path, mode_t mode, struct error *e);

#endif
