// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes: they are encrypted into bounce memory, and the clone's bi_io_vec
 * points at that while it is down.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "write.h"

#include <linux/blkdev.h>
#include <linux/device-mapper.h>

#include "helpers.h"
#include "io.h"
#include "keys.h"
#include "queue.h"
#include "target.h"

static void point_at_bounce(struct vmcrypt_io *io)
{
	struct bio *bio = io->bio;

	io->caller_vec = bio->bi_io_vec;
	bio->bi_io_vec = io->bounce.vec;
	bio->bi_iter.bi_idx = 0;
	bio->bi_iter.bi_bvec_done = 0;
	io->stage = IO_WRITE;
}

/**
 * vmcrypt_write_end() - a write has come back
 * @io: the write
 *
 * Any context.
 */
void vmcrypt_write_end(struct vmcrypt_io *io)
{
	io->bio->bi_io_vec = io->caller_vec;
	vmcrypt_bounce_free(&io->bounce, &io->vt->reserve);
}

/* Where a write is encrypted. */
enum place {
	IN_MAP,		/* it may be cut, and waited with */
	IN_WORKER,	/* it has been cut before, and may be waited with */
	IN_HELPER,	/* others wait behind it */
};

static int get_bounce(struct vmcrypt_io *io, enum place place)
{
	struct vmcrypt_reserve *reserve = &io->vt->reserve;

	if (likely(vmcrypt_bounce_try(&io->bounce, reserve, io->iter.bi_size)))
		return 0;
	if (io->bio->bi_opf & REQ_NOWAIT)
		return -EAGAIN;
	if (place == IN_HELPER)
		return -ENOMEM;
	if (place == IN_MAP)
		vmcrypt_io_cut(io, VMCRYPT_RESERVE_BYTES);
	vmcrypt_bounce_wait(&io->bounce, reserve, io->iter.bi_size);
	return 0;
}

/*
 * 0 when the clone may go down, -EINPROGRESS, -ENOKEY, -EAGAIN, or an error.
 * Memory is waited for outside the key, so that no wipe waits for storage.
 */
static int encrypt(struct vmcrypt_io *io, enum place place)
{
	struct vmcrypt_key *key = io->vt->key;
	int r;

	if (unlikely(!vmcrypt_key_usable(key)))
		return -ENOKEY;
	r = get_bounce(io, place);
	if (unlikely(r))
		return r;
	if (unlikely(!vmcrypt_key_enter(key))) {
		vmcrypt_bounce_free(&io->bounce, &io->vt->reserve);
		return -ENOKEY;
	}

	r = vmcrypt_io_crypt(io, place != IN_MAP || !(io->bio->bi_opf & REQ_NOWAIT));
	if (unlikely(r == -EINPROGRESS))
		return r;
	vmcrypt_key_leave(key);
	if (unlikely(r)) {
		vmcrypt_bounce_free(&io->bounce, &io->vt->reserve);
		return r;
	}
	point_at_bounce(io);
	return 0;
}

/* What a write that cannot be encrypted ends with. */
static blk_status_t failure(int error)
{
	return error == -EAGAIN ? BLK_STS_AGAIN : BLK_STS_IOERR;
}

/**
 * vmcrypt_write_take_up() - encrypt a write and send it down, in a worker
 * @io: at most VMCRYPT_RESERVE_BYTES; held before, or left over by a helper
 */
void vmcrypt_write_take_up(struct vmcrypt_io *io)
{
	blk_status_t status;
	int r;

	while ((r = encrypt(io, IN_WORKER)) == -ENOKEY) {
		status = vmcrypt_io_refusal(io);
		if (status) {
			vmcrypt_io_end_now(io, status);
			return;
		}
		if (vmcrypt_io_hold(io))
			return;
	}

	if (!r)
		dm_submit_bio_remap(io->bio, NULL);
	else if (r != -EINPROGRESS)
		vmcrypt_io_end_now(io, failure(r));
}

static void take_up_work(struct work_struct *work)
{
	vmcrypt_write_take_up(container_of(work, struct vmcrypt_io, work));
}

/**
 * vmcrypt_write_take_up_early() - encrypt a write, in a helper
 * @io: handed over
 *
 * Does not wait.
 *
 * Return: true when it may go down, false when somebody else goes on with it.
 */
bool vmcrypt_write_take_up_early(struct vmcrypt_io *io)
{
	int r = encrypt(io, IN_HELPER);

	/* A worker can wait for memory and hold it, and finds out what else it is. */
	if (unlikely(r && r != -EINPROGRESS))
		vmcrypt_io_queue_patient(io, take_up_work);
	return !r;
}

/*
 * True when the device below would split the write, which REQ_NOWAIT does not
 * allow: said before it is encrypted for nothing.
 */
static bool will_be_refused(const struct vmcrypt_io *io)
{
	const struct request_queue *below = bdev_get_queue(io->bio->bi_bdev);

	return io->bio->bi_opf & REQ_NOWAIT &&
	       io->iter.bi_size >> SECTOR_SHIFT > queue_max_sectors(below);
}

/**
 * vmcrypt_write_map() - encrypt a write and send it down
 * @io: begun
 *
 * Return: DM_MAPIO_*.
 */
int vmcrypt_write_map(struct vmcrypt_io *io)
{
	int r;

	io->stage = IO_ENCRYPT;
	vmcrypt_io_cut(io, VMCRYPT_BOUNCE_MAX);
	if (unlikely(will_be_refused(io))) {
		vmcrypt_io_end_now(io, BLK_STS_AGAIN);
		return DM_MAPIO_SUBMITTED;
	}
	if (vmcrypt_helpers_possible() && vmcrypt_key_usable(io->vt->key) &&
	    vmcrypt_queue_hand_over(io, /* backlog= */ false))
		return DM_MAPIO_SUBMITTED;
	for (;;) {
		r = encrypt(io, IN_MAP);
		if (likely(!r))
			return DM_MAPIO_REMAPPED;
		if (r == -EINPROGRESS)
			return DM_MAPIO_SUBMITTED;
		if (r != -ENOKEY)
			break;
		r = vmcrypt_io_map_without_key(io);
		if (r != -EAGAIN)
			return r;
	}
	vmcrypt_io_end_now(io, failure(r));
	return DM_MAPIO_SUBMITTED;
}

/**
 * vmcrypt_write_crypt_ended() - a pass that did not end where it began has ended
 * @io: the write
 * @error: of the cipher, or 0
 */
void vmcrypt_write_crypt_ended(struct vmcrypt_io *io, int error)
{
	if (!error) {
		point_at_bounce(io);
		dm_submit_bio_remap(io->bio, NULL);
		return;
	}
	vmcrypt_bounce_free(&io->bounce, &io->vt->reserve);
	vmcrypt_io_end_now(io, BLK_STS_IOERR);
}
