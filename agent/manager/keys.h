/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys: made at a provider for a VM or a host, given to the hosts that may have
 * them, known by their IDs. Material is fetched when it is needed and kept
 * nowhere here.
 *
 * Documents of kind "key": id "PROVIDER/KEY-ID" {provider, key, vm: UUID|null, host:
 * UUID|null (a host key), disk: label|null, made_on: UUID|null (the host that has asked for
 * it, until a disk with it was reported), created}.
 *
 * May be called from any thread but that of the connections; everything here waits for
 * key servers and hosts.
 */
#ifndef MANAGER_KEYS_H
#define MANAGER_KEYS_H

#include <jansson.h>

#include "common/channel.h"
#include "common/errors.h"

struct host_peer;
struct manager;

/*
 * What hosts ask for (common/channel.h). @args have the channel's form. On success *ret is
 * the answer's result; else *why is filled. Both check that the host is in mode safe and
 * may have the key, before the key server is asked and after it, and record what they do.
 * They may leave @peer's order locked, see there.
 */
int keys_serve_new(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		   struct channel_failure *why);
int keys_serve_get(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		   struct channel_failure *why);

/**
 * keys_make_host_key() - a host key, when the host's encryption mode is enabled
 * @user: who enables it
 * @ret: {"provider": UUID, "key": ID}, for the host's document; null where the default
 *	provider is native: hosts make keys of that themselves
 *
 * At the provider that is the default for the host. Fetched back once, so that mode
 * safe is never set while keys cannot be had.
 *
 * Return: 0; -ENOENT (no default provider) and others, with EXIT_NO_KEY.
 */
int keys_make_host_key(struct manager *m, const char *host, const char *user, json_t **ret,
		       struct error *e);

/**
 * keys_provision() - give a host what it may have: provider.set, kdk.push of native providers,
 * key.push with the keys of its VMs
 *
 * Called when a host has said hello, got another mode or cluster; for a host that is
 * not in mode safe providers are set and nothing secret is sent. A key server that is
 * away fails nothing: the host asks again for what it misses. The first failure is
 * returned, after everything was tried.
 */
int keys_provision(struct manager *m, const char *host, struct error *e);

/**
 * keys_provision_all() - tell all connected hosts of a cluster of their providers, NULL: all
 *
 * For when providers or defaults change: provider.set, kdk.push, and no KEK.
 */
void keys_provision_all(struct manager *m, const char *cluster);

/**
 * keys_share_vm() - give a VM's keys to its hosts, those that are connected and safe
 *
 * For when it was registered or moved. Each key is fetched once, and not at all when nobody is
 * there to have it. Failures are recorded and no more: what cannot be had now is tried again.
 */
void keys_share_vm(struct manager *m, const char *vm);

#endif
