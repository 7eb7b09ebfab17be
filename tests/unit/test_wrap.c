// SPDX-License-Identifier: LGPL-2.1-or-later
#include "unit.h"

#include <errno.h>

#include "crypto/wrap.h"
#include "vmcrypt.h"

static struct wrap_context make_context(const struct secret *dek)
{
	struct wrap_context context = {
		.cipher = "aes-xts-plain64",
		.created = "2026-01-31T23:59:59Z",
		.data_offset = 16777216,
		.disk = "root",
		.iv_tweak = 0,
		.key_bits = (uint32_t) dek->size * 8,
		.locator = {
			.provider = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef },
			.provider_name = "site-a",
			.key_id = "00112233-4455-4677-8899-aabbccddeeff",
		},
		.sector_size = 4096,
		.vm = "web1",
	};

	assert_int_equal(dek_uuid(dek, context.dek), 0);
	return context;
}

/* What the design says, written by hand. */
static void aad_is_as_designed(void **state)
{
	_cleanup_secret_ struct secret dek = unit_counting(64);
	struct wrap_context context = make_context(&dek);
	_cleanup_free_ char *aad = NULL;
	struct error e = ERROR_NULL;
	size_t size;

	(void) state;
	memcpy(context.vm, "w\xc3\xa4/\"", 6);
	assert_int_equal(wrap_aad(&context, &aad, &size, &e), 0);
	assert_string_equal(aad,
		"{\"cipher\":\"aes-xts-plain64\",\"created\":\"2026-01-31T23:59:59Z\","
		"\"data_offset\":16777216,\"dek\":\"1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf\","
		"\"disk\":\"root\",\"iv_tweak\":0,\"key\":\"00112233-4455-4677-8899-aabbccddeeff\","
		"\"key_bits\":512,\"provider\":\"01234567-89ab-cdef-0000-000000000000\","
		"\"provider_name\":\"site-a\",\"sector_size\":4096,\"v\":1,\"vm\":\"w\xc3\xa4/\\\"\"}");
	assert_int_equal(size, strlen(aad));
}

static void aad_bounds(void **state)
{
	_cleanup_secret_ struct secret dek = unit_counting(64);
	struct wrap_context context = make_context(&dek);
	struct error e = ERROR_NULL;
	char *aad = NULL;
	size_t size;

	(void) state;
	memcpy(context.vm, "a\xff", 3);
	assert_int_equal(wrap_aad(&context, &aad, &size, &e), -EINVAL);
	unit_speaks(&e, "UTF-8");
	memcpy(context.vm, "a\n", 3);
	assert_int_equal(wrap_aad(&context, &aad, &size, &e), -EINVAL);
	unit_speaks(&e, "control character");
	context = make_context(&dek);
	context.data_offset = UINT64_C(1) << 63;
	assert_int_equal(wrap_aad(&context, &aad, &size, &e), -EINVAL);
	context.data_offset = 0;
	context.iv_tweak = UINT64_MAX;
	assert_int_equal(wrap_aad(&context, &aad, &size, &e), -EINVAL);
	context.iv_tweak = 0;
	context.key_bits = 128;
	assert_int_equal(wrap_aad(&context, &aad, &size, &e), -EINVAL);
	assert_null(aad);
	context.key_bits = 512;
	context.data_offset = INT64_MAX;
	assert_int_equal(wrap_aad(&context, &aad, &size, &e), 0);
	assert_non_null(strstr(aad, "\"data_offset\":9223372036854775807,"));
	free(aad);
}

static void round_trip(size_t dek_size)
{
	_cleanup_secret_ struct secret dek = unit_counting(dek_size), kek = SECRET_NULL, out = SECRET_NULL;
	struct wrap_context context = make_context(&dek);
	struct error e = ERROR_NULL;
	struct wrap wrap, again;

	assert_int_equal(secret_random(KEK_SIZE, &kek), 0);
	assert_int_equal(wrap_seal(&kek, &context, &dek, &wrap, &e), 0);
	assert_int_equal(wrap.ciphertext_size, dek_size);
	assert_memory_not_equal(wrap.ciphertext, dek.data, dek_size);
	assert_int_equal(wrap_open(&kek, &context, &wrap, &out, &e), 0);
	assert_true(secret_equal(&out, &dek));
	assert_int_equal(wrap_seal(&kek, &context, &dek, &again, &e), 0);
	assert_memory_not_equal(wrap.iv, again.iv, sizeof(wrap.iv));
}

static void opens_what_was_sealed(void **state)
{
	(void) state;
	round_trip(32);
	round_trip(64);
}

/* The same bytes as another implementation makes: see the comment in the test. */
static void vector(void **state)
{
	_cleanup_secret_ struct secret dek = unit_counting(32), kek = SECRET_NULL, out = SECRET_NULL;
	struct wrap_context context = make_context(&dek);
	struct wrap wrap = { .ciphertext_size = 32 };
	struct error e = ERROR_NULL;

	(void) state;
	/*
	 * AESGCM of Python's "cryptography", key ff × 32, IV 0 … 11, additional data
	 * as make_context() says for a DEK 00 … 1f.
	 */
	assert_int_equal(secret_new(KEK_SIZE, &kek), 0);
	memset(kek.data, 0xff, KEK_SIZE);
	wrap.locator = context.locator;
	assert_int_equal(hex_decode("000102030405060708090a0b", wrap.iv, 12), 0);
	assert_int_equal(hex_decode("2db8556b9af99760776eb04ee715358db46a48e4d5e71ba752475ce096519ec9",
				    wrap.ciphertext, 32), 0);
	assert_int_equal(hex_decode("0798a1592f74680e07ef14cf9113e78a", wrap.tag, 16), 0);
	assert_int_equal(wrap_open(&kek, &context, &wrap, &out, &e), 0);
	assert_true(secret_equal(&out, &dek));
}

struct sealed {
	struct secret dek, kek;
	struct wrap_context context;
	struct wrap wrap;
};

static void seal(struct sealed *s)
{
	struct error e = ERROR_NULL;

	s->dek = unit_counting(64);
	s->kek = SECRET_NULL;
	s->context = make_context(&s->dek);
	assert_int_equal(secret_random(KEK_SIZE, &s->kek), 0);
	assert_int_equal(wrap_seal(&s->kek, &s->context, &s->dek, &s->wrap, &e), 0);
}

static void assert_refused(const struct sealed *s, const struct wrap_context *context,
			   const struct wrap *wrap)
{
	struct secret out = SECRET_NULL;
	struct error e = ERROR_NULL;
	int r = wrap_open(&s->kek, context, wrap, &out, &e);

	assert_true(r < 0);
	assert_null(out.data);
	unit_speaks(&e, "");
	if (r != -EINVAL)
		assert_int_equal(e.reason, VMCRYPT_REASON_HEADER_DAMAGED);
}

static void each_byte_of_the_wrap_counts(void **state)
{
	struct wrap altered;
	struct sealed s;
	size_t i;

	(void) state;
	seal(&s);
	for (i = 0; i < WRAP_IV_SIZE; i++) {
		altered = s.wrap;
		altered.iv[i] ^= 1;
		assert_refused(&s, &s.context, &altered);
	}
	for (i = 0; i < altered.ciphertext_size; i++) {
		altered = s.wrap;
		altered.ciphertext[i] ^= 0x80;
		assert_refused(&s, &s.context, &altered);
	}
	for (i = 0; i < WRAP_TAG_SIZE; i++) {
		altered = s.wrap;
		altered.tag[i] ^= 0x10;
		assert_refused(&s, &s.context, &altered);
	}
	altered = s.wrap;
	altered.ciphertext_size = 32;
	assert_refused(&s, &s.context, &altered);
	altered.ciphertext_size = 65;
	assert_refused(&s, &s.context, &altered);
	secret_done(&s.dek);
	secret_done(&s.kek);
}

static void alter_text(const struct sealed *s, char *text, const struct wrap_context *context)
{
	size_t i, n = strlen(text);

	for (i = 0; i < n; i++) {
		text[i] ^= 1;
		assert_refused(s, context, &s->wrap);
		text[i] ^= 1;
	}
	text[n] = 'x';
	text[n + 1] = '\0';
	assert_refused(s, context, &s->wrap);
	text[n] = '\0';
}

static void each_byte_of_the_context_counts(void **state)
{
	_cleanup_secret_ struct secret out = SECRET_NULL;
	struct wrap_context altered;
	struct error e = ERROR_NULL;
	struct sealed s;
	size_t i;

	(void) state;
	seal(&s);
	altered = s.context;
	alter_text(&s, altered.cipher, &altered);
	alter_text(&s, altered.disk, &altered);
	alter_text(&s, altered.vm, &altered);
	alter_text(&s, altered.locator.key_id, &altered);
	alter_text(&s, altered.locator.provider_name, &altered);
	for (i = 0; i < strlen(altered.created); i++) {
		altered.created[i] ^= 1;
		assert_refused(&s, &altered, &s.wrap);
		altered.created[i] ^= 1;
	}
	for (i = 0; i < UUID_SIZE; i++) {
		altered.dek[i] ^= 1;
		assert_refused(&s, &altered, &s.wrap);
		altered.dek[i] ^= 1;
		altered.locator.provider[i] ^= 1;
		assert_refused(&s, &altered, &s.wrap);
		altered.locator.provider[i] ^= 1;
	}
	for (i = 0; i < 63; i++) {
		altered.data_offset ^= UINT64_C(1) << i;
		assert_refused(&s, &altered, &s.wrap);
		altered.data_offset ^= UINT64_C(1) << i;
		altered.iv_tweak ^= UINT64_C(1) << i;
		assert_refused(&s, &altered, &s.wrap);
		altered.iv_tweak ^= UINT64_C(1) << i;
	}
	for (i = 0; i < 32; i++) {
		altered.sector_size ^= UINT32_C(1) << i;
		assert_refused(&s, &altered, &s.wrap);
		altered.sector_size ^= UINT32_C(1) << i;
		altered.key_bits ^= UINT32_C(1) << i;
		assert_refused(&s, &altered, &s.wrap);
		altered.key_bits ^= UINT32_C(1) << i;
	}
	/* All taken back: it opens, so it was the alterations that were refused. */
	assert_int_equal(wrap_open(&s.kek, &altered, &s.wrap, &out, &e), 0);
	secret_done(&s.dek);
	secret_done(&s.kek);
}

static void another_kek_or_dek(void **state)
{
	_cleanup_secret_ struct secret other = SECRET_NULL;
	struct error e = ERROR_NULL;
	struct wrap wrap;
	struct sealed s;

	(void) state;
	seal(&s);
	assert_int_equal(secret_random(64, &other), 0);
	assert_int_equal(wrap_seal(&s.kek, &s.context, &other, &wrap, &e), -EKEYREJECTED);
	secret_shrink(&other, 31);
	assert_int_equal(wrap_seal(&other, &s.context, &s.dek, &wrap, &e), -EINVAL);
	s.kek.data[31] ^= 1;
	assert_refused(&s, &s.context, &s.wrap);
	secret_done(&s.dek);
	secret_done(&s.kek);
}

static void json_both_ways(void **state)
{
	_cleanup_json_ json_t *json = NULL;
	struct error e = ERROR_NULL;
	struct wrap again;
	struct sealed s;

	(void) state;
	seal(&s);
	assert_int_equal(wrap_to_json(&s.wrap, &json, &e), 0);
	assert_int_equal(json_object_size(json), 7);
	assert_string_equal(json_string_value(json_object_get(json, "alg")), "A256GCM");
	assert_int_equal(wrap_from_json(json, &again, &e), 0);
	assert_memory_equal(&again, &s.wrap, sizeof(again));
	secret_done(&s.dek);
	secret_done(&s.kek);
}

static void json_refuses(void **state)
{
	static const struct {
		const char *key, *value;
	} bad[] = {
		{ "provider", "" }, { "provider", "01234567-89AB-cdef-0123-456789abcdef" },
		{ "provider_name", "" }, { "provider_name", "a/b" }, { "key", "" }, { "key", "a b" },
		{ "alg", "A128GCM" }, { "alg", "" }, { "iv", "AAAA" }, { "iv", "AAAAAAAAAAAAAAAAAAAA" },
		{ "tag", "AAAA" }, { "tag", "AAAAAAAAAAAAAAAAAAAAA" }, { "ciphertext", "" },
		{ "ciphertext", "AAAA" }, { "ciphertext", "!" },
	};
	static const char *const keys[] = {
		"provider", "provider_name", "key", "alg", "iv", "ciphertext", "tag"
	};
	_cleanup_json_ json_t *json = NULL;
	struct error e = ERROR_NULL;
	struct wrap again;
	struct sealed s;
	size_t i;

	(void) state;
	seal(&s);
	assert_int_equal(wrap_to_json(&s.wrap, &json, &e), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *copy = json_deep_copy(json);

		json_object_set_new(copy, bad[i].key, json_string(bad[i].value));
		assert_int_equal(wrap_from_json(copy, &again, &e), -EBADMSG);
		unit_speaks(&e, "wrap of the DEK");
	}
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		_cleanup_json_ json_t *copy = json_deep_copy(json);

		json_object_set_new(copy, keys[i], json_integer(1));
		assert_int_equal(wrap_from_json(copy, &again, &e), -EBADMSG);
		json_object_del(copy, keys[i]);
		assert_int_equal(wrap_from_json(copy, &again, &e), -EBADMSG);
	}
	json_object_set_new(json, "more", json_true());
	assert_int_equal(wrap_from_json(json, &again, &e), -EBADMSG);
	assert_int_equal(wrap_from_json(NULL, &again, &e), -EBADMSG);
	secret_done(&s.dek);
	secret_done(&s.kek);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aad_is_as_designed),
		cmocka_unit_test(aad_bounds),
		cmocka_unit_test(opens_what_was_sealed),
		cmocka_unit_test(vector),
		cmocka_unit_test(each_byte_of_the_wrap_counts),
		cmocka_unit_test(each_byte_of_the_context_counts),
		cmocka_unit_test(another_kek_or_dek),
		cmocka_unit_test(json_both_ways),
		cmocka_unit_test(json_refuses),
	};

	return cmocka_run_group_tests_name("wrap", tests, unit_setup, NULL);
}
