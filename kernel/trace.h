/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints for keys, errors, work that a helper does for another CPU, and writes
 * that memory is short for. None carries a key.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vmcrypt

#if !defined(_VMCRYPT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VMCRYPT_TRACE_H

#include <linux/blk_types.h>
#include <linux/kdev_t.h>
#include <linux/tracepoint.h>
#include <linux/uuid.h>

#include "uapi/vmcrypt.h"

#define vmcrypt_show_state(state)				\
	__print_symbolic(state,					\
			 { VMCRYPT_KEY_ABSENT, "absent" },	\
			 { VMCRYPT_KEY_LOADED, "loaded" },	\
			 { VMCRYPT_KEY_WIPING, "wiping" },	\
			 { VMCRYPT_KEY_LOCKED, "locked" })

TRACE_EVENT(vmcrypt_key_state,
	TP_PROTO(const uuid_t *dek, u32 from, u32 to),
	TP_ARGS(dek, from, to),
	TP_STRUCT__entry(
		__array(u8, dek, UUID_SIZE)
		__field(u32, from)
		__field(u32, to)
	),
	TP_fast_assign(
		memcpy(__entry->dek, dek, UUID_SIZE);
		__entry->from = from;
		__entry->to = to;
	),
	TP_printk("dek=%pUb from=%s to=%s", __entry->dek,
		  vmcrypt_show_state(__entry->from), vmcrypt_show_state(__entry->to))
);

TRACE_EVENT(vmcrypt_key_request,
	TP_PROTO(const uuid_t *dek, u32 id, u32 reason, bool answered),
	TP_ARGS(dek, id, reason, answered),
	TP_STRUCT__entry(
		__array(u8, dek, UUID_SIZE)
		__field(u32, id)
		__field(u32, reason)
		__field(bool, answered)
	),
	TP_fast_assign(
		memcpy(__entry->dek, dek, UUID_SIZE);
		__entry->id = id;
		__entry->reason = reason;
		__entry->answered = answered;
	),
	TP_printk("dek=%pUb id=%u %s reason=%u", __entry->dek, __entry->id,
		  __entry->answered ? "answered" : "asked", __entry->reason)
);

TRACE_EVENT(vmcrypt_io_error,
	TP_PROTO(dev_t dev, sector_t sector, u32 bytes, bool write, int error),
	TP_ARGS(dev, sector, bytes, write, error),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(sector_t, sector)
		__field(u32, bytes)
		__field(bool, write)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->sector = sector;
		__entry->bytes = bytes;
		__entry->write = write;
		__entry->error = error;
	),
	TP_printk("%d:%d %s sector=%llu bytes=%u error=%d", MAJOR(__entry->dev),
		  MINOR(__entry->dev), __entry->write ? "write" : "read",
		  (unsigned long long)__entry->sector, __entry->bytes, __entry->error)
);

DECLARE_EVENT_CLASS(vmcrypt_helped,
	TP_PROTO(dev_t dev, sector_t sector, u32 bytes, bool write),
	TP_ARGS(dev, sector, bytes, write),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(sector_t, sector)
		__field(u32, bytes)
		__field(bool, write)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->sector = sector;
		__entry->bytes = bytes;
		__entry->write = write;
	),
	TP_printk("%d:%d %s sector=%llu bytes=%u", MAJOR(__entry->dev), MINOR(__entry->dev),
		  __entry->write ? "write" : "read", (unsigned long long)__entry->sector,
		  __entry->bytes)
);

/* a helper takes a small I/O over, whole */
DEFINE_EVENT(vmcrypt_helped, vmcrypt_take_over,
	TP_PROTO(dev_t dev, sector_t sector, u32 bytes, bool write),
	TP_ARGS(dev, sector, bytes, write)
);

/* a helper has computed a piece of this big I/O */
DEFINE_EVENT(vmcrypt_helped, vmcrypt_piece,
	TP_PROTO(dev_t dev, sector_t sector, u32 bytes, bool write),
	TP_ARGS(dev, sector, bytes, write)
);

/* a write has waited for its memory; so many pages of the reserve are left */
TRACE_EVENT(vmcrypt_reserve,
	TP_PROTO(u32 bytes, u32 left),
	TP_ARGS(bytes, left),
	TP_STRUCT__entry(
		__field(u32, bytes)
		__field(u32, left)
	),
	TP_fast_assign(
		__entry->bytes = bytes;
		__entry->left = left;
	),
	TP_printk("bytes=%u left=%u", __entry->bytes, __entry->left)
);

#endif /* _VMCRYPT_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
