/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/web_peers.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"

#define FDS_MAX 8192	/* descriptors of the process that are known; more than it may have */

/* @network: all zero: no connection */
struct peer {
	uint8_t network[16];
	uint16_t port;
};

struct web_peers {
	unsigned int max;
	int highest;
	struct peer peer[FDS_MAX];
};

struct web_peers *web_peers_new(unsigned int max)
{
	struct web_peers *peers = calloc(1, sizeof(*peers));

	if (!peers)
		return NULL;
	peers->max = max;
	peers->highest = -1;
	return peers;
}

void web_peers_free(struct web_peers *peers)
{
	free(peers);
}

/* IPv4 as it is mapped into IPv6; of IPv6 what one client may have many of is left out. */
static bool find_peer(int fd, struct peer *ret)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t size = sizeof(address);
	const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;

	*ret = (struct peer){ .port = 0 };
	if (getpeername(fd, (struct sockaddr *)&address, &size) < 0)
		return false;
	if (address.ss_family == AF_INET) {
		memset(ret->network + 10, 0xff, 2);
		memcpy(ret->network + 12, &four->sin_addr, 4);
		ret->port = four->sin_port;
	} else if (address.ss_family == AF_INET6) {
		memcpy(ret->network, &six->sin6_addr,
		       IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) ? 16 : 8);
		ret->port = six->sin6_port;
		/* ::1 is no network of 64 bits, and no empty place. */
		if (IN6_IS_ADDR_LOOPBACK(&six->sin6_addr))
			ret->network[15] = 1;
	}
	return true;
}

/* The connection behind @fd is still the one that was admitted. */
static bool is_there(struct web_peers *peers, int fd)
{
	struct peer now;

	if (find_peer(fd, &now) && now.port == peers->peer[fd].port &&
	    memcmp(now.network, peers->peer[fd].network, sizeof(now.network)) == 0)
		return true;
	peers->peer[fd] = (struct peer){ .port = 0 };
	return false;
}

static unsigned int count(struct web_peers *peers, const struct peer *peer)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd <= peers->highest; fd++)
		n += memcmp(peers->peer[fd].network, peer->network, sizeof(peer->network)) == 0 &&
		     is_there(peers, fd);
	return n;
}

bool web_peers_admit(struct web_peers *peers, int fd)
{
	struct peer peer;

	if (!peers->max)
		return true;
	/* Gone again, or nobody knows how to count it. */
	if (fd < 0 || fd >= FDS_MAX || !find_peer(fd, &peer))
		return false;
	/* What stood here was another connection's. */
	peers->peer[fd] = (struct peer){ .port = 0 };
	if (count(peers, &peer) >= peers->max)
		return false;
	peers->peer[fd] = peer;
	if (fd > peers->highest)
		peers->highest = fd;
	return true;
}
