/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_SHARE_H
#define _VMCRYPT_SHARE_H

#include <linux/atomic.h>
#include <linux/types.h>

#include "cipher.h"

struct vmcrypt_io;

/* From this size on a bio is worth the wake of another CPU. */
#define VMCRYPT_SHARE_BYTES_MIN		(128 * 1024)

/* What is taken at a time: a multiple of any sector, and short, for it is not preempted. */
#define VMCRYPT_PIECE_BYTES		(16 * 1024)

/**
 * struct vmcrypt_share - how the data of one big bio is divided
 * @next: where the next piece begins, bytes from the start of the data
 * @users: who may touch the bio: its owner, and each helper that it is posted to
 *	or that has taken it; who takes the last one away goes on with the bio
 * @error: of a piece, 0 if none
 * @first: the first helper that was looked at, see helpers.c
 * @nr: how many helpers were looked at; 0: not shared
 */
struct vmcrypt_share {
	atomic_t next;
	atomic_t users;
	int error;
	unsigned int first;
	unsigned int nr;
};

bool vmcrypt_share_begin(struct vmcrypt_io *io);
bool vmcrypt_share_take(struct vmcrypt_io *io, struct vmcrypt_crypt *crypt,
			vmcrypt_crypt_done_fn *done);
bool vmcrypt_share_is_taken(const struct vmcrypt_io *io);
void vmcrypt_share_note(struct vmcrypt_io *io, int error);
int vmcrypt_share_leave(struct vmcrypt_io *io);
void vmcrypt_share_leave_helper(struct vmcrypt_io *io);

#endif /* _VMCRYPT_SHARE_H */
