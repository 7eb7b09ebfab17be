/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANAGER_KEYS_WITHDRAW_H
#define MANAGER_KEYS_WITHDRAW_H

#include <jansson.h>

struct manager;

/**
 * keys_withdraw() - have hosts forget the keys of a VM, where they may not have them any more
 * @hosts: UUIDs of hosts that might have them; those that still may keep them
 * @vm: UUID
 *
 * After a host or a VM has moved. Recorded for each key. A disk that runs goes on, for its
 * DEK is in the kernel. Failures are recorded and no more: a host does not let go of a
 * key that a disk it knows needs, and one that is not connected cannot be asked.
 */
void keys_withdraw(struct manager *m, const json_t *hosts, const char *vm);

/** keys_withdraw_cluster() - the same for one host and all VMs of a cluster that it has left */
void keys_withdraw_cluster(struct manager *m, const char *host, const char *cluster);

#endif
