/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_MESSAGES_H
#define _VMCRYPT_MESSAGES_H

#include <linux/types.h>
#include <linux/uuid.h>

struct sk_buff;
struct vmcrypt_disk_info;
struct vmcrypt_key_info;
struct vmcrypt_request_info;

int vmcrypt_fill_key(struct sk_buff *msg, const struct vmcrypt_key_info *key);
int vmcrypt_fill_disk(struct sk_buff *msg, const struct vmcrypt_disk_info *disk);
int vmcrypt_fill_request(struct sk_buff *msg, const struct vmcrypt_request_info *request);

bool vmcrypt_has_agent(void);
void vmcrypt_notify_request(const struct vmcrypt_request_info *request);
void vmcrypt_notify_key_changed(const uuid_t *dek, u32 state);
void vmcrypt_notify_disk_changed(const char *name, const uuid_t *dek, u32 state);

#endif /* _VMCRYPT_MESSAGES_H */
