/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcryptsetup, working on a header's image in memory. Takes disk_library_lock()
 * inside; nothing here waits for a disk.
 */
#ifndef VMCRYPT_DISK_LUKS_H
#define VMCRYPT_DISK_LUKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"
#include "disk/header.h"
#include "disk/image.h"

/**
 * struct luks_view - what a header says
 * @uuid: LUKS UUID
 * @segment: of the one segment
 * @token: the one token of type vmcrypt; a reference of the view's own
 * @token_id: its number in the header
 */
struct luks_view {
	char uuid[HEADER_UUID_MAX];
	struct header_segment segment;
	json_t *token;
	int token_id;
};

#define LUKS_VIEW_NULL ((struct luks_view) { .token = NULL })

void luks_view_done(struct luks_view *v);

#define _cleanup_luks_view_ __attribute__((cleanup(luks_view_done)))

/**
 * luks_format() - make a header without keyslots and tokens in an empty image
 * @sector_size: bytes
 * @data_size: bytes of a data device that is not the header's; 0: the header
 *	stands on the data device
 * @ret: what was made
 */
int luks_format(struct header_image *i, const char *path, uint32_t sector_size,
		uint64_t data_size, const struct secret *dek, struct header_segment *ret,
		struct error *e);

/**
 * luks_load() - check an image, mend it where one copy is bad, read it
 *
 * The text of the header is read once more, strictly: libcryptsetup's parser
 * takes members that come twice, and more.
 *
 * Return: 0; -EBADMSG, -EOPNOTSUPP with reason HEADER_DAMAGED; -ENOMSG with reason
 * NO_HEADER: there is no vmcrypt token.
 */
int luks_load(struct header_image *i, const char *path, struct luks_view *ret, struct error *e);

/** luks_set_token() - set a token, replacing the one of that number; -1: a new one */
int luks_set_token(struct header_image *i, const char *path, int token_id, const char *json,
		   struct error *e);

/** luks_verify() - whether the header's digest is that of this DEK; -EBADMSG: it is not */
int luks_verify(struct header_image *i, const char *path, const struct secret *dek,
		struct error *e);

#endif
