/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_SECRET_SOURCE_H
#define CLI_SECRET_SOURCE_H

#include "cli/parse.h"
#include "common/errors.h"

/**
 * cli_secret_open - get a command's password and put it into a pipe
 * @call: where the password comes from: a file, a descriptor, or a prompt on
 *	the terminal, without echo
 * @ret_fd: the end of the pipe that the agent reads; the caller closes it
 * @e: on failure what is wrong and what to do
 *
 * A pipe, because its pages are never swapped out and have no name.
 *
 * Return: 0 or -errno.
 */
int cli_secret_open(const struct cli_call *call, int *ret_fd, struct error *e);

/**
 * cli_secret_open_new - the same of the password that takes its place
 */
int cli_secret_open_new(const struct cli_call *call, int *ret_fd, struct error *e);

#endif
