/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encryption mode of hosts, as vSphere has it:
 *
 *   incapable          has no keys and gets none
 *   prepared           the same, but the first need of a key enables it
 *   safe               has a host key, and may have those of its VMs
 *   pending-incapable  was disabled, and gets no more keys; what it has ends with a reboot
 *
 * A host joins as prepared. The policy of its cluster, crypto_mode, is "onDemand", which is
 * also that of hosts in none, or "forceEnable": then it is enabled when it connects.
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

/**
 * host_mode_on_demand() - a key is wanted: enable the host when it is prepared
 *
 * Recorded as done by the manager. Return: 0, also when there is nothing to do.
 */
int host_mode_on_demand(struct manager *m, const char *host, struct error *e);

/**
 * host_mode_forced() - the same, where the cluster's policy wants it
 *
 * Return: 1: it was enabled, and given its keys; 0: there is nothing to do.
 */
int host_mode_forced(struct manager *m, const char *host, struct error *e);

/** host_mode_tell() - mode.set; a host that is away needs none */
int host_mode_tell(struct manager *m, const char *host, struct error *e);

/** host_mode_rebooted() - change the document of a host that was rebooted; not stored here */
int host_mode_rebooted(json_t *document, struct error *e);

#endif
