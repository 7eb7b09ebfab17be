// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads that have come back in a hard interrupt go on in a softirq of that CPU:
 * sooner than in a worker, and with interrupts on.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "hop.h"

#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>

#include "helpers.h"
#include "io.h"
#include "queue.h"
#include "read.h"

/* What one run of the softirq decrypts; the kernel decides when there is the next. */
#define RUN_BYTES_MAX	(64 * 1024)

/**
 * struct hop - what waits for one CPU's softirq
 * @tasklet: the softirq
 * @lock: guards @queue; any context
 * @queue: reads, oldest first
 */
struct hop {
	struct tasklet_struct tasklet;
	spinlock_t lock;	/* queue */
	struct list_head queue;
};

static struct hop __percpu *hops;

/**
 * vmcrypt_hop() - go on in a softirq
 * @io: a read, come back; vmcrypt_read_take_up_softirq() gets it
 *
 * Hard interrupt, or interrupts off.
 */
void vmcrypt_hop(struct vmcrypt_io *io)
{
	struct hop *hop = this_cpu_ptr(hops);

	spin_lock(&hop->lock);
	list_add_tail(&io->node, &hop->queue);
	spin_unlock(&hop->lock);
	tasklet_schedule(&hop->tasklet);
}

static struct vmcrypt_io *next_read(struct hop *hop, bool *ret_backlog)
{
	struct vmcrypt_io *io;

	spin_lock_irq(&hop->lock);
	io = list_first_entry_or_null(&hop->queue, struct vmcrypt_io, node);
	if (io)
		list_del(&io->node);
	*ret_backlog = !list_empty(&hop->queue);
	spin_unlock_irq(&hop->lock);
	return io;
}

static void run(struct tasklet_struct *tasklet)
{
	struct hop *hop = from_tasklet(hop, tasklet, tasklet);
	unsigned int bytes = 0;
	struct vmcrypt_io *io;
	bool backlog;

	while ((io = next_read(hop, &backlog))) {
		if (backlog && vmcrypt_helpers_possible() && vmcrypt_queue_hand_over(io, backlog))
			continue;
		bytes += io->iter.bi_size;
		vmcrypt_read_take_up_softirq(io);
		if (bytes >= RUN_BYTES_MAX) {
			tasklet_schedule(tasklet);
			return;
		}
	}
}

/**
 * vmcrypt_hop_init() - prepare the softirqs
 *
 * Return: 0 or -ENOMEM.
 */
int vmcrypt_hop_init(void)
{
	int cpu;

	hops = alloc_percpu(struct hop);
	if (!hops)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		struct hop *hop = per_cpu_ptr(hops, cpu);

		tasklet_setup(&hop->tasklet, run);
		spin_lock_init(&hop->lock);
		INIT_LIST_HEAD(&hop->queue);
	}
	return 0;
}

/**
 * vmcrypt_hop_exit() - end the softirqs
 *
 * No bio is left.
 */
void vmcrypt_hop_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		tasklet_kill(&per_cpu_ptr(hops, cpu)->tasklet);
	free_percpu(hops);
}
