/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/server.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/log.h"
#include "common/wakeup.h"
#include "host/client.h"

#define GROUPS_MAX	65536	/* NGROUPS_MAX of Linux */

/* Whether a group is among the peer's, as they were when it connected. */
static bool peer_in_group(int fd, gid_t first, gid_t wanted)
{
	_cleanup_free_ gid_t *groups = NULL;
	socklen_t size = GROUPS_MAX * sizeof(gid_t);
	size_t i;

	if (first == wanted)
		return true;
	groups = malloc(size);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (i = 0; i < size / sizeof(gid_t); i++)
		if (groups[i] == wanted)
			return true;
	return false;
}

static enum privilege peer_privilege(const struct server *server, int fd,
				     const struct ucred *peer)
{
	if (peer->uid == 0)
		return PRIVILEGE_CHANGE;
	if (server->has_group && peer_in_group(fd, peer->gid, server->group))
		return PRIVILEGE_READ;
	return PRIVILEGE_NONE;
}

static int accept_one(struct server *server, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	enum privilege has;
	struct client *client;
	unsigned int max;
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	has = peer_privilege(server, fd, &peer);
	max = has == PRIVILEGE_CHANGE ? SERVER_CLIENTS_MAX : SERVER_CLIENTS_OTHERS;
	if (server->n_clients >= max)
		return -EUSERS;
	r = client_new(server, fd, &client);
	if (r < 0)
		return r;
	client->uid = peer.uid;
	client->pid = peer.pid;
	client->has = has;
	return 0;
}

static int on_connect(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct server *server = userdata;
	int r, connection;

	(void)source;
	(void)revents;
	connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (connection < 0)
		return 0;
	r = accept_one(server, connection);
	if (r < 0) {
		log_warning("A connection to %s is refused: %s", server->path, strerror(-r));
		close_fd(connection);
	}
	return 0;
}

/* Workers have added to what is to be sent. */
static int on_wake(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct server *server = userdata;
	struct client *client, *next;
	int r = wakeup_clear(fd);

	(void)source;
	(void)revents;
	if (r < 0)
		return r;
	/* client_flush() may take out this client, and no other. */
	for (client = TAILQ_FIRST(&server->clients); client; client = next) {
		next = TAILQ_NEXT(client, entry);
		client_flush(client);
	}
	return 0;
}

/* From events_watch(), any thread. */
static void on_event(const char *text, size_t size, uint64_t seq, void *userdata)
{
	struct server *server = userdata;
	struct client *client;

	pthread_mutex_lock(&server->lock);
	TAILQ_FOREACH(client, &server->clients, entry)
		client_event_seen(client, text, size, seq);
	pthread_mutex_unlock(&server->lock);
	wakeup_set(server->wake_fd);
}

/* Where no service manager has made the socket's folder. */
static int make_folder(const char *path, struct error *e)
{
	_cleanup_free_ char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!folder)
		return error_oom(e);
	if (!slash || slash == folder)
		return 0;
	*slash = '\0';
	return file_make_dir(folder, 0755, e);
}

static int bind_socket(struct server *server, struct error *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct group *group;
	int r;

	if (strlen(server->path) >= sizeof(address.sun_path))
		return error_usage(e, "Cannot listen on %s: the path is too long", server->path);
	memcpy(address.sun_path, server->path, strlen(server->path));
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->fd < 0)
		return error_fail(e, errno, "Cannot make a socket: %s", strerror(errno));
	r = make_folder(server->path, e);
	if (r < 0)
		return r;
	/* The state folder's lock has made sure that no other agent runs. */
	if (unlink(server->path) < 0 && errno != ENOENT)
		return error_fail(e, errno, "Cannot replace %s: %s", server->path, strerror(errno));
	if (bind(server->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_fail(e, errno, "Cannot listen on %s: %s; does its folder exist?",
				  server->path, strerror(errno));
	group = getgrnam(VMCRYPT_GROUP);
	server->has_group = group != NULL;
	if (!group) {
		log_notice("There is no group " VMCRYPT_GROUP ": only root can ask the agent");
	} else {
		server->group = group->gr_gid;
		if (chown(server->path, (uid_t)-1, group->gr_gid) < 0)
			log_warning("Cannot give %s to the group " VMCRYPT_GROUP ": %s",
				    server->path, strerror(errno));
	}
	if (chmod(server->path, group ? 0660 : 0600) < 0)
		return error_fail(e, errno, "Cannot set the mode of %s: %s", server->path,
				  strerror(errno));
	if (listen(server->fd, SERVER_CLIENTS_MAX) < 0)
		return error_fail(e, errno, "Cannot listen on %s: %s", server->path,
				  strerror(errno));
	return 0;
}

static int add_sources(struct server *server, struct error *e)
{
	sd_event *event = server->host->event;
	int r;

	server->wake_fd = wakeup_new();
	if (server->wake_fd < 0)
		return error_fail(e, server->wake_fd, "Cannot make an eventfd: %s",
				  strerror(-server->wake_fd));
	r = sd_event_add_io(event, &server->source, server->fd, EPOLLIN, on_connect, server);
	if (r >= 0)
		r = sd_event_add_io(event, &server->wake_source, server->wake_fd, EPOLLIN, on_wake,
				    server);
	if (r < 0)
		return error_fail(e, r, "Cannot watch %s: %s", server->path, strerror(-r));
	events_watch(server->host->events, on_event, server);
	return 0;
}

int server_new(struct host *host, const char *path, struct server **ret, struct error *e)
{
	struct server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return error_oom(e);
	server->host = host;
	server->fd = -1;
	server->wake_fd = -1;
	TAILQ_INIT(&server->clients);
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->drained, NULL);
	server->path = strdup(path);
	r = server->path ? bind_socket(server, e) : error_oom(e);
	if (r == 0)
		r = add_sources(server, e);
	if (r < 0) {
		server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

void server_free(struct server *server)
{
	struct client *client;

	if (!server)
		return;
	events_watch(server->host->events, NULL, NULL);
	while ((client = TAILQ_FIRST(&server->clients))) {
		client_ref(client);
		client_flush(client);
		client_drop(client);
		client_unref(client);
	}
	sd_event_source_disable_unref(server->source);
	sd_event_source_disable_unref(server->wake_source);
	close_fd(server->wake_fd);
	if (server->fd >= 0 && server->path)
		unlink(server->path);
	close_fd(server->fd);
	free(server->path);
	pthread_cond_destroy(&server->drained);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
