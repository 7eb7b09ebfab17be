// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto/box.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "crypto/kdf.h"
#include "crypto/locator.h"
#include "crypto/wrap.h"

#define NONCE_SIZE	12
#define AAD_SIZE_MAX	((size_t) 4096)
#define KEK_AAD_SIZE	(UUID_TEXT_SIZE + KEY_ID_MAX + 1 + UUID_TEXT_SIZE)

static void pkey_freep(EVP_PKEY **k)
{
	EVP_PKEY_free(*k);
}

static void pkey_ctx_freep(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
}

static void cipher_ctx_freep(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

/* OpenSSL keeps private keys of X25519 in the secure heap too. */
static int load_private(const struct secret *private_key, EVP_PKEY **ret)
{
	if (private_key->size != BOX_KEY_SIZE)
		return -EINVAL;
	*ret = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key->data,
					    private_key->size);
	return *ret ? 0 : -ENOMEM;
}

static int derive_public(const struct secret *private_key, uint8_t ret[BOX_KEY_SIZE])
{
	_cleanup_(pkey_freep) EVP_PKEY *key = NULL;
	size_t size = BOX_KEY_SIZE;
	int r;

	r = load_private(private_key, &key);
	if (r < 0)
		return r;
	return EVP_PKEY_get_raw_public_key(key, ret, &size) == 1 && size == BOX_KEY_SIZE ?
		0 : -EIO;
}

int box_public_key(const struct secret *private_key, uint8_t ret[BOX_KEY_SIZE])
{
	uint8_t public_key[BOX_KEY_SIZE];
	int r;

	r = derive_public(private_key, public_key);
	erase_stack();
	if (r == 0)
		memcpy(ret, public_key, BOX_KEY_SIZE);
	return r;
}

/* OpenSSL refuses an all-zero result, which only a point of low order gives. */
static int agree(const struct secret *private_key, const uint8_t peer[BOX_KEY_SIZE],
		 struct secret *out)
{
	_cleanup_(pkey_freep) EVP_PKEY *ours = NULL, *theirs = NULL;
	_cleanup_(pkey_ctx_freep) EVP_PKEY_CTX *ctx = NULL;
	size_t size = BOX_KEY_SIZE;
	int r;

	r = load_private(private_key, &ours);
	if (r < 0)
		return r;
	theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, BOX_KEY_SIZE);
	ctx = EVP_PKEY_CTX_new(ours, NULL);
	if (!theirs || !ctx || EVP_PKEY_derive_init(ctx) != 1)
		return -EIO;
	if (EVP_PKEY_derive_set_peer(ctx, theirs) != 1 ||
	    EVP_PKEY_derive(ctx, out->data, &size) != 1 || size != BOX_KEY_SIZE)
		return -EBADMSG;
	return 0;
}

int box_agree(const struct secret *private_key, const uint8_t peer[BOX_KEY_SIZE],
	      struct secret *ret)
{
	_cleanup_secret_ struct secret shared = SECRET_NULL;
	int r;

	r = secret_new(BOX_KEY_SIZE, &shared);
	if (r == 0)
		r = agree(private_key, peer, &shared);
	erase_stack();
	if (r == 0)
		*ret = secret_take(&shared);
	return r;
}

static const uint8_t zero_nonce[NONCE_SIZE];

static int encrypt(const struct secret *key, const void *aad, int aad_size,
		   const struct secret *plain, uint8_t *ret)
{
	_cleanup_(cipher_ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n, size = (int) plain->size;

	if (!ctx ||
	    EVP_EncryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key->data, zero_nonce) != 1 ||
	    EVP_EncryptUpdate(ctx, NULL, &n, aad, aad_size) != 1 ||
	    EVP_EncryptUpdate(ctx, ret, &n, plain->data, size) != 1 || n != size ||
	    EVP_EncryptFinal_ex(ctx, ret + n, &n) != 1 || n != 0 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, BOX_TAG_SIZE, ret + size) != 1)
		return -EIO;
	return 0;
}

int box_encrypt(const struct secret *key, const void *aad, size_t aad_size,
		const struct secret *plain, uint8_t *ret)
{
	int r;

	if (key->size != BOX_KEY_SIZE || plain->size == 0 || plain->size > BOX_PLAIN_MAX ||
	    aad_size > AAD_SIZE_MAX)
		return -EINVAL;
	r = encrypt(key, aad, (int) aad_size, plain, ret);
	erase_stack();
	return r;
}

static int decrypt(const struct secret *key, const void *aad, int aad_size, const uint8_t *data,
		   struct secret *out)
{
	_cleanup_(cipher_ctx_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t tag[BOX_TAG_SIZE];
	int n, size = (int) out->size;

	memcpy(tag, data + size, sizeof(tag));
	if (!ctx ||
	    EVP_DecryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key->data, zero_nonce) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, BOX_TAG_SIZE, tag) != 1 ||
	    EVP_DecryptUpdate(ctx, NULL, &n, aad, aad_size) != 1 ||
	    EVP_DecryptUpdate(ctx, out->data, &n, data, size) != 1 || n != size)
		return -EIO;
	return EVP_DecryptFinal_ex(ctx, out->data + size, &n) == 1 ? 0 : -EBADMSG;
}

/* See the head of box.h. */
static int box_secret(const struct secret *private_key, const uint8_t peer[BOX_KEY_SIZE],
		      const uint8_t sender[BOX_KEY_SIZE], const uint8_t receiver[BOX_KEY_SIZE],
		      const char *label, struct secret *ret)
{
	_cleanup_secret_ struct secret shared = SECRET_NULL;
	uint8_t salt[2 * BOX_KEY_SIZE];
	int r;

	memcpy(salt, sender, BOX_KEY_SIZE);
	memcpy(salt + BOX_KEY_SIZE, receiver, BOX_KEY_SIZE);
	r = box_agree(private_key, peer, &shared);
	if (r < 0)
		return r;
	return kdf_hkdf_sha256(&shared, salt, sizeof(salt), label, strlen(label), BOX_KEY_SIZE,
			       ret);
}

static int seal(const struct secret *ephemeral, const uint8_t peer[BOX_KEY_SIZE],
		const char *label, const void *aad, size_t aad_size, const struct secret *plain,
		struct box *ret)
{
	struct box box = { .size = plain->size + BOX_OVERHEAD };
	_cleanup_secret_ struct secret key = SECRET_NULL;
	int r;

	if (plain->size == 0 || plain->size > BOX_PLAIN_MAX)
		return -EINVAL;
	r = box_public_key(ephemeral, box.data);
	if (r == 0)
		r = box_secret(ephemeral, peer, /* sender= */ box.data, /* receiver= */ peer, label,
			       &key);
	if (r == 0)
		r = box_encrypt(&key, aad, aad_size, plain, box.data + BOX_KEY_SIZE);
	if (r == 0)
		*ret = box;
	return r;
}

int box_seal_with(const struct secret *ephemeral, const uint8_t peer[BOX_KEY_SIZE],
		  const char *label, const void *aad, size_t aad_size,
		  const struct secret *plain, struct box *ret, struct error *e)
{
	int r;

	r = seal(ephemeral, peer, label, aad, aad_size, plain, ret);
	if (r == -EBADMSG)
		return error_fail(e, r, "Cannot seal a key: the receiver's public key is of low order, "
				  "which no honest one is: do not trust the receiver");
	if (r < 0)
		return error_fail(e, r, "Cannot seal a key of %zu bytes: %s", plain->size,
				  strerror(-r));
	return 0;
}

int box_seal(const uint8_t peer[BOX_KEY_SIZE], const char *label, const void *aad,
	     size_t aad_size, const struct secret *plain, struct box *ret, struct error *e)
{
	_cleanup_secret_ struct secret ephemeral = SECRET_NULL;
	int r;

	r = secret_random(BOX_KEY_SIZE, &ephemeral);
	if (r < 0)
		return error_fail(e, r, "Cannot seal a key: no ephemeral key: %s", strerror(-r));
	return box_seal_with(&ephemeral, peer, label, aad, aad_size, plain, ret, e);
}

static int open_box(const struct box_key *ours, const char *label, const void *aad,
		    size_t aad_size, const struct box *box, struct secret *ret)
{
	_cleanup_secret_ struct secret key = SECRET_NULL, plain = SECRET_NULL;
	int r;

	if (box->size <= BOX_OVERHEAD || box->size > BOX_SIZE_MAX)
		return -EBADMSG;
	if (aad_size > AAD_SIZE_MAX)
		return -EINVAL;
	r = box_secret(&ours->private_key, /* peer= */ box->data, /* sender= */ box->data,
		       /* receiver= */ ours->public_key, label, &key);
	if (r == 0)
		r = secret_new(box->size - BOX_OVERHEAD, &plain);
	if (r == 0)
		r = decrypt(&key, aad, (int) aad_size, box->data + BOX_KEY_SIZE, &plain);
	erase_stack();
	if (r == 0)
		*ret = secret_take(&plain);
	return r;
}

int box_open(const struct box_key *key, const char *label, const void *aad, size_t aad_size,
	     const struct box *box, struct secret *ret, struct error *e)
{
	int r;

	r = open_box(key, label, aad, aad_size, box, ret);
	if (r == -EBADMSG)
		return error_fail(e, r, "Cannot open a sealed key: it was altered or sealed for somebody "
				  "or something else");
	if (r < 0)
		return error_fail(e, r, "Cannot open a sealed key: %s", strerror(-r));
	return 0;
}

int box_key_new(struct box_key *ret, struct error *e)
{
	_cleanup_box_key_ struct box_key key = BOX_KEY_NULL;
	int r;

	r = secret_random(BOX_KEY_SIZE, &key.private_key);
	if (r == 0)
		r = box_public_key(&key.private_key, key.public_key);
	if (r < 0)
		return error_fail(e, r, "Cannot make a key for sealing: %s", strerror(-r));
	memcpy(ret->public_key, key.public_key, BOX_KEY_SIZE);
	ret->private_key = secret_take(&key.private_key);
	return 0;
}

void box_key_done(struct box_key *key)
{
	if (!key)
		return;
	secret_done(&key->private_key);
	memset(key->public_key, 0, sizeof(key->public_key));
}

/* The UUIDs are of one length, so no two keys have one text. */
static int kek_aad(const uint8_t provider[UUID_SIZE], const char *key_id,
		   const uint8_t host[UUID_SIZE], char ret[KEK_AAD_SIZE], size_t *ret_size,
		   struct error *e)
{
	char provider_text[UUID_TEXT_SIZE], host_text[UUID_TEXT_SIZE];
	int n;

	if (!key_id_valid(key_id))
		return error_fail(e, EINVAL, "Cannot seal or open a KEK: its key id is not valid");
	uuid_format(provider, provider_text);
	uuid_format(host, host_text);
	n = snprintf(ret, KEK_AAD_SIZE, "%s|%s|%s", provider_text, key_id, host_text);
	*ret_size = (size_t) n;
	return 0;
}

int box_seal_kek(const uint8_t peer[BOX_KEY_SIZE], const uint8_t provider[UUID_SIZE],
		 const char *key_id, const uint8_t host[UUID_SIZE], const struct secret *kek,
		 struct box *ret, struct error *e)
{
	char aad[KEK_AAD_SIZE];
	size_t size;
	int r;

	if (kek->size != KEK_SIZE)
		return error_fail(e, EINVAL, "Cannot seal KEK %.128s: it has %zu bytes, not %d", key_id,
				  kek->size, KEK_SIZE);
	r = kek_aad(provider, key_id, host, aad, &size, e);
	if (r < 0)
		return r;
	return box_seal(peer, BOX_KEK_LABEL, aad, size, kek, ret, e);
}

int box_open_kek(const struct box_key *key, const uint8_t provider[UUID_SIZE],
		 const char *key_id, const uint8_t host[UUID_SIZE], const struct box *box,
		 struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	char aad[KEK_AAD_SIZE];
	size_t size;
	int r;

	r = kek_aad(provider, key_id, host, aad, &size, e);
	if (r == 0)
		r = box_open(key, BOX_KEK_LABEL, aad, size, box, &kek, e);
	if (r < 0)
		return r;
	if (kek.size != KEK_SIZE)
		return error_fail(e, EBADMSG, "KEK %.128s was sealed with %zu bytes, not %d", key_id,
				  kek.size, KEK_SIZE);
	*ret = secret_take(&kek);
	return 0;
}

static size_t kdk_aad(const uint8_t provider[UUID_SIZE], const uint8_t host[UUID_SIZE],
		      char ret[2 * UUID_TEXT_SIZE])
{
	char provider_text[UUID_TEXT_SIZE], host_text[UUID_TEXT_SIZE];

	uuid_format(provider, provider_text);
	uuid_format(host, host_text);
	return (size_t)snprintf(ret, 2 * UUID_TEXT_SIZE, "%s|%s", provider_text, host_text);
}

int box_seal_kdk(const uint8_t peer[BOX_KEY_SIZE], const uint8_t provider[UUID_SIZE],
		 const uint8_t host[UUID_SIZE], const struct secret *kdk, struct box *ret,
		 struct error *e)
{
	char aad[2 * UUID_TEXT_SIZE];
	size_t size = kdk_aad(provider, host, aad);

	if (kdk->size != KDK_SIZE)
		return error_fail(e, EINVAL, "Cannot seal a KDK: it has %zu bytes, not %d",
				  kdk->size, KDK_SIZE);
	return box_seal(peer, BOX_KDK_LABEL, aad, size, kdk, ret, e);
}

int box_open_kdk(const struct box_key *key, const uint8_t provider[UUID_SIZE],
		 const uint8_t host[UUID_SIZE], const struct box *box, struct secret *ret,
		 struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	char aad[2 * UUID_TEXT_SIZE];
	size_t size = kdk_aad(provider, host, aad);
	int r = box_open(key, BOX_KDK_LABEL, aad, size, box, &kdk, e);

	if (r < 0)
		return r;
	if (kdk.size != KDK_SIZE)
		return error_fail(e, EBADMSG, "A KDK was sealed with %zu bytes, not %d", kdk.size,
				  KDK_SIZE);
	*ret = secret_take(&kdk);
	return 0;
}
