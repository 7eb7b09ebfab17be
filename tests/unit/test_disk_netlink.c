/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages of the netlink family as bytes, against the words of uapi/vmcrypt.h; and the client where
 * the module is not loaded. What the kernel answers is tested in tests/kernel.
 */
#include <poll.h>

#include <linux/genetlink.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>

#include "disk_fixture.h"
#include "disk/message.h"
#include "disk/netlink.h"

#define FAMILY	0x1234

static int setup(void **state)
{
	(void) state;
	return secret_init();
}

static const uint8_t dek[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

/* One attribute as it has to stand in the message. */
struct attribute {
	uint16_t type, size;
	const void *value;
};

static void check_message(struct nl_msg *m, uint8_t cmd, uint16_t flags, const struct attribute *a,
			  size_t n)
{
	const struct nlmsghdr *h = nlmsg_hdr(m);
	const uint8_t *p = (const uint8_t *) h + 16, *end = (const uint8_t *) h + h->nlmsg_len;

	assert_int_equal(h->nlmsg_type, FAMILY);
	assert_int_equal(h->nlmsg_flags, flags);
	assert_int_equal(p[0], cmd);
	assert_int_equal(p[1], VMCRYPT_GENL_VERSION);
	assert_int_equal(p[2] | p[3], 0);
	p += 4;
	for (size_t i = 0; i < n; i++) {
		uint16_t size, type;

		memcpy(&size, p, 2);
		memcpy(&type, p + 2, 2);
		assert_int_equal(type, a[i].type);
		assert_int_equal(size, a[i].size + 4);
		assert_memory_equal(p + 4, a[i].value, a[i].size);
		p += (size + 3) & ~3;
	}
	assert_ptr_equal(p, end);
	nlmsg_free(m);
}

static void test_commands(void **state)
{
	struct sealed_key s = { .size = 80, .key_bits = 512 };
	const uint32_t seal_id = 7, reason = VMCRYPT_REASON_LOCKED, force = VMCRYPT_WIPE_FORCE;
	const struct attribute set[] = {
		{ VMCRYPT_A_DEK, 16, dek }, { VMCRYPT_A_KEY_BITS, 4, &s.key_bits },
		{ VMCRYPT_A_SEAL_ID, 4, &seal_id }, { VMCRYPT_A_PUBLIC_KEY, 32, s.public_key },
		{ VMCRYPT_A_SEALED_KEY, 80, s.data },
	};
	const struct attribute reject[] = {
		{ VMCRYPT_A_DEK, 16, dek }, { VMCRYPT_A_REASON, 4, &reason },
	};
	const struct attribute wipe[] = {
		{ VMCRYPT_A_DEK, 16, dek }, { VMCRYPT_A_FLAGS, 4, &force },
	};
	const struct attribute name[] = { { VMCRYPT_A_NAME, 5, "vm-1" } };

	(void) state;
	memset(s.public_key, 0xaa, sizeof(s.public_key));
	memset(s.data, 0xbb, sizeof(s.data));
	check_message(message_key_prepare(FAMILY), VMCRYPT_CMD_KEY_PREPARE, 0, NULL, 0);
	check_message(message_key_set(FAMILY, dek, seal_id, &s), VMCRYPT_CMD_KEY_SET, 0, set, 5);
	check_message(message_key_reject(FAMILY, dek, reason), VMCRYPT_CMD_KEY_REJECT, 0, reject, 2);
	check_message(message_key_wipe(FAMILY, dek, force), VMCRYPT_CMD_KEY_WIPE, 0, wipe, 2);
	check_message(message_key_get(FAMILY, dek), VMCRYPT_CMD_KEY_GET, 0, set, 1);
	check_message(message_disk_get(FAMILY, "vm-1"), VMCRYPT_CMD_DISK_GET, 0, name, 1);
	check_message(message_dump(FAMILY, VMCRYPT_CMD_REQUEST_GET), VMCRYPT_CMD_REQUEST_GET,
		      NLM_F_DUMP, NULL, 0);
}

/* A message as the kernel makes it; the caller adds attributes. */
static struct nl_msg *from_kernel(uint8_t cmd)
{
	struct nl_msg *m = nlmsg_alloc();

	assert_non_null(m);
	assert_non_null(genlmsg_put(m, 0, 0, FAMILY, 0, 0, cmd, VMCRYPT_GENL_VERSION));
	return m;
}

/* All attributes that there are, each with a value that tells it; @without one of them. */
static struct nl_msg *full(uint8_t cmd, int without)
{
	struct nl_msg *m = from_kernel(cmd);
	uint8_t key[32];

	memset(key, 0x77, sizeof(key));
	for (int a = VMCRYPT_A_DEK; a < VMCRYPT_A_PAD; a++) {
		if (a == without)
			continue;
		switch (a) {
		case VMCRYPT_A_DEK:
			nla_put(m, a, 16, dek);
			break;
		case VMCRYPT_A_PUBLIC_KEY:
			nla_put(m, a, 32, key);
			break;
		case VMCRYPT_A_SEALED_KEY:
			nla_put(m, a, 32, key);
			break;
		case VMCRYPT_A_NAME:
			nla_put_string(m, a, "vm-1");
			break;
		case VMCRYPT_A_SECTORS:
		case VMCRYPT_A_READS:
		case VMCRYPT_A_WRITES:
		case VMCRYPT_A_ERRORS:
			nla_put_u64(m, a, ((uint64_t) a << 32) + 5);
			break;
		default:
			nla_put_u32(m, a, (uint32_t) a * 1000);
		}
	}
	return m;
}

static void test_parse(void **state)
{
	struct message_prepared prepared;
	struct nl_key key;
	struct nl_disk disk;
	struct nl_request request;
	struct nl_msg *m;

	(void) state;
	m = full(VMCRYPT_CMD_KEY_PREPARE, 0);
	assert_int_equal(message_parse_prepared(nlmsg_hdr(m), &prepared), 0);
	assert_int_equal(prepared.seal_id, VMCRYPT_A_SEAL_ID * 1000);
	assert_int_equal(prepared.public_key[31], 0x77);
	nlmsg_free(m);

	m = full(VMCRYPT_CMD_KEY_GET, 0);
	assert_int_equal(message_parse_key(nlmsg_hdr(m), &key), 0);
	assert_memory_equal(key.dek, dek, 16);
	assert_int_equal(key.key_bits, VMCRYPT_A_KEY_BITS * 1000);
	assert_int_equal(key.state, VMCRYPT_A_STATE * 1000);
	assert_int_equal(key.targets, VMCRYPT_A_TARGETS * 1000);
	nlmsg_free(m);

	m = full(VMCRYPT_CMD_DISK_GET, 0);
	assert_int_equal(message_parse_disk(nlmsg_hdr(m), &disk), 0);
	assert_string_equal(disk.name, "vm-1");
	assert_int_equal(disk.major, VMCRYPT_A_MAJOR * 1000);
	assert_int_equal(disk.minor, VMCRYPT_A_MINOR * 1000);
	assert_int_equal(disk.sector_size, VMCRYPT_A_SECTOR_SIZE * 1000);
	assert_int_equal(disk.inflight, VMCRYPT_A_INFLIGHT * 1000);
	assert_int_equal(disk.queued, VMCRYPT_A_QUEUED * 1000);
	assert_true(disk.sectors == ((uint64_t) VMCRYPT_A_SECTORS << 32) + 5);
	assert_true(disk.reads == ((uint64_t) VMCRYPT_A_READS << 32) + 5);
	assert_true(disk.writes == ((uint64_t) VMCRYPT_A_WRITES << 32) + 5);
	assert_true(disk.errors == ((uint64_t) VMCRYPT_A_ERRORS << 32) + 5);
	nlmsg_free(m);

	/* The dump answers with either command's number. */
	for (int i = 0; i < 2; i++) {
		m = full(i ? VMCRYPT_CMD_KEY_REQUEST : VMCRYPT_CMD_REQUEST_GET, 0);
		assert_int_equal(message_parse_request(nlmsg_hdr(m), &request), 0);
		assert_int_equal(request.request_id, VMCRYPT_A_REQUEST_ID * 1000);
		assert_string_equal(request.name, "vm-1");
		assert_int_equal(request.major, VMCRYPT_A_MAJOR * 1000);
		nlmsg_free(m);
	}
}

static int parse_any(uint8_t cmd, struct nlmsghdr *h)
{
	union {
		struct message_prepared prepared;
		struct nl_key key;
		struct nl_disk disk;
		struct nl_event event;
	} u;

	switch (cmd) {
	case VMCRYPT_CMD_KEY_PREPARE:
		return message_parse_prepared(h, &u.prepared);
	case VMCRYPT_CMD_KEY_GET:
		return message_parse_key(h, &u.key);
	case VMCRYPT_CMD_DISK_GET:
		return message_parse_disk(h, &u.disk);
	default:
		return message_parse_event(h, &u.event);
	}
}

/* What uapi/vmcrypt.h says that each message carries. */
static const struct {
	uint8_t cmd;
	uint8_t needs[13];
} promised[] = {
	{ VMCRYPT_CMD_KEY_PREPARE, { VMCRYPT_A_SEAL_ID, VMCRYPT_A_PUBLIC_KEY } },
	{ VMCRYPT_CMD_KEY_GET, { VMCRYPT_A_DEK, VMCRYPT_A_KEY_BITS, VMCRYPT_A_STATE,
				 VMCRYPT_A_TARGETS } },
	{ VMCRYPT_CMD_DISK_GET, { VMCRYPT_A_NAME, VMCRYPT_A_MAJOR, VMCRYPT_A_MINOR, VMCRYPT_A_DEK,
				  VMCRYPT_A_STATE, VMCRYPT_A_SECTOR_SIZE, VMCRYPT_A_SECTORS,
				  VMCRYPT_A_INFLIGHT, VMCRYPT_A_QUEUED, VMCRYPT_A_READS,
				  VMCRYPT_A_WRITES, VMCRYPT_A_ERRORS } },
	{ VMCRYPT_CMD_KEY_REQUEST, { VMCRYPT_A_REQUEST_ID, VMCRYPT_A_DEK, VMCRYPT_A_NAME,
				     VMCRYPT_A_MAJOR, VMCRYPT_A_MINOR } },
	{ VMCRYPT_CMD_KEY_CHANGED, { VMCRYPT_A_DEK, VMCRYPT_A_STATE } },
	{ VMCRYPT_CMD_DISK_CHANGED, { VMCRYPT_A_NAME, VMCRYPT_A_DEK, VMCRYPT_A_STATE } },
};

static void test_missing(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(promised); i++)
		for (int a = VMCRYPT_A_DEK; a < VMCRYPT_A_PAD; a++) {
			struct nl_msg *m = full(promised[i].cmd, a);
			bool needed = memchr(promised[i].needs, a, sizeof(promised[i].needs));

			assert_int_equal(parse_any(promised[i].cmd, nlmsg_hdr(m)),
					 needed ? -EPROTO : 0);
			nlmsg_free(m);
		}
}

/* Each attribute one byte short and one byte long. */
static void test_lengths(void **state)
{
	static const uint8_t bytes[200];

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(promised); i++)
		for (const uint8_t *a = promised[i].needs; *a; a++)
			for (int by = -1; by <= 1; by += 2) {
				struct nl_msg *all = full(promised[i].cmd, 0);
				int size = *a == VMCRYPT_A_NAME ? (by < 0 ? 0 : 130) :
					   nla_len(nlmsg_find_attr(nlmsg_hdr(all), GENL_HDRLEN, *a)) + by;
				struct nl_msg *m = full(promised[i].cmd, *a);

				nla_put(m, *a, size, bytes);
				assert_int_equal(parse_any(promised[i].cmd, nlmsg_hdr(m)), -EPROTO);
				nlmsg_free(m);
				nlmsg_free(all);
			}
}

static void test_names(void **state)
{
	char longest[VMCRYPT_NAME_MAX + 2];
	struct nl_event e;
	struct nl_msg *m;

	(void) state;
	memset(longest, 'n', sizeof(longest));
	longest[VMCRYPT_NAME_MAX] = '\0';
	m = full(VMCRYPT_CMD_DISK_CHANGED, VMCRYPT_A_NAME);
	nla_put_string(m, VMCRYPT_A_NAME, longest);
	assert_int_equal(message_parse_event(nlmsg_hdr(m), &e), 0);
	assert_int_equal(strlen(e.disk.name), VMCRYPT_NAME_MAX);
	nlmsg_free(m);

	/* Without its NUL. */
	m = full(VMCRYPT_CMD_DISK_CHANGED, VMCRYPT_A_NAME);
	nla_put(m, VMCRYPT_A_NAME, 4, "vm-1");
	assert_int_equal(message_parse_event(nlmsg_hdr(m), &e), -EPROTO);
	nlmsg_free(m);

	m = full(VMCRYPT_CMD_KEY_GET, 0);
	assert_int_equal(message_parse_event(nlmsg_hdr(m), &e), -ENOMSG);
	nlmsg_free(m);
}

/* An NLMSG_ERROR: errno, our own message or its head alone, the text. */
static struct nl_msg *error_message(int code, int type, uint16_t flags, size_t echoed, const char *text)
{
	struct nl_msg *m = nlmsg_alloc();
	struct nlmsghdr *h = nlmsg_put(m, 0, 0, type, 0, 0);
	uint8_t head[sizeof(struct nlmsgerr) + 64] = { 0 };
	struct nlmsgerr *err = (struct nlmsgerr *) head;

	err->error = code;
	err->msg.nlmsg_len = (uint32_t) (sizeof(err->msg) + echoed);
	assert_int_equal(nlmsg_append(m, head, type == NLMSG_DONE ? sizeof(int) :
				      sizeof(*err) + (flags & NLM_F_CAPPED ? 0 : echoed), 4), 0);
	if (text) {
		flags |= NLM_F_ACK_TLVS;
		nla_put_string(m, NLMSGERR_ATTR_MSG, text);
	}
	h = nlmsg_hdr(m);
	h->nlmsg_flags = flags;
	return m;
}

static void check_error(struct nl_msg *m, int code, const char *text)
{
	char said[32];

	assert_int_equal(message_parse_error(nlmsg_hdr(m), said, sizeof(said)), code);
	assert_string_equal(said, text);
	nlmsg_free(m);
}

static void test_errors(void **state)
{
	struct nl_msg *m;

	(void) state;
	check_error(error_message(0, NLMSG_ERROR, NLM_F_CAPPED, 40, NULL), 0, "");
	check_error(error_message(-ENOENT, NLMSG_ERROR, NLM_F_CAPPED, 40, "no such key"), -ENOENT,
		    "no such key");
	check_error(error_message(-EINVAL, NLMSG_ERROR, 0, 40, "weak key"), -EINVAL, "weak key");
	check_error(error_message(-EINVAL, NLMSG_ERROR, 0, 40, NULL), -EINVAL, "");
	check_error(error_message(-EPERM, NLMSG_DONE, 0, 0, "not you"), -EPERM, "not you");
	check_error(error_message(0, NLMSG_DONE, 0, 0, NULL), 0, "");
	check_error(error_message(-EIO, NLMSG_ERROR, NLM_F_CAPPED, 0,
				  "a text that is longer than there is room for it"), -EIO,
		    "a text that is longer than ther");
	check_error(error_message(EIO, NLMSG_ERROR, NLM_F_CAPPED, 0, NULL), -EPROTO, "");
	check_error(error_message(-100000, NLMSG_ERROR, NLM_F_CAPPED, 0, NULL), -EPROTO, "");

	/* A copy of our message that is said to be longer than all of it. */
	m = error_message(-EINVAL, NLMSG_ERROR, 0, 40, "text");
	((struct nlmsgerr *) nlmsg_data(nlmsg_hdr(m)))->msg.nlmsg_len = 60000;
	check_error(m, -EPROTO, "");
	m = error_message(-EINVAL, NLMSG_ERROR, 0, 40, "text");
	nlmsg_hdr(m)->nlmsg_len = 18;
	check_error(m, -EPROTO, "");
}

static void test_family(void **state)
{
	static const char *const names[] = { "requests", "other", "events", "notify" };
	struct message_family f;
	struct nl_msg *m = nlmsg_alloc();
	struct nlattr *groups, *group;

	(void) state;
	genlmsg_put(m, 0, 0, GENL_ID_CTRL, 0, 0, CTRL_CMD_NEWFAMILY, 2);
	nla_put_u16(m, CTRL_ATTR_FAMILY_ID, 33);
	nla_put_string(m, CTRL_ATTR_FAMILY_NAME, "vmcrypt");
	groups = nla_nest_start(m, CTRL_ATTR_MCAST_GROUPS);
	for (int i = 0; i < 4; i++) {
		group = nla_nest_start(m, i + 1);
		nla_put_u32(m, CTRL_ATTR_MCAST_GRP_ID, 100 + (uint32_t) i);
		nla_put_string(m, CTRL_ATTR_MCAST_GRP_NAME, names[i]);
		nla_nest_end(m, group);
	}
	nla_nest_end(m, groups);
	assert_int_equal(message_parse_family(nlmsg_hdr(m), &f), 0);
	assert_int_equal(f.id, 33);
	assert_string_equal(f.name, "vmcrypt");
	assert_int_equal(f.requests, 100);
	assert_int_equal(f.events, 102);
	assert_int_equal(f.notify, 103);
	nlmsg_free(m);

	m = message_get_family("vmcrypt");
	assert_int_equal(message_parse_family(nlmsg_hdr(m), &f), -EPROTO);
	nlmsg_free(m);
}

/* A real socket, and nlctrl at the other end of it. */
static void test_without_module(void **state)
{
	_cleanup_nl_client_ struct nl_client *c = NULL;
	_cleanup_nl_listener_ struct nl_listener *l = NULL;
	struct nl_event event;
	struct error e = ERROR_NULL;
	struct nl_key *keys = NULL;
	struct pollfd p;
	size_t n = 0;
	int r;

	(void) state;
	assert_int_equal(nl_client_new(&c, &e), 0);
	r = nl_client_check(c, &e);
	if (r == 0)
		return;		/* a machine with the module: tests/kernel goes further */
	assert_int_equal(r, -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "modprobe dm-vmcrypt"));
	for (int i = 0; i < 3; i++)
		assert_int_equal(nl_client_key_wipe(c, dek, true, &e), -EOPNOTSUPP);
	assert_int_equal(nl_client_key_list(c, &keys, &n, &e), -EOPNOTSUPP);
	assert_null(keys);
	/* Who does not want to know why still learns that it failed. */
	assert_int_equal(nl_client_key_wipe(c, dek, true, NULL), -EOPNOTSUPP);
	assert_int_equal(nl_client_key_list(c, &keys, &n, NULL), -EOPNOTSUPP);

	assert_int_equal(nl_listener_new(NL_LISTEN_REQUESTS | NL_LISTEN_EVENTS, &l, &e), 0);
	assert_int_equal(nl_listener_next(l, &event, &e), 0);
	assert_int_equal(event.type, NL_EVENT_NONE);
	p = (struct pollfd) { .fd = nl_listener_fd(l), .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_family),
		cmocka_unit_test(test_without_module),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
