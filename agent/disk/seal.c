/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "disk/seal.h"

#define X25519_LEN	32
#define SEAL_KEY_LEN	32	/* of ChaCha20-Poly1305, and of SHA-256 */
#define SEAL_NONCE_LEN	12
#define SEAL_AAD_LEN	(VMCRYPT_DEK_UUID_LEN + 4)

static void pkey_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void pkey_ctx_freep(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
}

static void md_ctx_freep(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

static void cipher_ctx_freep(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

/* X25519 (RFC 7748). OpenSSL refuses an all-zero result, which only a point of
 * low order gives. */
static int shared_secret(EVP_PKEY *ours, const uint8_t theirs[X25519_LEN], struct secret *ret)
{
	_cleanup_(pkey_freep) EVP_PKEY *peer = NULL;
	_cleanup_(pkey_ctx_freep) EVP_PKEY_CTX *ctx = NULL;
	_cleanup_secret_ struct secret s = SECRET_NULL;
	size_t size = X25519_LEN;
	int r;

	r = secret_new(X25519_LEN, &s);
	if (r < 0)
		return r;

	peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, theirs, X25519_LEN);
	ctx = EVP_PKEY_CTX_new(ours, NULL);
	if (!peer || !ctx || EVP_PKEY_derive_init(ctx) != 1)
		return -EIO;
	if (EVP_PKEY_derive_set_peer(ctx, peer) != 1 ||
	    EVP_PKEY_derive(ctx, s.data, &size) != 1 || size != X25519_LEN)
		return -EBADMSG;

	*ret = secret_take(&s);
	return 0;
}

/* SHA-256(label || shared secret || kernel's public key || ours) */
static int sealing_key(const struct secret *shared, const uint8_t *kernel_public,
		       const uint8_t *our_public, struct secret *ret)
{
	_cleanup_(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	_cleanup_secret_ struct secret key = SECRET_NULL;
	int r;

	r = secret_new(SEAL_KEY_LEN, &key);
	if (r < 0)
		return r;

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(ctx, VMCRYPT_KEY_SEAL_LABEL, strlen(VMCRYPT_KEY_SEAL_LABEL)) != 1 ||
	    EVP_DigestUpdate(ctx, shared->data, shared->size) != 1 ||
	    EVP_DigestUpdate(ctx, kernel_public, X25519_LEN) != 1 ||
	    EVP_DigestUpdate(ctx, our_public, X25519_LEN) != 1 ||
	    EVP_DigestFinal_ex(ctx, key.data, NULL) != 1)
		return -EIO;

	*ret = secret_take(&key);
	return 0;
}

static void seal_aad(const uint8_t dek[VMCRYPT_DEK_UUID_LEN], uint32_t key_bits,
		     uint8_t ret[SEAL_AAD_LEN])
{
	memcpy(ret, dek, VMCRYPT_DEK_UUID_LEN);
	for (int i = 0; i < 4; i++)
		ret[VMCRYPT_DEK_UUID_LEN + i] = (uint8_t) (key_bits >> (8 * i));
}

/* ChaCha20-Poly1305 (RFC 8439) with nonce 0: the key seals this once only. */
static int encrypt(const struct secret *key, const uint8_t aad[SEAL_AAD_LEN],
		   const struct secret *dek, uint8_t *ret)
{
	static const uint8_t nonce[SEAL_NONCE_LEN];
	_cleanup_(cipher_ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n, size = (int) dek->size;

	if (!ctx || EVP_EncryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key->data, nonce) != 1 ||
	    EVP_EncryptUpdate(ctx, NULL, &n, aad, SEAL_AAD_LEN) != 1 ||
	    EVP_EncryptUpdate(ctx, ret, &n, dek->data, size) != 1 || n != size ||
	    EVP_EncryptFinal_ex(ctx, ret + n, &n) != 1 || n != 0 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, VMCRYPT_SEAL_TAG_LEN, ret + size) != 1)
		return -EIO;
	return 0;
}

static int seal(EVP_PKEY *ours, const uint8_t *kernel_public, const uint8_t *dek,
		const struct secret *key, struct sealed_key *ret)
{
	_cleanup_secret_ struct secret shared = SECRET_NULL, sealing = SECRET_NULL;
	struct sealed_key out = {
		.size = (uint32_t) key->size + VMCRYPT_SEAL_TAG_LEN,
		.key_bits = (uint32_t) key->size * 8,
	};
	uint8_t aad[SEAL_AAD_LEN];
	size_t size = sizeof(out.public_key);
	int r;

	if (EVP_PKEY_get_raw_public_key(ours, out.public_key, &size) != 1 ||
	    size != sizeof(out.public_key))
		return -EIO;

	r = shared_secret(ours, kernel_public, &shared);
	if (r < 0)
		return r;
	r = sealing_key(&shared, kernel_public, out.public_key, &sealing);
	if (r < 0)
		return r;

	seal_aad(dek, out.key_bits, aad);
	r = encrypt(&sealing, aad, key, out.data);
	if (r < 0)
		return r;

	*ret = out;
	return 0;
}

int seal_key_with(const struct secret *ephemeral_private,
		  const uint8_t kernel_public[VMCRYPT_PUBLIC_KEY_LEN],
		  const uint8_t dek[VMCRYPT_DEK_UUID_LEN], const struct secret *key,
		  struct sealed_key *ret, struct error *e)
{
	_cleanup_(pkey_freep) EVP_PKEY *ours = NULL;
	int r;

	if (key->size != SEAL_KEY_MAX / 2 && key->size != SEAL_KEY_MAX)
		return error_fail(e, EINVAL,
				  "Sealing a key for the kernel: it has %zu bytes, not 32 or 64",
				  key->size);
	if (ephemeral_private->size != X25519_LEN)
		return error_fail(e, EINVAL, "Sealing a key for the kernel: "
				  "the ephemeral key has %zu bytes, not 32", ephemeral_private->size);

	/* OpenSSL keeps private keys of X25519 in the secure heap too. */
	ours = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, ephemeral_private->data,
					    ephemeral_private->size);
	if (!ours)
		return error_oom(e);

	r = seal(ours, kernel_public, dek, key, ret);
	erase_stack();
	if (r == -EBADMSG)
		return error_fail(e, r, "Sealing a key for the kernel: the public key that the "
				  "kernel gave is of low order; the module is broken, do not use it");
	if (r < 0)
		return error_fail(e, r, "Sealing a key for the kernel: OpenSSL failed (%s)",
				  error_name(r));
	return 0;
}

int seal_key(const uint8_t kernel_public[VMCRYPT_PUBLIC_KEY_LEN],
	     const uint8_t dek[VMCRYPT_DEK_UUID_LEN], const struct secret *key,
	     struct sealed_key *ret, struct error *e)
{
	_cleanup_secret_ struct secret ephemeral = SECRET_NULL;
	int r;

	r = secret_random(X25519_LEN, &ephemeral);
	if (r < 0)
		return error_fail(e, r, "Sealing a key for the kernel: no ephemeral key (%s)",
				  error_name(r));
	return seal_key_with(&ephemeral, kernel_public, dek, key, ret, e);
}
