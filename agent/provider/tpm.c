// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provider/tpm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "common/cleanup.h"
#include "common/json.h"

/* TCG TPM v2.0 Provisioning Guidance, section 7.5.1. */
#define SRK_HANDLE ((TPM2_HANDLE) 0x81000001)

/* Response code without the layer and the number of what it is about. */
#define RC_BASE(rc) ((rc) & TPM2_RC_FMT1 ? (rc) & (TPM2_RC_FMT1 | 0x3f) : (rc) & 0xfff)

/* One conversation with the TPM. */
struct tpm {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR srk;
	bool srk_transient;
	ESYS_TR session;
};

#define TPM_NULL ((struct tpm) { .srk = ESYS_TR_NONE, .session = ESYS_TR_NONE })

static void tpm_close(struct tpm *tpm)
{
	if (tpm->session != ESYS_TR_NONE)
		Esys_FlushContext(tpm->esys, tpm->session);
	if (tpm->srk != ESYS_TR_NONE && tpm->srk_transient)
		Esys_FlushContext(tpm->esys, tpm->srk);
	if (tpm->esys)
		Esys_Finalize(&tpm->esys);
	if (tpm->tcti)
		Tss2_TctiLdr_Finalize(&tpm->tcti);
	erase_stack();
}

#define _cleanup_tpm_ _cleanup_(tpm_close)

static void cleanup_esys(void *p)
{
	Esys_Free(*(void **) p);
}

#define _cleanup_esys_ _cleanup_(cleanup_esys)

static int tpm_open(const char *tcti, struct tpm *tpm, struct error *e)
{
	TSS2_RC rc;

	rc = Tss2_TctiLdr_Initialize(tcti, &tpm->tcti);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_Initialize(&tpm->esys, tpm->tcti, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, ENODEV, "No TPM 2.0 answers at \"%s\": %s", tcti, Tss2_RC_Decode(rc));
	return 0;
}

static int tpm_ask(struct tpm *tpm, const char *tcti, struct error *e)
{
	_cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;
	TSS2_RC rc;

	rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				TPM2_CAP_TPM_PROPERTIES, TPM2_PT_FAMILY_INDICATOR, 1, &more, &data);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, ENODEV, "No TPM 2.0 answers at \"%s\": %s", tcti, Tss2_RC_Decode(rc));
	return 0;
}

int tpm_present(const char *tcti, struct error *e)
{
	_cleanup_tpm_ struct tpm tpm = TPM_NULL;
	int r;

	r = tpm_open(tcti, &tpm, e);
	if (r < 0)
		return r;
	return tpm_ask(&tpm, tcti, e);
}

/* A storage key as the TCG's template H-2 has it: ECC P-256, AES-128-CFB. */
static const TPM2B_PUBLIC srk_template = {
	.publicArea = {
		.type = TPM2_ALG_ECC,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
			TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
			TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
		.parameters.eccDetail = {
			.symmetric = {
				.algorithm = TPM2_ALG_AES,
				.keyBits.aes = 128,
				.mode.aes = TPM2_ALG_CFB,
			},
			.scheme.scheme = TPM2_ALG_NULL,
			.curveID = TPM2_ECC_NIST_P256,
			.kdf.scheme = TPM2_ALG_NULL,
		},
		.unique.ecc = { .x.size = 32, .y.size = 32 },
	},
};

static int srk_make(struct tpm *tpm, struct error *e)
{
	const TPM2B_SENSITIVE_CREATE sensitive = { .size = 0 };
	const TPML_PCR_SELECTION no_pcrs = { .count = 0 };
	const TPM2B_DATA no_data = { .size = 0 };
	ESYS_TR persistent;
	TSS2_RC rc;

	rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
				ESYS_TR_NONE, &sensitive, &srk_template, &no_data, &no_pcrs,
				&tpm->srk, NULL, NULL, NULL, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, EACCES, "Cannot make the TPM's storage root key: %s; with an owner "
				  "password set, make it by tpm2_createprimary and tpm2_evictcontrol at "
				  "0x%x", Tss2_RC_Decode(rc), SRK_HANDLE);
	tpm->srk_transient = true;

	rc = Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, tpm->srk, ESYS_TR_PASSWORD, ESYS_TR_NONE,
			       ESYS_TR_NONE, SRK_HANDLE, &persistent);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, EIO, "Cannot keep the TPM's storage root key at 0x%x: %s",
				  SRK_HANDLE, Tss2_RC_Decode(rc));
	Esys_FlushContext(tpm->esys, tpm->srk);
	tpm->srk = persistent;
	tpm->srk_transient = false;
	return 0;
}

static int srk_check(struct tpm *tpm, struct error *e)
{
	static const TPMA_OBJECT needed = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
		TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
	_cleanup_esys_ TPM2B_PUBLIC *public = NULL;
	TSS2_RC rc;

	rc = Esys_ReadPublic(tpm->esys, tpm->srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public,
			     NULL, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, EIO, "Cannot read the TPM's storage root key: %s", Tss2_RC_Decode(rc));
	if ((public->publicArea.objectAttributes & needed) != needed)
		return error_fail(e, EINVAL, "The TPM's object at 0x%x is no storage key: remove it with "
				  "tpm2_evictcontrol if nothing needs it", SRK_HANDLE);
	return 0;
}

static int srk_get(struct tpm *tpm, struct error *e)
{
	TSS2_RC rc;
	int r;

	rc = Esys_TR_FromTPMPublic(tpm->esys, SRK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				   &tpm->srk);
	if (RC_BASE(rc) == TPM2_RC_HANDLE) {
		r = srk_make(tpm, e);
		if (r < 0)
			return r;
	} else if (rc != TSS2_RC_SUCCESS) {
		return error_fail(e, EIO, "Cannot read the TPM's storage root key: %s", Tss2_RC_Decode(rc));
	}
	return srk_check(tpm, e);
}

/* Whose salt only the holder of the storage root key can read: from here on
 * the first parameter of each command and response is encrypted. */
static int session_start(struct tpm *tpm, struct error *e)
{
	static const TPMT_SYM_DEF symmetric = {
		.algorithm = TPM2_ALG_AES,
		.keyBits.aes = 128,
		.mode.aes = TPM2_ALG_CFB,
	};
	const TPMA_SESSION flags = TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT |
		TPMA_SESSION_ENCRYPT;
	TSS2_RC rc;

	rc = Esys_StartAuthSession(tpm->esys, tpm->srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
				   ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &symmetric, TPM2_ALG_SHA256,
				   &tpm->session);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TRSess_SetAttributes(tpm->esys, tpm->session, flags, 0xff);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, EIO, "Cannot start an encrypted session with the TPM: %s",
				  Tss2_RC_Decode(rc));
	return 0;
}

static const TPM2B_PUBLIC sealed_template = {
	.publicArea = {
		.type = TPM2_ALG_KEYEDHASH,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
			TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
		.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
	},
};

static int marshal(struct tpm *tpm, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private,
		   struct tpm_sealed *ret)
{
	_cleanup_free_ uint8_t *srk = NULL;

	if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, ret->public_area, sizeof(ret->public_area),
					 &ret->public_size) != TSS2_RC_SUCCESS)
		return -EOVERFLOW;
	if (Tss2_MU_TPM2B_PRIVATE_Marshal(private, ret->private_area, sizeof(ret->private_area),
					  &ret->private_size) != TSS2_RC_SUCCESS)
		return -EOVERFLOW;
	if (Esys_TR_Serialize(tpm->esys, tpm->srk, &srk, &ret->srk_size) != TSS2_RC_SUCCESS ||
	    ret->srk_size > sizeof(ret->srk))
		return -EOVERFLOW;
	memcpy(ret->srk, srk, ret->srk_size);
	return 0;
}

static int object_make(struct tpm *tpm, const struct secret *secret, struct tpm_sealed *ret,
		       struct error *e)
{
	_cleanup_secret_ struct secret memory = SECRET_NULL;
	_cleanup_esys_ TPM2B_PRIVATE *private = NULL;
	_cleanup_esys_ TPM2B_PUBLIC *public = NULL;
	const TPML_PCR_SELECTION no_pcrs = { .count = 0 };
	const TPM2B_DATA no_data = { .size = 0 };
	TPM2B_SENSITIVE_CREATE *sensitive;
	TSS2_RC rc;

	if (secret_new(sizeof(*sensitive), &memory) < 0)
		return error_oom(e);
	sensitive = (TPM2B_SENSITIVE_CREATE *) memory.data;
	sensitive->sensitive.data.size = (UINT16) secret->size;
	memcpy(sensitive->sensitive.data.buffer, secret->data, secret->size);

	rc = Esys_Create(tpm->esys, tpm->srk, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, sensitive,
			 &sealed_template, &no_data, &no_pcrs, &private, &public, NULL, NULL, NULL);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, EIO, "The TPM does not seal: %s", Tss2_RC_Decode(rc));
	*ret = (struct tpm_sealed) { .srk_size = 0 };
	if (marshal(tpm, public, private, ret) < 0)
		return error_fail(e, EOVERFLOW, "The TPM's sealed object is larger than %d bytes",
				  TPM_BLOB_MAX);
	return 0;
}

static int damaged(struct error *e)
{
	return error_fail(e, EBADMSG, "The sealed key is damaged: restore the provider from its backup "
			  "(vmcryptctl provider restore)");
}

/* Goes over from the root key that the TPM shows to the one that was there when
 * the key was sealed. They are the same, or it is another TPM. */
static int srk_use_known(struct tpm *tpm, const struct tpm_sealed *sealed, struct error *e)
{
	_cleanup_esys_ TPM2B_NAME *known_name = NULL, *shown_name = NULL;
	ESYS_TR known;
	TSS2_RC rc;

	if (Esys_TR_Deserialize(tpm->esys, sealed->srk, sealed->srk_size, &known) != TSS2_RC_SUCCESS ||
	    Esys_TR_GetName(tpm->esys, known, &known_name) != TSS2_RC_SUCCESS)
		return damaged(e);
	rc = Esys_TR_GetName(tpm->esys, tpm->srk, &shown_name);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, EIO, "Cannot read the TPM's storage root key: %s", Tss2_RC_Decode(rc));
	if (known_name->size != shown_name->size ||
	    memcmp(known_name->name, shown_name->name, known_name->size) != 0)
		return error_fail(e, EKEYREJECTED, "The TPM is not the one that the key was sealed to: "
				  "it was replaced or cleared; restore the provider from its backup "
				  "(vmcryptctl provider restore)");
	Esys_TR_Close(tpm->esys, &tpm->srk);
	tpm->srk = known;
	return 0;
}

static int object_load(struct tpm *tpm, const struct tpm_sealed *sealed, ESYS_TR *ret,
		       struct error *e)
{
	TPM2B_PRIVATE private = { .size = 0 };
	TPM2B_PUBLIC public = { .size = 0 };
	size_t at = 0;
	TSS2_RC rc;

	rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(sealed->public_area, sealed->public_size, &at, &public);
	if (rc == TSS2_RC_SUCCESS && at != sealed->public_size)
		rc = TSS2_MU_RC_BAD_SIZE;
	at = 0;
	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPM2B_PRIVATE_Unmarshal(sealed->private_area, sealed->private_size, &at,
						     &private);
	if (rc != TSS2_RC_SUCCESS || at != sealed->private_size)
		return damaged(e);

	rc = Esys_Load(tpm->esys, tpm->srk, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public,
		       ret);
	if (RC_BASE(rc) == TPM2_RC_INTEGRITY)
		return damaged(e);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, EIO, "The TPM does not load the sealed key: %s", Tss2_RC_Decode(rc));
	return 0;
}

static int object_open(struct tpm *tpm, const struct tpm_sealed *sealed, struct secret *ret,
		       struct error *e)
{
	TPM2B_SENSITIVE_DATA *data = NULL;
	ESYS_TR object = ESYS_TR_NONE;
	TSS2_RC rc;
	int r;

	r = object_load(tpm, sealed, &object, e);
	if (r < 0)
		return r;
	rc = Esys_Unseal(tpm->esys, object, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
	Esys_FlushContext(tpm->esys, object);
	if (rc != TSS2_RC_SUCCESS)
		return error_fail(e, EIO, "The TPM does not unseal: %s", Tss2_RC_Decode(rc));

	r = data->size == 0 ? -EIO : secret_copy(data->buffer, data->size, ret);
	erase(data, sizeof(*data));
	Esys_Free(data);
	if (r < 0)
		return error_fail(e, r, "Cannot keep what the TPM unsealed: %s", strerror(-r));
	return 0;
}

int tpm_seal(const char *tcti, const struct secret *secret, struct tpm_sealed *ret,
	     struct error *e)
{
	_cleanup_secret_ struct secret again = SECRET_NULL;
	_cleanup_tpm_ struct tpm tpm = TPM_NULL;
	struct tpm_sealed sealed;
	int r;

	if (secret->size == 0 || secret->size > TPM_SECRET_MAX)
		return error_fail(e, EINVAL, "A TPM seals 1 to %d bytes", TPM_SECRET_MAX);
	r = tpm_open(tcti, &tpm, e);
	if (r == 0)
		r = srk_get(&tpm, e);
	if (r == 0)
		r = session_start(&tpm, e);
	if (r == 0)
		r = object_make(&tpm, secret, &sealed, e);
	if (r == 0)
		r = object_open(&tpm, &sealed, &again, e);
	if (r < 0)
		return r;
	if (!secret_equal(secret, &again))
		return error_fail(e, EIO, "The TPM unseals something else than was sealed: do not trust it");
	*ret = sealed;
	return 0;
}

int tpm_unseal(const char *tcti, const struct tpm_sealed *sealed, struct secret *ret,
	       struct error *e)
{
	_cleanup_tpm_ struct tpm tpm = TPM_NULL;
	int r;

	r = tpm_open(tcti, &tpm, e);
	if (r == 0)
		r = srk_get(&tpm, e);
	if (r == 0)
		r = srk_use_known(&tpm, sealed, e);
	if (r == 0)
		r = session_start(&tpm, e);
	if (r < 0)
		return r;
	return object_open(&tpm, sealed, ret, e);
}

json_t *tpm_sealed_to_json(const struct tpm_sealed *sealed)
{
	json_t *json = json_object();

	if (!json ||
	    json_set_base64(json, "public", sealed->public_area, sealed->public_size) < 0 ||
	    json_set_base64(json, "private", sealed->private_area, sealed->private_size) < 0 ||
	    json_set_base64(json, "srk", sealed->srk, sealed->srk_size) < 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

int tpm_sealed_from_json(const json_t *json, const char *what, struct tpm_sealed *ret,
			 struct error *e)
{
	static const char *const known[] = { "public", "private", "srk", NULL };
	struct tpm_sealed sealed = { .public_size = 0 };
	int r;

	r = json_check_keys(json, what, known, e);
	if (r == 0)
		r = json_get_base64_max(json, what, "public", sealed.public_area,
					sizeof(sealed.public_area), &sealed.public_size, e);
	if (r == 0)
		r = json_get_base64_max(json, what, "private", sealed.private_area,
					sizeof(sealed.private_area), &sealed.private_size, e);
	if (r == 0)
		r = json_get_base64_max(json, what, "srk", sealed.srk, sizeof(sealed.srk),
					&sealed.srk_size, e);
	if (r < 0)
		return r;
	*ret = sealed;
	return 0;
}
