/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Encryption mode of hosts, as vSphere has it:
 *
 *   incapable          has no keys and gets none
 *   prepared           the same, until it is enabled
 *   safe               has a host key, and may have those of its VMs
 *   pending-incapable  was disabled, and gets no more keys; what it has ends with a reboot
 *
 * A host joins as prepared.
 */
#ifndef MANAGER_HOST_MODE_H
#define MANAGER_HOST_MODE_H

#include <jansson.h>

#include "common/errors.h"

#define HOST_DISABLED_EVENT	"com.vmware.vc.host.Crypto.HostCryptoDisabled"


struct manager;

/** host_mode_tell() - mode.set; a host that is away needs none */
int host_mode_tell(struct manager *m, const char *host, struct error *e);

/** host_mode_rebooted() - change the document of a host that was rebooted; not stored here */
int host_mode_rebooted(json_t *document, struct error *e);

#endif
