/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands that go to a manager: ``vmcryptctl --manager URL NOUN VERB``. */
#ifndef CLI_MANAGER_H
#define CLI_MANAGER_H

#include <stdio.h>

#include "cli/parse.h"
#include "common/secret.h"

/**
 * manager_command() - one of the manager's commands
 * @index: from 0
 *
 * Return: the command; %NULL behind the last one.
 */
const struct cli_command *manager_command(size_t index);

/**
 * cli_command_at() - one of the commands, the agent's or the manager's
 * @manager: which
 * @index: from 0
 *
 * Return: the command; %NULL behind the last one.
 */
static inline const struct cli_command *cli_command_at(bool manager, size_t index)
{
	if (manager)
		return manager_command(index);
	return index < cli_n_commands ? &cli_commands[index] : NULL;
}

/**
 * manager_route() - method and path that a call goes to
 * @call: a call with one of the manager's commands
 *
 * Return: &cli_command.route, or &cli_param.route of an option that was given.
 */
const char *manager_route(const struct cli_call *call);

/**
 * manager_path() - the path and query of a request
 * @route: as in &struct cli_command: ``GET /users/{name}``
 * @args: the call's; a member that stands in the path leaves it, and with GET and
 *	DELETE all others become the query
 * @ret: allocated; written only on success
 *
 * Return: 0, -ENOMEM.
 */
int manager_path(const char *route, json_t *args, char **ret, struct error *e);

/**
 * manager_read_token() - the token of the session that a call is to be made in
 * @ret: empty where a certificate says who asks
 *
 * Return: 0; -ENOENT (EXIT_NOT_ALLOWED): there is no session; what the file answered.
 */
int manager_read_token(const struct cli_call *call, struct secret *ret, struct error *e);

/**
 * manager_run() - do what a call says, at the manager
 * @call: the call, with a command of manager_command()
 * @out: where results go
 * @err: where it is told how it goes on
 * @e: on failure, the words; &error.status is the exit status
 *
 * A failure is printed as JSON to @out where the call wants JSON; the caller
 * prints the words.
 *
 * Return: the exit status (&enum exit_status).
 */
int manager_run(const struct cli_call *call, FILE *out, FILE *err, struct error *e);

#endif
