/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_INVENTORY_H
#define _VMCRYPT_INVENTORY_H

#include <linux/dm-ioctl.h>
#include <linux/types.h>
#include <linux/uuid.h>

#include "uapi/vmcrypt.h"

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

int vmcrypt_key_find(const uuid_t *dek, struct vmcrypt_key_info *ret);
bool vmcrypt_key_next(u32 serial, struct vmcrypt_key_info *ret);
int vmcrypt_disk_find(const char *name, struct vmcrypt_disk_info *ret);
bool vmcrypt_disk_next(u32 serial, struct vmcrypt_disk_info *ret);

#endif /* _VMCRYPT_INVENTORY_H */
