/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads that do the links' work. */
#include "manager/links_internal.h"

#include "common/log.h"

/* The whole process is locked in memory, stacks too: keep them small. */
#define LANE_STACK	(512U * 1024)

static const unsigned int threads_max[N_LANES] = {
	[LANE_QUICK] = 4,
	[LANE_KEYS] = 40,
	[LANE_PROVISION] = 8,
};

_Static_assert(4 + 40 + 8 <= LINKS_THREADS_MAX, "all lanes at their most");

static struct work *next_work(struct lane *lane)
{
	struct work *work;

	while (!(work = TAILQ_FIRST(&lane->ready)) && !lane->links->stopping) {
		lane->n_idle++;
		pthread_cond_wait(&lane->wake, &lane->links->lock);
		lane->n_idle--;
	}
	if (lane->links->stopping)
		return NULL;
	TAILQ_REMOVE(&lane->ready, work, entry);
	work->queued = false;
	return work;
}

static void *lane_thread(void *arg)
{
	struct lane *lane = arg;
	struct links *links = lane->links;
	struct work *work;

	pthread_mutex_lock(&links->lock);
	while ((work = next_work(lane))) {
		struct link *link = work->link;

		work->run(link);
		link_unref(link);
	}
	pthread_mutex_unlock(&links->lock);
	return NULL;
}

static void start_thread(struct lane *lane)
{
	struct links *links = lane->links;
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (!r) {
		pthread_attr_setstacksize(&attr, LANE_STACK);
		r = pthread_create(&links->threads[links->n_threads], &attr, lane_thread, lane);
		pthread_attr_destroy(&attr);
	}
	if (r) {
		log_warning("Cannot start a thread for what hosts ask: %s; they wait for the %u there are",
			    error_name(r), lane->n_threads);
		return;
	}
	links->n_threads++;
	lane->n_threads++;
}

void links_work(struct link *link, struct work *work, enum lane_id id)
{
	struct lane *lane = &link->links->lanes[id];
	struct work *other;
	unsigned int waiting = 0;

	if (work->queued || link->links->stopping)
		return;
	work->link = link;
	work->queued = true;
	link->refs++;
	TAILQ_INSERT_TAIL(&lane->ready, work, entry);
	/* An idle thread may have been woken for an earlier one and not be there yet. */
	TAILQ_FOREACH(other, &lane->ready, entry)
		if (++waiting > lane->n_idle)
			break;
	if (waiting > lane->n_idle && lane->n_threads < lane->max)
		start_thread(lane);
	pthread_cond_signal(&lane->wake);
}

void links_lanes_init(struct links *links)
{
	size_t i;

	for (i = 0; i < N_LANES; i++) {
		struct lane *lane = &links->lanes[i];

		lane->links = links;
		lane->max = threads_max[i];
		TAILQ_INIT(&lane->ready);
		pthread_cond_init(&lane->wake, NULL);
	}
}

static void drop_work(struct lane *lane)
{
	struct work *work;

	while ((work = TAILQ_FIRST(&lane->ready))) {
		TAILQ_REMOVE(&lane->ready, work, entry);
		work->queued = false;
		link_unref(work->link);
	}
}

void links_lanes_stop(struct links *links)
{
	size_t i;

	pthread_mutex_lock(&links->lock);
	links->stopping = true;
	for (i = 0; i < N_LANES; i++)
		pthread_cond_broadcast(&links->lanes[i].wake);
	pthread_mutex_unlock(&links->lock);
	while (links->n_threads)
		pthread_join(links->threads[--links->n_threads], NULL);
	pthread_mutex_lock(&links->lock);
	for (i = 0; i < N_LANES; i++)
		drop_work(&links->lanes[i]);
	pthread_mutex_unlock(&links->lock);
}
