/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_KEYS_H
#define _VMCRYPT_KEYS_H

#include <linux/list.h>
#include <linux/mutex.h>
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
 *
 * All but @users and @tfm is under vmcrypt_keys_lock.
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
unsigned int vmcrypt_keys_generation(void);

/* What inventory.c reads, under the lock; both lists are in order of serial. */
extern struct mutex vmcrypt_keys_lock;
extern struct list_head vmcrypt_keys;		/* vmcrypt_key.node */
extern struct list_head vmcrypt_targets;	/* vmcrypt_target.all */

unsigned int vmcrypt_lock_keys(void);
void vmcrypt_unlock_keys(unsigned int noio);
struct vmcrypt_key *vmcrypt_key_lookup(const uuid_t *dek);
const char *vmcrypt_target_name(struct vmcrypt_target *vt);

int vmcrypt_keys_init(void);
void vmcrypt_keys_close(void);
void vmcrypt_keys_exit(void);

#endif /* _VMCRYPT_KEYS_H */
