// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Who may speak to the family: CAP_SYS_ADMIN in the initial user namespace, of
 * the sender and of the opener of the socket, from the initial network
 * namespace; nobody else, and no other capability.
 */
#include <grp.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "lib.h"

#define NOBODY	65534

FIXTURE(permissions) {
	struct nl nl;
	struct dek dek;
};

FIXTURE_SETUP(permissions)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	dek_random(&self->dek, 64);
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
}

FIXTURE_TEARDOWN(permissions)
{
	/* whatever was tried, the key is as it was, and alone */
	EXPECT_EQ(KEY_LOADED, key_state(&self->nl, self->dek.uuid));
	EXPECT_EQ(1, key_count(&self->nl));
	test_end(&self->nl);
}

/* each command, well-formed; 0 when each was answered with @expected */
static int try_all(struct nl *nl, const uint8_t *uuid, int expected)
{
	static const struct { uint8_t cmd; uint16_t flags; } all[] = {
		{ CMD_KEY_PREPARE, 0 }, { CMD_KEY_SET, 0 }, { CMD_KEY_REJECT, 0 }, { CMD_KEY_WIPE, 0 },
		{ CMD_KEY_GET, 0 }, { CMD_DISK_GET, 0 }, { CMD_KEY_GET, NLM_F_DUMP },
		{ CMD_DISK_GET, NLM_F_DUMP }, { CMD_REQUEST_GET, NLM_F_DUMP },
	};
	static const uint8_t zero[64 + TAG_LEN];
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		msg_begin(nl, &m, all[i].cmd, all[i].flags);
		if (all[i].cmd == CMD_KEY_SET)
			key_set_message(nl, &m, uuid, 512, 1, zero, zero, sizeof(zero));
		else if (all[i].cmd == CMD_DISK_GET && !all[i].flags)
			msg_put(&m, A_NAME, "vt-none", 8);
		else if (!all[i].flags && all[i].cmd != CMD_KEY_PREPARE)
			msg_put(&m, A_DEK, uuid, UUID_LEN);
		if (all[i].cmd == CMD_KEY_REJECT)
			msg_u32(&m, A_REASON, REASON_INTERNAL);
		nl_call(nl, &m, &a);
		if (a.error != expected || a.messages) {
			fprintf(stderr, "# command %u, flags %x: %d, %u messages\n", all[i].cmd, all[i].flags,
				a.error, a.messages);
			return a.error ? a.error : -EIO;
		}
		/* 6.1 has no way to give the refusal of a dump a text */
		if (expected == -EPERM && !a.text[0] && !all[i].flags)
			return -ENOMSG;
	}
	return 0;
}

static int join_both(struct nl *nl, int expected)
{
	int r = nl_join(nl, nl->requests);

	if (r != expected)
		return r ? r : -EIO;
	r = nl_join(nl, nl->events);
	return r == expected ? 0 : r ? r : -EIO;
}

static int become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

/* opens a socket of its own and expects to be refused everything */
static int refused(const uint8_t *uuid)
{
	struct nl nl;
	int r = nl_open(&nl);

	if (!r)
		r = try_all(&nl, uuid, -EPERM);
	if (!r)
		r = join_both(&nl, -EPERM);
	return r;
}

static int as_nobody(void *arg)
{
	const FIXTURE_DATA(permissions) *self = arg;
	int r = become(NOBODY);

	return r ? r : refused(self->dek.uuid);
}

TEST_F(permissions, nobody)
{
	ASSERT_EQ(0, in_child(as_nobody, self));
}

/* keeps the effective capabilities @mask through the change to nobody */
static int become_with(uint64_t mask)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = {
		{ .effective = (uint32_t)mask, .permitted = (uint32_t)mask },
		{ .effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32) },
	};
	int r;

	if (prctl(PR_SET_KEEPCAPS, 1))
		return -errno;
	r = become(NOBODY);
	if (!r && syscall(SYS_capset, &h, d))
		r = -errno;
	return r;
}

static int with_net_admin(void *arg)
{
	const FIXTURE_DATA(permissions) *self = arg;
	int r = become_with(1ull << CAP_NET_ADMIN);

	return r ? r : refused(self->dek.uuid);
}

TEST_F(permissions, net_admin_does_not_help)
{
	ASSERT_EQ(0, in_child(with_net_admin, self));
}

static int with_all_but(void *arg)
{
	const FIXTURE_DATA(permissions) *self = arg;
	int r = become_with(((1ull << 40) - 1) & ~(1ull << CAP_SYS_ADMIN));

	return r ? r : refused(self->dek.uuid);
}

TEST_F(permissions, all_but_sys_admin_do_not_help)
{
	ASSERT_EQ(0, in_child(with_all_but, self));
}

static int with_sys_admin(void *arg)
{
	const FIXTURE_DATA(permissions) *self = arg;
	static struct answer a;
	struct nl nl;
	int r = become_with(1ull << CAP_SYS_ADMIN);

	if (!r)
		r = nl_open(&nl);
	if (!r)
		r = join_both(&nl, 0);
	if (!r)
		r = key_set(&nl, &self->dek);
	if (!r)
		r = key_state(&nl, self->dek.uuid) == KEY_LOADED ? 0 : -EIO;
	if (!r)
		r = key_count(&nl) == 1 ? 0 : -EIO;
	if (!r)
		r = disk_get(&nl, "vt-none", &a) == -ENOENT ? 0 : -EIO;
	return r;
}

/* CAP_NET_ADMIN is not needed */
TEST_F(permissions, sys_admin_is_enough)
{
	ASSERT_EQ(0, in_child(with_sys_admin, self));
}

static int map_root(void)
{
	int r = file_write("/proc/self/setgroups", "deny");

	if (!r)
		r = file_write("/proc/self/uid_map", "0 65534 1");
	return r ? r : file_write("/proc/self/gid_map", "0 65534 1");
}

static int as_namespace_root(void *arg)
{
	const FIXTURE_DATA(permissions) *self = arg;
	int r = become(NOBODY);

	/* a process that changed its user is not dumpable, and its /proc is root's */
	if (!r && prctl(PR_SET_DUMPABLE, 1))
		r = -errno;
	if (!r && unshare(CLONE_NEWUSER))
		r = -errno;
	if (!r)
		r = map_root();
	if (!r && getuid())
		r = -EPROTO;
	return r ? r : refused(self->dek.uuid);
}

TEST_F(permissions, root_of_a_user_namespace)
{
	ASSERT_EQ(0, in_child(as_namespace_root, self));
}

/* the real root, all its capabilities, in a user namespace of its own */
static int root_in_namespace(void *arg)
{
	const FIXTURE_DATA(permissions) *self = arg;
	int r = unshare(CLONE_NEWUSER) ? -errno : 0;

	if (!r)
		r = file_write("/proc/self/setgroups", "deny");
	if (!r)
		r = file_write("/proc/self/uid_map", "0 0 1");
	return r ? r : refused(self->dek.uuid);
}

TEST_F(permissions, root_in_a_user_namespace)
{
	ASSERT_EQ(0, in_child(root_in_namespace, self));
}

static int other_net(void *arg)
{
	struct nl nl;
	int r;

	(void)arg;
	if (unshare(CLONE_NEWNET))
		return -errno;
	r = nl_open(&nl);
	return r == -ENOENT ? 0 : r ? r : -EIO;
}

TEST_F(permissions, other_network_namespace)
{
	ASSERT_EQ(0, in_child(other_net, self));
}

/* the family's number sent blindly from there */
static int other_net_by_number(void *arg)
{
	const FIXTURE_DATA(permissions) *self = arg;
	struct sockaddr_nl me = { .nl_family = AF_NETLINK };
	static struct answer a;
	struct nl nl = self->nl;
	struct msg m;
	int r;

	if (unshare(CLONE_NEWNET))
		return -errno;
	nl.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (nl.fd < 0 || bind(nl.fd, (struct sockaddr *)&me, sizeof(me)))
		return -errno;
	msg_begin(&nl, &m, CMD_KEY_PREPARE, 0);
	r = nl_call(&nl, &m, &a);
	if (r != -ENOENT && r != -EOPNOTSUPP)
		return r ? r : -EIO;
	r = nl_join(&nl, nl.requests);
	return r == -ENOENT || r == -EPERM || r == -EINVAL || !r ? 0 : r;
}

TEST_F(permissions, other_network_namespace_by_number)
{
	ASSERT_EQ(0, in_child(other_net_by_number, self));
}

static int net_of_user_namespace(void *arg)
{
	struct nl nl;
	int r = become(NOBODY);

	(void)arg;
	if (!r && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		r = -errno;
	if (!r)
		r = nl_open(&nl);
	return r == -ENOENT ? 0 : r ? r : -EIO;
}

TEST_F(permissions, network_of_a_user_namespace)
{
	ASSERT_EQ(0, in_child(net_of_user_namespace, self));
}

/* root opened the socket, another sends: the sender counts too */
static int inherited_socket(void *arg)
{
	FIXTURE_DATA(permissions) *self = arg;
	int r = become(NOBODY);

	return r ? r : try_all(&self->nl, self->dek.uuid, -EPERM);
}

TEST_F(permissions, socket_of_root_in_other_hands)
{
	ASSERT_EQ(0, in_child(inherited_socket, self));
}

/* nobody opened it, root sends (a set-uid program tricked into writing): the opener counts too */
TEST_F(permissions, roots_message_on_a_strange_socket)
{
	struct nl nl;

	ASSERT_EQ(0, seteuid(NOBODY));
	ASSERT_EQ(0, nl_open(&nl));
	ASSERT_EQ(0, seteuid(0));
	ASSERT_EQ(0, try_all(&nl, self->dek.uuid, -EPERM));
	nl_close(&nl);
}

TEST_HARNESS_MAIN
