// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way of a bio through a target.
 *
 * device-mapper has cloned the bio already, so that clone is what goes down. A
 * read comes back as ciphertext in the caller's pages and is decrypted there. A
 * write is encrypted into bounce memory before it goes down; the clone's
 * bi_io_vec points at that for the way, and is put back when it ends. That is
 * sound because device-mapper starts a requeued bio from the original, a clone
 * frees no vector, and nothing reads the clone's bi_iter once it has gone down.
 *
 * read.c and write.c have the two ways; here is what they share, and what holds
 * a bio whose key is not there. Work is done where the bio is: writes in their
 * submitter's context, reads in their completion's where that one may compute
 * for so long, and in a softirq or a worker otherwise. Where another CPU is idle
 * it helps, see share.c and queue.c.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "io.h"

#include <linux/device-mapper.h>
#include <linux/percpu.h>

#include "helpers.h"
#include "hop.h"
#include "keys.h"
#include "queue.h"
#include "read.h"
#include "stats.h"
#include "target.h"
#include "write.h"

/* Decrypts and never blocks, so one can serve targets on top of each other. */
static struct workqueue_struct *decrypt_wq;

static void queue_on(struct workqueue_struct *wq, struct vmcrypt_io *io, work_func_t func)
{
	vmcrypt_io_leave_context(io);
	INIT_WORK(&io->work, func);
	queue_work(wq, &io->work);
}

/**
 * vmcrypt_io_queue() - go on in a worker
 * @io: ours
 * @func: what to do there; with a read it does not block, with a write it does
 *	not wait for memory
 */
void vmcrypt_io_queue(struct vmcrypt_io *io, work_func_t func)
{
	queue_on(io->stage == IO_DECRYPT ? decrypt_wq : io->vt->wq, io, func);
}

/**
 * vmcrypt_io_queue_patient() - go on in a worker that may wait for memory
 * @io: ours, a write
 * @func: what to do there
 */
void vmcrypt_io_queue_patient(struct vmcrypt_io *io, work_func_t func)
{
	queue_on(io->vt->patient_wq, io, func);
}

/**
 * vmcrypt_io_end_now() - end a bio
 * @io: ours; it comes by vmcrypt_io_end() once more
 * @status: how it ended
 */
void vmcrypt_io_end_now(struct vmcrypt_io *io, blk_status_t status)
{
	io->stage = IO_ENDED;
	io->bio->bi_status = status;
	bio_endio(io->bio);
}

static void requeue(struct vmcrypt_io *io)
{
	io->stage = IO_REQUEUE;
	bio_endio(io->bio);
}

/**
 * vmcrypt_io_hold() - keep a bio until the key is back
 * @io: ours until then
 *
 * The key lets users in before release_work() takes hold_lock, so whoever adds
 * a bio after that sees it.
 *
 * Any context. Return: false when the key is back already: try again.
 */
bool vmcrypt_io_hold(struct vmcrypt_io *io)
{
	struct vmcrypt_target *vt = io->vt;
	unsigned long flags;
	bool push_back, usable;

	spin_lock_irqsave(&vt->hold_lock, flags);
	push_back = dm_noflush_suspending(vt->ti);
	usable = vmcrypt_key_usable(vt->key);
	if (!push_back && !usable) {
		bio_list_add(&vt->held, io->bio);
		vt->nr_held++;
	}
	spin_unlock_irqrestore(&vt->hold_lock, flags);

	if (push_back) {
		requeue(io);
		return true;
	}
	return !usable;
}

/**
 * vmcrypt_io_refusal() - what a bio that finds no key is told
 * @io: the bio
 *
 * Return: BLK_STS_OK when it may be held.
 */
blk_status_t vmcrypt_io_refusal(const struct vmcrypt_io *io)
{
	if (io->bio->bi_opf & REQ_NOWAIT)
		return BLK_STS_AGAIN;
	if (io->vt->fail_without_key || io->bio->bi_opf & REQ_RAHEAD)
		return BLK_STS_IOERR;
	return BLK_STS_OK;
}

/**
 * vmcrypt_io_crypt_error() - what a run of the cipher comes to
 * @io: the bio
 * @r: what vmcrypt_crypt_run() returned
 *
 * A driver's errors are all one to us: ours, such as -ENOKEY, have a meaning.
 *
 * Return: 0, -EINPROGRESS, or -EIO, which has been logged.
 */
int vmcrypt_io_crypt_error(const struct vmcrypt_io *io, int r)
{
	if (likely(!r) || r == -EINPROGRESS)
		return r;
	pr_err_ratelimited("%s: the cipher failed (%d) at sector %llu of the target, DEK %pUb\n",
			   dm_table_device_name(io->vt->ti->table), r,
			   (unsigned long long)io->iter.bi_sector, &io->vt->table.dek);
	return -EIO;
}

static int run_crypt(struct vmcrypt_io *io)
{
	return vmcrypt_io_crypt_error(io, vmcrypt_crypt_run(&io->crypt));
}

/**
 * vmcrypt_io_crypt_ended() - a pass that did not end where it began has ended
 * @io: the bio, inside the key
 * @r: 0 or an error
 *
 * In a worker.
 */
void vmcrypt_io_crypt_ended(struct vmcrypt_io *io, int r)
{
	vmcrypt_key_leave(io->vt->key);
	if (io->stage == IO_ENCRYPT)
		vmcrypt_write_crypt_ended(io, r);
	else
		vmcrypt_read_crypt_ended(io, r);
}

static int run_pieces(struct vmcrypt_io *io, int r);

/* An asynchronous step has ended: go on where it stopped. */
static void continue_work(struct work_struct *work)
{
	struct vmcrypt_io *io = container_of(work, struct vmcrypt_io, work);
	int r;

	io->crypt.may_resched = true;
	r = run_crypt(io);
	if (io->share.nr)
		r = run_pieces(io, r);
	if (r != -EINPROGRESS)
		vmcrypt_io_crypt_ended(io, r);
}

static void step_ended(struct vmcrypt_crypt *crypt)
{
	vmcrypt_io_queue(container_of(crypt, struct vmcrypt_io, crypt), continue_work);
}

/* The owner's part of a shared bio; @r is how its piece went, if it has one. */
static int run_pieces(struct vmcrypt_io *io, int r)
{
	while (r != -EINPROGRESS) {
		if (unlikely(r))
			vmcrypt_share_note(io, r);
		if (!vmcrypt_share_take(io, &io->crypt, step_ended))
			return vmcrypt_share_leave(io);
		r = run_crypt(io);
	}
	return r;
}

/**
 * vmcrypt_io_crypt_begin() - set up a pass over a part of a bio's data
 * @io: IO_ENCRYPT, with its bounce memory, or IO_DECRYPT
 * @crypt: the pass; its may_resched is the caller's
 * @offset: where the part begins, bytes from the start of the data
 * @bytes: its size; both are multiples of the sector size
 * @done: see vmcrypt_crypt_begin()
 */
void vmcrypt_io_crypt_begin(const struct vmcrypt_io *io, struct vmcrypt_crypt *crypt,
			    unsigned int offset, unsigned int bytes, vmcrypt_crypt_done_fn *done)
{
	const struct vmcrypt_target *vt = io->vt;
	bool encrypt = io->stage == IO_ENCRYPT;

	crypt->src = io->bio->bi_io_vec;
	crypt->src_iter = io->iter;
	crypt->dst = encrypt ? io->bounce.vec : NULL;
	crypt->dst_iter.bi_size = io->iter.bi_size;
	crypt->dst_iter.bi_idx = 0;
	crypt->dst_iter.bi_bvec_done = 0;
	if (offset) {
		bvec_iter_advance(crypt->src, &crypt->src_iter, offset);
		if (encrypt)
			bvec_iter_advance(crypt->dst, &crypt->dst_iter, offset);
	}
	crypt->src_iter.bi_size = bytes;
	crypt->iv = (io->iter.bi_sector + vt->iv_offset + (offset >> SECTOR_SHIFT)) >> vt->iv_shift;
	crypt->iv_step = vt->iv_step;
	crypt->sector_size = vt->sector_size;
	crypt->encrypt = encrypt;
	vmcrypt_crypt_begin(crypt, vt->key->tfm, done);
}

/**
 * vmcrypt_io_crypt() - run the cipher over a bio's data
 * @io: IO_ENCRYPT, with its bounce memory, or IO_DECRYPT, in place; the caller is
 *	inside the key, see vmcrypt_key_enter()
 * @may_resched: the caller may sleep
 *
 * Return: 0; -EINPROGRESS: the bio, and the place inside the key, belong to a
 * worker that ends in vmcrypt_io_crypt_ended(); or -EIO, which has been logged.
 */
int vmcrypt_io_crypt(struct vmcrypt_io *io, bool may_resched)
{
	io->crypt.may_resched = may_resched;
	io->share.nr = 0;
	if (unlikely(io->iter.bi_size >= VMCRYPT_SHARE_BYTES_MIN) && vmcrypt_share_begin(io))
		return run_pieces(io, 0);

	vmcrypt_io_crypt_begin(io, &io->crypt, 0, io->iter.bi_size, step_ended);
	return run_crypt(io);
}

/* What was held, and what goes down. */

static void take_up(struct vmcrypt_io *io)
{
	switch (io->stage) {
	case IO_READ:
	case IO_DISCARD:
		while (!vmcrypt_key_usable(io->vt->key))
			if (vmcrypt_io_hold(io))
				return;
		dm_submit_bio_remap(io->bio, NULL);
		break;
	case IO_DECRYPT:
		vmcrypt_read_take_up(io);
		break;
	case IO_ENCRYPT:
		vmcrypt_write_take_up(io);
		break;
	default:
		WARN_ON_ONCE(1);
	}
}

static void take_held(struct vmcrypt_target *vt, struct bio_list *ret)
{
	bio_list_init(ret);
	spin_lock_irq(&vt->hold_lock);
	bio_list_merge(ret, &vt->held);
	bio_list_init(&vt->held);
	vt->nr_held = 0;
	spin_unlock_irq(&vt->hold_lock);
}

static struct vmcrypt_io *io_of(const struct vmcrypt_target *vt, struct bio *bio)
{
	return dm_per_bio_data(bio, vt->ti->per_io_data_size);
}

static void release_work(struct work_struct *work)
{
	struct vmcrypt_target *vt = container_of(work, struct vmcrypt_target, release);
	struct bio_list held;
	struct bio *bio;

	take_held(vt, &held);
	while ((bio = bio_list_pop(&held)))
		take_up(io_of(vt, bio));
}

/**
 * vmcrypt_io_cut() - make a bio shorter; the rest comes as a bio of its own
 * @io: in map, not gone anywhere
 * @bytes: the most it may have, a multiple of the sector size
 */
void vmcrypt_io_cut(struct vmcrypt_io *io, unsigned int bytes)
{
	if (io->iter.bi_size <= bytes)
		return;
	dm_accept_partial_bio(io->bio, bytes >> SECTOR_SHIFT);
	io->iter.bi_size = bytes;
}

/**
 * vmcrypt_io_map_without_key() - the key is not there for a bio in map
 * @io: the bio
 *
 * Return: DM_MAPIO_SUBMITTED, or -EAGAIN when the key is back already.
 */
int vmcrypt_io_map_without_key(struct vmcrypt_io *io)
{
	blk_status_t status = vmcrypt_io_refusal(io);

	if (status) {
		vmcrypt_io_end_now(io, status);
		return DM_MAPIO_SUBMITTED;
	}
	/* The worker that takes it up cannot cut it when memory is short. */
	if (io->stage == IO_ENCRYPT)
		vmcrypt_io_cut(io, VMCRYPT_RESERVE_BYTES);
	return vmcrypt_io_hold(io) ? DM_MAPIO_SUBMITTED : -EAGAIN;
}

/**
 * vmcrypt_io_send_down() - a bio goes down as it is, if the key is there
 * @io: in map
 *
 * Return: DM_MAPIO_*.
 */
int vmcrypt_io_send_down(struct vmcrypt_io *io)
{
	int r;

	while (unlikely(!vmcrypt_key_usable(io->vt->key))) {
		r = vmcrypt_io_map_without_key(io);
		if (r != -EAGAIN)
			return r;
	}
	return DM_MAPIO_REMAPPED;
}

/* True when each sector of the bio is a whole one. */
static bool is_aligned(const struct vmcrypt_target *vt, sector_t sector, unsigned int bytes)
{
	return !((sector << SECTOR_SHIFT | bytes) & (vt->sector_size - 1));
}

/**
 * vmcrypt_io_map() - device-mapper hands a bio in
 * @vt: the target
 * @bio: device-mapper's clone
 *
 * Process context; must not sleep for REQ_NOWAIT.
 *
 * Return: DM_MAPIO_*.
 */
int vmcrypt_io_map(struct vmcrypt_target *vt, struct bio *bio)
{
	struct vmcrypt_io *io = io_of(vt, bio);
	sector_t sector = dm_target_offset(vt->ti, bio->bi_iter.bi_sector);
	enum req_op op = bio_op(bio);
	bool data = bio->bi_iter.bi_size && (op == REQ_OP_READ || op == REQ_OP_WRITE);

	if (unlikely(!data && op != REQ_OP_WRITE && op != REQ_OP_FLUSH && op != REQ_OP_DISCARD))
		return DM_MAPIO_KILL;
	if (unlikely(bio->bi_iter.bi_size && !is_aligned(vt, sector, bio->bi_iter.bi_size)))
		return DM_MAPIO_KILL;

	io->vt = vt;
	io->bio = bio;
	io->iter = bio->bi_iter;
	io->iter.bi_sector = sector;
	this_cpu_inc(vt->stats->begun);

	bio_set_dev(bio, vt->dev->bdev);
	if (likely(bio->bi_iter.bi_size))
		bio->bi_iter.bi_sector = vt->start + sector;

	if (likely(data)) {
		if (vmcrypt_helpers_possible())
			vmcrypt_queue_submission();
		return op == REQ_OP_READ ? vmcrypt_read_map(io) : vmcrypt_write_map(io);
	}
	if (op == REQ_OP_DISCARD) {
		io->stage = IO_DISCARD;
		return vmcrypt_io_send_down(io);
	}
	io->stage = IO_PASS;
	return DM_MAPIO_REMAPPED;
}

/**
 * vmcrypt_io_end() - a bio has come back, or is ended by us
 * @vt: the target
 * @bio: device-mapper's clone
 * @error: how it went; how it goes on
 *
 * Any context.
 *
 * Return: DM_ENDIO_*.
 */
int vmcrypt_io_end(struct vmcrypt_target *vt, struct bio *bio, blk_status_t *error)
{
	struct vmcrypt_io *io = io_of(vt, bio);
	int r = DM_ENDIO_DONE;

	switch (io->stage) {
	case IO_READ:
		if (unlikely(*error))
			vmcrypt_read_failed(io, *error);
		else if (!vmcrypt_read_end(io, error))
			return DM_ENDIO_INCOMPLETE;
		break;
	case IO_WRITE:
		vmcrypt_write_end(io);
		break;
	case IO_REQUEUE:
		r = DM_ENDIO_REQUEUE;
		break;
	default:
		break;
	}
	vmcrypt_stats_ended(io, *error);
	return r;
}

/**
 * vmcrypt_io_release_held() - the key is back: take up what was held
 * @vt: the target
 */
void vmcrypt_io_release_held(struct vmcrypt_target *vt)
{
	queue_work(vt->patient_wq, &vt->release);
}

/**
 * vmcrypt_io_push_back() - a noflush suspend begins: give back what is held
 * @vt: the target
 */
void vmcrypt_io_push_back(struct vmcrypt_target *vt)
{
	struct bio_list held;
	struct bio *bio;

	/* device-mapper's own mark is up, so nothing is added after this. */
	take_held(vt, &held);
	while ((bio = bio_list_pop(&held)))
		requeue(io_of(vt, bio));
}

/**
 * vmcrypt_io_size() - per-bio data of a target
 * @vt: attached to its key
 *
 * Return: bytes.
 */
unsigned int vmcrypt_io_size(const struct vmcrypt_target *vt)
{
	return ALIGN(offsetof(struct vmcrypt_io, crypt) + vmcrypt_crypt_size(),
		     ARCH_KMALLOC_MINALIGN);
}

/**
 * vmcrypt_io_target_init() - prepare a target for I/O
 * @vt: zeroed but for its table
 *
 * Return: 0 or -ENOMEM; vmcrypt_io_target_exit() undoes half of it too.
 */
int vmcrypt_io_target_init(struct vmcrypt_target *vt)
{
	spin_lock_init(&vt->hold_lock);
	bio_list_init(&vt->held);
	INIT_WORK(&vt->release, release_work);
	vt->stats = alloc_percpu(struct vmcrypt_stats);
	if (!vt->stats)
		return -ENOMEM;
	vt->wq = alloc_workqueue("vmcrypt/%s", WQ_MEM_RECLAIM | WQ_UNBOUND, 0,
				 dm_table_device_name(vt->ti->table));
	if (!vt->wq)
		return -ENOMEM;
	vt->patient_wq = alloc_workqueue("vmcrypt-wait/%s", WQ_MEM_RECLAIM | WQ_UNBOUND, 0,
					 dm_table_device_name(vt->ti->table));
	if (!vt->patient_wq)
		return -ENOMEM;
	return vmcrypt_reserve_init(&vt->reserve);
}

/**
 * vmcrypt_io_target_exit() - free what vmcrypt_io_target_init() made
 * @vt: no I/O of it is left, and no key
 */
void vmcrypt_io_target_exit(struct vmcrypt_target *vt)
{
	if (!vt->stats)
		return;
	if (vt->patient_wq)
		destroy_workqueue(vt->patient_wq);
	if (vt->wq)
		destroy_workqueue(vt->wq);
	WARN_ON_ONCE(!bio_list_empty(&vt->held));
	vmcrypt_reserve_exit(&vt->reserve);
	free_percpu(vt->stats);
}

/**
 * vmcrypt_io_init() - start the workers
 *
 * Return: 0 or a negative errno.
 */
int vmcrypt_io_init(void)
{
	int r;

	decrypt_wq = alloc_workqueue("vmcrypt", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!decrypt_wq)
		return -ENOMEM;
	r = vmcrypt_hop_init();
	if (r)
		goto err_wq;
	r = vmcrypt_helpers_init();
	if (r)
		goto err_hop;
	return 0;

err_hop:
	vmcrypt_hop_exit();
err_wq:
	destroy_workqueue(decrypt_wq);
	return r;
}

/**
 * vmcrypt_io_exit() - stop the workers
 */
void vmcrypt_io_exit(void)
{
	vmcrypt_helpers_exit();
	vmcrypt_hop_exit();
	destroy_workqueue(decrypt_wq);
}
