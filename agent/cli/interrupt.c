// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "common/cleanup.h"

int interrupt_begin(struct interrupt *ret, struct error *e)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_fail(e, errno, "Cannot wait for signals: %s", strerror(errno));
	sigprocmask(SIG_BLOCK, &signals, NULL);
	ret->fd = fd;
	return 0;
}

void interrupt_done(struct interrupt *i)
{
	i->fd = close_fd(i->fd);
}

bool interrupt_wait(const struct interrupt *i, int ms)
{
	struct pollfd fd = { .fd = i->fd, .events = POLLIN };

	return poll(&fd, 1, ms) > 0;
}
