/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_NETLINK_H
#define _VMCRYPT_NETLINK_H

#include <net/genetlink.h>

enum vmcrypt_group {
	VMCRYPT_GROUP_REQUESTS,
	VMCRYPT_GROUP_EVENTS,
};

extern struct genl_family vmcrypt_family;

int vmcrypt_netlink_init(void);
void vmcrypt_netlink_exit(void);

#endif /* _VMCRYPT_NETLINK_H */
