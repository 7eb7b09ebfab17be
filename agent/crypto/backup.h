/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Backup of a native provider: PKCS#12 (RFC 7292) with one secretBag.
 *
 * The bag's value is JSON {provider, name, kdk (base64), created}. Encryption is
 * PBES2 (RFC 8018) with PBKDF2-HMAC-SHA-256 and AES-256-CBC, the MAC is
 * HMAC-SHA-256. ``openssl pkcs12 -info`` opens it.
 */
#ifndef VMCRYPT_CRYPTO_BACKUP_H
#define VMCRYPT_CRYPTO_BACKUP_H

#include <stddef.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"
#include "crypto/locator.h"

/** BACKUP_ITERATIONS - of both the encryption's and the MAC's derivation */
#define BACKUP_ITERATIONS	600000
/** BACKUP_ITERATIONS_MAX - a file that asks for more is refused: it would only
 * burn time */
#define BACKUP_ITERATIONS_MAX	10000000
/** BACKUP_SIZE_MAX - bytes of a backup file */
#define BACKUP_SIZE_MAX		((size_t) 16 * 1024)

/**
 * struct backup_content - what a backup holds
 * @provider: the provider's UUID
 * @name: its name
 * @kdk: KDK_SIZE bytes
 * @created: of the provider, seconds since 1970
 */
struct backup_content {
	uint8_t provider[UUID_SIZE];
	char name[PROVIDER_NAME_MAX + 1];
	struct secret kdk;
	int64_t created;
};

void backup_content_done(struct backup_content *content);

#define _cleanup_backup_ __attribute__((cleanup(backup_content_done)))

/**
 * backup_write() - make a backup
 * @password: 1..PASSWORD_MAX bytes of UTF-8 without NUL
 * @ret: malloc'ed DER, no secret without the password; written only on success
 *
 * Takes about a second: 2 * BACKUP_ITERATIONS of SHA-256.
 */
int backup_write(const struct backup_content *content, const struct secret *password,
		 uint8_t **ret, size_t *ret_size, struct error *e);

/**
 * backup_read() - open a backup
 * @ret: written only on success; the caller owns it
 *
 * Refuses, before it derives anything, a file without MAC, with other
 * algorithms or with iteration counts outside BACKUP_ITERATIONS ..
 * BACKUP_ITERATIONS_MAX.
 *
 * Return: 0; -EBADMSG (not a backup of ours, damaged), -EKEYREJECTED (wrong
 * password), -EFBIG, -ENOMEM.
 */
int backup_read(const uint8_t *data, size_t size, const struct secret *password,
		struct backup_content *ret, struct error *e);

#endif
