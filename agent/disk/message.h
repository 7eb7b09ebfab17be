/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages of the families "vmcrypt" and "nlctrl": made and taken apart, no
 * socket involved.
 */
#ifndef VMCRYPT_DISK_MESSAGE_H
#define VMCRYPT_DISK_MESSAGE_H

#include <stdint.h>

#include <netlink/genl/genl.h>
#include <netlink/netlink.h>

#include "disk/netlink.h"
#include "disk/seal.h"

/** struct message_family - what nlctrl knows of a family; 0: none of that name */
struct message_family {
	uint16_t id;
	uint32_t requests;		/* numbers of the multicast groups */
	uint32_t events;
	uint32_t notify;		/* nlctrl's own */
	char name[16];			/* GENL_NAMSIZ */
};

/*
 * Each makes a message without sequence and port number; NULL: no memory.
 * The caller frees it with nlmsg_free().
 */
struct nl_msg *message_get_family(const char *name);
struct nl_msg *message_key_prepare(uint16_t family);
struct nl_msg *message_key_set(uint16_t family, const uint8_t *dek, uint32_t seal_id,
			       const struct sealed_key *sealed);
struct nl_msg *message_key_reject(uint16_t family, const uint8_t *dek, uint32_t reason);
struct nl_msg *message_key_wipe(uint16_t family, const uint8_t *dek, uint32_t flags);
struct nl_msg *message_key_get(uint16_t family, const uint8_t *dek);
struct nl_msg *message_disk_get(uint16_t family, const char *name);
struct nl_msg *message_dump(uint16_t family, uint8_t cmd);

/*
 * Each takes one message of the kernel's apart. *ret is written only on success.
 * Return: 0, or -EPROTO when the command is another one, an attribute is
 * missing or has another length than uapi/vmcrypt.h says.
 */
struct message_prepared {
	uint32_t seal_id;
	uint8_t public_key[VMCRYPT_PUBLIC_KEY_LEN];
};

int message_parse_family(struct nlmsghdr *h, struct message_family *ret);
int message_parse_prepared(struct nlmsghdr *h, struct message_prepared *ret);
int message_parse_key(struct nlmsghdr *h, struct nl_key *ret);
int message_parse_disk(struct nlmsghdr *h, struct nl_disk *ret);
/** of KEY_REQUEST, and of an answer to REQUEST_GET */
int message_parse_request(struct nlmsghdr *h, struct nl_request *ret);
/** of KEY_REQUEST, KEY_CHANGED and DISK_CHANGED; -ENOMSG: any other command */
int message_parse_event(struct nlmsghdr *h, struct nl_event *ret);

/**
 * message_parse_error() - NLMSG_ERROR, or NLMSG_DONE of a dump
 * @ret_text: the extack's text, "" when there is none; @size bytes of room
 *
 * Return: the kernel's negative errno, 0 for an acknowledgement, -EPROTO.
 */
int message_parse_error(struct nlmsghdr *h, char *ret_text, size_t size);

#endif
