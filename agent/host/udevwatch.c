/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/udevwatch.h"

#include <errno.h>
#include <libudev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/log.h"

struct udev_watch {
	struct host *host;
	void (*came)(struct host *host, dev_t device, bool added);
	struct udev *udev;
	struct udev_monitor *monitor;
	sd_event_source *source;
};

static int on_udev(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct udev_watch *watch = userdata;
	struct udev_device *device;
	const char *action;

	(void)source;
	(void)fd;
	(void)revents;
	device = udev_monitor_receive_device(watch->monitor);
	if (!device)
		return 0;
	action = udev_device_get_action(device);
	if (action && strcmp(action, "remove") != 0)
		watch->came(watch->host, udev_device_get_devnum(device), !strcmp(action, "add"));
	udev_device_unref(device);
	return 0;
}

static int start(struct udev_watch *watch)
{
	int r;

	watch->udev = udev_new();
	if (!watch->udev)
		return -ENOMEM;
	watch->monitor = udev_monitor_new_from_netlink(watch->udev, "udev");
	if (!watch->monitor)
		return errno ? -errno : -EIO;
	r = udev_monitor_filter_add_match_subsystem_devtype(watch->monitor, "block", NULL);
	if (r >= 0)
		r = udev_monitor_enable_receiving(watch->monitor);
	if (r < 0)
		return r;
	return sd_event_add_io(watch->host->event, &watch->source,
			       udev_monitor_get_fd(watch->monitor), EPOLLIN, on_udev, watch);
}

int udev_watch_new(struct host *host, void (*came)(struct host *host, dev_t device, bool added),
		   struct udev_watch **ret, struct error *e)
{
	struct udev_watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return error_oom(e);
	watch->host = host;
	watch->came = came;
	r = start(watch);
	if (r < 0) {
		udev_watch_free(watch);
		return error_fail(e, r, "Cannot listen to udev: %s", strerror(-r));
	}
	*ret = watch;
	return 0;
}

void udev_watch_free(struct udev_watch *watch)
{
	if (!watch)
		return;
	sd_event_source_disable_unref(watch->source);
	udev_monitor_unref(watch->monitor);
	udev_unref(watch->udev);
	free(watch);
}
