/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_WRITE_H
#define _VMCRYPT_WRITE_H

#include <linux/types.h>

struct vmcrypt_io;

int vmcrypt_write_map(struct vmcrypt_io *io);
void vmcrypt_write_end(struct vmcrypt_io *io);
void vmcrypt_write_take_up(struct vmcrypt_io *io);
bool vmcrypt_write_take_up_early(struct vmcrypt_io *io);
void vmcrypt_write_crypt_ended(struct vmcrypt_io *io, int error);

#endif /* _VMCRYPT_WRITE_H */
