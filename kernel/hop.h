/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_HOP_H
#define _VMCRYPT_HOP_H

struct vmcrypt_io;

void vmcrypt_hop(struct vmcrypt_io *io);

int vmcrypt_hop_init(void);
void vmcrypt_hop_exit(void);

#endif /* _VMCRYPT_HOP_H */
