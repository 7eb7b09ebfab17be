// SPDX-License-Identifier: GPL-2.0-only
/*
 * A big bio, divided between the CPU that has it and idle ones.
 *
 * Its data is cut into pieces, and whoever is free takes the next one. So the
 * owner, the context that the bio is in, never waits for a helper that has not
 * begun: such a helper finds nothing when it comes. Helpers that are in their
 * last piece when nothing is left are given a moment; after that the bio is
 * theirs, and the last one to leave hands it to a worker. Nobody blocks.
 *
 * The place inside the key is the owner's, and goes with the bio: a wipe ends
 * after the last piece.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "share.h"

#include <linux/minmax.h>
#include <linux/timekeeping.h>

#include "helpers.h"
#include "io.h"

/* For so much of a bio one CPU is asked, the owner's being one. */
#define HELPER_BYTES		(VMCRYPT_SHARE_BYTES_MIN / 2)

/* More than a piece takes; a helper in the midst of one is not preempted. */
#define LAST_PIECES_NS		(500 * NSEC_PER_USEC)

/**
 * vmcrypt_share_begin() - ask helpers for a bio
 * @io: the caller is its owner, and inside the key
 *
 * Return: false when nobody could help.
 */
bool vmcrypt_share_begin(struct vmcrypt_io *io)
{
	struct vmcrypt_share *share = &io->share;

	if (!vmcrypt_helpers_possible())
		return false;
	atomic_set(&share->next, 0);
	atomic_set(&share->users, 1);
	share->error = 0;
	share->nr = vmcrypt_helpers_post(io, io->iter.bi_size / HELPER_BYTES - 1);
	return share->nr;
}

/**
 * vmcrypt_share_take() - take the next piece of a bio
 * @io: the caller is one of its users
 * @crypt: where the pass over the piece is set up
 * @done: see vmcrypt_crypt_begin()
 *
 * Return: false when none is left.
 */
bool vmcrypt_share_take(struct vmcrypt_io *io, struct vmcrypt_crypt *crypt,
			vmcrypt_crypt_done_fn *done)
{
	unsigned int size = io->iter.bi_size;
	unsigned int offset = atomic_fetch_add(VMCRYPT_PIECE_BYTES, &io->share.next);

	if (offset >= size)
		return false;
	vmcrypt_io_crypt_begin(io, crypt, offset,
			       min_t(unsigned int, size - offset, VMCRYPT_PIECE_BYTES), done);
	return true;
}

/**
 * vmcrypt_share_is_taken() - are there no more pieces?
 * @io: the caller is one of its users
 */
bool vmcrypt_share_is_taken(const struct vmcrypt_io *io)
{
	return atomic_read(&io->share.next) >= io->iter.bi_size;
}

/**
 * vmcrypt_share_note() - a piece has failed
 * @io: the caller is one of its users
 * @error: how
 */
void vmcrypt_share_note(struct vmcrypt_io *io, int error)
{
	/* Seen by who takes the last user away: that is ordered by the atomic. */
	WRITE_ONCE(io->share.error, error);
}

/**
 * vmcrypt_share_leave() - the owner has found no more pieces
 * @io: the bio
 *
 * Return: 0 or the error of a piece; -EINPROGRESS: the bio, and the place inside
 * the key, belong to a helper that is not ready yet.
 */
int vmcrypt_share_leave(struct vmcrypt_io *io)
{
	struct vmcrypt_share *share = &io->share;
	u64 end;

	/* The owner is still one, so this is never the last. */
	atomic_sub(vmcrypt_helpers_withdraw(io), &share->users);
	if (atomic_read(&share->users) > 1) {
		end = ktime_get_mono_fast_ns() + LAST_PIECES_NS;
		while (atomic_read(&share->users) > 1 && ktime_get_mono_fast_ns() < end)
			cpu_relax();
	}
	if (!atomic_dec_and_test(&share->users))
		return -EINPROGRESS;
	return share->error;
}

static void go_on_work(struct work_struct *work)
{
	struct vmcrypt_io *io = container_of(work, struct vmcrypt_io, work);

	vmcrypt_io_crypt_ended(io, io->share.error);
}

/**
 * vmcrypt_share_leave_helper() - a helper takes no more pieces
 * @io: not to be touched any more
 */
void vmcrypt_share_leave_helper(struct vmcrypt_io *io)
{
	if (unlikely(atomic_dec_and_test(&io->share.users)))
		vmcrypt_io_queue(io, go_on_work);
}
