/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Data encryption keys and their names.
 */
#ifndef VMCRYPT_CRYPTO_DEK_H
#define VMCRYPT_CRYPTO_DEK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"

/** DEK_SIZE_MAX - bytes of the larger key (XTS-AES-256) */
#define DEK_SIZE_MAX 64

/**
 * dek_bits_valid() - 256 (XTS-AES-128) or 512 (XTS-AES-256)
 */
bool dek_bits_valid(uint32_t bits);

/**
 * dek_is_weak() - whether the two halves are equal (FIPS 140-3 IG C.I forbids
 * that for XTS-AES)
 */
bool dek_is_weak(const struct secret *dek);

/**
 * dek_generate() - a new DEK from getrandom(2)
 * @bits: 256 or 512
 *
 * Return: 0; -EINVAL (bits), -EIO when the halves came out equal, which only a
 * broken random source brings about.
 */
int dek_generate(uint32_t bits, struct secret *ret, struct error *e);

/**
 * dek_uuid() - the UUID that names a DEK, as uapi/vmcrypt.h defines it
 *
 * Return: 0; -EINVAL (not 32 or 64 bytes), -ENOMEM.
 */
int dek_uuid(const struct secret *dek, uint8_t ret[UUID_SIZE]);

#endif
