/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sealing of a DEK for its way over netlink (uapi/vmcrypt.h, KEY_SET). */
#ifndef VMCRYPT_DISK_SEAL_H
#define VMCRYPT_DISK_SEAL_H

#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"
#include "vmcrypt.h"

#define SEAL_KEY_MAX	64	/* bytes of DEK */

/** struct sealed_key - a DEK on its way; nothing in it is secret */
struct sealed_key {
	uint8_t public_key[VMCRYPT_PUBLIC_KEY_LEN];	/* our ephemeral one */
	uint8_t data[SEAL_KEY_MAX + VMCRYPT_SEAL_TAG_LEN];
	uint32_t size;					/* bytes used of data */
	uint32_t key_bits;
};

/**
 * seal_key() - seal a DEK for the holder of a one-use X25519 key
 * @kernel_public: PUBLIC_KEY of KEY_PREPARE
 * @dek: UUID that is bound to the sealed key
 * @key: 32 or 64 bytes
 *
 * Makes an ephemeral X25519 key (RFC 7748), whose private half, the shared
 * secret and the sealing key are erased before return. ChaCha20-Poly1305 as in
 * RFC 8439. -EINVAL: other size of key; -EBADMSG: the kernel's key is a point
 * of low order.
 */
int seal_key(const uint8_t kernel_public[VMCRYPT_PUBLIC_KEY_LEN],
	     const uint8_t dek[VMCRYPT_DEK_UUID_LEN], const struct secret *key,
	     struct sealed_key *ret, struct error *e);

/**
 * seal_key_with() - as seal_key(), with an ephemeral private key that is given
 *
 * For known-answer tests and for nothing else: a private key used twice breaks
 * the seal.
 */
int seal_key_with(const struct secret *ephemeral_private,
		  const uint8_t kernel_public[VMCRYPT_PUBLIC_KEY_LEN],
		  const uint8_t dek[VMCRYPT_DEK_UUID_LEN], const struct secret *key,
		  struct sealed_key *ret, struct error *e);

#endif
