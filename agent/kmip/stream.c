// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/encode.h"

int64_t kmip_deadline(unsigned int ms)
{
	return time_monotonic_ms() + ms;
}

static int wait_for(int fd, short events, int64_t deadline, struct error *e)
{
	struct pollfd poller = { .fd = fd, .events = events };
	int64_t left;
	int n;

	for (;;) {
		left = deadline - time_monotonic_ms();
		if (left <= 0)
			return error_set(e, ETIMEDOUT, EXIT_NO_KEY, 0,
					 "Waiting for the key server: it did not answer in time; check that it runs and can be reached");
		n = poll(&poller, 1, left > INT_MAX ? INT_MAX : (int) left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return error_fail(e, errno, "Waiting for the key server: %s", strerror(errno));
	}
}

static ssize_t fd_read(void *context, void *data, size_t size, int64_t deadline, struct error *e)
{
	const int *fd = context;
	ssize_t n;
	int r;

	for (;;) {
		r = wait_for(*fd, POLLIN, deadline, e);
		if (r < 0)
			return r;
		n = recv(*fd, data, size, MSG_DONTWAIT);
		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR)
			return error_set(e, errno, EXIT_NO_KEY, 0, "Reading from the key server: %s; check the connection to it",
					 strerror(errno));
	}
}

static ssize_t fd_write(void *context, const void *data, size_t size, int64_t deadline,
			struct error *e)
{
	const int *fd = context;
	ssize_t n;
	int r;

	for (;;) {
		r = wait_for(*fd, POLLOUT, deadline, e);
		if (r < 0)
			return r;
		n = send(*fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR)
			return error_set(e, errno, EXIT_NO_KEY, 0, "Writing to the key server: %s; check the connection to it",
					 strerror(errno));
	}
}

struct kmip_stream kmip_stream_fd(int *fd)
{
	return (struct kmip_stream) { .read = fd_read, .write = fd_write, .context = fd };
}
