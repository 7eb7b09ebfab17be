// SPDX-License-Identifier: LGPL-2.1-or-later
/* Sessions: tokens, the two ends of their time, bounds; on a clock of the test's. */
#include "unit.h"

#include <pthread.h>

#include "manager/session.h"

static int64_t now;
static struct error e;

static int64_t test_clock(void)
{
	return now;
}

static struct sessions *must_new(void)
{
	struct sessions *sessions;

	now = 1000;
	e = ERROR_NULL;
	assert_int_equal(sessions_new(test_clock, &sessions, &e), 0);
	return sessions;
}

static void begin(struct sessions *sessions, const char *user, char token[SESSION_TOKEN_SIZE])
{
	if (session_new(sessions, user, token, &e) < 0)
		fail_msg("%s", e.text);
}

static int check(struct sessions *sessions, const char *token)
{
	e = ERROR_NULL;
	return session_check(sessions, token, NULL, &e);
}

static void a_token_names_its_session(void **state)
{
	struct sessions *sessions = must_new();
	char alice[SESSION_TOKEN_SIZE], bob[SESSION_TOKEN_SIZE];
	struct session session;

	(void) state;
	begin(sessions, "alice", alice);
	begin(sessions, "bob", bob);
	assert_int_equal(strlen(alice), 64);
	assert_string_not_equal(alice, bob);
	assert_int_equal(session_check(sessions, alice, &session, &e), 0);
	assert_string_equal(session.user, "alice");
	assert_int_equal(session.expires - session.started, SESSION_LIFE);
	assert_int_equal(session_check(sessions, bob, &session, &e), 0);
	assert_string_equal(session.user, "bob");
	assert_int_equal(session_end(sessions, alice, &e), 0);
	assert_int_equal(check(sessions, alice), -EKEYEXPIRED);
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
	unit_speaks(&e, "log in");
	assert_int_equal(session_end(sessions, alice, &e), -EKEYEXPIRED);
	assert_int_equal(check(sessions, bob), 0);
	sessions_free(sessions);
}

static void what_is_no_token(void **state)
{
	struct sessions *sessions = must_new();
	char token[SESSION_TOKEN_SIZE], longer[SESSION_TOKEN_SIZE + 1];

	(void) state;
	assert_int_equal(check(sessions, NULL), -EKEYEXPIRED);
	assert_int_equal(check(sessions, ""), -EKEYEXPIRED);
	memset(token, '0', sizeof(token) - 1);
	token[sizeof(token) - 1] = '\0';
	assert_int_equal(check(sessions, token), -EKEYEXPIRED);
	begin(sessions, "alice", token);
	snprintf(longer, sizeof(longer), "%s0", token);
	assert_int_equal(check(sessions, longer), -EKEYEXPIRED);
	token[10] = token[10] == 'a' ? 'b' : 'a';
	assert_int_equal(check(sessions, token), -EKEYEXPIRED);
	token[10] = 'g';
	assert_int_equal(check(sessions, token), -EKEYEXPIRED);
	token[63] = '\0';
	assert_int_equal(check(sessions, token), -EKEYEXPIRED);
	sessions_free(sessions);
}

static void idle_ends(void **state)
{
	struct sessions *sessions = must_new();
	char token[SESSION_TOKEN_SIZE];

	(void) state;
	begin(sessions, "alice", token);
	now += SESSION_IDLE - 1;
	assert_int_equal(check(sessions, token), 0);
	now += SESSION_IDLE - 1;
	assert_int_equal(check(sessions, token), 0);
	now += SESSION_IDLE;
	assert_int_equal(check(sessions, token), -EKEYEXPIRED);
	assert_int_equal(sessions_count(sessions), 0);
	sessions_free(sessions);
}

static void life_ends_even_when_busy(void **state)
{
	struct sessions *sessions = must_new();
	char token[SESSION_TOKEN_SIZE];
	int64_t end;

	(void) state;
	begin(sessions, "alice", token);
	end = now + SESSION_LIFE;
	while (now + 600 < end) {
		now += 600;
		assert_int_equal(check(sessions, token), 0);
	}
	now = end - 1;
	assert_int_equal(check(sessions, token), 0);
	now = end;
	assert_int_equal(check(sessions, token), -EKEYEXPIRED);
	sessions_free(sessions);
}

static void a_users_sessions_end_together(void **state)
{
	struct sessions *sessions = must_new();
	char token[3][SESSION_TOKEN_SIZE];
	uint64_t epoch;

	(void) state;
	begin(sessions, "alice", token[0]);
	begin(sessions, "alice", token[1]);
	begin(sessions, "alicia", token[2]);
	epoch = sessions_epoch(sessions);
	assert_int_equal(sessions_end_user(sessions, "alice"), 2);
	assert_true(sessions_epoch(sessions) != epoch);
	assert_int_equal(check(sessions, token[0]), -EKEYEXPIRED);
	assert_int_equal(check(sessions, token[1]), -EKEYEXPIRED);
	assert_int_equal(check(sessions, token[2]), 0);
	sessions_free(sessions);
}

static void one_user_cannot_take_all(void **state)
{
	struct sessions *sessions = must_new();
	char first[SESSION_TOKEN_SIZE], second[SESSION_TOKEN_SIZE], token[SESSION_TOKEN_SIZE];
	size_t i;

	(void) state;
	begin(sessions, "alice", first);
	now++;
	begin(sessions, "alice", second);
	now++;
	assert_int_equal(check(sessions, first), 0);
	for (i = 2; i < SESSIONS_PER_USER + 1; i++)
		begin(sessions, "alice", token);
	assert_int_equal(sessions_count(sessions), SESSIONS_PER_USER);
	/* The one that was idle longest made room. */
	assert_int_equal(check(sessions, second), -EKEYEXPIRED);
	assert_int_equal(check(sessions, first), 0);
	sessions_free(sessions);
}

static void bounded(void **state)
{
	struct sessions *sessions = must_new();
	char token[SESSION_TOKEN_SIZE], user[32];
	size_t i;

	(void) state;
	for (i = 0; i < SESSIONS_MAX; i++) {
		snprintf(user, sizeof(user), "user%zu", i);
		begin(sessions, user, token);
	}
	assert_int_equal(session_new(sessions, "late", token, &e), -EUSERS);
	unit_speaks(&e, "log out");
	now += SESSION_IDLE;
	assert_int_equal(session_new(sessions, "late", token, &e), 0);
	assert_int_equal(sessions_count(sessions), 1);
	sessions_free(sessions);
}

static void *hammer(void *arg)
{
	struct sessions *sessions = arg;
	char token[SESSION_TOKEN_SIZE];
	int i;

	for (i = 0; i < 300; i++) {
		if (session_new(sessions, "alice", token, NULL) < 0)
			return "new";
		session_check(sessions, token, NULL, NULL);
		sessions_end_user(sessions, "alice");
		if (session_check(sessions, token, NULL, NULL) == 0)
			return "a session outlived its end";
	}
	return NULL;
}

static void from_many_threads(void **state)
{
	struct sessions *sessions = must_new();
	pthread_t thread[4];
	void *failure;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(thread); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, sessions), 0);
	for (i = 0; i < ARRAY_SIZE(thread); i++) {
		pthread_join(thread[i], &failure);
		assert_null(failure);
	}
	assert_int_equal(sessions_count(sessions), 0);
	sessions_free(sessions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_names_its_session),
		cmocka_unit_test(what_is_no_token),
		cmocka_unit_test(idle_ends),
		cmocka_unit_test(life_ends_even_when_busy),
		cmocka_unit_test(a_users_sessions_end_together),
		cmocka_unit_test(one_user_cannot_take_all),
		cmocka_unit_test(bounded),
		cmocka_unit_test(from_many_threads),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
