/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/genetlink.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "disk/client.h"
#include "disk/message.h"
#include "disk/netlink.h"

/* A burst of 256 requests (VMCRYPT_REQUESTS_MAX) and the events they bring. */
#define LISTENER_BUFFER	(1 << 20)

/**
 * struct nl_listener - see netlink.h
 * @client: asks nlctrl for numbers, on a socket of its own
 * @socket: receives; never sends
 * @groups: NL_LISTEN_* bits
 * @family: number of the family, 0 while the module is gone
 * @announce: the first event is still to be given
 * @data: a received datagram, @next and @left what is not taken apart yet
 */
struct nl_listener {
	struct nl_client *client;
	struct nl_sock *socket;
	unsigned int groups;
	uint16_t family;
	bool announce;
	unsigned char *data;
	struct nlmsghdr *next;
	int left;
};

static int join(struct nl_listener *l, uint32_t group, const char *name, struct error *e)
{
	int r;

	if (group == 0)
		return error_fail(e, EPROTO, "The netlink family has no multicast group \"%s\": "
				  "module and agent are not of one version", name);
	r = nl_socket_add_membership(l->socket, (int) group);
	if (r < 0)
		return error_set(e, r == -NLE_PERM ? EPERM : EIO, EXIT_NOT_ALLOWED, 0,
				 "Joining the netlink group \"%s\": %s; this needs CAP_SYS_ADMIN of "
				 "the host", name, nl_geterror(r));
	return 0;
}

static int join_groups(struct nl_listener *l, const struct message_family *f, struct error *e)
{
	int r = 0;

	if (l->groups & NL_LISTEN_REQUESTS)
		r = join(l, f->requests, VMCRYPT_MCGRP_REQUESTS, e);
	if (r == 0 && (l->groups & NL_LISTEN_EVENTS))
		r = join(l, f->events, VMCRYPT_MCGRP_EVENTS, e);
	if (r == 0)
		l->family = f->id;
	return r;
}

/* Joins what is there. A module that comes later is told of by nlctrl, whose
 * group is joined first, so that it cannot slip in between. */
static int find_module(struct nl_listener *l, struct error *e)
{
	struct message_family f;
	int r = client_find_family(l->client, VMCRYPT_GENL_NAME, &f);

	if (r == -ENOENT) {
		l->family = 0;
		return 0;
	}
	if (r < 0)
		return error_fail(e, r, "Looking up the netlink family \"%s\": %s", VMCRYPT_GENL_NAME,
				  strerror(-r));
	r = join_groups(l, &f, e);
	if (r == 0)
		l->announce = true;
	return r;
}

static int join_nlctrl(struct nl_listener *l, struct error *e)
{
	struct message_family f;
	int r = client_find_family(l->client, "nlctrl", &f);

	if (r < 0)
		return error_fail(e, r, "Looking up the netlink family \"nlctrl\": %s", strerror(-r));
	return join(l, f.notify, "notify", e);
}

static int open_socket(struct nl_listener *l, struct error *e)
{
	int r;

	l->socket = nl_socket_alloc();
	if (!l->socket)
		return error_oom(e);
	nl_socket_disable_auto_ack(l->socket);
	nl_socket_disable_seq_check(l->socket);
	r = genl_connect(l->socket);
	if (r == 0)
		r = nl_socket_set_nonblocking(l->socket);
	if (r == 0)
		r = nl_socket_set_buffer_size(l->socket, LISTENER_BUFFER, 0);
	if (r < 0)
		return error_fail(e, EIO, "Opening a netlink socket: %s", nl_geterror(r));
	nl_socket_enable_msg_peek(l->socket);
	return 0;
}

int nl_listener_new(unsigned int groups, struct nl_listener **ret, struct error *e)
{
	_cleanup_nl_listener_ struct nl_listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return error_oom(e);
	l->groups = groups;
	r = nl_client_new(&l->client, e);
	if (r == 0)
		r = open_socket(l, e);
	if (r == 0)
		r = join_nlctrl(l, e);
	if (r == 0)
		r = find_module(l, e);
	if (r < 0) {
		error_prefix(e, "Listening to the kernel");
		return r;
	}
	*ret = TAKE_PTR(l);
	return 0;
}

void nl_listener_free(struct nl_listener *l)
{
	if (!l)
		return;
	free(l->data);
	nl_socket_free(l->socket);
	nl_client_free(l->client);
	free(l);
}

int nl_listener_fd(const struct nl_listener *l)
{
	return nl_socket_get_fd(l->socket);
}

/* A family came or went. */
static int take_control(struct nl_listener *l, struct nlmsghdr *h, struct nl_event *ret,
			struct error *e)
{
	struct message_family f;
	int r;

	if (message_parse_family(h, &f) < 0 || strcmp(f.name, VMCRYPT_GENL_NAME) != 0)
		return 0;
	switch (genlmsg_hdr(h)->cmd) {
	case CTRL_CMD_NEWFAMILY:
		/* Also told when find_module() was faster than this message. */
		if (f.id == l->family)
			return 0;
		r = find_module(l, e);
		if (r == 0 && l->announce) {
			l->announce = false;
			ret->type = NL_EVENT_MODULE_LOADED;
		}
		return r;
	case CTRL_CMD_DELFAMILY:
		if (l->family != f.id)
			return 0;
		l->family = 0;
		ret->type = NL_EVENT_MODULE_GONE;
		return 0;
	default:
		return 0;
	}
}

static int take_message(struct nl_listener *l, struct nlmsghdr *h, struct nl_event *ret,
			struct error *e)
{
	int r;

	if (h->nlmsg_type == GENL_ID_CTRL)
		return take_control(l, h, ret, e);
	if (l->family == 0 || h->nlmsg_type != l->family)
		return 0;
	r = message_parse_event(h, ret);
	if (r < 0 && r != -ENOMSG) {
		/* Not to be lost in silence: what is pending can be asked for. */
		log_warning("A message of the kernel module does not read as its interface says; "
			    "module and agent are not of one version");
		ret->type = NL_EVENT_RESYNC;
	}
	return 0;
}

/* 1: a datagram is there, 0: none, -ENOBUFS: some were lost */
static int receive(struct nl_listener *l)
{
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	int n;

	free(TAKE_PTR(l->data));
	l->left = 0;
	n = nl_recv(l->socket, &from, &l->data, NULL);
	if (n == -NLE_NOMEM)
		return -ENOBUFS;
	if (n == -NLE_AGAIN || n == 0)
		return 0;
	if (n < 0)
		return -EIO;
	/* Only the kernel has port 0; another process may send to this socket. */
	if (from.nl_pid != 0)
		return 1;
	l->next = (struct nlmsghdr *) l->data;
	l->left = n;
	return 1;
}

/* What was lost may have told that the module went and came, which ends
 * memberships. */
static int resync(struct nl_listener *l, struct nl_event *ret, struct error *e)
{
	int r = find_module(l, e);

	if (r < 0)
		return r;
	l->announce = false;
	ret->type = l->family ? NL_EVENT_RESYNC : NL_EVENT_MODULE_GONE;
	return 0;
}

int nl_listener_next(struct nl_listener *l, struct nl_event *ret, struct error *e)
{
	int r;

	*ret = (struct nl_event) { .type = NL_EVENT_NONE };
	if (l->announce) {
		l->announce = false;
		ret->type = NL_EVENT_MODULE_LOADED;
		return 0;
	}
	for (;;) {
		while (nlmsg_ok(l->next, l->left)) {
			struct nlmsghdr *h = l->next;

			l->next = nlmsg_next(h, &l->left);
			r = take_message(l, h, ret, e);
			if (r < 0 || ret->type != NL_EVENT_NONE)
				return r;
		}
		r = receive(l);
		if (r == -ENOBUFS)
			return resync(l, ret, e);
		if (r < 0)
			return error_fail(e, r, "Receiving from the kernel by netlink: %s",
					  strerror(-r));
		if (r == 0)
			return 0;
	}
}
