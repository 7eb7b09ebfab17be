/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands that go to a manager: ``vmcryptctl --manager URL NOUN VERB``. */
#ifndef CLI_MANAGER_H
#define CLI_MANAGER_H

#include <stdio.h>

#include "cli/parse.h"

extern const struct cli_command manager_commands[];
extern const size_t manager_n_commands;

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
 * manager_run() - do what a call says, at the manager
 * @call: the call, with a command of the table above
 * @out: where results go
 * @e: on failure, the words; &error.status is the exit status
 *
 * A failure is printed as JSON to @out where the call wants JSON; the caller
 * prints the words.
 *
 * Return: the exit status (&enum exit_status).
 */
int manager_run(const struct cli_call *call, FILE *out, struct error *e);

#endif
