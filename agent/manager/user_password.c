/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/user_password.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define SCRYPT_N	(1U << 15)
#define SCRYPT_R	8
#define SCRYPT_P	1
#define SCRYPT_MEMORY	((uint64_t) 64 << 20)
/* What a document may ask for: more would only burn memory and time. */
#define SCRYPT_N_MAX	(1U << 17)
#define SCRYPT_R_MAX	16
#define SCRYPT_P_MAX	4
#define SALT_SIZE	16
#define HASH_SIZE	32

struct scrypt {
	uint64_t n, r, p;
	uint8_t salt[SALT_SIZE];
	uint8_t hash[HASH_SIZE];
};

static bool derive_with(EVP_KDF_CTX *ctx, const struct secret *password, struct scrypt *scrypt,
			uint8_t ret[HASH_SIZE])
{
	uint64_t memory = SCRYPT_MEMORY * 8;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, password->data,
						  password->size),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, scrypt->salt, SALT_SIZE),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &scrypt->n),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_R, &scrypt->r),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_P, &scrypt->p),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
		OSSL_PARAM_construct_end(),
	};

	return EVP_KDF_derive(ctx, ret, HASH_SIZE, params) == 1;
}

static int derive(const struct secret *password, struct scrypt *scrypt, uint8_t ret[HASH_SIZE],
		  struct error *e)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_SCRYPT, NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool ok = ctx && derive_with(ctx, password, scrypt, ret);

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	erase_stack();
	if (!ok)
		return error_fail(e, EIO, "Cannot derive from a password: scrypt failed; is memory short?");
	return 0;
}

int password_hash(const struct secret *password, json_t **ret, struct error *e)
{
	struct scrypt scrypt = { .n = SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P };
	_cleanup_json_ json_t *document = NULL;
	int r;

	r = getrandom_full(scrypt.salt, sizeof(scrypt.salt));
	if (r < 0)
		return error_fail(e, r, "Cannot salt a password: %s", strerror(-r));
	r = derive(password, &scrypt, scrypt.hash, e);
	if (r < 0)
		return r;
	document = json_pack("{s:I, s:I, s:I}", "n", (json_int_t) scrypt.n, "r",
			     (json_int_t) scrypt.r, "p", (json_int_t) scrypt.p);
	if (!document || json_set_base64(document, "salt", scrypt.salt, SALT_SIZE) < 0 ||
	    json_set_base64(document, "hash", scrypt.hash, HASH_SIZE) < 0)
		return error_oom(e);
	*ret = TAKE_PTR(document);
	return 0;
}

static bool parse(const json_t *document, struct scrypt *ret)
{
	static const char what[] = "password of the user";

	return json_is_object(document) &&
	       json_get_uint(document, what, "n", SCRYPT_N_MAX, &ret->n, NULL) == 0 && ret->n > 1 &&
	       json_get_uint(document, what, "r", SCRYPT_R_MAX, &ret->r, NULL) == 0 && ret->r > 0 &&
	       json_get_uint(document, what, "p", SCRYPT_P_MAX, &ret->p, NULL) == 0 && ret->p > 0 &&
	       json_get_base64(document, what, "salt", ret->salt, SALT_SIZE, NULL) == 0 &&
	       json_get_base64(document, what, "hash", ret->hash, HASH_SIZE, NULL) == 0;
}

int password_matches(const json_t *document, const struct secret *password, bool *ret,
		     struct error *e)
{
	struct scrypt scrypt;
	uint8_t hash[HASH_SIZE];
	bool real;
	int r;

	real = parse(document, &scrypt);
	if (!real)
		scrypt = (struct scrypt){ .n = SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P };
	r = derive(password, &scrypt, hash, e);
	if (r < 0)
		return r;
	*ret = CRYPTO_memcmp(hash, scrypt.hash, HASH_SIZE) == 0 && real;
	erase(hash, sizeof(hash));
	return 0;
}
