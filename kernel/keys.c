// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of the DEKs: absent, loaded, wiping, locked. One object per DEK,
 * shared by all targets that name it.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "keys.h"

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "cipher.h"
#include "dek.h"
#include "io.h"
#include "messages.h"
#include "target.h"
#include "trace.h"

/* How long KEY_SET waits for a wipe of the same key that is under way. */
#define WIPE_PATIENCE	(HZ / 2)

static unsigned int preload_ttl_s = 60;
module_param(preload_ttl_s, uint, 0644);
MODULE_PARM_DESC(preload_ttl_s, "seconds that a key without a target is kept");

DEFINE_MUTEX(vmcrypt_keys_lock);	/* all keys, and which targets use them */
LIST_HEAD(vmcrypt_keys);
LIST_HEAD(vmcrypt_targets);
static u32 last_serial;
static bool closed;			/* the module is going */
static unsigned int generation = 1;	/* of all that a dump shows */

static DECLARE_WAIT_QUEUE_HEAD(destroyed_wait);
static unsigned int nr_destroyed;	/* key schedules, ever */

static struct workqueue_struct *keys_wq;

static const char * const state_names[] = {
	[VMCRYPT_KEY_ABSENT]	= "absent",
	[VMCRYPT_KEY_LOADED]	= "loaded",
	[VMCRYPT_KEY_WIPING]	= "wiping",
	[VMCRYPT_KEY_LOCKED]	= "locked",
};

/* Which state may follow which; one bit a state. */
static const u8 may_follow[] = {
	[VMCRYPT_KEY_ABSENT]	= BIT(VMCRYPT_KEY_LOADED),
	[VMCRYPT_KEY_LOADED]	= BIT(VMCRYPT_KEY_WIPING),
	[VMCRYPT_KEY_WIPING]	= BIT(VMCRYPT_KEY_LOCKED) | BIT(VMCRYPT_KEY_ABSENT),
	[VMCRYPT_KEY_LOCKED]	= BIT(VMCRYPT_KEY_LOADED) | BIT(VMCRYPT_KEY_ABSENT),
};

/**
 * vmcrypt_lock_keys() - take the lock of all keys and their targets
 *
 * Memory that is asked for under it must not wait for I/O: reclaim may be
 * writing to the very disk that is held until its key is set here, or that is
 * suspended until its resume has gone by here.
 *
 * Return: for vmcrypt_unlock_keys().
 */
unsigned int vmcrypt_lock_keys(void)
{
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&vmcrypt_keys_lock);
	return noio;
}

/**
 * vmcrypt_unlock_keys() - release the lock
 * @noio: what vmcrypt_lock_keys() returned
 */
void vmcrypt_unlock_keys(unsigned int noio)
{
	mutex_unlock(&vmcrypt_keys_lock);
	memalloc_noio_restore(noio);
}

/* Must hold vmcrypt_keys_lock. */
static void changed(void)
{
	lockdep_assert_held(&vmcrypt_keys_lock);
	WRITE_ONCE(generation, generation + 1 ? generation + 1 : 1);
}

/* Must hold vmcrypt_keys_lock. */
static u32 next_serial(void)
{
	lockdep_assert_held(&vmcrypt_keys_lock);
	return ++last_serial;
}

/**
 * vmcrypt_target_name() - a mapped device's name as it is now
 * @vt: must hold the keys' lock
 *
 * Return: the last known one when the device is being removed.
 */
const char *vmcrypt_target_name(struct vmcrypt_target *vt)
{
	struct mapped_device *md = dm_table_get_md(vt->ti->table);
	char name[DM_NAME_LEN];

	lockdep_assert_held(&vmcrypt_keys_lock);
	if (!dm_copy_name_and_uuid(md, name, NULL))
		strscpy(vt->name, name, sizeof(vt->name));
	return vt->name;
}

/* The one place where a key's state changes. Must hold vmcrypt_keys_lock. */
static void set_state(struct vmcrypt_key *key, enum vmcrypt_key_state state)
{
	struct vmcrypt_target *vt;

	lockdep_assert_held(&vmcrypt_keys_lock);
	if (WARN_ON_ONCE(!(may_follow[key->state] & BIT(state))))
		return;

	pr_info("key %u, DEK %pUb: %s, was %s\n", key->serial, &key->dek,
		state_names[state], state_names[key->state]);
	trace_vmcrypt_key_state(&key->dek, key->state, state);
	key->state = state;
	changed();

	vmcrypt_notify_key_changed(&key->dek, state);
	list_for_each_entry(vt, &key->targets, of_key)
		if (vt->live)
			vmcrypt_notify_disk_changed(vmcrypt_target_name(vt), &key->dek, state);
}

/**
 * vmcrypt_key_lookup() - find a key
 * @dek: its name; must hold the keys' lock
 */
struct vmcrypt_key *vmcrypt_key_lookup(const uuid_t *dek)
{
	struct vmcrypt_key *key;

	lockdep_assert_held(&vmcrypt_keys_lock);
	list_for_each_entry(key, &vmcrypt_keys, node)
		if (uuid_equal(&key->dek, dek))
			return key;
	return NULL;
}

/* The last user has left; any context. */
static void users_gone(struct percpu_ref *users)
{
	struct vmcrypt_key *key = container_of(users, struct vmcrypt_key, users);

	queue_work(keys_wq, &key->destroy);
}

/* Must hold vmcrypt_keys_lock, the state is loaded. */
static void begin_wipe(struct vmcrypt_key *key)
{
	lockdep_assert_held(&vmcrypt_keys_lock);
	set_state(key, VMCRYPT_KEY_WIPING);
	percpu_ref_kill(&key->users);
}

/* Takes the key off the list; the caller frees it by free_key() without the lock. */
static void unlink_key(struct vmcrypt_key *key)
{
	set_state(key, VMCRYPT_KEY_ABSENT);
	list_del(&key->node);
}

static void free_key(struct vmcrypt_key *key)
{
	cancel_delayed_work_sync(&key->expiry);
	percpu_ref_exit(&key->users);
	pr_debug("key %u destroyed\n", key->serial);
	kfree(key);
}

static void destroy_work(struct work_struct *work)
{
	struct vmcrypt_key *key = container_of(work, struct vmcrypt_key, destroy);
	bool unused;
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	/*
	 * The key dies here: nobody is inside the cipher, nobody gets in any more.
	 * cryptd may hold on to its tfm until its thread has returned from the
	 * last completion; nothing lets us wait for that.
	 */
	crypto_free_skcipher(key->tfm);
	key->tfm = NULL;

	unused = !key->nr_targets;
	if (unused)
		unlink_key(key);
	else
		set_state(key, VMCRYPT_KEY_LOCKED);
	WRITE_ONCE(nr_destroyed, nr_destroyed + 1);
	vmcrypt_unlock_keys(noio);

	wake_up_all(&destroyed_wait);
	if (unused)
		free_key(key);
}

/* A key that was loaded ahead has waited for its target long enough. */
static void expiry_work(struct work_struct *work)
{
	struct vmcrypt_key *key = container_of(to_delayed_work(work), struct vmcrypt_key,
					       expiry);
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	if (!key->nr_targets && key->state == VMCRYPT_KEY_LOADED)
		begin_wipe(key);
	vmcrypt_unlock_keys(noio);
}

/* Must hold vmcrypt_keys_lock. Lets users in; the state is absent or locked. */
static int make_usable(struct vmcrypt_key *key, const u8 *raw)
{
	struct crypto_skcipher *tfm;
	struct vmcrypt_target *vt;

	lockdep_assert_held(&vmcrypt_keys_lock);
	tfm = vmcrypt_cipher_alloc(raw, key->bits / 8);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	key->tfm = tfm;
	smp_wmb();	/* pairs with the smp_rmb() in vmcrypt_key_enter() */
	percpu_ref_reinit(&key->users);
	set_state(key, VMCRYPT_KEY_LOADED);

	list_for_each_entry(vt, &key->targets, of_key)
		vmcrypt_io_release_held(vt);
	return 0;
}

/* Must hold vmcrypt_keys_lock. */
static int add_key(const uuid_t *dek, const u8 *raw, u32 bits)
{
	struct vmcrypt_key *key;
	int r;

	lockdep_assert_held(&vmcrypt_keys_lock);
	key = kzalloc(sizeof(*key), GFP_KERNEL);
	if (!key)
		return -ENOMEM;
	r = percpu_ref_init(&key->users, users_gone,
			    PERCPU_REF_INIT_DEAD | PERCPU_REF_ALLOW_REINIT, GFP_KERNEL);
	if (r)
		goto err_free;

	uuid_copy(&key->dek, dek);
	key->bits = bits;
	key->serial = next_serial();
	key->state = VMCRYPT_KEY_ABSENT;
	INIT_LIST_HEAD(&key->targets);
	INIT_WORK(&key->destroy, destroy_work);
	INIT_DELAYED_WORK(&key->expiry, expiry_work);

	r = make_usable(key, raw);
	if (r)
		goto err_users;
	list_add_tail(&key->node, &vmcrypt_keys);
	/* At least a second: a constructor that has waited for the key needs a moment. */
	queue_delayed_work(keys_wq, &key->expiry,
			   clamp_t(u64, (u64)READ_ONCE(preload_ttl_s) * HZ, HZ, MAX_JIFFY_OFFSET));
	pr_debug("key %u created\n", key->serial);
	return 0;

err_users:
	percpu_ref_exit(&key->users);
err_free:
	kfree(key);
	return r;
}

static int try_set(const uuid_t *dek, const u8 *raw, u32 bits, unsigned int *ret_destroyed)
{
	struct vmcrypt_key *key;
	int r;
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	*ret_destroyed = nr_destroyed;
	key = vmcrypt_key_lookup(dek);
	if (closed)
		r = -ESHUTDOWN;
	else if (!key)
		r = add_key(dek, raw, bits);
	else if (key->state == VMCRYPT_KEY_LOADED)
		r = 0;
	else if (key->state == VMCRYPT_KEY_WIPING)
		r = -EBUSY;
	else
		r = make_usable(key, raw);
	vmcrypt_unlock_keys(noio);
	return r;
}

/**
 * vmcrypt_key_set() - load a DEK
 * @dek: its name, which the caller has checked against the key
 * @raw: the key, @bits / 8 bytes; the caller's to erase
 * @bits: 256 or 512
 *
 * A key that is loaded stays as it is. A wipe of the key that is under way is
 * given WIPE_PATIENCE to end.
 *
 * Return: 0, -EBUSY, -EINTR, -EINVAL for a weak key, -ENOMEM, -EIO, -ESHUTDOWN.
 */
int vmcrypt_key_set(const uuid_t *dek, const u8 *raw, u32 bits)
{
	unsigned long end = jiffies + WIPE_PATIENCE;
	unsigned int seen;
	long left;
	int r;

	while ((r = try_set(dek, raw, bits, &seen)) == -EBUSY) {
		left = (long)(end - jiffies);
		if (left <= 0)
			break;
		left = wait_event_killable_timeout(destroyed_wait,
						   READ_ONCE(nr_destroyed) != seen, left);
		if (left < 0)
			return -EINTR;
	}
	return r;
}

/**
 * vmcrypt_key_wipe() - mark a key for destruction
 * @dek: its name
 * @force: though targets use it
 *
 * Return: 0 when it is wiping or locked, -ENOENT, -EBUSY.
 */
int vmcrypt_key_wipe(const uuid_t *dek, bool force)
{
	struct vmcrypt_key *key;
	int r = 0;
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	key = vmcrypt_key_lookup(dek);
	if (!key)
		r = -ENOENT;
	else if (key->state != VMCRYPT_KEY_LOADED)
		r = 0;
	else if (key->nr_targets && !force)
		r = -EBUSY;
	else
		begin_wipe(key);
	vmcrypt_unlock_keys(noio);
	return r;
}

/**
 * vmcrypt_key_attach() - let a target use a key that is loaded
 * @vt: the target; its key is set on success
 * @dek: the name
 *
 * Return: 0, or -ENOKEY when the key is not loaded.
 */
int vmcrypt_key_attach(struct vmcrypt_target *vt, const uuid_t *dek)
{
	struct vmcrypt_key *key;
	int r = -ENOKEY;
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	key = vmcrypt_key_lookup(dek);
	if (key && key->state == VMCRYPT_KEY_LOADED) {
		vt->key = key;
		vt->serial = next_serial();
		list_add_tail(&vt->of_key, &key->targets);
		list_add_tail(&vt->all, &vmcrypt_targets);
		key->nr_targets++;
		vmcrypt_target_name(vt);
		changed();
		r = 0;
	}
	vmcrypt_unlock_keys(noio);
	return r;
}

/* Waits until a wipe of that key, if there is one, has ended. */
static void await_wipe(const uuid_t *dek)
{
	struct vmcrypt_key *key;
	unsigned int seen;
	bool wiping;
	unsigned int noio;

	for (;;) {
		noio = vmcrypt_lock_keys();
		key = vmcrypt_key_lookup(dek);
		wiping = key && key->state == VMCRYPT_KEY_WIPING && !key->nr_targets;
		seen = nr_destroyed;
		vmcrypt_unlock_keys(noio);
		if (!wiping)
			return;
		wait_event(destroyed_wait, READ_ONCE(nr_destroyed) != seen);
	}
}

/**
 * vmcrypt_key_detach() - a target goes
 * @vt: attached; no I/O of it is left
 *
 * With the last target the key goes; it is gone when this returns.
 */
void vmcrypt_key_detach(struct vmcrypt_target *vt)
{
	struct vmcrypt_key *key = vt->key, *unused = NULL;
	uuid_t dek;
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	uuid_copy(&dek, &key->dek);
	if (vt->live)
		vmcrypt_notify_disk_changed(vmcrypt_target_name(vt), &dek, VMCRYPT_KEY_ABSENT);
	list_del(&vt->of_key);
	list_del(&vt->all);
	vt->key = NULL;
	changed();

	if (!--key->nr_targets) {
		if (key->state == VMCRYPT_KEY_LOADED) {
			begin_wipe(key);
		} else if (key->state == VMCRYPT_KEY_LOCKED) {
			unlink_key(key);
			unused = key;
		}
	}
	vmcrypt_unlock_keys(noio);

	if (unused)
		free_key(unused);
	await_wipe(&dek);
}

/*
 * The table that @vt's one replaces is not live any more, though its targets are
 * destroyed a moment later. Must hold vmcrypt_keys_lock.
 */
static void retire_old_table(const struct vmcrypt_target *vt)
{
	struct vmcrypt_target *old;

	lockdep_assert_held(&vmcrypt_keys_lock);
	list_for_each_entry(old, &vmcrypt_targets, all) {
		if (!old->live || old->ti->table == vt->ti->table ||
		    dm_table_get_md(old->ti->table) != dm_table_get_md(vt->ti->table))
			continue;
		old->live = false;
		if (old->key != vt->key)
			vmcrypt_notify_disk_changed(vmcrypt_target_name(old), &old->key->dek,
						    VMCRYPT_KEY_ABSENT);
	}
}

/**
 * vmcrypt_key_target_live() - a target's table has become live
 * @vt: attached
 */
void vmcrypt_key_target_live(struct vmcrypt_target *vt)
{
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	if (!vt->live) {
		retire_old_table(vt);
		vt->live = true;
		changed();
		vmcrypt_notify_disk_changed(vmcrypt_target_name(vt), &vt->key->dek, vt->key->state);
	}
	vmcrypt_unlock_keys(noio);
}

/**
 * vmcrypt_keys_generation() - changes whenever a dump would show something else
 *
 * Never 0.
 */
unsigned int vmcrypt_keys_generation(void)
{
	return READ_ONCE(generation);
}

/**
 * vmcrypt_keys_init() - begin to hold keys
 *
 * Return: 0 or -ENOMEM.
 */
int vmcrypt_keys_init(void)
{
	keys_wq = alloc_workqueue("vmcrypt-keys", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return keys_wq ? 0 : -ENOMEM;
}

/**
 * vmcrypt_keys_close() - take no key any more, destroy those loaded ahead
 *
 * No target is left. Watchers are told, so the netlink family must be there.
 */
void vmcrypt_keys_close(void)
{
	struct vmcrypt_key *key;
	unsigned int seen, noio;
	bool empty;

	for (;;) {
		noio = vmcrypt_lock_keys();
		closed = true;
		list_for_each_entry(key, &vmcrypt_keys, node)
			if (key->state == VMCRYPT_KEY_LOADED)
				begin_wipe(key);
		empty = list_empty(&vmcrypt_keys);
		seen = nr_destroyed;
		vmcrypt_unlock_keys(noio);
		if (empty)
			break;
		wait_event(destroyed_wait, READ_ONCE(nr_destroyed) != seen);
	}
}

/**
 * vmcrypt_keys_exit() - end what vmcrypt_keys_init() began
 */
void vmcrypt_keys_exit(void)
{
	/* The last destroy_work() may still be on its way out. */
	destroy_workqueue(keys_wq);
}
