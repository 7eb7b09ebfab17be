/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of key servers looked up, with a deadline: the C library has none, and a
 * name service that does not answer keeps it for as long as resolv.conf says.
 */
#ifndef VMCRYPT_KMIP_RESOLVE_H
#define VMCRYPT_KMIP_RESOLVE_H

#include <netdb.h>
#include <stdint.h>

#include "common/errors.h"

/** KMIP_LOOKUPS_MAX - look-ups of the whole process at a time, given up ones included */
#define KMIP_LOOKUPS_MAX 32

/**
 * kmip_resolve() - the addresses of a name, or of an address as text
 * @deadline: ms of CLOCK_MONOTONIC
 * @ret: for freeaddrinfo(3); written only on success
 *
 * A look-up that is given up goes on in a thread of its own and cleans up behind
 * itself. Any thread may call it.
 *
 * Return: 0; -EHOSTUNREACH (no such name); -ETIMEDOUT; -EAGAIN (KMIP_LOOKUPS_MAX);
 * -ENOMEM. All with EXIT_NO_KEY.
 */
int kmip_resolve(const char *host, uint16_t port, int64_t deadline, struct addrinfo **ret,
		 struct error *e);

#endif
