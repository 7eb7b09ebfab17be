/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What hosts ask for by the channel (common/channel.h), by operation. The handlers run in
 * threads of the links: for each host one at a time that is about keys, and one that is not.
 */
#ifndef MANAGER_HOST_REQUESTS_H
#define MANAGER_HOST_REQUESTS_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#include "common/channel.h"
#include "common/errors.h"

struct manager;

/**
 * enum lane_id - sorts of work that do not wait for each other
 * @LANE_QUICK: needs the store alone
 * @LANE_KEYS: waits for key servers, while a host waits for it
 * @LANE_PROVISION: waits for key servers and for hosts
 */
enum lane_id {
	LANE_QUICK,
	LANE_KEYS,
	LANE_PROVISION,
	N_LANES,
};

/**
 * struct host_peer - who asks
 * @host: UUID
 * @serial: of the certificate that the connection was made with
 * @address: of the host
 * @report: the parts of a disk.report that have come; NULL: none
 * @order: keywatch_host_lock() of the host, when the handler has it: unlocked once its answer
 *	is on its way, so that nothing that has to come behind it overtakes it; else NULL
 */
struct host_peer {
	const char *host;
	const char *serial;
	const char *address;
	json_t *report;
	pthread_mutex_t *order;
};

/**
 * struct host_request - what can be asked for
 * @serve: @args have the channel's form; writes *ret on success, else *why
 */
struct host_request {
	const char *op;
	enum lane_id lane;
	int (*serve)(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		     struct channel_failure *why);
};

#define HOST_HELLO "hello"
#define HOST_REPORT "disk.report"

/** host_request_find() - NULL: there is no such operation */
const struct host_request *host_request_find(const char *op);

/**
 * host_dialled() - whether this certificate is still the host's
 *
 * It is asked by the thread that serves all connections, and so waits for the store a
 * moment only.
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED; -EBUSY: the host is to dial again.
 */
int host_dialled(struct manager *m, const char *host, const char *serial, struct error *e);

/** host_greeted() - what follows a hello: mode, keys to forget, keys to have; waits for the host */
void host_greeted(struct manager *m, const char *host);

/** host_reported() - what follows a report: keys to forget that disks used; waits for the host */
void host_reported(struct manager *m, const char *host);

/** host_lost() - its connection has ended, and there is no new one */
void host_lost(struct manager *m, const char *host, const char *address);

/* Handlers, by file. */
int host_hello(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
	       struct channel_failure *why);
int host_renew(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
	       struct channel_failure *why);
int host_report(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		struct channel_failure *why);

#endif
