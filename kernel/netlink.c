// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: what comes in, and its answers. uapi/vmcrypt.h says
 * what it does; here is how.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "netlink.h"

#include <linux/capability.h>
#include <linux/kdev_t.h>
#include <linux/module.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "dek.h"
#include "inventory.h"
#include "keys.h"
#include "messages.h"
#include "requests.h"
#include "seal.h"

#include "uapi/vmcrypt.h"

static const struct nla_policy key_set_policy[] = {
	[VMCRYPT_A_DEK]		= NLA_POLICY_EXACT_LEN(VMCRYPT_DEK_UUID_LEN),
	[VMCRYPT_A_KEY_BITS]	= { .type = NLA_U32 },
	[VMCRYPT_A_SEAL_ID]	= { .type = NLA_U32 },
	[VMCRYPT_A_PUBLIC_KEY]	= NLA_POLICY_EXACT_LEN(VMCRYPT_PUBLIC_KEY_LEN),
	[VMCRYPT_A_SEALED_KEY]	= NLA_POLICY_RANGE(NLA_BINARY, 256 / 8 + VMCRYPT_SEAL_TAG_LEN,
						   512 / 8 + VMCRYPT_SEAL_TAG_LEN),
};

static const struct nla_policy key_reject_policy[] = {
	[VMCRYPT_A_DEK]		= NLA_POLICY_EXACT_LEN(VMCRYPT_DEK_UUID_LEN),
	[VMCRYPT_A_REASON]	= { .type = NLA_U32 },
};

static const struct nla_policy key_wipe_policy[] = {
	[VMCRYPT_A_DEK]		= NLA_POLICY_EXACT_LEN(VMCRYPT_DEK_UUID_LEN),
	[VMCRYPT_A_FLAGS]	= { .type = NLA_U32 },
};

static const struct nla_policy key_get_policy[] = {
	[VMCRYPT_A_DEK]		= NLA_POLICY_EXACT_LEN(VMCRYPT_DEK_UUID_LEN),
};

static const struct nla_policy disk_get_policy[] = {
	[VMCRYPT_A_NAME]	= { .type = NLA_NUL_STRING, .len = VMCRYPT_NAME_MAX },
};

/* Takes no attributes; one entry, because genetlink validates nothing with none. */
static const struct nla_policy empty_policy[] = {
	[VMCRYPT_A_DEK]		= { .type = NLA_REJECT },
};

static const char * const attr_missing[] = {
	[VMCRYPT_A_DEK]		= "DEK is missing",
	[VMCRYPT_A_KEY_BITS]	= "KEY_BITS is missing",
	[VMCRYPT_A_SEAL_ID]	= "SEAL_ID is missing",
	[VMCRYPT_A_PUBLIC_KEY]	= "PUBLIC_KEY is missing",
	[VMCRYPT_A_SEALED_KEY]	= "SEALED_KEY is missing",
	[VMCRYPT_A_REASON]	= "REASON is missing",
	[VMCRYPT_A_NAME]	= "NAME is missing",
};

/* What a do request must have, one bit an attribute. */
static const u32 attrs_required[] = {
	[VMCRYPT_CMD_KEY_SET]		= BIT(VMCRYPT_A_DEK) | BIT(VMCRYPT_A_KEY_BITS) |
					  BIT(VMCRYPT_A_SEAL_ID) | BIT(VMCRYPT_A_PUBLIC_KEY) |
					  BIT(VMCRYPT_A_SEALED_KEY),
	[VMCRYPT_CMD_KEY_REJECT]	= BIT(VMCRYPT_A_DEK) | BIT(VMCRYPT_A_REASON),
	[VMCRYPT_CMD_KEY_WIPE]		= BIT(VMCRYPT_A_DEK),
	[VMCRYPT_CMD_KEY_GET]		= BIT(VMCRYPT_A_DEK),
	[VMCRYPT_CMD_DISK_GET]		= BIT(VMCRYPT_A_NAME),
};

static const uuid_t *dek_of(const struct genl_info *info)
{
	return nla_data(info->attrs[VMCRYPT_A_DEK]);
}

/* Requests. */

static int check_capable(struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "CAP_SYS_ADMIN in the initial user namespace is needed");
	return -EPERM;
}

static int check_no_doubles(const struct nlmsghdr *nlh, struct netlink_ext_ack *extack)
{
	const struct nlattr *attr;
	u32 seen = 0;
	int left;

	nlmsg_for_each_attr(attr, nlh, GENL_HDRLEN, left) {
		unsigned int type = nla_type(attr);

		if (type > VMCRYPT_A_MAX)
			continue;	/* refused by the policy */
		if (seen & BIT(type)) {
			NL_SET_ERR_MSG_ATTR(extack, attr, "attribute comes twice");
			return -EINVAL;
		}
		seen |= BIT(type);
	}
	return 0;
}

static int check_required(struct genl_info *info, u8 cmd)
{
	unsigned int type;
	u32 required = cmd < ARRAY_SIZE(attrs_required) ? attrs_required[cmd] : 0;

	for (type = 1; type <= VMCRYPT_A_MAX; type++) {
		if (!(required & BIT(type)) || info->attrs[type])
			continue;
		NL_SET_ERR_ATTR_MISS(info->extack, NULL, type);
		if (info->extack)
			info->extack->_msg = attr_missing[type];
		return -EINVAL;
	}
	return 0;
}

static int pre_doit(const struct vmcrypt_genl_op *op, struct sk_buff *skb,
		    struct genl_info *info)
{
	int r;

	r = check_capable(skb, info->extack);
	if (!r)
		r = check_no_doubles(info->nlhdr, info->extack);
	if (!r)
		r = check_required(info, op->cmd);
	return r;
}

static int start_dump(struct netlink_callback *cb)
{
	int r = check_capable(cb->skb, cb->extack);

	if (r)
		return r;
	if (nlmsg_attrlen(cb->nlh, GENL_HDRLEN)) {
		NL_SET_ERR_MSG(cb->extack, "a dump takes no attributes");
		return -EINVAL;
	}
	return 0;
}

/* Replies. */

static void *put_header(struct sk_buff *msg, const struct genl_info *info, u8 cmd)
{
	return genlmsg_put(msg, info->snd_portid, info->snd_seq, &vmcrypt_family, 0, cmd);
}

static int reply(struct sk_buff *msg, void *header, struct genl_info *info)
{
	genlmsg_end(msg, header);
	return genlmsg_reply(msg, info);
}

/* Commands. */

static int do_key_prepare(struct sk_buff *skb, struct genl_info *info)
{
	u8 public[VMCRYPT_PUBLIC_KEY_LEN];
	struct sk_buff *msg;
	void *header;
	u32 id;
	int r;

	msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	r = vmcrypt_seal_prepare(&id, public);
	if (r) {
		if (r == -EAGAIN)
			NL_SET_ERR_MSG(info->extack, "too many prepared keys are waiting: try again in some seconds");
		goto err_free;
	}

	r = -EMSGSIZE;
	header = put_header(msg, info, VMCRYPT_CMD_KEY_PREPARE);
	if (!header || nla_put_u32(msg, VMCRYPT_A_SEAL_ID, id) ||
	    nla_put(msg, VMCRYPT_A_PUBLIC_KEY, sizeof(public), public))
		goto err_free;
	return reply(msg, header, info);

err_free:
	nlmsg_free(msg);
	return r;
}

static void explain_key_set(int r, struct netlink_ext_ack *extack)
{
	switch (r) {
	case -ENOENT:
		NL_SET_ERR_MSG(extack, "no prepared key has this SEAL_ID: it was used, has expired, or was never made");
		break;
	case -EBADMSG:
		NL_SET_ERR_MSG(extack, "SEALED_KEY does not open: altered, or sealed for another key");
		break;
	case -EKEYREJECTED:
		NL_SET_ERR_MSG(extack, "the key is not the one that DEK names");
		break;
	case -EINVAL:
		NL_SET_ERR_MSG(extack, "the key is weak: its two halves are equal");
		break;
	case -ENOMEM:
		NL_SET_ERR_MSG(extack, "out of memory: the key is not loaded");
		break;
	case -EINTR:
		NL_SET_ERR_MSG(extack, "interrupted while an earlier wipe of the key goes on");
		break;
	case -ESHUTDOWN:
		NL_SET_ERR_MSG(extack, "the module is being unloaded");
		break;
	case -EBUSY:
		NL_SET_ERR_MSG(extack, "the key is being wiped: try again after KEY_CHANGED");
		break;
	default:
		NL_SET_ERR_MSG(extack, "the cipher's driver did not take the key");
	}
}

static int open_and_set(const struct genl_info *info, u32 bits)
{
	const struct nlattr *sealed = info->attrs[VMCRYPT_A_SEALED_KEY];
	u8 raw[VMCRYPT_DEK_BYTES_MAX];
	int r;

	r = vmcrypt_seal_open(nla_get_u32(info->attrs[VMCRYPT_A_SEAL_ID]),
			      nla_data(info->attrs[VMCRYPT_A_PUBLIC_KEY]), dek_of(info), bits,
			      nla_data(sealed), nla_len(sealed), raw);
	if (!r && !vmcrypt_dek_named(raw, bits / 8, dek_of(info)))
		r = -EKEYREJECTED;
	if (!r)
		r = vmcrypt_key_set(dek_of(info), raw, bits);
	memzero_explicit(raw, sizeof(raw));	/* the cipher has its own copy now */
	return r;
}

static int do_key_set(struct sk_buff *skb, struct genl_info *info)
{
	u32 bits = nla_get_u32(info->attrs[VMCRYPT_A_KEY_BITS]);
	const struct nlattr *sealed = info->attrs[VMCRYPT_A_SEALED_KEY];
	int r;

	if (!vmcrypt_dek_bits_valid(bits)) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[VMCRYPT_A_KEY_BITS],
				    "KEY_BITS must be 256 or 512");
		return -EINVAL;
	}
	if (nla_len(sealed) != bits / 8 + VMCRYPT_SEAL_TAG_LEN) {
		NL_SET_ERR_MSG_ATTR(info->extack, sealed,
				    "SEALED_KEY must be KEY_BITS / 8 + 16 bytes long");
		return -EINVAL;
	}

	r = open_and_set(info, bits);
	if (r)
		explain_key_set(r, info->extack);
	else
		vmcrypt_request_granted(dek_of(info));
	return r;
}

static int do_key_reject(struct sk_buff *skb, struct genl_info *info)
{
	int r = vmcrypt_request_reject(dek_of(info),
				       nla_get_u32(info->attrs[VMCRYPT_A_REASON]));

	if (r == -EINVAL)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[VMCRYPT_A_REASON],
				    "unknown REASON");
	else if (r == -ENOENT)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[VMCRYPT_A_DEK],
				    "no constructor waits for this DEK");
	return r;
}

static int do_key_wipe(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *attr = info->attrs[VMCRYPT_A_FLAGS];
	u32 flags = attr ? nla_get_u32(attr) : 0;
	int r;

	if (flags & ~VMCRYPT_WIPE_FORCE) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr, "unknown bit in FLAGS");
		return -EOPNOTSUPP;
	}
	r = vmcrypt_key_wipe(dek_of(info), flags & VMCRYPT_WIPE_FORCE);
	if (r == -ENOENT)
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[VMCRYPT_A_DEK],
				    "the kernel does not know this DEK");
	else if (r == -EBUSY)
		NL_SET_ERR_MSG(info->extack, "targets use the key: remove them, or wipe with FORCE and lock them");
	return r;
}

static int do_key_get(struct sk_buff *skb, struct genl_info *info)
{
	struct vmcrypt_key_info key;
	struct sk_buff *msg;
	void *header;

	if (vmcrypt_key_find(dek_of(info), &key)) {
		NL_SET_ERR_MSG_ATTR(info->extack, info->attrs[VMCRYPT_A_DEK],
				    "the kernel does not know this DEK");
		return -ENOENT;
	}
	msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	header = put_header(msg, info, VMCRYPT_CMD_KEY_GET);
	if (!header || vmcrypt_fill_key(msg, &key)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	return reply(msg, header, info);
}

static int do_disk_get(struct sk_buff *skb, struct genl_info *info)
{
	const struct nlattr *name = info->attrs[VMCRYPT_A_NAME];
	struct vmcrypt_disk_info disk;
	struct sk_buff *msg;
	void *header;

	if (nla_len(name) != strlen(nla_data(name)) + 1) {
		NL_SET_ERR_MSG_ATTR(info->extack, name, "NAME goes on after its NUL");
		return -EINVAL;
	}
	if (vmcrypt_disk_find(nla_data(name), &disk)) {
		NL_SET_ERR_MSG_ATTR(info->extack, name,
				    "no mapped device of that name has a live vmcrypt target");
		return -ENOENT;
	}
	msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	header = put_header(msg, info, VMCRYPT_CMD_DISK_GET);
	if (!header || vmcrypt_fill_disk(msg, &disk)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	return reply(msg, header, info);
}

/* Dumps. cb->args[0] is the serial of the entry before. */

static void *put_dump_header(struct sk_buff *msg, struct netlink_callback *cb, u8 cmd)
{
	void *header = genlmsg_put(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
				   &vmcrypt_family, NLM_F_MULTI, cmd);

	if (header)
		genl_dump_check_consistent(cb, header);
	return header;
}

/* Ends one entry of a dump, or takes half of one back. */
static bool end_entry(struct sk_buff *msg, void *header, int r)
{
	if (r) {
		genlmsg_cancel(msg, header);
		return false;
	}
	genlmsg_end(msg, header);
	return true;
}

static int dump_keys(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct vmcrypt_key_info key;
	void *header;

	cb->seq = vmcrypt_keys_generation();
	while (vmcrypt_key_next(cb->args[0], &key)) {
		header = put_dump_header(msg, cb, VMCRYPT_CMD_KEY_GET);
		if (!header || !end_entry(msg, header, vmcrypt_fill_key(msg, &key)))
			break;
		cb->args[0] = key.serial;
	}
	return msg->len;
}

static int dump_disks(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct vmcrypt_disk_info disk;
	void *header;

	cb->seq = vmcrypt_keys_generation();
	while (vmcrypt_disk_next(cb->args[0], &disk)) {
		header = put_dump_header(msg, cb, VMCRYPT_CMD_DISK_GET);
		if (!header || !end_entry(msg, header, vmcrypt_fill_disk(msg, &disk)))
			break;
		cb->args[0] = disk.serial;
	}
	return msg->len;
}

static int dump_requests(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct vmcrypt_request_info request;
	void *header;

	cb->seq = vmcrypt_requests_generation();
	while (vmcrypt_request_next(cb->args[0], &request)) {
		header = put_dump_header(msg, cb, VMCRYPT_CMD_KEY_REQUEST);
		if (!header || !end_entry(msg, header, vmcrypt_fill_request(msg, &request)))
			break;
		cb->args[0] = request.id;
	}
	return msg->len;
}

/* The family. */

static const struct genl_ops ops[] = {
	{
		.cmd	= VMCRYPT_CMD_KEY_PREPARE,
		.doit	= do_key_prepare,
		.policy	= empty_policy,
		.maxattr = ARRAY_SIZE(empty_policy) - 1,
	}, {
		.cmd	= VMCRYPT_CMD_KEY_SET,
		.doit	= do_key_set,
		.policy	= key_set_policy,
		.maxattr = ARRAY_SIZE(key_set_policy) - 1,
	}, {
		.cmd	= VMCRYPT_CMD_KEY_REJECT,
		.doit	= do_key_reject,
		.policy	= key_reject_policy,
		.maxattr = ARRAY_SIZE(key_reject_policy) - 1,
	}, {
		.cmd	= VMCRYPT_CMD_KEY_WIPE,
		.doit	= do_key_wipe,
		.policy	= key_wipe_policy,
		.maxattr = ARRAY_SIZE(key_wipe_policy) - 1,
	}, {
		.cmd	= VMCRYPT_CMD_KEY_GET,
		.doit	= do_key_get,
		.start	= start_dump,
		.dumpit	= dump_keys,
		.policy	= key_get_policy,
		.maxattr = ARRAY_SIZE(key_get_policy) - 1,
	}, {
		.cmd	= VMCRYPT_CMD_DISK_GET,
		.doit	= do_disk_get,
		.start	= start_dump,
		.dumpit	= dump_disks,
		.policy	= disk_get_policy,
		.maxattr = ARRAY_SIZE(disk_get_policy) - 1,
	}, {
		.cmd	= VMCRYPT_CMD_REQUEST_GET,
		.start	= start_dump,
		.dumpit	= dump_requests,
		.policy	= empty_policy,
		.maxattr = ARRAY_SIZE(empty_policy) - 1,
	},
};

static const struct genl_multicast_group groups[] = {
	[VMCRYPT_GROUP_REQUESTS] = {
		.name	= VMCRYPT_MCGRP_REQUESTS,
		.flags	= GENL_MCAST_CAP_SYS_ADMIN,
	},
	[VMCRYPT_GROUP_EVENTS] = {
		.name	= VMCRYPT_MCGRP_EVENTS,
		.flags	= GENL_MCAST_CAP_SYS_ADMIN,
	},
};

struct genl_family vmcrypt_family __ro_after_init = {
	.name		= VMCRYPT_GENL_NAME,
	.version	= VMCRYPT_GENL_VERSION,
	.module		= THIS_MODULE,
	.netnsok	= false,
	.parallel_ops	= true,
	.pre_doit	= pre_doit,
	.ops		= ops,
	.n_ops		= ARRAY_SIZE(ops),
	.resv_start_op	= VMCRYPT_CMD_UNSPEC + 1,
	.mcgrps		= groups,
	.n_mcgrps	= ARRAY_SIZE(groups),
};

/**
 * vmcrypt_netlink_init() - offer the family
 *
 * Return: 0 or a negative errno.
 */
int __init vmcrypt_netlink_init(void)
{
	return genl_register_family(&vmcrypt_family);
}

/**
 * vmcrypt_netlink_exit() - withdraw the family
 */
void vmcrypt_netlink_exit(void)
{
	genl_unregister_family(&vmcrypt_family);
}
