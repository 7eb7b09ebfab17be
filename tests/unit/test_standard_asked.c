// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Keys that the manager is asked for, while other things happen.
 */
#include "standard_fixture.h"

/* One that this host does not know: the manager says what is the matter, or gives the key. */
static void asks_about_providers_that_are_not_here(void **state)
{
	struct key_locator locator = { .provider = { 7 }, .provider_name = "far", .key_id = "k" };
	_cleanup_secret_ struct secret kek = SECRET_NULL;

	(void) state;
	manager.away = true;
	error_set(&manager.why.error, EOPNOTSUPP, EXIT_NO_KEY, 0, "hosts get them by themselves");
	snprintf(manager.why.key_reason, sizeof(manager.why.key_reason), "KeyStateManagedByNKP");
	assert_int_equal(provider_key_get(registry, &locator, NULL, &kek, &e), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	assert_int_equal(e.reason, VMCRYPT_REASON_UNAVAILABLE);
	unit_speaks(&e, "Key far/k cannot be had (KeyStateManagedByNKP)");
	unit_speaks(&e, "provider restore");
	unit_speaks(&e, "hosts get them by themselves");
	error_set(&manager.why.error, EACCES, EXIT_NOT_ALLOWED, 0, "not this host's");
	manager.why.key_reason[0] = '\0';
	assert_int_equal(provider_key_get(registry, &locator, NULL, &kek, &e), -EACCES);
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);

	manager.away = false;
	assert_int_equal(provider_key_get(registry, &locator, NULL, &kek, &e), 0);
	assert_int_equal(kek.data[0], 1);
	assert_int_equal(provider_key_count(registry), 0);
	secret_done(&kek);
	manager.size = 16;
	assert_int_equal(provider_key_get(registry, &locator, NULL, &kek, &e), -EBADMSG);

	open_again(/* linked= */ false);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &kek, &e), -ENOKEY);
	unit_speaks(&e, "KeyStateMissingInCache");
	unit_speaks(&e, "provider restore");
}

static void forget_all(void)
{
	provider_keys_forget(registry);
}

static void remove_k(void)
{
	assert_int_equal(provider_key_remove(registry, kms.id, "k", NULL), -ENOENT);
}

static void forget_and_go(void)
{
	provider_keys_forget(registry);
	manager.before_answer = forget_all;
}

/* What was to be forgotten while its answer was under way does not come by that answer. */
static void answers_do_not_outlive_forgetting(void **state)
{
	static void (*const takings[])(void) = { forget_all, remove_k };
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	struct key_locator locator;
	uint8_t value;

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(takings); i++) {
		provider_keys_forget(registry);
		manager.asked = 0;
		manager.before_answer = takings[i];
		assert_int_equal(get("k", &value), 0);
		/* The manager was asked once more whether the host may have it. */
		assert_int_equal(manager.asked, 2);
	}
	provider_keys_forget(registry);
	manager.before_answer = forget_and_go;
	assert_int_equal(get("k", &value), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	unit_speaks(&e, "try again");
	assert_int_equal(provider_key_count(registry), 0);

	/* A new one is asked for by its id then. */
	manager.asked = 0;
	manager.before_answer = forget_all;
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), 0);
	assert_int_equal(manager.asked, 2);
	assert_string_equal(manager.key, "k-1");
	secret_done(&kek);
	provider_keys_forget(registry);
	manager.before_answer = forget_and_go;
	manager.away = false;
	assert_int_equal(provider_key_get(registry, &locator, NULL, &kek, &e), -ENOKEY);
	assert_null(kek.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		S(asks_about_providers_that_are_not_here),
		S(answers_do_not_outlive_forgetting),
	};

	return cmocka_run_group_tests_name("asking the manager", tests, group_setup, NULL);
}
