/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many refusals of one user go into the record, and that the others are counted. */
#include "unit.h"

#include "manager/refusals.h"

static struct error e;

/* Whoever may log in does not fill the record, and others keep their share. */
static void refusals_of_one_user(void **state)
{
	struct refusals *refusals = NULL;
	uint64_t unrecorded = 7;
	char name[16];
	unsigned int i;

	(void) state;
	must(refusals_new(&refusals, &e));
	for (i = 0; i < REFUSALS_A_MINUTE; i++) {
		assert_true(refusals_count(refusals, "eve", 1000 + i, &unrecorded));
		assert_int_equal(unrecorded, 0);
	}
	for (i = 0; i < 500; i++)
		assert_false(refusals_count(refusals, "eve", 1059, &unrecorded));
	assert_true(refusals_count(refusals, "bob", 1059, &unrecorded));
	assert_int_equal(unrecorded, 0);
	assert_true(refusals_count(refusals, "eve", 1060, &unrecorded));
	assert_int_equal(unrecorded, 500);
	assert_true(refusals_count(refusals, "eve", 1060, &unrecorded));
	assert_int_equal(unrecorded, 0);
	/* Many others push out who was quiet, and not who goes on. */
	for (i = 2; i < REFUSALS_A_MINUTE; i++)
		assert_true(refusals_count(refusals, "eve", 1061, &unrecorded));
	for (i = 0; i < 2 * REFUSALS_USERS; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		assert_true(refusals_count(refusals, name, 1061, &unrecorded));
		assert_false(refusals_count(refusals, "eve", 1062, &unrecorded));
	}
	refusals_free(refusals);
}

struct flushed {
	char text[256];
};

static void take_flushed(const char *user, uint64_t unrecorded, void *userdata)
{
	struct flushed *flushed = userdata;
	size_t n = strlen(flushed->text);

	snprintf(flushed->text + n, sizeof(flushed->text) - n, "%s %llu;", user,
		 (unsigned long long) unrecorded);
}

static void flushed_is(struct refusals *refusals, int64_t at, const char *wanted)
{
	struct flushed flushed = { .text = "" };

	refusals_flush(refusals, at, take_flushed, &flushed);
	assert_string_equal(flushed.text, wanted);
}

/* Who is never refused again is counted all the same. */
static void refusals_that_were_the_last(void **state)
{
	struct refusals *refusals = NULL;
	uint64_t unrecorded = 7;
	char name[16];
	unsigned int i;

	(void) state;
	must(refusals_new(&refusals, &e));
	for (i = 0; i < REFUSALS_A_MINUTE + 5; i++)
		refusals_count(refusals, "eve", 1000, &unrecorded);
	for (i = 0; i < REFUSALS_A_MINUTE + 2; i++)
		refusals_count(refusals, "bob", 1030, &unrecorded);
	flushed_is(refusals, 1059, "");
	flushed_is(refusals, 1060, "eve 5;");
	assert_true(refusals_count(refusals, "eve", 1061, &unrecorded));
	assert_int_equal(unrecorded, 0);
	flushed_is(refusals, INT64_MAX, "bob 2;");
	flushed_is(refusals, INT64_MAX, "");
	/* Nor is what was counted of one who gives way lost. */
	refusals_count(refusals, "bob", 1030, &unrecorded);
	for (i = 0; i < REFUSALS_USERS; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		refusals_count(refusals, name, 1100, &unrecorded);
	}
	flushed_is(refusals, 1101, " 1;");
	refusals_free(refusals);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refusals_of_one_user),
		cmocka_unit_test(refusals_that_were_the_last),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
