/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_TARGET_H
#define _VMCRYPT_TARGET_H

#include <linux/bio.h>
#include <linux/device-mapper.h>
#include <linux/dm-ioctl.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "bounce.h"
#include "table.h"

struct vmcrypt_stats;
struct vmcrypt_key;

/**
 * struct vmcrypt_target - one target of one table
 * @ti: device-mapper's side
 * @dev: the device below
 * @key: the DEK, from attach to detach
 * @start: where the data begins on @dev, units of 512 bytes
 * @iv_offset: added to the sector number, units of 512 bytes
 * @sector_size: bytes encrypted under one IV
 * @iv_shift: how far a sector number is shifted to make an IV
 * @iv_step: how far the IV moves with each sector
 * @fail_without_key: key_loss:error
 * @stats: counters, of io.c
 * @reserve: memory for one write, always
 * @table: the table line, for status
 * @hold_lock: guards @held and @nr_held; any context
 * @held: bios held for want of the key
 * @nr_held: length of @held
 * @wq: sends down what was encrypted asynchronously; its own, because what is sent
 *	down may wait for a target below this one
 * @patient_wq: for @release, and for writes that may wait for @reserve. What they
 *	wait for can be work of @wq, which must not queue behind them
 * @release: takes up what is held
 * @of_key: in the key's targets, under keys.c's lock, as all below
 * @all: in the list of all targets
 * @serial: order of creation, and of dumps
 * @live: its table has been live
 * @name: the mapped device's, as last seen
 */
struct vmcrypt_target {
	struct dm_target *ti;
	struct dm_dev *dev;
	struct vmcrypt_key *key;
	sector_t start;
	u64 iv_offset;
	u32 sector_size;
	u32 iv_shift;
	u32 iv_step;
	bool fail_without_key;
	struct vmcrypt_stats __percpu *stats;
	struct vmcrypt_reserve reserve;
	struct vmcrypt_table table;

	spinlock_t hold_lock;	/* held, nr_held */
	struct bio_list held;
	unsigned int nr_held;
	struct workqueue_struct *wq;
	struct workqueue_struct *patient_wq;
	struct work_struct release;

	struct list_head of_key;
	struct list_head all;
	u32 serial;
	bool live;
	char name[DM_NAME_LEN];
};

int vmcrypt_target_init(void);
void vmcrypt_target_exit(void);

#endif /* _VMCRYPT_TARGET_H */
