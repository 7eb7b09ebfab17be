// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <errno.h>

#include "crypto/dek.h"
#include "crypto/kdf.h"
#include "crypto/locator.h"

static void assert_uuid(const struct secret *dek, const char *want)
{
	char text[UUID_TEXT_SIZE];
	uint8_t uuid[UUID_SIZE];

	assert_int_equal(dek_uuid(dek, uuid), 0);
	uuid_format(uuid, text);
	assert_string_equal(text, want);
}

/* The two vectors of the design. */
static void dek_uuid_vectors(void **state)
{
	_cleanup_secret_ struct secret large = unit_counting(64), small = unit_counting(32),
				       odd = unit_counting(48);
	uint8_t uuid[UUID_SIZE];

	(void) state;
	assert_uuid(&large, "1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf");
	assert_uuid(&small, "4433a1be-c98b-87e4-979c-963ad3831ca1");
	assert_int_equal(dek_uuid(&odd, uuid), -EINVAL);
}

static void dek_generated(void **state)
{
	static const uint32_t bits[] = { 256, 512 };
	static const uint32_t bad[] = { 0, 128, 255, 384, 513, 1024 };
	struct error e = ERROR_NULL;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		_cleanup_secret_ struct secret a = SECRET_NULL, b = SECRET_NULL;

		assert_int_equal(dek_generate(bits[i], &a, &e), 0);
		assert_int_equal(dek_generate(bits[i], &b, &e), 0);
		assert_int_equal(a.size, bits[i] / 8);
		assert_false(secret_equal(&a, &b));
		assert_false(dek_is_weak(&a));
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct secret s = SECRET_NULL;

		assert_int_equal(dek_generate(bad[i], &s, &e), -EINVAL);
		assert_int_equal(e.status, EXIT_USAGE);
		assert_null(s.data);
	}
}

static void dek_weak(void **state)
{
	_cleanup_secret_ struct secret dek = unit_counting(64);

	(void) state;
	assert_false(dek_is_weak(&dek));
	memcpy(dek.data + 32, dek.data, 32);
	assert_true(dek_is_weak(&dek));
	dek.data[63] ^= 0x80;
	assert_false(dek_is_weak(&dek));
}

/* RFC 5869 appendix A.1 to A.3 */
static void hkdf_vectors(void **state)
{
	static const struct {
		const char *ikm, *salt, *info, *okm;
	} vectors[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
		  "f0f1f2f3f4f5f6f7f8f9",
		  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
		  "34007208d5b887185865" },
		{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		  "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
		  "404142434445464748494a4b4c4d4e4f",
		  "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
		  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
		  "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
		  "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
		  "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
		  "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
		  "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
		  "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
		  "cc30c58179ec3e87c14c01d5c1f3434f1d87" },
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
		  "9d201395faa4b61a96c8" },
	};
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		_cleanup_secret_ struct secret ikm = unit_secret_hex(vectors[i].ikm), out = SECRET_NULL;
		uint8_t salt[128], info[128], okm[128];
		size_t salt_size = strlen(vectors[i].salt) / 2, info_size = strlen(vectors[i].info) / 2,
		       size = strlen(vectors[i].okm) / 2;

		assert_int_equal(hex_decode(vectors[i].salt, salt, salt_size), 0);
		assert_int_equal(hex_decode(vectors[i].info, info, info_size), 0);
		assert_int_equal(hex_decode(vectors[i].okm, okm, size), 0);
		assert_int_equal(kdf_hkdf_sha256(&ikm, salt, salt_size, info, info_size, size, &out), 0);
		assert_int_equal(out.size, size);
		assert_memory_equal(out.data, okm, size);
	}
}

static void hkdf_bounds(void **state)
{
	_cleanup_secret_ struct secret key = unit_counting(32), out = SECRET_NULL;
	struct secret none = SECRET_NULL;

	(void) state;
	assert_int_equal(kdf_hkdf_sha256(&key, NULL, 0, NULL, 0, 0, &out), -EINVAL);
	assert_int_equal(kdf_hkdf_sha256(&key, NULL, 0, NULL, 0, 8161, &out), -EINVAL);
	assert_int_equal(kdf_hkdf_sha256(&none, NULL, 0, NULL, 0, 32, &out), -EINVAL);
	assert_int_equal(kdf_hkdf_sha256(&key, NULL, 0, NULL, 0, 8160, &out), 0);
}

/*
 * KDK 00 … 1f, provider 01234567-89ab-cdef-0123-456789abcdef, key id
 * 00112233-4455-4677-8899-aabbccddeeff; computed with Python's hmac module.
 */
static void native_kek_vector(void **state)
{
	_cleanup_secret_ struct secret kdk = unit_counting(32), kek = SECRET_NULL, other = SECRET_NULL;
	_cleanup_secret_ struct secret want =
		unit_secret_hex("f571f9b7f620f99b50a45bca82a70c33db80e8bff8cc5bff4496a17d9fb50203");
	uint8_t provider[UUID_SIZE], key_id[UUID_SIZE];
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(uuid_parse_text("01234567-89ab-cdef-0123-456789abcdef", provider), 0);
	assert_int_equal(uuid_parse_text("00112233-4455-4677-8899-aabbccddeeff", key_id), 0);
	assert_int_equal(kdf_native_kek(&kdk, provider, key_id, &kek, &e), 0);
	assert_true(secret_equal(&kek, &want));
	provider[15] ^= 1;
	assert_int_equal(kdf_native_kek(&kdk, provider, key_id, &other, &e), 0);
	assert_false(secret_equal(&kek, &other));
	secret_shrink(&kdk, 31);
	assert_int_equal(kdf_native_kek(&kdk, provider, key_id, &other, &e), -EINVAL);
}

/* Key 00 … 1f; computed with Python's hmac module. */
static void key_check_vector(void **state)
{
	_cleanup_secret_ struct secret key = unit_counting(32);
	uint8_t check[KEY_CHECK_SIZE];
	char text[2 * KEY_CHECK_SIZE + 1];
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(kdf_key_check(&key, check, &e), 0);
	hex_encode(check, sizeof(check), text);
	assert_string_equal(text, "8af1c7c4645413cbd4796ce94a86a9f5e1386e3103f42266ad84817000f7223e");
	secret_shrink(&key, 0);
	assert_int_equal(kdf_key_check(&key, check, &e), -EINVAL);
	unit_speaks(&e, "check value");
}

static void names_of_keys(void **state)
{
	struct key_locator locator = { .provider_name = "site-a", .key_id = "42" };
	char text[LOCATOR_TEXT_SIZE], name[70], id[140];

	(void) state;
	locator_format(&locator, text);
	assert_string_equal(text, "site-a/42");
	assert_true(provider_name_valid("a"));
	assert_true(provider_name_valid("9.A_-z"));
	assert_false(provider_name_valid(""));
	assert_false(provider_name_valid("-a"));
	assert_false(provider_name_valid(".a"));
	assert_false(provider_name_valid("a/b"));
	assert_false(provider_name_valid("a b"));
	assert_false(provider_name_valid("\xc3\xa4"));
	memset(name, 'a', sizeof(name));
	name[PROVIDER_NAME_MAX + 1] = '\0';
	assert_false(provider_name_valid(name));
	name[PROVIDER_NAME_MAX] = '\0';
	assert_true(provider_name_valid(name));

	assert_true(key_id_valid("01234567-89ab-cdef-0123-456789abcdef"));
	assert_false(key_id_valid(""));
	assert_false(key_id_valid("a/b"));
	assert_false(key_id_valid("a\"b"));
	assert_false(key_id_valid("a b"));
	assert_false(key_id_valid("a\x7f"));
	assert_false(key_id_valid("\x80"));
	memset(id, 'a', sizeof(id));
	id[KEY_ID_MAX + 1] = '\0';
	assert_false(key_id_valid(id));
	id[KEY_ID_MAX] = '\0';
	assert_true(key_id_valid(id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dek_uuid_vectors),
		cmocka_unit_test(dek_generated),
		cmocka_unit_test(dek_weak),
		cmocka_unit_test(hkdf_vectors),
		cmocka_unit_test(hkdf_bounds),
		cmocka_unit_test(native_kek_vector),
		cmocka_unit_test(key_check_vector),
		cmocka_unit_test(names_of_keys),
	};

	return cmocka_run_group_tests_name("dek", tests, unit_setup, NULL);
}
