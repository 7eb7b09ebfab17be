// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/protocol.h"

#define REQUEST_ID 1	/* one request for each connection */

static int connect_error(const char *path, int code, struct error *e)
{
	switch (code) {
	case ENOENT:
	case ECONNREFUSED:
		return error_fail(e, -code, "Cannot reach the agent at %s: vmcryptd is not running. Start it (systemctl start vmcryptd); if it does not stay up, its log says why (journalctl -u vmcryptd)",
				 path);
	case EACCES:
	case EPERM:
		return error_set(e, -code, EXIT_NOT_ALLOWED, /* reason= */ 0,
				 "Cannot reach the agent at %s: permission denied. Root may do everything, members of group %s may read",
				 path, VMCRYPT_GROUP);
	case EAGAIN:
		return error_fail(e, -code, "Cannot reach the agent at %s: too many clients wait for it. Try again",
				 path);
	default:
		return error_fail(e, -code, "Cannot reach the agent at %s: %s",
				 path, strerror(code));
	}
}

static int check_peer(int fd, const char *path, struct error *e)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return connect_error(path, errno, e);
	if (peer.uid != 0 && peer.uid != geteuid())
		return error_set(e, -EPERM, EXIT_NOT_ALLOWED, /* reason= */ 0,
				 "The process that listens at %s belongs to user %u, not to root: it is not the agent. Nothing was sent to it",
				 path, (unsigned int)peer.uid);
	return 0;
}

int cli_connect(const char *path, int *ret_fd, struct error *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	size_t length = strlen(path);
	int r;

	if (length >= sizeof(address.sun_path))
		return error_set(e, -ENAMETOOLONG, EXIT_USAGE, /* reason= */ 0,
				 "The path of a socket has at most %zu bytes, %s has %zu",
				 sizeof(address.sun_path) - 1, path, length);
	memcpy(address.sun_path, path, length + 1);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return connect_error(path, errno, e);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return connect_error(path, errno, e);
	r = check_peer(fd, path, e);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* The descriptors go with the first byte. */
static int send_all(int fd, const char *data, size_t size, const int *fds,
		    size_t n_fds, struct error *e)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * PROTOCOL_FDS_MAX)];
	} control = { 0 };
	struct iovec iov;
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds > 0) {
		struct cmsghdr *c;

		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	while (size > 0) {
		ssize_t n;

		iov = (struct iovec) { .iov_base = (char *)data, .iov_len = size };
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		/* A refusal may be waiting to be read. */
		if (n < 0 && errno == EPIPE)
			return 0;
		if (n < 0)
			return error_fail(e, -errno, "Cannot send the request to the agent: %s",
					 strerror(errno));
		data += n;
		size -= (size_t)n;
		message.msg_control = NULL;
		message.msg_controllen = 0;
	}
	return 0;
}

int cli_send(int fd, const char *op, json_t *args, const int *fds,
		size_t n_fds, struct error *e)
{
	_cleanup_json_ json_t *request = NULL;
	_cleanup_free_ char *line = NULL;
	size_t size;

	request = json_pack("{s:i, s:i, s:s, s:O}", "v", PROTOCOL_VERSION,
			    "id", REQUEST_ID, "op", op, "args", args);
	line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	if (!line)
		return error_oom(e);
	size = strlen(line);
	if (size >= PROTOCOL_LINE_MAX)
		return error_set(e, -EMSGSIZE, EXIT_USAGE, /* reason= */ 0,
				 "The arguments make a request of %zu bytes; %u are allowed",
				 size + 1, PROTOCOL_LINE_MAX);
	line[size] = '\n';
	return send_all(fd, line, size + 1, fds, n_fds, e);
}

static int gone(struct error *e)
{
	return error_fail(e, -ECONNRESET, "The agent closed the connection before it answered, so it is not known whether the operation took place. See vmcryptctl event list, and the agent's log (journalctl -u vmcryptd)");
}

/* Receives without room for control data, so that no descriptor comes in. */
static int receive_some(int fd, struct wire_buffer *buffer, int timeout_ms,
			struct error *e)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t room;
	char *data;
	ssize_t n;
	int r;

	r = wire_room(buffer, &data, &room, e);
	if (r < 0)
		return r;
	r = poll(&poll_fd, 1, timeout_ms);
	if (r == 0)
		return error_fail(e, -ETIMEDOUT, "The agent has said nothing for %d seconds, so it is not known whether the operation took place. See the agent's log (journalctl -u vmcryptd)",
				 timeout_ms / 1000);
	n = r < 0 ? r : recv(fd, data, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return gone(e);
	if (n < 0)
		return error_fail(e, -errno, "Cannot read the agent's answer: %s",
				 strerror(errno));
	wire_came(buffer, (size_t)n);
	return 0;
}

int cli_receive(int fd, struct wire_buffer *buffer, int timeout_ms,
		   struct wire_message *ret, struct error *e)
{
	const char *line;
	size_t size;
	int r;

	while (wire_line(buffer, &line, &size) == 0) {
		r = receive_some(fd, buffer, timeout_ms, e);
		if (r < 0)
			return r;
	}
	return wire_parse(line, size, REQUEST_ID, ret, e);
}
