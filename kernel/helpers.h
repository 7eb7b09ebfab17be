/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_HELPERS_H
#define _VMCRYPT_HELPERS_H

#include <linux/cpumask.h>
#include <linux/types.h>

struct vmcrypt_io;
struct vmcrypt_queue;

/**
 * vmcrypt_helpers_possible() - is there another CPU that could help?
 *
 * All that a machine with one CPU pays.
 */
static inline bool vmcrypt_helpers_possible(void)
{
	return num_online_cpus() > 1;
}

unsigned int vmcrypt_helpers_post(struct vmcrypt_io *io, unsigned int wanted);
unsigned int vmcrypt_helpers_withdraw(struct vmcrypt_io *io);

unsigned int vmcrypt_helpers_call(unsigned int last);
struct vmcrypt_queue *vmcrypt_helpers_queue(unsigned int cpu);

int vmcrypt_helpers_init(void);
void vmcrypt_helpers_exit(void);

#endif /* _VMCRYPT_HELPERS_H */
