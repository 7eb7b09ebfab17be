/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AES-256-GCM (NIST SP 800-38D), for keys that are sealed at rest.
 */
#ifndef VMCRYPT_CRYPTO_GCM_H
#define VMCRYPT_CRYPTO_GCM_H

#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"

#define GCM_KEY_SIZE	32
#define GCM_IV_SIZE	12
#define GCM_TAG_SIZE	16

/**
 * gcm_seal() - encrypt
 * @key: GCM_KEY_SIZE bytes
 * @iv: never used before with this key
 * @aad: additional data, up to INT_MAX bytes
 * @plain: up to SECRET_MAX bytes
 * @ret: as many bytes as @plain has
 *
 * What OpenSSL leaves on the stack is erased.
 *
 * Return: 0; -EINVAL (size of @key), -ENOMEM, -EIO.
 */
int gcm_seal(const struct secret *key, const uint8_t iv[GCM_IV_SIZE], const void *aad,
	     size_t aad_size, const struct secret *plain, uint8_t *ret,
	     uint8_t ret_tag[GCM_TAG_SIZE]);

/**
 * gcm_open() - the reverse
 * @data: up to SECRET_MAX bytes
 * @ret: written only on success; the caller owns it
 *
 * Return: 0; -EBADMSG (altered, or another key or @aad), -EINVAL, -ENOMEM.
 */
int gcm_open(const struct secret *key, const uint8_t iv[GCM_IV_SIZE], const void *aad,
	     size_t aad_size, const uint8_t *data, size_t size,
	     const uint8_t tag[GCM_TAG_SIZE], struct secret *ret);

#endif
