/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_STATS_H
#define _VMCRYPT_STATS_H

#include <linux/blk_types.h>
#include <linux/types.h>

struct vmcrypt_io;
struct vmcrypt_target;

/**
 * struct vmcrypt_stats - one CPU's counters of a target
 * @begun: I/Os
 * @ended: I/Os
 * @reads: reads ended
 * @writes: writes ended
 * @errors: reads and writes ended in an error
 */
struct vmcrypt_stats {
	u64 begun;
	u64 ended;
	u64 reads;
	u64 writes;
	u64 errors;
};

/**
 * struct vmcrypt_counts - a target's counters, added up
 * @inflight: I/Os begun and not ended, held ones too
 * @queued: I/Os held for want of the key
 * @reads: reads ended
 * @writes: writes ended
 * @errors: reads and writes that ended in an error
 */
struct vmcrypt_counts {
	u32 inflight;
	u32 queued;
	u64 reads;
	u64 writes;
	u64 errors;
};

void vmcrypt_stats_ended(const struct vmcrypt_io *io, blk_status_t status);
void vmcrypt_stats_count(const struct vmcrypt_target *vt, struct vmcrypt_counts *ret);

#endif /* _VMCRYPT_STATS_H */
