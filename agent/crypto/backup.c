// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto/backup.h"

#include <errno.h>
#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "crypto/kdf.h"

#define SALT_SIZE	16
#define JSON_SIZE_MAX	((size_t) 1024)

static const char what[] = "backup's content";

static void cleanup_p12(PKCS12 **p12)
{
	PKCS12_free(*p12);
}

static void cleanup_p7s(STACK_OF(PKCS7) **p7s)
{
	sk_PKCS7_pop_free(*p7s, PKCS7_free);
}

static void cleanup_bags(STACK_OF(PKCS12_SAFEBAG) **bags)
{
	sk_PKCS12_SAFEBAG_pop_free(*bags, PKCS12_SAFEBAG_free);
}

void backup_content_done(struct backup_content *content)
{
	secret_done(&content->kdk);
}

static int content_to_json(const struct backup_content *content, struct secret *ret, struct error *e)
{
	_cleanup_json_ json_t *json = NULL;
	char created[TIME_TEXT_SIZE];

	time_format(content->created, created);
	json = json_pack("{s:s, s:s}", "name", content->name, "created", created);
	if (!json || json_set_uuid(json, "provider", content->provider) < 0 ||
	    json_set_base64(json, "kdk", content->kdk.data, content->kdk.size) < 0)
		return error_oom(e);
	return json_format_secret(json, ret, e);
}

static int content_from_json(const uint8_t *text, size_t size, struct backup_content *ret,
			     struct error *e)
{
	static const char *const known[] = { "provider", "name", "kdk", "created", NULL };
	_cleanup_backup_ struct backup_content content = { .kdk = SECRET_NULL };
	_cleanup_json_ json_t *json = NULL;
	const char *name;
	int r;

	r = json_parse((const char *) text, size, JSON_SIZE_MAX, what, &json, e);
	if (r < 0)
		return r;
	r = json_check_keys(json, what, known, e);
	if (r < 0)
		return r;
	r = json_get_uuid(json, what, "provider", content.provider, e);
	if (r < 0)
		return r;
	r = json_get_string(json, what, "name", PROVIDER_NAME_MAX, &name, e);
	if (r < 0)
		return r;
	if (!provider_name_valid(name))
		return error_fail(e, EBADMSG, "The %s is not valid: \"name\" is no provider's name", what);
	memcpy(content.name, name, strlen(name) + 1);
	r = json_get_time(json, what, "created", &content.created, e);
	if (r < 0)
		return r;
	r = secret_new(KDK_SIZE, &content.kdk);
	if (r < 0)
		return error_oom(e);
	r = json_get_base64(json, what, "kdk", content.kdk.data, KDK_SIZE, e);
	if (r < 0)
		return r;
	*ret = content;
	content.kdk = SECRET_NULL;
	return 0;
}

/* One safe, encrypted, holding one secretBag; the bag is id-data (RFC 5652): of
 * the registered types the one that promises nothing about what is inside. */
static STACK_OF(PKCS7) *make_safes(const struct secret *text, const struct secret *password)
{
	_cleanup_(cleanup_bags) STACK_OF(PKCS12_SAFEBAG) *bags = sk_PKCS12_SAFEBAG_new_null();
	STACK_OF(PKCS7) *safes = sk_PKCS7_new_null();
	uint8_t salt[SALT_SIZE];
	PKCS12_SAFEBAG *bag;
	PKCS7 *safe = NULL;

	bag = PKCS12_SAFEBAG_create_secret(NID_pkcs7_data, V_ASN1_OCTET_STRING, text->data,
					   (int) text->size);
	if (!bags || !safes || !bag || sk_PKCS12_SAFEBAG_push(bags, bag) <= 0) {
		PKCS12_SAFEBAG_free(bag);
		goto fail;
	}
	if (getrandom_full(salt, sizeof(salt)) < 0)
		goto fail;
	/* A cipher in the place of a PBE: PBES2, its PRF HMAC-SHA-256. */
	safe = PKCS12_pack_p7encdata(NID_aes_256_cbc, (const char *) password->data,
				     (int) password->size, salt, sizeof(salt),
				     BACKUP_ITERATIONS, bags);
	if (!safe || sk_PKCS7_push(safes, safe) <= 0)
		goto fail;
	return safes;
fail:
	PKCS7_free(safe);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return NULL;
}

int backup_write(const struct backup_content *content, const struct secret *password,
		 uint8_t **ret, size_t *ret_size, struct error *e)
{
	_cleanup_(cleanup_p7s) STACK_OF(PKCS7) *safes = NULL;
	_cleanup_secret_ struct secret text = SECRET_NULL;
	_cleanup_(cleanup_p12) PKCS12 *p12 = NULL;
	_cleanup_free_ uint8_t *der = NULL;
	uint8_t salt[SALT_SIZE], *at;
	int r, size;

	if (password->size == 0 || password->size > PASSWORD_MAX)
		return error_usage(e, "A backup's password has 1 to %zu bytes", PASSWORD_MAX);
	r = content_to_json(content, &text, e);
	if (r < 0)
		return r;

	safes = make_safes(&text, password);
	if (safes)
		p12 = PKCS12_add_safes(safes, 0);
	if (!p12 || getrandom_full(salt, sizeof(salt)) < 0 ||
	    PKCS12_set_mac(p12, (const char *) password->data, (int) password->size, salt,
			   sizeof(salt), BACKUP_ITERATIONS, EVP_sha256()) != 1)
		goto fail;
	erase_stack();
	size = i2d_PKCS12(p12, NULL);
	if (size <= 0 || (size_t) size > BACKUP_SIZE_MAX)
		goto fail;
	der = at = malloc((size_t) size);
	if (!der || i2d_PKCS12(p12, &at) != size)
		goto fail;
	*ret = TAKE_PTR(der);
	*ret_size = (size_t) size;
	return 0;
fail:
	erase_stack();
	ERR_clear_error();
	return error_fail(e, EIO, "Cannot make a backup of provider %s: OpenSSL's PKCS#12 code failed",
			  content->name);
}

static bool iterations_in_bounds(const ASN1_INTEGER *iterations)
{
	int64_t n;

	return ASN1_INTEGER_get_int64(&n, iterations) == 1 &&
	       n >= BACKUP_ITERATIONS && n <= BACKUP_ITERATIONS_MAX;
}

static bool mac_is_ours(PKCS12 *p12)
{
	const ASN1_INTEGER *iterations = NULL;
	const X509_ALGOR *alg = NULL;
	const ASN1_OBJECT *oid;

	PKCS12_get0_mac(NULL, &alg, NULL, &iterations, p12);
	if (!alg || !iterations)
		return false;
	X509_ALGOR_get0(&oid, NULL, NULL, alg);
	return OBJ_obj2nid(oid) == NID_sha256 && iterations_in_bounds(iterations);
}

static bool derivation_is_ours(const X509_ALGOR *function)
{
	PBKDF2PARAM *param;
	bool ours;

	if (OBJ_obj2nid(function->algorithm) != NID_id_pbkdf2 || !function->parameter)
		return false;
	param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), function->parameter);
	if (!param)
		return false;
	ours = param->prf && OBJ_obj2nid(param->prf->algorithm) == NID_hmacWithSHA256 &&
	       iterations_in_bounds(param->iter);
	PBKDF2PARAM_free(param);
	return ours;
}

static bool encryption_is_ours(const PKCS7 *safe)
{
	const X509_ALGOR *alg;
	PBE2PARAM *param;
	bool ours;

	if (!PKCS7_type_is_encrypted(safe) || !safe->d.encrypted || !safe->d.encrypted->enc_data)
		return false;
	alg = safe->d.encrypted->enc_data->algorithm;
	if (OBJ_obj2nid(alg->algorithm) != NID_pbes2 || !alg->parameter)
		return false;
	param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), alg->parameter);
	if (!param)
		return false;
	ours = OBJ_obj2nid(param->encryption->algorithm) == NID_aes_256_cbc &&
	       derivation_is_ours(param->keyfunc);
	PBE2PARAM_free(param);
	return ours;
}

static int not_ours(struct error *e, const char *why)
{
	ERR_clear_error();
	return error_fail(e, EBADMSG, "This is not a backup of a native provider, or it is damaged: %s",
			  why);
}

static int decrypt(PKCS7 *safe, const struct secret *password, struct backup_content *ret,
		   struct error *e)
{
	_cleanup_(cleanup_bags) STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	const PKCS12_SAFEBAG *bag;
	const ASN1_TYPE *value;

	bags = PKCS12_unpack_p7encdata(safe, (const char *) password->data, (int) password->size);
	if (!bags || sk_PKCS12_SAFEBAG_num(bags) != 1)
		return not_ours(e, "its safe does not hold one bag");
	bag = sk_PKCS12_SAFEBAG_value(bags, 0);
	if (PKCS12_SAFEBAG_get_nid(bag) != NID_secretBag)
		return not_ours(e, "its bag is no secretBag");
	value = PKCS12_SAFEBAG_get0_bag_obj(bag);
	if (!value || value->type != V_ASN1_OCTET_STRING)
		return not_ours(e, "its bag's value is no OCTET STRING");
	return content_from_json(ASN1_STRING_get0_data(value->value.octet_string),
				 (size_t) ASN1_STRING_length(value->value.octet_string), ret, e);
}

int backup_read(const uint8_t *data, size_t size, const struct secret *password,
		struct backup_content *ret, struct error *e)
{
	_cleanup_(cleanup_p7s) STACK_OF(PKCS7) *safes = NULL;
	_cleanup_(cleanup_p12) PKCS12 *p12 = NULL;
	const uint8_t *at = data;
	int r;

	if (size > BACKUP_SIZE_MAX)
		return error_fail(e, EFBIG, "This is not a backup of a native provider: "
				  "larger than %zu bytes", BACKUP_SIZE_MAX);
	if (password->size == 0 || password->size > PASSWORD_MAX)
		return error_usage(e, "A backup's password has 1 to %zu bytes", PASSWORD_MAX);

	p12 = d2i_PKCS12(NULL, &at, (long) size);
	if (!p12 || at != data + size)
		return not_ours(e, "no PKCS#12 file, or cut short");
	if (!mac_is_ours(p12))
		return not_ours(e, "its MAC is not HMAC-SHA-256 with 600000 to 10000000 iterations");
	safes = PKCS12_unpack_authsafes(p12);
	if (!safes || sk_PKCS7_num(safes) != 1)
		return not_ours(e, "it does not hold one safe");
	if (!encryption_is_ours(sk_PKCS7_value(safes, 0)))
		return not_ours(e, "it is not encrypted by AES-256 with PBKDF2-HMAC-SHA-256 of 600000 "
				"to 10000000 iterations");

	if (PKCS12_verify_mac(p12, (const char *) password->data, (int) password->size) != 1) {
		ERR_clear_error();
		erase_stack();
		return error_fail(e, EKEYREJECTED, "The password does not open this backup: wrong "
				  "password, or the file was altered");
	}
	r = decrypt(sk_PKCS7_value(safes, 0), password, ret, e);
	erase_stack();
	return r;
}
