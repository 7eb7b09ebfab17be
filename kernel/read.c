// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads: they go down as they are, and are decrypted in the caller's pages when
 * they come back.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "read.h"

#include <linux/device-mapper.h>
#include <linux/highmem.h>
#include <asm/simd.h>

#include "helpers.h"
#include "hop.h"
#include "io.h"
#include "keys.h"
#include "queue.h"
#include "target.h"

/* The most of one bio that is decrypted in a softirq. */
#define SOFTIRQ_BYTES_MAX	(64 * 1024)

/* Zeroes a read's pages, so that a caller who does not look at the error learns nothing. */
static void zero_pages(struct vmcrypt_io *io)
{
	struct bvec_iter iter;
	struct bio_vec bv;

	__bio_for_each_segment(bv, io->bio, iter, io->iter)
		memzero_bvec(&bv);
}

/* 0 when the pages hold plaintext, -EINPROGRESS, -ENOKEY, or an error. */
static int decrypt(struct vmcrypt_io *io, bool may_resched)
{
	int r;

	if (unlikely(!vmcrypt_key_enter(io->vt->key)))
		return -ENOKEY;
	r = vmcrypt_io_crypt(io, may_resched);
	if (likely(r != -EINPROGRESS))
		vmcrypt_key_leave(io->vt->key);
	return r;
}

/*
 * Decrypts a read that has come back. True when it has ended, with @ret_status;
 * false when somebody else will end it.
 */
static bool read_back(struct vmcrypt_io *io, bool may_resched, blk_status_t *ret_status)
{
	int r;

	for (;;) {
		r = decrypt(io, may_resched);
		if (likely(!r)) {
			*ret_status = BLK_STS_OK;
			return true;
		}
		if (r == -EINPROGRESS)
			return false;
		if (r != -ENOKEY) {
			zero_pages(io);
			*ret_status = BLK_STS_IOERR;
			return true;
		}
		*ret_status = vmcrypt_io_refusal(io);
		if (*ret_status) {
			zero_pages(io);
			return true;
		}
		if (vmcrypt_io_hold(io))
			return false;
	}
}

/**
 * vmcrypt_read_take_up() - decrypt a read, in a worker or a helper
 * @io: come back
 */
void vmcrypt_read_take_up(struct vmcrypt_io *io)
{
	blk_status_t status;

	if (read_back(io, /* may_resched= */ true, &status))
		vmcrypt_io_end_now(io, status);
}

static void decrypt_work(struct work_struct *work)
{
	vmcrypt_read_take_up(container_of(work, struct vmcrypt_io, work));
}

/**
 * vmcrypt_read_take_up_softirq() - decrypt a read that came back in a hard interrupt
 * @io: at most SOFTIRQ_BYTES_MAX
 */
void vmcrypt_read_take_up_softirq(struct vmcrypt_io *io)
{
	blk_status_t status;

	/* What was interrupted uses the FPU: cryptd would have it sector by sector. */
	if (!may_use_simd())
		vmcrypt_io_queue(io, decrypt_work);
	else if (read_back(io, /* may_resched= */ false, &status))
		vmcrypt_io_end_now(io, status);
}

/*
 * True when the read has gone elsewhere. skcipher may not be called in hard
 * interrupts, nor the FPU used with them off.
 */
static bool hop(struct vmcrypt_io *io)
{
	bool softirq = in_serving_softirq(), hard = in_hardirq() || irqs_disabled();

	if (likely(!softirq && !hard))
		return false;
	if (io->iter.bi_size > SOFTIRQ_BYTES_MAX)
		vmcrypt_io_queue(io, decrypt_work);
	else if (hard)
		vmcrypt_hop(io);
	else if (!may_use_simd())
		vmcrypt_io_queue(io, decrypt_work);
	else
		return false;
	return true;
}

/**
 * vmcrypt_read_map() - send a read down
 * @io: begun
 *
 * Return: DM_MAPIO_*.
 */
int vmcrypt_read_map(struct vmcrypt_io *io)
{
	io->stage = IO_READ;
	/* Bounds the time that it will be inside the key. */
	vmcrypt_io_cut(io, VMCRYPT_BOUNCE_MAX);
	return vmcrypt_io_send_down(io);
}

/**
 * vmcrypt_read_failed() - the device below could not read all of it
 * @io: the read; what could be read is in the caller's pages, as ciphertext
 * @status: why
 *
 * Any context.
 */
void vmcrypt_read_failed(struct vmcrypt_io *io, blk_status_t status)
{
	/* Did not begin: it will be tried again. */
	if (status != BLK_STS_AGAIN)
		zero_pages(io);
}

/**
 * vmcrypt_read_end() - a read has come back
 * @io: the read; its ciphertext is in the caller's pages
 * @ret_status: how it ended
 *
 * Any context.
 *
 * Return: true when it has ended, false when a softirq, a helper, a worker, the
 * cipher or the key's return will end it.
 */
bool vmcrypt_read_end(struct vmcrypt_io *io, blk_status_t *ret_status)
{
	io->stage = IO_DECRYPT;
	vmcrypt_io_leave_context(io);
	if (vmcrypt_helpers_possible() && vmcrypt_queue_hand_over(io, /* backlog= */ false))
		return false;
	if (unlikely(hop(io)))
		return false;
	return read_back(io, /* may_resched= */ false, ret_status);
}

/**
 * vmcrypt_read_crypt_ended() - a pass that did not end where it began has ended
 * @io: the read
 * @error: of the cipher, or 0
 */
void vmcrypt_read_crypt_ended(struct vmcrypt_io *io, int error)
{
	if (error)
		zero_pages(io);
	vmcrypt_io_end_now(io, errno_to_blk_status(error));
}
