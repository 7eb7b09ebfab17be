/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/web_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/secret.h"

STAILQ_HEAD(call_list, web_call);

/* The whole process is locked in memory, stacks too: keep them small. */
#define POOL_STACK	(512U * 1024)

struct web_pool {
	pthread_mutex_t lock;
	pthread_cond_t wake_thread;
	struct call_list waiting;
	struct call_list answered;
	unsigned int n_waiting;
	unsigned int queue_max;
	bool stopping;
	void (*serve)(const struct http_request *rq, struct http_answer *an, void *user);
	void *user;
	void (*wake)(void *waker);
	void *waker;
	unsigned int n_threads;
	pthread_t threads[];
};

void web_call_free(struct web_call *call)
{
	if (!call)
		return;
	http_request_done(&call->rq);
	http_answer_done(&call->an);
	free(call);
}

static struct web_call *next_call(struct web_pool *pool)
{
	struct web_call *call = NULL;

	pthread_mutex_lock(&pool->lock);
	while (STAILQ_EMPTY(&pool->waiting) && !pool->stopping)
		pthread_cond_wait(&pool->wake_thread, &pool->lock);
	if (!pool->stopping) {
		call = STAILQ_FIRST(&pool->waiting);
		STAILQ_REMOVE_HEAD(&pool->waiting, entry);
		pool->n_waiting--;
	}
	pthread_mutex_unlock(&pool->lock);
	return call;
}

static void *pool_thread(void *arg)
{
	struct web_pool *pool = arg;
	struct web_call *call;

	while ((call = next_call(pool))) {
		pool->serve(&call->rq, &call->an, pool->user);
		/* A password in it is to be gone when its sender has the answer. */
		if (call->rq.body)
			erase(call->rq.body, call->rq.body_size);
		pthread_mutex_lock(&pool->lock);
		STAILQ_INSERT_TAIL(&pool->answered, call, entry);
		pthread_mutex_unlock(&pool->lock);
		pool->wake(pool->waker);
	}
	return NULL;
}

static int start_threads(struct web_pool *pool, unsigned int threads)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r)
		return -r;
	pthread_attr_setstacksize(&attr, POOL_STACK);
	while (!r && pool->n_threads < threads) {
		r = pthread_create(&pool->threads[pool->n_threads], &attr, pool_thread, pool);
		if (!r)
			pool->n_threads++;
	}
	pthread_attr_destroy(&attr);
	return -r;
}

int web_pool_new(unsigned int threads, unsigned int queue_max,
		 void (*serve)(const struct http_request *rq, struct http_answer *an, void *user),
		 void *user, void (*wake)(void *waker), void *waker, struct web_pool **ret)
{
	struct web_pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
	int r;

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake_thread, NULL);
	STAILQ_INIT(&pool->waiting);
	STAILQ_INIT(&pool->answered);
	pool->queue_max = queue_max;
	pool->serve = serve;
	pool->user = user;
	pool->wake = wake;
	pool->waker = waker;
	r = start_threads(pool, threads);
	if (r < 0) {
		web_pool_free(pool);
		return r;
	}
	*ret = pool;
	return 0;
}

int web_pool_give(struct web_pool *pool, struct web_call *call)
{
	int r = -EAGAIN;

	pthread_mutex_lock(&pool->lock);
	if (pool->n_waiting < pool->queue_max) {
		STAILQ_INSERT_TAIL(&pool->waiting, call, entry);
		pool->n_waiting++;
		call->with_pool = true;
		pthread_cond_signal(&pool->wake_thread);
		r = 0;
	}
	pthread_mutex_unlock(&pool->lock);
	return r;
}

struct web_call *web_pool_take(struct web_pool *pool)
{
	struct web_call *call;

	pthread_mutex_lock(&pool->lock);
	call = STAILQ_FIRST(&pool->answered);
	if (call) {
		STAILQ_REMOVE_HEAD(&pool->answered, entry);
		call->with_pool = false;
		call->answered = true;
	}
	pthread_mutex_unlock(&pool->lock);
	return call;
}

static void drop_calls(struct call_list *list)
{
	struct web_call *call;

	while ((call = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, entry);
		web_call_free(call);
	}
}

void web_pool_stop(struct web_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wake_thread);
	pthread_mutex_unlock(&pool->lock);
	while (pool->n_threads)
		pthread_join(pool->threads[--pool->n_threads], NULL);
}

void web_pool_free(struct web_pool *pool)
{
	if (!pool)
		return;
	web_pool_stop(pool);
	drop_calls(&pool->waiting);
	drop_calls(&pool->answered);
	pthread_cond_destroy(&pool->wake_thread);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
