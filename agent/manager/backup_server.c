/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/wakeup.h"
#include "manager/backup_internal.h"
#include "manager/permission.h"
#include "manager/record.h"

#define REQUEST_S 5	/* to say what is wanted, and to take the answer */

struct backup_server {
	struct store *store;
	pthread_t thread;
	int listener;
	int stop;
};

int backup_recorded(struct store *store, int fd, struct store_copy *ret, struct error *e)
{
	struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = "manager.backup", .object = PERMISSION_GLOBAL,
	};
	_cleanup_json_ json_t *data = NULL;
	struct error own = ERROR_NULL;
	char id[UUID_TEXT_SIZE];
	int r = record_begin(store, &event, id, e);

	if (r < 0)
		return r;
	r = store_backup(store, fd, ret, &own);
	if (r == 0) {
		data = json_pack("{s:I, s:s}", "bytes", (json_int_t)ret->bytes, "sha256", ret->sha256);
		event.data = data;
	}
	record_end(store, id, &event, &own);
	if (r < 0 && e)
		*e = own;
	return r;
}

int backup_socket_path(int dir_fd, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	/* A folder's own path may be longer than an address. */
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/" BACKUP_SOCKET, dir_fd);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* The one request there is, and its file. Return: the descriptor, or -errno. */
static int receive(int fd)
{
	char text[16], control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof(control),
	};
	_cleanup_close_ int file = -1;
	struct cmsghdr *c;
	struct stat st;
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&file, CMSG_DATA(c), sizeof(file));
	if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || n != strlen(BACKUP_REQUEST) ||
	    memcmp(text, BACKUP_REQUEST, strlen(BACKUP_REQUEST)) != 0)
		return -EBADMSG;
	if (file < 0 || fstat(file, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0)
		return -EBADF;
	return TAKE_FD(file);
}

static json_t *answer(struct store *store, int fd)
{
	struct error e = ERROR_NULL;
	struct store_copy copy;
	_cleanup_close_ int file = -1;

	if (!may_ask(fd))
		return json_pack("{s:s}", "error", "Only root and the manager's own user may back it up");
	file = receive(fd);
	if (file < 0)
		return json_pack("{s:s}", "error", "That is no request for a backup with an empty file");
	if (backup_recorded(store, file, &copy, &e) < 0)
		return json_pack("{s:s}", "error", e.text);
	return json_pack("{s:I, s:s}", "bytes", (json_int_t)copy.bytes, "sha256", copy.sha256);
}

static void serve_one(struct store *store, int fd)
{
	const struct timeval limit = { .tv_sec = REQUEST_S };
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	json = answer(store, fd);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (text && send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		log_warning("Nobody waits for the answer about a backup: %s", strerror(errno));
}

static void *serve(void *arg)
{
	struct backup_server *server = arg;
	struct pollfd fds[] = {
		{ .fd = server->stop, .events = POLLIN }, { .fd = server->listener, .events = POLLIN },
	};

	while (poll(fds, ARRAY_SIZE(fds), -1) >= 0 || errno == EINTR) {
		_cleanup_close_ int fd = -1;

		if (fds[0].revents)
			break;
		fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			serve_one(server->store, fd);
	}
	return NULL;
}

static int listen_in(const char *dir, int *ret, struct error *e)
{
	_cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct sockaddr_un address;

	if (dir_fd >= 0)
		fd = backup_socket_path(dir_fd, &address);
	if (fd >= 0)
		unlinkat(dir_fd, BACKUP_SOCKET, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, /* backlog= */ 4) < 0)
		return error_fail(e, errno, "Cannot listen on %s/" BACKUP_SOCKET ": %s", dir,
				  strerror(errno));
	*ret = TAKE_FD(fd);
	return 0;
}

int backup_serve(struct store *store, const char *dir, struct backup_server **ret, struct error *e)
{
	struct backup_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return error_oom(e);
	*server = (struct backup_server){ .store = store, .listener = -1 };
	server->stop = wakeup_new();
	r = server->stop < 0 ? error_fail(e, server->stop, "Cannot make an eventfd: %s",
					  strerror(-server->stop)) : 0;
	if (r == 0)
		r = listen_in(dir, &server->listener, e);
	if (r == 0) {
		r = -pthread_create(&server->thread, NULL, serve, server);
		if (r < 0)
			error_fail(e, r, "Cannot start the thread for backups: %s", error_name(r));
	}
	if (r < 0) {
		close_fd(server->listener);
		close_fd(server->stop);
		free(server);
		return r;
	}
	*ret = server;
	return 0;
}

void backup_server_free(struct backup_server *server)
{
	if (!server)
		return;
	wakeup_set(server->stop);
	pthread_join(server->thread, NULL);
	close_fd(server->listener);
	close_fd(server->stop);
	free(server);
}
