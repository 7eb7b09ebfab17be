/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_IO_H
#define _VMCRYPT_IO_H

#include <linux/bio.h>
#include <linux/workqueue.h>

#include "bounce.h"
#include "cipher.h"
#include "share.h"

struct vmcrypt_target;

/*
 * Where a bio stands. Only who owns the bio at the time changes it: map, then
 * the device below, then end_io or a worker.
 */
enum vmcrypt_io_stage {
	IO_PASS,	/* no data: a flush */
	IO_DISCARD,	/* a discard, to go down or gone down */
	IO_READ,	/* a read, to go down or gone down */
	IO_DECRYPT,	/* a read, come back, ciphertext in the caller's pages */
	IO_ENCRYPT,	/* a write, to go down */
	IO_WRITE,	/* a write, gone down from bounce memory */
	IO_REQUEUE,	/* device-mapper shall start it again, after a suspend */
	IO_ENDED,	/* nothing is left to do */
};

/**
 * struct vmcrypt_io - a bio on its way; the one object it has, per-bio data
 * @vt: the target
 * @bio: device-mapper's clone
 * @stage: where it stands
 * @iter: its data in the caller's vector; bi_sector is the target's own count
 * @caller_vec: the caller's vector, while the clone points at @bounce
 * @work: for what cannot be done where the bio is
 * @node: in the queue of a helper or of a softirq
 * @bounce: what a write is encrypted into
 * @share: who works on it, while it is shared with helpers
 * @crypt: the pass of the cipher over it; must be last
 */
struct vmcrypt_io {
	struct vmcrypt_target *vt;
	struct bio *bio;
	enum vmcrypt_io_stage stage;
	struct bvec_iter iter;
	struct bio_vec *caller_vec;
	struct work_struct work;
	struct list_head node;
	struct vmcrypt_bounce bounce;
	struct vmcrypt_share share;
	struct vmcrypt_crypt crypt;
};

/**
 * vmcrypt_io_leave_context() - the bio will not end in the context that submitted it
 * @io: ours
 *
 * Nobody is kept waiting there, so REQ_NOWAIT has no meaning any more; and
 * BLK_STS_AGAIN would be taken for an error now.
 */
static inline void vmcrypt_io_leave_context(struct vmcrypt_io *io)
{
	io->bio->bi_opf &= ~REQ_NOWAIT;
}

/* What device-mapper and the keys call. */

int vmcrypt_io_target_init(struct vmcrypt_target *vt);
void vmcrypt_io_target_exit(struct vmcrypt_target *vt);
unsigned int vmcrypt_io_size(const struct vmcrypt_target *vt);

int vmcrypt_io_map(struct vmcrypt_target *vt, struct bio *bio);
int vmcrypt_io_end(struct vmcrypt_target *vt, struct bio *bio, blk_status_t *error);

void vmcrypt_io_release_held(struct vmcrypt_target *vt);
void vmcrypt_io_push_back(struct vmcrypt_target *vt);

int vmcrypt_io_init(void);
void vmcrypt_io_exit(void);

/* What read.c and write.c call, and share.c the first one. */

void vmcrypt_io_queue(struct vmcrypt_io *io, work_func_t func);
void vmcrypt_io_queue_patient(struct vmcrypt_io *io, work_func_t func);
void vmcrypt_io_end_now(struct vmcrypt_io *io, blk_status_t status);
void vmcrypt_io_cut(struct vmcrypt_io *io, unsigned int bytes);
int vmcrypt_io_map_without_key(struct vmcrypt_io *io);
int vmcrypt_io_send_down(struct vmcrypt_io *io);
bool vmcrypt_io_hold(struct vmcrypt_io *io);
blk_status_t vmcrypt_io_refusal(const struct vmcrypt_io *io);
int vmcrypt_io_crypt(struct vmcrypt_io *io, bool may_resched);

/* What share.c and helpers.c call. */

void vmcrypt_io_crypt_begin(const struct vmcrypt_io *io, struct vmcrypt_crypt *crypt,
			    unsigned int offset, unsigned int bytes, vmcrypt_crypt_done_fn *done);
int vmcrypt_io_crypt_error(const struct vmcrypt_io *io, int r);
void vmcrypt_io_crypt_ended(struct vmcrypt_io *io, int r);

#endif /* _VMCRYPT_IO_H */
