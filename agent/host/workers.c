/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/workers.h"
#include "common/encode.h"
#include "common/lock.h"
#include "common/wakeup.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The whole process is locked in memory, stacks too: keep them small. */
#define WORKER_STACK		(512U * 1024)
#define USEC_PER_SEC		1000000ULL

TAILQ_HEAD(work_list, work);

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_cond_t gone;
	struct work_list queued;
	struct work_list running;
	struct work_list stuck;
	struct work_list returned;
	unsigned int n_queued;
	unsigned int n_threads;		/* without the stuck ones */
	unsigned int n_idle;
	unsigned int n_running;
	unsigned int n_stuck;
	unsigned int threads_max;
	bool stopping;
	int wake_fd;
	sd_event *event;
	sd_event_source *source;
};

/* After @run; under the lock. Whether this thread goes on to serve the pool. */
static bool work_returned(struct workers *pool, struct work *work)
{
	bool keep = true;

	if (work->state == WORK_EXPIRED) {
		TAILQ_REMOVE(&pool->stuck, work, entry);
		pool->n_stuck--;
		keep = pool->n_threads < pool->threads_max;
		if (keep)
			pool->n_threads++;
	} else {
		TAILQ_REMOVE(&pool->running, work, entry);
		pool->n_running--;
		work->state = WORK_FINISHED;
	}
	TAILQ_INSERT_TAIL(&pool->returned, work, entry);
	wakeup_set(pool->wake_fd);
	return keep;
}

static struct work *next_work(struct workers *pool)
{
	struct work *work;

	pool->n_idle++;
	while (TAILQ_EMPTY(&pool->queued) && !pool->stopping)
		pthread_cond_wait(&pool->wake, &pool->lock);
	pool->n_idle--;
	if (pool->stopping)
		return NULL;
	work = TAILQ_FIRST(&pool->queued);
	TAILQ_REMOVE(&pool->queued, work, entry);
	pool->n_queued--;
	work->state = WORK_RUNNING;
	TAILQ_INSERT_TAIL(&pool->running, work, entry);
	pool->n_running++;
	return work;
}

static void *worker_main(void *arg)
{
	struct workers *pool = arg;
	struct work *work;
	bool keep = true;

	pthread_mutex_lock(&pool->lock);
	while (keep) {
		work = next_work(pool);
		if (!work)
			break;
		pthread_mutex_unlock(&pool->lock);
		work->run(work);
		pthread_mutex_lock(&pool->lock);
		keep = work_returned(pool, work);
	}
	if (keep)
		pool->n_threads--;
	pthread_cond_broadcast(&pool->gone);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Under the lock. */
static int spawn_if_needed(struct workers *pool)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (pool->n_idle >= pool->n_queued || pool->n_threads >= pool->threads_max)
		return 0;
	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	r = pthread_create(&thread, &attr, worker_main, pool);
	pthread_attr_destroy(&attr);
	if (r)
		return pool->n_threads ? 0 : -r;
	pool->n_threads++;
	return 0;
}

static void work_release(struct work *work)
{
	work->timer = sd_event_source_disable_unref(work->timer);
	work->release(work);
}

static int on_returned(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct workers *pool = userdata;
	int r = wakeup_clear(fd);
	struct work *work;

	(void)source;
	(void)revents;
	if (r < 0)
		return r;
	for (;;) {
		pthread_mutex_lock(&pool->lock);
		work = TAILQ_FIRST(&pool->returned);
		if (work)
			TAILQ_REMOVE(&pool->returned, work, entry);
		pthread_mutex_unlock(&pool->lock);
		if (!work)
			return 0;
		if (work->state == WORK_FINISHED)
			work->done(work);
		work_release(work);
	}
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct work *work = userdata;
	struct workers *pool = work->pool;
	bool queued, expired = true;

	(void)source;
	(void)usec;
	pthread_mutex_lock(&pool->lock);
	queued = work->state == WORK_QUEUED;
	if (queued) {
		TAILQ_REMOVE(&pool->queued, work, entry);
		pool->n_queued--;
		work->state = WORK_EXPIRED;
	} else if (work->state == WORK_RUNNING) {
		TAILQ_REMOVE(&pool->running, work, entry);
		TAILQ_INSERT_TAIL(&pool->stuck, work, entry);
		pool->n_running--;
		pool->n_threads--;
		pool->n_stuck++;
		work->state = WORK_EXPIRED;
		(void)spawn_if_needed(pool);
	} else {
		expired = false;
	}
	/*
	 * Told under the lock: the thread cannot come back and have the work
	 * released by anybody else, for that is done in this loop.
	 */
	pthread_mutex_unlock(&pool->lock);
	if (expired)
		work->expired(work);
	if (queued)
		work_release(work);
	return 0;
}

int workers_new(sd_event *event, unsigned int threads, struct workers **ret)
{
	struct workers *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake, NULL);
	pthread_cond_init(&pool->gone, NULL);
	TAILQ_INIT(&pool->queued);
	TAILQ_INIT(&pool->running);
	TAILQ_INIT(&pool->stuck);
	TAILQ_INIT(&pool->returned);
	pool->threads_max = threads;
	pool->wake_fd = wakeup_new();
	if (pool->wake_fd < 0) {
		r = pool->wake_fd;
		free(pool);
		return r;
	}
	r = sd_event_add_io(event, &pool->source, pool->wake_fd, EPOLLIN, on_returned, pool);
	if (r < 0) {
		close(pool->wake_fd);
		free(pool);
		return r;
	}
	pool->event = sd_event_ref(event);
	*ret = pool;
	return 0;
}

/* Under the lock. */
static bool subject_is_stuck(const struct workers *pool, uint64_t subject)
{
	const struct work *work;

	if (!subject)
		return false;
	TAILQ_FOREACH(work, &pool->stuck, entry)
		if (work->subject == subject)
			return true;
	return false;
}

/* Under the lock. */
static int enqueue(struct workers *pool, struct work *work)
{
	int r;

	if (pool->stopping)
		return -ESHUTDOWN;
	if (subject_is_stuck(pool, work->subject))
		return -EBUSY;
	if (pool->n_queued >= WORKERS_QUEUE_MAX || pool->n_stuck >= WORKERS_STUCK_MAX)
		return -EAGAIN;
	TAILQ_INSERT_TAIL(&pool->queued, work, entry);
	pool->n_queued++;
	r = spawn_if_needed(pool);
	if (r < 0) {
		TAILQ_REMOVE(&pool->queued, work, entry);
		pool->n_queued--;
		return r;
	}
	work->state = WORK_QUEUED;
	pthread_cond_signal(&pool->wake);
	return 0;
}

int workers_submit(struct workers *pool, struct work *work)
{
	int r;

	work->pool = pool;
	work->timer = NULL;
	if (work->deadline_s) {
		r = sd_event_add_time_relative(pool->event, &work->timer, CLOCK_MONOTONIC,
					       work->deadline_s * USEC_PER_SEC, 0, on_deadline,
					       work);
		if (r < 0)
			return r;
	}
	pthread_mutex_lock(&pool->lock);
	r = enqueue(pool, work);
	pthread_mutex_unlock(&pool->lock);
	if (r < 0)
		work->timer = sd_event_source_disable_unref(work->timer);
	return r;
}

bool work_is_expired(struct work *work)
{
	bool expired;

	pthread_mutex_lock(&work->pool->lock);
	expired = work->state == WORK_EXPIRED;
	pthread_mutex_unlock(&work->pool->lock);
	return expired;
}

unsigned int workers_busy(struct workers *pool)
{
	unsigned int busy;

	pthread_mutex_lock(&pool->lock);
	busy = pool->n_queued + pool->n_running;
	pthread_mutex_unlock(&pool->lock);
	return busy;
}

static void release_all(struct work_list *list)
{
	struct work *work;

	while ((work = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, work, entry);
		work_release(work);
	}
}

bool workers_free(struct workers *pool, unsigned int wait_s)
{
	int64_t until = time_monotonic_ms() + (int64_t)wait_s * 1000;
	bool left;

	if (!pool)
		return true;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wake);
	while (pool->n_threads && cond_wait_until(&pool->gone, &pool->lock, until))
		;
	left = pool->n_threads || pool->n_stuck;
	pthread_mutex_unlock(&pool->lock);
	release_all(&pool->queued);
	release_all(&pool->returned);
	pool->source = sd_event_source_disable_unref(pool->source);
	if (left)
		return false;
	pool->event = sd_event_unref(pool->event);
	close(pool->wake_fd);
	pthread_cond_destroy(&pool->gone);
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
	return true;
}
