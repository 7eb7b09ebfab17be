/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys on their way to hosts.
 */
#ifndef MANAGER_KEYS_PUSH_H
#define MANAGER_KEYS_PUSH_H

#include <jansson.h>

#include "common/secret.h"
#include "manager/providers.h"

/** KEYS_PUSH_MS - that one host among others has to take a key, while somebody waits */
#define KEYS_PUSH_MS 4000

/**
 * struct key_push - one key for one host
 */
struct key_push {
	const struct provider_set *set;
	const char *key;
	const struct secret *material;
};

/**
 * key_push_one() - give a host a key, if it is connected and may have it as things are now
 *
 * Recorded. Takes the host's lock, and does not wait for it longer than KEYS_PUSH_MS.
 *
 * Return: 0; -ENOTCONN, -EBUSY (it is being given other things), what key_right() says;
 * what the host answered.
 */
int key_push_one(struct manager *m, const char *host, const struct key_push *push,
		 struct error *e);

/**
 * key_push_all() - the same for many hosts at once
 * @hosts: UUIDs
 * @but: one that is left out
 *
 * Failures are recorded and no more: a host asks for what it misses.
 */
void key_push_all(struct manager *m, const json_t *hosts, const char *but,
		  const struct key_push *push);

/**
 * keys_ask_host() - link_ask() for who tells a failure on, and no more
 * @args: the reference is taken over; NULL: out of memory
 */
int keys_ask_host(struct manager *m, const char *host, const char *op, json_t *args,
		  unsigned int timeout_ms, json_t **ret, struct error *e);

/**
 * keys_each_host() - call something for many hosts at once, each in a thread
 * @hosts: UUIDs; those that are not connected are left out
 */
void keys_each_host(struct manager *m, const json_t *hosts,
		    void (*work)(struct manager *m, const char *host, void *userdata),
		    void *userdata);

#endif
