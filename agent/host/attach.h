/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attaching a disk: header, key, table, in this order. Runs in a worker.
 */
#ifndef HOST_ATTACH_H
#define HOST_ATTACH_H

#include "common/errors.h"
#include "disk/dm.h"
#include "host/host.h"

/**
 * struct attach - what to attach how; strings are the caller's
 * @header: path of a detached header, NULL: on the device or as the state knows
 * @dek: UUID of the DEK that is to be there; NULL: whichever is
 * @user: for the event
 * @given_up: asked before each effect; may be NULL
 */
struct attach {
	const char *device;
	const char *name;
	const char *header;
	const char *dek;
	struct dm_disk_options options;
	const char *user;
	bool (*given_up)(void *userdata);
	void *userdata;
};

/**
 * attach_disk() - make a mapped device
 * @ret_dek: UUID of the DEK
 *
 * The key is in the kernel before the table is made. If that fails, the key is
 * taken out again unless another disk uses it.
 *
 * Return: 0; -EEXIST (the name is taken), -ESTALE (not that DEK), -EACCES (locked by
 * an administrator), -ENOKEY and the like from header and providers, with the reason in @e.
 */
int attach_disk(struct host *host, const struct attach *attach, uint8_t ret_dek[UUID_SIZE],
		struct error *e);

#endif /* HOST_ATTACH_H */
