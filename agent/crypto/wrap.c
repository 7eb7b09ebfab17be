// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto/wrap.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "crypto/gcm.h"
#include "vmcrypt.h"

#define AAD_VERSION 1

/* jansson writes control characters in another way than other libraries do;
 * refusing them keeps one form of the text for everybody. */
static bool text_is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char) *text < 0x20)
			return false;
	return true;
}

static int check_context(const struct wrap_context *context, struct error *e)
{
	if (!text_is_plain(context->vm) || !text_is_plain(context->disk))
		return error_usage(e, "The name of a VM or disk holds a control character: "
				   "choose one without");
	if (context->data_offset > INT64_MAX || context->iv_tweak > INT64_MAX)
		return error_fail(e, EINVAL, "The disk's data offset or IV tweak is beyond 2^63 - 1");
	if (!dek_bits_valid(context->key_bits))
		return error_fail(e, EINVAL, "A DEK of %u bits is not possible", context->key_bits);
	return 0;
}

int wrap_aad(const struct wrap_context *context, char **ret, size_t *ret_size, struct error *e)
{
	char dek[UUID_TEXT_SIZE], provider[UUID_TEXT_SIZE];
	_cleanup_json_ json_t *json = NULL;
	json_error_t why;
	int r;

	r = check_context(context, e);
	if (r < 0)
		return r;
	uuid_format(context->dek, dek);
	uuid_format(context->locator.provider, provider);
	json = json_pack_ex(&why, 0, "{s:s, s:s, s:I, s:s, s:s, s:I, s:s, s:I, s:s, s:s, s:I, s:i, s:s}",
			    "cipher", context->cipher, "created", context->created,
			    "data_offset", (json_int_t) context->data_offset, "dek", dek,
			    "disk", context->disk, "iv_tweak", (json_int_t) context->iv_tweak,
			    "key", context->locator.key_id,
			    "key_bits", (json_int_t) context->key_bits, "provider", provider,
			    "provider_name", context->locator.provider_name,
			    "sector_size", (json_int_t) context->sector_size, "v", AAD_VERSION,
			    "vm", context->vm);
	if (!json && json_error_code(&why) == json_error_invalid_utf8)
		return error_usage(e, "The name of a VM or disk is not UTF-8");
	if (!json)
		return error_oom(e);
	return json_format(json, ret, ret_size, e);
}

/* Whether this is the DEK that the context speaks of. */
static int check_dek(const struct wrap_context *context, const struct secret *dek, struct error *e)
{
	uint8_t uuid[UUID_SIZE];
	int r;

	r = dek_uuid(dek, uuid);
	if (r < 0)
		return error_fail(e, r, "Cannot name the DEK: %s", strerror(-r));
	if (memcmp(uuid, context->dek, sizeof(uuid)) != 0 || dek->size * 8 != context->key_bits)
		return error_set(e, EKEYREJECTED, EXIT_FAILED, VMCRYPT_REASON_HEADER_DAMAGED,
				 "The DEK of disk \"%s\" of VM \"%s\" is not the one that its header "
				 "names", context->disk, context->vm);
	return 0;
}

int wrap_seal(const struct secret *kek, const struct wrap_context *context,
	      const struct secret *dek, struct wrap *ret, struct error *e)
{
	struct wrap wrap = { .locator = context->locator, .ciphertext_size = dek->size };
	_cleanup_free_ char *aad = NULL;
	size_t aad_size;
	int r;

	if (kek->size != KEK_SIZE)
		return error_fail(e, EINVAL, "A KEK of %zu bytes is not possible", kek->size);
	r = check_dek(context, dek, e);
	if (r < 0)
		return r;
	r = wrap_aad(context, &aad, &aad_size, e);
	if (r < 0)
		return r;
	r = getrandom_full(wrap.iv, sizeof(wrap.iv));
	if (r < 0)
		return error_fail(e, r, "Cannot wrap the DEK: %s", strerror(-r));
	r = gcm_seal(kek, wrap.iv, aad, aad_size, dek, wrap.ciphertext, wrap.tag);
	if (r == -ENOMEM)
		return error_oom(e);
	if (r < 0)
		return error_fail(e, r, "Cannot wrap the DEK of disk \"%s\": AES-256-GCM failed",
				  context->disk);
	*ret = wrap;
	return 0;
}

int wrap_open(const struct secret *kek, const struct wrap_context *context,
	      const struct wrap *wrap, struct secret *ret_dek, struct error *e)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	_cleanup_free_ char *aad = NULL;
	char key[LOCATOR_TEXT_SIZE];
	size_t aad_size;
	int r;

	if (kek->size != KEK_SIZE)
		return error_fail(e, EINVAL, "A KEK of %zu bytes is not possible", kek->size);
	if (wrap->ciphertext_size * 8 != context->key_bits ||
	    wrap->ciphertext_size > sizeof(wrap->ciphertext))
		return error_set(e, EBADMSG, EXIT_FAILED, VMCRYPT_REASON_HEADER_DAMAGED,
				 "The wrapped DEK of disk \"%s\" has %zu bytes, not %u: the header was "
				 "altered, restore it", context->disk, wrap->ciphertext_size,
				 context->key_bits / 8);
	r = wrap_aad(context, &aad, &aad_size, e);
	if (r < 0)
		return r;
	r = gcm_open(kek, wrap->iv, aad, aad_size, wrap->ciphertext, wrap->ciphertext_size, wrap->tag,
		     &dek);
	if (r < 0 && r != -EBADMSG)
		return error_fail(e, r, "Cannot unwrap the DEK: no secure memory left");
	if (r < 0) {
		locator_format(&context->locator, key);
		return error_set(e, EBADMSG, EXIT_FAILED, VMCRYPT_REASON_HEADER_DAMAGED,
				 "Cannot unwrap the DEK of disk \"%s\" of VM \"%s\" with key %s: the header "
				 "was altered, or it belongs to another key; restore the header from a backup",
				 context->disk, context->vm, key);
	}
	r = check_dek(context, &dek, e);
	if (r < 0)
		return r;
	*ret_dek = secret_take(&dek);
	return 0;
}

int wrap_to_json(const struct wrap *wrap, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *json = NULL;

	json = json_pack("{s:s, s:s, s:s}", "provider_name", wrap->locator.provider_name,
			 "key", wrap->locator.key_id, "alg", WRAP_ALG);
	if (!json ||
	    json_set_uuid(json, "provider", wrap->locator.provider) < 0 ||
	    json_set_base64(json, "iv", wrap->iv, sizeof(wrap->iv)) < 0 ||
	    json_set_base64(json, "ciphertext", wrap->ciphertext, wrap->ciphertext_size) < 0 ||
	    json_set_base64(json, "tag", wrap->tag, sizeof(wrap->tag)) < 0)
		return error_oom(e);
	*ret = TAKE_PTR(json);
	return 0;
}

static int locator_from_json(const json_t *json, const char *what, struct key_locator *ret,
			     struct error *e)
{
	const char *name, *key_id;
	int r;

	r = json_get_uuid(json, what, "provider", ret->provider, e);
	if (r < 0)
		return r;
	r = json_get_string(json, what, "provider_name", PROVIDER_NAME_MAX, &name, e);
	if (r < 0)
		return r;
	r = json_get_string(json, what, "key", KEY_ID_MAX, &key_id, e);
	if (r < 0)
		return r;
	if (!provider_name_valid(name) || !key_id_valid(key_id))
		return error_fail(e, EBADMSG, "The %s is not valid: it names no possible key", what);
	memcpy(ret->provider_name, name, strlen(name) + 1);
	memcpy(ret->key_id, key_id, strlen(key_id) + 1);
	return 0;
}

int wrap_from_json(const json_t *json, struct wrap *ret, struct error *e)
{
	static const char *const known[] = {
		"provider", "provider_name", "key", "alg", "iv", "ciphertext", "tag", NULL
	};
	static const char what[] = "wrap of the DEK";
	struct wrap wrap = { .ciphertext_size = 0 };
	const char *alg;
	int r;

	if (!json_is_object(json))
		return error_fail(e, EBADMSG, "The %s is not valid: no JSON object", what);
	r = json_check_keys(json, what, known, e);
	if (r < 0)
		return r;
	r = locator_from_json(json, what, &wrap.locator, e);
	if (r < 0)
		return r;
	r = json_get_string(json, what, "alg", 16, &alg, e);
	if (r < 0)
		return r;
	if (strcmp(alg, WRAP_ALG) != 0)
		return error_fail(e, EBADMSG, "The %s is not valid: \"alg\" is not " WRAP_ALG, what);
	r = json_get_base64(json, what, "iv", wrap.iv, sizeof(wrap.iv), e);
	if (r < 0)
		return r;
	r = json_get_base64_max(json, what, "ciphertext", wrap.ciphertext, sizeof(wrap.ciphertext),
				&wrap.ciphertext_size, e);
	if (r < 0)
		return r;
	if (!dek_bits_valid((uint32_t) wrap.ciphertext_size * 8))
		return error_fail(e, EBADMSG, "The %s is not valid: \"ciphertext\" has %zu bytes, not "
				  "32 or 64", what, wrap.ciphertext_size);
	r = json_get_base64(json, what, "tag", wrap.tag, sizeof(wrap.tag), e);
	if (r < 0)
		return r;
	*ret = wrap;
	return 0;
}
