// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that lend vmcrypt the time of idle CPUs.
 *
 * Each CPU has one. It waits under SCHED_IDLE, so it is the scheduler that knows
 * whether the CPU is idle: a helper that is woken on one that is not does not
 * run, and finds nothing to do when it does; until then it counts as awake, and
 * nobody wakes it again. One that came too late is left asleep for a while, the
 * longer the more often that happens.
 *
 * It may wait for a device below, for as long as that one likes. So when its CPU
 * goes nobody waits until it is parked: it goes elsewhere, is not called any more,
 * and returns with its CPU.
 *
 * A helper can be posted a big bio, see share.c: it takes the post and then
 * pieces of the bio, without being preempted, until somebody else wants the CPU.
 * And it can be called to open its queue for small ones, see queue.c.
 *
 * CPUs that are isolated do not help.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "helpers.h"

#include <linux/completion.h>
#include <linux/cpuhotplug.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/isolation.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/timekeeping.h>
#include <uapi/linux/sched/types.h>

#include "io.h"
#include "queue.h"
#include "share.h"
#include "target.h"
#include "trace.h"

/* The most helpers that one bio is posted to. */
#define POSTS_MAX	7

/* How many helpers are looked at before none is called. */
#define CALL_TRIES	8

/* How often a helper is left asleep at most after it came too late. */
#define SHY_MAX		64

/* A helper that is called comes sooner if its CPU is idle. */
#define LATE_NS		NSEC_PER_MSEC

/**
 * struct pass - a helper's pass over a piece of somebody's bio
 * @stepped: an asynchronous step has ended
 * @crypt: the pass; must be last
 */
struct pass {
	struct completion stepped;
	struct vmcrypt_crypt crypt;
};

/**
 * struct helper - the thread of one CPU
 * @task: the thread; NULL until the CPU has been online
 * @post: a big bio, or NULL; who takes it out by xchg() or cmpxchg() has it
 * @awake: woken, or running
 * @called: to open the queue
 * @isolated: the CPU is kept free of such work
 * @normal: the thread has the normal policy now; the thread's own
 * @called_at: when, ns
 * @wake_ns: what it takes to come, on average; the thread's own
 * @skip: how often to leave it asleep; a mistake costs time, and nothing else
 * @shy: how often it was left asleep last time
 * @queue: for small bios
 * @pass: the thread's own
 */
struct helper {
	struct task_struct *task;
	struct vmcrypt_io *post;
	int awake;
	bool called;
	bool isolated;
	bool normal;
	u64 called_at;
	u64 wake_ns;
	unsigned int skip;
	unsigned int shy;
	struct vmcrypt_queue queue;
	struct pass *pass;
};

static struct helper __percpu *helpers;
static int helpers_cpuhp_state;

static void wake(struct helper *helper)
{
	/* xchg() orders what the helper shall find before; pairs with that in has_work(). */
	if (!xchg(&helper->awake, true))
		wake_up_process(helper->task);
}

/* The helper of a CPU, NULL when it cannot help. */
static struct helper *helper_on(unsigned int cpu)
{
	struct helper *helper;

	if (!cpu_online(cpu))
		return NULL;
	helper = per_cpu_ptr(helpers, cpu);
	/* Pairs with the smp_store_release() in online(). */
	return smp_load_acquire(&helper->task) && !helper->isolated ? helper : NULL;
}

/* It came too late: its CPU was not idle. */
static void make_shy(struct helper *helper)
{
	helper->shy = min(2 * helper->shy + 1, SHY_MAX + 0U);
	WRITE_ONCE(helper->skip, helper->shy);
}

static bool is_shy(struct helper *helper)
{
	/* Others count, too: read once, for below zero it would never come up again. */
	unsigned int skip = READ_ONCE(helper->skip);

	if (READ_ONCE(helper->awake) || !skip)
		return false;
	WRITE_ONCE(helper->skip, skip - 1);
	return true;
}

static bool post(unsigned int cpu, struct vmcrypt_io *io)
{
	struct helper *helper = helper_on(cpu);

	if (!helper || READ_ONCE(helper->post) || is_shy(helper))
		return false;
	atomic_inc(&io->share.users);
	if (cmpxchg(&helper->post, NULL, io)) {
		atomic_dec(&io->share.users);
		return false;
	}
	wake(helper);
	return true;
}

/* The @i-th of the CPUs that a bio's owner looks at. */
static unsigned int nth_cpu(const struct vmcrypt_io *io, unsigned int i)
{
	return (io->share.first + i) % nr_cpu_ids;
}

/**
 * vmcrypt_helpers_post() - ask for help with a big bio
 * @io: its share is prepared
 * @wanted: how many helpers have something to do
 *
 * Return: how many helpers vmcrypt_helpers_withdraw() has to ask; 0 if nobody
 * was found.
 */
unsigned int vmcrypt_helpers_post(struct vmcrypt_io *io, unsigned int wanted)
{
	unsigned int i, posted = 0, asked = 0;

	wanted = min(wanted, POSTS_MAX + 0U);
	io->share.first = raw_smp_processor_id() + 1;
	for (i = 0; i < min(nr_cpu_ids - 1, 2 * wanted) && posted < wanted; i++) {
		if (!post(nth_cpu(io, i), io))
			continue;
		posted++;
		asked = i + 1;
	}
	return asked;
}

/**
 * vmcrypt_helpers_withdraw() - who has not come by now need not come
 * @io: what was posted
 *
 * Return: to how many it was still posted.
 */
unsigned int vmcrypt_helpers_withdraw(struct vmcrypt_io *io)
{
	unsigned int i, withdrawn = 0;

	for (i = 0; i < io->share.nr; i++) {
		unsigned int cpu = nth_cpu(io, i);
		struct helper *helper;

		if (!cpu_possible(cpu))
			continue;
		helper = per_cpu_ptr(helpers, cpu);
		if (READ_ONCE(helper->post) != io || cmpxchg(&helper->post, io, NULL) != io)
			continue;
		withdrawn++;
		make_shy(helper);
	}
	return withdrawn;
}

/**
 * vmcrypt_helpers_call() - have a helper open its queue
 * @last: the CPU of the one that was called last
 *
 * Any context. Not this CPU's helper, nor one that is known to wait for its CPU.
 *
 * Return: the CPU of the one that is called; @last if none is.
 */
unsigned int vmcrypt_helpers_call(unsigned int last)
{
	unsigned int tries, cpu = last;

	for (tries = 0; tries < CALL_TRIES; tries++) {
		struct helper *helper;

		cpu = (cpu + 1) % nr_cpu_ids;
		helper = cpu == raw_smp_processor_id() ? NULL : helper_on(cpu);
		if (!helper || READ_ONCE(helper->awake) || is_shy(helper))
			continue;
		WRITE_ONCE(helper->called_at, ktime_get_mono_fast_ns());
		WRITE_ONCE(helper->called, true);
		wake(helper);
		return cpu;
	}
	return last;
}

/**
 * vmcrypt_helpers_queue() - the queue of a helper
 * @cpu: what vmcrypt_helpers_call() returned, or 0
 */
struct vmcrypt_queue *vmcrypt_helpers_queue(unsigned int cpu)
{
	return &per_cpu_ptr(helpers, cpu)->queue;
}

/* The thread. */

static void set_idle_policy(struct helper *helper)
{
	const struct sched_attr idle = { .size = sizeof(idle), .sched_policy = SCHED_IDLE };

	WARN_ON_ONCE(sched_setattr_nocheck(current, &idle));
	helper->normal = false;
}

static void set_normal_policy(struct helper *helper)
{
	if (helper->normal)
		return;
	sched_set_normal(current, 0);
	helper->normal = true;
}

static void step_ended(struct vmcrypt_crypt *crypt)
{
	complete(&container_of(crypt, struct pass, crypt)->stepped);
}

/* The driver works on its own: others wait for the bio, so come back soon. */
static int await_steps(struct helper *helper)
{
	int r;

	preempt_enable();
	set_normal_policy(helper);
	do {
		wait_for_completion(&helper->pass->stepped);
		r = vmcrypt_crypt_run(&helper->pass->crypt);
	} while (r == -EINPROGRESS);
	preempt_disable();
	return r;
}

/*
 * Somebody else may want the CPU, but not for long. The post is a user of its
 * own: once it is there its owner may take it away, and the bio end.
 */
static void post_again(struct helper *helper, struct vmcrypt_io *io)
{
	if (vmcrypt_share_is_taken(io))
		return;
	atomic_inc(&io->share.users);
	/* Who took the last piece looks for posts after that; so who posts looks for pieces. */
	if (cmpxchg(&helper->post, NULL, io) ||
	    (vmcrypt_share_is_taken(io) && cmpxchg(&helper->post, io, NULL) == io))
		atomic_dec(&io->share.users);
}

/* Takes the post and works on it. */
static void serve_post(struct helper *helper)
{
	struct vmcrypt_io *io;
	int r;

	/* Others wait for who is inside a bio: that is not for a policy that may starve. */
	preempt_disable();
	io = xchg(&helper->post, NULL);
	if (!io) {
		preempt_enable();
		return;
	}
	helper->shy = 0;
	while (!need_resched() && vmcrypt_share_take(io, &helper->pass->crypt, step_ended)) {
		r = vmcrypt_crypt_run(&helper->pass->crypt);
		if (unlikely(r == -EINPROGRESS))
			r = await_steps(helper);
		r = vmcrypt_io_crypt_error(io, r);
		if (unlikely(r))
			vmcrypt_share_note(io, r);
		trace_vmcrypt_piece(io->vt->dev->bdev->bd_dev, io->iter.bi_sector,
				    io->iter.bi_size, io->stage == IO_ENCRYPT);
	}
	post_again(helper, io);
	vmcrypt_share_leave_helper(io);
	preempt_enable();
}

static void open_queue(struct helper *helper)
{
	u64 took = ktime_get_mono_fast_ns() - READ_ONCE(helper->called_at);

	WRITE_ONCE(helper->called, false);
	if (took > LATE_NS) {
		make_shy(helper);
		return;
	}
	helper->shy = 0;
	helper->wake_ns = (3 * helper->wake_ns + took) / 4;
	set_normal_policy(helper);
	vmcrypt_queue_serve(&helper->queue, helper->wake_ns);
}

static bool has_work(struct helper *helper)
{
	/* Pairs with the xchg() in wake(): either it wakes, or its work is seen here. */
	xchg(&helper->awake, false);
	if (!READ_ONCE(helper->post) && !READ_ONCE(helper->called))
		return false;
	WRITE_ONCE(helper->awake, true);
	return true;
}

static void work(struct helper *helper)
{
	if (READ_ONCE(helper->called))
		open_queue(helper);
	serve_post(helper);
	if (helper->normal)
		set_idle_policy(helper);
	cond_resched();
}

static int helper_thread(void *data)
{
	struct helper *helper = data;

	set_idle_policy(helper);
	for (;;) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		if (!has_work(helper)) {
			schedule();
			continue;
		}
		__set_current_state(TASK_RUNNING);
		work(helper);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

/* A CPU has come: its helper is made, or returns to it. */
static int online(unsigned int cpu)
{
	struct helper *helper = per_cpu_ptr(helpers, cpu);
	struct task_struct *task;

	if (helper->task)
		return set_cpus_allowed_ptr(helper->task, cpumask_of(cpu));

	task = kthread_create_on_node(helper_thread, helper, cpu_to_node(cpu), "vmcrypt/%u", cpu);
	if (IS_ERR(task))
		return PTR_ERR(task);
	kthread_bind(task, cpu);
	wake_up_process(task);
	/* Pairs with the smp_load_acquire() in helper_on(). */
	smp_store_release(&helper->task, task);
	return 0;
}

static void free_all(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct helper *helper = per_cpu_ptr(helpers, cpu);

		if (helper->task)
			kthread_stop(helper->task);
		/* As skcipher_request_free() does with what a driver has left behind it. */
		kfree_sensitive(helper->pass);
	}
	free_percpu(helpers);
}

static int set_up(struct helper *helper, unsigned int cpu)
{
	helper->pass = kzalloc(offsetof(struct pass, crypt) + vmcrypt_crypt_size(), GFP_KERNEL);
	if (!helper->pass)
		return -ENOMEM;
	init_completion(&helper->pass->stepped);
	vmcrypt_queue_init(&helper->queue);
	/* As for an unbound workqueue. */
	helper->isolated = !housekeeping_cpu(cpu, HK_TYPE_WQ) ||
			   !housekeeping_cpu(cpu, HK_TYPE_DOMAIN);
	return 0;
}

/**
 * vmcrypt_helpers_init() - start the helpers
 *
 * Return: 0 or a negative errno.
 */
int vmcrypt_helpers_init(void)
{
	int cpu, r = 0;

	helpers = alloc_percpu(struct helper);
	if (!helpers)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		r = set_up(per_cpu_ptr(helpers, cpu), cpu);
		if (r)
			break;
	}
	if (!r)
		r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "dm/vmcrypt:helpers", online, NULL);
	if (r < 0) {
		free_all();
		return r;
	}
	helpers_cpuhp_state = r;
	return 0;
}

/**
 * vmcrypt_helpers_exit() - stop the helpers
 *
 * No bio is left.
 */
void vmcrypt_helpers_exit(void)
{
	cpuhp_remove_state(helpers_cpuhp_state);
	free_all();
}
