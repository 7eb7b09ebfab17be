/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Workers: what hangs is given up, what follows goes on. */
#include "unit.h"

#include <pthread.h>
#include <time.h>

#include "host/workers.h"

#define MSEC	1000ULL

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static bool gate;

/* One piece of work, and what became of it. */
struct probe {
	struct work work;
	bool wait;		/* for the gate */
	bool saw_expired;
	volatile int ran, done, expired, released;
};

static void run(struct work *work)
{
	struct probe *p = (struct probe *)work;

	pthread_mutex_lock(&lock);
	while (p->wait && !gate)
		pthread_cond_wait(&opened, &lock);
	p->ran++;
	pthread_mutex_unlock(&lock);
	p->saw_expired = work_is_expired(work);
}

static void done(struct work *work)
{
	((struct probe *)work)->done++;
}

static void expired(struct work *work)
{
	((struct probe *)work)->expired++;
}

static void release(struct work *work)
{
	((struct probe *)work)->released++;
}

static void probe_init(struct probe *p, bool wait, unsigned int deadline_s, uint64_t subject)
{
	*p = (struct probe){ .wait = wait,
			     .work = { .subject = subject, .deadline_s = deadline_s, .run = run,
				       .done = done, .expired = expired, .release = release } };
}

static void open_gate(void)
{
	pthread_mutex_lock(&lock);
	gate = true;
	pthread_cond_broadcast(&opened);
	pthread_mutex_unlock(&lock);
}

static void loop_until(sd_event *event, const volatile int *counter, int wanted, unsigned int msec)
{
	struct timespec t;
	uint64_t end, now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	end = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + msec;
	do {
		assert_true(sd_event_run(event, 20 * MSEC) >= 0);
		clock_gettime(CLOCK_MONOTONIC, &t);
		now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
	} while (*counter < wanted && now < end);
	assert_int_equal(*counter, wanted);
}

static void test_runs(void **state)
{
	struct workers *pool;
	struct probe p[20];
	sd_event *event;
	size_t i;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(workers_new(event, 3, &pool), 0);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		probe_init(&p[i], false, 0, 0);
		assert_int_equal(workers_submit(pool, &p[i].work), 0);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		loop_until(event, &p[i].released, 1, 5000);
		assert_int_equal(p[i].ran, 1);
		assert_int_equal(p[i].done, 1);
		assert_int_equal(p[i].expired, 0);
		assert_false(p[i].saw_expired);
	}
	assert_int_equal(workers_busy(pool), 0);
	assert_true(workers_free(pool, 5));
	sd_event_unref(event);
}

/* One thread, and it hangs: the next work gets another one. */
static void test_hang_is_given_up(void **state)
{
	struct probe hangs, next, same;
	struct workers *pool;
	sd_event *event;

	(void)state;
	gate = false;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(workers_new(event, 1, &pool), 0);
	probe_init(&hangs, true, 1, 77);
	probe_init(&next, false, 5, 78);
	probe_init(&same, false, 5, 77);
	assert_int_equal(workers_submit(pool, &hangs.work), 0);
	assert_int_equal(workers_submit(pool, &next.work), 0);
	loop_until(event, &hangs.expired, 1, 5000);
	assert_int_equal(hangs.done, 0);
	assert_int_equal(hangs.released, 0);
	loop_until(event, &next.released, 1, 5000);
	assert_int_equal(next.done, 1);
	/* What hangs on the same subject would hang too. */
	assert_int_equal(workers_submit(pool, &same.work), -EBUSY);
	assert_int_equal(same.released, 0);
	open_gate();
	loop_until(event, &hangs.released, 1, 5000);
	assert_int_equal(hangs.ran, 1);
	assert_true(hangs.saw_expired);
	assert_int_equal(hangs.done, 0);
	assert_int_equal(workers_submit(pool, &same.work), 0);
	loop_until(event, &same.released, 1, 5000);
	assert_int_equal(same.done, 1);
	assert_true(workers_free(pool, 5));
	sd_event_unref(event);
}

/* Time that is spent waiting for a thread counts too. */
static void test_queued_expires(void **state)
{
	struct probe hangs, queued;
	struct workers *pool;
	sd_event *event;

	(void)state;
	gate = false;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(workers_new(event, 1, &pool), 0);
	probe_init(&hangs, true, 0, 0);
	probe_init(&queued, false, 1, 0);
	assert_int_equal(workers_submit(pool, &hangs.work), 0);
	assert_int_equal(workers_submit(pool, &queued.work), 0);
	loop_until(event, &queued.released, 1, 5000);
	assert_int_equal(queued.expired, 1);
	assert_int_equal(queued.ran, 0);
	open_gate();
	loop_until(event, &hangs.released, 1, 5000);
	assert_true(workers_free(pool, 5));
	sd_event_unref(event);
}

static void test_bounds(void **state)
{
	struct probe *p = calloc(WORKERS_QUEUE_MAX + 2, sizeof(*p));
	/* The pool is leaked to its thread, and LeakSanitizer is to know. */
	static struct workers *pool;
	static struct probe *kept;
	sd_event *event;
	size_t i, n = 0;

	(void)state;
	gate = false;
	assert_non_null(p);
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(workers_new(event, 1, &pool), 0);
	kept = p;
	probe_init(&p[0], true, 0, 0);
	assert_int_equal(workers_submit(pool, &p[0].work), 0);
	while (*(volatile enum work_state *)&p[0].work.state != WORK_RUNNING)
		usleep(1000);
	for (i = 1; i < WORKERS_QUEUE_MAX + 2; i++) {
		probe_init(&p[i], true, 0, 0);
		if (workers_submit(pool, &p[i].work) == 0)
			n++;
	}
	assert_int_equal(n, WORKERS_QUEUE_MAX);
	assert_false(workers_free(pool, 0));
	/* The thread that hung still has its pool. */
	open_gate();
	usleep(200000);
	assert_int_equal(p[0].ran, 1);
	for (i = 1; i <= n; i++)
		assert_int_equal(p[i].released, 1);
	assert_int_equal(kept[n + 1].released, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_hang_is_given_up),
		cmocka_unit_test(test_queued_expires),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
