/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_SELFTEST_H
#define _VMCRYPT_SELFTEST_H

int vmcrypt_selftest(void);

#endif /* _VMCRYPT_SELFTEST_H */
