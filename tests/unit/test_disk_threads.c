/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Workers that open, repair and rewrap headers at the same time, on disks of their own and on one disk. */
#include <pthread.h>

#include "common/log.h"
#include "disk_fixture.h"

#define THREADS	6
#define ROUNDS	8

static void *work_alone(void *arg)
{
	struct fixture *f = arg;
	struct header_params p = fixture_params(f);
	static const char zeros[4096];
	struct error e = ERROR_NULL;

	fixture_create(f, &p);
	for (int i = 0; i < ROUNDS; i++) {
		struct disk_header *h;

		fixture_write(f->disk, zeros, sizeof(zeros), (i % 2) * COPY_SIZE);
		h = fixture_open(f, NULL, HEADER_REPAIR);
		assert_true(h->repaired);
		assert_int_equal(header_add_wrap(h, &f->dek, &f->locator2, &f->kek2, &e), 0);
		assert_int_equal(header_remove_wrap(h, &f->locator2, &e), 0);
		header_free(h);
	}
	return NULL;
}

static void test_own_disks(void **state)
{
	pthread_t threads[THREADS];
	void *fixtures[THREADS];

	(void) state;
	for (int i = 0; i < THREADS; i++) {
		fixture_setup(&fixtures[i]);
		assert_int_equal(pthread_create(&threads[i], NULL, work_alone, fixtures[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		fixture_teardown(&fixtures[i]);
	}
}

/**
 * struct sharer - one of several that change one header
 * @done: changes that went through
 * @stale: changes that were refused, for another one came first
 */
struct sharer {
	struct fixture *f;
	struct key_locator locator;
	int done, stale;
};

static void *work_together(void *arg)
{
	struct sharer *s = arg;
	struct error e = ERROR_NULL;

	while (s->done < 2) {
		struct disk_header *h = fixture_open(s->f, NULL, 0);
		int r = s->done ? header_remove_wrap(h, &s->locator, &e) :
				  header_add_wrap(h, &s->f->dek, &s->locator, &s->f->kek2, &e);

		assert_true(r == 0 || r == -ESTALE);
		s->done += r == 0;
		s->stale += r < 0;
		header_free(h);
	}
	return NULL;
}

/* Nobody's change is lost, and the header opens at any moment. */
static void test_one_disk(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	struct sharer sharers[THREADS];
	pthread_t threads[THREADS];
	struct disk_header *h;

	fixture_create(f, &p);
	for (int i = 0; i < THREADS; i++) {
		sharers[i] = (struct sharer) { .f = f, .locator = f->locator2 };
		sharers[i].locator.key_id[0] = (char) ('0' + i);
		assert_int_equal(pthread_create(&threads[i], NULL, work_together, &sharers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(sharers[i].done, 2);
	}
	h = fixture_open(f, NULL, 0);
	assert_int_equal(h->token.n_wraps, 1);
	assert_false(h->damaged);
	header_free(h);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_disks),
		TEST(test_one_disk),
	};

	log_set_level(LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
