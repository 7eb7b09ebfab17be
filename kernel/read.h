/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_READ_H
#define _VMCRYPT_READ_H

#include <linux/blk_types.h>

struct vmcrypt_io;

int vmcrypt_read_map(struct vmcrypt_io *io);
void vmcrypt_read_failed(struct vmcrypt_io *io, blk_status_t status);
bool vmcrypt_read_end(struct vmcrypt_io *io, blk_status_t *ret_status);
void vmcrypt_read_take_up(struct vmcrypt_io *io);
void vmcrypt_read_take_up_softirq(struct vmcrypt_io *io);
void vmcrypt_read_crypt_ended(struct vmcrypt_io *io, int error);

#endif /* _VMCRYPT_READ_H */
