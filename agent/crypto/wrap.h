/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A DEK encrypted under a KEK, bound to everything that decides what is
 * decrypted where and for whom. AES-256-GCM (NIST SP 800-38D).
 */
#ifndef VMCRYPT_CRYPTO_WRAP_H
#define VMCRYPT_CRYPTO_WRAP_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"
#include "crypto/dek.h"
#include "crypto/locator.h"

#define WRAP_ALG	"A256GCM"
/** KEK_SIZE - bytes of a KEK (AES-256) */
#define KEK_SIZE	32
/** WRAP_IV_SIZE - bytes, random; a KEK of a native provider wraps only once */
#define WRAP_IV_SIZE	12
#define WRAP_TAG_SIZE	16
/** LABEL_MAX - bytes of a VM's name or a disk's label, without the NUL */
#define LABEL_MAX	255

/**
 * struct wrap_context - what a wrap authenticates beside the DEK
 * @cipher: "aes-xts-plain64"
 * @created: RFC 3339, as in the header's token
 * @data_offset: bytes from the start of the data device to the data
 * @dek: the DEK's UUID
 * @disk: label of the disk
 * @iv_tweak: sector number of the first data sector, in units of 512 bytes
 * @key_bits: 256 or 512
 * @locator: the KEK
 * @sector_size: bytes
 * @vm: name of the VM
 *
 * Strings are UTF-8 without control characters.
 */
struct wrap_context {
	char cipher[32];
	char created[TIME_INPUT_SIZE];
	uint64_t data_offset;
	uint8_t dek[UUID_SIZE];
	char disk[LABEL_MAX + 1];
	uint64_t iv_tweak;
	uint32_t key_bits;
	struct key_locator locator;
	uint32_t sector_size;
	char vm[LABEL_MAX + 1];
};

/**
 * struct wrap - one element of the token's "wraps"
 * @locator: the KEK
 * @iv: as the name says
 * @ciphertext: as long as the DEK
 * @ciphertext_size: 32 or 64
 * @tag: as the name says
 */
struct wrap {
	struct key_locator locator;
	uint8_t iv[WRAP_IV_SIZE];
	uint8_t ciphertext[DEK_SIZE_MAX];
	size_t ciphertext_size;
	uint8_t tag[WRAP_TAG_SIZE];
};

/**
 * wrap_aad() - the additional authenticated data of a wrap
 * @ret: malloc'ed, ends in NUL; written only on success
 * @ret_size: bytes without the NUL
 *
 * Compact JSON with sorted keys: cipher, created, data_offset, dek, disk,
 * iv_tweak, key, key_bits, provider, provider_name, sector_size, v, vm. What is
 * not ASCII stands as UTF-8, '/' is not escaped.
 *
 * Return: 0; -EINVAL (a string is not UTF-8 or holds a control character, a
 * number is beyond 2^63 - 1).
 */
int wrap_aad(const struct wrap_context *context, char **ret, size_t *ret_size, struct error *e);

/**
 * wrap_seal() - encrypt a DEK
 * @kek: KEK_SIZE bytes
 * @context: its dek and key_bits have to be those of @dek
 * @ret: its locator is the context's; written only on success
 *
 * Return: 0; -EINVAL, -EKEYREJECTED (the DEK is not the one that the context
 * names), -ENOMEM, -EIO.
 */
int wrap_seal(const struct secret *kek, const struct wrap_context *context,
	      const struct secret *dek, struct wrap *ret, struct error *e);

/**
 * wrap_open() - decrypt a DEK, and prove that context and wrap are as sealed
 * @ret_dek: written only on success; the caller owns it
 *
 * Sets VMCRYPT_REASON_HEADER_DAMAGED: with the KEK that the locator names,
 * only altered data does not open.
 *
 * Return: 0; -EBADMSG (anything altered, or another KEK), -EKEYREJECTED (opens,
 * but holds another DEK), -EINVAL, -ENOMEM.
 */
int wrap_open(const struct secret *kek, const struct wrap_context *context,
	      const struct wrap *wrap, struct secret *ret_dek, struct error *e);

/**
 * wrap_to_json() - as the token has it
 * @ret: the caller owns a reference
 */
int wrap_to_json(const struct wrap *wrap, json_t **ret, struct error *e);

/**
 * wrap_from_json() - the strict reverse; unknown members are refused
 *
 * Return: 0; -EBADMSG.
 */
int wrap_from_json(const json_t *json, struct wrap *ret, struct error *e);

#endif
