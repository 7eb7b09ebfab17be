/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANAGER_HOST_CHANGE_H
#define MANAGER_HOST_CHANGE_H

#include "common/errors.h"

struct manager;

/**
 * struct host_changes - what becomes different; NULL: stays
 * @cluster: "": in none
 * @actor: user who changes it, who is not to rise by that; NULL: the manager itself
 */
struct host_changes {
	const char *name;
	const char *cluster;
	const char *actor;
};

/**
 * host_change() - rename or move
 *
 * The host is made to forget the keys of the cluster that it leaves, and gets the new one's,
 * and its encryption mode by that one's policy: soon when it is connected, else when it
 * connects (keys_withdraw(), link_look_after()).
 *
 * Return: 0; -EBUSY: encrypted disks are attached that would be left behind; -EEXIST (name),
 * -ENOENT, -EINVAL with EXIT_USAGE, -EACCES with EXIT_NOT_ALLOWED (@actor would rise).
 */
int host_change(struct manager *m, const char *host, const struct host_changes *changes,
		struct error *e);

#endif
