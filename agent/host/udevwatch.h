/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tells the agent of block devices that come. */
#ifndef HOST_UDEVWATCH_H
#define HOST_UDEVWATCH_H

#include "common/errors.h"
#include "host/host.h"

struct udev_watch;

/**
 * udev_watch_new() - listen to udev for block devices
 * @came: called in the main loop when one came (@added) or changed
 *
 * Where no udev runs nothing comes; the agent also looks from time to time.
 */
int udev_watch_new(struct host *host, void (*came)(struct host *host, dev_t device, bool added),
		   struct udev_watch **ret, struct error *e);
void udev_watch_free(struct udev_watch *watch);

#endif /* HOST_UDEVWATCH_H */
