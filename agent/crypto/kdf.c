// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto/kdf.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

/* RFC 5869 section 2.3: at most 255 blocks of the hash. */
#define HKDF_SIZE_MAX (255 * 32)

static int derive(const struct secret *key, const void *salt, size_t salt_size, const void *info,
		  size_t info_size, struct secret *out)
{
	OSSL_PARAM params[5], *p = params;
	EVP_KDF_CTX *ctx = NULL;
	EVP_KDF *kdf;
	int ok;

	kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	if (kdf)
		ctx = EVP_KDF_CTX_new(kdf);
	EVP_KDF_free(kdf);
	if (!ctx)
		return -ENOMEM;

	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *) "SHA256", 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key->data, key->size);
	if (salt_size > 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *) salt, salt_size);
	if (info_size > 0)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) info, info_size);
	*p = OSSL_PARAM_construct_end();
	ok = EVP_KDF_derive(ctx, out->data, out->size, params) == 1;
	EVP_KDF_CTX_free(ctx);
	return ok ? 0 : -EIO;
}

int kdf_hkdf_sha256(const struct secret *key, const void *salt, size_t salt_size,
		    const void *info, size_t info_size, size_t size, struct secret *ret)
{
	_cleanup_secret_ struct secret out = SECRET_NULL;
	int r;

	if (key->size == 0 || size == 0 || size > HKDF_SIZE_MAX)
		return -EINVAL;
	r = secret_new(size, &out);
	if (r < 0)
		return r;
	r = derive(key, salt, salt_size, info, info_size, &out);
	erase_stack();
	if (r < 0)
		return r;
	*ret = secret_take(&out);
	return 0;
}

int kdf_native_kek(const struct secret *kdk, const uint8_t provider[UUID_SIZE],
		   const uint8_t key_id[UUID_SIZE], struct secret *ret, struct error *e)
{
	char info[sizeof(NATIVE_KEK_LABEL) + UUID_TEXT_SIZE];
	char text[UUID_TEXT_SIZE];
	int n, r;

	if (kdk->size != KDK_SIZE)
		return error_fail(e, EINVAL, "Cannot derive a KEK: the KDK has %zu bytes, not %d",
				  kdk->size, KDK_SIZE);
	uuid_format(provider, text);
	n = snprintf(info, sizeof(info), "%s%s", NATIVE_KEK_LABEL, text);
	r = kdf_hkdf_sha256(kdk, key_id, UUID_SIZE, info, (size_t) n, 32, ret);
	if (r < 0)
		return error_fail(e, r, "Cannot derive a KEK of provider %s: %s", text, strerror(-r));
	return 0;
}

int kdf_key_check(const struct secret *key, uint8_t ret[KEY_CHECK_SIZE], struct error *e)
{
	_cleanup_secret_ struct secret check = SECRET_NULL;
	int r = kdf_hkdf_sha256(key, /* salt= */ NULL, /* salt_size= */ 0, KEY_CHECK_LABEL,
				strlen(KEY_CHECK_LABEL), KEY_CHECK_SIZE, &check);

	if (r < 0)
		return error_fail(e, r, "Cannot derive the check value of a key: %s", strerror(-r));
	memcpy(ret, check.data, KEY_CHECK_SIZE);
	return 0;
}
