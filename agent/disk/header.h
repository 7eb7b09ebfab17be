/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The LUKS2 header of a vmcrypt disk: one crypt segment, no keyslot, one token.
 *
 * libcryptsetup makes, checks, repairs and changes headers. It never touches the
 * disk itself: it works on a copy in memory (image.h), which is read from and
 * written to the disk here. So reading never writes, a disk that hangs blocks
 * the calling thread alone and holds no lock, and the order of writes is ours.
 *
 * Any thread may call what is here; one struct disk_header belongs to one
 * thread at a time. A thread that hangs in the disk may be abandoned: it holds
 * no lock in this process, at most stock cryptsetup's advisory lock of that disk.
 */
#ifndef VMCRYPT_DISK_HEADER_H
#define VMCRYPT_DISK_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/errors.h"
#include "common/secret.h"
#include "disk/token.h"
#include "vmcrypt.h"

#define HEADER_CIPHER		"aes-xts-plain64"
#define HEADER_DATA_OFFSET	(16U << 20)	/* bytes; the default of LUKS2 */
#define HEADER_UUID_MAX		37		/* text with NUL */

/** struct header_segment - what decides which bytes are decrypted how */
struct header_segment {
	char cipher[32];
	uint32_t sector_size;		/* bytes: 512, 1024, 2048, 4096 */
	uint64_t offset;		/* bytes, on the data device */
	uint64_t iv_tweak;		/* sectors of 512 bytes */
};

/** struct disk_header - an open header */
struct disk_header {
	char *device;			/* path of the data device */
	char *header;			/* path of the detached header; NULL: on the device */
	dev_t rdev;			/* of the data device; 0: a plain file */
	char uuid[HEADER_UUID_MAX];	/* LUKS UUID */
	struct header_segment segment;
	struct token token;
	uint32_t key_bits;		/* 256 or 512 */
	bool damaged;			/* one of the two copies is bad and was not repaired */
	bool repaired;			/* one was bad and was written anew */
	bool authentic;			/* header_unlock() has proved all of the above but uuid */
	struct header_image *image;	/* private, as the next */
	int token_id;
};

void header_free(struct disk_header *h);

static inline void header_freep(struct disk_header **h)
{
	header_free(*h);
}

#define _cleanup_header_ __attribute__((cleanup(header_freep)))

/** struct header_params - a header to be made */
struct header_params {
	const char *device;		/* data device or plain file */
	const char *header;		/* detached header, NULL: on the device */
	const char *vm;			/* name of the VM */
	const char *disk;		/* label of the disk */
	uint32_t sector_size;		/* bytes; 0: 4096 where the size allows, else 512 */
	bool force;			/* though the device carries something (a signature) */
};

/**
 * header_create() - write a new header
 * @dek: 32 or 64 bytes
 * @locator: names the KEK of the first wrap
 * @kek: KEK_SIZE bytes
 *
 * What the device held in the place of the header is overwritten with zeros. On
 * a crash the device holds either no valid header or this one. A file for a
 * detached header is made (mode 0600); one that is there is replaced only with
 * force, or when it is empty. The data behind the header is not touched.
 *
 * Errors: -EBUSY: the device is in use; -EEXIST: it carries a signature, and force
 * is not set; -ENOSPC: too small; -EINVAL: bad parameters; -EROFS, -EIO.
 */
int header_create(const struct header_params *p, const struct secret *dek,
		  const struct key_locator *locator, const struct secret *kek,
		  struct disk_header **ret, struct error *e);

#define HEADER_REPAIR	(1U << 0)	/* write a bad copy anew from the good one */

/**
 * header_open() - read a header and its token
 * @header: detached header, NULL: on the device
 * @flags: HEADER_* bits; without HEADER_REPAIR nothing is ever written
 *
 * A header with one bad copy opens, with "damaged" or "repaired" set and a
 * line in the log. A repair that fails leaves "damaged" set and is no error.
 *
 * e->reason is set for KEY_REJECT: VMCRYPT_REASON_NO_HEADER (-ENOENT, -ENODEV, -ENOMSG:
 * no LUKS2 header or no vmcrypt token), VMCRYPT_REASON_HEADER_DAMAGED (-EBADMSG).
 */
int header_open(const char *device, const char *header, unsigned int flags,
		struct disk_header **ret, struct error *e);

/**
 * header_lookup_t - give the KEK that a locator names
 *
 * Returns 0, -ENOKEY (or another -errno) where the key is not to be had, with *e set.
 */
typedef int (*header_lookup_t)(const struct key_locator *locator, void *userdata,
			       struct secret *ret_kek, struct error *e);

/**
 * header_unlock() - unwrap the DEK and prove the header with it
 *
 * Tries the wraps in their order. The DEK is given only when the wrap's tag holds
 * over all values of the header (wrap_aad()), the DEK's UUID is the token's and the
 * header's digest is that DEK's; then h->authentic is set. -ENOKEY with
 * VMCRYPT_REASON_UNAVAILABLE: no KEK was to be had; -EBADMSG with
 * VMCRYPT_REASON_HEADER_DAMAGED: a KEK was there and the header is not what was wrapped.
 */
int header_unlock(struct disk_header *h, header_lookup_t lookup, void *userdata,
		  struct secret *ret_dek, struct error *e);

/**
 * header_add_wrap() - wrap the DEK with one more KEK, durably
 * @dek: as header_unlock() gave it
 *
 * On return the new wrap is on stable storage and all old ones are there too; on a crash
 * the header is the old or the new one. -EEXIST: this key has a wrap already;
 * -ENOSPC: TOKEN_WRAPS_MAX; -EACCES: h is not authentic; -ESTALE: the header on
 * the disk is no longer the one that was opened.
 */
int header_add_wrap(struct disk_header *h, const struct secret *dek,
		    const struct key_locator *locator, const struct secret *kek, struct error *e);

/**
 * header_remove_wrap() - take the wrap of one KEK out, durably
 *
 * -ENOENT: no such wrap; -EPERM: it is the last one, without which the disk is lost.
 */
int header_remove_wrap(struct disk_header *h, const struct key_locator *locator,
		       struct error *e);

/**
 * header_rewrap() - shallow rekey: add a wrap, then take all others out
 *
 * Each step is durable before the next begins. On an error after the first one the
 * header holds the new wrap and some of the old ones, and every one of them opens the disk.
 */
int header_rewrap(struct disk_header *h, const struct secret *dek,
		  const struct key_locator *locator, const struct secret *kek, struct error *e);

/**
 * header_data_size() - bytes of data that the disk holds behind its header
 *
 * Size of the device less the segment's offset. -ENOSPC: nothing is left; -EINVAL:
 * no multiple of the sector size; -ESTALE: the path is another device by now.
 */
int header_data_size(const struct disk_header *h, uint64_t *ret, struct error *e);

#endif
