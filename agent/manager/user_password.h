/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Passwords at rest: scrypt (RFC 7914), {n, r, p, salt, hash} with base64.
 */
#ifndef VMCRYPT_MANAGER_USER_PASSWORD_H
#define VMCRYPT_MANAGER_USER_PASSWORD_H

#include <jansson.h>
#include <stdbool.h>

#include "common/errors.h"
#include "common/secret.h"

/**
 * password_hash() - the document of a password, with a new salt
 * @ret: the caller owns a reference
 */
int password_hash(const struct secret *password, json_t **ret, struct error *e);

/**
 * password_matches() - compare in a time that does not depend on what is wrong
 * @document: of the user; NULL or JSON null: none, which takes the same time
 * @ret: false for every document that does not hold what password_hash() writes
 *
 * 32 MiB and about a tenth of a second for each call.
 */
int password_matches(const json_t *document, const struct secret *password, bool *ret,
		     struct error *e);

#endif
