/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <stdio.h>

#include "cli/parse.h"

/**
 * cli_run - do what a call says
 * @call: the call, with a command
 * @out: where results go
 * @err: where progress goes
 * @e: on failure, the words; &error.status is the exit status
 *
 * A failure is printed as JSON to @out where the call wants JSON; the caller
 * prints the words.
 *
 * Return: the exit status (&enum exit_status).
 */
int cli_run(const struct cli_call *call, FILE *out, FILE *err, struct error *e);

/**
 * cli_verdict() - what a result makes of the exit status
 *
 * Return: %EXIT_DONE; %EXIT_FAILED: see &cli_command.verdict.
 */
int cli_verdict(const struct cli_command *c, const json_t *result);

/**
 * cli_print_error - print a failure as JSON
 * @out: where to
 * @e: the failure
 */
void cli_print_error(FILE *out, const struct error *e);

/**
 * cli_create_output() - make the file that --out names
 * @ret_fd: open for reading and writing; the caller owns it
 *
 * Mode 0600, and never one that is there already.
 *
 * Return: 0; -EEXIST, what open(2) answers.
 */
int cli_create_output(const char *path, int *ret_fd, struct error *e);

#endif
