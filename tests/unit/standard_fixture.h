/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Standard providers: the test stands where the manager is.
 */
#ifndef VMCRYPT_TESTS_STANDARD_FIXTURE_H
#define VMCRYPT_TESTS_STANDARD_FIXTURE_H

#include "provider_fixture.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <time.h>

#include "common/json.h"
#include "provider/standard-cache.h"

static const struct provider_standard kms = { .id = { 1 }, .name = "kms", .is_default = true };
static const struct provider_standard other = { .id = { 2 }, .name = "other" };

/* The manager: one key "k-N" of 32 bytes N each time, or a failure. */
static struct {
	bool away;
	struct channel_failure why;
	size_t size;
	uint8_t next;
	const char *key_id;
	unsigned int asked;
	uint64_t deadline;
	char vm[64], disk[64], key[64];
	uint8_t provider[UUID_SIZE];
	int busy;
	void (*while_asked)(void);
	void (*before_answer)(void);
} manager;

static struct provider_registry *registry;

static inline int answer(const uint8_t *provider, const struct key_use *use, uint64_t deadline_ms,
		  struct secret *ret_kek, struct channel_failure *ret_why)
{
	void (*before_answer)(void) = manager.before_answer;

	manager.asked++;
	manager.before_answer = NULL;
	if (before_answer)
		before_answer();
	manager.deadline = deadline_ms;
	memcpy(manager.provider, provider, UUID_SIZE);
	snprintf(manager.vm, sizeof(manager.vm), "%s", use && use->vm ? use->vm : "");
	snprintf(manager.disk, sizeof(manager.disk), "%s", use && use->disk ? use->disk : "");
	if (manager.away) {
		*ret_why = manager.why;
		return manager.why.error.code ? manager.why.error.code : -EIO;
	}
	assert_int_equal(secret_new(manager.size, ret_kek), 0);
	memset(ret_kek->data, manager.next, ret_kek->size);
	return 0;
}

static inline int make_key(void *userdata, const uint8_t provider[UUID_SIZE], const struct key_use *use,
		    uint64_t deadline_ms, char *ret_key_id, struct secret *ret_kek,
		    struct channel_failure *ret_why)
{
	int r = answer(provider, use, deadline_ms, ret_kek, ret_why);

	assert_ptr_equal(userdata, &manager);
	if (r == 0)
		snprintf(ret_key_id, KEY_ID_MAX + 1, "%s", manager.key_id);
	return r;
}

static inline int fetch_key(void *userdata, const uint8_t provider[UUID_SIZE], const char *key_id,
		     const struct key_use *use, uint64_t deadline_ms, struct secret *ret_kek,
		     struct channel_failure *ret_why)
{
	assert_ptr_equal(userdata, &manager);
	snprintf(manager.key, sizeof(manager.key), "%s", key_id);
	return answer(provider, use, deadline_ms, ret_kek, ret_why);
}

static inline int key_in_use(void *userdata, const uint8_t provider[UUID_SIZE], const char *key_id,
		      char *ret_what, size_t what_size, struct error *ret_e)
{
	(void) userdata;
	(void) provider;
	(void) key_id;
	if (manager.while_asked)
		manager.while_asked();
	if (manager.busy < 0)
		return error_fail(ret_e, manager.busy, "Cannot read the list of disks");
	snprintf(ret_what, what_size, "disk vda of VM web1");
	return manager.busy;
}

static inline void open_again(bool linked)
{
	const struct provider_settings settings = {
		.dir = state_dir, .tcti = NO_TPM, .in_use = in_use, .key_in_use = key_in_use,
		.make = linked ? make_key : NULL, .fetch = linked ? fetch_key : NULL,
		.userdata = &manager,
	};

	provider_registry_free(registry);
	registry = NULL;
	e = ERROR_NULL;
	if (provider_registry_open(&settings, &registry, &e) < 0)
		fail_msg("%s", e.text);
}

static inline int start(void **state)
{
	setup(state);
	memset(&manager, 0, sizeof(manager));
	manager.size = KEK_SIZE;
	manager.next = 1;
	manager.key_id = "k-1";
	open_again(/* linked= */ true);
	assert_int_equal(provider_set_standard(registry, &kms, 1, &e), 0);
	return 0;
}

static inline int end(void **state)
{
	provider_registry_free(registry);
	registry = NULL;
	return teardown(state);
}

static inline void put(const uint8_t *provider, const char *key_id, uint8_t value, int wanted)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;

	assert_int_equal(secret_new(KEK_SIZE, &kek), 0);
	memset(kek.data, value, kek.size);
	e = ERROR_NULL;
	assert_int_equal(provider_key_put(registry, provider, key_id, &kek, &e), wanted);
}

static inline int get(const char *key_id, uint8_t *ret_value)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	struct key_use use = { .vm = "web1", .disk = "vda" };
	struct key_locator locator = { .provider = { 1 }, .provider_name = "kms" };
	int r;

	snprintf(locator.key_id, sizeof(locator.key_id), "%s", key_id);
	e = ERROR_NULL;
	r = provider_key_get(registry, &locator, &use, &kek, &e);
	if (r == 0) {
		assert_int_equal(kek.size, KEK_SIZE);
		*ret_value = kek.data[KEK_SIZE - 1];
	} else {
		assert_null(kek.data);
	}
	return r;
}

#define S(f) cmocka_unit_test_setup_teardown(f, start, end)

#endif
