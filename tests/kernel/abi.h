/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interface of the module as its design writes it down, in numbers of the
 * tests' own: a renumbering of uapi/vmcrypt.h must not renumber its tests too.
 * abi.c holds these against the header and against what the kernel reports.
 */
#ifndef VT_ABI_H
#define VT_ABI_H

#define FAMILY_NAME		"vmcrypt"
#define FAMILY_VERSION		1
#define GROUP_REQUESTS		"requests"
#define GROUP_EVENTS		"events"

#define UUID_LEN		16
#define PUBLIC_LEN		32
#define TAG_LEN			16
#define KEY_MAX			64
#define NAME_LEN_MAX		127
#define SEALS_MAX		64
#define SEAL_LIFETIME_S		10
#define REQUESTS_MAX		256

#define DEK_ID_LABEL		"vmcrypt-dek-id-v1:aes-xts-plain64:"
#define KEY_SEAL_LABEL		"vmcrypt-key-seal-v1"

enum {
	CMD_KEY_PREPARE = 1,
	CMD_KEY_SET = 2,
	CMD_KEY_REJECT = 3,
	CMD_KEY_WIPE = 4,
	CMD_KEY_GET = 5,
	CMD_DISK_GET = 6,
	CMD_REQUEST_GET = 7,
	CMD_KEY_REQUEST = 8,
	CMD_KEY_CHANGED = 9,
	CMD_DISK_CHANGED = 10,
};

enum {
	A_DEK = 1,
	A_KEY_BITS = 2,
	A_SEAL_ID = 3,
	A_PUBLIC_KEY = 4,
	A_SEALED_KEY = 5,
	A_REASON = 6,
	A_FLAGS = 7,
	A_STATE = 8,
	A_REQUEST_ID = 9,
	A_MAJOR = 10,
	A_MINOR = 11,
	A_NAME = 12,
	A_TARGETS = 13,
	A_SECTOR_SIZE = 14,
	A_SECTORS = 15,
	A_INFLIGHT = 16,
	A_QUEUED = 17,
	A_READS = 18,
	A_WRITES = 19,
	A_ERRORS = 20,
	A_PAD = 21,
	A_MAX = A_PAD,
};

enum {
	KEY_ABSENT = 0,
	KEY_LOADED = 1,
	KEY_WIPING = 2,
	KEY_LOCKED = 3,
};

enum {
	REASON_NO_HEADER = 1,
	REASON_UNAVAILABLE = 2,
	REASON_NOT_ALLOWED = 3,
	REASON_LOCKED = 4,
	REASON_HEADER_DAMAGED = 5,
	REASON_INTERNAL = 6,
};

#define WIPE_FORCE		1u

#endif
