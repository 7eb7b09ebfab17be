/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_DEK_H
#define _VMCRYPT_DEK_H

#include <linux/types.h>
#include <linux/uuid.h>

#define VMCRYPT_DEK_BYTES_MAX	64	/* XTS-AES-256: data key and tweak key */

bool vmcrypt_dek_bits_valid(u32 bits);
void vmcrypt_dek_name(const u8 *raw, unsigned int size, uuid_t *ret);
bool vmcrypt_dek_named(const u8 *raw, unsigned int size, const uuid_t *dek);
bool vmcrypt_dek_well_formed(const uuid_t *dek);

#endif /* _VMCRYPT_DEK_H */
