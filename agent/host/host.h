/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent's one context. Its objects know it; it knows nothing of them but
 * that they are there.
 *
 * The main loop owns sockets, the netlink listener, udev and timers, and never
 * waits for storage. Operations and key requests run in workers; what they use
 * from here (events, state, providers, netlink) takes calls from any thread.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/errors.h"
#include "disk/netlink.h"
#include "host/conf.h"
#include "host/events.h"
#include "host/state.h"
#include "host/workers.h"
#include "provider/provider.h"

struct boot;
struct key_requests;
struct link;
struct retry;
struct server;
struct udev_watch;

/**
 * struct host - the agent
 * @operations: workers for what comes over the socket, and for attaching
 * @key_work: workers for the kernel's key requests, which must not wait behind
 *	an administrator's operations
 * @started: seconds since 1970
 * @idle: when it fires, cached KDKs are forgotten
 */
struct host {
	struct host_conf conf;
	sd_event *event;
	struct events *events;
	struct state *state;
	struct provider_registry *providers;
	struct nl_client *netlink;
	struct workers *operations;
	struct workers *key_work;
	struct key_requests *requests;
	struct link *link;
	struct retry *retry;
	struct server *server;
	struct boot *boot;
	struct udev_watch *udev;
	sd_event_source *idle;
	int64_t started;
};

/**
 * host_start() - make all objects, in the order in which they need each other
 * @conf: taken over
 *
 * Return: 0 or -errno; on failure @ret holds what is made so far, for host_done().
 */
int host_start(struct host_conf *conf, struct host *ret, struct error *e);

/* Let go of everything, in the reverse order. Attached disks stay attached. */
void host_done(struct host *host);

#endif /* HOST_HOST_H */
