// SPDX-License-Identifier: LGPL-2.1-or-later
/* The vault: what is sealed opens here alone, in its own place alone. */
#include "swtpm.h"

#include "common/fileio.h"
#include "common/json.h"
#include "manager/vault.h"

static struct error e;
static char dir[64];

static int make_dir(void **state)
{
	(void) state;
	e = ERROR_NULL;
	unit_make_dir(dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void) state;
	unit_remove_dir(dir);
	return 0;
}

static struct vault *must_open(const struct vault_settings *settings)
{
	struct vault *vault;

	if (vault_open(settings, &vault, &e) < 0)
		fail_msg("%s", e.text);
	return vault;
}

static struct vault *must_make(void)
{
	const struct vault_settings settings = { .dir = dir };

	if (vault_create(&settings, VAULT_FROM_KEY_FILE, &e) < 0)
		fail_msg("%s", e.text);
	return must_open(&settings);
}

static json_t *seal(struct vault *vault, const char *context, const struct secret *plain)
{
	json_t *sealed;

	if (vault_seal(vault, context, plain, &sealed, &e) < 0)
		fail_msg("%s", e.text);
	return sealed;
}

static int open_secret(struct vault *vault, const char *context, const json_t *sealed,
		       struct secret *ret)
{
	e = ERROR_NULL;
	return vault_open_secret(vault, context, sealed, ret, &e);
}

static void check_round(struct vault *vault, size_t size)
{
	_cleanup_secret_ struct secret plain = unit_counting(size), again = SECRET_NULL;
	_cleanup_json_ json_t *sealed = seal(vault, "provider|x|kdk", &plain);

	assert_int_equal(open_secret(vault, "provider|x|kdk", sealed, &again), 0);
	assert_true(secret_equal(&plain, &again));
}

static void round_trip(void **state)
{
	struct vault *vault = must_make();

	(void) state;
	assert_int_equal(vault_source(vault), VAULT_FROM_KEY_FILE);
	check_round(vault, 1);
	check_round(vault, 32);
	check_round(vault, VAULT_SECRET_MAX);
	vault_free(vault);
}

static void bounds(void **state)
{
	_cleanup_secret_ struct secret large = unit_counting(VAULT_SECRET_MAX + 1);
	const struct secret none = SECRET_NULL;
	struct vault *vault = must_make();
	json_t *sealed = NULL;

	(void) state;
	assert_int_equal(vault_seal(vault, "a", &large, &sealed, &e), -EINVAL);
	assert_int_equal(vault_seal(vault, "a", &none, &sealed, &e), -EINVAL);
	secret_shrink(&large, 32);
	assert_int_equal(vault_seal(vault, "", &large, &sealed, &e), -EINVAL);
	assert_null(sealed);
	vault_free(vault);
}

static void bound_to_its_place(void **state)
{
	_cleanup_secret_ struct secret plain = unit_counting(32), again = SECRET_NULL;
	struct vault *vault = must_make();
	_cleanup_json_ json_t *sealed = seal(vault, "provider|x|kdk", &plain);

	(void) state;
	assert_int_equal(open_secret(vault, "provider|y|kdk", sealed, &again), -EBADMSG);
	unit_speaks(&e, "provider|y|kdk");
	assert_null(again.data);
	vault_free(vault);
}

/* Never the same text twice, and nothing of the secret in it. */
static void says_nothing(void **state)
{
	_cleanup_secret_ struct secret plain = unit_password("correct horse battery staple");
	struct vault *vault = must_make();
	_cleanup_json_ json_t *one = seal(vault, "a", &plain), *two = seal(vault, "a", &plain);
	_cleanup_free_ char *text = json_dumps(one, 0);

	(void) state;
	assert_false(json_equal(json_object_get(one, "iv"), json_object_get(two, "iv")));
	assert_false(json_equal(json_object_get(one, "ciphertext"), json_object_get(two, "ciphertext")));
	assert_null(strstr(text, "horse"));
	vault_free(vault);
}

/* Flips a bit in each binary member. */
static void altered(void **state)
{
	static const char *const members[] = { "iv", "ciphertext", "tag" };
	_cleanup_secret_ struct secret plain = unit_counting(32), again = SECRET_NULL;
	struct vault *vault = must_make();
	_cleanup_json_ json_t *sealed = seal(vault, "a", &plain);
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(members); i++) {
		_cleanup_json_ json_t *bad = json_deep_copy(sealed);
		uint8_t bytes[64];
		size_t size;

		assert_int_equal(json_get_base64_max(bad, "x", members[i], bytes, sizeof(bytes), &size, &e),
				 0);
		bytes[size - 1] ^= 1;
		assert_int_equal(json_set_base64(bad, members[i], bytes, size), 0);
		assert_int_equal(open_secret(vault, "a", bad, &again), -EBADMSG);
		json_object_del(bad, members[i]);
		assert_int_equal(open_secret(vault, "a", bad, &again), -EBADMSG);
	}
	json_object_set_new(sealed, "more", json_true());
	assert_int_equal(open_secret(vault, "a", sealed, &again), -EBADMSG);
	assert_int_equal(open_secret(vault, "a", NULL, &again), -EBADMSG);
	vault_free(vault);
}

static void another_key(void **state)
{
	_cleanup_secret_ struct secret plain = unit_counting(32), again = SECRET_NULL;
	struct vault *vault = must_make();
	_cleanup_json_ json_t *sealed = seal(vault, "a", &plain);

	(void) state;
	vault_free(vault);
	assert_int_equal(unlink(unit_path(dir, VAULT_KEY_FILE)), 0);
	vault = must_make();
	assert_int_equal(open_secret(vault, "a", sealed, &again), -EKEYREJECTED);
	unit_speaks(&e, "restore that key");
	/* Nor when the name of the key is altered to fit. */
	json_object_del(sealed, "key");
	{
		_cleanup_json_ json_t *own = seal(vault, "a", &plain);

		json_object_set(sealed, "key", json_object_get(own, "key"));
	}
	assert_int_equal(open_secret(vault, "a", sealed, &again), -EBADMSG);
	vault_free(vault);
}

static void the_key_file(void **state)
{
	const struct vault_settings settings = { .dir = dir };
	struct vault *vault = NULL;
	struct stat st;

	(void) state;
	assert_int_equal(vault_open(&settings, &vault, &e), -ENOENT);
	unit_speaks(&e, "init");
	vault_free(must_make());
	assert_int_equal(stat(unit_path(dir, VAULT_KEY_FILE), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, VAULT_KEY_SIZE);
	assert_int_equal(vault_create(&settings, VAULT_FROM_KEY_FILE, &e), -EEXIST);
	assert_int_equal(vault_create(&settings, VAULT_FROM_TPM, &e), -EEXIST);
	assert_int_equal(chmod(unit_path(dir, VAULT_KEY_FILE), 0640), 0);
	assert_int_equal(vault_open(&settings, &vault, &e), -EPERM);
	unit_speaks(&e, "0600");
	unit_write(unit_path(dir, VAULT_KEY_FILE), "short", 5, 0600);
	assert_int_equal(vault_open(&settings, &vault, &e), -EBADMSG);
	assert_null(vault);
}

/* A credential comes before everything else, and a bad one is no reason to go on. */
static void the_credential(void **state)
{
	const struct vault_settings settings = { .dir = dir, .credentials = dir };
	struct vault *vault = NULL;
	uint8_t key[VAULT_KEY_SIZE] = { 7 };

	(void) state;
	assert_int_equal(vault_create(&settings, VAULT_FROM_CREDENTIAL, &e), -ENOENT);
	vault_free(must_make());
	vault = must_open(&settings);
	assert_int_equal(vault_source(vault), VAULT_FROM_KEY_FILE);
	vault_free(vault);
	unit_write(unit_path(dir, VAULT_CREDENTIAL), key, sizeof(key), 0400);
	vault = must_open(&settings);
	assert_int_equal(vault_source(vault), VAULT_FROM_CREDENTIAL);
	vault_free(vault);
	unlink(unit_path(dir, VAULT_CREDENTIAL));
	unit_write(unit_path(dir, VAULT_CREDENTIAL), key, 31, 0400);
	vault = NULL;
	assert_int_equal(vault_open(&settings, &vault, &e), -EBADMSG);
	assert_null(vault);
}

static void sealed_to_the_tpm(void **state)
{
	_cleanup_secret_ struct secret plain = unit_counting(32), again = SECRET_NULL;
	struct swtpm tpm = { .pid = 0 }, other = { .pid = 0 };
	struct vault_settings settings = { .dir = dir };
	_cleanup_json_ json_t *sealed = NULL;
	struct vault *vault;

	(void) state;
	swtpm_new(&tpm);
	settings.tcti = tpm.tcti;
	if (vault_create(&settings, VAULT_FROM_TPM, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_not_equal(access(unit_path(dir, VAULT_KEY_FILE), F_OK), 0);
	vault = must_open(&settings);
	assert_int_equal(vault_source(vault), VAULT_FROM_TPM);
	sealed = seal(vault, "a", &plain);
	vault_free(vault);
	vault = must_open(&settings);
	assert_int_equal(open_secret(vault, "a", sealed, &again), 0);
	assert_true(secret_equal(&plain, &again));
	vault_free(vault);
	swtpm_off(&tpm);
	assert_int_equal(vault_open(&settings, &vault, &e), -ENODEV);
	swtpm_new(&other);
	settings.tcti = other.tcti;
	assert_int_equal(vault_open(&settings, &vault, &e), -EKEYREJECTED);
	swtpm_done(&other);
	swtpm_done(&tpm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(bounds, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(bound_to_its_place, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(says_nothing, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(altered, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(another_key, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(the_key_file, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(the_credential, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(sealed_to_the_tpm, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
