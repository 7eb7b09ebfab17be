/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hosts that are connected: who they are, and how they are asked. The
 * channel itself is in common/channel.h.
 *
 * May be called from any thread but that of the connections.
 */
#ifndef MANAGER_LINKS_H
#define MANAGER_LINKS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/channel.h"
#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"

/** LINK_ASK_MS - that a host has for an answer, where the caller has no wish of its own */
#define LINK_ASK_MS 20000

struct links;
struct manager;

/**
 * links_new() - to be put into @m, and given to the web server (web.h)
 * @m: stays where it is, and has its store and authority
 */
int links_new(struct manager *m, struct links **ret, struct error *e);

/** links_set_wake() - @wake: called from any thread when a connection is to be looked at */
void links_set_wake(struct links *links, void (*wake)(void *waker), void *waker);

/** links_stop() - let go who waits for hosts, and wait for what runs; NULL is left alone */
void links_stop(struct links *links);

/** links_free() - once the web server is gone; NULL is left alone */
void links_free(struct links *links);

/**
 * link_look_after() - have all done once more that follows a hello (host_greeted())
 *
 * By the lanes, not waited for. Nothing is done for a host that is not connected.
 */
void link_look_after(struct manager *m, const char *host);

/** link_connected() - whether the host is there and has said hello. @host: UUID as text */
bool link_connected(struct manager *m, const char *host);

/**
 * link_ask() - ask a host and wait for its answer
 * @op: one of those that a manager asks for
 * @args: the caller's reference stays the caller's
 * @timeout_ms: for all of it
 * @ret: the result, the caller owns it; may be NULL; written only on success
 * @why: the host's failure as it was, or ours
 *
 * Return: 0; -ENOTCONN (the host is away), -ETIMEDOUT, -ECONNRESET (went away
 * meanwhile), -EAGAIN (CHANNEL_PENDING_MAX wait already), all with EXIT_NO_KEY; what the
 * host answered.
 */
int link_ask(struct manager *m, const char *host, const char *op, json_t *args,
	     unsigned int timeout_ms, json_t **ret, struct channel_failure *why);

/**
 * link_seal_kek() - KEY of the channel's text, for the connection that the host has now
 * @kek: KEK_SIZE bytes
 * @ret: the caller owns it
 *
 * Does not look at the host's mode: that is for who decides to send it.
 *
 * Return: 0; -ENOTCONN; what box_seal_kek() answers.
 */
int link_seal_kek(struct manager *m, const char *host, const uint8_t provider[UUID_SIZE],
		  const char *provider_name, const char *key_id, const struct secret *kek,
		  json_t **ret, struct error *e);

/** link_seal_kdk() - base64 of the box for kdk.push; @ret: malloc'ed, no secret */
int link_seal_kdk(struct manager *m, const char *host, const uint8_t provider[UUID_SIZE],
		  const struct secret *kdk, char **ret, struct error *e);

/** link_close() - hang up, and answer what waits for this host; it may dial again */
void link_close(struct manager *m, const char *host);

#endif
