/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key locators: the name of one KEK.
 */
#ifndef VMCRYPT_CRYPTO_LOCATOR_H
#define VMCRYPT_CRYPTO_LOCATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/encode.h"

/** PROVIDER_NAME_MAX - bytes of a provider's name, without the NUL */
#define PROVIDER_NAME_MAX	64
/** KEY_ID_MAX - bytes of a key's id as its provider gives it, without the NUL */
#define KEY_ID_MAX		128
#define LOCATOR_TEXT_SIZE	(PROVIDER_NAME_MAX + 1 + KEY_ID_MAX + 1)

/**
 * struct key_locator - names one KEK, no secret
 * @provider: the provider's UUID: this decides
 * @provider_name: the name it had, for people
 * @key_id: what the provider calls the key; a UUID's text for native ones
 */
struct key_locator {
	uint8_t provider[UUID_SIZE];
	char provider_name[PROVIDER_NAME_MAX + 1];
	char key_id[KEY_ID_MAX + 1];
};

/**
 * locator_format() - "PROVIDER/KEY-ID", the provider by name
 */
void locator_format(const struct key_locator *locator, char ret[LOCATOR_TEXT_SIZE]);

/**
 * provider_name_valid() - 1..64 of letters, digits, '.', '_', '-', the first one
 * a letter or a digit
 */
bool provider_name_valid(const char *name);

/**
 * key_id_valid() - 1..128 printable ASCII characters but space, '/', '"' and '\'
 */
bool key_id_valid(const char *key_id);

#endif
