/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of servers from inside: what its settings (servers.c) and its calls
 * (servers-call.c) share.
 */
#ifndef VMCRYPT_KMIP_SERVERS_INTERNAL_H
#define VMCRYPT_KMIP_SERVERS_INTERNAL_H

#include <pthread.h>

#include "kmip/servers.h"

/**
 * struct kmip_servers - a set
 * @lock: of everything here and in the servers but their settings
 * @changed: a connection was made or not, on CLOCK_MONOTONIC
 * @running: threads that make connections
 * @down: why the last call has failed with all servers
 * @down_until: when it is no answer any more, on CLOCK_MONOTONIC, ms
 */
struct kmip_servers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int timeout;
	unsigned int running;
	struct kmip_server *servers[KMIP_SERVERS_MAX];
	size_t n;
	struct error down;
	int64_t down_until;
};

/** servers_unref() - under the lock: give back a reference to a server */
void servers_unref(struct kmip_server *server);

/**
 * servers_keep() - under the lock: keep a connection for the next call, if there is room
 *
 * The connection has no reference to its server while it is idle.
 */
void servers_keep(struct kmip_connection *connection);

/**
 * servers_call() - kmip_servers_call()
 * @insist: ask although no server could be had just now
 */
int servers_call(struct kmip_servers *set, int64_t deadline, bool insist,
		 int (*work)(struct kmip_client *client, void *userdata, struct error *e),
		 void *userdata, struct error *e);

#endif
