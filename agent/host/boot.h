/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disks of /etc/vmcrypt/disks: attached in parallel when the agent starts,
 * tried again when what they waited for comes.
 */
#ifndef HOST_BOOT_H
#define HOST_BOOT_H

#include <jansson.h>
#include <sys/types.h>

#include "common/errors.h"
#include "host/host.h"

struct boot;

/**
 * boot_new() - read the list and begin
 * @settled: called once, in the main loop, when each line is attached, has
 *	failed, or has waited conf.boot_wait_s
 */
int boot_new(struct host *host, void (*settled)(struct host *host), struct boot **ret,
	     struct error *e);
void boot_free(struct boot *boot);

/* Read the list again; lines that are attached stay so. */
int boot_reload(struct boot *boot, struct error *e);

/* A block device was added, or has changed: try the line that names it. In the main loop. */
void boot_device_came(struct boot *boot, dev_t device, bool added);

/* Try all that waits or has failed: the kernel module came. In the main loop. */
void boot_retry(struct boot *boot);

/* The same soon, from any thread; for retry_all_soon(). */
void boot_retry_soon(struct host *host);

/* {"attached", "failed", "waiting", "lines"} of `status`; from any thread. */
json_t *boot_json(struct boot *boot);

/* How many lines are attached, have failed for good reason, wait. */
void boot_count(struct boot *boot, unsigned int *ret_attached, unsigned int *ret_failed,
		unsigned int *ret_waiting);

#endif /* HOST_BOOT_H */
