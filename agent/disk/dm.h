/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mapped devices with a vmcrypt target, through libdevmapper.
 *
 * libdevmapper keeps global state and is not thread-safe, and libcryptsetup
 * meddles with that state; all calls into either are made under one lock,
 * disk_library_lock() in library.h. Any thread may call what is here. A call
 * blocks as long as its ioctl does: dm_disk_create() and dm_disk_reload() never wait for
 * a key when the caller has loaded it before, as it must; dm_disk_suspend() with
 * DM_SUSPEND_FLUSH may wait for held I/O and is not for a thread that others need.
 */
#ifndef VMCRYPT_DISK_DM_H
#define VMCRYPT_DISK_DM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "disk/header.h"
#include "vmcrypt.h"

#define DM_DISK_UUID_PREFIX	"VMCRYPT-"

/** enum key_loss - what a target does with I/O while its key is gone */
enum key_loss {
	KEY_LOSS_QUEUE,			/* hold it; the default */
	KEY_LOSS_ERROR,			/* fail it */
};

/** key_loss_from_name() - "queue" or "error"; -EINVAL for any other text */
int key_loss_from_name(const char *name, enum key_loss *ret);

/** struct dm_disk_options - what the administrator may choose at an attach */
struct dm_disk_options {
	bool allow_discards;
	bool read_only;
	enum key_loss key_loss;
};

/** dm_name_check() - 1 to 127 bytes of [A-Za-z0-9#+-.:=@_], neither "." nor ".." nor "control" */
int dm_name_check(const char *name, struct error *e);

/**
 * dm_disk_table() - the table line of a disk: "0 LEN vmcrypt ..."
 * @hdr: a header that header_unlock() has authenticated, else -EACCES
 *
 * LEN is the size of the device less the data offset, in sectors of 512 bytes.
 * The device is named by its path, or by MAJOR:MINOR where the path holds what a
 * table line cannot. -ENOTBLK for a plain file, for which device-mapper has no use.
 */
int dm_disk_table(const struct disk_header *hdr, const struct dm_disk_options *o, char **ret,
		  struct error *e);

/**
 * dm_format_table() - the parameters of a vmcrypt target
 * @device: a word for the device below
 * @ret: malloc'ed
 */
int dm_format_table(const struct disk_header *hdr, const char *device,
		    const struct dm_disk_options *o, char **ret, struct error *e);

/**
 * dm_disk_create() - create and activate a mapped device
 * @hdr: authenticated as for dm_disk_table()
 *
 * The key must be in the kernel. UUID of the mapped device: "VMCRYPT-", the
 * LUKS UUID without hyphens, "-", the name (cut to what fits). udev's rules that
 * look into the content or make links from it are switched off for the device: what a guest
 * wrote must not steer the host. -EEXIST when the name is taken.
 */
int dm_disk_create(const struct disk_header *hdr, const char *name,
		   const struct dm_disk_options *o, struct error *e);

/** dm_disk_reload() - load a new table and make it live (load, suspend, resume) */
int dm_disk_reload(const struct disk_header *hdr, const char *name,
		   const struct dm_disk_options *o, struct error *e);

#define DM_REMOVE_RETRY		(1U << 0)	/* try for 5 s while somebody (udev) has it open */
#define DM_REMOVE_DEFERRED	(1U << 1)	/* goes when its last user closes it */
#define DM_REMOVE_FORCE		(1U << 2)	/* table becomes one that fails all I/O first */

/**
 * dm_disk_remove() - remove a mapped vmcrypt device
 *
 * -EBUSY while it is open, -ENXIO when there is none, -ENOTBLK when it is not ours.
 */
int dm_disk_remove(const char *name, unsigned int flags, struct error *e);

#define DM_SUSPEND_FLUSH	(1U << 0)	/* wait for all I/O; the default pushes held I/O back */
#define DM_SUSPEND_LOCKFS	(1U << 1)	/* freeze a file system that the host has mounted */

int dm_disk_suspend(const char *name, unsigned int flags, struct error *e);
int dm_disk_resume(const char *name, struct error *e);

/** struct dm_disk - one vmcrypt target of a mapped device, from its live table */
struct dm_disk {
	char name[VMCRYPT_NAME_MAX + 1];
	char uuid[129];			/* of the mapped device; may be empty */
	uint32_t major, minor;		/* of the mapped device */
	uint32_t open_count;
	bool suspended, read_only, deferred_remove;
	uint64_t start, length;		/* sectors of 512 bytes */
	uint8_t dek[VMCRYPT_DEK_UUID_LEN];
	uint64_t iv_offset, offset;	/* sectors of 512 bytes */
	uint32_t lower_major, lower_minor;	/* the device below */
	uint32_t sector_size;		/* bytes */
	bool iv_large_sectors, allow_discards;
	enum key_loss key_loss;
	bool loaded;			/* status: the key is in the kernel */
	uint32_t inflight, queued;
	uint64_t reads, writes, errors;
};

/**
 * dm_disk_get() - first vmcrypt target of a mapped device
 *
 * -ENXIO: no such device; -ENOTBLK: it has no vmcrypt target.
 */
int dm_disk_get(const char *name, struct dm_disk *ret, struct error *e);

/** dm_disk_list() - all mapped devices with a vmcrypt target; *ret is freed with free() */
int dm_disk_list(struct dm_disk **ret, size_t *ret_n, struct error *e);

/** dm_parse_table() - the parameters of a vmcrypt target as the kernel prints them into @d */
int dm_parse_table(const char *params, struct dm_disk *d, struct error *e);

/** dm_parse_status() - the status line of a vmcrypt target into @d */
int dm_parse_status(const char *params, struct dm_disk *d, struct error *e);

#endif
