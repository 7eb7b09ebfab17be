// SPDX-License-Identifier: LGPL-2.1-or-later
/* Users: passwords, certificates, throttling on a clock of the test's, and its bound. */
#include "manager_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "manager/session.h"
#include "manager/user_known.h"
#include "manager/user_password.h"
#include "manager/user_throttle.h"

#define CERT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_CERT "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int64_t now;
static struct users *users;
static struct sessions *sessions;
static struct secret right, wrong;
/* A failure that derives nothing: for tests of the waiting alone. */
static const struct secret none = SECRET_NULL;

static int64_t test_clock(void)
{
	return now;
}

/* A user with the right password, which costs little here: n is 1024. */
static void put_user(const char *name)
{
	_cleanup_json_ json_t *document = json_pack(
		"{s:s, s:{s:i, s:i, s:i, s:s, s:s}, s:n, s:b, s:s}", "name", name, "password", "n", 1024,
		"r", 8, "p", 1, "salt", "AAECAwQFBgcICQoLDA0ODw==", "hash",
		"nfkj3u1fRTHCea+fVr03sWV770kp5wLOLoEakziKhqE=", "certificate", "disabled", 0, "created",
		"2026-01-01T00:00:00Z");

	assert_non_null(document);
	must(store_insert(store, "user", name, document, &e));
}

static int setup(void **state)
{
	fixture_setup(state);
	now = 100000;
	right = unit_password("correct horse");
	wrong = unit_password("correct house");
	must(sessions_new(test_clock, &sessions, &e));
	must(users_new(store, sessions, test_clock, &users, &e));
	put_user("admin");
	must(permission_set(store, NULL, "admin", ROLE_ADMINISTRATOR, "global", true, NULL, &e));
	return 0;
}

static int teardown(void **state)
{
	secret_done(&right);
	secret_done(&wrong);
	users_free(users);
	sessions_free(sessions);
	return fixture_teardown(state);
}

#define user_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int login(const char *name, const struct secret *password, const char *address)
{
	e = ERROR_NULL;
	return user_authenticate(users, name, password, address, &e);
}

static void log_in(void **state)
{
	_cleanup_secret_ struct secret large = unit_counting(513);
	char text[ERROR_TEXT_SIZE];

	(void) state;
	assert_int_equal(login("admin", &right, "10.0.0.1"), 0);
	assert_int_equal(login("admin", &wrong, "10.0.0.1"), -EACCES);
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
	snprintf(text, sizeof(text), "%s", e.text);
	/* The same words whoever it is. */
	assert_int_equal(login("nobody", &right, "10.0.0.1"), -EACCES);
	assert_string_equal(e.text, text);
	assert_int_equal(login("no\nbody", &right, "10.0.0.1"), -EACCES);
	assert_int_equal(login("", &none, "10.0.0.1"), -EACCES);
	assert_int_equal(login("large", &large, "10.0.0.1"), -EACCES);
	must(user_create(users, "bare", NULL, CERT, &e));
	assert_int_equal(login("bare", &right, "10.0.0.1"), -EACCES);
	put_user("gone");
	must(user_set_disabled(users, NULL, "gone", true, &e));
	assert_int_equal(login("gone", &right, "10.0.0.1"), -EACCES);
	assert_string_equal(e.text, text);
	must(user_set_disabled(users, NULL, "gone", false, &e));
	assert_int_equal(login("gone", &right, "10.0.0.1"), 0);
}

static void what_is_kept(void **state)
{
	_cleanup_json_ json_t *document = NULL, *shown = NULL, *list = NULL, *other = NULL;
	const json_t *password;

	(void) state;
	must(user_create(users, "alice", &right, CERT, &e));
	must(store_find(store, "user", "name", "alice", &document, &e));
	must(user_create(users, "bob", &right, NULL, &e));
	must(store_find(store, "user", "name", "bob", &other, &e));
	password = json_object_get(document, "password");
	assert_int_equal(json_integer_value(json_object_get(password, "n")), 32768);
	assert_int_equal(json_integer_value(json_object_get(password, "r")), 8);
	assert_int_equal(json_integer_value(json_object_get(password, "p")), 1);
	/* The same password, another salt and another hash. */
	assert_false(json_equal(json_object_get(password, "hash"),
				json_object_get(json_object_get(other, "password"), "hash")));
	must(user_get(users, "alice", &shown, &e));
	assert_null(json_object_get(shown, "password"));
	assert_true(json_is_true(json_object_get(shown, "has_password")));
	assert_string_equal(json_string_value(json_object_get(shown, "certificate")), CERT);
	must(user_list(users, &list, &e));
	assert_int_equal(json_array_size(list), 3);
	assert_null(json_object_get(json_array_get(list, 0), "password"));
}

/* Against another implementation of scrypt. */
static void scrypt_as_others_have_it(void **state)
{
	_cleanup_secret_ struct secret password = unit_password("pleaseletmein");
	_cleanup_json_ json_t *document = NULL, *made = NULL;
	bool matches;

	(void) state;
	/* Python's hashlib.scrypt(b"pleaseletmein",
	 * salt=bytes(range(16)), n=16384, r=8, p=1, dklen=32) */
	document = json_pack("{s:i, s:i, s:i, s:s, s:s}", "n", 16384, "r", 8, "p", 1, "salt",
			     "AAECAwQFBgcICQoLDA0ODw==", "hash",
			     "UxYE/nON8zrmLNK5lL/j9XPtKMDZ5VR/h1tkExic5Zo=");
	must(password_matches(document, &password, &matches, &e));
	assert_true(matches);
	must(password_matches(document, &wrong, &matches, &e));
	assert_false(matches);
	/* One that asks for more than it may, or is not whole, never matches. */
	json_object_set_new(document, "n", json_integer(1 << 20));
	must(password_matches(document, &password, &matches, &e));
	assert_false(matches);
	must(password_hash(&password, &made, &e));
	must(password_matches(made, &password, &matches, &e));
	assert_true(matches);
	json_object_del(made, "p");
	must(password_matches(made, &password, &matches, &e));
	assert_false(matches);
	must(password_matches(NULL, &password, &matches, &e));
	assert_false(matches);
}

static void names_and_passwords_refused(void **state)
{
	_cleanup_secret_ struct secret small = unit_password("7 bytes"), large = unit_counting(513);
	char longest[USER_NAME_MAX + 2];

	(void) state;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	must_fail(user_create(users, longest, &right, NULL, &e), -EINVAL, "1 to 64");
	must_fail(user_create(users, "a b", &right, NULL, &e), -EINVAL, "1 to 64");
	must_fail(user_create(users, "", &right, NULL, &e), -EINVAL, "1 to 64");
	must_fail(user_create(users, "-a", &right, NULL, &e), -EINVAL, "1 to 64");
	must_fail(user_create(users, "manager", &right, NULL, &e), -EINVAL, "manager");
	must_fail(user_create(users, "alice", &small, NULL, &e), -EINVAL, "7 bytes");
	must_fail(user_create(users, "alice", &large, NULL, &e), -EINVAL, "513 bytes");
	must_fail(user_create(users, "alice", &right, "ABC", &e), -EINVAL, "SHA-256");
	must_fail(user_create(users, "admin", &right, NULL, &e), -EEXIST, "admin");
	longest[USER_NAME_MAX] = '\0';
	must(user_create(users, longest, NULL, NULL, &e));
}

static void certificates(void **state)
{
	char name[USER_NAME_MAX + 1];

	(void) state;
	must(user_create(users, "alice", NULL, CERT, &e));
	must(user_by_certificate(users, CERT, "10.9.0.1", name, &e));
	assert_string_equal(name, "alice");
	must_fail(user_set_certificate(users, NULL, "admin", CERT, &e), -EEXIST, "alice");
	must_fail(user_create(users, "bob", NULL, CERT, &e), -EEXIST, "alice");
	must(user_set_certificate(users, NULL, "alice", CERT, &e));
	must(user_set_disabled(users, NULL, "alice", true, &e));
	must_fail(user_by_certificate(users, CERT, "10.9.0.1", name, &e), -EACCES, "no user's");
	must(user_set_disabled(users, NULL, "alice", false, &e));
	must(user_set_certificate(users, NULL, "alice", NULL, &e));
	must_fail(user_by_certificate(users, CERT, "10.9.0.1", name, &e), -EACCES, "no user's");
	must_fail(user_by_certificate(users, "", "10.9.0.1", name, &e), -EACCES, "No password and no client");
}

static void changes_end_sessions(void **state)
{
	char token[SESSION_TOKEN_SIZE], other[SESSION_TOKEN_SIZE];

	(void) state;
	put_user("alice");
	must(session_new(sessions, "admin", other, &e));
	must(session_new(sessions, "alice", token, &e));
	must(user_set_password(users, "alice", "alice", &wrong, &e));
	assert_int_equal(session_check(sessions, token, NULL, NULL), -EKEYEXPIRED);
	assert_int_equal(login("alice", &right, "10.0.0.1"), -EACCES);
	assert_int_equal(login("alice", &wrong, "10.0.0.1"), 0);
	must(session_new(sessions, "alice", token, &e));
	must(user_set_disabled(users, NULL, "alice", true, &e));
	assert_int_equal(session_check(sessions, token, NULL, NULL), -EKEYEXPIRED);
	must(user_set_disabled(users, NULL, "alice", false, &e));
	must(session_new(sessions, "alice", token, &e));
	must(user_delete(users, NULL, "alice", &e));
	assert_int_equal(session_check(sessions, token, NULL, NULL), -EKEYEXPIRED);
	assert_int_equal(session_check(sessions, other, NULL, NULL), 0);
	must_fail(user_delete(users, NULL, "alice", &e), -ENOENT, "alice");
}

/* All of a change or nothing of it. */
static void a_change_is_one(void **state)
{
	struct user_changes changes = { .password = &wrong, .set_certificate = true, .certificate = "zz",
					.set_disabled = true, .disabled = true };
	_cleanup_json_ json_t *user = NULL;

	(void) state;
	put_user("alice");
	must_fail(user_change(users, NULL, "alice", &changes, &e), -EINVAL, "certificate");
	assert_int_equal(login("alice", &right, "10.0.0.1"), 0);
	put_user("bob");
	must(user_set_certificate(users, NULL, "bob", CERT, &e));
	changes.certificate = CERT;
	must_fail(user_change(users, NULL, "alice", &changes, &e), -EEXIST, "bob");
	assert_int_equal(login("alice", &right, "10.0.0.1"), 0);
	must(user_set_certificate(users, NULL, "bob", NULL, &e));
	changes.disabled = false;
	must(user_change(users, NULL, "alice", &changes, &e));
	assert_int_equal(login("alice", &right, "10.0.0.1"), -EACCES);
	assert_int_equal(login("alice", &wrong, "10.0.0.1"), 0);
	must(user_get(users, "alice", &user, &e));
	assert_string_equal(json_string_value(json_object_get(user, "certificate")), CERT);
}

/* Who resets a password has that user's rights. */
static void nobody_takes_over_more(void **state)
{
	_cleanup_json_ json_t *list = NULL;

	(void) state;
	put_user("alice");
	put_user("bob");
	must(permission_set(store, NULL, "alice", ROLE_NO_CRYPTO, "global", true, NULL, &e));
	must_fail(user_set_password(users, "alice", "admin", &wrong, &e), -EACCES, "more rights");
	must_fail(user_set_certificate(users, "alice", "admin", CERT, &e), -EACCES, "more rights");
	must_fail(user_set_disabled(users, "alice", "admin", true, &e), -EACCES, "more rights");
	must_fail(user_delete(users, "alice", "admin", &e), -EACCES, "more rights");
	must(user_set_password(users, "alice", "bob", &wrong, &e));
	must_fail(user_delete(users, "admin", "admin", &e), -EBUSY, "Administrator");
	must_fail(user_set_disabled(users, NULL, "admin", true, &e), -EBUSY, "Administrator");
	assert_int_equal(login("admin", &right, "10.0.0.1"), 0);
	/* A later user of the same name does not get the rights of the earlier one. */
	must(user_delete(users, "admin", "alice", &e));
	put_user("alice");
	must(permission_list(store, "alice", &list, &e));
	assert_int_equal(json_array_size(list), 0);
}

static void a_name_has_to_wait(void **state)
{
	int i;

	(void) state;
	put_user("alice");
	/* From other addresses each time, so that only the name counts. */
	assert_int_equal(login("alice", &none, "10.0.0.1"), -EACCES);
	assert_int_equal(login("alice", &none, "10.0.0.2"), -EACCES);
	assert_int_equal(login("alice", &none, "10.0.0.3"), -EACCES);
	/* Even the right one has to wait now, and asking does not make it longer. */
	for (i = 0; i < 20; i++)
		assert_int_equal(login("alice", &right, "10.0.0.4"), -EAGAIN);
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
	unit_speaks(&e, "1 seconds");
	now += 1;
	assert_int_equal(login("alice", &none, "10.0.0.4"), -EACCES);
	assert_int_equal(login("alice", &right, "10.0.0.4"), -EAGAIN);
	unit_speaks(&e, "2 seconds");
	/* Others are not concerned. */
	assert_int_equal(login("admin", &right, "10.0.0.4"), 0);
	now += 2;
	assert_int_equal(login("alice", &right, "10.0.0.4"), 0);
	assert_int_equal(login("alice", &none, "10.0.0.4"), -EACCES);
	assert_int_equal(login("alice", &right, "10.0.0.4"), 0);
}

static void an_address_has_to_wait(void **state)
{
	char name[16];
	int i;

	(void) state;
	/* One password at many names; logging in as oneself between does not help. */
	for (i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		assert_int_equal(login(name, &none, i % 2 ? "2001:db8::1" : "2001:db8::ffff:2"), -EACCES);
		if (i == 5)
			assert_int_equal(login("admin", &right, "2001:db8::1"), 0);
	}
	assert_int_equal(login("admin", &right, "2001:db8::3"), -EAGAIN);
	assert_int_equal(login("admin", &right, "2001:db8:0:1::3"), 0);
	assert_int_equal(login("admin", &right, "10.0.0.1"), 0);
	now += THROTTLE_FORGET;
	assert_int_equal(login("admin", &right, "2001:db8::3"), 0);
}

static void v4_in_v6_is_v4(void **state)
{
	int i;

	(void) state;
	for (i = 0; i < 10; i++)
		assert_int_equal(login("", &none, i % 2 ? "::ffff:10.0.0.9" : "10.0.0.9"), i < 3 ? -EACCES :
				 -EAGAIN);
	now += 60;
	for (i = 3; i < 10; i++) {
		assert_int_equal(login("", &none, i % 2 ? "::ffff:10.0.0.9" : "10.0.0.9"), -EACCES);
		now += 60;
	}
	assert_int_equal(login("admin", &right, "::ffff:10.0.0.8"), 0);
}

static void *guess(void *arg)
{
	size_t *tried = arg;
	int i;

	for (i = 0; i < 50; i++)
		*tried += user_authenticate(users, "alice", &none, "10.0.0.1", NULL) == -EACCES;
	return NULL;
}

/* Many at once get no more tries than one after the other. */
static void at_the_same_time(void **state)
{
	pthread_t thread[8];
	size_t tried[8] = { 0 }, all = 0, i;

	(void) state;
	put_user("alice");
	for (i = 0; i < ARRAY_SIZE(thread); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, guess, &tried[i]), 0);
	for (i = 0; i < ARRAY_SIZE(thread); i++) {
		pthread_join(thread[i], NULL);
		all += tried[i];
	}
	assert_int_equal(all, 3);
}

/* A certificate costs nothing to make, and each failure is an event. */
static void certificates_have_to_wait(void **state)
{
	char name[USER_NAME_MAX + 1];
	int i;

	(void) state;
	must(user_create(users, "alice", NULL, CERT, &e));
	for (i = 0; i < 5; i++) {
		must_fail(user_by_certificate(users, OTHER_CERT, "10.0.0.1", name, &e), -EACCES, "no user's");
		must_fail(user_by_certificate(users, "", "::ffff:10.0.0.1", name, &e), -EACCES, "No password");
		/* One's own, between them, pays for none. */
		if (i < 4)
			must(user_by_certificate(users, CERT, "10.0.0.1", name, &e));
	}
	must_fail(user_by_certificate(users, CERT, "10.0.0.1", name, &e), -EAGAIN, "try again in 1 seconds");
	assert_int_equal(login("admin", &right, "10.0.0.1"), -EAGAIN);
	must(user_by_certificate(users, CERT, "10.0.0.2", name, &e));
	now += 1;
	must(user_by_certificate(users, CERT, "10.0.0.1", name, &e));
}

/* Whoever has a million addresses does not fill the record. */
static void refusals_that_are_recorded(void **state)
{
	uint64_t unrecorded = 7;
	int i;

	(void) state;
	for (i = 0; i < 100; i++) {
		assert_true(user_refusal_counts(users, &unrecorded));
		assert_int_equal(unrecorded, 0);
	}
	for (i = 0; i < 1000; i++)
		assert_false(user_refusal_counts(users, &unrecorded));
	now += 9;
	assert_false(user_refusal_counts(users, &unrecorded));
	now += 1;
	assert_true(user_refusal_counts(users, &unrecorded));
	assert_int_equal(unrecorded, 1001);
	assert_false(user_refusal_counts(users, &unrecorded));
	now += 1000;
	for (i = 0; i < 100; i++)
		assert_true(user_refusal_counts(users, &unrecorded));
	assert_int_equal(user_refusals_take(users), 0);
	assert_false(user_refusal_counts(users, &unrecorded));
	assert_int_equal(user_refusals_take(users), 1);
	assert_int_equal(user_refusals_take(users), 0);
}

struct crowd {
	atomic_bool refused;
	atomic_uint next;
};

/* Each time another name from another address: nothing else makes it wait. */
static void *crowd_in(void *arg)
{
	struct crowd *crowd = arg;
	char name[16], address[16];
	unsigned int i;

	while (!crowd->refused && (i = crowd->next++) < 2000) {
		snprintf(name, sizeof(name), "user%u", i);
		snprintf(address, sizeof(address), "10.1.%u.%u", i / 250, i % 250);
		if (user_authenticate(users, name, &wrong, address, NULL) == -EAGAIN)
			crowd->refused = true;
	}
	return NULL;
}

/* Somebody guesses at the name for ever, from ever other addresses. */
static void nobody_is_kept_out(void **state)
{
	char address[32];
	int i;

	(void) state;
	assert_int_equal(login("admin", &right, "10.0.0.1"), 0);
	for (i = 0; i < 20; i++) {
		snprintf(address, sizeof(address), "10.3.0.%d", i);
		login("admin", &none, address);
		now += i < 8 ? 70 : 0;
	}
	assert_int_equal(login("admin", &right, "10.0.0.2"), -EAGAIN);
	assert_int_equal(login("admin", &right, "10.0.0.1"), 0);
	/* There, too, guesses have to wait. */
	for (i = 0; i < 3; i++)
		assert_int_equal(login("admin", &none, "10.0.0.1"), -EACCES);
	assert_int_equal(login("admin", &right, "10.0.0.1"), -EAGAIN);
	now += 1;
	assert_int_equal(login("admin", &right, "10.0.0.1"), 0);
	/* And what is right there says nothing of the others. */
	assert_int_equal(login("admin", &right, "10.0.0.2"), -EAGAIN);
}

static void addresses_as_keys(void **state)
{
	static const struct { const char *address, *key; } cases[] = {
		{ "10.0.0.1", "10.0.0.1" }, { "::ffff:10.0.0.1", "10.0.0.1" },
		{ "2001:db8::1", "20010db800000000" }, { "2001:db8:0:0:ffff::2", "20010db800000000" },
		{ "2001:db8:0:1::1", "20010db800000001" }, { "", "" },
	};
	char key[THROTTLE_ADDRESS_SIZE];
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		throttle_address(cases[i].address, key);
		assert_string_equal(key, cases[i].key);
	}
}

static void pairs_are_bounded(void **state)
{
	static struct known known;
	char pair[KNOWN_PAIR_SIZE], address[32];
	int i;

	(void) state;
	for (i = 0; i < KNOWN_MAX + 10; i++) {
		snprintf(address, sizeof(address), "10.4.%d.%d", i / 200, i % 200);
		known_pair("admin", address, pair);
		assert_false(known_has(&known, pair));
		known_put(&known, pair);
		known_pair("admin", "10.4.0.0", pair);
		assert_true(known_has(&known, pair));
		known_put(&known, pair);
	}
	known_pair("admin", "10.4.0.1", pair);
	assert_false(known_has(&known, pair));
	known_pair("admin", "10.4.0.100", pair);
	assert_true(known_has(&known, pair));
	known_pair("admi", "10.4.0.100", pair);
	assert_false(known_has(&known, pair));
}

/* The threads that answer requests do not all wait for scrypt. */
static void a_crowd_leaves_room(void **state)
{
	struct crowd crowd = { .refused = false };
	pthread_t thread[8];
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(thread); i++)
		assert_int_equal(pthread_create(&thread[i], NULL, crowd_in, &crowd), 0);
	for (i = 0; i < ARRAY_SIZE(thread); i++)
		pthread_join(thread[i], NULL);
	assert_true(crowd.refused);
	assert_int_equal(login("admin", &right, "10.2.0.1"), 0);
}

static void delays_grow_and_end(void **state)
{
	static const struct throttle_rule rule = { .free = 3, .max = 60 };
	static const unsigned int expected[] = { 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	struct throttle *throttle = throttle_new(&rule);
	size_t i;

	(void) state;
	assert_non_null(throttle);
	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(throttle_wait(throttle, "alice", now), expected[i]);
		throttle_count(throttle, "alice", now);
	}
	for (i = 0; i < 100; i++)
		throttle_count(throttle, "alice", now);
	assert_int_equal(throttle_wait(throttle, "alice", now + 59), 1);
	assert_int_equal(throttle_wait(throttle, "alice", now + 60), 0);
	throttle_forgive(throttle, "alice");
	assert_int_equal(throttle_wait(throttle, "alice", now), 0);
	assert_int_equal(throttle_used(throttle), 0);
	throttle_free(throttle);
}

/* A flood of names fills the table, never more, and does not drive out the one name
 * that is being guessed at. */
static void bounded_under_a_flood(void **state)
{
	static const struct throttle_rule rule = { .free = 3, .max = 60 };
	struct throttle *throttle = throttle_new(&rule);
	char name[32];
	size_t i;

	(void) state;
	assert_non_null(throttle);
	for (i = 0; i < 8; i++)
		throttle_count(throttle, "alice", now);
	for (i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "name%zu", i);
		throttle_count(throttle, name, now + 1);
	}
	assert_true(throttle_used(throttle) <= THROTTLE_ENTRIES);
	assert_true(throttle_used(throttle) > THROTTLE_ENTRIES / 2);
	assert_int_equal(throttle_wait(throttle, "alice", now + 1), 31);
	/* Once it is old it makes room. */
	assert_int_equal(throttle_wait(throttle, "alice", now + THROTTLE_FORGET), 0);
	throttle_free(throttle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		user_test(log_in),
		user_test(what_is_kept),
		user_test(scrypt_as_others_have_it),
		user_test(names_and_passwords_refused),
		user_test(certificates),
		user_test(changes_end_sessions),
		user_test(a_change_is_one),
		user_test(nobody_takes_over_more),
		user_test(a_name_has_to_wait),
		user_test(an_address_has_to_wait),
		user_test(v4_in_v6_is_v4),
		user_test(at_the_same_time),
		user_test(certificates_have_to_wait),
		user_test(refusals_that_are_recorded),
		user_test(nobody_is_kept_out),
		cmocka_unit_test(addresses_as_keys),
		cmocka_unit_test(pairs_are_bounded),
		user_test(a_crowd_leaves_room),
		cmocka_unit_test(delays_grow_and_end),
		cmocka_unit_test(bounded_under_a_flood),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
