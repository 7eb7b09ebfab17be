/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_CONNECTION_H
#define CLI_CONNECTION_H

#include <jansson.h>

#include "cli/wire.h"
#include "common/errors.h"

/**
 * cli_connect - connect to the agent
 * @path: path of the control socket
 * @ret_fd: the connection; the caller closes it
 * @e: on failure what is wrong and what to do
 *
 * Refuses a peer that is neither root nor the caller, because a password may
 * follow.
 *
 * Return: 0 or -errno.
 */
int cli_connect(const char *path, int *ret_fd, struct error *e);

/**
 * cli_send - send one request
 * @fd: the connection
 * @op: the operation
 * @args: its arguments; borrowed
 * @fds: descriptors that go with the request; the caller keeps them open
 * @n_fds: how many, at most PROTOCOL_FDS_MAX
 * @e: on failure what is wrong
 *
 * Return: 0 or -errno.
 */
int cli_send(int fd, const char *op, json_t *args, const int *fds,
		size_t n_fds, struct error *e);

/**
 * cli_receive - wait for the next message
 * @fd: the connection
 * @buffer: bytes of this connection, all zero at first
 * @timeout_ms: how long the agent may be silent; -1: for ever
 * @ret: the message
 * @e: on failure what is wrong and what to do
 *
 * Return: 0 or -errno; -ECONNRESET when the agent closed the connection.
 */
int cli_receive(int fd, struct wire_buffer *buffer, int timeout_ms,
		   struct wire_message *ret, struct error *e);

#endif
