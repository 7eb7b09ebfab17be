// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/response.h"

#include <openssl/evp.h>

#include "common/cleanup.h"

#define READING "Reading a key from the key server: "

void kmip_key_done(struct kmip_key *key)
{
	secret_done(&key->material);
	*key = (struct kmip_key) { .material = SECRET_NULL };
}

static int take_bytes(const struct ttlv_item *item, struct secret *ret, struct error *e)
{
	const uint8_t *bytes;
	size_t size;
	int r;

	r = ttlv_bytes(item, &bytes, &size, e);
	if (r < 0)
		return r;
	r = secret_copy(bytes, size, ret);
	if (r == -ENOMEM)
		return error_oom(e);
	return r < 0 ? error_fail(e, EBADMSG, READING "it is of %zu bytes; look into the key server's log", size) : 0;
}

/* The key material inside of a Key Value. */
static int get_material(const struct ttlv_item *value, struct secret *ret, struct error *e)
{
	struct ttlv_reader inside;
	struct ttlv_item item;
	int r;

	r = ttlv_enter(value, &inside, e);
	if (r == 0)
		r = ttlv_need(&inside, KMIP_TAG_KEY_MATERIAL, "Key Material", &item, e);
	return r < 0 ? r : take_bytes(&item, ret, e);
}

static int get_wrapping_key(const struct ttlv_item *from, struct kmip_wrapping *ret, struct error *e)
{
	struct ttlv_reader inside, parameters;
	struct ttlv_item item;
	int r;

	r = ttlv_enter(from, &inside, e);
	if (r == 0)
		r = ttlv_need(&inside, KMIP_TAG_UNIQUE_IDENTIFIER, "Unique Identifier", &item, e);
	if (r == 0 && item.type != TTLV_ENUMERATION && item.type != TTLV_INTEGER)
		r = ttlv_text(&item, ret->key_id, sizeof(ret->key_id), e);
	if (r == 0)
		r = ttlv_find(&inside, KMIP_TAG_PARAMETERS, &item, e);
	if (r <= 0)
		return r;
	r = ttlv_enter(&item, &parameters, e);
	if (r == 0)
		r = ttlv_find(&parameters, KMIP_TAG_BLOCK_CIPHER_MODE, &item, e);
	return r <= 0 ? r : ttlv_enumeration(&item, &ret->mode, e);
}

static int get_wrapping(const struct ttlv_item *from, struct kmip_wrapping *ret, struct error *e)
{
	struct kmip_wrapping wrapping = { .mode = 0 };
	struct ttlv_reader inside;
	struct ttlv_item item;
	uint32_t method = 0;
	int r;

	r = ttlv_enter(from, &inside, e);
	if (r == 0)
		r = ttlv_need(&inside, KMIP_TAG_WRAPPING_METHOD, "Wrapping Method", &item, e);
	if (r == 0)
		r = ttlv_enumeration(&item, &method, e);
	if (r < 0)
		return r;
	if (method != KMIP_WRAP_ENCRYPT)
		return error_fail(e, EBADMSG, READING "it is wrapped by method %u, of which vmcrypt knows only 1 (Encrypt)",
				  method);
	r = ttlv_need(&inside, KMIP_TAG_ENCRYPTION_KEY_INFORMATION, "Encryption Key Information", &item, e);
	if (r == 0)
		r = get_wrapping_key(&item, &wrapping, e);
	if (r == 0)
		r = ttlv_find(&inside, KMIP_TAG_ENCODING_OPTION, &item, e);
	if (r > 0)
		r = ttlv_enumeration(&item, &wrapping.encoding, e);
	if (r == 0)
		*ret = wrapping;
	return r;
}

/* A wrapped key with an encoding is one byte string; all others are a structure. */
static int get_value(const struct ttlv_reader *block, struct kmip_key *key, struct error *e)
{
	struct ttlv_item item;
	int r;

	r = ttlv_need(block, KMIP_TAG_KEY_VALUE, "Key Value", &item, e);
	if (r < 0)
		return r;
	if (key->wrapped && key->wrapping.encoding != KMIP_NO_ENCODING)
		return take_bytes(&item, &key->material, e);
	return get_material(&item, &key->material, e);
}

static int get_block(const struct ttlv_reader *block, struct kmip_key *key, struct error *e)
{
	struct ttlv_item item;
	uint32_t format = 0;
	int r;

	r = ttlv_need(block, KMIP_TAG_KEY_FORMAT_TYPE, "Key Format Type", &item, e);
	if (r == 0)
		r = ttlv_enumeration(&item, &format, e);
	if (r < 0)
		return r;
	if (format != KMIP_RAW)
		return error_fail(e, EBADMSG, READING "it is in format %u, not 1 (Raw); store it raw on the key server",
				  format);
	r = ttlv_find(block, KMIP_TAG_ALGORITHM, &item, e);
	if (r > 0)
		r = ttlv_enumeration(&item, &key->algorithm, e);
	if (r == 0)
		r = ttlv_find(block, KMIP_TAG_LENGTH, &item, e);
	if (r > 0)
		r = ttlv_integer(&item, &key->length, e);
	if (r == 0)
		r = ttlv_find(block, KMIP_TAG_KEY_WRAPPING_DATA, &item, e);
	if (r > 0) {
		key->wrapped = true;
		r = get_wrapping(&item, &key->wrapping, e);
	}
	return r < 0 ? r : get_value(block, key, e);
}

int kmip_get_key(const struct ttlv_reader *payload, struct kmip_key *ret, struct error *e)
{
	_cleanup_kmip_key_ struct kmip_key key = { .material = SECRET_NULL };
	struct ttlv_reader object, block;
	struct ttlv_item item;
	int r;

	r = ttlv_need(payload, KMIP_TAG_SYMMETRIC_KEY, "Symmetric Key", &item, e);
	if (r == 0)
		r = ttlv_enter(&item, &object, e);
	if (r == 0)
		r = ttlv_need(&object, KMIP_TAG_KEY_BLOCK, "Key Block", &item, e);
	if (r == 0)
		r = ttlv_enter(&item, &block, e);
	if (r == 0)
		r = get_block(&block, &key, e);
	if (r < 0)
		return r;
	/* Of other algorithms the length may count without parity bits. */
	if (!key.wrapped && key.algorithm == KMIP_AES && key.length &&
	    (uint64_t) key.material.size * 8 != (uint64_t) key.length)
		return error_fail(e, EBADMSG, READING "it says %d bits and is of %zu bytes; look into the key server's log",
				  key.length, key.material.size);
	*ret = key;
	key.material = SECRET_NULL;
	return 0;
}

static const EVP_CIPHER *wrap_cipher(uint32_t mode, size_t size)
{
	bool pad = mode == KMIP_AES_KEY_WRAP_PADDING;

	if (!pad && mode != KMIP_NIST_KEY_WRAP)
		return NULL;
	switch (size) {
	case 16:
		return pad ? EVP_aes_128_wrap_pad() : EVP_aes_128_wrap();
	case 24:
		return pad ? EVP_aes_192_wrap_pad() : EVP_aes_192_wrap();
	case 32:
		return pad ? EVP_aes_256_wrap_pad() : EVP_aes_256_wrap();
	default:
		return NULL;
	}
}

static int decrypt(const EVP_CIPHER *cipher, const struct secret *kek, const struct secret *wrapped,
		   struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret plain = SECRET_NULL;
	EVP_CIPHER_CTX *context;
	int n = 0, ok;

	/* OpenSSL writes as much as it reads before it cuts off what it checks. */
	if (secret_new(wrapped->size, &plain) < 0)
		return error_oom(e);
	context = EVP_CIPHER_CTX_new();
	if (!context)
		return error_oom(e);
	EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = EVP_DecryptInit_ex(context, cipher, NULL, kek->data, NULL) == 1 &&
	     EVP_DecryptUpdate(context, plain.data, &n, wrapped->data, (int) wrapped->size) == 1 && n > 0;
	EVP_CIPHER_CTX_free(context);
	erase_stack();
	if (!ok)
		return error_set(e, EKEYREJECTED, EXIT_NO_KEY, 0,
				 "Unwrapping a key from the key server: it does not open; it was wrapped with another key, or is damaged");
	secret_shrink(&plain, (size_t) n);
	*ret = secret_take(&plain);
	return 0;
}

/* What was wrapped is an encoded Key Value, whole. */
static int decode_value(const struct secret *plain, struct secret *ret, struct error *e)
{
	struct ttlv_reader r;
	struct ttlv_item item;
	int rc;

	ttlv_reader_init(&r, plain->data, plain->size);
	rc = ttlv_next(&r, &item, e);
	if (rc < 0)
		return rc;
	if (rc == 0 || item.tag != KMIP_TAG_KEY_VALUE || r.left)
		return error_fail(e, EBADMSG, READING "what was wrapped is not one Key Value; look into the key server's log");
	return get_material(&item, ret, e);
}

int kmip_unwrap(const struct secret *kek, const struct kmip_key *key, struct secret *ret,
		struct error *e)
{
	const EVP_CIPHER *cipher = key->wrapped ? wrap_cipher(key->wrapping.mode, kek->size) : NULL;
	_cleanup_secret_ struct secret plain = SECRET_NULL;
	int r;

	if (!cipher)
		return error_fail(e, EINVAL, "Unwrapping a key from the key server: it is not wrapped, or in mode %u, or with a key of %zu bytes; vmcrypt knows 13 (NIST key wrap) and 12 (with padding), with AES",
				  key->wrapping.mode, kek->size);
	/* Checked here, for the cipher takes no more than whole blocks. */
	if (key->material.size < 16 || key->material.size % 8 != 0)
		return error_fail(e, EBADMSG, READING "no wrapped key is of %zu bytes; look into the key server's log",
				  key->material.size);
	r = decrypt(cipher, kek, &key->material, &plain, e);
	if (r < 0)
		return r;
	if (key->wrapping.encoding != KMIP_NO_ENCODING)
		return decode_value(&plain, ret, e);
	*ret = secret_take(&plain);
	return 0;
}
