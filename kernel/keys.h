/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_KEYS_H
#define _VMCRYPT_KEYS_H

#include <linux/crypto.h>
#include <linux/device-mapper.h>
#include <linux/dm-ioctl.h>
#include <linux/list.h>
#include <linux/percpu-refcount.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>

#include "uapi/vmcrypt.h"

struct crypto_skcipher;
struct vmcrypt_target;

/**
 * struct vmcrypt_key - one DEK and everything that uses it
 * @users: who is inside the cipher; alive exactly while @state is loaded
 * @tfm: the key schedule, the one copy of the key; valid for a user
 * @dek: its name
 * @bits: 256 or 512
 * @serial: pairs the log lines of its creation and destruction; order of dumps
 * @state: changed by set_state() alone
 * @nr_targets: length of @targets
 * @targets: targets that name the key, those of inactive tables too
 * @node: in the list of all keys
 * @destroy: destroys the key schedule when the last user has left
 * @expiry: ends a key that was loaded ahead of a target that never came
 * @driver: driver of @tfm; a key that comes back gets the same one, because the
 *	bios of its targets have room for that one's request
 * @crypt_size: bytes of struct vmcrypt_crypt with that request; set once
 *
 * All but @users and @tfm is under the lock of keys.c.
 */
struct vmcrypt_key {
	struct percpu_ref users;
	struct crypto_skcipher *tfm;

	uuid_t dek;
	u32 bits;
	u32 serial;
	enum vmcrypt_key_state state;
	u32 nr_targets;
	struct list_head targets;
	struct list_head node;
	struct work_struct destroy;
	struct delayed_work expiry;
	char driver[CRYPTO_MAX_ALG_NAME];
	unsigned int crypt_size;
};

/**
 * struct vmcrypt_key_info - what may be said of a key
 * @serial: where a dump goes on after it
 * @dek: its name
 * @bits: 256 or 512
 * @state: its state
 * @targets: targets that name it
 */
struct vmcrypt_key_info {
	u32 serial;
	uuid_t dek;
	u32 bits;
	enum vmcrypt_key_state state;
	u32 targets;
};

/**
 * struct vmcrypt_disk_info - what may be said of a target of a live table
 * @serial: where a dump goes on after it
 * @name: mapped device's name
 * @dev: mapped device's number
 * @dek: the key it uses
 * @state: that key's state
 * @sector_size: bytes
 * @sectors: length, in units of 512 bytes
 * @inflight: I/Os begun and not ended
 * @queued: I/Os held for want of the key
 * @reads: reads ended
 * @writes: writes ended
 * @errors: reads and writes that ended in an error
 */
struct vmcrypt_disk_info {
	u32 serial;
	char name[DM_NAME_LEN];
	dev_t dev;
	uuid_t dek;
	enum vmcrypt_key_state state;
	u32 sector_size;
	u64 sectors;
	u32 inflight;
	u32 queued;
	u64 reads;
	u64 writes;
	u64 errors;
};

/**
 * vmcrypt_key_enter() - begin to use the key schedule
 * @key: the key
 *
 * Any context. Return: false when the key is not loaded, or no longer.
 */
static inline bool vmcrypt_key_enter(struct vmcrypt_key *key)
{
	if (unlikely(!percpu_ref_tryget_live(&key->users)))
		return false;
	smp_rmb();	/* pairs with the smp_wmb() in make_usable() */
	return true;
}

/**
 * vmcrypt_key_leave() - the key schedule is not used any more
 * @key: the key
 */
static inline void vmcrypt_key_leave(struct vmcrypt_key *key)
{
	percpu_ref_put(&key->users);
}

/**
 * vmcrypt_key_usable() - would vmcrypt_key_enter() be let in now?
 * @key: the key
 */
static inline bool vmcrypt_key_usable(struct vmcrypt_key *key)
{
	return !percpu_ref_is_dying(&key->users);
}

int vmcrypt_key_attach(struct vmcrypt_target *vt, const uuid_t *dek);
void vmcrypt_key_detach(struct vmcrypt_target *vt);
void vmcrypt_key_target_live(struct vmcrypt_target *vt);

int vmcrypt_key_set(const uuid_t *dek, const u8 *raw, u32 bits);
int vmcrypt_key_wipe(const uuid_t *dek, bool force);
int vmcrypt_key_find(const uuid_t *dek, struct vmcrypt_key_info *ret);
bool vmcrypt_key_next(u32 serial, struct vmcrypt_key_info *ret);
int vmcrypt_disk_find(const char *name, struct vmcrypt_disk_info *ret);
bool vmcrypt_disk_next(u32 serial, struct vmcrypt_disk_info *ret);
unsigned int vmcrypt_keys_generation(void);

int vmcrypt_keys_init(void);
void vmcrypt_keys_exit(void);

#endif /* _VMCRYPT_KEYS_H */
