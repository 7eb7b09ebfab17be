// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Standard providers: the test stands where the manager is.
 */
#include "standard_fixture.h"

static void its_file_holds_names_only(void **state)
{
	const struct provider_info info = { .id = { 1 } };
	_cleanup_json_ json_t *json = NULL, *wanted = NULL;
	struct provider_info shown;

	(void) state;
	put(kms.id, "k-1", 9, 0);
	json = json_load_file(only_file(&info), 0, NULL);
	wanted = json_pack("{s:i, s:s, s:s, s:s}", "v", 1, "type", "standard", "name", "kms", "id",
			   "01000000-0000-0000-0000-000000000000");
	assert_non_null(json);
	assert_true(json_equal(json, wanted));

	open_again(/* linked= */ true);
	assert_int_equal(provider_show(registry, NULL, &shown, &e), 0);
	assert_string_equal(shown.type, "standard");
	assert_string_equal(shown.name, "kms");
	assert_int_equal(shown.sealing, SEALING_KEY_SERVER);
	assert_true(shown.is_default);
	assert_true(shown.usable);
	/* Keys live in memory only. */
	assert_int_equal(provider_key_count(registry), 0);

	json_object_set_new(json, "kdk", json_string("AA=="));
	assert_int_equal(json_dump_file(json, only_file(&info), 0), 0);
	provider_registry_free(registry);
	registry = open_with(NO_TPM);
	assert_null(registry);
	unit_speaks(&e, "kdk");
}

static void a_new_key_is_made_by_the_manager(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	const struct key_use use = { .vm = "web1", .disk = "vda" };
	struct key_locator locator;
	struct timespec now;
	uint8_t value = 0;

	(void) state;
	assert_int_equal(provider_key_new(registry, NULL, &use, &locator, &kek, &e), 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	assert_string_equal(locator.key_id, "k-1");
	assert_string_equal(locator.provider_name, "kms");
	assert_memory_equal(locator.provider, kms.id, UUID_SIZE);
	assert_memory_equal(manager.provider, kms.id, UUID_SIZE);
	assert_string_equal(manager.vm, "web1");
	assert_string_equal(manager.disk, "vda");
	assert_true(manager.deadline <= ((uint64_t) now.tv_sec + PROVIDER_ASK_S + 1) * 1000);
	assert_true(manager.deadline + 60000 > ((uint64_t) now.tv_sec + PROVIDER_ASK_S) * 1000);
	assert_int_equal(kek.size, KEK_SIZE);
	assert_int_equal(kek.data[0], 1);

	/* It is here now: no second question. */
	assert_int_equal(get("k-1", &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(manager.asked, 1);
}

static void what_is_here_serves_without_the_manager(void **state)
{
	uint8_t value = 0;

	(void) state;
	put(kms.id, "a", 7, 0);
	manager.away = true;
	assert_int_equal(get("a", &value), 0);
	assert_int_equal(value, 7);
	assert_int_equal(manager.asked, 0);
}

static void what_is_not_here_is_fetched_once(void **state)
{
	uint8_t value = 0;

	(void) state;
	manager.next = 5;
	assert_int_equal(get("far", &value), 0);
	assert_int_equal(value, 5);
	assert_string_equal(manager.key, "far");
	assert_string_equal(manager.vm, "web1");
	assert_int_equal(get("far", &value), 0);
	assert_int_equal(manager.asked, 1);
	assert_int_equal(provider_key_count(registry), 1);
}

static void says_why_a_key_cannot_be_had(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	struct key_locator locator;
	uint8_t value;

	(void) state;
	manager.away = true;
	error_fail(&manager.why.error, EHOSTUNREACH, "no key server answers");
	snprintf(manager.why.key_reason, sizeof(manager.why.key_reason), "KeyStateClusterUnreachable");
	assert_int_equal(get("k", &value), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	assert_int_equal(e.reason, VMCRYPT_REASON_UNAVAILABLE);
	unit_speaks(&e, "Key kms/k cannot be had (KeyStateClusterUnreachable): no key server answers");
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), -ENOKEY);
	unit_speaks(&e, "KeyStateClusterUnreachable");

	/* Refused is not the same as not there. */
	manager.why.key_reason[0] = '\0';
	error_set(&manager.why.error, EACCES, EXIT_NOT_ALLOWED, 0, "web1 is another cluster's");
	assert_int_equal(get("k", &value), -EACCES);
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
	assert_int_equal(e.reason, VMCRYPT_REASON_NOT_ALLOWED);

	/* A link that fails without a word. */
	manager.why = (struct channel_failure) { .key_reason = "" };
	assert_int_equal(get("k", &value), -ENOKEY);
	unit_speaks(&e, "did not say why");
	assert_int_equal(provider_key_count(registry), 0);

	/* No link at all. */
	open_again(/* linked= */ false);
	assert_int_equal(get("k", &value), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	unit_speaks(&e, "KeyStateMissingInCache");
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), -ENOKEY);
	assert_int_equal(e.status, EXIT_NO_KEY);
	assert_null(kek.data);
}

static void takes_no_odd_keys(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, odd = SECRET_NULL;
	const uint8_t nobody[UUID_SIZE] = { 9 };
	struct key_locator locator = { .key_id = "mine" };
	struct provider_info native;
	uint8_t value = 0;

	(void) state;
	manager.size = 16;
	assert_int_equal(get("k", &value), -EBADMSG);
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), -EBADMSG);
	manager.size = KEK_SIZE;
	manager.key_id = "a b";
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), -EBADMSG);
	manager.key_id = "";
	assert_int_equal(provider_key_new(registry, NULL, NULL, &locator, &kek, &e), -EBADMSG);
	assert_string_equal(locator.key_id, "mine");
	assert_int_equal(get("a b", &value), -EBADMSG);
	assert_int_equal(e.reason, VMCRYPT_REASON_HEADER_DAMAGED);

	assert_int_equal(secret_new(64, &odd), 0);
	assert_int_equal(provider_key_put(registry, kms.id, "k", &odd, &e), -EBADMSG);
	put(kms.id, "a/b", 1, -EINVAL);
	put(nobody, "k", 1, -ENOENT);
	make(registry, "native", &native);
	put(native.id, "k", 1, -EINVAL);
	assert_int_equal(provider_key_remove(registry, native.id, "k", &e), -EINVAL);
	assert_int_equal(provider_key_count(registry), 0);

	/* One name, two keys: the one that is here stays. */
	put(kms.id, "k", 1, 0);
	put(kms.id, "k", 1, 0);
	put(kms.id, "k", 2, -EKEYREJECTED);
	unit_speaks(&e, "another value");
	assert_int_equal(get("k", &value), 0);
	assert_int_equal(value, 1);
}

static void use_it(void)
{
	uint8_t value;

	assert_int_equal(get("k", &value), 0);
}

static void removes_what_nobody_uses(void **state)
{
	(void) state;
	put(kms.id, "k", 1, 0);
	manager.busy = 1;
	assert_int_equal(provider_key_remove(registry, kms.id, "k", &e), -EBUSY);
	unit_speaks(&e, "disk vda of VM web1");
	manager.busy = -EIO;
	assert_int_equal(provider_key_remove(registry, kms.id, "k", &e), -EIO);
	manager.busy = 0;
	manager.while_asked = use_it;
	assert_int_equal(provider_key_remove(registry, kms.id, "k", &e), -EBUSY);
	unit_speaks(&e, "just now");
	assert_int_equal(provider_key_count(registry), 1);
	manager.while_asked = NULL;
	assert_int_equal(provider_key_remove(registry, kms.id, "k", &e), 0);
	assert_int_equal(provider_key_count(registry), 0);
	assert_int_equal(provider_key_remove(registry, kms.id, "k", &e), -ENOENT);
}

static void forgets_all(void **state)
{
	size_t before = CRYPTO_secure_used();
	uint8_t value;

	(void) state;
	put(kms.id, "a", 1, 0);
	put(kms.id, "b", 2, 0);
	assert_true(CRYPTO_secure_used() > before);
	/* Idle time costs the TPM's keys, not these. */
	provider_registry_forget(registry);
	assert_int_equal(provider_key_count(registry), 2);
	provider_keys_forget(registry);
	assert_int_equal(provider_key_count(registry), 0);
	assert_int_equal(CRYPTO_secure_used(), before);
	manager.away = true;
	assert_int_equal(get("a", &value), -ENOKEY);

	put(kms.id, "a", 1, 0);
	provider_registry_free(registry);
	registry = NULL;
	assert_int_equal(CRYPTO_secure_used(), before);
}

static void the_list_is_the_managers(void **state)
{
	struct provider_standard list[] = { kms, other };
	struct provider_info native, info;
	const uint8_t *first = list[0].id;

	(void) state;
	make(registry, "native", &native);
	assert_int_equal(provider_set_standard(registry, list, 2, &e), 0);
	put(first, "k", 1, 0);
	put(list[1].id, "k", 2, 0);

	/* Names change places, and stay on the disk. */
	snprintf(list[0].name, sizeof(list[0].name), "other");
	snprintf(list[1].name, sizeof(list[1].name), "kms");
	assert_int_equal(provider_set_standard(registry, list, 2, &e), 0);
	assert_int_equal(provider_show(registry, "other", &info, &e), 0);
	assert_memory_equal(info.id, first, UUID_SIZE);
	assert_true(info.is_default);
	assert_int_equal(provider_key_count(registry), 2);

	/* One that is in use does not go, and then nothing else happens either. */
	used = 1;
	snprintf(list[0].name, sizeof(list[0].name), "new");
	assert_int_equal(provider_set_standard(registry, list, 1, &e), -EBUSY);
	unit_speaks(&e, "disk /dev/vdb of VM web1");
	assert_int_equal(provider_show(registry, "other", &info, &e), 0);
	used = -EIO;
	assert_int_equal(provider_set_standard(registry, list, 1, &e), -EIO);
	used = 0;
	assert_int_equal(provider_set_standard(registry, list, 1, &e), 0);
	assert_int_equal(provider_show(registry, "kms", &info, &e), -ENOENT);
	assert_int_equal(provider_key_count(registry), 1);

	open_again(/* linked= */ true);
	assert_int_equal(provider_show(registry, "new", &info, &e), 0);
	assert_int_equal(provider_set_standard(registry, NULL, 0, &e), 0);
	assert_int_equal(provider_show(registry, "native", &info, &e), 0);
	assert_int_equal(unit_count(state_dir, ".json"), 1);
}

static void write_file(const struct provider_standard *p, const char *type)
{
	const struct provider_info info = { .id = { p->id[0] } };
	char id[UUID_TEXT_SIZE];
	_cleanup_json_ json_t *json = NULL;

	uuid_format(p->id, id);
	json = json_pack("{s:i, s:s, s:s, s:s}", "v", 1, "type", type, "name", "same", "id", id);
	assert_int_equal(json_dump_file(json, only_file(&info), 0), 0);
	assert_int_equal(chmod(only_file(&info), 0600), 0);
}

/* What a crash between two renamings leaves does not keep the agent from starting. */
static void two_of_one_name_are_set_right(void **state)
{
	const struct provider_standard list[] = { kms, other };
	struct provider_info info;

	(void) state;
	write_file(&kms, "standard");
	write_file(&other, "standard");
	open_again(/* linked= */ true);
	assert_int_equal(provider_set_standard(registry, list, 2, &e), 0);
	assert_int_equal(provider_show(registry, "other", &info, &e), 0);
	assert_memory_equal(info.id, other.id, UUID_SIZE);
	write_file(&other, "nonstandard");
	provider_registry_free(registry);
	registry = open_with(NO_TPM);
	assert_null(registry);
	unit_speaks(&e, "nonstandard");
}

static void refuses_bad_lists(void **state)
{
	struct provider_standard twice[] = { kms, kms }, bad = kms, many[PROVIDERS_MAX + 1];
	struct provider_info native, info;

	(void) state;
	make(registry, "native", &native);
	assert_int_equal(provider_set_standard(registry, twice, 2, &e), -EINVAL);
	twice[1].id[0] = 7;
	assert_int_equal(provider_set_standard(registry, twice, 2, &e), -EINVAL);
	snprintf(bad.name, sizeof(bad.name), "../x");
	assert_int_equal(provider_set_standard(registry, &bad, 1, &e), -EINVAL);
	snprintf(bad.name, sizeof(bad.name), "native");
	assert_int_equal(provider_set_standard(registry, &bad, 1, &e), -EEXIST);
	snprintf(bad.name, sizeof(bad.name), "fine");
	memcpy(bad.id, native.id, UUID_SIZE);
	assert_int_equal(provider_set_standard(registry, &bad, 1, &e), -EEXIST);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		many[i] = (struct provider_standard) { .id = { 1, (uint8_t) i } };
		snprintf(many[i].name, sizeof(many[i].name), "p%zu", i);
	}
	assert_int_equal(provider_set_standard(registry, many, PROVIDERS_MAX, &e), -E2BIG);
	assert_int_equal(provider_show(registry, "kms", &info, &e), 0);
	assert_int_equal(unit_count(state_dir, ".json"), 2);
	assert_int_equal(provider_set_standard(registry, many, PROVIDERS_MAX - 1, &e), 0);
}

static void a_check_asks_anew(void **state)
{
	uint8_t value;

	(void) state;
	assert_int_equal(provider_check(registry, "kms", &e), -ENODATA);
	put(kms.id, "old", 8, 0);
	put(kms.id, "k", 1, 0);
	assert_int_equal(get("k", &value), 0);
	assert_int_equal(provider_check(registry, "kms", &e), 0);
	assert_int_equal(manager.asked, 1);
	assert_string_equal(manager.key, "k");
	manager.next = 2;
	assert_int_equal(provider_check(registry, "kms", &e), -EKEYREJECTED);
	manager.away = true;
	assert_int_equal(provider_check(registry, "kms", &e), -ENOKEY);
	assert_int_equal(back_up(registry, "kms", "kms.p12"), -EOPNOTSUPP);
	unit_speaks(&e, "key server");
}

static void the_oldest_makes_room(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, back = SECRET_NULL;
	struct key_cache *cache = key_cache_new();
	size_t before = CRYPTO_secure_used();
	char name[32];

	(void) state;
	assert_int_equal(secret_random(KEK_SIZE, &kek), 0);
	for (size_t i = 0; i < KEY_CACHE_MAX; i++) {
		snprintf(name, sizeof(name), "k%zu", i);
		assert_int_equal(key_cache_put(cache, kms.id, name, &kek, 0), 0);
	}
	assert_int_equal(key_cache_get(cache, kms.id, "k0", &back), 0);
	assert_int_equal(key_cache_put(cache, other.id, "k1", &kek, 0), 0);
	assert_int_equal(key_cache_count(cache, NULL), KEY_CACHE_MAX);
	assert_int_equal(key_cache_count(cache, other.id), 1);
	secret_done(&back);
	assert_int_equal(key_cache_get(cache, kms.id, "k0", &back), 0);
	secret_done(&back);
	assert_int_equal(key_cache_get(cache, kms.id, "k1", &back), -ENOENT);
	assert_int_equal(key_cache_get(cache, kms.id, "k2", &back), 0);
	key_cache_drop(cache, kms.id);
	assert_int_equal(key_cache_count(cache, NULL), 1);
	assert_int_equal(key_cache_put(cache, kms.id, "k1", &kek, 0), -ESTALE);
	assert_int_equal(key_cache_put(cache, kms.id, "k1", &kek, key_cache_generation(cache)), 0);
	assert_int_equal(key_cache_remove(cache, kms.id, "k9", 0), -ENOENT);
	assert_int_equal(key_cache_generation(cache), 2);
	key_cache_free(cache);
	key_cache_free(NULL);
	secret_done(&back);
	secret_done(&kek);
	assert_int_equal(CRYPTO_secure_used(), before);
}

static void *churn(void *unused)
{
	struct key_locator locator = { .provider = { 1 }, .key_id = "a" };

	(void) unused;
	for (int i = 0; i < 300; i++) {
		_cleanup_secret_ struct secret kek = SECRET_NULL;

		if (provider_key_get(registry, &locator, NULL, &kek, NULL) == 0)
			(void) provider_key_put(registry, kms.id, "b", &kek, NULL);
		(void) provider_key_remove(registry, kms.id, i % 2 ? "a" : "b", NULL);
		if (i % 50 == 0)
			provider_keys_forget(registry);
	}
	return NULL;
}

/* Any thread may: the sanitizers watch. */
static void many_threads(void **state)
{
	pthread_t threads[4];

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_true(provider_key_count(registry) <= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		S(its_file_holds_names_only),
		S(a_new_key_is_made_by_the_manager),
		S(what_is_here_serves_without_the_manager),
		S(what_is_not_here_is_fetched_once),
		S(says_why_a_key_cannot_be_had),
		S(takes_no_odd_keys),
		S(removes_what_nobody_uses),
		S(forgets_all),
		S(the_list_is_the_managers),
		S(two_of_one_name_are_set_right),
		S(refuses_bad_lists),
		S(a_check_asks_anew),
		T(the_oldest_makes_room),
		S(many_threads),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
