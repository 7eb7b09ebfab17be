/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_QUEUE_H
#define _VMCRYPT_QUEUE_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct vmcrypt_io;

/**
 * struct vmcrypt_queue - small bios that a helper has accepted
 * @lock: guards @list and @room; any context
 * @list: the bios, oldest first
 * @room: how many more are accepted; 0: closed
 * @credit: what the helper has done and not added to @room yet; its own
 */
struct vmcrypt_queue {
	spinlock_t lock;	/* list, room */
	struct list_head list;
	unsigned int room;
	unsigned int credit;
};

void vmcrypt_queue_submission(void);
bool vmcrypt_queue_hand_over(struct vmcrypt_io *io, bool backlog);

/* What a helper calls. */

void vmcrypt_queue_serve(struct vmcrypt_queue *queue, u64 wake_ns);
void vmcrypt_queue_init(struct vmcrypt_queue *queue);

#endif /* _VMCRYPT_QUEUE_H */
