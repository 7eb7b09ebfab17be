// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Raw generic netlink: nothing between a test and the bytes it sends, so that
 * malformed messages can be made.
 */
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "lib.h"

#define ATTR_HEADER	sizeof(struct nlattr)

static size_t aligned(size_t n)
{
	return NLMSG_ALIGN(n);
}

void msg_begin(const struct nl *nl, struct msg *m, uint8_t cmd, uint16_t flags)
{
	struct nlmsghdr *h = (struct nlmsghdr *)m->data;
	struct genlmsghdr *g = NLMSG_DATA(h);

	memset(m, 0, sizeof(*m));
	h->nlmsg_type = nl->family;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	g->cmd = cmd;
	g->version = FAMILY_VERSION;
	m->size = NLMSG_HDRLEN + GENL_HDRLEN;
}

size_t msg_put(struct msg *m, uint16_t type, const void *data, size_t size)
{
	const size_t at = m->size;
	struct nlattr *a = (struct nlattr *)(m->data + at);

	if (at + aligned(ATTR_HEADER + size) > sizeof(m->data))
		abort();
	a->nla_type = type;
	a->nla_len = (uint16_t)(ATTR_HEADER + size);
	if (size)
		memcpy(m->data + at + ATTR_HEADER, data, size);
	m->size = at + aligned(ATTR_HEADER + size);
	return at;
}

size_t msg_u32(struct msg *m, uint16_t type, uint32_t v)
{
	return msg_put(m, type, &v, sizeof(v));
}

int nl_send(struct nl *nl, struct msg *m)
{
	struct nlmsghdr *h = (struct nlmsghdr *)m->data;

	h->nlmsg_len = (uint32_t)m->size;
	h->nlmsg_seq = ++nl->seq;
	/* an address given would tell the kernel not to ask who opened the socket */
	return send(nl->fd, m->data, m->size, 0) < 0 ? -errno : 0;
}

/* attributes of one data message into @a, copied so that they outlive the buffer */
static void take_attributes(struct answer *a, const uint8_t *p, size_t size)
{
	memset(a->attr, 0, sizeof(a->attr));
	a->strange = 0;
	a->size = size < sizeof(a->data) ? size : sizeof(a->data);
	memcpy(a->data, p, a->size);
	for (size_t at = 0; at + ATTR_HEADER <= a->size;) {
		const struct nlattr *n = (const struct nlattr *)(a->data + at);
		const unsigned int type = n->nla_type & NLA_TYPE_MASK;

		if (n->nla_len < ATTR_HEADER || at + n->nla_len > a->size)
			break;
		if (type > A_MAX || a->attr[type].data) {
			a->strange++;
		} else {
			a->attr[type].data = a->data + at + ATTR_HEADER;
			a->attr[type].size = n->nla_len - ATTR_HEADER;
		}
		at += aligned(n->nla_len);
	}
}

static void take_extack(struct answer *a, const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = NLMSG_DATA(h);
	size_t at = NLMSG_HDRLEN + sizeof(*e);

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		at += aligned(e->msg.nlmsg_len) - NLMSG_HDRLEN;
	while (at + ATTR_HEADER <= h->nlmsg_len) {
		const struct nlattr *n = (const struct nlattr *)((const uint8_t *)h + at);
		const uint8_t *p = (const uint8_t *)n + ATTR_HEADER;

		switch (n->nla_type & NLA_TYPE_MASK) {
		case NLMSGERR_ATTR_MSG:
			snprintf(a->text, sizeof(a->text), "%.*s", (int)(n->nla_len - ATTR_HEADER),
				 (const char *)p);
			break;
		case NLMSGERR_ATTR_OFFS:
			memcpy(&a->offset, p, sizeof(a->offset));
			break;
		case NLMSGERR_ATTR_MISS_TYPE:
			memcpy(&a->missing, p, sizeof(a->missing));
			break;
		}
		if (n->nla_len < ATTR_HEADER)
			break;
		at += aligned(n->nla_len);
	}
}

static ssize_t receive(struct nl *nl, void *buf, size_t size, int timeout_ms)
{
	struct pollfd p = { .fd = nl->fd, .events = POLLIN };
	ssize_t n;
	int r;

	do
		r = poll(&p, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return -ETIME;
	n = recv(nl->fd, buf, size, 0);
	return n < 0 ? -errno : n;
}

/* 1 when the exchange is over */
static int take_message(struct nl *nl, const struct nlmsghdr *h, struct answer *a,
			void (*each)(const struct answer *, void *), void *arg)
{
	const struct genlmsghdr *g = NLMSG_DATA(h);

	if (h->nlmsg_seq != nl->seq)
		return 0;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		a->interrupted = true;
	if (h->nlmsg_type == NLMSG_ERROR) {
		a->error = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
		take_extack(a, h);
		return 1;
	}
	if (h->nlmsg_type == NLMSG_DONE) {
		a->error = *(const int *)NLMSG_DATA(h);
		return 1;
	}
	a->cmd = g->cmd;
	a->messages++;
	take_attributes(a, (const uint8_t *)g + GENL_HDRLEN, h->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN);
	if (each)
		each(a, arg);
	return 0;
}

int nl_dump(struct nl *nl, struct msg *m, struct answer *a,
	    void (*each)(const struct answer *a, void *arg), void *arg)
{
	static _Thread_local _Alignas(8) uint8_t buf[65536];
	int r = nl_send(nl, m);

	memset(a, 0, sizeof(*a));
	a->error = r;
	a->unsent = r;
	while (!r) {
		ssize_t n = receive(nl, buf, sizeof(buf), patient_ms(20000));
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0) {
			a->error = (int)n;
			return a->error;
		}
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; !r && NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left))
			r = take_message(nl, h, a, each, arg);
	}
	return a->error;
}

int nl_call(struct nl *nl, struct msg *m, struct answer *a)
{
	return nl_dump(nl, m, a, NULL, NULL);
}

static int event_within(struct nl *nl, int timeout_ms, struct answer *a)
{
	_Alignas(8) uint8_t buf[16384];
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	const struct genlmsghdr *g = NLMSG_DATA(h);
	ssize_t n = receive(nl, buf, sizeof(buf), timeout_ms);

	memset(a, 0, sizeof(*a));
	if (n < 0)
		return (int)n;
	if (h->nlmsg_type != nl->family)
		return -EPROTO;
	a->cmd = g->cmd;
	a->messages = 1;
	take_attributes(a, (const uint8_t *)g + GENL_HDRLEN, h->nlmsg_len - NLMSG_HDRLEN - GENL_HDRLEN);
	return 0;
}

int nl_event(struct nl *nl, int timeout_ms, struct answer *a)
{
	return event_within(nl, patient_ms(timeout_ms), a);
}

int nl_expect(struct nl *nl, uint8_t cmd, const uint8_t *uuid, int state, int timeout_ms,
	      struct answer *a)
{
	const uint64_t end = now_ms() + (uint64_t)patient_ms(timeout_ms);

	for (;;) {
		const uint64_t now = now_ms();
		int r = event_within(nl, now < end ? (int)(end - now) : 0, a);

		if (r)
			return r;
		if (a->cmd != cmd || !has_attr(a, A_DEK, UUID_LEN) ||
		    memcmp(a->attr[A_DEK].data, uuid, UUID_LEN))
			continue;
		if (state < 0 || (has_attr(a, A_STATE, 4) && get_u32(a, A_STATE) == (uint32_t)state))
			return 0;
	}
}

bool has_attr(const struct answer *a, int type, size_t size)
{
	return a->attr[type].data && a->attr[type].size == size;
}

uint32_t get_u32(const struct answer *a, int type)
{
	uint32_t v = UINT32_MAX;

	if (has_attr(a, type, sizeof(v)))
		memcpy(&v, a->attr[type].data, sizeof(v));
	return v;
}

uint64_t get_u64(const struct answer *a, int type)
{
	uint64_t v = UINT64_MAX;

	if (has_attr(a, type, sizeof(v)))
		memcpy(&v, a->attr[type].data, sizeof(v));
	return v;
}

int nl_join(struct nl *nl, uint32_t group)
{
	if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)))
		return -errno;
	return 0;
}

/* a nested list of {name, id}: the multicast groups of a family */
static void take_groups(struct nl *nl, const uint8_t *p, size_t size)
{
	for (size_t at = 0; at + ATTR_HEADER <= size;) {
		const struct nlattr *n = (const struct nlattr *)(p + at);
		struct answer g = { 0 };

		take_attributes(&g, (const uint8_t *)n + ATTR_HEADER, n->nla_len - ATTR_HEADER);
		if (g.attr[CTRL_ATTR_MCAST_GRP_NAME].data) {
			const char *name = (const char *)g.attr[CTRL_ATTR_MCAST_GRP_NAME].data;

			if (!strcmp(name, GROUP_REQUESTS))
				nl->requests = get_u32(&g, CTRL_ATTR_MCAST_GRP_ID);
			if (!strcmp(name, GROUP_EVENTS))
				nl->events = get_u32(&g, CTRL_ATTR_MCAST_GRP_ID);
		}
		at += aligned(n->nla_len);
	}
}

static int resolve(struct nl *nl)
{
	static struct answer a;
	struct msg m;
	int r;

	nl->family = GENL_ID_CTRL;
	msg_begin(nl, &m, CTRL_CMD_GETFAMILY, 0);
	msg_put(&m, CTRL_ATTR_FAMILY_NAME, FAMILY_NAME, sizeof(FAMILY_NAME));
	r = nl_call(nl, &m, &a);
	if (r)
		return r;
	memcpy(&nl->family, a.attr[CTRL_ATTR_FAMILY_ID].data, sizeof(nl->family));
	nl->version = get_u32(&a, CTRL_ATTR_VERSION);
	if (a.attr[CTRL_ATTR_MCAST_GROUPS].data)
		take_groups(nl, a.attr[CTRL_ATTR_MCAST_GROUPS].data, a.attr[CTRL_ATTR_MCAST_GROUPS].size);
	return 0;
}

int nl_open(struct nl *nl)
{
	struct sockaddr_nl me = { .nl_family = AF_NETLINK };
	socklen_t n = sizeof(me);
	const int one = 1;
	int r;

	memset(nl, 0, sizeof(*nl));
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (nl->fd < 0)
		return -errno;
	if (bind(nl->fd, (struct sockaddr *)&me, sizeof(me)) ||
	    getsockname(nl->fd, (struct sockaddr *)&me, &n) ||
	    setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)) ||
	    setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one))) {
		r = -errno;
	} else {
		nl->portid = me.nl_pid;
		r = resolve(nl);
	}
	if (r)
		nl_close(nl);
	return r;
}

void nl_close(struct nl *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}
