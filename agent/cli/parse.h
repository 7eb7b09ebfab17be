/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_PARSE_H
#define CLI_PARSE_H

#include "cli/command.h"
#include "common/errors.h"

enum cli_action {
	CLI_RUN,
	CLI_HELP,
	CLI_VERSION,
};

/**
 * struct cli_call - a parsed command line
 * @action: what to do
 * @noun: the noun that help was asked for; %NULL for help on everything
 * @command: the command; %NULL for help on a noun or on everything
 * @args: the request's ``args``; owned
 * @socket: path of the control socket; points into the argument vector
 * @manager: address of the manager that is asked instead of the agent, or %NULL
 * @ca: file with the manager's CA, or %NULL
 * @certificate: file with the caller's certificate for the manager, or %NULL
 * @certificate_key: file with its key; %NULL: in the same file
 * @token_file: file with the token of a session, or %NULL for the usual one
 * @json: print JSON
 * @in_file: file to be read by the agent, or %NULL; into the argument vector
 * @out_file: file to be written by the agent, or %NULL
 * @secret_file: file with the password, or %NULL
 * @new_secret_file: file with the password that takes its place, or %NULL
 * @secret_fd: descriptor with the password, or -1
 */
struct cli_call {
	enum cli_action action;
	const char *noun;
	const struct cli_command *command;
	json_t *args;
	const char *socket;
	const char *manager;
	const char *ca;
	const char *certificate;
	const char *certificate_key;
	const char *token_file;
	bool json;
	const char *in_file;
	const char *out_file;
	const char *secret_file;
	const char *new_secret_file;
	int secret_fd;
};

/**
 * cli_parse - turn an argument vector into a call
 * @argc: number of arguments, the program's name included
 * @argv: arguments; the order of the pointers may change
 * @ret: the call; release it with cli_call_done()
 * @e: on failure the words, with &error.status %EXIT_USAGE
 *
 * Not safe to call from two threads (getopt_long).
 *
 * Return: 0 or -EINVAL.
 */
int cli_parse(int argc, char **argv, struct cli_call *ret, struct error *e);

/**
 * cli_call_done - release what a call owns
 * @call: the call
 */
void cli_call_done(struct cli_call *call);

#define _cleanup_call_ __attribute__((cleanup(cli_call_done)))

#endif
