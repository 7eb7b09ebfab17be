/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joining a manager, as common/jointoken.h has it.
 */
#ifndef HOST_JOIN_H
#define HOST_JOIN_H

#include <stddef.h>

#include "common/errors.h"
#include "common/jointoken.h"
#include "host/identity.h"

/** JOIN_S - seconds that the manager has for an answer */
#define JOIN_S	60

/** join_default_name() - this machine's name, as a host can be called. -EINVAL: none */
int join_default_name(char ret[JOINTOKEN_NAME_MAX + 1]);

/**
 * join_manager() - have this host's key certified
 * @url: of the manager
 * @name: how the host is to be listed
 * @ret: written only on success; its key is open and not sealed
 *
 * Nothing is written to the disk. Waits; for a worker.
 *
 * Return: 0; -EINVAL (URL, name), -EHOSTUNREACH, -ETIMEDOUT, -EACCES (token), -EEXIST
 * (name), -EBADMSG and -EKEYREJECTED (the answer).
 */
int join_manager(const char *url, const char *name, const struct jointoken *token,
		 struct identity *ret, struct error *e);

/**
 * join_read_answer() - take the manager's answer over
 * @identity: @ca and @key are there
 */
int join_read_answer(unsigned int status, const char *text, size_t size,
		     struct identity *identity, struct error *e);

#endif /* HOST_JOIN_H */
