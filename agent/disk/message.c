/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/msg.h>

#include "common/cleanup.h"
#include "disk/message.h"

static struct nl_msg *message_new(uint16_t family, uint8_t cmd, uint8_t version, int flags)
{
	struct nl_msg *m = nlmsg_alloc();

	if (m && !genlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, flags, cmd, version)) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

static struct nl_msg *vmcrypt_new(uint16_t family, uint8_t cmd, int flags)
{
	return message_new(family, cmd, VMCRYPT_GENL_VERSION, flags);
}

/* Ends the making of a message: @failed is whether any attribute had no room. */
static struct nl_msg *finish(struct nl_msg *m, bool failed)
{
	if (failed) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

static bool put_dek(struct nl_msg *m, const uint8_t *dek)
{
	return nla_put(m, VMCRYPT_A_DEK, VMCRYPT_DEK_UUID_LEN, dek) == 0;
}

struct nl_msg *message_get_family(const char *name)
{
	struct nl_msg *m = message_new(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, 0);

	return m ? finish(m, nla_put_string(m, CTRL_ATTR_FAMILY_NAME, name) != 0) : NULL;
}

struct nl_msg *message_key_prepare(uint16_t family)
{
	return vmcrypt_new(family, VMCRYPT_CMD_KEY_PREPARE, 0);
}

struct nl_msg *message_key_set(uint16_t family, const uint8_t *dek, uint32_t seal_id,
			       const struct sealed_key *sealed)
{
	struct nl_msg *m = vmcrypt_new(family, VMCRYPT_CMD_KEY_SET, 0);

	if (!m)
		return NULL;
	return finish(m, !put_dek(m, dek) ||
		      nla_put_u32(m, VMCRYPT_A_KEY_BITS, sealed->key_bits) != 0 ||
		      nla_put_u32(m, VMCRYPT_A_SEAL_ID, seal_id) != 0 ||
		      nla_put(m, VMCRYPT_A_PUBLIC_KEY, sizeof(sealed->public_key),
			      sealed->public_key) != 0 ||
		      nla_put(m, VMCRYPT_A_SEALED_KEY, (int) sealed->size, sealed->data) != 0);
}

static struct nl_msg *dek_and_u32(uint16_t family, uint8_t cmd, const uint8_t *dek, int attr,
				  uint32_t value)
{
	struct nl_msg *m = vmcrypt_new(family, cmd, 0);

	return m ? finish(m, !put_dek(m, dek) || nla_put_u32(m, attr, value) != 0) : NULL;
}

struct nl_msg *message_key_reject(uint16_t family, const uint8_t *dek, uint32_t reason)
{
	return dek_and_u32(family, VMCRYPT_CMD_KEY_REJECT, dek, VMCRYPT_A_REASON, reason);
}

struct nl_msg *message_key_wipe(uint16_t family, const uint8_t *dek, uint32_t flags)
{
	return dek_and_u32(family, VMCRYPT_CMD_KEY_WIPE, dek, VMCRYPT_A_FLAGS, flags);
}

struct nl_msg *message_key_get(uint16_t family, const uint8_t *dek)
{
	struct nl_msg *m = vmcrypt_new(family, VMCRYPT_CMD_KEY_GET, 0);

	return m ? finish(m, !put_dek(m, dek)) : NULL;
}

struct nl_msg *message_disk_get(uint16_t family, const char *name)
{
	struct nl_msg *m = vmcrypt_new(family, VMCRYPT_CMD_DISK_GET, 0);

	return m ? finish(m, nla_put_string(m, VMCRYPT_A_NAME, name) != 0) : NULL;
}

struct nl_msg *message_dump(uint16_t family, uint8_t cmd)
{
	return vmcrypt_new(family, cmd, NLM_F_DUMP);
}

#define BYTES(n)	{ .type = NLA_UNSPEC, .minlen = (n), .maxlen = (n) }
#define U32		{ .type = NLA_U32, .minlen = 4, .maxlen = 4 }
#define U64		{ .type = NLA_U64, .minlen = 8, .maxlen = 8 }

static struct nla_policy vmcrypt_policy[VMCRYPT_A_MAX + 1] = {
	[VMCRYPT_A_DEK]		= BYTES(VMCRYPT_DEK_UUID_LEN),
	[VMCRYPT_A_KEY_BITS]	= U32,
	[VMCRYPT_A_SEAL_ID]	= U32,
	[VMCRYPT_A_PUBLIC_KEY]	= BYTES(VMCRYPT_PUBLIC_KEY_LEN),
	[VMCRYPT_A_REASON]	= U32,
	[VMCRYPT_A_FLAGS]	= U32,
	[VMCRYPT_A_STATE]	= U32,
	[VMCRYPT_A_REQUEST_ID]	= U32,
	[VMCRYPT_A_MAJOR]	= U32,
	[VMCRYPT_A_MINOR]	= U32,
	[VMCRYPT_A_NAME]	= { .type = NLA_STRING, .minlen = 1, .maxlen = VMCRYPT_NAME_MAX + 1 },
	[VMCRYPT_A_TARGETS]	= U32,
	[VMCRYPT_A_SECTOR_SIZE]	= U32,
	[VMCRYPT_A_SECTORS]	= U64,
	[VMCRYPT_A_INFLIGHT]	= U32,
	[VMCRYPT_A_QUEUED]	= U32,
	[VMCRYPT_A_READS]	= U64,
	[VMCRYPT_A_WRITES]	= U64,
	[VMCRYPT_A_ERRORS]	= U64,
};

/* @needed ends in VMCRYPT_A_UNSPEC */
static int parse(struct nlmsghdr *h, uint8_t cmd, const uint8_t *needed,
		 struct nlattr *ret[VMCRYPT_A_MAX + 1])
{
	if (!genlmsg_valid_hdr(h, 0) || genlmsg_hdr(h)->cmd != cmd ||
	    genlmsg_parse(h, 0, ret, VMCRYPT_A_MAX, vmcrypt_policy) < 0)
		return -EPROTO;
	for (; *needed != VMCRYPT_A_UNSPEC; needed++)
		if (!ret[*needed])
			return -EPROTO;
	return 0;
}

static void get_dek(struct nlattr **a, uint8_t *ret)
{
	memcpy(ret, nla_data(a[VMCRYPT_A_DEK]), VMCRYPT_DEK_UUID_LEN);
}

/* The policy holds a name to its length and its NUL; the buffer is larger. */
static void get_name(struct nlattr **a, char ret[VMCRYPT_NAME_MAX + 1])
{
	nla_strlcpy(ret, a[VMCRYPT_A_NAME], VMCRYPT_NAME_MAX + 1);
}

int message_parse_prepared(struct nlmsghdr *h, struct message_prepared *ret)
{
	static const uint8_t needed[] = { VMCRYPT_A_SEAL_ID, VMCRYPT_A_PUBLIC_KEY, 0 };
	struct nlattr *a[VMCRYPT_A_MAX + 1];

	if (parse(h, VMCRYPT_CMD_KEY_PREPARE, needed, a) < 0)
		return -EPROTO;
	ret->seal_id = nla_get_u32(a[VMCRYPT_A_SEAL_ID]);
	memcpy(ret->public_key, nla_data(a[VMCRYPT_A_PUBLIC_KEY]), VMCRYPT_PUBLIC_KEY_LEN);
	return 0;
}

int message_parse_key(struct nlmsghdr *h, struct nl_key *ret)
{
	static const uint8_t needed[] = {
		VMCRYPT_A_DEK, VMCRYPT_A_KEY_BITS, VMCRYPT_A_STATE, VMCRYPT_A_TARGETS, 0
	};
	struct nlattr *a[VMCRYPT_A_MAX + 1];

	if (parse(h, VMCRYPT_CMD_KEY_GET, needed, a) < 0)
		return -EPROTO;
	get_dek(a, ret->dek);
	ret->key_bits = nla_get_u32(a[VMCRYPT_A_KEY_BITS]);
	ret->state = nla_get_u32(a[VMCRYPT_A_STATE]);
	ret->targets = nla_get_u32(a[VMCRYPT_A_TARGETS]);
	return 0;
}

int message_parse_disk(struct nlmsghdr *h, struct nl_disk *ret)
{
	static const uint8_t needed[] = {
		VMCRYPT_A_NAME, VMCRYPT_A_MAJOR, VMCRYPT_A_MINOR, VMCRYPT_A_DEK, VMCRYPT_A_STATE,
		VMCRYPT_A_SECTOR_SIZE, VMCRYPT_A_SECTORS, VMCRYPT_A_INFLIGHT, VMCRYPT_A_QUEUED,
		VMCRYPT_A_READS, VMCRYPT_A_WRITES, VMCRYPT_A_ERRORS, 0
	};
	struct nlattr *a[VMCRYPT_A_MAX + 1];

	if (parse(h, VMCRYPT_CMD_DISK_GET, needed, a) < 0)
		return -EPROTO;
	get_name(a, ret->name);
	get_dek(a, ret->dek);
	ret->major = nla_get_u32(a[VMCRYPT_A_MAJOR]);
	ret->minor = nla_get_u32(a[VMCRYPT_A_MINOR]);
	ret->state = nla_get_u32(a[VMCRYPT_A_STATE]);
	ret->sector_size = nla_get_u32(a[VMCRYPT_A_SECTOR_SIZE]);
	ret->sectors = nla_get_u64(a[VMCRYPT_A_SECTORS]);
	ret->inflight = nla_get_u32(a[VMCRYPT_A_INFLIGHT]);
	ret->queued = nla_get_u32(a[VMCRYPT_A_QUEUED]);
	ret->reads = nla_get_u64(a[VMCRYPT_A_READS]);
	ret->writes = nla_get_u64(a[VMCRYPT_A_WRITES]);
	ret->errors = nla_get_u64(a[VMCRYPT_A_ERRORS]);
	return 0;
}

int message_parse_request(struct nlmsghdr *h, struct nl_request *ret)
{
	static const uint8_t needed[] = {
		VMCRYPT_A_REQUEST_ID, VMCRYPT_A_DEK, VMCRYPT_A_NAME, VMCRYPT_A_MAJOR,
		VMCRYPT_A_MINOR, 0
	};
	struct nlattr *a[VMCRYPT_A_MAX + 1];

	if (parse(h, VMCRYPT_CMD_KEY_REQUEST, needed, a) < 0 &&
	    parse(h, VMCRYPT_CMD_REQUEST_GET, needed, a) < 0)
		return -EPROTO;
	ret->request_id = nla_get_u32(a[VMCRYPT_A_REQUEST_ID]);
	get_dek(a, ret->dek);
	get_name(a, ret->name);
	ret->major = nla_get_u32(a[VMCRYPT_A_MAJOR]);
	ret->minor = nla_get_u32(a[VMCRYPT_A_MINOR]);
	return 0;
}

static int parse_key_changed(struct nlmsghdr *h, struct nl_event *ret)
{
	static const uint8_t needed[] = { VMCRYPT_A_DEK, VMCRYPT_A_STATE, 0 };
	struct nlattr *a[VMCRYPT_A_MAX + 1];

	if (parse(h, VMCRYPT_CMD_KEY_CHANGED, needed, a) < 0)
		return -EPROTO;
	ret->type = NL_EVENT_KEY_CHANGED;
	get_dek(a, ret->key.dek);
	ret->key.state = nla_get_u32(a[VMCRYPT_A_STATE]);
	return 0;
}

static int parse_disk_changed(struct nlmsghdr *h, struct nl_event *ret)
{
	static const uint8_t needed[] = {
		VMCRYPT_A_NAME, VMCRYPT_A_DEK, VMCRYPT_A_STATE, 0
	};
	struct nlattr *a[VMCRYPT_A_MAX + 1];

	if (parse(h, VMCRYPT_CMD_DISK_CHANGED, needed, a) < 0)
		return -EPROTO;
	ret->type = NL_EVENT_DISK_CHANGED;
	get_name(a, ret->disk.name);
	get_dek(a, ret->disk.dek);
	ret->disk.state = nla_get_u32(a[VMCRYPT_A_STATE]);
	return 0;
}

int message_parse_event(struct nlmsghdr *h, struct nl_event *ret)
{
	int r;

	if (!genlmsg_valid_hdr(h, 0))
		return -EPROTO;
	switch (genlmsg_hdr(h)->cmd) {
	case VMCRYPT_CMD_KEY_REQUEST:
		r = message_parse_request(h, &ret->request);
		if (r == 0)
			ret->type = NL_EVENT_KEY_REQUEST;
		return r;
	case VMCRYPT_CMD_KEY_CHANGED:
		return parse_key_changed(h, ret);
	case VMCRYPT_CMD_DISK_CHANGED:
		return parse_disk_changed(h, ret);
	default:
		return -ENOMSG;
	}
}

static int parse_group(struct nlattr *group, struct message_family *f)
{
	static struct nla_policy policy[CTRL_ATTR_MCAST_GRP_MAX + 1] = {
		[CTRL_ATTR_MCAST_GRP_NAME]	= { .type = NLA_STRING, .maxlen = GENL_NAMSIZ },
		[CTRL_ATTR_MCAST_GRP_ID]	= U32,
	};
	const struct {
		const char *name;
		uint32_t *id;
	} known[] = {
		{ VMCRYPT_MCGRP_REQUESTS, &f->requests },
		{ VMCRYPT_MCGRP_EVENTS, &f->events },
		{ "notify", &f->notify },
	};
	struct nlattr *a[CTRL_ATTR_MCAST_GRP_MAX + 1];

	if (nla_parse_nested(a, CTRL_ATTR_MCAST_GRP_MAX, group, policy) < 0 ||
	    !a[CTRL_ATTR_MCAST_GRP_NAME] || !a[CTRL_ATTR_MCAST_GRP_ID])
		return -EPROTO;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(nla_get_string(a[CTRL_ATTR_MCAST_GRP_NAME]), known[i].name) == 0)
			*known[i].id = nla_get_u32(a[CTRL_ATTR_MCAST_GRP_ID]);
	return 0;
}

int message_parse_family(struct nlmsghdr *h, struct message_family *ret)
{
	static struct nla_policy policy[CTRL_ATTR_MAX + 1] = {
		[CTRL_ATTR_FAMILY_ID]	= { .type = NLA_U16, .minlen = 2, .maxlen = 2 },
		[CTRL_ATTR_FAMILY_NAME]	= { .type = NLA_STRING, .maxlen = GENL_NAMSIZ },
		[CTRL_ATTR_MCAST_GROUPS] = { .type = NLA_NESTED },
	};
	struct nlattr *a[CTRL_ATTR_MAX + 1], *group;
	struct message_family f = { .id = 0 };
	int rest;

	if (!genlmsg_valid_hdr(h, 0) || genlmsg_parse(h, 0, a, CTRL_ATTR_MAX, policy) < 0 ||
	    !a[CTRL_ATTR_FAMILY_ID] || !a[CTRL_ATTR_FAMILY_NAME])
		return -EPROTO;
	f.id = nla_get_u16(a[CTRL_ATTR_FAMILY_ID]);
	nla_strlcpy(f.name, a[CTRL_ATTR_FAMILY_NAME], sizeof(f.name));
	if (a[CTRL_ATTR_MCAST_GROUPS])
		nla_for_each_nested(group, a[CTRL_ATTR_MCAST_GROUPS], rest)
			if (parse_group(group, &f) < 0)
				return -EPROTO;
	*ret = f;
	return 0;
}

/* The extack's attributes stand behind the errno, and behind the copy of our
 * own message unless the kernel left that out. */
static void get_extack(struct nlmsghdr *h, int skip, char *ret, size_t size)
{
	static struct nla_policy policy[NLMSGERR_ATTR_MAX + 1] = {
		[NLMSGERR_ATTR_MSG] = { .type = NLA_STRING },
	};
	struct nlattr *a[NLMSGERR_ATTR_MAX + 1];
	int left = nlmsg_datalen(h) - NLMSG_ALIGN(skip);

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || left < (int) sizeof(struct nlattr))
		return;
	if (nla_parse(a, NLMSGERR_ATTR_MAX,
		      (struct nlattr *) ((char *) nlmsg_data(h) + NLMSG_ALIGN(skip)), left,
		      policy) < 0 || !a[NLMSGERR_ATTR_MSG])
		return;
	nla_strlcpy(ret, a[NLMSGERR_ATTR_MSG], size);
}

int message_parse_error(struct nlmsghdr *h, char *ret_text, size_t size)
{
	const struct nlmsgerr *err = nlmsg_data(h);
	int code = 0, skip = sizeof(int);

	ret_text[0] = '\0';
	if (nlmsg_datalen(h) >= (int) sizeof(int))
		memcpy(&code, nlmsg_data(h), sizeof(code));
	else if (h->nlmsg_type == NLMSG_ERROR)
		return -EPROTO;

	if (h->nlmsg_type == NLMSG_ERROR) {
		if (nlmsg_datalen(h) < (int) sizeof(*err))
			return -EPROTO;
		skip = sizeof(*err);
		if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
			if (err->msg.nlmsg_len < sizeof(err->msg) ||
			    err->msg.nlmsg_len > (uint32_t) nlmsg_datalen(h))
				return -EPROTO;
			skip += (int) (err->msg.nlmsg_len - sizeof(err->msg));
		}
	}
	if (code > 0 || code < -4095)
		return -EPROTO;
	get_extack(h, skip, ret_text, size);
	return code;
}
