/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the manager is.
 */
#ifndef HOST_ADDRESS_H
#define HOST_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"

#define ADDRESS_NAME_MAX	253	/* bytes of a DNS name */
#define ADDRESS_PORT		8443	/* of a manager, where none is said */

/**
 * struct address - taken from a URL
 * @name: DNS name or address, without brackets
 * @numeric: it is an address
 */
struct address {
	char name[ADDRESS_NAME_MAX + 1];
	uint16_t port;
	bool numeric;
};

/**
 * address_parse() - "https://NAME[:PORT][/]"
 *
 * An IPv6 address stands in brackets. Nothing may stand behind the port, and no user before
 * the name.
 *
 * Return: 0; -EINVAL with EXIT_USAGE.
 */
int address_parse(const char *url, struct address *ret, struct error *e);

#endif /* HOST_ADDRESS_H */
