/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads for work that waits for storage, so that the main loop never does.
 *
 * A read of a device may hang for ever and cannot be taken back. Work that
 * overruns its deadline is therefore given up: its owner is told, its thread no
 * longer counts against the pool, and what it holds is released when the
 * thread comes back. The number of threads given up is bounded too.
 */
#ifndef HOST_WORKERS_H
#define HOST_WORKERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#define WORKERS_QUEUE_MAX	512	/* waiting, a pool */
#define WORKERS_STUCK_MAX	64	/* threads given up, a pool */

struct workers;

enum work_state {
	WORK_IDLE,
	WORK_QUEUED,
	WORK_RUNNING,
	WORK_FINISHED,
	WORK_EXPIRED,
};

/**
 * struct work - one piece of work, embedded in what it works on
 * @subject: what it may hang on (a device number), 0 for nothing: while work on
 *	a subject is stuck, no more of it is begun
 * @deadline_s: seconds from submission, 0 for none
 * @run: in a thread of the pool
 * @done: in the main loop, after @run, unless it expired
 * @expired: in the main loop, while @run may still be under way: it may read
 *	what @run does not write
 * @release: in the main loop, last of all, once, always
 *
 * The rest belongs to the pool.
 */
struct work {
	uint64_t subject;
	unsigned int deadline_s;
	void (*run)(struct work *work);
	void (*done)(struct work *work);
	void (*expired)(struct work *work);
	void (*release)(struct work *work);

	struct workers *pool;
	enum work_state state;
	sd_event_source *timer;
	TAILQ_ENTRY(work) entry;
};

/**
 * workers_new() - make a pool
 * @event: the main loop
 * @threads: how many run at one time, 1 or more; they are started when needed
 *
 * Return: 0 or -errno.
 */
int workers_new(sd_event *event, unsigned int threads, struct workers **ret);

/**
 * workers_submit() - hand over work; from the main loop only
 *
 * Return: 0, and the pool will call @release; or, having called nothing,
 * -EAGAIN (the queue is full, or too many threads are stuck) or -EBUSY
 * (earlier work on this subject is stuck).
 */
int workers_submit(struct workers *pool, struct work *work);

/* Whether the owner has given up: asked by @run before it has an effect. */
bool work_is_expired(struct work *work);

/* Work queued or running, without what was given up. */
unsigned int workers_busy(struct workers *pool);

/**
 * workers_free() - let go of a pool
 * @wait_s: how long work that runs may take to end
 *
 * What is queued is released unrun. Return: true when no thread is left; false
 * when some are stuck, and the pool is leaked to them: the process must end.
 */
bool workers_free(struct workers *pool, unsigned int wait_s);

#endif /* HOST_WORKERS_H */
