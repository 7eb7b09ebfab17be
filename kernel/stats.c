// SPDX-License-Identifier: GPL-2.0-only
/*
 * A target's counters, one set for each CPU.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "stats.h"

#include <linux/percpu.h>

#include "io.h"
#include "target.h"
#include "trace.h"

/**
 * vmcrypt_stats_ended() - count a bio's end
 * @io: the bio
 * @status: what its caller is told
 */
void vmcrypt_stats_ended(const struct vmcrypt_io *io, blk_status_t status)
{
	struct vmcrypt_stats __percpu *stats = io->vt->stats;
	bool write = op_is_write(bio_op(io->bio));

	this_cpu_inc(stats->ended);
	if (io->stage == IO_PASS || io->stage == IO_REQUEUE || status == BLK_STS_AGAIN ||
	    bio_op(io->bio) == REQ_OP_DISCARD)
		return;
	if (write)
		this_cpu_inc(stats->writes);
	else
		this_cpu_inc(stats->reads);
	if (unlikely(status)) {
		this_cpu_inc(stats->errors);
		trace_vmcrypt_io_error(io->vt->dev->bdev->bd_dev, io->iter.bi_sector,
				       io->iter.bi_size, write, blk_status_to_errno(status));
	}
}

/**
 * vmcrypt_stats_count() - add up a target's counters
 * @vt: the target
 * @ret: filled
 */
void vmcrypt_stats_count(const struct vmcrypt_target *vt, struct vmcrypt_counts *ret)
{
	struct vmcrypt_stats sum = {};
	int cpu;

	/* What has ended is read first: an I/O in between is in flight, not less than none. */
	for_each_possible_cpu(cpu) {
		const struct vmcrypt_stats *stats = per_cpu_ptr(vt->stats, cpu);

		sum.ended += READ_ONCE(stats->ended);
		sum.reads += READ_ONCE(stats->reads);
		sum.writes += READ_ONCE(stats->writes);
		sum.errors += READ_ONCE(stats->errors);
	}
	for_each_possible_cpu(cpu)
		sum.begun += READ_ONCE(per_cpu_ptr(vt->stats, cpu)->begun);

	ret->inflight = sum.begun - sum.ended;
	ret->queued = READ_ONCE(vt->nr_held);
	ret->reads = sum.reads;
	ret->writes = sum.writes;
	ret->errors = sum.errors;
}
