// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device-mapper target: what device-mapper calls, and when.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "target.h"

#include <linux/blkdev.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "cipher.h"
#include "io.h"
#include "keys.h"
#include "requests.h"
#include "stats.h"

/* IEEE 1619 advises at most 2^36 blocks of 16 bytes, 1 TiB, under one key. */
#define SECTORS_PER_DEK_ADVISED	(1ULL << 31)

static void target_dtr(struct dm_target *ti)
{
	struct vmcrypt_target *vt = ti->private;

	/* Destroyed from bad: too, so each part may be missing. */
	if (vt->key) {
		pr_info("%s: target at %llu of DEK %pUb destroyed\n",
			dm_table_device_name(ti->table), (unsigned long long)ti->begin,
			&vt->table.dek);
		vmcrypt_key_detach(vt);
	}
	if (vt->dev)
		dm_put_device(ti, vt->dev);
	vmcrypt_io_target_exit(vt);
	kfree(vt);
}

static char *device_error(int error)
{
	switch (error) {
	case -EACCES:
	case -EROFS:
		return "Device is read-only: make the table read-only, too";
	case -EBUSY:
		return "Device is in use";
	default:
		return "Device lookup failed: no such block device";
	}
}

static int open_device(struct vmcrypt_target *vt)
{
	struct dm_target *ti = vt->ti;
	int r;

	r = dm_get_device(ti, vt->table.device, dm_table_get_mode(ti->table), &vt->dev);
	if (r) {
		ti->error = device_error(r);
		return r;
	}
	/* Points into the arguments, which device-mapper frees. */
	vt->table.device = NULL;

	if (bdev_is_zoned(vt->dev->bdev)) {
		ti->error = "Zoned devices are not supported";
		return -EINVAL;
	}
	return 0;
}

static void warn_if_long(const struct vmcrypt_target *vt)
{
	if (vt->ti->len > SECTORS_PER_DEK_ADVISED)
		pr_notice_once("%s: one DEK covers more than 1 TiB, the size that IEEE 1619 advises (said once)\n",
			       dm_table_device_name(vt->ti->table));
}

/* What device-mapper is told of the target; the key, and so its driver, is known. */
static void set_up(struct dm_target *ti)
{
	struct vmcrypt_target *vt = ti->private;

	ti->num_flush_bios = 1;
	ti->num_discard_bios = vt->table.allow_discards;
	ti->limit_swap_bios = true;
	ti->accounts_remapped_io = true;
	ti->per_io_data_size = vmcrypt_io_size(vt);
}

static void take_table(struct vmcrypt_target *vt)
{
	const struct vmcrypt_table *table = &vt->table;
	u32 shift = ilog2(table->sector_size) - SECTOR_SHIFT;

	vt->start = table->offset;
	vt->iv_offset = table->iv_offset;
	vt->sector_size = table->sector_size;
	vt->iv_shift = table->iv_large_sectors ? shift : 0;
	vt->iv_step = table->iv_large_sectors ? 1 : 1 << shift;
	vt->fail_without_key = table->fail_without_key;
}

static int target_ctr(struct dm_target *ti, unsigned int argc, char **argv)
{
	struct vmcrypt_target *vt;
	int r;

	vt = kzalloc(sizeof(*vt), GFP_KERNEL);
	if (!vt) {
		ti->error = "Out of memory";
		return -ENOMEM;
	}
	vt->ti = ti;
	ti->private = vt;

	r = vmcrypt_table_parse(ti, argc, argv, &vt->table);
	if (r)
		goto bad;
	take_table(vt);
	r = vmcrypt_io_target_init(vt);
	if (r) {
		ti->error = "Out of memory";
		goto bad;
	}
	r = open_device(vt);
	if (r)
		goto bad;
	r = vmcrypt_request_key(vt, &vt->table.dek);
	if (r)
		goto bad;

	set_up(ti);
	warn_if_long(vt);
	pr_info("%s: target at %llu of DEK %pUb created\n", dm_table_device_name(ti->table),
		(unsigned long long)ti->begin, &vt->table.dek);
	return 0;

bad:
	pr_info("%s: target at %llu refused (%d): %s\n", dm_table_device_name(ti->table),
		(unsigned long long)ti->begin, r, ti->error);
	target_dtr(ti);
	return r;
}

static int target_map(struct dm_target *ti, struct bio *bio)
{
	return vmcrypt_io_map(ti->private, bio);
}

static int target_end_io(struct dm_target *ti, struct bio *bio, blk_status_t *error)
{
	return vmcrypt_io_end(ti->private, bio, error);
}

static void target_presuspend(struct dm_target *ti)
{
	/* A flushing suspend waits for the key; this one must not. */
	if (dm_noflush_suspending(ti))
		vmcrypt_io_push_back(ti->private);
}

static void target_resume(struct dm_target *ti)
{
	vmcrypt_key_target_live(ti->private);
}

static void target_status(struct dm_target *ti, status_type_t type, unsigned int status_flags,
			  char *result, unsigned int maxlen)
{
	struct vmcrypt_target *vt = ti->private;
	struct vmcrypt_counts counts;
	unsigned int sz = 0;

	switch (type) {
	case STATUSTYPE_INFO:
		vmcrypt_stats_count(vt, &counts);
		DMEMIT("%s %u %u %llu %llu %llu",
		       vmcrypt_key_usable(vt->key) ? "loaded" : "locked", counts.inflight,
		       counts.queued, counts.reads, counts.writes, counts.errors);
		break;
	case STATUSTYPE_TABLE:
		vmcrypt_table_print(&vt->table, vt->dev->name, result, maxlen);
		break;
	case STATUSTYPE_IMA:
		DMEMIT_TARGET_NAME_VERSION(ti->type);
		vmcrypt_table_print_ima(&vt->table, vt->dev->name, result + sz, maxlen - sz);
		break;
	}
}

static int target_iterate_devices(struct dm_target *ti, iterate_devices_callout_fn fn,
				  void *data)
{
	struct vmcrypt_target *vt = ti->private;

	return fn(ti, vt->dev, vt->start, ti->len, data);
}

static void target_io_hints(struct dm_target *ti, struct queue_limits *limits)
{
	const struct vmcrypt_target *vt = ti->private;

	limits->logical_block_size = max(limits->logical_block_size, vt->sector_size);
	limits->physical_block_size = max(limits->physical_block_size, vt->sector_size);
	limits->io_min = max(limits->io_min, vt->sector_size);
	limits->dma_alignment = limits->logical_block_size - 1;
	if (vt->table.allow_discards)
		limits->discard_granularity = max(limits->discard_granularity, vt->sector_size);
}

static struct target_type target_type = {
	.name			= "vmcrypt",
	.version		= { 1, 0, 0 },
	.features		= DM_TARGET_NOWAIT,
	.module			= THIS_MODULE,
	.ctr			= target_ctr,
	.dtr			= target_dtr,
	.map			= target_map,
	.end_io			= target_end_io,
	.presuspend		= target_presuspend,
	.resume			= target_resume,
	.status			= target_status,
	.iterate_devices	= target_iterate_devices,
	.io_hints		= target_io_hints,
};

/**
 * vmcrypt_target_init() - offer the target
 *
 * Return: 0 or a negative errno.
 */
int vmcrypt_target_init(void)
{
	return dm_register_target(&target_type);
}

/**
 * vmcrypt_target_exit() - withdraw the target
 *
 * Every table with one holds the module, so none is left.
 */
void vmcrypt_target_exit(void)
{
	dm_unregister_target(&target_type);
}
