/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key derivation.
 */
#ifndef VMCRYPT_CRYPTO_KDF_H
#define VMCRYPT_CRYPTO_KDF_H

#include <stddef.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"

/** KDK_SIZE - bytes of a native provider's key derivation key */
#define KDK_SIZE 32

#define NATIVE_KEK_LABEL "vmcrypt-native-kek-v1|"

/**
 * kdf_hkdf_sha256() - HKDF with SHA-256, extract and expand (RFC 5869)
 * @salt: may be NULL with @salt_size 0
 * @info: may be NULL with @info_size 0
 * @size: bytes wanted, 1..8160
 *
 * Return: 0; -EINVAL, -ENOMEM, -EIO.
 */
int kdf_hkdf_sha256(const struct secret *key, const void *salt, size_t salt_size,
		    const void *info, size_t info_size, size_t size, struct secret *ret);

/**
 * kdf_native_kek() - the KEK of a native provider
 * @kdk: KDK_SIZE bytes
 * @provider: the provider's UUID
 * @key_id: the 16 bytes of the key id
 *
 * HKDF-SHA256 with salt @key_id and info NATIVE_KEK_LABEL followed by the
 * provider's UUID as text.
 */
int kdf_native_kek(const struct secret *kdk, const uint8_t provider[UUID_SIZE],
		   const uint8_t key_id[UUID_SIZE], struct secret *ret, struct error *e);

/** KEY_CHECK_SIZE - bytes of a key's check value */
#define KEY_CHECK_SIZE 32

#define KEY_CHECK_LABEL "vmcrypt-key-check-v1"

/**
 * kdf_key_check() - what tells whether two keys are the same, and nothing else of them
 *
 * HKDF-SHA256 without a salt, info KEY_CHECK_LABEL. Of a random key it is no secret.
 */
int kdf_key_check(const struct secret *key, uint8_t ret[KEY_CHECK_SIZE], struct error *e);

#endif
