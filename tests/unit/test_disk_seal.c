/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sealing of keys: held against an answer that another implementation computed (python3-cryptography
 * 48.0.0), and against opening by the text of uapi/vmcrypt.h written out here.
 */
#include <openssl/evp.h>

#include "disk_fixture.h"
#include "common/encode.h"
#include "disk/seal.h"

static int setup(void **state)
{
	(void) state;
	return secret_init();
}

static void counting(uint8_t *p, size_t size, uint8_t first)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t) (first + i);
}

static const char kernel_public[] =
	"79a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a";

static const char agent_public[] =
	"358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254";

static const char sealed_512[] =
	"daeefae8261f9fba62b83c927618c83730fe7b3ea2779bd4353515cd108805df"
	"d2c165f741847a0509f6403fc95f9ea5ad5ee1c4275040f5480d0e19fd641a08"
	"ddc4cdfdccef35ecb077c42c1f35d3a7";

static const char sealed_256[] =
	"daeefae8261f9fba62b83c927618c83730fe7b3ea2779bd4353515cd108805df"
	"b4a5b404444ec818f3f8195b771c9db0";

/* Agent's private key 20 21 .. 3f, kernel's private key 40 41 .. 5f, DEK 00 01 .., its UUID. */
static void check_vector(size_t size, const char *dek, const char *theirs_hex,
			 const char *public_key, const char *data)
{
	_cleanup_secret_ struct secret private = SECRET_NULL, key = SECRET_NULL;
	uint8_t uuid[16], theirs[32], ours[32], wanted[80];
	struct sealed_key sealed;
	struct error e = ERROR_NULL;

	assert_int_equal(secret_new(32, &private), 0);
	counting(private.data, 32, 0x20);
	assert_int_equal(secret_new(size, &key), 0);
	counting(key.data, size, 0);
	assert_int_equal(uuid_parse_text(dek, uuid), 0);
	assert_int_equal(hex_decode(theirs_hex, theirs, 32), 0);
	assert_int_equal(hex_decode(public_key, ours, 32), 0);
	assert_int_equal(hex_decode(data, wanted, size + 16), 0);

	assert_int_equal(seal_key_with(&private, theirs, uuid, &key, &sealed, &e), 0);
	assert_int_equal(sealed.key_bits, size * 8);
	assert_int_equal(sealed.size, size + 16);
	assert_memory_equal(sealed.public_key, ours, 32);
	assert_memory_equal(sealed.data, wanted, size + 16);
}

static void test_vectors(void **state)
{
	(void) state;
	check_vector(64, "1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf", kernel_public, agent_public,
		     sealed_512);
	check_vector(32, "4433a1be-c98b-87e4-979c-963ad3831ca1", kernel_public, agent_public,
		     sealed_256);
}

/* The kernel's side, from the words of uapi/vmcrypt.h. -1: does not open. */
static int open_sealed(EVP_PKEY *kernel, const struct sealed_key *s, const uint8_t *dek,
		       uint8_t *ret)
{
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, s->public_key, 32);
	EVP_PKEY_CTX *x = EVP_PKEY_CTX_new(kernel, NULL);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t text[19 + 32 + 32 + 32] = "vmcrypt-key-seal-v1", key[32], nonce[12] = { 0 }, aad[20];
	size_t size = 32;
	int n, ok, key_size = (int) s->key_bits / 8;

	assert_int_equal(EVP_PKEY_derive_init(x), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(x, peer), 1);
	assert_int_equal(EVP_PKEY_derive(x, text + 19, &size), 1);
	assert_int_equal(EVP_PKEY_get_raw_public_key(kernel, text + 51, &size), 1);
	memcpy(text + 83, s->public_key, 32);
	assert_int_equal(EVP_Digest(text, sizeof(text), key, NULL, EVP_sha256(), NULL), 1);
	memcpy(aad, dek, 16);
	aad[16] = (uint8_t) s->key_bits;
	aad[17] = (uint8_t) (s->key_bits >> 8);
	aad[18] = aad[19] = 0;
	assert_int_equal(EVP_DecryptInit_ex(c, EVP_chacha20_poly1305(), NULL, key, nonce), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16,
					     (void *) (s->data + key_size)), 1);
	assert_int_equal(EVP_DecryptUpdate(c, NULL, &n, aad, sizeof(aad)), 1);
	assert_int_equal(EVP_DecryptUpdate(c, ret, &n, s->data, key_size), 1);
	ok = EVP_DecryptFinal_ex(c, ret + n, &n);
	EVP_CIPHER_CTX_free(c);
	EVP_PKEY_CTX_free(x);
	EVP_PKEY_free(peer);
	return ok == 1 ? 0 : -1;
}

static void test_opens(void **state)
{
	EVP_PKEY *kernel = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	uint8_t public[32], uuid[16], back[64];
	struct sealed_key sealed, again;
	struct error e = ERROR_NULL;
	size_t size = 32;

	(void) state;
	assert_int_equal(EVP_PKEY_get_raw_public_key(kernel, public, &size), 1);
	for (int bits = 256; bits <= 512; bits += 256) {
		_cleanup_secret_ struct secret key = SECRET_NULL;

		assert_int_equal(dek_generate(bits, &key, &e), 0);
		assert_int_equal(dek_uuid(&key, uuid), 0);
		assert_int_equal(seal_key(public, uuid, &key, &sealed, &e), 0);
		assert_int_equal(open_sealed(kernel, &sealed, uuid, back), 0);
		assert_memory_equal(back, key.data, key.size);

		/* A fresh ephemeral key each time. */
		assert_int_equal(seal_key(public, uuid, &key, &again, &e), 0);
		assert_memory_not_equal(again.public_key, sealed.public_key, 32);
		assert_memory_not_equal(again.data, sealed.data, again.size);

		uuid[0] ^= 1;
		assert_int_equal(open_sealed(kernel, &sealed, uuid, back), -1);
		uuid[0] ^= 1;
		sealed.data[3] ^= 0x80;
		assert_int_equal(open_sealed(kernel, &sealed, uuid, back), -1);
	}
	EVP_PKEY_free(kernel);
}

static void test_refuses(void **state)
{
	static const uint8_t zero[32], one[32] = { 1 }, uuid[16];
	_cleanup_secret_ struct secret key = SECRET_NULL, odd = SECRET_NULL;
	uint8_t public[32];
	struct sealed_key sealed = { .size = 7 };
	struct error e = ERROR_NULL;

	(void) state;
	memset(public, 9, sizeof(public));
	assert_int_equal(secret_random(64, &key), 0);
	assert_int_equal(secret_random(48, &odd), 0);
	assert_int_equal(seal_key(zero, uuid, &key, &sealed, &e), -EBADMSG);
	assert_int_equal(seal_key(one, uuid, &key, &sealed, &e), -EBADMSG);
	assert_int_equal(seal_key(public, uuid, &odd, &sealed, &e), -EINVAL);
	assert_int_equal(seal_key_with(&odd, public, uuid, &key, &sealed, &e), -EINVAL);
	assert_int_equal(sealed.size, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
