// SPDX-License-Identifier: LGPL-2.1-or-later
/* DEK, UUID, seal, and AES-XTS by OpenSSL. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <linux/netlink.h>

#include "lib.h"

void random_bytes(void *p, size_t size)
{
	if (RAND_bytes(p, (int)size) != 1)
		abort();
}

void dek_uuid(const uint8_t *key, size_t size, uint8_t uuid[UUID_LEN], char text[37])
{
	uint8_t data[sizeof(DEK_ID_LABEL) - 1 + KEY_MAX], hash[32];
	const size_t label = sizeof(DEK_ID_LABEL) - 1;
	char *p = text;

	memcpy(data, DEK_ID_LABEL, label);
	memcpy(data + label, key, size);
	if (!EVP_Digest(data, label + size, hash, NULL, EVP_sha256(), NULL))
		abort();
	OPENSSL_cleanse(data, sizeof(data));
	memcpy(uuid, hash, UUID_LEN);
	uuid[6] = (uuid[6] & 0x0f) | 0x80;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	for (int i = 0; i < UUID_LEN; i++)
		p += snprintf(p, 4, "%02x%s", uuid[i], i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
}

void dek_from(struct dek *d, const uint8_t *key, size_t size)
{
	memset(d, 0, sizeof(*d));
	memcpy(d->key, key, size);
	d->size = size;
	dek_uuid(key, size, d->uuid, d->text);
}

void dek_random(struct dek *d, size_t size)
{
	uint8_t key[KEY_MAX];

	random_bytes(key, size);
	dek_from(d, key, size);
	OPENSSL_cleanse(key, sizeof(key));
}

void dek_counting(struct dek *d, size_t size)
{
	uint8_t key[KEY_MAX];

	for (size_t i = 0; i < size; i++)
		key[i] = (uint8_t)i;
	dek_from(d, key, size);
}

void dek_hex(const struct dek *d, char hex[2 * KEY_MAX + 1])
{
	for (size_t i = 0; i < d->size; i++)
		snprintf(hex + 2 * i, 3, "%02x", d->key[i]);
}

/* the symmetric key of the seal: both public keys bind it to this exchange */
static int seal_key(EVP_PKEY *own, const uint8_t kernel[PUBLIC_LEN], const uint8_t mine[PUBLIC_LEN],
		    uint8_t key[32])
{
	uint8_t data[sizeof(KEY_SEAL_LABEL) - 1 + 3 * 32];
	const size_t label = sizeof(KEY_SEAL_LABEL) - 1;
	size_t n = 32;
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, kernel, PUBLIC_LEN);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own, NULL);
	int r = -EINVAL;

	memcpy(data, KEY_SEAL_LABEL, label);
	if (peer && ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
	    EVP_PKEY_derive(ctx, data + label, &n) == 1 && n == 32) {
		memcpy(data + label + 32, kernel, 32);
		memcpy(data + label + 64, mine, 32);
		if (EVP_Digest(data, sizeof(data), key, NULL, EVP_sha256(), NULL) == 1)
			r = 0;
	}
	OPENSSL_cleanse(data, sizeof(data));
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	return r;
}

static int seal_box(const uint8_t key[32], const uint8_t uuid[UUID_LEN], uint32_t bits,
		    const uint8_t *in, size_t size, uint8_t *out)
{
	static const uint8_t nonce[12];
	const uint8_t tail[4] = { bits & 0xff, bits >> 8 & 0xff, bits >> 16 & 0xff, bits >> 24 };
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n, r = -EINVAL;

	if (c && EVP_EncryptInit_ex(c, EVP_chacha20_poly1305(), NULL, key, nonce) == 1 &&
	    EVP_EncryptUpdate(c, NULL, &n, uuid, UUID_LEN) == 1 &&
	    EVP_EncryptUpdate(c, NULL, &n, tail, sizeof(tail)) == 1 &&
	    EVP_EncryptUpdate(c, out, &n, in, (int)size) == 1 &&
	    EVP_EncryptFinal_ex(c, out + n, &n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, out + size) == 1)
		r = 0;
	EVP_CIPHER_CTX_free(c);
	return r;
}

int seal(const uint8_t kernel[PUBLIC_LEN], const uint8_t uuid[UUID_LEN], uint32_t bits,
	 const uint8_t *key, size_t size, uint8_t mine[PUBLIC_LEN], uint8_t *sealed)
{
	EVP_PKEY *own = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	uint8_t k[32];
	size_t n = PUBLIC_LEN;
	int r = -EINVAL;

	if (own && EVP_PKEY_get_raw_public_key(own, mine, &n) == 1)
		r = seal_key(own, kernel, mine, k);
	if (!r)
		r = seal_box(k, uuid, bits, key, size, sealed);
	OPENSSL_cleanse(k, sizeof(k));
	EVP_PKEY_free(own);
	return r;
}

int xts(const struct dek *d, bool encrypt, uint64_t iv, uint64_t step, size_t sector_size,
	const void *in, void *out, size_t size)
{
	const EVP_CIPHER *cipher = d->size == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts();
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n, r = c && EVP_CipherInit_ex(c, cipher, NULL, d->key, NULL, encrypt) == 1 ? 0 : -EINVAL;

	for (size_t at = 0; !r && at < size; at += sector_size, iv += step) {
		uint8_t tweak[16] = { 0 };

		for (int i = 0; i < 8; i++)
			tweak[i] = (uint8_t)(iv >> (8 * i));
		if (EVP_CipherInit_ex(c, NULL, NULL, NULL, tweak, encrypt) != 1 ||
		    EVP_CipherUpdate(c, (uint8_t *)out + at, &n, (const uint8_t *)in + at,
				     (int)sector_size) != 1)
			r = -EINVAL;
	}
	EVP_CIPHER_CTX_free(c);
	return r;
}

int request_count(struct nl *nl, struct answer *a)
{
	struct msg m;
	int r;

	msg_begin(nl, &m, CMD_REQUEST_GET, NLM_F_DUMP);
	r = nl_call(nl, &m, a);
	return r ? r : (int)a->messages;
}
