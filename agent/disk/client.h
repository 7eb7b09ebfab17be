/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One command and its answer, below the functions of netlink.h.
 */
#ifndef VMCRYPT_DISK_CLIENT_H
#define VMCRYPT_DISK_CLIENT_H

#include "disk/message.h"
#include "disk/netlink.h"

/**
 * struct client_command - a command of the family, made again when it has to be sent again
 * @make: the message; gets @in
 * @take: one message of the answer; gets @out
 * @reset: empties @out before a second try; NULL: nothing to do
 */
struct client_command {
	struct nl_msg *(*make)(uint16_t family, const void *in);
	const void *in;
	int (*take)(struct nlmsghdr *h, void *out);
	void (*reset)(void *out);
	void *out;
};

/**
 * client_run() - send a command and take its answer
 * @what: begins the error's text, as in "Wiping the key ..."
 *
 * Starts a dump again that a change has overtaken, and sends a command again to a
 * module that was loaded anew. Return: the kernel's errno, its words in *e.
 */
int client_run(struct nl_client *c, const struct client_command *cmd, const char *what,
	       struct error *e);

/** client_find_family() - ask nlctrl; -ENOENT: no such family */
int client_find_family(struct nl_client *c, const char *name, struct message_family *ret);

#endif
