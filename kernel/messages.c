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

static struct sk_buff *begin_notification(u8 cmd, void **ret_header)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!msg)
		return NULL;
	*ret_header = genlmsg_put(msg, 0, 0, &vmcrypt_family, 0, cmd);
	if (*ret_header)
		return msg;
	nlmsg_free(msg);
	return NULL;
}

static void send_notification(struct sk_buff *msg, void *header, int r, enum vmcrypt_group group)
{
	if (r) {
		nlmsg_free(msg);
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
 * Out of memory it is lost; the constructor then runs into its time-out, and an
 * agent that starts meanwhile finds it by REQUEST_GET.
 */
void vmcrypt_notify_request(const struct vmcrypt_request_info *request)
{
	void *header;
	struct sk_buff *msg = begin_notification(VMCRYPT_CMD_KEY_REQUEST, &header);

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
	struct sk_buff *msg = begin_notification(VMCRYPT_CMD_KEY_CHANGED, &header);
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
	struct sk_buff *msg = begin_notification(VMCRYPT_CMD_DISK_CHANGED, &header);
	int r;

	if (!msg)
		return;
	r = nla_put_string(msg, VMCRYPT_A_NAME, name) ||
	    nla_put(msg, VMCRYPT_A_DEK, UUID_SIZE, dek) ||
	    nla_put_u32(msg, VMCRYPT_A_STATE, state);
	send_notification(msg, header, r, VMCRYPT_GROUP_EVENTS);
}
