// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes: they are encrypted into bounce memory, and the clone's bi_io_vec
 * points at that while it is down.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "write.h"

#include <linux/device-mapper.h>

#include "io.h"
#include "keys.h"
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

static int get_bounce(struct vmcrypt_io *io, bool in_map)
{
	struct vmcrypt_reserve *reserve = &io->vt->reserve;

	if (likely(vmcrypt_bounce_try(&io->bounce, reserve, io->iter.bi_size)))
		return 0;
	if (io->bio->bi_opf & REQ_NOWAIT)
		return -EAGAIN;
	/* What was held has been cut before. */
	if (in_map)
		vmcrypt_io_cut(io, VMCRYPT_RESERVE_BYTES);
	vmcrypt_bounce_wait(&io->bounce, reserve, io->iter.bi_size);
	return 0;
}

/*
 * 0 when the clone may go down, -EINPROGRESS, -ENOKEY, -EAGAIN, or an error.
 * Memory is waited for outside the key, so that no wipe waits for storage.
 */
static int encrypt(struct vmcrypt_io *io, bool in_map)
{
	struct vmcrypt_key *key = io->vt->key;
	int r;

	if (unlikely(!vmcrypt_key_usable(key)))
		return -ENOKEY;
	r = get_bounce(io, in_map);
	if (unlikely(r))
		return r;
	if (unlikely(!vmcrypt_key_enter(key))) {
		vmcrypt_bounce_free(&io->bounce, &io->vt->reserve);
		return -ENOKEY;
	}

	r = vmcrypt_io_crypt(io, io->bounce.vec, !(io->bio->bi_opf & REQ_NOWAIT));
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

/**
 * vmcrypt_write_take_up() - encrypt a held write and send it down, in a worker
 * @io: the write
 */
void vmcrypt_write_take_up(struct vmcrypt_io *io)
{
	int r;

	do {
		r = encrypt(io, /* in_map= */ false);
	} while (r == -ENOKEY && !vmcrypt_io_hold(io));

	if (!r)
		dm_submit_bio_remap(io->bio, NULL);
	else if (r != -EINPROGRESS && r != -ENOKEY)
		vmcrypt_io_end_now(io, BLK_STS_IOERR);
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
	for (;;) {
		r = encrypt(io, /* in_map= */ true);
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
	vmcrypt_io_end_now(io, r == -EAGAIN ? BLK_STS_AGAIN : BLK_STS_IOERR);
	return DM_MAPIO_SUBMITTED;
}

/**
 * vmcrypt_write_crypt_ended() - an asynchronous pass has ended
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
