/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys that hosts have to forget.
 *
 * Documents of kind "withdrawal", one for each key of each host: id "HOST/PROVIDER/KEY-ID"
 * {host, provider, key, vm: UUID|null, order: a UUID that is new whenever it is wanted anew,
 * refused: the host's words, because a disk there uses the key; null}. One is there from the
 * transaction that takes the right to the key until the host has forgotten it, may have it
 * again, or was removed: a host that is away meanwhile, and a manager that ends, change
 * nothing.
 */
#ifndef MANAGER_KEYS_WITHDRAW_H
#define MANAGER_KEYS_WITHDRAW_H

#include <jansson.h>
#include <stdbool.h>

#include "common/errors.h"

struct manager;
struct store;

/*
 * In the transaction that changes who may have keys, after the change: write down what is
 * to be forgotten, and drop what is not any more. A host that is not in mode safe is left
 * out, for it forgets all keys when it learns of its mode.
 */

/** keys_withdraw_vm() - a VM has moved or is gone. @before: UUIDs of hosts that could have its keys */
int keys_withdraw_vm(struct manager *m, const json_t *before, const char *vm, struct error *e);

/** keys_withdraw_cluster() - a host has left a cluster, "": came from none */
int keys_withdraw_cluster(struct manager *m, const char *host, const char *cluster,
			  struct error *e);

/**
 * keys_withdraw_key() - a key is not on the list any more
 * @key: its document
 * @hosts: UUIDs
 * @but: an object whose members are hosts that have forgotten it
 */
int keys_withdraw_key(struct manager *m, const json_t *key, const json_t *hosts, const json_t *but,
		      struct error *e);

/** keys_withdraw_drop() - the host is removed */
int keys_withdraw_drop(struct store *store, const char *host, struct error *e);

/**
 * keys_withdraw_reported() - a host tells of all its disks: ask it again for what they use no more
 * @disks: as disk.report has them
 *
 * In a transaction of the caller's; keys_withdraw() follows it.
 */
int keys_withdraw_reported(struct store *store, const char *host, const json_t *disks,
			   struct error *e);

/**
 * keys_withdraw() - have a host forget what it has to, native providers too; waits for it
 * @all: also what it has refused because a disk uses it
 *
 * Recorded for each key. A disk that runs goes on, for its DEK is in the kernel. What the
 * host refuses, or does not answer, is asked again when it says hello, when a report of its
 * disks has the key no more, and now and then.
 */
void keys_withdraw(struct manager *m, const char *host, bool all);

/** keys_withdraw_each() - the same for those of many hosts that are connected. @hosts: UUIDs */
void keys_withdraw_each(struct manager *m, const json_t *hosts);

/** keys_withdraw_again() - the same for all that have to forget something */
void keys_withdraw_again(struct manager *m);

/** keys_withdraw_hosts() - UUIDs of those that have to forget a key; the caller owns it */
int keys_withdraw_hosts(struct store *store, const char *provider, const char *key, json_t **ret,
			struct error *e);

/** keys_withdraw_list() - [{provider, key, vm, refused}] of a host; the caller owns it */
int keys_withdraw_list(struct store *store, const char *host, json_t **ret, struct error *e);

#endif
