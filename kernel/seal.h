/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_SEAL_H
#define _VMCRYPT_SEAL_H

#include <linux/types.h>
#include <linux/uuid.h>

#include "uapi/vmcrypt.h"

int vmcrypt_seal_prepare(u32 *ret_id, u8 ret_public[VMCRYPT_PUBLIC_KEY_LEN]);
int vmcrypt_seal_open(u32 id, const u8 peer[VMCRYPT_PUBLIC_KEY_LEN], const uuid_t *dek,
		      u32 bits, const u8 *sealed, unsigned int sealed_size, u8 *ret_raw);
void vmcrypt_seal_exit(void);

#endif /* _VMCRYPT_SEAL_H */
