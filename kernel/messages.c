// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the netlink family says: the attributes of its answers, and its
 * notifications.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "messages.h"

#include <linux/kdev_t.h>

#include "inventory.h"
#include "netlink.h"
#include "requests.h"

#include "uapi/vmcrypt.h"

static int fill_u64(struct sk_buff *msg, int type, u64 value)
{
	return nla_put_u64_64bit(msg, type, value, VMCRYPT_A_PAD);
}

/**
 * vmcrypt_fill_key() - the attributes of VMCRYPT_CMD_KEY_GET
 * @msg: put into
 * @key: what they say
 *
 * Return: 0 or -EMSGSIZE.
 */
int vmcrypt_fill_key(struct sk_buff *msg, const struct vmcrypt_key_info *key)
{
	return nla_put(msg, VMCRYPT_A_DEK, UUID_SIZE, &key->dek) ||
	       nla_put_u32(msg, VMCRYPT_A_KEY_BITS, key->bits) ||
	       nla_put_u32(msg, VMCRYPT_A_STATE, key->state) ||
	       nla_put_u32(msg, VMCRYPT_A_TARGETS, key->targets) ? -EMSGSIZE : 0;
}

/**
 * vmcrypt_fill_disk() - the attributes of VMCRYPT_CMD_DISK_GET
 * @msg: put into
 * @disk: what they say
 *
 * Return: 0 or -EMSGSIZE.
 */
int vmcrypt_fill_disk(struct sk_buff *msg, const struct vmcrypt_disk_info *disk)
{
	return nla_put_string(msg, VMCRYPT_A_NAME, disk->name) ||
	       nla_put_u32(msg, VMCRYPT_A_MAJOR, MAJOR(disk->dev)) ||
	       nla_put_u32(msg, VMCRYPT_A_MINOR, MINOR(disk->dev)) ||
	       nla_put(msg, VMCRYPT_A_DEK, UUID_SIZE, &disk->dek) ||
	       nla_put_u32(msg, VMCRYPT_A_STATE, disk->state) ||
	       nla_put_u32(msg, VMCRYPT_A_SECTOR_SIZE, disk->sector_size) ||
	       fill_u64(msg, VMCRYPT_A_SECTORS, disk->sectors) ||
	       nla_put_u32(msg, VMCRYPT_A_INFLIGHT, disk->inflight) ||
	       nla_put_u32(msg, VMCRYPT_A_QUEUED, disk->queued) ||
	       fill_u64(msg, VMCRYPT_A_READS, disk->reads) ||
	       fill_u64(msg, VMCRYPT_A_WRITES, disk->writes) ||
	       fill_u64(msg, VMCRYPT_A_ERRORS, disk->errors) ? -EMSGSIZE : 0;
}

/**
 * vmcrypt_fill_request() - the attributes of VMCRYPT_CMD_KEY_REQUEST
 * @msg: put into
 * @request: what they say
 *
 * Return: 0 or -EMSGSIZE.
 */
int vmcrypt_fill_request(struct sk_buff *msg, const struct vmcrypt_request_info *request)
{
	return nla_put_u32(msg, VMCRYPT_A_REQUEST_ID, request->id) ||
	       nla_put(msg, VMCRYPT_A_DEK, UUID_SIZE, &request->dek) ||
	       nla_put_string(msg, VMCRYPT_A_NAME, request->name) ||
	       nla_put_u32(msg, VMCRYPT_A_MAJOR, MAJOR(request->dev)) ||
	       nla_put_u32(msg, VMCRYPT_A_MINOR, MINOR(request->dev)) ? -EMSGSIZE : 0;
}

/* A notification could not be made: its listeners see ENOBUFS, as when they are too slow. */
static void tell_loss(enum vmcrypt_group group)
{
	genl_set_err(&vmcrypt_family, &init_net, 0, group, -ENOBUFS);
}

/* NULL when there is no memory for it; its listeners are told then. */
static struct sk_buff *begin_notification(u8 cmd, enum vmcrypt_group group, void **ret_header)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!msg) {
		tell_loss(group);
		return NULL;
	}
	*ret_header = genlmsg_put(msg, 0, 0, &vmcrypt_family, 0, cmd);
	return msg;
}

static void send_notification(struct sk_buff *msg, void *header, int r, enum vmcrypt_group group)
{
	/* The largest one is a part of NLMSG_DEFAULT_SIZE. */
	if (WARN_ON_ONCE(!header || r)) {
		nlmsg_free(msg);
		tell_loss(group);
		return;
	}
	genlmsg_end(msg, header);
	/* -ESRCH: nobody listens. A listener that lost one sees ENOBUFS itself. */
	genlmsg_multicast(&vmcrypt_family, msg, 0, group, GFP_KERNEL);
}

/**
 * vmcrypt_has_agent() - does anybody listen for key requests?
 */
bool vmcrypt_has_agent(void)
{
	return genl_has_listeners(&vmcrypt_family, &init_net, VMCRYPT_GROUP_REQUESTS);
}

/**
 * vmcrypt_notify_request() - ask the agents for a key
 * @request: what is wanted
 *
 * Out of memory it is lost; agents see ENOBUFS then, and find the request by
 * REQUEST_GET.
 */
void vmcrypt_notify_request(const struct vmcrypt_request_info *request)
{
	void *header;
	struct sk_buff *msg = begin_notification(VMCRYPT_CMD_KEY_REQUEST, VMCRYPT_GROUP_REQUESTS,
						 &header);

	if (msg)
		send_notification(msg, header, vmcrypt_fill_request(msg, request),
				  VMCRYPT_GROUP_REQUESTS);
}

/**
 * vmcrypt_notify_key_changed() - tell watchers of a key's new state
 * @dek: the key
 * @state: the state
 */
void vmcrypt_notify_key_changed(const uuid_t *dek, u32 state)
{
	void *header;
	struct sk_buff *msg = begin_notification(VMCRYPT_CMD_KEY_CHANGED, VMCRYPT_GROUP_EVENTS,
						 &header);
	int r;

	if (!msg)
		return;
	r = nla_put(msg, VMCRYPT_A_DEK, UUID_SIZE, dek) ||
	    nla_put_u32(msg, VMCRYPT_A_STATE, state);
	send_notification(msg, header, r, VMCRYPT_GROUP_EVENTS);
}

/**
 * vmcrypt_notify_disk_changed() - tell watchers of a disk's new state
 * @name: the mapped device's name
 * @dek: its key
 * @state: that key's state, absent when the disk has gone
 */
void vmcrypt_notify_disk_changed(const char *name, const uuid_t *dek, u32 state)
{
	void *header;
	struct sk_buff *msg = begin_notification(VMCRYPT_CMD_DISK_CHANGED, VMCRYPT_GROUP_EVENTS,
						 &header);
	int r;

	if (!msg)
		return;
	r = nla_put_string(msg, VMCRYPT_A_NAME, name) ||
	    nla_put(msg, VMCRYPT_A_DEK, UUID_SIZE, dek) ||
	    nla_put_u32(msg, VMCRYPT_A_STATE, state);
	send_notification(msg, header, r, VMCRYPT_GROUP_EVENTS);
}
