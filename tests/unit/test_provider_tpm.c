// SPDX-License-Identifier: LGPL-2.1-or-later
/* Native providers whose KDK is sealed to a TPM. */
#include "provider_fixture.h"

#include <pthread.h>

#include "crypto/kdf.h"

static void sealed_to_the_tpm(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, again = SECRET_NULL;
	struct swtpm first = { .pid = 0 }, second = { .pid = 0 };
	struct provider_registry *registry;
	struct provider_restore_plan plan;
	_cleanup_free_ char *text = NULL;
	struct provider_info info;
	struct key_locator locator;

	(void) state;
	swtpm_new(&first);
	registry = must_open(first.tcti);
	if (provider_create_native(registry, "a", SEALING_AUTO, &info, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(info.sealing, SEALING_TPM);
	assert_int_equal(file_read_bounded(only_file(&info), 16384, &text, NULL, &e), 0);
	assert_null(strstr(text, "\"kdk\""));
	assert_int_equal(back_up(registry, "a", "a.p12"), 0);
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), 0);
	assert_int_equal(provider_check(registry, "a", &e), 0);

	/* Cached: keys can be had while the TPM is away, until it is forgotten. */
	swtpm_off(&first);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &again, &e), 0);
	assert_true(secret_equal(&kek, &again));
	secret_done(&again);
	assert_int_equal(provider_check(registry, "a", &e), -ENOKEY);
	provider_registry_forget(registry);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &again, &e), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	unit_speaks(&e, "No TPM 2.0 answers");
	provider_registry_free(registry);

	/* Another machine: told clearly, and the backup brings the keys back. */
	swtpm_new(&second);
	registry = must_open(second.tcti);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &again, &e), -ENOKEY);
	unit_speaks(&e, "replaced or cleared");
	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_TPM, false, &plan), 0);
	assert_true(plan.exists);
	assert_int_equal(plan.sealing, SEALING_TPM);
	assert_int_equal(provider_key_get(registry, &locator, NULL, &again, &e), 0);
	assert_true(secret_equal(&kek, &again));
	provider_registry_free(registry);
	swtpm_done(&first);
	swtpm_done(&second);
}

/* Whoever keeps the old file sees no key in it: neither after a backup nor once it is sealed. */
static void leaves_no_key_in_clear(void **state)
{
	struct swtpm tpm = { .pid = 0 };
	struct provider_registry *registry;
	struct provider_restore_plan plan;
	struct provider_info info;

	(void) state;
	swtpm_new(&tpm);
	registry = must_open(tpm.tcti);
	make(registry, "a", &info);
	assert_int_equal(link(only_file(&info), unit_path(dir, "backed-up")), 0);
	assert_int_equal(back_up(registry, "a", "a.p12"), 0);
	assert_int_equal(link(only_file(&info), unit_path(dir, "sealed")), 0);
	assert_int_equal(restore(registry, "a.p12", "pass word", SEALING_TPM, false, &plan), 0);
	assert_int_equal(plan.sealing, SEALING_TPM);
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *text = NULL;
		size_t size;

		assert_int_equal(file_read_bounded(unit_path(dir, i ? "sealed" : "backed-up"), 16384,
						   &text, &size, &e), 0);
		assert_true(size > KDK_SIZE);
		for (size_t at = 0; at < size; at++)
			assert_int_equal(text[at], 0);
	}
	provider_registry_free(registry);
	swtpm_done(&tpm);
}

struct asker {
	pthread_t thread;
	struct provider_registry *registry;
	const struct key_locator *locator;
	struct secret kek;
	int r;
};

static void *ask(void *arg)
{
	struct asker *asker = arg;

	asker->r = provider_key_get(asker->registry, asker->locator, NULL, &asker->kek, NULL);
	return NULL;
}

/* Disks that come up together; then the same while the TPM hangs. */
static void a_hanging_tpm_stops_nothing_else(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, other = SECRET_NULL;
	struct swtpm tpm = { .pid = 0 };
	struct provider_registry *registry;
	struct key_locator locator, second;
	struct provider_info *infos;
	struct asker askers[8];
	size_t n, i;

	(void) state;
	swtpm_new(&tpm);
	registry = must_open(tpm.tcti);
	assert_int_equal(provider_create_native(registry, "a", SEALING_TPM, NULL, &e), 0);
	make(registry, "b", NULL);
	assert_int_equal(back_up(registry, "a", "a.p12"), 0);
	assert_int_equal(back_up(registry, "b", "b.p12"), 0);
	assert_int_equal(provider_key_new(registry, "a", NULL, &locator, &kek, &e), 0);

	provider_registry_forget(registry);
	kill(tpm.pid, SIGSTOP);
	for (i = 0; i < ARRAY_SIZE(askers); i++) {
		askers[i] = (struct asker) { .registry = registry, .locator = &locator, .r = 1 };
		assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
	}
	usleep(200000);
	assert_int_equal(provider_list(registry, &infos, &n, &e), 0);
	assert_int_equal(n, 2);
	free(infos);
	provider_registry_forget(registry);
	assert_int_equal(provider_key_new(registry, "b", NULL, &second, &other, &e), 0);
	assert_int_equal(provider_set_default(registry, "b", &e), 0);
	for (i = 0; i < ARRAY_SIZE(askers); i++)
		assert_int_equal(askers[i].r, 1);

	kill(tpm.pid, SIGCONT);
	for (i = 0; i < ARRAY_SIZE(askers); i++) {
		pthread_join(askers[i].thread, NULL);
		assert_int_equal(askers[i].r, 0);
		assert_true(secret_equal(&askers[i].kek, &kek));
		secret_done(&askers[i].kek);
	}
	provider_registry_free(registry);
	swtpm_done(&tpm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(sealed_to_the_tpm),
		T(leaves_no_key_in_clear),
		T(a_hanging_tpm_stops_nothing_else),
	};

	return cmocka_run_group_tests_name("provider in a TPM", tests, group_setup, NULL);
}
