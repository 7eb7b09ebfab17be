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

/* Connections are kept for later: one whose server is gone without a word is found dead
 * within a minute, and a firewall in between does not forget it. */
static void set_options(int fd)
{
	static const struct {
		int level;
		int option;
		int value;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 30 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 4 },
		/* Small messages, each waited for: only a delay would come of collecting. */
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(options); i++)
		(void) setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof(int));
}

/* Return: the socket or -errno. */
static int connect_one(const struct addrinfo *address, int64_t deadline)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	set_options(fd);
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return -errno;
		r = wait_connected(fd, deadline);
		if (r < 0)
			return r;
	}
	return TAKE_FD(fd);
}

/* The time that is left is shared among those that are left, so that one which nobody
 * answers for, often the first of them, leaves time for the others. */
static int connect_any(const struct addrinfo *addresses, int64_t deadline)
{
	const struct addrinfo *address;
	int r = -EHOSTUNREACH;
	int64_t left, n = 0;

	for (address = addresses; address; address = address->ai_next)
		n++;
	for (address = addresses; address; address = address->ai_next) {
		left = deadline - kmip_deadline(0);
		r = connect_one(address, deadline - left + left / n--);
		if (r >= 0)
			break;
	}
	return r;
}

int kmip_socket_connect(const char *host, uint16_t port, int64_t deadline, int *ret,
			struct error *e)
{
	_cleanup_(cleanup_addresses) struct addrinfo *addresses = NULL;
	int r;

	r = kmip_resolve(host, port, deadline, &addresses, e);
	if (r < 0)
		return r;
	r = connect_any(addresses, deadline);
	if (r >= 0) {
		*ret = r;
		return 0;
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
