/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "crypto/box.h"
#include "disk/seal.h"

#define SEAL_AAD_LEN	(VMCRYPT_DEK_UUID_LEN + 4)

_Static_assert(BOX_KEY_SIZE == VMCRYPT_PUBLIC_KEY_LEN && BOX_TAG_SIZE == VMCRYPT_SEAL_TAG_LEN,
	       "the kernel's keys and tags are those of crypto/box.h");

static void md_ctx_freep(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

/* SHA-256(label || shared secret || kernel's public key || ours) */
static int sealing_key(const struct secret *shared, const uint8_t *kernel_public,
		       const uint8_t *our_public, struct secret *ret)
{
	_cleanup_(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	_cleanup_secret_ struct secret key = SECRET_NULL;
	int r;

	r = secret_new(BOX_KEY_SIZE, &key);
	if (r < 0)
		return r;

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(ctx, VMCRYPT_KEY_SEAL_LABEL, strlen(VMCRYPT_KEY_SEAL_LABEL)) != 1 ||
	    EVP_DigestUpdate(ctx, shared->data, shared->size) != 1 ||
	    EVP_DigestUpdate(ctx, kernel_public, BOX_KEY_SIZE) != 1 ||
	    EVP_DigestUpdate(ctx, our_public, BOX_KEY_SIZE) != 1 ||
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

static int seal(const struct secret *ephemeral, const uint8_t *kernel_public, const uint8_t *dek,
		const struct secret *key, struct sealed_key *ret)
{
	_cleanup_secret_ struct secret shared = SECRET_NULL, sealing = SECRET_NULL;
	struct sealed_key out = {
		.size = (uint32_t) key->size + VMCRYPT_SEAL_TAG_LEN,
		.key_bits = (uint32_t) key->size * 8,
	};
	uint8_t aad[SEAL_AAD_LEN];
	int r;

	seal_aad(dek, out.key_bits, aad);
	r = box_public_key(ephemeral, out.public_key);
	if (r == 0)
		r = box_agree(ephemeral, kernel_public, &shared);
	if (r == 0)
		r = sealing_key(&shared, kernel_public, out.public_key, &sealing);
	if (r == 0)
		r = box_encrypt(&sealing, aad, sizeof(aad), key, out.data);
	if (r == 0)
		*ret = out;
	return r;
}

int seal_key_with(const struct secret *ephemeral_private,
		  const uint8_t kernel_public[VMCRYPT_PUBLIC_KEY_LEN],
		  const uint8_t dek[VMCRYPT_DEK_UUID_LEN], const struct secret *key,
		  struct sealed_key *ret, struct error *e)
{
	int r;

	if (key->size != SEAL_KEY_MAX / 2 && key->size != SEAL_KEY_MAX)
		return error_fail(e, EINVAL,
				  "Sealing a key for the kernel: it has %zu bytes, not 32 or 64",
				  key->size);
	if (ephemeral_private->size != BOX_KEY_SIZE)
		return error_fail(e, EINVAL, "Sealing a key for the kernel: "
				  "the ephemeral key has %zu bytes, not 32", ephemeral_private->size);

	r = seal(ephemeral_private, kernel_public, dek, key, ret);
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

	r = secret_random(BOX_KEY_SIZE, &ephemeral);
	if (r < 0)
		return error_fail(e, r, "Sealing a key for the kernel: no ephemeral key (%s)",
				  error_name(r));
	return seal_key_with(&ephemeral, kernel_public, dek, key, ret, e);
}
