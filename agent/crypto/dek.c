// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto/dek.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "vmcrypt.h"

bool dek_bits_valid(uint32_t bits)
{
	return bits == 256 || bits == 512;
}

bool dek_is_weak(const struct secret *dek)
{
	const struct secret half[2] = {
		{ .data = dek->data, .size = dek->size / 2 },
		{ .data = dek->data + dek->size / 2, .size = dek->size / 2 },
	};

	return secret_equal(&half[0], &half[1]);
}

int dek_generate(uint32_t bits, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	int r;

	if (!dek_bits_valid(bits))
		return error_usage(e, "Cannot make a DEK of %u bits: 256 (XTS-AES-128) and 512 "
				   "(XTS-AES-256) are possible", bits);
	r = secret_random(bits / 8, &dek);
	if (r < 0)
		return error_fail(e, r, "Cannot make a DEK: %s", strerror(-r));
	if (dek_is_weak(&dek))
		return error_fail(e, EIO, "Cannot make a DEK: the kernel's random source gave two "
				  "equal halves, do not trust this machine");
	*ret = secret_take(&dek);
	return 0;
}

int dek_uuid(const struct secret *dek, uint8_t ret[UUID_SIZE])
{
	uint8_t digest[32];
	EVP_MD_CTX *md;
	int ok;

	if (!dek_bits_valid((uint32_t) dek->size * 8))
		return -EINVAL;
	md = EVP_MD_CTX_new();
	if (!md)
		return -ENOMEM;
	ok = EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	     EVP_DigestUpdate(md, VMCRYPT_DEK_ID_LABEL, sizeof(VMCRYPT_DEK_ID_LABEL) - 1) == 1 &&
	     EVP_DigestUpdate(md, dek->data, dek->size) == 1 &&
	     EVP_DigestFinal_ex(md, digest, NULL) == 1;
	EVP_MD_CTX_free(md);
	erase_stack();
	if (!ok)
		return -ENOMEM;

	digest[6] = (uint8_t) ((digest[6] & 0x0f) | 0x80);
	digest[8] = (uint8_t) ((digest[8] & 0x3f) | 0x80);
	memcpy(ret, digest, UUID_SIZE);
	return 0;
}
