// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small bios of a busy submitter, done by a helper.
 *
 * A submitter is busy when it does not sleep between two of its bios: what it
 * does not compute itself it can submit in that time. So its bios are handed over
 * whole, to the open queue of a helper, see helpers.c; where none is open one is
 * called, and the bio stays where it is. Reads that have come back and wait for
 * their CPU are handed over, too.
 *
 * A helper has the normal policy while its queue is open, so that what it has
 * accepted gets done; a closed queue accepts nothing. While it is open it waits
 * for more for a moment, without sleeping. A task of a real-time policy that takes
 * its CPU for long takes the bios in its queue along, as it would take those of a
 * workqueue: what the kernel keeps for others (sched_rt_runtime_us) gets them
 * done, and once that CPU is busy no helper comes in time to open a queue there.
 *
 * Sending a write down may wait for a device below, and that for a read that this
 * helper has accepted. So a queue is closed and empty while its helper does it.
 *
 * This does not pay for a submitter that waits for each of its bios, which cannot
 * be seen in advance where the device below ends them at once. So it is tried,
 * and the more rarely the more often it did not pay.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "queue.h"

#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "helpers.h"
#include "io.h"
#include "read.h"
#include "target.h"
#include "trace.h"
#include "write.h"

/* The largest bio that is handed over whole. */
#define BYTES_MAX	(16 * 1024)

/* The most that an open queue accepts at a time. */
#define ROOM		8

/* How many bios without sleep make a busy submitter: at first, and when it did not pay. */
#define STREAK_MIN	8
#define STREAK_MAX	1024

/* As many handed over between two sleeps, and it has paid. */
#define PAID		8

/*
 * How long a helper waits for more without sleeping: some of what a wake takes on
 * this machine, within limits that are those of a halted guest's CPU in KVM.
 */
#define LINGER_NS_MIN	(100 * NSEC_PER_USEC)
#define LINGER_NS_MAX	(500 * NSEC_PER_USEC)

/**
 * struct desk - what is known of those who submit on one CPU
 * @submitter: who did it last; compared, never followed
 * @slept: its voluntary context switches then
 * @streak: bios since it slept
 * @need: how long a streak must be
 * @handed: bios handed over in this streak
 * @busy: @streak has reached @need
 * @partner: the CPU whose helper was called last
 *
 * Changed without a lock, and preempted in between: a mistake costs time, and
 * nothing else.
 */
struct desk {
	const struct task_struct *submitter;
	unsigned long slept;
	unsigned int streak;
	unsigned int need;
	unsigned int handed;
	bool busy;
	unsigned int partner;
};

static DEFINE_PER_CPU(struct desk, desks) = { .need = STREAK_MIN };

/**
 * vmcrypt_queue_submission() - a bio with data is submitted here
 *
 * Process context.
 */
void vmcrypt_queue_submission(void)
{
	struct desk *desk = raw_cpu_ptr(&desks);

	if (desk->submitter != current || desk->slept != current->nvcsw) {
		if (desk->handed >= PAID)
			desk->need = STREAK_MIN;
		else if (desk->handed)
			desk->need = min(2 * desk->need, STREAK_MAX + 0U);
		desk->submitter = current;
		desk->slept = current->nvcsw;
		desk->streak = 0;
		desk->handed = 0;
		desk->busy = false;
	}
	if (++desk->streak >= desk->need)
		desk->busy = true;
}

static bool accept(struct vmcrypt_queue *queue, struct vmcrypt_io *io)
{
	unsigned long flags;
	bool accepted;

	spin_lock_irqsave(&queue->lock, flags);
	accepted = queue->room;
	if (accepted) {
		queue->room--;
		vmcrypt_io_leave_context(io);
		list_add_tail(&io->node, &queue->list);
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	return accepted;
}

/**
 * vmcrypt_queue_hand_over() - let a helper do a small bio, if that is better
 * @io: the caller's; IO_ENCRYPT, to be encrypted and sent down, or IO_DECRYPT
 * @backlog: more of them are waiting here
 *
 * Any context.
 *
 * Return: false when it stays the caller's.
 */
bool vmcrypt_queue_hand_over(struct vmcrypt_io *io, bool backlog)
{
	struct desk *desk = raw_cpu_ptr(&desks);
	unsigned int partner = READ_ONCE(desk->partner);
	struct vmcrypt_queue *queue;

	if ((!backlog && !desk->busy) || io->iter.bi_size > BYTES_MAX ||
	    io->bio->bi_opf & REQ_POLLED)
		return false;
	queue = vmcrypt_helpers_queue(partner);
	if (!READ_ONCE(queue->room) || partner == raw_smp_processor_id()) {
		WRITE_ONCE(desk->partner, vmcrypt_helpers_call(partner));
		return false;
	}
	if (!accept(queue, io))
		return false;
	desk->handed++;
	return true;
}

static void set_room(struct vmcrypt_queue *queue, unsigned int room)
{
	spin_lock_irq(&queue->lock);
	queue->room = room;
	spin_unlock_irq(&queue->lock);
	queue->credit = 0;
}

/* Takes a bio out of the queue, and lets in as many more as @credit says. */
static struct vmcrypt_io *next_in_queue(struct vmcrypt_queue *queue)
{
	struct vmcrypt_io *io;

	/* What is accepted after this look is seen by the next one. */
	if (!queue->credit && list_empty_careful(&queue->list))
		return NULL;
	spin_lock_irq(&queue->lock);
	queue->room += queue->credit;
	io = list_first_entry_or_null(&queue->list, struct vmcrypt_io, node);
	if (io)
		list_del(&io->node);
	spin_unlock_irq(&queue->lock);
	queue->credit = 0;
	return io;
}

/* Closes an empty queue. False when it is not empty. */
static bool close_queue(struct vmcrypt_queue *queue)
{
	bool empty;

	spin_lock_irq(&queue->lock);
	empty = list_empty(&queue->list);
	if (empty)
		queue->room = 0;
	spin_unlock_irq(&queue->lock);
	return empty;
}

static void send_down(struct list_head *writes)
{
	struct vmcrypt_io *io, *next;
	struct blk_plug plug;

	blk_start_plug(&plug);
	list_for_each_entry_safe(io, next, writes, node)
		dm_submit_bio_remap(io->bio, NULL);
	blk_finish_plug(&plug);
	INIT_LIST_HEAD(writes);
}

/*
 * Does what is accepted, some of it at least. Writes that may go down are
 * collected; from then on nothing more is let in, so that they go soon. False
 * when there was nothing to do.
 */
static bool serve_accepted(struct vmcrypt_queue *queue, struct list_head *writes, bool ending)
{
	struct vmcrypt_io *io;
	unsigned int done;

	for (done = 0; done < ROOM && (io = next_in_queue(queue)); done++) {
		trace_vmcrypt_take_over(io->vt->dev->bdev->bd_dev, io->iter.bi_sector,
					io->iter.bi_size, io->stage == IO_ENCRYPT);
		if (io->stage == IO_DECRYPT)
			vmcrypt_read_take_up(io);
		else if (vmcrypt_write_take_up_early(io))
			list_add_tail(&io->node, writes);
		queue->credit = !ending && list_empty(writes);
	}
	return done;
}

/**
 * vmcrypt_queue_serve() - open a queue, and close it when nothing comes
 * @queue: the caller's, a helper of the normal policy
 * @wake_ns: what it takes to wake the helper
 */
void vmcrypt_queue_serve(struct vmcrypt_queue *queue, u64 wake_ns)
{
	u64 linger = clamp_t(u64, 4 * wake_ns, LINGER_NS_MIN, LINGER_NS_MAX);
	unsigned long preempted = current->nivcsw;
	u64 since = ktime_get_mono_fast_ns();
	LIST_HEAD(writes);
	bool ending = false;

	set_room(queue, ROOM);
	for (;;) {
		if (serve_accepted(queue, &writes, ending))
			since = ktime_get_mono_fast_ns();
		else
			cpu_relax();
		if ((!list_empty(&writes) || ending) && close_queue(queue)) {
			send_down(&writes);
			if (ending)
				return;
			set_room(queue, ROOM);
		}
		/* When nothing has come for a while, or somebody else wants the CPU. */
		if (need_resched() || current->nivcsw != preempted ||
		    ktime_get_mono_fast_ns() - since > linger)
			ending = true;
	}
}

/**
 * vmcrypt_queue_init() - prepare a queue, closed
 * @queue: zeroed
 */
void vmcrypt_queue_init(struct vmcrypt_queue *queue)
{
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->list);
}
