// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Three descriptions of one interface: the numbers of these tests (as designed),
 * the uapi header, and the policies that the kernel itself reports.
 */
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "kselftest_harness.h"
#include "lib.h"

#if __has_include("vmcrypt.h")
#include "vmcrypt.h"

#define SAME(a, b) _Static_assert((int)(a) == (int)(b), #a " is not " #b)

SAME(VMCRYPT_GENL_VERSION, FAMILY_VERSION);
SAME(VMCRYPT_DEK_UUID_LEN, UUID_LEN);
SAME(VMCRYPT_PUBLIC_KEY_LEN, PUBLIC_LEN);
SAME(VMCRYPT_SEAL_TAG_LEN, TAG_LEN);
SAME(VMCRYPT_NAME_MAX, NAME_LEN_MAX);
SAME(VMCRYPT_SEAL_LIFETIME_S, SEAL_LIFETIME_S);
SAME(VMCRYPT_SEALS_MAX, SEALS_MAX);
SAME(VMCRYPT_REQUESTS_MAX, REQUESTS_MAX);
SAME(VMCRYPT_CMD_KEY_PREPARE, CMD_KEY_PREPARE);
SAME(VMCRYPT_CMD_KEY_SET, CMD_KEY_SET);
SAME(VMCRYPT_CMD_KEY_REJECT, CMD_KEY_REJECT);
SAME(VMCRYPT_CMD_KEY_WIPE, CMD_KEY_WIPE);
SAME(VMCRYPT_CMD_KEY_GET, CMD_KEY_GET);
SAME(VMCRYPT_CMD_DISK_GET, CMD_DISK_GET);
SAME(VMCRYPT_CMD_REQUEST_GET, CMD_REQUEST_GET);
SAME(VMCRYPT_CMD_KEY_REQUEST, CMD_KEY_REQUEST);
SAME(VMCRYPT_CMD_KEY_CHANGED, CMD_KEY_CHANGED);
SAME(VMCRYPT_CMD_DISK_CHANGED, CMD_DISK_CHANGED);
SAME(VMCRYPT_CMD_MAX, CMD_DISK_CHANGED);
SAME(VMCRYPT_A_DEK, A_DEK);
SAME(VMCRYPT_A_KEY_BITS, A_KEY_BITS);
SAME(VMCRYPT_A_SEAL_ID, A_SEAL_ID);
SAME(VMCRYPT_A_PUBLIC_KEY, A_PUBLIC_KEY);
SAME(VMCRYPT_A_SEALED_KEY, A_SEALED_KEY);
SAME(VMCRYPT_A_REASON, A_REASON);
SAME(VMCRYPT_A_FLAGS, A_FLAGS);
SAME(VMCRYPT_A_STATE, A_STATE);
SAME(VMCRYPT_A_REQUEST_ID, A_REQUEST_ID);
SAME(VMCRYPT_A_MAJOR, A_MAJOR);
SAME(VMCRYPT_A_MINOR, A_MINOR);
SAME(VMCRYPT_A_NAME, A_NAME);
SAME(VMCRYPT_A_TARGETS, A_TARGETS);
SAME(VMCRYPT_A_SECTOR_SIZE, A_SECTOR_SIZE);
SAME(VMCRYPT_A_SECTORS, A_SECTORS);
SAME(VMCRYPT_A_INFLIGHT, A_INFLIGHT);
SAME(VMCRYPT_A_QUEUED, A_QUEUED);
SAME(VMCRYPT_A_READS, A_READS);
SAME(VMCRYPT_A_WRITES, A_WRITES);
SAME(VMCRYPT_A_ERRORS, A_ERRORS);
SAME(VMCRYPT_A_MAX, A_MAX);
SAME(VMCRYPT_KEY_ABSENT, KEY_ABSENT);
SAME(VMCRYPT_KEY_LOADED, KEY_LOADED);
SAME(VMCRYPT_KEY_WIPING, KEY_WIPING);
SAME(VMCRYPT_KEY_LOCKED, KEY_LOCKED);
SAME(VMCRYPT_REASON_NO_HEADER, REASON_NO_HEADER);
SAME(VMCRYPT_REASON_UNAVAILABLE, REASON_UNAVAILABLE);
SAME(VMCRYPT_REASON_NOT_ALLOWED, REASON_NOT_ALLOWED);
SAME(VMCRYPT_REASON_LOCKED, REASON_LOCKED);
SAME(VMCRYPT_REASON_HEADER_DAMAGED, REASON_HEADER_DAMAGED);
SAME(VMCRYPT_REASON_INTERNAL, REASON_INTERNAL);
SAME(VMCRYPT_WIPE_FORCE, WIPE_FORCE);
_Static_assert(!__builtin_strcmp(VMCRYPT_GENL_NAME, FAMILY_NAME), "family name");
_Static_assert(!__builtin_strcmp(VMCRYPT_MCGRP_REQUESTS, GROUP_REQUESTS), "group name");
_Static_assert(!__builtin_strcmp(VMCRYPT_MCGRP_EVENTS, GROUP_EVENTS), "group name");
_Static_assert(!__builtin_strcmp(VMCRYPT_DEK_ID_LABEL, DEK_ID_LABEL), "label of the UUID");
_Static_assert(!__builtin_strcmp(VMCRYPT_KEY_SEAL_LABEL, KEY_SEAL_LABEL), "label of the seal");
#endif

#define COMMANDS	(CMD_DISK_CHANGED + 1)
#define POLICIES	32

/**
 * struct rule - what the kernel says about one attribute in one policy
 */
struct rule {
	bool known;
	uint32_t type;
	uint64_t min_length, max_length;	/* binary, string */
	uint64_t min, max;			/* integers */
};

struct family {
	uint32_t op_flags[COMMANDS];
	bool op[COMMANDS];
	int policy_do[COMMANDS], policy_dump[COMMANDS];
	struct rule rule[POLICIES][A_MAX + 1];
};

static size_t each_nested(const uint8_t *p, size_t size, size_t at, uint16_t *type, const uint8_t **q,
			  size_t *n)
{
	const struct nlattr *a = (const struct nlattr *)(p + at);

	if (at + sizeof(*a) > size || a->nla_len < sizeof(*a))
		return 0;
	*type = a->nla_type & NLA_TYPE_MASK;
	*q = p + at + sizeof(*a);
	*n = a->nla_len - sizeof(*a);
	return at + NLA_ALIGN(a->nla_len);
}

static uint64_t number(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n < sizeof(v) ? n : sizeof(v));
	return v;
}

static void take_rule(struct rule *r, const uint8_t *p, size_t size)
{
	uint16_t type;
	const uint8_t *q;
	size_t n;

	r->known = true;
	r->max = UINT64_MAX;
	r->max_length = UINT64_MAX;
	for (size_t at = 0; at < size && (at = each_nested(p, size, at, &type, &q, &n));) {
		switch (type) {
		case NL_POLICY_TYPE_ATTR_TYPE:
			r->type = (uint32_t)number(q, n);
			break;
		case NL_POLICY_TYPE_ATTR_MIN_VALUE_U:
			r->min = number(q, n);
			break;
		case NL_POLICY_TYPE_ATTR_MAX_VALUE_U:
			r->max = number(q, n);
			break;
		case NL_POLICY_TYPE_ATTR_MIN_LENGTH:
			r->min_length = number(q, n);
			break;
		case NL_POLICY_TYPE_ATTR_MAX_LENGTH:
			r->max_length = number(q, n);
			break;
		}
	}
}

/* CTRL_ATTR_OP_POLICY: { command: { DO: index, DUMP: index } } */
static void take_op_policies(struct family *f, const uint8_t *p, size_t size)
{
	uint16_t cmd, which;
	const uint8_t *q, *v;
	size_t n, m;

	for (size_t at = 0; at < size && (at = each_nested(p, size, at, &cmd, &q, &n));) {
		if (cmd >= COMMANDS)
			continue;
		for (size_t in = 0; in < n && (in = each_nested(q, n, in, &which, &v, &m));) {
			if (which == CTRL_ATTR_POLICY_DO)
				f->policy_do[cmd] = (int)number(v, m);
			if (which == CTRL_ATTR_POLICY_DUMP)
				f->policy_dump[cmd] = (int)number(v, m);
		}
	}
}

/* CTRL_ATTR_POLICY: { policy index: { attribute: rule } } */
static void take_policies(struct family *f, const uint8_t *p, size_t size)
{
	uint16_t index, attribute;
	const uint8_t *q, *v;
	size_t n, m;

	for (size_t at = 0; at < size && (at = each_nested(p, size, at, &index, &q, &n));)
		for (size_t in = 0; in < n && (in = each_nested(q, n, in, &attribute, &v, &m));)
			if (index < POLICIES && attribute <= A_MAX)
				take_rule(&f->rule[index][attribute], v, m);
}

static void take_policy(const struct answer *a, void *arg)
{
	struct family *f = arg;

	if (a->attr[CTRL_ATTR_OP_POLICY].data)
		take_op_policies(f, a->attr[CTRL_ATTR_OP_POLICY].data, a->attr[CTRL_ATTR_OP_POLICY].size);
	if (a->attr[CTRL_ATTR_POLICY].data)
		take_policies(f, a->attr[CTRL_ATTR_POLICY].data, a->attr[CTRL_ATTR_POLICY].size);
}

/* CTRL_ATTR_OPS: { n: { ID, FLAGS } } */
static void take_ops(struct family *f, const uint8_t *p, size_t size)
{
	uint16_t index, type;
	const uint8_t *q, *v;
	size_t n, m;

	for (size_t at = 0; at < size && (at = each_nested(p, size, at, &index, &q, &n));) {
		uint32_t id = 0, flags = 0;

		for (size_t in = 0; in < n && (in = each_nested(q, n, in, &type, &v, &m));) {
			if (type == CTRL_ATTR_OP_ID)
				id = (uint32_t)number(v, m);
			if (type == CTRL_ATTR_OP_FLAGS)
				flags = (uint32_t)number(v, m);
		}
		if (id < COMMANDS) {
			f->op[id] = true;
			f->op_flags[id] |= flags;
		}
	}
}

FIXTURE(abi) {
	struct nl nl;
	struct nl control;
	struct family family;
};

FIXTURE_SETUP(abi)
{
	static struct answer a;
	struct family *f = &self->family;
	struct msg m;

	ASSERT_EQ(0, test_begin(&self->nl));
	for (int i = 0; i < COMMANDS; i++)
		f->policy_do[i] = f->policy_dump[i] = -1;
	self->control = self->nl;
	self->control.family = GENL_ID_CTRL;
	msg_begin(&self->control, &m, CTRL_CMD_GETFAMILY, 0);
	msg_put(&m, CTRL_ATTR_FAMILY_NAME, FAMILY_NAME, sizeof(FAMILY_NAME));
	ASSERT_EQ(0, nl_call(&self->control, &m, &a));
	ASSERT_NE(NULL, a.attr[CTRL_ATTR_OPS].data);
	take_ops(f, a.attr[CTRL_ATTR_OPS].data, a.attr[CTRL_ATTR_OPS].size);
	msg_begin(&self->control, &m, CTRL_CMD_GETPOLICY, NLM_F_DUMP);
	msg_put(&m, CTRL_ATTR_FAMILY_NAME, FAMILY_NAME, sizeof(FAMILY_NAME));
	ASSERT_EQ(0, nl_dump(&self->control, &m, &a, take_policy, f));
}

FIXTURE_TEARDOWN(abi)
{
	test_end(&self->nl);
}

TEST_F(abi, family)
{
	EXPECT_EQ(FAMILY_VERSION, self->nl.version);
	EXPECT_NE(0, self->nl.requests);
	EXPECT_NE(0, self->nl.events);
	EXPECT_NE(self->nl.requests, self->nl.events);
}

TEST_F(abi, operations)
{
	static const struct {
		int cmd;
		bool can_do, can_dump;
	} expected[] = {
		{ CMD_KEY_PREPARE, true, false },
		{ CMD_KEY_SET, true, false },
		{ CMD_KEY_REJECT, true, false },
		{ CMD_KEY_WIPE, true, false },
		{ CMD_KEY_GET, true, true },
		{ CMD_DISK_GET, true, true },
		{ CMD_REQUEST_GET, false, true },
	};
	const uint32_t admin = GENL_ADMIN_PERM | GENL_UNS_ADMIN_PERM;

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const int cmd = expected[i].cmd;
		const uint32_t flags = self->family.op_flags[cmd];

		EXPECT_TRUE(self->family.op[cmd])
			TH_LOG("command %d is not there", cmd);
		EXPECT_EQ(expected[i].can_do, !!(flags & GENL_CMD_CAP_DO))
			TH_LOG("do of command %d", cmd);
		EXPECT_EQ(expected[i].can_dump, !!(flags & GENL_CMD_CAP_DUMP))
			TH_LOG("dump of command %d", cmd);
		/* CAP_NET_ADMIN is not what this family asks for */
		EXPECT_EQ(0, flags & admin)
			TH_LOG("command %d asks for CAP_NET_ADMIN", cmd);
		EXPECT_EQ(GENL_CMD_CAP_HASPOL, flags & GENL_CMD_CAP_HASPOL)
			TH_LOG("command %d has no policy", cmd);
	}
	for (int cmd = CMD_KEY_REQUEST; cmd <= CMD_DISK_CHANGED; cmd++) {
		EXPECT_FALSE(self->family.op[cmd])
			TH_LOG("notification %d can be sent as a command", cmd);
	}
}

/* what each command takes, and the exact length or the type of it */
static const struct {
	int cmd, attribute;
	uint32_t type;
	uint64_t min, max;
} rules[] = {
	{ CMD_KEY_SET, A_DEK, NL_ATTR_TYPE_BINARY, UUID_LEN, UUID_LEN },
	{ CMD_KEY_SET, A_KEY_BITS, NL_ATTR_TYPE_U32, 0, 0 },
	{ CMD_KEY_SET, A_SEAL_ID, NL_ATTR_TYPE_U32, 0, 0 },
	{ CMD_KEY_SET, A_PUBLIC_KEY, NL_ATTR_TYPE_BINARY, PUBLIC_LEN, PUBLIC_LEN },
	{ CMD_KEY_SET, A_SEALED_KEY, NL_ATTR_TYPE_BINARY, 32 + TAG_LEN, 64 + TAG_LEN },
	{ CMD_KEY_REJECT, A_DEK, NL_ATTR_TYPE_BINARY, UUID_LEN, UUID_LEN },
	{ CMD_KEY_REJECT, A_REASON, NL_ATTR_TYPE_U32, 0, 0 },
	{ CMD_KEY_WIPE, A_DEK, NL_ATTR_TYPE_BINARY, UUID_LEN, UUID_LEN },
	{ CMD_KEY_WIPE, A_FLAGS, NL_ATTR_TYPE_U32, 0, 0 },
	{ CMD_KEY_GET, A_DEK, NL_ATTR_TYPE_BINARY, UUID_LEN, UUID_LEN },
	{ CMD_DISK_GET, A_NAME, NL_ATTR_TYPE_NUL_STRING, 0, NAME_LEN_MAX },
};

static bool allowed(int cmd, int attribute)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].cmd == cmd && rules[i].attribute == attribute)
			return true;
	return false;
}

TEST_F(abi, policies)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const int index = self->family.policy_do[rules[i].cmd];
		const struct rule *r;

		ASSERT_LE(0, index)
			TH_LOG("no policy for command %d", rules[i].cmd);
		ASSERT_GT(POLICIES, index);
		r = &self->family.rule[index][rules[i].attribute];
		EXPECT_TRUE(r->known)
			TH_LOG("command %d does not take attribute %d", rules[i].cmd, rules[i].attribute);
		EXPECT_EQ(rules[i].type, r->type)
			TH_LOG("command %d, attribute %d", rules[i].cmd, rules[i].attribute);
		if (rules[i].type == NL_ATTR_TYPE_BINARY) {
			EXPECT_LE(rules[i].min, r->min_length)
				TH_LOG("command %d, attribute %d", rules[i].cmd, rules[i].attribute);
		}
		if (rules[i].type == NL_ATTR_TYPE_BINARY || rules[i].type == NL_ATTR_TYPE_NUL_STRING) {
			EXPECT_GE(rules[i].max, r->max_length)
				TH_LOG("command %d, attribute %d", rules[i].cmd, rules[i].attribute);
		}
	}
}

TEST_F(abi, nothing_more)
{
	for (int cmd = CMD_KEY_PREPARE; cmd <= CMD_DISK_GET; cmd++) {
		const int index = self->family.policy_do[cmd];

		if (index < 0 || index >= POLICIES)
			continue;
		for (int i = 1; i <= A_MAX; i++) {
			const struct rule *r = &self->family.rule[index][i];

			EXPECT_FALSE(r->known && r->type != NL_ATTR_TYPE_INVALID && !allowed(cmd, i))
				TH_LOG("command %d takes attribute %d too", cmd, i);
		}
	}
}

TEST_HARNESS_MAIN
