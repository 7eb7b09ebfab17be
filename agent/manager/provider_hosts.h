/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Native providers on the hosts: who may have which KDK, who has it, and who is to forget it.
 *
 * A host in mode safe may have the KDK of a provider that is backed up and
 *
 *	is the host's default one, by whichever scope decides (provider_default_of()), or
 *	has a key that is used by a disk of a VM which is registered to the host or its cluster.
 *
 * Without a TPM it may have one only where that was asked for by name (allow_unsealed). What a
 * host says of a disk's keys counts for the second rule only if that host was given the provider
 * itself before: else one could claim a disk in order to get a KDK.
 *
 * Documents of kind "kdk": id "HOST/PROVIDER" {host, provider, provider_name, sealed: by the
 * host's TPM, null: not known, refused: why the host has not forgotten it yet, null, gone: it
 * has forgotten it}. One is there from before a KDK is sent until the host is removed; it is gone
 * once the host has said so: a host that is away, and a manager that ends, change nothing. A host
 * that has one and may not have it is asked to forget it; one that has attached a disk with a key
 * of the provider refuses, goes on, and is asked again, as with single keys (keys_withdraw.h).
 * Documents of kind "kdk-use": id "DISK/PROVIDER" {disk, provider}, as a host has said that had
 * the provider.
 */
#ifndef MANAGER_PROVIDER_HOSTS_H
#define MANAGER_PROVIDER_HOSTS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/errors.h"

struct host_view;
struct manager;
struct store;

/**
 * provider_hosts_settle() - have a host forget what it may not have, and give it what it may
 * @view: as host_view() has it
 *
 * Under keywatch_host_lock(). Waits for the host; recorded.
 *
 * Return: the first failure, after all was tried.
 */
int provider_hosts_settle(struct manager *m, const char *host, const struct host_view *view,
			  struct error *e);

/**
 * provider_hosts_withdraw() - the first half of it; takes the lock. For keys_withdraw()
 * @all: also what the host has refused before
 */
void provider_hosts_withdraw(struct manager *m, const char *host, bool all);

/** provider_hosts_owing() - hosts that have refused to forget one become members of @hosts */
int provider_hosts_owing(struct store *store, json_t *hosts, struct error *e);

/**
 * provider_hosts_reported() - a host tells of all its disks: note what they use, and ask it again
 * to forget where none is in the way
 * @disks: as disk.report has them
 *
 * In a transaction of the caller's.
 */
int provider_hosts_reported(struct store *store, const char *host, const json_t *disks,
			    struct error *e);

/** provider_hosts_give() - to hosts what they may have now and have not. @hosts: UUIDs; waits */
void provider_hosts_give(struct manager *m, const json_t *hosts);

/**
 * provider_hosts_spread() - give what a host's disks use to those that may attach them, too
 *
 * After a report: a disk of a VM of the cluster may have come that uses another provider
 * than the cluster's. Waits for the hosts.
 */
void provider_hosts_spread(struct manager *m, const char *host);

/** PROVIDER_USE_KIND - deleted with its provider */
#define PROVIDER_USE_KIND	"kdk-use"

/** provider_hosts_drop() - the host is removed */
int provider_hosts_drop(struct store *store, const char *host, struct error *e);

/** provider_hosts_list() - [{provider, provider_name, sealed, refused}] of a host */
int provider_hosts_list(struct store *store, const char *host, json_t **ret, struct error *e);

/**
 * provider_hosts_find() - the document of a host and a provider; the caller owns it
 *
 * Return: 0; -ENOENT: the host does not have it.
 */
int provider_hosts_find(struct store *store, const char *host, const char *provider, json_t **ret,
			struct error *e);

/** provider_hosts_check_tpm() - Return: 0; -ENODEV, and what to do: the host may not have it */
int provider_hosts_check_tpm(const struct host_view *view, const json_t *document,
			     struct error *e);

#endif
