/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_TABLE_H
#define _VMCRYPT_TABLE_H

#include <linux/device-mapper.h>
#include <linux/uuid.h>

/**
 * struct vmcrypt_table - a table line
 * @dek: UUID of the DEK
 * @iv_offset: added to the sector number, units of 512 bytes
 * @device: path or MAJ:MIN of the device below; points into argv
 * @offset: where the data begins on @device, units of 512 bytes
 * @sector_size: bytes encrypted under one IV
 * @iv_large_sectors: the IV counts sectors of @sector_size, not of 512 bytes
 * @allow_discards: discards go down
 * @fail_without_key: key_loss:error, otherwise key_loss:queue
 */
struct vmcrypt_table {
	uuid_t dek;
	u64 iv_offset;
	const char *device;
	sector_t offset;
	u32 sector_size;
	bool iv_large_sectors;
	bool allow_discards;
	bool fail_without_key;
};

int vmcrypt_table_parse(struct dm_target *ti, unsigned int argc, char **argv,
			struct vmcrypt_table *ret);
unsigned int vmcrypt_table_print(const struct vmcrypt_table *table, const char *device,
				 char *result, unsigned int maxlen);
unsigned int vmcrypt_table_print_ima(const struct vmcrypt_table *table, const char *device,
				     char *result, unsigned int maxlen);

#endif /* _VMCRYPT_TABLE_H */
