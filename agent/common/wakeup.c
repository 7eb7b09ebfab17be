/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/wakeup.h"

#include <errno.h>
#include <sys/eventfd.h>

int wakeup_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

void wakeup_set(int fd)
{
	/* A full counter means that who waits is awake already. */
	(void)eventfd_write(fd, 1);
}

int wakeup_clear(int fd)
{
	eventfd_t count;

	return eventfd_read(fd, &count) < 0 && errno != EAGAIN ? -errno : 0;
}
