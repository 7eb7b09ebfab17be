// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/socket.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "kmip/resolve.h"
#include "kmip/stream.h"

static void cleanup_addresses(struct addrinfo **addresses)
{
	if (*addresses)
		freeaddrinfo(*addresses);
}

/* Return: 0 or -errno of the connection. */
static int wait_connected(int fd, int64_t deadline)
{
	struct pollfd poller = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int64_t left;
	int error = 0, n;

	for (;;) {
		left = deadline - kmip_deadline(0);
		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&poller, 1, left > INT_MAX ? INT_MAX : (int) left);
		if (n > 0)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

/* Return: the socket or -errno. */
static int connect_one(const struct addrinfo *address, int64_t deadline)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Small messages, each waited for: only a delay would come of collecting. */
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		r = wait_connected(fd, deadline);
		if (r < 0)
			return r;
	}
	return TAKE_FD(fd);
}

int kmip_socket_connect(const char *host, uint16_t port, int64_t deadline, int *ret,
			struct error *e)
{
	_cleanup_(cleanup_addresses) struct addrinfo *addresses = NULL;
	const struct addrinfo *address;
	int r;

	r = kmip_resolve(host, port, deadline, &addresses, e);
	if (r < 0)
		return r;
	r = -EHOSTUNREACH;
	for (address = addresses; address; address = address->ai_next) {
		r = connect_one(address, deadline);
		if (r >= 0) {
			*ret = r;
			return 0;
		}
	}
	return error_set(e, r, EXIT_NO_KEY, 0,
			 "Connecting to key server %s port %u: %s; check that it runs and can be reached", host,
			 port, strerror(-r));
}

bool kmip_socket_readable(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, 0) > 0;
}
