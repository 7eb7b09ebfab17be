/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <linux/netlink.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "disk/client.h"
#include "disk/message.h"

#define DUMP_TRIES	16	/* each time a change overtook it */
#define EXTACK_MAX	256

/**
 * struct nl_client - see netlink.h
 * @lock: of all that follows
 * @socket: NULL until it is needed, and after an answer that made no sense
 * @family: number of the family; 0: to be looked up
 */
struct nl_client {
	pthread_mutex_t lock;
	struct nl_sock *socket;
	uint16_t family;
};

/**
 * struct transaction - one command and what came back
 * @seq: of the command; answers to others are dropped
 * @take: called for each message with data; -errno ends up in @code
 * @code: 0 or negative errno
 * @extack: what the kernel said about it
 * @done: the kernel has ended its answer
 * @overtaken: a change happened during a dump
 */
struct transaction {
	uint32_t seq;
	int (*take)(struct nlmsghdr *h, void *arg);
	void *arg;
	int code;
	char extack[EXTACK_MAX];
	bool done, overtaken;
};

static void msg_freep(struct nl_msg **m)
{
	nlmsg_free(*m);
}

static void cb_freep(struct nl_cb **cb)
{
	nl_cb_put(*cb);
}

/* libnl has codes of its own; these are the ones that a socket can give. */
static int from_libnl(int r)
{
	switch (-r) {
	case NLE_SUCCESS:	return 0;
	case NLE_NOMEM:		return -ENOBUFS;
	case NLE_AGAIN:		return -ETIMEDOUT;
	case NLE_PERM:		return -EPERM;
	case NLE_NOACCESS:	return -EACCES;
	case NLE_INTR:		return -EINTR;
	case NLE_AF_NOSUPPORT:
	case NLE_PROTO_MISMATCH: return -EPROTONOSUPPORT;
	default:		return -EPROTO;
	}
}

static int on_message_in(struct nl_msg *m, void *arg)
{
	const struct transaction *t = arg;

	/* Only the kernel has port 0. Stale answers have another number. */
	if (nlmsg_get_src(m)->nl_pid != 0 || nlmsg_hdr(m)->nlmsg_seq != t->seq)
		return NL_SKIP;
	return NL_OK;
}

/* Taken care of in on_message_in(). */
static int on_seq_check(struct nl_msg *m, void *arg)
{
	(void) m;
	(void) arg;
	return NL_OK;
}

static int on_overtaken(struct nl_msg *m, void *arg)
{
	struct transaction *t = arg;

	(void) m;
	t->overtaken = true;
	return NL_OK;
}

static int on_valid(struct nl_msg *m, void *arg)
{
	struct transaction *t = arg;
	int r;

	if (nlmsg_hdr(m)->nlmsg_flags & NLM_F_DUMP_INTR)
		t->overtaken = true;
	if (t->code < 0)
		return NL_OK;
	r = t->take ? t->take(nlmsg_hdr(m), t->arg) : -EPROTO;
	if (r < 0)
		t->code = r;
	return NL_OK;
}

static int on_end(struct nl_msg *m, void *arg)
{
	struct transaction *t = arg;
	int r;

	if (nlmsg_hdr(m)->nlmsg_flags & NLM_F_DUMP_INTR)
		t->overtaken = true;
	r = message_parse_error(nlmsg_hdr(m), t->extack, sizeof(t->extack));
	if (r < 0)
		t->code = r;
	t->done = true;
	return NL_STOP;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *err, void *arg)
{
	struct transaction *t = arg;
	struct nlmsghdr *h = (struct nlmsghdr *) ((char *) err - NLMSG_HDRLEN);

	(void) from;
	t->code = message_parse_error(h, t->extack, sizeof(t->extack));
	t->done = true;
	return NL_STOP;
}

static struct nl_cb *callbacks(struct transaction *t)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);

	if (!cb)
		return NULL;
	nl_cb_set(cb, NL_CB_MSG_IN, NL_CB_CUSTOM, on_message_in, t);
	nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_seq_check, t);
	nl_cb_set(cb, NL_CB_DUMP_INTR, NL_CB_CUSTOM, on_overtaken, t);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_valid, t);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_end, t);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_end, t);
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, t);
	return cb;
}

static int wait_readable(int fd, int64_t until)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t left;
	int r;

	do {
		left = until - time_monotonic_ms();
		r = left > 0 ? poll(&p, 1, (int) left) : 0;
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

static int receive(struct nl_sock *socket, struct transaction *t)
{
	_cleanup_(cb_freep) struct nl_cb *cb = callbacks(t);
	int64_t until = time_monotonic_ms() + NL_CLIENT_TIMEOUT_S * 1000;
	int r;

	if (!cb)
		return -ENOMEM;
	while (!t->done) {
		r = wait_readable(nl_socket_get_fd(socket), until);
		if (r < 0)
			return r;
		r = nl_recvmsgs(socket, cb);
		if (r < 0 && !t->done)
			return from_libnl(r);
	}
	return 0;
}

static int open_socket(struct nl_sock **ret)
{
	const struct timeval timeout = { .tv_sec = NL_CLIENT_TIMEOUT_S };
	const int on = 1;
	struct nl_sock *s = nl_socket_alloc();
	int r;

	if (!s)
		return -ENOMEM;
	r = genl_connect(s);
	if (r < 0) {
		nl_socket_free(s);
		return from_libnl(r);
	}
	/* Without the extended answers errors only lose their texts. */
	(void) setsockopt(nl_socket_get_fd(s), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void) setsockopt(nl_socket_get_fd(s), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	(void) setsockopt(nl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	nl_socket_enable_msg_peek(s);
	*ret = s;
	return 0;
}

/* Whatever went wrong on the socket itself leaves its state unknown, so that it
 * is closed; the next command opens another one. */
static int transact(struct nl_client *c, struct nl_msg *m, struct transaction *t)
{
	int r;

	if (!m)
		return -ENOMEM;
	if (!c->socket) {
		r = open_socket(&c->socket);
		if (r < 0)
			return r;
	}
	nl_complete_msg(c->socket, m);
	t->seq = nlmsg_hdr(m)->nlmsg_seq;
	r = nl_send(c->socket, m);
	r = r < 0 ? from_libnl(r) : receive(c->socket, t);
	if (r < 0) {
		nl_socket_free(TAKE_PTR(c->socket));
		return r;
	}
	return t->code;
}

static int take_family(struct nlmsghdr *h, void *arg)
{
	return message_parse_family(h, arg);
}

int client_find_family(struct nl_client *c, const char *name, struct message_family *ret)
{
	_cleanup_(msg_freep) struct nl_msg *m = message_get_family(name);
	struct message_family f = { .id = 0 };
	struct transaction t = { .take = take_family, .arg = &f };
	int r;

	pthread_mutex_lock(&c->lock);
	r = transact(c, m, &t);
	pthread_mutex_unlock(&c->lock);
	if (r < 0)
		return r;
	if (f.id == 0)
		return -EPROTO;
	*ret = f;
	return 0;
}

static int no_module(struct error *e)
{
	return error_fail(e, EOPNOTSUPP,
			  "The kernel module dm-vmcrypt is not loaded: load it (modprobe dm-vmcrypt)");
}

static int get_family(struct nl_client *c, uint16_t *ret, struct error *e)
{
	struct message_family f;
	int r;

	pthread_mutex_lock(&c->lock);
	*ret = c->family;
	pthread_mutex_unlock(&c->lock);
	if (*ret)
		return 0;

	r = client_find_family(c, VMCRYPT_GENL_NAME, &f);
	if (r == -ENOENT)
		return no_module(e);
	if (r < 0)
		return error_fail(e, r, "Looking up the netlink family \"%s\": %s", VMCRYPT_GENL_NAME,
				  strerror(-r));
	pthread_mutex_lock(&c->lock);
	*ret = c->family = f.id;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

static void forget_family(struct nl_client *c, uint16_t family)
{
	pthread_mutex_lock(&c->lock);
	if (c->family == family)
		c->family = 0;
	pthread_mutex_unlock(&c->lock);
}

static int send_once(struct nl_client *c, uint16_t family, const struct client_command *cmd,
		     struct transaction *t)
{
	_cleanup_(msg_freep) struct nl_msg *m = cmd->make(family, cmd->in);
	int r;

	*t = (struct transaction) { .take = cmd->take, .arg = cmd->out };
	if (cmd->reset)
		cmd->reset(cmd->out);
	pthread_mutex_lock(&c->lock);
	r = transact(c, m, t);
	pthread_mutex_unlock(&c->lock);
	return r;
}

static enum exit_status status_of(int code)
{
	return code == -EPERM ? EXIT_NOT_ALLOWED : EXIT_FAILED;
}

/*
 * A module that was loaded again has another family number; the kernel then
 * says ENOENT without a text, which no refusal of the module does.
 */
int client_run(struct nl_client *c, const struct client_command *cmd, const char *what,
	       struct error *e)
{
	struct transaction t;
	uint16_t family;
	int r;

	for (int lookups = 0, dumps = 0;;) {
		r = get_family(c, &family, e);
		if (r < 0) {
			error_prefix(e, "%s", what);
			return r;
		}
		r = send_once(c, family, cmd, &t);
		if (r == -ENOENT && !t.extack[0] && lookups++ == 0)
			forget_family(c, family);
		else if (r != 0 || !t.overtaken)
			break;
		else if (++dumps == DUMP_TRIES)
			return error_fail(e, EAGAIN, "%s: the kernel's list changed %d times while "
					  "it was read; try again", what, DUMP_TRIES);
	}
	if (r == 0)
		return 0;
	if (t.extack[0])
		return error_set(e, r, status_of(r), 0, "%s: the kernel refused: %s (%s)", what,
				 t.extack, error_name(r));
	return error_set(e, r, status_of(r), 0, "%s: %s%s", what, strerror(-r),
			 r == -EPERM ? "; this needs CAP_SYS_ADMIN of the host" : "");
}

int nl_client_new(struct nl_client **ret, struct error *e)
{
	struct nl_client *c = calloc(1, sizeof(*c));

	if (!c)
		return error_oom(e);
	pthread_mutex_init(&c->lock, NULL);
	*ret = c;
	return 0;
}

void nl_client_free(struct nl_client *c)
{
	if (!c)
		return;
	nl_socket_free(c->socket);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int nl_client_check(struct nl_client *c, struct error *e)
{
	struct message_family f;
	int r = client_find_family(c, VMCRYPT_GENL_NAME, &f);

	if (r == -ENOENT)
		return no_module(e);
	if (r < 0)
		return error_fail(e, r, "Looking up the netlink family \"%s\": %s", VMCRYPT_GENL_NAME,
				  strerror(-r));
	return 0;
}
