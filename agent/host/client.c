/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/lock.h"
#include "common/log.h"
#include "host/callstart.h"
#include "host/server.h"

static void wake_loop(struct server *server)
{
	const uint64_t one = 1;

	/* A full counter means that the loop is awake already. */
	if (write(server->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void client_ref(struct client *client)
{
	pthread_mutex_lock(&client->server->lock);
	client->refs++;
	pthread_mutex_unlock(&client->server->lock);
}

static void drop_held(struct client *client)
{
	struct held_event *held;

	while ((held = STAILQ_FIRST(&client->held))) {
		STAILQ_REMOVE_HEAD(&client->held, entry);
		free(held->text);
		free(held);
	}
	client->n_held = 0;
}

void client_unref(struct client *client)
{
	bool last;

	pthread_mutex_lock(&client->server->lock);
	last = --client->refs == 0;
	pthread_mutex_unlock(&client->server->lock);
	if (!last)
		return;
	drop_held(client);
	free(client->out);
	free(client);
}

/* Under the lock. */
static int add_bytes(struct client *client, const char *data, size_t size)
{
	size_t room;
	char *out;

	if (client->gone || client->closing)
		return -EPIPE;
	if (client->out_size - client->out_done + size > CLIENT_OUT_MAX) {
		log_warning("A client of the control socket (pid %d) does not read its answers; it is cut off",
			    (int)client->pid);
		client->out_done = client->out_size = 0;
		client->closing = true;
		return -EPIPE;
	}
	if (client->out_done) {
		memmove(client->out, client->out + client->out_done,
			client->out_size - client->out_done);
		client->out_size -= client->out_done;
		client->out_done = 0;
	}
	if (client->out_size + size > client->out_room) {
		room = (client->out_size + size) * 2;
		out = realloc(client->out, room);
		if (!out)
			return -ENOMEM;
		client->out = out;
		client->out_room = room;
	}
	memcpy(client->out + client->out_size, data, size);
	client->out_size += size;
	return 0;
}

void client_send(struct client *client, json_t *root)
{
	_cleanup_json_ json_t *owned = root;
	_cleanup_free_ char *text = owned ? json_dumps(owned, JSON_COMPACT) : NULL;
	size_t size;

	if (!text) {
		log_error("Out of memory: an answer over the control socket is lost");
		return;
	}
	size = strlen(text);
	text[size++] = '\n';	/* in the place of the NUL */
	pthread_mutex_lock(&client->server->lock);
	(void)add_bytes(client, text, size);
	pthread_mutex_unlock(&client->server->lock);
	wake_loop(client->server);
}

/* Under the lock. @text is JSON already. */
static int add_event(struct client *client, int64_t id, const char *text, size_t size)
{
	char head[64];
	int n, r;

	n = snprintf(head, sizeof(head), "{\"id\":%lld,\"event\":", (long long)id);
	r = add_bytes(client, head, (size_t)n);
	if (r == 0)
		r = add_bytes(client, text, size);
	if (r == 0)
		r = add_bytes(client, "}\n", 2);
	return r;
}

/* Under the lock: wait until the client has read most of what waits for it. */
static int wait_drained(struct client *client)
{
	int64_t until = time_monotonic_ms() + CLIENT_SLOW_S * 1000;
	size_t before = client->out_size - client->out_done;

	while (!client->gone && !client->closing &&
	       client->out_size - client->out_done > CLIENT_OUT_SLOW) {
		wake_loop(client->server);
		if (cond_wait_until(&client->server->drained, &client->server->lock, until))
			continue;
		if (client->out_size - client->out_done >= before)
			return -ETIMEDOUT;
		before = client->out_size - client->out_done;
		until += CLIENT_SLOW_S * 1000;
	}
	return client->gone || client->closing ? -EPIPE : 0;
}

int client_send_event(struct client *client, int64_t id, const char *text, size_t size)
{
	int r;

	pthread_mutex_lock(&client->server->lock);
	r = wait_drained(client);
	if (r == 0)
		r = add_event(client, id, text, size);
	pthread_mutex_unlock(&client->server->lock);
	wake_loop(client->server);
	return r;
}

int client_follow(struct client *client, int64_t id)
{
	int r = -EBUSY;

	pthread_mutex_lock(&client->server->lock);
	if (client->follow == FOLLOW_NONE) {
		client->follow = FOLLOW_HOLD;
		client->follow_id = id;
		r = 0;
	}
	pthread_mutex_unlock(&client->server->lock);
	return r;
}

void client_follow_live(struct client *client, uint64_t seq)
{
	struct held_event *held;

	pthread_mutex_lock(&client->server->lock);
	STAILQ_FOREACH(held, &client->held, entry)
		if (held->seq > seq)
			(void)add_event(client, client->follow_id, held->text, held->size);
	drop_held(client);
	client->follow = FOLLOW_LIVE;
	pthread_mutex_unlock(&client->server->lock);
	wake_loop(client->server);
}

void client_follow_end(struct client *client)
{
	pthread_mutex_lock(&client->server->lock);
	drop_held(client);
	client->follow = FOLLOW_NONE;
	pthread_mutex_unlock(&client->server->lock);
}

/* Under the lock. */
static int hold_event(struct client *client, const char *text, size_t size, uint64_t seq)
{
	struct held_event *held;

	if (client->n_held >= CLIENT_HELD_MAX)
		return -ENOBUFS;
	held = calloc(1, sizeof(*held));
	if (!held)
		return -ENOMEM;
	held->text = strndup(text, size);
	if (!held->text) {
		free(held);
		return -ENOMEM;
	}
	held->seq = seq;
	held->size = size;
	STAILQ_INSERT_TAIL(&client->held, held, entry);
	client->n_held++;
	return 0;
}

/* Under the server's lock. */
void client_event_seen(struct client *client, const char *text, size_t size, uint64_t seq)
{
	int r = 0;

	if (client->follow == FOLLOW_HOLD)
		r = hold_event(client, text, size, seq);
	else if (client->follow == FOLLOW_LIVE)
		r = add_event(client, client->follow_id, text, size);
	/* Rather none than a list with a hole in it. */
	if (r < 0)
		client->closing = true;
}

static void watch_output(struct client *client, bool output)
{
	if (client->source)
		sd_event_source_set_io_events(client->source, EPOLLIN | (output ? EPOLLOUT : 0));
}

void client_flush(struct client *client)
{
	bool drop = false, more = false;
	ssize_t n;

	pthread_mutex_lock(&client->server->lock);
	while (!client->gone && client->out_done < client->out_size) {
		n = send(client->fd, client->out + client->out_done,
			 client->out_size - client->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			client->out_done += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		more = errno == EAGAIN;
		drop = !more;
		break;
	}
	if (client->closing && !more)
		drop = true;
	pthread_cond_broadcast(&client->server->drained);
	pthread_mutex_unlock(&client->server->lock);
	if (drop)
		client_drop(client);
	else
		watch_output(client, more);
}

static void close_fds(struct client *client)
{
	while (client->n_fds)
		close_fd(client->fds[--client->n_fds]);
}

void client_drop(struct client *client)
{
	struct server *server = client->server;

	if (client->gone)
		return;
	pthread_mutex_lock(&server->lock);
	client->gone = true;
	TAILQ_REMOVE(&server->clients, client, entry);
	server->n_clients--;
	pthread_cond_broadcast(&server->drained);
	pthread_mutex_unlock(&server->lock);
	client->source = sd_event_source_disable_unref(client->source);
	close_fds(client);
	client->fd = close_fd(client->fd);
	client_unref(client);
}

/* Answer what is no request, then disconnect once that is sent. */
static void refuse_and_close(struct client *client, const struct error *e)
{
	client_send(client, answer_failed(-1, e));
	pthread_mutex_lock(&client->server->lock);
	client->closing = true;
	pthread_mutex_unlock(&client->server->lock);
}

static void take_line(struct client *client, const char *line, size_t size, bool last)
{
	struct request request;
	struct error e = ERROR_NULL;
	int r;

	r = request_parse(line, size, &request, &e);
	if (r < 0 && request.id < 0) {
		refuse_and_close(client, &e);
		return;
	}
	if (r == 0)
		r = call_start(client, &request, last, &e);
	if (r < 0) {
		close_fds(client);
		client_send(client, answer_failed(request.id, &e));
	}
	json_decref(request.args);
}

static void take_lines(struct client *client)
{
	size_t begin = 0, size;
	struct error e;
	char *end;

	while (!client->closing && !client->gone &&
	       (end = memchr(client->in + begin, '\n', client->in_size - begin))) {
		size = (size_t)(end - (client->in + begin));
		take_line(client, client->in + begin, size,
			  /* last= */ begin + size + 1 == client->in_size);
		begin += size + 1;
	}
	memmove(client->in, client->in + begin, client->in_size - begin);
	client->in_size -= begin;
	if (client->in_size < sizeof(client->in) || client->closing)
		return;
	error_usage(&e, "The request is longer than %u bytes", PROTOCOL_LINE_MAX);
	refuse_and_close(client, &e);
}

static int take_fds(struct client *client, struct msghdr *msg)
{
	int fds[PROTOCOL_FDS_MAX];
	struct cmsghdr *c;
	size_t n, i;
	int r = msg->msg_flags & MSG_CTRUNC ? -EMFILE : 0;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), n * sizeof(int));
		for (i = 0; i < n; i++) {
			if (client->n_fds < PROTOCOL_FDS_MAX) {
				client->fds[client->n_fds++] = fds[i];
			} else {
				close_fd(fds[i]);
				r = -EMFILE;
			}
		}
	}
	return r;
}

void client_read(struct client *client)
{
	union {
		char data[CMSG_SPACE(PROTOCOL_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { client->in + client->in_size, sizeof(client->in) - client->in_size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.data,
			      .msg_controllen = sizeof(control.data) };
	struct error e;
	ssize_t n;

	if (client->closing || client->gone)
		return;
	n = recvmsg(client->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_drop(client);
		return;
	}
	client->in_size += (size_t)n;
	if (take_fds(client, &msg) < 0) {
		error_usage(&e, "The request comes with more than %d files", PROTOCOL_FDS_MAX);
		refuse_and_close(client, &e);
		return;
	}
	take_lines(client);
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct client *client = userdata;

	(void)source;
	(void)fd;
	client_ref(client);
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		/* What is being closed reads no more, and must not spin on its end. */
		if (client->closing)
			client_drop(client);
		else
			client_read(client);
	}
	client_flush(client);
	client_unref(client);
	return 0;
}

int client_new(struct server *server, int fd, struct client **ret)
{
	struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->server = server;
	client->fd = fd;
	client->refs = 1;
	STAILQ_INIT(&client->held);
	r = sd_event_add_io(server->host->event, &client->source, fd, EPOLLIN, on_client, client);
	if (r < 0) {
		free(client);
		return r;
	}
	pthread_mutex_lock(&server->lock);
	TAILQ_INSERT_TAIL(&server->clients, client, entry);
	server->n_clients++;
	pthread_mutex_unlock(&server->lock);
	*ret = client;
	return 0;
}
