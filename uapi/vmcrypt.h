/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The netlink interface between dm-vmcrypt.ko and userspace.
 *
 * This text is normative: what it says and what the kernel does are held
 * against each other, and against vmcrypt.yaml, by a test.
 *
 * Conventions
 * ===========
 *
 * Generic netlink family "vmcrypt", version 1, no family header. The family
 * lives in the initial network namespace only. Every command, and the start
 * of every dump, asks for CAP_SYS_ADMIN in the initial user namespace (what
 * netlink_capable() looks at) and answers EPERM without it; so does joining a
 * multicast group. CAP_NET_ADMIN neither helps nor is needed.
 *
 * Validation is strict: an attribute that the command does not know, a missing
 * attribute, and one that comes twice are EINVAL; an attribute of another length
 * than written here is EINVAL, or ERANGE where it is binary or text; an unknown
 * command is EOPNOTSUPP. Each refusal carries an extack text, and, where one
 * attribute is to blame, the offset of that attribute or the number of the
 * missing one (a kernel before 6.2 has no text for the refusal of a dump).
 * Reserved bits of VMCRYPT_A_FLAGS are EOPNOTSUPP.
 *
 * Integers are in host byte order unless written otherwise. No command and no
 * notification carries a key, or anything derived from one but its UUID, in
 * clear, in either direction.
 *
 * A dump that a change has overtaken has NLM_F_DUMP_INTR set in its messages;
 * the caller starts it again.
 *
 * The DEK's UUID
 * ==============
 *
 * VMCRYPT_A_DEK is a UUID of version 8 (RFC 9562) in the byte order in which
 * it is written as text. It is computed from the key:
 *
 *   SHA-256("vmcrypt-dek-id-v1:aes-xts-plain64:" || key)
 *
 * the first 16 bytes of which are taken, the high nibble of byte 6 set to 8 and
 * the two high bits of byte 8 set to binary 10. The label has no terminating
 * NUL. The key is 32 bytes (XTS-AES-128) or 64 bytes (XTS-AES-256), as
 * dm-crypt takes it: the data key first, the tweak key second.
 *
 * States of a key (VMCRYPT_A_STATE)
 * =================================
 *
 *   absent (0)   the kernel knows nothing of the key
 *   loaded (1)   the kernel holds the key schedule
 *   wiping (2)   no new use of the key begins; what is inside the cipher
 *                finishes, then the key schedule is destroyed
 *   locked (3)   the key schedule is destroyed, targets still name the key
 *
 *   absent --KEY_SET--> loaded --KEY_WIPE--> wiping --> locked
 *   locked --KEY_SET--> loaded
 *   loaded, locked --the last target goes--> absent
 *   wiping --no target left--> absent
 *
 * A key that is loaded while no target names it dies after the module's
 * parameter preload_ttl_s (seconds); KEY_SET of a key that is loaded does not
 * prolong that. The state of a disk is the state of its key.
 *
 * Commands
 * ========
 *
 * VMCRYPT_CMD_KEY_PREPARE (do)
 *   request: -
 *   reply:   SEAL_ID, PUBLIC_KEY
 *
 *   Makes a one-use X25519 key pair (RFC 7748) in the kernel and returns its
 *   public half. It is used up by the first KEY_SET that names its SEAL_ID,
 *   whatever becomes of that, and dies after VMCRYPT_SEAL_LIFETIME_S seconds.
 *
 *   EAGAIN  VMCRYPT_SEALS_MAX prepared keys are waiting already
 *
 * VMCRYPT_CMD_KEY_SET (do)
 *   request: DEK, KEY_BITS, SEAL_ID, PUBLIC_KEY, SEALED_KEY
 *
 *   Loads a DEK. PUBLIC_KEY is the sender's ephemeral X25519 key. SEALED_KEY is
 *   the DEK, KEY_BITS / 8 bytes, encrypted by ChaCha20-Poly1305 (RFC 8439),
 *   followed by the 16 bytes of the tag:
 *
 *     key              SHA-256("vmcrypt-key-seal-v1" || X25519 shared secret ||
 *                              kernel's PUBLIC_KEY || sender's PUBLIC_KEY)
 *     nonce            12 bytes of zero (the key is used once)
 *     additional data  DEK (16 bytes) || KEY_BITS (little-endian u32)
 *
 *   A key that is loaded already is left as it is: 0. Targets and constructors
 *   that wait for the key go on before the acknowledgement is sent.
 *
 *   EINVAL        KEY_BITS is not 256 or 512, SEALED_KEY is not KEY_BITS / 8 +
 *                 16 bytes, or the two halves of the key are equal (a weak key)
 *   ENOENT        no prepared key has this SEAL_ID: used, expired, never made
 *   EBADMSG       SEALED_KEY does not open: altered, sealed for another key, or
 *                 PUBLIC_KEY is a point of low order
 *   EKEYREJECTED  the key is not the one that DEK names
 *   EBUSY         the key is being wiped: try again after KEY_CHANGED
 *   EINTR         killed while it waited for an earlier wipe of the key to end
 *   EIO           the cipher's driver did not take the key
 *   ENOMEM
 *
 * VMCRYPT_CMD_KEY_REJECT (do)
 *   request: DEK, REASON
 *
 *   Ends the wait of every constructor that waits for this DEK: EKEYREJECTED,
 *   with the reason's text in the log line of device-mapper.
 *
 *   EINVAL  unknown REASON
 *   ENOENT  nobody waits for this DEK
 *
 * VMCRYPT_CMD_KEY_WIPE (do)
 *   request: DEK, [FLAGS]
 *
 *   Marks the key and returns; see the states above. From the mark on nothing
 *   is encrypted or decrypted under it. KEY_CHANGED tells when the key schedule
 *   is destroyed. A key that is being wiped or is locked already: 0.
 *
 *   ENOENT      the kernel does not know this DEK
 *   EBUSY       targets use the key and VMCRYPT_WIPE_FORCE is not set
 *   EOPNOTSUPP  unknown bit in FLAGS
 *
 * VMCRYPT_CMD_KEY_GET (do, dump)
 *   request: DEK (do only)
 *   reply:   DEK, KEY_BITS, STATE, TARGETS
 *
 *   ENOENT  the kernel does not know this DEK
 *
 * VMCRYPT_CMD_DISK_GET (do, dump)
 *   request: NAME (do only)
 *   reply:   NAME, MAJOR, MINOR, DEK, STATE, SECTOR_SIZE, SECTORS, INFLIGHT,
 *            QUEUED, READS, WRITES, ERRORS
 *
 *   One entry for each target of a live table. MAJOR and MINOR are the mapped
 *   device's. A mapped device with several vmcrypt targets has several entries
 *   in a dump, in the order of its table, and the first one is the answer to a
 *   do request.
 *
 *   ENOENT  no mapped device of that name has a live vmcrypt target
 *
 * VMCRYPT_CMD_REQUEST_GET (dump)
 *   request: -
 *   reply:   as VMCRYPT_CMD_KEY_REQUEST
 *
 *   The requests that are pending, for an agent that has just started.
 *
 * Notifications
 * =============
 *
 * VMCRYPT_CMD_KEY_REQUEST, group "requests"
 *   REQUEST_ID, DEK, NAME, MAJOR, MINOR
 *
 *   A constructor waits for a key. NAME is the mapped device's, MAJOR and MINOR
 *   are those of the device below it, where the header may be found. The
 *   answer is KEY_SET or KEY_REJECT for the DEK. One request is sent for a DEK
 *   at a time, however many constructors wait for it.
 *
 * VMCRYPT_CMD_KEY_CHANGED, group "events"
 *   DEK, STATE
 *
 * VMCRYPT_CMD_DISK_CHANGED, group "events"
 *   NAME, DEK, STATE
 *
 *   A disk came (its table became live), its key changed state, or it went
 *   (STATE absent).
 *
 * A listener that is too slow, or for whom the kernel had no memory, sees ENOBUFS
 * when it receives, and dumps what it follows.
 */
#ifndef _UAPI_VMCRYPT_H
#define _UAPI_VMCRYPT_H

#define VMCRYPT_GENL_NAME		"vmcrypt"
#define VMCRYPT_GENL_VERSION		1

#define VMCRYPT_MCGRP_REQUESTS		"requests"
#define VMCRYPT_MCGRP_EVENTS		"events"

#define VMCRYPT_DEK_UUID_LEN		16	/* bytes */
#define VMCRYPT_PUBLIC_KEY_LEN		32	/* bytes */
#define VMCRYPT_SEAL_TAG_LEN		16	/* bytes */
#define VMCRYPT_NAME_MAX		127	/* bytes, without the NUL */
#define VMCRYPT_SEAL_LIFETIME_S		10	/* seconds */
#define VMCRYPT_SEALS_MAX		64	/* prepared keys at one time */
#define VMCRYPT_REQUESTS_MAX		256	/* pending requests at one time */

#define VMCRYPT_DEK_ID_LABEL		"vmcrypt-dek-id-v1:aes-xts-plain64:"
#define VMCRYPT_KEY_SEAL_LABEL		"vmcrypt-key-seal-v1"

enum vmcrypt_cmd {
	VMCRYPT_CMD_UNSPEC,
	VMCRYPT_CMD_KEY_PREPARE,
	VMCRYPT_CMD_KEY_SET,
	VMCRYPT_CMD_KEY_REJECT,
	VMCRYPT_CMD_KEY_WIPE,
	VMCRYPT_CMD_KEY_GET,
	VMCRYPT_CMD_DISK_GET,
	VMCRYPT_CMD_REQUEST_GET,
	VMCRYPT_CMD_KEY_REQUEST,
	VMCRYPT_CMD_KEY_CHANGED,
	VMCRYPT_CMD_DISK_CHANGED,

	__VMCRYPT_CMD_MAX,
	VMCRYPT_CMD_MAX = __VMCRYPT_CMD_MAX - 1
};

enum vmcrypt_attr {
	VMCRYPT_A_UNSPEC,
	VMCRYPT_A_DEK,		/* binary, VMCRYPT_DEK_UUID_LEN bytes */
	VMCRYPT_A_KEY_BITS,	/* u32, 256 or 512 */
	VMCRYPT_A_SEAL_ID,	/* u32 */
	VMCRYPT_A_PUBLIC_KEY,	/* binary, VMCRYPT_PUBLIC_KEY_LEN bytes */
	VMCRYPT_A_SEALED_KEY,	/* binary, KEY_BITS / 8 + 16 bytes: 48 or 80 */
	VMCRYPT_A_REASON,	/* u32, enum vmcrypt_reason */
	VMCRYPT_A_FLAGS,	/* u32, VMCRYPT_WIPE_* */
	VMCRYPT_A_STATE,	/* u32, enum vmcrypt_key_state */
	VMCRYPT_A_REQUEST_ID,	/* u32 */
	VMCRYPT_A_MAJOR,	/* u32 */
	VMCRYPT_A_MINOR,	/* u32 */
	VMCRYPT_A_NAME,		/* NUL-terminated, up to VMCRYPT_NAME_MAX */
	VMCRYPT_A_TARGETS,	/* u32, targets that name the key */
	VMCRYPT_A_SECTOR_SIZE,	/* u32, bytes */
	VMCRYPT_A_SECTORS,	/* u64, units of 512 bytes */
	VMCRYPT_A_INFLIGHT,	/* u32, I/Os begun and not ended, held ones too */
	VMCRYPT_A_QUEUED,	/* u32, I/Os held for want of the key */
	VMCRYPT_A_READS,	/* u64, reads ended */
	VMCRYPT_A_WRITES,	/* u64, writes ended */
	VMCRYPT_A_ERRORS,	/* u64, reads and writes that ended in an error */
	VMCRYPT_A_PAD,

	__VMCRYPT_A_MAX,
	VMCRYPT_A_MAX = __VMCRYPT_A_MAX - 1
};

enum vmcrypt_key_state {
	VMCRYPT_KEY_ABSENT	= 0,
	VMCRYPT_KEY_LOADED	= 1,
	VMCRYPT_KEY_WIPING	= 2,
	VMCRYPT_KEY_LOCKED	= 3,
};

enum vmcrypt_reason {
	VMCRYPT_REASON_NO_HEADER	= 1,	/* no such disk or header */
	VMCRYPT_REASON_UNAVAILABLE	= 2,	/* key unavailable now */
	VMCRYPT_REASON_NOT_ALLOWED	= 3,	/* not allowed */
	VMCRYPT_REASON_LOCKED		= 4,	/* locked by an administrator */
	VMCRYPT_REASON_HEADER_DAMAGED	= 5,	/* header damaged */
	VMCRYPT_REASON_INTERNAL		= 6,	/* internal */
};

/* VMCRYPT_A_FLAGS of VMCRYPT_CMD_KEY_WIPE */
#define VMCRYPT_WIPE_FORCE	(1U << 0)	/* though targets use the key */

#endif /* _UAPI_VMCRYPT_H */
