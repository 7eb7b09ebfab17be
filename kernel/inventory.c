// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may be said of keys and disks to who asks.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "inventory.h"

#include <linux/device-mapper.h>

#include "keys.h"
#include "stats.h"
#include "target.h"

/* Must hold vmcrypt_keys_lock. */
static void describe_key(const struct vmcrypt_key *key, struct vmcrypt_key_info *ret)
{
	lockdep_assert_held(&vmcrypt_keys_lock);
	ret->serial = key->serial;
	uuid_copy(&ret->dek, &key->dek);
	ret->bits = key->bits;
	ret->state = key->state;
	ret->targets = key->nr_targets;
}

/* Must hold vmcrypt_keys_lock. */
static void describe_disk(struct vmcrypt_target *vt, struct vmcrypt_disk_info *ret)
{
	struct vmcrypt_counts counts;

	lockdep_assert_held(&vmcrypt_keys_lock);
	vmcrypt_stats_count(vt, &counts);
	ret->serial = vt->serial;
	strscpy(ret->name, vmcrypt_target_name(vt), sizeof(ret->name));
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
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	key = vmcrypt_key_lookup(dek);
	if (key)
		describe_key(key, ret);
	vmcrypt_unlock_keys(noio);
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
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	list_for_each_entry(key, &vmcrypt_keys, node) {
		if (key->serial <= serial)
			continue;
		describe_key(key, ret);
		found = true;
		break;
	}
	vmcrypt_unlock_keys(noio);
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
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	list_for_each_entry(vt, &vmcrypt_targets, all) {
		if (!vt->live || strcmp(vmcrypt_target_name(vt), name))
			continue;
		describe_disk(vt, ret);
		r = 0;
		break;
	}
	vmcrypt_unlock_keys(noio);
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
	unsigned int noio;

	noio = vmcrypt_lock_keys();
	list_for_each_entry(vt, &vmcrypt_targets, all) {
		if (!vt->live || vt->serial <= serial)
			continue;
		describe_disk(vt, ret);
		found = true;
		break;
	}
	vmcrypt_unlock_keys(noio);
	return found;
}
