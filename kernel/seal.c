// SPDX-License-Identifier: GPL-2.0-only
/*
 * How a DEK crosses netlink: sealed by X25519 (RFC 7748) and ChaCha20-Poly1305
 * (RFC 8439) for a one-use key pair of the kernel's, because a netlink tap sees
 * every message. uapi/vmcrypt.h has the construction.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "seal.h"

#include <crypto/chacha20poly1305.h>
#include <crypto/curve25519.h>
#include <crypto/sha2.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#define LABEL_LEN	(sizeof(VMCRYPT_KEY_SEAL_LABEL) - 1)
#define LIFETIME	(VMCRYPT_SEAL_LIFETIME_S * HZ)

/**
 * struct seal - a prepared key pair
 * @node: in the list, oldest first
 * @id: its number, never 0
 * @expires: jiffies
 * @secret: the private half; freed by kfree_sensitive() alone
 * @public: the public half
 */
struct seal {
	struct list_head node;
	u32 id;
	unsigned long expires;
	u8 secret[CURVE25519_KEY_SIZE];
	u8 public[CURVE25519_KEY_SIZE];
};

static DEFINE_MUTEX(seals_lock);
static LIST_HEAD(seals);
static unsigned int nr_seals;
static u32 last_id;

static void expire_work(struct work_struct *work);
static DECLARE_DELAYED_WORK(expiry, expire_work);

/* Must hold seals_lock. */
static void wipe_seal(struct seal *seal)
{
	lockdep_assert_held(&seals_lock);
	list_del(&seal->node);
	nr_seals--;
	kfree_sensitive(seal);	/* the private key dies: expired, or module unload */
}

/* Must hold seals_lock. */
static void wipe_expired(void)
{
	struct seal *seal, *next;

	lockdep_assert_held(&seals_lock);
	list_for_each_entry_safe(seal, next, &seals, node) {
		if (time_before(jiffies, seal->expires)) {
			schedule_delayed_work(&expiry, seal->expires - jiffies);
			return;
		}
		wipe_seal(seal);
	}
}

static void expire_work(struct work_struct *work)
{
	mutex_lock(&seals_lock);
	wipe_expired();
	mutex_unlock(&seals_lock);
}

/* Must hold seals_lock. */
static int add_seal(struct seal *seal)
{
	lockdep_assert_held(&seals_lock);
	wipe_expired();
	if (nr_seals >= VMCRYPT_SEALS_MAX)
		return -EAGAIN;
	if (!++last_id)
		++last_id;
	seal->id = last_id;
	seal->expires = jiffies + LIFETIME;
	list_add_tail(&seal->node, &seals);
	nr_seals++;
	if (list_is_singular(&seals))
		mod_delayed_work(system_wq, &expiry, LIFETIME);
	return 0;
}

/**
 * vmcrypt_seal_prepare() - make a one-use key pair
 * @ret_id: its number
 * @ret_public: its public half
 *
 * Return: 0, -EAGAIN when VMCRYPT_SEALS_MAX are waiting, -ENOMEM, -ERESTARTSYS
 * when a signal ends the wait for the kernel's first randomness.
 */
int vmcrypt_seal_prepare(u32 *ret_id, u8 ret_public[VMCRYPT_PUBLIC_KEY_LEN])
{
	struct seal *seal;
	int r;

	r = wait_for_random_bytes();
	if (r)
		return r;
	seal = kzalloc(sizeof(*seal), GFP_KERNEL);
	if (!seal)
		return -ENOMEM;
	do {
		curve25519_generate_secret(seal->secret);
	} while (!curve25519_generate_public(seal->public, seal->secret));

	mutex_lock(&seals_lock);
	r = add_seal(seal);
	if (!r) {
		*ret_id = seal->id;
		memcpy(ret_public, seal->public, VMCRYPT_PUBLIC_KEY_LEN);
	}
	mutex_unlock(&seals_lock);
	if (r)
		kfree_sensitive(seal);	/* the private key dies unused */
	return r;
}

/* Takes the seal out, whatever becomes of it: it can be used once. */
static struct seal *take_seal(u32 id)
{
	struct seal *seal, *found = NULL;

	mutex_lock(&seals_lock);
	wipe_expired();
	list_for_each_entry(seal, &seals, node) {
		if (seal->id != id)
			continue;
		list_del(&seal->node);
		nr_seals--;
		found = seal;
		break;
	}
	mutex_unlock(&seals_lock);
	return found;
}

/* Derives the key that seals; false for a peer's point of low order. */
static bool seal_key(const struct seal *seal, const u8 peer[CURVE25519_KEY_SIZE],
		     u8 ret[CHACHA20POLY1305_KEY_SIZE])
{
	u8 input[LABEL_LEN + 3 * CURVE25519_KEY_SIZE];
	u8 *shared = input + LABEL_LEN;
	bool ok;

	memcpy(input, VMCRYPT_KEY_SEAL_LABEL, LABEL_LEN);
	ok = curve25519(shared, seal->secret, peer);
	memcpy(shared + CURVE25519_KEY_SIZE, seal->public, CURVE25519_KEY_SIZE);
	memcpy(shared + 2 * CURVE25519_KEY_SIZE, peer, CURVE25519_KEY_SIZE);
	sha256(input, sizeof(input), ret);
	memzero_explicit(input, sizeof(input));	/* held the shared secret */
	return ok;
}

/**
 * vmcrypt_seal_open() - open a sealed DEK
 * @id: of the prepared key pair, which is used up
 * @peer: the sender's public key
 * @dek: additional data: the key's name
 * @bits: additional data: its size in bits
 * @sealed: the DEK, encrypted, and the tag
 * @sealed_size: bytes in @sealed, @bits / 8 + VMCRYPT_SEAL_TAG_LEN
 * @ret_raw: where the DEK goes, @bits / 8 bytes; the caller's to erase, on
 *	failure too
 *
 * Return: 0, -ENOENT when there is no such key pair, -EBADMSG.
 */
int vmcrypt_seal_open(u32 id, const u8 peer[VMCRYPT_PUBLIC_KEY_LEN], const uuid_t *dek,
		      u32 bits, const u8 *sealed, unsigned int sealed_size, u8 *ret_raw)
{
	struct {
		uuid_t dek;
		__le32 bits;
	} __packed ad;
	u8 key[CHACHA20POLY1305_KEY_SIZE];
	struct seal *seal = take_seal(id);
	bool ok;

	if (!seal)
		return -ENOENT;

	uuid_copy(&ad.dek, dek);
	ad.bits = cpu_to_le32(bits);
	ok = seal_key(seal, peer, key);
	ok = ok && chacha20poly1305_decrypt(ret_raw, sealed, sealed_size, (const u8 *)&ad,
					    sizeof(ad), /* nonce= */ 0, key);
	memzero_explicit(key, sizeof(key));	/* opened its one message */
	kfree_sensitive(seal);			/* the private key dies used */
	return ok ? 0 : -EBADMSG;
}

/**
 * vmcrypt_seal_exit() - erase what is prepared
 */
void vmcrypt_seal_exit(void)
{
	struct seal *seal, *next;

	cancel_delayed_work_sync(&expiry);
	mutex_lock(&seals_lock);
	list_for_each_entry_safe(seal, next, &seals, node)
		wipe_seal(seal);
	mutex_unlock(&seals_lock);
}
