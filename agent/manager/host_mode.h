/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encryption mode of hosts, as vSphere has it:
 *
 *   incapable          has no keys and gets none
 *   prepared           the same, but may be enabled when a user needs a key there
 *   safe               has a host key, and may have those of its VMs
 *   pending-incapable  was disabled, and gets no more keys; what it has ends with a reboot
 *
 * A host joins as prepared. The policy of its cluster, crypto_mode, is "onDemand", which is
 * also that of hosts in none: it is enabled when somebody who may do that has a disk made or
 * attached there. Or "forceEnable": as soon as it is connected and has a default provider. It
 * is never enabled because the host asks.
 */
#ifndef MANAGER_HOST_MODE_H
#define MANAGER_HOST_MODE_H

#include <jansson.h>

#include "common/errors.h"

#define HOST_ENABLED_EVENT	"com.vmware.vc.host.Crypto.Enabled"
#define HOST_DISABLED_EVENT	"com.vmware.vc.host.Crypto.HostCryptoDisabled"

/* Values of crypto_mode. */
#define HOST_ON_DEMAND		"onDemand"
#define HOST_FORCE_ENABLE	"forceEnable"

struct manager;

/**
 * host_mode_failed_event() - vSphere's name for a host that could not be enabled
 *
 * NULL: key servers have no part in it.
 */
const char *host_mode_failed_event(const struct error *e);

/**
 * host_mode_enable() - make a host safe: a host key first, then its mode, then its keys
 * @user: who does it
 *
 * Waits for key servers and the host; one that is away learns of it when it connects. The
 * caller records it.
 *
 * Return: 0, also when it was safe already; -EBUSY: not before it was rebooted, or somebody
 * else is at it; what keys_make_host_key() answers.
 */
int host_mode_enable(struct manager *m, const char *host, const char *user, struct error *e);

/**
 * host_mode_disable() - incapable, or pending-incapable for one that was safe
 *
 * Return: 0; -EBUSY: encrypted disks are attached there.
 */
int host_mode_disable(struct manager *m, const char *host, struct error *e);

/** host_mode_prepared() - whether a key on this host wants it to be enabled. Return: 1, 0 */
int host_mode_prepared(struct manager *m, const char *host, struct error *e);

/**
 * host_mode_on_demand() - a user wants a key there, and may enable it: host_mode_enable()
 *
 * Recorded.
 */
int host_mode_on_demand(struct manager *m, const char *host, const char *user, struct error *e);

/**
 * host_mode_forced() - the same, where the cluster's policy wants it
 *
 * Return: 1: it was enabled, and given its keys; 0: there is nothing to do.
 */
int host_mode_forced(struct manager *m, const char *host, struct error *e);

/**
 * host_mode_force_all() - have the hosts of a cluster enabled where its policy wants it
 * @cluster: NULL: of all
 *
 * Those that are connected, by the lanes of the links: it is not waited for. Others are when
 * they connect.
 */
void host_mode_force_all(struct manager *m, const char *cluster);

/** host_mode_tell() - mode.set; a host that is away needs none */
int host_mode_tell(struct manager *m, const char *host, struct error *e);

/** host_mode_rebooted() - change the document of a host that was rebooted; not stored here */
int host_mode_rebooted(json_t *document, struct error *e);

#endif
