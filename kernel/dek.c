// SPDX-License-Identifier: GPL-2.0-only
/*
 * The name of a DEK: a UUID computed from the key, so that the wrong key can
 * never be used under the right name.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "dek.h"

#include <crypto/sha2.h>
#include <crypto/algapi.h>
#include <linux/string.h>

#include "uapi/vmcrypt.h"

#define LABEL_LEN	(sizeof(VMCRYPT_DEK_ID_LABEL) - 1)

/**
 * vmcrypt_dek_bits_valid() - is this a size that XTS-AES has?
 * @bits: size of both halves of the key, in bits
 */
bool vmcrypt_dek_bits_valid(u32 bits)
{
	return bits == 256 || bits == 512;
}

/**
 * vmcrypt_dek_name() - compute the UUID of a DEK
 * @raw: the key as dm-crypt takes it, data key first
 * @size: bytes in @raw, at most VMCRYPT_DEK_BYTES_MAX
 * @ret: where the UUID goes (version 8 of RFC 9562)
 *
 * A digest, not a secret: it may be shown and stored.
 */
void vmcrypt_dek_name(const u8 *raw, unsigned int size, uuid_t *ret)
{
	u8 input[LABEL_LEN + VMCRYPT_DEK_BYTES_MAX];
	u8 digest[SHA256_DIGEST_SIZE];

	memcpy(input, VMCRYPT_DEK_ID_LABEL, LABEL_LEN);
	memcpy(input + LABEL_LEN, raw, size);
	sha256(input, LABEL_LEN + size, digest);
	memzero_explicit(input, sizeof(input));	/* held a copy of the key */

	import_uuid(ret, digest);
	ret->b[6] = (ret->b[6] & 0x0f) | 0x80;
	ret->b[8] = (ret->b[8] & 0x3f) | 0x80;
	memzero_explicit(digest, sizeof(digest));	/* only half of it is public */
}

/**
 * vmcrypt_dek_named() - is this the key of that name?
 * @raw: the key
 * @size: bytes in @raw
 * @dek: the name
 */
bool vmcrypt_dek_named(const u8 *raw, unsigned int size, const uuid_t *dek)
{
	uuid_t name;

	vmcrypt_dek_name(raw, size, &name);
	return !crypto_memneq(&name, dek, sizeof(name));
}

/**
 * vmcrypt_dek_well_formed() - could any key have this name?
 * @dek: a UUID from outside
 */
bool vmcrypt_dek_well_formed(const uuid_t *dek)
{
	return (dek->b[6] & 0xf0) == 0x80 && (dek->b[8] & 0xc0) == 0x80;
}
