/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From an open header to a key in the kernel: the one way for key requests,
 * attaching, unlocking and exporting.
 */
#ifndef HOST_UNLOCK_H
#define HOST_UNLOCK_H

#include "common/errors.h"
#include "common/secret.h"
#include "disk/header.h"
#include "host/host.h"

/**
 * host_check_lock() - refuse a disk that an administrator has locked
 *
 * Return: 0 or -EACCES, EXIT_NOT_ALLOWED, VMCRYPT_REASON_LOCKED.
 */
int host_check_lock(struct host *host, const uint8_t dek[UUID_SIZE], struct error *e);

/**
 * host_unlock() - unwrap the DEK of a header and prove the header with it
 * @ret_used: the KEK that did it; may be NULL
 *
 * Does not look at the administrator's lock.
 */
int host_unlock(struct host *host, struct disk_header *h, struct secret *ret_dek,
		struct key_locator *ret_used, struct error *e);

/**
 * host_key_load() - give a key to the kernel, waiting while it is being wiped
 *
 * A lock that an administrator set meanwhile wins: the key is wiped again.
 *
 * Return: as nl_client_key_load(); -EBUSY when it is still wiping after 5 s;
 * -EACCES when the disk is locked.
 */
int host_key_load(struct host *host, const uint8_t dek[UUID_SIZE], const struct secret *key,
		  struct error *e);

/* Locator of the header's first wrap as text, for an intent. */
void host_first_locator(const struct disk_header *h, char ret[LOCATOR_TEXT_SIZE]);

/**
 * host_open_header() - open a header wherever it is
 * @header: path of a detached header; NULL: on the device, or
 *	else where the state knows it for this device
 * @flags: HEADER_REPAIR or 0
 */
int host_open_header(struct host *host, const char *device, const char *header,
		     unsigned int flags, struct disk_header **ret, struct error *e);

#endif /* HOST_UNLOCK_H */
