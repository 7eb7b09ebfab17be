/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_REQUESTS_H
#define _VMCRYPT_REQUESTS_H

#include <linux/device-mapper.h>
#include <linux/dm-ioctl.h>
#include <linux/uuid.h>

struct vmcrypt_target;

/**
 * struct vmcrypt_request_info - what an agent is told of a pending request
 * @id: its number, and where a dump goes on after it
 * @dek: the key that is wanted
 * @name: the mapped device's name
 * @dev: the device below it
 */
struct vmcrypt_request_info {
	u32 id;
	uuid_t dek;
	char name[DM_NAME_LEN];
	dev_t dev;
};

int vmcrypt_request_key(struct vmcrypt_target *vt, const uuid_t *dek);
void vmcrypt_request_granted(const uuid_t *dek);
int vmcrypt_request_reject(const uuid_t *dek, u32 reason);
bool vmcrypt_request_next(u32 id, struct vmcrypt_request_info *ret);
unsigned int vmcrypt_requests_generation(void);

#endif /* _VMCRYPT_REQUESTS_H */
