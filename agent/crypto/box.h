/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sealing of a key for the holder of an X25519 key (RFC 7748).
 *
 * A box is the sender's ephemeral public key, the ciphertext and the tag of
 * ChaCha20-Poly1305 (RFC 8439):
 *
 *   key              HKDF-SHA256(X25519 shared secret,
 *                                salt = sender's public key || receiver's public key,
 *                                info = label)
 *   nonce            12 bytes of zero: the ephemeral key, and so this one, is
 *                    used once
 *   additional data  the caller's
 *
 * A box says nothing about who made it: where that matters, it travels inside a
 * channel that does. The kernel's KEY_SET has another derivation of the key
 * (disk/seal.h) and shares the two steps below it.
 */
#ifndef VMCRYPT_CRYPTO_BOX_H
#define VMCRYPT_CRYPTO_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"

/** BOX_KEY_SIZE - bytes of a key of X25519, private, public or shared */
#define BOX_KEY_SIZE	32
#define BOX_TAG_SIZE	16
/** BOX_PLAIN_MAX - bytes of the largest key that is sealed */
#define BOX_PLAIN_MAX	64
/** BOX_OVERHEAD - bytes by which a box is larger than what it holds */
#define BOX_OVERHEAD	(BOX_KEY_SIZE + BOX_TAG_SIZE)
#define BOX_SIZE_MAX	(BOX_PLAIN_MAX + BOX_OVERHEAD)

#define BOX_KEK_LABEL	"vmcrypt-kek-seal-v1"
#define BOX_KDK_LABEL	"vmcrypt-kdk-seal-v1"

/**
 * struct box_key - the receiver's key pair, for as long as one connection lives
 * @private_key: BOX_KEY_SIZE bytes
 * @public_key: no secret
 */
struct box_key {
	struct secret private_key;
	uint8_t public_key[BOX_KEY_SIZE];
};

#define BOX_KEY_NULL ((struct box_key) { .private_key = SECRET_NULL })

/** box_key_new() - from getrandom(2). @ret: written only on success */
int box_key_new(struct box_key *ret, struct error *e);

/** box_key_done() - erase; what was sealed for it opens for nobody any more */
void box_key_done(struct box_key *key);

#define _cleanup_box_key_ __attribute__((cleanup(box_key_done)))

/**
 * struct box - a sealed key on its way; nothing in it is secret
 * @data: ephemeral public key, ciphertext, tag
 * @size: bytes used of @data
 */
struct box {
	uint8_t data[BOX_SIZE_MAX];
	size_t size;
};

/**
 * box_seal() - seal a key
 * @peer: the receiver's public key
 * @label: says what for; ends in NUL
 * @aad: bound to the box, and to be said again on opening
 * @plain: 1..BOX_PLAIN_MAX bytes
 * @ret: written only on success
 *
 * Return: 0; -EINVAL (size), -EBADMSG (@peer is a point of low order), -ENOMEM, -EIO.
 */
int box_seal(const uint8_t peer[BOX_KEY_SIZE], const char *label, const void *aad,
	     size_t aad_size, const struct secret *plain, struct box *ret, struct error *e);

/**
 * box_seal_with() - as box_seal(), with an ephemeral private key that is given
 *
 * For known-answer tests and for nothing else: a private key used twice breaks
 * the seal.
 */
int box_seal_with(const struct secret *ephemeral, const uint8_t peer[BOX_KEY_SIZE],
		  const char *label, const void *aad, size_t aad_size,
		  const struct secret *plain, struct box *ret, struct error *e);

/**
 * box_open() - the reverse
 * @ret: the caller owns it; written only on success
 *
 * Return: 0; -EBADMSG (altered, for another key, label or additional data, or of
 * a size that no box has), -ENOMEM.
 */
int box_open(const struct box_key *key, const char *label, const void *aad, size_t aad_size,
	     const struct box *box, struct secret *ret, struct error *e);

/**
 * box_seal_kek() - seal a KEK for a host's connection
 * @peer: the public key that the host said hello with
 * @provider: the provider's UUID
 * @key_id: as key_id_valid() has it
 * @host: the host's UUID
 * @kek: KEK_SIZE bytes
 *
 * box_seal() with BOX_KEK_LABEL and "PROVIDER|KEY-ID|HOST" as additional data,
 * the UUIDs in text: a KEK cannot be passed off as another one.
 */
int box_seal_kek(const uint8_t peer[BOX_KEY_SIZE], const uint8_t provider[UUID_SIZE],
		 const char *key_id, const uint8_t host[UUID_SIZE], const struct secret *kek,
		 struct box *ret, struct error *e);

/** box_open_kek() - the reverse; -EBADMSG also for what is no KEK_SIZE bytes */
int box_open_kek(const struct box_key *key, const uint8_t provider[UUID_SIZE],
		 const char *key_id, const uint8_t host[UUID_SIZE], const struct box *box,
		 struct secret *ret, struct error *e);

/**
 * box_seal_kdk() - the same for the KDK of a native provider
 *
 * BOX_KDK_LABEL, and "PROVIDER|HOST" as additional data: neither a KDK nor a KEK
 * can be passed off as the other.
 */
int box_seal_kdk(const uint8_t peer[BOX_KEY_SIZE], const uint8_t provider[UUID_SIZE],
		 const uint8_t host[UUID_SIZE], const struct secret *kdk, struct box *ret,
		 struct error *e);

/** box_open_kdk() - the reverse; -EBADMSG also for what is no KDK_SIZE bytes */
int box_open_kdk(const struct box_key *key, const uint8_t provider[UUID_SIZE],
		 const uint8_t host[UUID_SIZE], const struct box *box, struct secret *ret,
		 struct error *e);

/**
 * box_public_key() - the public half of a private key
 *
 * Return: 0; -EINVAL (size), -ENOMEM, -EIO.
 */
int box_public_key(const struct secret *private_key, uint8_t ret[BOX_KEY_SIZE]);

/**
 * box_agree() - X25519
 * @ret: the shared secret; the caller owns it
 *
 * Return: 0; -EINVAL (size), -EBADMSG (@peer is a point of low order), -ENOMEM, -EIO.
 */
int box_agree(const struct secret *private_key, const uint8_t peer[BOX_KEY_SIZE],
	      struct secret *ret);

/**
 * box_encrypt() - ChaCha20-Poly1305 with a nonce of zero
 * @key: BOX_KEY_SIZE bytes, used for this one encryption
 * @ret: @plain->size + BOX_TAG_SIZE bytes
 *
 * Return: 0; -EINVAL (size of @key or @plain), -EIO.
 */
int box_encrypt(const struct secret *key, const void *aad, size_t aad_size,
		const struct secret *plain, uint8_t *ret);

#endif
