/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's key requests: each is answered with the key, or with the exact
 * reason why not.
 */
#ifndef HOST_KEYREQUEST_H
#define HOST_KEYREQUEST_H

#include "common/errors.h"
#include "host/host.h"

struct key_requests;

/**
 * key_requests_new() - listen to the kernel, and take up what is pending
 * @module_came: called in the main loop when the kernel module was loaded, at
 *	once where it is there already
 *
 * Works without the kernel module; it is noticed when it comes.
 */
int key_requests_new(struct host *host, void (*module_came)(struct host *host),
		     struct key_requests **ret, struct error *e);
void key_requests_free(struct key_requests *requests);

/* Whether the kernel module is loaded, as the listener has seen it. */
bool key_requests_module_loaded(const struct key_requests *requests);

/**
 * device_path() - the node of a block device
 * @ret: malloc'ed
 *
 * /dev/block/MAJ:MIN where udev runs, else what sysfs calls it.
 *
 * Return: 0; -ENOENT or -ENOMEM.
 */
int device_path(uint32_t major, uint32_t minor, char **ret, struct error *e);

#endif /* HOST_KEYREQUEST_H */
