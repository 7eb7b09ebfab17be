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
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/errors.h"
#include "vmcrypt.h"

#define TOKEN_TYPE		"vmcrypt"
#define TOKEN_VERSION		1
#define TOKEN_JSON_MAX		11000	/* bytes; what a LUKS2 header of 16 KiB has room for */
#define TOKEN_WRAPS_MAX		8
#define TOKEN_VM_MAX		255	/* bytes of UTF-8, no control characters */
#define TOKEN_DISK_MAX		255
#define TOKEN_NAME_MAX		64	/* a provider's name */
#define TOKEN_KEY_MAX		255	/* a key ID */
#define TOKEN_IV_LEN		12
#define TOKEN_TAG_LEN		16
#define TOKEN_DEK_MAX		64

/** struct token_wrap - the DEK wrapped by one KEK */
struct token_wrap {
	char provider[37];			/* UUID */
	char provider_name[TOKEN_NAME_MAX + 1];
	char key[TOKEN_KEY_MAX + 1];		/* key ID */
	uint8_t iv[TOKEN_IV_LEN];
	uint8_t ciphertext[TOKEN_DEK_MAX];
	uint32_t size;				/* bytes of ciphertext: 32 or 64 */
	uint8_t tag[TOKEN_TAG_LEN];
};

/** struct token - a token of version 1 */
struct token {
	uint8_t dek[VMCRYPT_DEK_UUID_LEN];
	char vm[TOKEN_VM_MAX + 1];
	char disk[TOKEN_DISK_MAX + 1];
	char created[21];			/* RFC 3339, UTC, seconds: 2026-01-31T12:00:00Z */
	struct token_wrap wraps[TOKEN_WRAPS_MAX];
	size_t n_wraps;				/* 1 to TOKEN_WRAPS_MAX, all of one size */
};

/**
 * token_parse() - text of a token into *ret
 *
 * -EBADMSG with VMCRYPT_REASON_HEADER_DAMAGED and the member to blame in the
 * text; -EOPNOTSUPP for a version that is not 1.
 */
int token_parse(const char *json, size_t size, struct token *ret, struct error *e);

/** token_build() - text of a token, freed by free(); -EINVAL for values token_parse() would refuse */
int token_build(const struct token *t, char **ret, struct error *e);

/** token_find() - the wrap of one KEK, NULL when there is none */
struct token_wrap *token_find(struct token *t, const char *provider, const char *key);
