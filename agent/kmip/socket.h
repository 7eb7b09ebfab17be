/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TCP to a key server, with a deadline.
 */
#ifndef VMCRYPT_KMIP_SOCKET_H
#define VMCRYPT_KMIP_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"

/**
 * kmip_socket_connect() - connect to a name or address, one of its addresses after
 * the other, which share the time
 * @deadline: of the look-up and the connection, ms of CLOCK_MONOTONIC
 * @ret: non-blocking; written only on success; for close()
 *
 * Return: 0; as kmip_resolve(); -ETIMEDOUT; others of connect(2).
 */
int kmip_socket_connect(const char *host, uint16_t port, int64_t deadline, int *ret,
			struct error *e);

/**
 * kmip_socket_readable() - whether recv(2) would return at once
 */
bool kmip_socket_readable(int fd);

#endif
