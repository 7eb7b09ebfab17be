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
#include <linux/slab.h>
#include <linux/wait.h>

#include "cipher.h"
#include "dek.h"
#include "io.h"
#include "messages.h"
#include "stats.h"
#include "target.h"
#include "trace.h"

/* How long KEY_SET waits for a wipe of the same key that is under way. */
#define WIPE_PATIENCE	HZ

static unsigned int preload_ttl_s = 60;
module_param(preload_ttl_s, uint, 0644);
MODULE_PARM_DESC(preload_ttl_s, "seconds that a key without a target is kept");

static DEFINE_MUTEX(keys_lock);
static LIST_HEAD(keys);			/* vmcrypt_key.node, by serial */
static LIST_HEAD(all_targets);		/* vmcrypt_target.all, by serial */
static u32 last_serial;
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

/* Must hold keys_lock. */
static void changed(void)
{
	lockdep_assert_held(&keys_lock);
	WRITE_ONCE(generation, generation + 1 ? generation + 1 : 1);
}

/* Must hold keys_lock. */
static u32 next_serial(void)
{
	lockdep_assert_held(&keys_lock);
	return ++last_serial;
}

/*
 * The name as it is now; the last known one when the device is being removed.
 * Must hold keys_lock.
 */
static const char *target_name(struct vmcrypt_target *vt)
{
	struct mapped_device *md = dm_table_get_md(vt->ti->table);
	char name[DM_NAME_LEN];

	lockdep_assert_held(&keys_lock);
	if (!dm_copy_name_and_uuid(md, name, NULL))
		strscpy(vt->name, name, sizeof(vt->name));
	return vt->name;
}

/* The one place where a key's state changes. Must hold keys_lock. */
static void set_state(struct vmcrypt_key *key, enum vmcrypt_key_state state)
{
	struct vmcrypt_target *vt;

	lockdep_assert_held(&keys_lock);
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
			vmcrypt_notify_disk_changed(target_name(vt), &key->dek, state);
}

/* Must hold keys_lock. */
static struct vmcrypt_key *find(const uuid_t *dek)
{
	struct vmcrypt_key *key;

	lockdep_assert_held(&keys_lock);
	list_for_each_entry(key, &keys, node)
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

/* Must hold keys_lock, the state is loaded. */
static void begin_wipe(struct vmcrypt_key *key)
{
	lockdep_assert_held(&keys_lock);
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

	mutex_lock(&keys_lock);
	/* The key dies here: nobody is inside the cipher, nobody gets in any more. */
	crypto_free_skcipher(key->tfm);
	key->tfm = NULL;

	unused = !key->nr_targets;
	if (unused)
		unlink_key(key);
	else
		set_state(key, VMCRYPT_KEY_LOCKED);
	WRITE_ONCE(nr_destroyed, nr_destroyed + 1);
	mutex_unlock(&keys_lock);

	wake_up_all(&destroyed_wait);
	if (unused)
		free_key(key);
}

/* A key that was loaded ahead has waited for its target long enough. */
static void expiry_work(struct work_struct *work)
{
	struct vmcrypt_key *key = container_of(to_delayed_work(work), struct vmcrypt_key,
					       expiry);

	mutex_lock(&keys_lock);
	if (!key->nr_targets && key->state == VMCRYPT_KEY_LOADED)
		begin_wipe(key);
	mutex_unlock(&keys_lock);
}

/* Must hold keys_lock. Lets users in; the state is absent or locked. */
static int make_usable(struct vmcrypt_key *key, const u8 *raw)
{
	struct crypto_skcipher *tfm;
	struct vmcrypt_target *vt;

	lockdep_assert_held(&keys_lock);
	tfm = vmcrypt_cipher_alloc(key->driver[0] ? key->driver : NULL, raw, key->bits / 8);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);

	if (!key->driver[0]) {
		strscpy(key->driver, vmcrypt_cipher_driver(tfm), sizeof(key->driver));
		key->crypt_size = vmcrypt_crypt_size(tfm);
	} else if (vmcrypt_crypt_size(tfm) > key->crypt_size) {
		/* The driver's module has been replaced by one that needs more. */
		crypto_free_skcipher(tfm);
		return -EOVERFLOW;
	}
	key->tfm = tfm;
	smp_wmb();	/* pairs with the smp_rmb() in vmcrypt_key_enter() */
	percpu_ref_reinit(&key->users);
	set_state(key, VMCRYPT_KEY_LOADED);

	list_for_each_entry(vt, &key->targets, of_key)
		vmcrypt_io_release_held(vt);
	return 0;
}

/* Must hold keys_lock. */
static int add_key(const uuid_t *dek, const u8 *raw, u32 bits)
{
	struct vmcrypt_key *key;
	int r;

	lockdep_assert_held(&keys_lock);
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
	list_add_tail(&key->node, &keys);
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

	mutex_lock(&keys_lock);
	*ret_destroyed = nr_destroyed;
	key = find(dek);
	if (!key)
		r = add_key(dek, raw, bits);
	else if (key->state == VMCRYPT_KEY_LOADED)
		r = 0;
	else if (key->state == VMCRYPT_KEY_WIPING)
		r = -EBUSY;
	else
		r = make_usable(key, raw);
	mutex_unlock(&keys_lock);
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
 * Return: 0, -EBUSY, -EINTR, -EINVAL for a weak key, -ENOMEM, or the crypto
 * API's error.
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

	mutex_lock(&keys_lock);
	key = find(dek);
	if (!key)
		r = -ENOENT;
	else if (key->state != VMCRYPT_KEY_LOADED)
		r = 0;
	else if (key->nr_targets && !force)
		r = -EBUSY;
	else
		begin_wipe(key);
	mutex_unlock(&keys_lock);
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

	mutex_lock(&keys_lock);
	key = find(dek);
	if (key && key->state == VMCRYPT_KEY_LOADED) {
		vt->key = key;
		vt->serial = next_serial();
		list_add_tail(&vt->of_key, &key->targets);
		list_add_tail(&vt->all, &all_targets);
		key->nr_targets++;
		target_name(vt);
		changed();
		r = 0;
	}
	mutex_unlock(&keys_lock);
	return r;
}

/* Waits until a wipe of that key, if there is one, has ended. */
static void await_wipe(const uuid_t *dek)
{
	struct vmcrypt_key *key;
	unsigned int seen;
	bool wiping;

	for (;;) {
		mutex_lock(&keys_lock);
		key = find(dek);
		wiping = key && key->state == VMCRYPT_KEY_WIPING && !key->nr_targets;
		seen = nr_destroyed;
		mutex_unlock(&keys_lock);
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

	mutex_lock(&keys_lock);
	uuid_copy(&dek, &key->dek);
	if (vt->live)
		vmcrypt_notify_disk_changed(target_name(vt), &dek, VMCRYPT_KEY_ABSENT);
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
	mutex_unlock(&keys_lock);

	if (unused)
		free_key(unused);
	await_wipe(&dek);
}

/**
 * vmcrypt_key_target_live() - a target's table has become live
 * @vt: attached
 */
void vmcrypt_key_target_live(struct vmcrypt_target *vt)
{
	mutex_lock(&keys_lock);
	if (!vt->live) {
		vt->live = true;
		changed();
		vmcrypt_notify_disk_changed(target_name(vt), &vt->key->dek, vt->key->state);
	}
	mutex_unlock(&keys_lock);
}

/* Must hold keys_lock. */
static void describe_key(const struct vmcrypt_key *key, struct vmcrypt_key_info *ret)
{
	lockdep_assert_held(&keys_lock);
	ret->serial = key->serial;
	uuid_copy(&ret->dek, &key->dek);
	ret->bits = key->bits;
	ret->state = key->state;
	ret->targets = key->nr_targets;
}

/* Must hold keys_lock. */
static void describe_disk(struct vmcrypt_target *vt, struct vmcrypt_disk_info *ret)
{
	struct vmcrypt_counts counts;

	lockdep_assert_held(&keys_lock);
	vmcrypt_stats_count(vt, &counts);
	ret->serial = vt->serial;
	strscpy(ret->name, target_name(vt), sizeof(ret->name));
	ret->dev = disk_devt(dm_disk(dm_table_get_md(vt->ti->table)));
	uuid_copy(&ret->dek, &vt->key->dek);
	ret->state = vt->key->state;
	ret->sector_size = vt->sector_size;
	ret->sectors = vt->ti->len;
	ret->inflight = counts.inflight;
	ret->queued = counts.queued;
	ret->reads = counts.reads;
	ret->writes = counts.writes;
	ret->errors = counts.errors;
}

/**
 * vmcrypt_key_find() - describe one key
 * @dek: its name
 * @ret: filled on success
 *
 * Return: 0 or -ENOENT.
 */
int vmcrypt_key_find(const uuid_t *dek, struct vmcrypt_key_info *ret)
{
	struct vmcrypt_key *key;

	mutex_lock(&keys_lock);
	key = find(dek);
	if (key)
		describe_key(key, ret);
	mutex_unlock(&keys_lock);
	return key ? 0 : -ENOENT;
}

/**
 * vmcrypt_key_next() - describe the next key of a dump
 * @serial: of the key before, 0 at first
 * @ret: filled when there is one
 */
bool vmcrypt_key_next(u32 serial, struct vmcrypt_key_info *ret)
{
	struct vmcrypt_key *key;
	bool found = false;

	mutex_lock(&keys_lock);
	list_for_each_entry(key, &keys, node) {
		if (key->serial <= serial)
			continue;
		describe_key(key, ret);
		found = true;
		break;
	}
	mutex_unlock(&keys_lock);
	return found;
}

/**
 * vmcrypt_disk_find() - describe the first live target of a mapped device
 * @name: the mapped device's name
 * @ret: filled on success
 *
 * Return: 0 or -ENOENT.
 */
int vmcrypt_disk_find(const char *name, struct vmcrypt_disk_info *ret)
{
	struct vmcrypt_target *vt;
	int r = -ENOENT;

	mutex_lock(&keys_lock);
	list_for_each_entry(vt, &all_targets, all) {
		if (!vt->live || strcmp(target_name(vt), name))
			continue;
		describe_disk(vt, ret);
		r = 0;
		break;
	}
	mutex_unlock(&keys_lock);
	return r;
}

/**
 * vmcrypt_disk_next() - describe the next live target of a dump
 * @serial: of the target before, 0 at first
 * @ret: filled when there is one
 */
bool vmcrypt_disk_next(u32 serial, struct vmcrypt_disk_info *ret)
{
	struct vmcrypt_target *vt;
	bool found = false;

	mutex_lock(&keys_lock);
	list_for_each_entry(vt, &all_targets, all) {
		if (!vt->live || vt->serial <= serial)
			continue;
		describe_disk(vt, ret);
		found = true;
		break;
	}
	mutex_unlock(&keys_lock);
	return found;
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
	keys_wq = alloc_workqueue("vmcrypt-keys", WQ_UNBOUND, 0);
	return keys_wq ? 0 : -ENOMEM;
}

/**
 * vmcrypt_keys_exit() - destroy the keys that were loaded ahead
 *
 * No target is left and nobody can load a key any more.
 */
void vmcrypt_keys_exit(void)
{
	struct vmcrypt_key *key;
	unsigned int seen;
	bool empty;

	for (;;) {
		mutex_lock(&keys_lock);
		list_for_each_entry(key, &keys, node)
			if (key->state == VMCRYPT_KEY_LOADED)
				begin_wipe(key);
		empty = list_empty(&keys);
		seen = nr_destroyed;
		mutex_unlock(&keys_lock);
		if (empty)
			break;
		wait_event(destroyed_wait, READ_ONCE(nr_destroyed) != seen);
	}
	/* The last destroy_work() may still be on its way out. */
	destroy_workqueue(keys_wq);
}
