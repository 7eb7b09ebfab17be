/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys at the key server: made, fetched, destroyed. Nothing is recorded here: that is for
 * who asks.
 */
#ifndef MANAGER_KEYS_MATERIAL_H
#define MANAGER_KEYS_MATERIAL_H

#include "common/channel.h"
#include "common/secret.h"
#include "kmip/keystate.h"
#include "manager/providers.h"

/**
 * struct key_owner - what a key is for
 * @vm: UUID, or NULL
 * @host: UUID of the host whose host key it is, or NULL
 * @name: of VM or host, for the key server's people
 * @disk: label of the disk, or NULL
 * @made_on: UUID of the host that has asked for it, or NULL
 */
struct key_owner {
	const char *vm;
	const char *host;
	const char *name;
	const char *disk;
	const char *made_on;
};

/**
 * struct key_failure - why a key cannot be had
 * @why: one of the ten reasons; KEYSTATE_AVAILABLE: it is none of them
 */
struct key_failure {
	struct error error;
	enum keystate why;
};

/** key_failure_channel() - the same for a host */
void key_failure_channel(const struct key_failure *failure, struct channel_failure *ret);

/** key_failure_event() - vSphere's name for it in the record, NULL: none */
const char *key_failure_event(const struct key_failure *failure);

/**
 * key_make() - make a key at a provider, active, labelled as vCenter does, and on the list
 * @ret_key: KEY_ID_MAX + 1 bytes
 * @ret: the key itself, fetched back; NULL: only whether that goes
 *
 * The labels are for people: a server that takes none is no failure. What cannot be used
 * is destroyed again, unless its id is one that the provider uses for another key.
 *
 * Return: 0; -EEXIST (such an id).
 */
int key_make(struct manager *m, struct provider_set *set, const struct key_owner *owner,
	     char *ret_key, struct secret *ret, struct key_failure *why);

/**
 * key_make_probe() - the key that tells whether keys can be had
 *
 * It and its check value take the place of what @set has.
 */
int key_make_probe(struct manager *m, struct provider_set *set, struct key_failure *why);

/** key_fetch() - a key by its id; only an active one is given, the probe key only as it was made */
int key_fetch(struct provider_set *set, const char *key, struct secret *ret,
	      struct key_failure *why);

/** key_destroy() - revoke and destroy it at the key server; one that is gone is no failure */
int key_destroy(struct provider_set *set, const char *key, struct error *e);

/** key_set() - providers_hold(), or why this provider has no key servers */
int key_set(struct manager *m, const char *provider, struct provider_set **ret,
	    struct key_failure *why);

#endif
