// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto/gcm.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>

static bool seal(EVP_CIPHER_CTX *ctx, const struct secret *key, const uint8_t *iv, const void *aad,
		 int aad_size, const struct secret *plain, uint8_t *ret, uint8_t *ret_tag)
{
	int n;

	return EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->data, iv) == 1 &&
	       EVP_EncryptUpdate(ctx, NULL, &n, aad, aad_size) == 1 &&
	       EVP_EncryptUpdate(ctx, ret, &n, plain->data, (int) plain->size) == 1 &&
	       EVP_EncryptFinal_ex(ctx, ret + n, &n) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_SIZE, ret_tag) == 1;
}

int gcm_seal(const struct secret *key, const uint8_t iv[GCM_IV_SIZE], const void *aad,
	     size_t aad_size, const struct secret *plain, uint8_t *ret,
	     uint8_t ret_tag[GCM_TAG_SIZE])
{
	EVP_CIPHER_CTX *ctx;
	bool ok;

	if (key->size != GCM_KEY_SIZE)
		return -EINVAL;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		return -ENOMEM;
	ok = seal(ctx, key, iv, aad, (int) aad_size, plain, ret, ret_tag);
	EVP_CIPHER_CTX_free(ctx);
	erase_stack();
	return ok ? 0 : -EIO;
}

static bool open_sealed(EVP_CIPHER_CTX *ctx, const struct secret *key, const uint8_t *iv,
			const void *aad, int aad_size, const uint8_t *data, const uint8_t *tag,
			struct secret *plain)
{
	int n;

	return EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->data, iv) == 1 &&
	       EVP_DecryptUpdate(ctx, NULL, &n, aad, aad_size) == 1 &&
	       EVP_DecryptUpdate(ctx, plain->data, &n, data, (int) plain->size) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_SIZE, (void *) tag) == 1 &&
	       EVP_DecryptFinal_ex(ctx, plain->data + n, &n) == 1;
}

int gcm_open(const struct secret *key, const uint8_t iv[GCM_IV_SIZE], const void *aad,
	     size_t aad_size, const uint8_t *data, size_t size,
	     const uint8_t tag[GCM_TAG_SIZE], struct secret *ret)
{
	_cleanup_secret_ struct secret plain = SECRET_NULL;
	EVP_CIPHER_CTX *ctx;
	bool ok;
	int r;

	if (key->size != GCM_KEY_SIZE)
		return -EINVAL;
	r = secret_new(size, &plain);
	if (r < 0)
		return r;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		return -ENOMEM;
	ok = open_sealed(ctx, key, iv, aad, (int) aad_size, data, tag, &plain);
	EVP_CIPHER_CTX_free(ctx);
	erase_stack();
	if (!ok)
		return -EBADMSG;
	*ret = secret_take(&plain);
	return 0;
}
