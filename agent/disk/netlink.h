/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent's side of the netlink family "vmcrypt" (uapi/vmcrypt.h).
 *
 * A client sends commands and waits for their answers; a listener receives what
 * the kernel sends by itself. Both find the family anew when the module was
 * unloaded and loaded again.
 */
#ifndef VMCRYPT_DISK_NETLINK_H
#define VMCRYPT_DISK_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"
#include "vmcrypt.h"

/**
 * struct nl_client - one netlink socket for commands
 *
 * Any thread may use it: one lock inside lets one command run at a time. No
 * command of the kernel waits for storage, so none of these calls does; a kernel
 * that stays silent for NL_CLIENT_TIMEOUT_S ends a call with -ETIMEDOUT.
 *
 * Errors: the kernel's own errno with its extack text in struct error, as
 * written at each command in uapi/vmcrypt.h; -EOPNOTSUPP where the module is not
 * loaded; -EPROTO where an answer is not what the interface promises.
 */
struct nl_client;

#define NL_CLIENT_TIMEOUT_S	30

/** struct nl_key - a DEK that the kernel knows (KEY_GET) */
struct nl_key {
	uint8_t dek[VMCRYPT_DEK_UUID_LEN];
	uint32_t key_bits;
	uint32_t state;			/* enum vmcrypt_key_state */
	uint32_t targets;
};

/** struct nl_disk - one target of a live table (DISK_GET) */
struct nl_disk {
	char name[VMCRYPT_NAME_MAX + 1];
	uint32_t major, minor;		/* of the mapped device */
	uint8_t dek[VMCRYPT_DEK_UUID_LEN];
	uint32_t state;			/* enum vmcrypt_key_state */
	uint32_t sector_size;		/* bytes */
	uint64_t sectors;		/* of 512 bytes */
	uint32_t inflight, queued;
	uint64_t reads, writes, errors;
};

/** struct nl_request - a constructor that waits for a key (KEY_REQUEST) */
struct nl_request {
	uint32_t request_id;
	uint8_t dek[VMCRYPT_DEK_UUID_LEN];
	char name[VMCRYPT_NAME_MAX + 1];	/* the mapped device */
	uint32_t major, minor;			/* the device below it */
};

/**
 * nl_client_new() - make a client
 *
 * The module need not be loaded yet: the family is looked up when a command
 * needs it.
 */
int nl_client_new(struct nl_client **ret, struct error *e);
void nl_client_free(struct nl_client *c);

static inline void nl_client_freep(struct nl_client **c)
{
	nl_client_free(*c);
}

/** nl_client_check() - 0 when the module is loaded, else -EOPNOTSUPP */
int nl_client_check(struct nl_client *c, struct error *e);

/**
 * nl_client_key_load() - hand a DEK to the kernel (KEY_PREPARE, KEY_SET)
 * @dek: the UUID that the key must have
 * @key: 32 or 64 bytes; stays the caller's
 *
 * The key crosses netlink sealed. 0 when the kernel holds the key already.
 * EBUSY while the key is being wiped: load it again after KEY_CHANGED.
 */
int nl_client_key_load(struct nl_client *c, const uint8_t dek[VMCRYPT_DEK_UUID_LEN],
		       const struct secret *key, struct error *e);

/** nl_client_key_reject() - end the wait for a DEK; @reason is enum vmcrypt_reason */
int nl_client_key_reject(struct nl_client *c, const uint8_t dek[VMCRYPT_DEK_UUID_LEN],
			 uint32_t reason, struct error *e);

/** nl_client_key_wipe() - destroy a key in the kernel; @force though targets use it */
int nl_client_key_wipe(struct nl_client *c, const uint8_t dek[VMCRYPT_DEK_UUID_LEN],
		       bool force, struct error *e);

/** nl_client_key_get() - one key; -ENOENT when the kernel does not know it */
int nl_client_key_get(struct nl_client *c, const uint8_t dek[VMCRYPT_DEK_UUID_LEN],
		      struct nl_key *ret, struct error *e);

/** nl_client_disk_get() - first vmcrypt target of one mapped device; -ENOENT when there is none */
int nl_client_disk_get(struct nl_client *c, const char *name, struct nl_disk *ret,
		       struct error *e);

/*
 * Dumps. *ret is an array of *ret_n that the caller frees with free(); NULL when
 * there are none. A dump that a change has overtaken is started again inside.
 */
int nl_client_key_list(struct nl_client *c, struct nl_key **ret, size_t *ret_n, struct error *e);
int nl_client_disk_list(struct nl_client *c, struct nl_disk **ret, size_t *ret_n, struct error *e);
int nl_client_request_list(struct nl_client *c, struct nl_request **ret, size_t *ret_n,
			   struct error *e);

/** enum nl_event_type - what a listener reports */
enum nl_event_type {
	NL_EVENT_NONE,			/* nothing is waiting: poll the fd */
	NL_EVENT_KEY_REQUEST,		/* .request */
	NL_EVENT_KEY_CHANGED,		/* .key: dek and state */
	NL_EVENT_DISK_CHANGED,		/* .disk: name, dek and state */
	NL_EVENT_RESYNC,		/* messages were lost: ask with nl_client_*_list() */
	NL_EVENT_MODULE_LOADED,		/* groups joined: ask with nl_client_*_list() */
	NL_EVENT_MODULE_GONE,
};

struct nl_event {
	enum nl_event_type type;
	union {
		struct nl_request request;
		struct {
			uint8_t dek[VMCRYPT_DEK_UUID_LEN];
			uint32_t state;
		} key;
		struct {
			char name[VMCRYPT_NAME_MAX + 1];
			uint8_t dek[VMCRYPT_DEK_UUID_LEN];
			uint32_t state;
		} disk;
	};
};

/**
 * struct nl_listener - receives what the kernel sends; used by one thread
 *
 * Only messages that the kernel itself sent are taken; whatever another process
 * sends to the socket is dropped.
 */
struct nl_listener;

#define NL_LISTEN_REQUESTS	(1U << 0)	/* group "requests": this process is an agent */
#define NL_LISTEN_EVENTS	(1U << 1)	/* group "events" */

/**
 * nl_listener_new() - listen to groups of the family
 * @groups: NL_LISTEN_* bits
 *
 * Works without the module too: NL_EVENT_MODULE_LOADED then tells of it. Where
 * it is loaded already, the first event is NL_EVENT_MODULE_LOADED all the same,
 * so that one path of the caller's takes up what is pending.
 */
int nl_listener_new(unsigned int groups, struct nl_listener **ret, struct error *e);
void nl_listener_free(struct nl_listener *l);

static inline void nl_listener_freep(struct nl_listener **l)
{
	nl_listener_free(*l);
}

/** nl_listener_fd() - readable (POLLIN) when nl_listener_next() has something to do */
int nl_listener_fd(const struct nl_listener *l);

/**
 * nl_listener_next() - take one event, never blocks
 *
 * Call it until it gives NL_EVENT_NONE, once before the first poll too.
 */
int nl_listener_next(struct nl_listener *l, struct nl_event *ret, struct error *e);

#define _cleanup_nl_client_ __attribute__((cleanup(nl_client_freep)))
#define _cleanup_nl_listener_ __attribute__((cleanup(nl_listener_freep)))

#endif
