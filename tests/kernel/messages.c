// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Malformed netlink: each attribute of each command missing, short, long,
 * doubled, unknown or foreign. Every refusal has a text, and names the attribute
 * that is to blame.
 */
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "kselftest_harness.h"
#include "lib.h"

#define MOST	5

/* the attributes that each command must have (its optional ones are tried apart) */
static const struct command {
	int cmd;
	const char *name;
	int required[MOST];
	int optional;
} commands[] = {
	{ CMD_KEY_PREPARE, "KEY_PREPARE", { 0 }, 0 },
	{ CMD_KEY_SET, "KEY_SET", { A_DEK, A_KEY_BITS, A_SEAL_ID, A_PUBLIC_KEY, A_SEALED_KEY }, 0 },
	{ CMD_KEY_REJECT, "KEY_REJECT", { A_DEK, A_REASON }, 0 },
	{ CMD_KEY_WIPE, "KEY_WIPE", { A_DEK }, A_FLAGS },
	{ CMD_KEY_GET, "KEY_GET", { A_DEK }, 0 },
	{ CMD_DISK_GET, "DISK_GET", { A_NAME }, 0 },
};

static const size_t size_of[A_MAX + 1] = {
	[A_DEK] = UUID_LEN, [A_KEY_BITS] = 4, [A_SEAL_ID] = 4, [A_PUBLIC_KEY] = PUBLIC_LEN,
	[A_SEALED_KEY] = 64 + TAG_LEN, [A_REASON] = 4, [A_FLAGS] = 4, [A_STATE] = 4, [A_REQUEST_ID] = 4,
	[A_MAJOR] = 4, [A_MINOR] = 4, [A_NAME] = 8, [A_TARGETS] = 4, [A_SECTOR_SIZE] = 4, [A_SECTORS] = 8,
	[A_INFLIGHT] = 4, [A_QUEUED] = 4, [A_READS] = 8, [A_WRITES] = 8, [A_ERRORS] = 8, [A_PAD] = 0,
};

FIXTURE(messages) {
	struct nl nl;
};

FIXTURE_SETUP(messages)
{
	ASSERT_EQ(0, test_begin(&self->nl));
}

FIXTURE_TEARDOWN(messages)
{
	EXPECT_EQ(0, key_count(&self->nl));
	test_end(&self->nl);
}

/* a value that is well-formed for its attribute; @size may differ from what is right */
static size_t put_value(struct msg *m, int type, size_t size)
{
	uint8_t data[512] = { 0 };
	const uint32_t bits = 512, flags = WIPE_FORCE, reason = REASON_INTERNAL;

	memset(data, 0x33, sizeof(data));
	if (type == A_KEY_BITS)
		memcpy(data, &bits, 4);
	if (type == A_FLAGS)
		memcpy(data, &flags, 4);
	if (type == A_REASON)
		memcpy(data, &reason, 4);
	if (type == A_NAME)
		snprintf((char *)data, sizeof(data), "vt-none");
	return msg_put(m, (uint16_t)type, data, size);
}

/* all required attributes but @skip; returns where @want begins */
static size_t compose(const struct nl *nl, struct msg *m, const struct command *c, int skip, int want, size_t size)
{
	size_t at = 0;

	msg_begin(nl, m, (uint8_t)c->cmd, 0);
	for (int i = 0; i < MOST && c->required[i]; i++) {
		const int type = c->required[i];
		size_t here;

		if (type == skip)
			continue;
		here = put_value(m, type, type == want ? size : size_of[type]);
		if (type == want)
			at = here;
	}
	return at;
}

/* that the base of the mutations is refused for no malformation */
TEST_F(messages, well_formed)
{
	static const int expected[] = { 0, -ENOENT, -ENOENT, -ENOENT, -ENOENT, -ENOENT };
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		compose(&self->nl, &m, &commands[i], 0, 0, 0);
		EXPECT_EQ(expected[i], nl_call(&self->nl, &m, &a))
			TH_LOG("%s: %s", commands[i].name, a.text);
		if (expected[i]) {
			EXPECT_NE(0, strlen(a.text))
				TH_LOG("%s has no text", commands[i].name);
		}
	}
}

TEST_F(messages, missing)
{
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		for (int j = 0; j < MOST && c->required[j]; j++) {
			compose(&self->nl, &m, c, c->required[j], 0, 0);
			EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a))
				TH_LOG("%s without %d", c->name, c->required[j]);
			EXPECT_EQ(c->required[j], a.missing)
				TH_LOG("%s without %d", c->name, c->required[j]);
			EXPECT_NE(0, strlen(a.text))
				TH_LOG("%s without %d", c->name, c->required[j]);
		}
	}
}

static bool is_integer(int type)
{
	return type != A_NAME && (size_of[type] == 4 || size_of[type] == 8);
}

/* EINVAL; ERANGE where it is binary or text, as the kernel's own policies answer */
TEST_F(messages, wrong_length)
{
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		for (int j = 0; j < MOST && c->required[j]; j++) {
			const int type = c->required[j];
			const size_t good = size_of[type];
			const size_t sizes[] = { 0, 1, good - 1, good + 1, 2 * good, 300 };

			for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
				size_t at;

				/* names have no length of their own */
				if (type == A_NAME && sizes[k] >= good && sizes[k] < 300)
					continue;
				at = compose(&self->nl, &m, c, 0, type, sizes[k]);
				nl_call(&self->nl, &m, &a);
				EXPECT_TRUE(a.error == -EINVAL || (a.error == -ERANGE && !is_integer(type)))
					TH_LOG("%s, attribute %d of %zu bytes: %s", c->name, type, sizes[k], a.text);
				EXPECT_EQ(at, a.offset)
					TH_LOG("%s, attribute %d of %zu bytes: %s", c->name, type, sizes[k], a.text);
				EXPECT_NE(0, strlen(a.text));
			}
		}
	}
}

TEST_F(messages, doubled)
{
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		int types[MOST + 1] = { 0 };

		memcpy(types, c->required, sizeof(c->required));
		for (int j = 0; j <= MOST; j++) {
			const int type = j < MOST ? types[j] : c->optional;

			if (!type)
				continue;
			compose(&self->nl, &m, c, 0, 0, 0);
			if (type == c->optional)
				put_value(&m, type, size_of[type]);
			put_value(&m, type, size_of[type]);
			EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a))
				TH_LOG("%s, attribute %d twice", c->name, type);
			EXPECT_NE(0, strlen(a.text))
				TH_LOG("%s, attribute %d twice", c->name, type);
			EXPECT_NE(0, a.offset)
				TH_LOG("%s, attribute %d twice", c->name, type);
		}
	}
}

static bool takes(const struct command *c, int type)
{
	for (int j = 0; j < MOST; j++)
		if (c->required[j] == type)
			return true;
	return c->optional == type;
}

/* attributes of other commands, and of none */
TEST_F(messages, unknown)
{
	static const int strangers[] = { A_MAX + 1, A_MAX + 9, 255, 0x3fff };
	static struct answer a;
	struct msg m;
	size_t at;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		for (int type = 1; type < A_PAD; type++) {
			if (takes(c, type))
				continue;
			compose(&self->nl, &m, c, 0, 0, 0);
			at = put_value(&m, type, size_of[type]);
			EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a))
				TH_LOG("%s with attribute %d", c->name, type);
			EXPECT_EQ(at, a.offset)
				TH_LOG("%s with attribute %d", c->name, type);
			EXPECT_NE(0, strlen(a.text));
		}
		for (size_t j = 0; j < ARRAY_SIZE(strangers); j++) {
			compose(&self->nl, &m, c, 0, 0, 0);
			at = put_value(&m, strangers[j], 4);
			EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a))
				TH_LOG("%s with attribute %d", c->name, strangers[j]);
			EXPECT_EQ(at, a.offset);
			EXPECT_NE(0, strlen(a.text));
		}
	}
}

TEST_F(messages, unknown_commands)
{
	static const uint8_t unknown[] = { 0, CMD_KEY_REQUEST, CMD_KEY_CHANGED, CMD_DISK_CHANGED, 11, 12, 127, 255 };
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		msg_begin(&self->nl, &m, unknown[i], 0);
		EXPECT_EQ(-EOPNOTSUPP, nl_call(&self->nl, &m, &a))
			TH_LOG("command %u", unknown[i]);
		msg_begin(&self->nl, &m, unknown[i], NLM_F_DUMP);
		EXPECT_EQ(-EOPNOTSUPP, nl_call(&self->nl, &m, &a))
			TH_LOG("dump of command %u", unknown[i]);
	}
	msg_begin(&self->nl, &m, CMD_REQUEST_GET, 0);
	EXPECT_EQ(-EOPNOTSUPP, nl_call(&self->nl, &m, &a));
	msg_begin(&self->nl, &m, CMD_KEY_PREPARE, NLM_F_DUMP);
	EXPECT_EQ(-EOPNOTSUPP, nl_call(&self->nl, &m, &a));
	msg_begin(&self->nl, &m, CMD_KEY_SET, NLM_F_DUMP);
	EXPECT_EQ(-EOPNOTSUPP, nl_call(&self->nl, &m, &a));
}

TEST_F(messages, flags)
{
	static const uint32_t flags[] = { 2, 3, 4, 0x80000000, 0x80000001, 0xffffffff };
	const uint8_t uuid[UUID_LEN] = { 0x33 };
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		size_t at;

		msg_begin(&self->nl, &m, CMD_KEY_WIPE, 0);
		msg_put(&m, A_DEK, uuid, UUID_LEN);
		at = msg_u32(&m, A_FLAGS, flags[i]);
		EXPECT_EQ(-EOPNOTSUPP, nl_call(&self->nl, &m, &a))
			TH_LOG("flags %x: %s", flags[i], a.text);
		EXPECT_EQ(at, a.offset);
		EXPECT_NE(0, strlen(a.text));
	}
	EXPECT_EQ(-ENOENT, key_wipe(&self->nl, uuid, 0));
	EXPECT_EQ(-ENOENT, key_wipe(&self->nl, uuid, WIPE_FORCE));
}

TEST_F(messages, reasons)
{
	static const uint32_t reasons[] = { 0, 7, 8, 255, 0x80000001, 0xffffffff };
	const uint8_t uuid[UUID_LEN] = { 0x33 };
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		msg_begin(&self->nl, &m, CMD_KEY_REJECT, 0);
		msg_put(&m, A_DEK, uuid, UUID_LEN);
		msg_u32(&m, A_REASON, reasons[i]);
		EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a))
			TH_LOG("reason %u: %s", reasons[i], a.text);
		EXPECT_NE(0, strlen(a.text));
		EXPECT_NE(0, a.offset);
	}
	for (uint32_t r = REASON_NO_HEADER; r <= REASON_INTERNAL; r++)
		EXPECT_EQ(-ENOENT, key_reject(&self->nl, uuid, r));
}

TEST_F(messages, key_bits)
{
	static const uint32_t bits[] = { 0, 1, 32, 64, 128, 192, 255, 257, 384, 511, 513, 1024, 0xffffffff };
	static const struct { uint32_t bits; size_t size; } pairs[] = {
		{ 256, 64 + TAG_LEN }, { 512, 32 + TAG_LEN }, { 256, 33 + TAG_LEN }, { 512, 48 + TAG_LEN },
		{ 256, TAG_LEN }, { 512, 63 + TAG_LEN },
	};
	const uint8_t uuid[UUID_LEN] = { 0x33 }, key[128] = { 1, 2, 3 };
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		key_set_message(&self->nl, &m, uuid, bits[i], 1, key, key, 64 + TAG_LEN);
		EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a))
			TH_LOG("%u bits: %s", bits[i], a.text);
		EXPECT_NE(0, strlen(a.text));
	}
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		key_set_message(&self->nl, &m, uuid, pairs[i].bits, 1, key, key, pairs[i].size);
		nl_call(&self->nl, &m, &a);
		EXPECT_TRUE(a.error == -EINVAL || a.error == -ERANGE)
			TH_LOG("%u bits, %zu bytes: %s", pairs[i].bits, pairs[i].size, a.text);
		EXPECT_NE(0, strlen(a.text));
	}
}

TEST_F(messages, names)
{
	static const struct { size_t length; bool terminated; int error; } names[] = {
		{ 1, true, -ENOENT }, { 126, true, -ENOENT }, { 127, true, -ENOENT }, { 128, true, -EINVAL },
		{ 200, true, -EINVAL }, { 8, false, -EINVAL }, { 127, false, -EINVAL }, { 128, false, -EINVAL },
	};
	static struct answer a;
	char name[256];
	struct msg m;

	memset(name, 'n', sizeof(name));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		msg_begin(&self->nl, &m, CMD_DISK_GET, 0);
		name[names[i].length] = 0;
		msg_put(&m, A_NAME, name, names[i].length + names[i].terminated);
		name[names[i].length] = 'n';
		EXPECT_EQ(names[i].error, nl_call(&self->nl, &m, &a))
			TH_LOG("name of %zu: %s", names[i].length, a.text);
		EXPECT_NE(0, strlen(a.text));
	}
}

/* a dump takes no attribute; what hangs over the end, or claims to, is refused */
TEST_F(messages, framing)
{
	static const uint8_t dumps[] = { CMD_KEY_GET, CMD_DISK_GET, CMD_REQUEST_GET };
	const uint8_t uuid[UUID_LEN] = { 0x33 };
	static struct answer a;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(dumps); i++) {
		msg_begin(&self->nl, &m, dumps[i], NLM_F_DUMP);
		EXPECT_EQ(0, nl_call(&self->nl, &m, &a))
			TH_LOG("dump %u: %s", dumps[i], a.text);
		msg_begin(&self->nl, &m, dumps[i], NLM_F_DUMP);
		put_value(&m, dumps[i] == CMD_DISK_GET ? A_NAME : A_DEK,
			  size_of[dumps[i] == CMD_DISK_GET ? A_NAME : A_DEK]);
		EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a))
			TH_LOG("dump %u with an attribute: %s", dumps[i], a.text);
	}
	msg_begin(&self->nl, &m, CMD_KEY_GET, 0);
	msg_put(&m, A_DEK, uuid, UUID_LEN);
	m.size += 3;
	EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a));
	msg_begin(&self->nl, &m, CMD_KEY_GET, 0);
	((struct nlattr *)(m.data + msg_put(&m, A_DEK, uuid, UUID_LEN)))->nla_len = 400;
	EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a));
	msg_begin(&self->nl, &m, CMD_KEY_GET, 0);
	((struct nlattr *)(m.data + msg_put(&m, A_DEK, uuid, UUID_LEN)))->nla_len = 2;
	EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a));
	msg_begin(&self->nl, &m, CMD_KEY_GET, 0);
	msg_put(&m, A_DEK | NLA_F_NESTED, uuid, UUID_LEN);
	EXPECT_EQ(-EINVAL, nl_call(&self->nl, &m, &a));
}

/* random damage to well-formed messages: an answer to each, and the family lives */
TEST_F_TIMEOUT(messages, random_damage, 60)
{
	static struct answer a;
	unsigned int refused = 0;
	struct msg m;
	uint64_t x = 42;

	for (int i = 0; i < 3000; i++) {
		const struct command *c = &commands[i % ARRAY_SIZE(commands)];

		if (c->cmd == CMD_KEY_PREPARE)
			continue;
		compose(&self->nl, &m, c, 0, 0, 0);
		for (int hits = 0; hits < 1 + i % 3; hits++) {
			size_t at;

			x = x * 6364136223846793005ull + 1442695040888963407ull;
			/* the netlink header stays, so that the answer finds its way */
			at = NLMSG_HDRLEN + (x >> 33) % (m.size - NLMSG_HDRLEN);
			m.data[at] ^= (uint8_t)(1 + (x >> 12) % 255);
		}
		if (i % 7 == 0)
			m.size -= 4 * (x >> 50) % (m.size - NLMSG_HDRLEN - GENL_HDRLEN + 1);
		refused += nl_call(&self->nl, &m, &a) < 0;
		ASSERT_NE(-ETIME, a.error);
	}
	ASSERT_LT(1500, refused);
	ASSERT_EQ(0, key_count(&self->nl));
}

TEST_HARNESS_MAIN
