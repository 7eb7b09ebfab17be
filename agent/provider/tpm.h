/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sealing a small secret to this machine's TPM 2.0, by ESAPI.
 *
 * The sealed object hangs below the storage root key at 0x81000001 (TCG TPM v2.0
 * Provisioning Guidance), which is made when it is missing. Secrets cross the
 * bus encrypted: a session salted with the root key encrypts parameters in both
 * directions. The root key's public half is kept beside the object, and used
 * instead of what the TPM says then: something that sits on the bus later cannot
 * put its own key in the place of the TPM's.
 */
#ifndef VMCRYPT_PROVIDER_TPM_H
#define VMCRYPT_PROVIDER_TPM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"

#define TPM_TCTI_DEFAULT	"device:/dev/tpmrm0"
/** TPM_BLOB_MAX - bytes of a public or private area as the TPM writes it */
#define TPM_BLOB_MAX		1024
/** TPM_SECRET_MAX - bytes that a TPM seals at most */
#define TPM_SECRET_MAX		128

/**
 * struct tpm_sealed - a sealed object, no secret without its TPM
 * @public_area: TPM2B_PUBLIC as marshalled
 * @private_area: TPM2B_PRIVATE as marshalled, encrypted by the TPM
 * @srk: the storage root key it was sealed under, as Esys_TR_Serialize() writes it
 */
struct tpm_sealed {
	uint8_t public_area[TPM_BLOB_MAX];
	size_t public_size;
	uint8_t private_area[TPM_BLOB_MAX];
	size_t private_size;
	uint8_t srk[TPM_BLOB_MAX];
	size_t srk_size;
};

/**
 * tpm_present() - whether a TPM 2.0 answers
 * @tcti: as tss2-tctildr(7) has it
 *
 * Return: 0; -ENODEV, with a text that says what was tried.
 */
int tpm_present(const char *tcti, struct error *e);

/**
 * tpm_seal() - seal up to TPM_SECRET_MAX bytes
 *
 * What comes out was unsealed once and compared before this returns.
 */
int tpm_seal(const char *tcti, const struct secret *secret, struct tpm_sealed *ret,
	     struct error *e);

/**
 * tpm_unseal() - the reverse
 *
 * Return: 0; -ENODEV (no TPM answers), -EKEYREJECTED (another TPM, or this one
 * was cleared: the text says to restore the backup), -EIO.
 */
int tpm_unseal(const char *tcti, const struct tpm_sealed *sealed, struct secret *ret,
	       struct error *e);

/** tpm_sealed_to_json() - {public, private, srk}, base64; NULL: out of memory */
json_t *tpm_sealed_to_json(const struct tpm_sealed *sealed);

/** tpm_sealed_from_json() - the strict reverse. Return: 0; -EBADMSG. */
int tpm_sealed_from_json(const json_t *json, const char *what, struct tpm_sealed *ret,
			 struct error *e);

#endif
