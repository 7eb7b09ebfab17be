/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secrets at rest: what the store may hold of a secret, AES-256-GCM under one
 * key of this manager, bound to the place it belongs to.
 */
#ifndef VMCRYPT_MANAGER_VAULT_H
#define VMCRYPT_MANAGER_VAULT_H

#include <jansson.h>

#include "common/errors.h"
#include "common/secret.h"

/** VAULT_KEY_SIZE - bytes of the vault's key */
#define VAULT_KEY_SIZE		32
/** VAULT_SECRET_MAX - bytes that are sealed at once */
#define VAULT_SECRET_MAX	4096
/** VAULT_CREDENTIAL - name of the credential in $CREDENTIALS_DIRECTORY */
#define VAULT_CREDENTIAL	"vault-key"
/** VAULT_TPM_FILE - in the manager's folder: the key sealed to this machine's TPM */
#define VAULT_TPM_FILE		"vault.tpm"
/** VAULT_KEY_FILE - in the manager's folder: the key in clear, mode 0600 */
#define VAULT_KEY_FILE		"vault.key"

/**
 * enum vault_source - where the key comes from
 * @VAULT_FROM_CREDENTIAL: a systemd credential of 32 bytes, made by the administrator
 * @VAULT_FROM_TPM: sealed to the TPM of this machine
 * @VAULT_FROM_KEY_FILE: a file beside the store: guards a copy of the store alone
 */
enum vault_source {
	VAULT_FROM_CREDENTIAL,
	VAULT_FROM_TPM,
	VAULT_FROM_KEY_FILE,
};

/**
 * struct vault_settings - where to look
 * @dir: the manager's folder
 * @credentials: value of $CREDENTIALS_DIRECTORY; NULL: none
 * @tcti: as tss2-tctildr(7) has it; NULL: TPM_TCTI_DEFAULT
 */
struct vault_settings {
	const char *dir;
	const char *credentials;
	const char *tcti;
};

struct vault;

/**
 * vault_create() - make the key of a new manager
 *
 * With VAULT_FROM_CREDENTIAL nothing is made: the credential is only checked.
 *
 * Return: 0; -EEXIST (there is a key already), -ENOENT (no such credential),
 * -ENODEV (no TPM answers).
 */
int vault_create(const struct vault_settings *settings, enum vault_source source,
		 struct error *e);

/**
 * vault_open() - get the key: credential, else TPM, else key file
 *
 * The first one that exists decides: one that is there and does not work is an
 * error, never a reason to look further.
 *
 * Return: 0; -ENOENT (none of them), -ENODEV, -EKEYREJECTED (sealed to another
 * TPM), -EPERM (the key file is open to others), -EBADMSG (not 32 bytes).
 */
int vault_open(const struct vault_settings *settings, struct vault **ret, struct error *e);

/** vault_free() - erase the key; NULL is left alone */
void vault_free(struct vault *vault);

/** vault_source() - where the key came from */
enum vault_source vault_source(const struct vault *vault);

/** vault_source_name() - "credential", "tpm", "key-file" */
const char *vault_source_name(enum vault_source source);

/**
 * vault_seal() - encrypt a secret for the store
 * @context: where it belongs, as in "provider|UUID|kdk"; not secret, authenticated
 * @plain: 1..VAULT_SECRET_MAX bytes
 * @ret: {v, alg, key, iv, ciphertext, tag}; the caller owns a reference
 */
int vault_seal(struct vault *vault, const char *context, const struct secret *plain,
	       json_t **ret, struct error *e);

/**
 * vault_open_secret() - the strict reverse
 * @context: as it was when sealed
 * @ret: written only on success; the caller owns it
 *
 * Return: 0; -EKEYREJECTED (sealed with another vault key), -EBADMSG (altered, or
 * taken from another place).
 */
int vault_open_secret(struct vault *vault, const char *context, const json_t *sealed,
		      struct secret *ret, struct error *e);

#endif
