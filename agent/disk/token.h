/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The LUKS2 token "vmcrypt" (design, "On the disk").
 *
 * The format is closed: each member of version 1 is needed, none other is
 * taken, none may come twice, and each value has exactly one way of being
 * written (UUIDs and hexadecimal in lower case, base64 with padding and no spare
 * bits). So there is no byte of a token that can change without a refusal here or at
 * the wrap's tag. A later version that adds members has another number.
 */
#ifndef VMCRYPT_DISK_TOKEN_H
#define VMCRYPT_DISK_TOKEN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "crypto/wrap.h"

#define TOKEN_TYPE		"vmcrypt"
#define TOKEN_VERSION		1
/** TOKEN_JSON_MAX - bytes; what a LUKS2 header of 16 KiB has room for */
#define TOKEN_JSON_MAX		((size_t) 11000)
#define TOKEN_WRAPS_MAX		8

/**
 * struct token - a token of version 1
 * @dek: UUID of the DEK
 * @vm: name of the VM, UTF-8
 * @disk: label of the disk, UTF-8
 * @created: RFC 3339 as time_parse() takes it
 * @wraps: the DEK wrapped by several KEKs, each enough to open the disk
 * @n_wraps: 1 to TOKEN_WRAPS_MAX; their ciphertexts are of one size
 */
struct token {
	uint8_t dek[UUID_SIZE];
	char vm[LABEL_MAX + 1];
	char disk[LABEL_MAX + 1];
	char created[TIME_INPUT_SIZE];
	struct wrap wraps[TOKEN_WRAPS_MAX];
	size_t n_wraps;
};

/**
 * token_parse() - text of a token into *ret
 *
 * -EBADMSG with VMCRYPT_REASON_HEADER_DAMAGED and the member to blame in the
 * text; -EOPNOTSUPP for a version that is not 1.
 */
int token_parse(const char *json, size_t size, struct token *ret, struct error *e);

/** token_from_json() - the same of an object that json_parse() made */
int token_from_json(const json_t *json, struct token *ret, struct error *e);

/**
 * token_build() - text of a token, freed by free()
 *
 * Refuses values that token_parse() would refuse.
 */
int token_build(const struct token *t, char **ret, struct error *e);

/**
 * token_find() - index of the wrap of one KEK
 *
 * The provider's UUID and the key ID decide, the provider's name does not.
 * Return: index or -ENOENT.
 */
int token_find(const struct token *t, const struct key_locator *locator);

#endif
