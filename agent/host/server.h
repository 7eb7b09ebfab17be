/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket: clients, their requests and their answers.
 */
#ifndef HOST_SERVER_H
#define HOST_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "host/host.h"

#define SERVER_CLIENTS_MAX	64
/* The last places are root's, so that others cannot keep root out. */
#define SERVER_CLIENTS_OTHERS	48
#define SERVER_CALLS_MAX	16	/* requests of one client under way */

struct server;

/**
 * server_new() - bind the socket and listen
 * @path: an old socket there is replaced
 */
int server_new(struct host *host, const char *path, struct server **ret, struct error *e);

/* Close all connections. Workers must have ended. */
void server_free(struct server *server);

#endif /* HOST_SERVER_H */
