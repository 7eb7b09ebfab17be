/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A LUKS2 header between the disk and memory.
 *
 * An image is a file in memory (memfd_create(2)) of the size of the device, in
 * which the two copies of the header stand where they stand on the device, and
 * all else is a hole. libcryptsetup works on that file. What the device itself
 * held is kept beside it, so that a change of the device meanwhile is noticed.
 */
#ifndef VMCRYPT_DISK_IMAGE_H
#define VMCRYPT_DISK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"
#include "disk/header.h"

#define IMAGE_COPIES	2
#define IMAGE_COPY_MIN	((size_t) 16 << 10)	/* bytes of one copy */
#define IMAGE_COPY_MAX	((size_t) 4 << 20)

/**
 * struct header_image - see above
 * @fd: the file in memory
 * @device_size: bytes of the device (or file) that the header is on
 * @copy_size: bytes of one copy; the second stands behind the first
 * @device_bytes: IMAGE_COPIES * @copy_size bytes as the device held them
 */
struct header_image {
	int fd;
	uint64_t device_size;
	size_t copy_size;
	uint8_t *device_bytes;
};

/** struct block_target - an open device or file */
struct block_target {
	int fd;
	const char *path;		/* borrowed */
	uint64_t size;			/* bytes */
	uint32_t logical_block;		/* bytes; 512 for a file */
	bool is_block;
	dev_t rdev;			/* 0 for a file */
};

#define BLOCK_TARGET_NULL ((struct block_target) { .fd = -1 })

void block_target_done(struct block_target *t);

#define _cleanup_target_ __attribute__((cleanup(block_target_done)))

/**
 * block_target_open() - open a block device or a regular file
 * @flags: of open(2); O_EXCL for a block device: fails with -EBUSY where it is in use
 *
 * Anything else (a folder, a FIFO, a character device) is -ENOTBLK. *e has reason
 * NO_HEADER where nothing is there.
 */
int block_target_open(const char *path, int flags, struct block_target *ret, struct error *e);

/** image_new() - an empty image for a header that is to be made */
int image_new(uint64_t device_size, struct header_image **ret, struct error *e);

/**
 * image_read() - the header of a device into a new image
 * @attempt: 0, then, when libcryptsetup does not take the image, 1 and so on: where
 *	copies are damaged, several sizes of them may be possible
 *
 * -ENOMSG with reason NO_HEADER: no copy has the mark of LUKS2, or there is
 * nothing more to attempt.
 */
int image_read(const struct block_target *t, size_t attempt, struct header_image **ret,
	       struct error *e);

/**
 * image_bytes() - both copies as they are in the file now
 * @ret: IMAGE_COPIES * copy_size bytes, malloc'ed
 */
int image_bytes(const struct header_image *i, uint8_t **ret, struct error *e);

/**
 * image_bad_copies() - which copies of the device differ from the file, as bits
 *
 * To be asked right after libcryptsetup has loaded, and thereby mended, the file.
 */
int image_bad_copies(const struct header_image *i, unsigned int *ret, struct error *e);

/**
 * image_unchanged() - 0 when the device still holds what was read, -ESTALE
 */
int image_unchanged(const struct header_image *i, const struct block_target *t, struct error *e);

/**
 * image_write() - the copies of the file onto the device, one durably after the other
 * @copies: which, as bits
 * @first: the one that is written first: the one that is bad already
 *
 * Afterwards the image knows the device to hold them.
 */
int image_write(struct header_image *i, const struct block_target *t, unsigned int copies,
		unsigned int first, struct error *e);

/** image_wipe() - zeros over the first @size bytes of the device, durably */
int image_wipe(const struct block_target *t, uint64_t size, struct error *e);

void image_free(struct header_image *i);

static inline void image_freep(struct header_image **i)
{
	image_free(*i);
}

#define _cleanup_image_ __attribute__((cleanup(image_freep)))

#endif
