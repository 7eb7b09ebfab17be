// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the manager does now and then while it serves: a new certificate for the
 * connections to come, and old events cut away.
 */
#include "web_fixture.h"

#include "common/encode.h"
#include "manager/refusals.h"
#include "manager/upkeep.h"

#define DAY_S 86400

static bool same_certificate(struct connection *a, struct connection *b)
{
	X509 *one = SSL_get1_peer_certificate(a->ssl), *two = SSL_get1_peer_certificate(b->ssl);
	bool same = X509_cmp(one, two) == 0;

	X509_free(one);
	X509_free(two);
	return same;
}

/* The thread that serves takes it up when it comes to it. */
static void dial_until_other(struct connection *old, struct connection *ret)
{
	int64_t end = time_monotonic_ms() + 30000;

	for (;;) {
		assert_true(try_dial(ret, "127.0.0.1"));
		if (!same_certificate(old, ret))
			return;
		hang_up(ret);
		assert_true(time_monotonic_ms() < end);
	}
}

static void renewed(void *user)
{
	int *times = user;

	(*times)++;
	web_renew(served.web);
}

static int count(const json_t *row, void *n)
{
	(void) row;
	(*(size_t *) n)++;
	return 0;
}

static size_t count_rows(const char *operation)
{
	const struct record_filter f = { .operation = operation };
	size_t n = 0;

	assert_int_equal(record_each(manager.store, &f, count, &n, &e), 0);
	return n;
}

/* Twice, as over two years; who is connected stays so. */
static void new_certificate_while_serving(void **state)
{
	int times = 0;
	const struct upkeep_settings settings = {
		.manager = &manager, .renewed = renewed, .user = &times,
	};
	struct connection old, same, next;
	int i;

	(void) state;
	start_web(/* per_address= */ 0);
	for (i = 1; i <= 2; i++) {
		assert_true(try_dial(&old, "127.0.0.1"));
		upkeep_round(&settings, time_now() + DAY_S);
		assert_int_equal(times, i - 1);
		assert_true(try_dial(&same, "127.0.0.1"));
		assert_true(same_certificate(&old, &same));
		hang_up(&same);
		upkeep_round(&settings, time_now() + (AUTHORITY_SERVER_DAYS - 10) * DAY_S);
		assert_int_equal(times, i);
		dial_until_other(&old, &next);
		ask(&next);
		ask(&old);
		hang_up(&next);
		hang_up(&old);
	}
	stop_web();
	assert_int_equal(count_rows("manager.renew"), 4);
}

static void old_events_go(void **state)
{
	int times = 0;
	const struct upkeep_settings settings = {
		.manager = &manager, .keep = { .days = 1 },
		.renewed = renewed, .user = &times,
	};
	const struct record_event event = { .user = "u", .operation = "o" };
	uint64_t anchor = 0;
	int i;

	(void) state;
	for (i = 0; i < 300; i++)
		assert_int_equal(record_note(manager.store, &event, "ok", &e), 0);
	upkeep_round(&settings, time_now());
	assert_int_equal(record_anchor(manager.store, &anchor, &e), 0);
	assert_int_equal(anchor, 0);
	upkeep_round(&settings, time_now() + 2 * DAY_S);
	assert_int_equal(record_anchor(manager.store, &anchor, &e), 0);
	assert_true(anchor >= 200);
	assert_int_equal(record_verify(manager.store, NULL, NULL, NULL, &e), 0);
}

/* The thread does its first round at once, and ends when it is told. */
static void thread_starts_and_ends(void **state)
{
	const struct upkeep_settings settings = {
		.manager = &manager, .keep = { .rows = 100 },
		.renewed = renewed,
	};
	const struct record_event event = { .user = "u", .operation = "o" };
	struct upkeep *upkeep;
	uint64_t before = 0, anchor = 0;
	int i;

	(void) state;
	assert_int_equal(record_anchor(manager.store, &before, &e), 0);
	for (i = 0; i < 300; i++)
		assert_int_equal(record_note(manager.store, &event, "ok", &e), 0);
	assert_int_equal(upkeep_start(&settings, &upkeep, &e), 0);
	upkeep_stop(upkeep);
	assert_int_equal(record_anchor(manager.store, &anchor, &e), 0);
	assert_true(anchor >= before + 300);
	upkeep_stop(NULL);
}

/* What nobody was told of is recorded at the end, if not before. */
static void last_refusals_are_recorded(void **state)
{
	const struct upkeep_settings settings = { .manager = &manager, .renewed = renewed };
	struct upkeep *upkeep;
	uint64_t unrecorded;
	unsigned int i;

	(void) state;
	for (i = 0; i < REFUSALS_A_MINUTE + 5; i++)
		refusals_count(manager.refusals, "eve", 0, &unrecorded);
	upkeep_round(&settings, time_now());
	assert_int_equal(count_rows("refusals"), 1);
	for (i = 0; i < REFUSALS_A_MINUTE + 5; i++)
		refusals_count(manager.refusals, "bob", INT32_MAX, &unrecorded);
	assert_int_equal(upkeep_start(&settings, &upkeep, &e), 0);
	upkeep_stop(upkeep);
	assert_int_equal(count_rows("refusals"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_certificate_while_serving),
		cmocka_unit_test(old_events_go),
		cmocka_unit_test(thread_starts_and_ends),
		cmocka_unit_test(last_refusals_are_recorded),
	};

	return cmocka_run_group_tests(tests, make_manager, free_manager);
}
