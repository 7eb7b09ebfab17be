/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of vmcryptctl: one table, from which parsing, requests and
 * help are made. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/fields.h"

#define CLI_POSITIONALS_MAX	3
#define CLI_OPTIONS_MAX		16

/**
 * enum cli_kind - what an argument is, and so how it reaches the agent
 * @CLI_FLAG: an option without a value; ``true`` in the request
 * @CLI_NOT: an option without a value; ``false`` in the request
 * @CLI_NONE: an option without a value; ``null`` in the request
 * @CLI_TEXT: a string
 * @CLI_LIST: strings with commas between them; an array in the request
 * @CLI_NUMBER: a decimal number, 1 to 2^31 - 1
 * @CLI_COUNT: the same, from 0 on
 * @CLI_PATH: a path, made absolute, because the agent's working directory is
 *	another one
 * @CLI_OBJECT: a path when it holds a slash, else a name
 * @CLI_REFERENCE: name or UUID of one of the manager's objects, of the kind that the
 *	argument is called; the UUID in the request
 * @CLI_TEXT_FILE: with a manager: a file that is read here; its text in the request
 * @CLI_BASE64_FILE: the same of a file with any bytes; in base64
 * @CLI_OUT_FILE: a file that is made here; its descriptor goes to the agent
 * @CLI_IN_FILE: a file that is opened here; its descriptor goes to the agent
 * @CLI_SECRET_FILE: a file that holds a secret, which is read here
 * @CLI_NEW_SECRET_FILE: a file with the password that takes the place of that one
 * @CLI_SECRET_FD: a descriptor that the secret is read from
 */
enum cli_kind {
	CLI_FLAG,
	CLI_NOT,
	CLI_NONE,
	CLI_TEXT,
	CLI_LIST,
	CLI_NUMBER,
	CLI_COUNT,
	CLI_PATH,
	CLI_OBJECT,
	CLI_REFERENCE,
	CLI_TEXT_FILE,
	CLI_BASE64_FILE,
	CLI_OUT_FILE,
	CLI_IN_FILE,
	CLI_SECRET_FILE,
	CLI_NEW_SECRET_FILE,
	CLI_SECRET_FD,
};

/**
 * struct cli_param - one positional argument or one option
 * @name: the option without its dashes, and with ``_`` for ``-`` the member of
 *	the request's ``args``
 * @value: the word for the value in the usage line; %NULL for a flag
 * @kind: see &enum cli_kind
 * @required: an option that must be given (positional arguments all must)
 * @optional: the first positional argument, which may be left out where the option of
 *	the same name is given instead
 * @choices: the values allowed, with ``|`` between them; %NULL for any
 * @excludes: name of an option that may not come together with this one
 * @member: the member of the request where it is not called @name
 * @route: of an option: stands for &cli_command.route when the option is given
 * @help: one line
 */
struct cli_param {
	const char *name;
	const char *value;
	enum cli_kind kind;
	bool required;
	bool optional;
	const char *choices;
	const char *excludes;
	const char *member;
	const char *route;
	const char *help;
};

/**
 * enum cli_secret - the password that a command sends as its last descriptor
 * @CLI_SECRET_NONE: none
 * @CLI_SECRET_KNOWN: one that exists; a prompt asks once
 * @CLI_SECRET_NEW: one that is being chosen; a prompt asks twice
 * @CLI_SECRET_CHANGE: with a manager: one that exists, and then the one that takes its place
 * @CLI_SECRET_NEW_OR_CERTIFICATE: the same, unless the request has a ``certificate`` and no
 *	source of a password is named
 * @CLI_SECRET_USER: with a manager: of the ``user`` in the request, if there is one
 */
enum cli_secret {
	CLI_SECRET_NONE,
	CLI_SECRET_KNOWN,
	CLI_SECRET_NEW,
	CLI_SECRET_NEW_OR_CERTIFICATE,
	CLI_SECRET_CHANGE,
	CLI_SECRET_USER,
};

/**
 * struct cli_command - one noun and verb
 * @noun: the first word
 * @verb: the second word; %NULL where the noun stands alone
 * @alias: another word for the second one; %NULL for none
 * @op: name of the operation in the agent's protocol; %NULL for the manager's
 * @route: method and path of the manager's interface, ``{NAME}`` standing for the
 *	argument of that name; %NULL for the agent's
 * @member: with @route: member of the answer that holds a list; %NULL where the
 *	answer is one object
 * @columns: with @route: what a human sees of each object
 * @n_columns: how many; with none, what was done is said in a word
 * @summary: one line, no full stop
 * @details: text for --help, lines up to 76 columns; %NULL for none
 * @secret: see &enum cli_secret
 * @paged: with @route: what event_pages_run() does
 * @open: with @route: needs no session
 * @keeps_token: with @route: the answer's ``token`` goes into the file for it
 * @saved_base64: @saved is in base64, and the file gets the bytes
 * @saved: with @route: the member of the answer that the %CLI_OUT_FILE is for, which is
 *	printed nowhere; %NULL where there is no such file
 * @verdict: member of the result that makes the exit status 1 when it is false, or
 *	says "red"; %NULL where every result is a success
 * @positionals: ends at the first one without a name
 * @options: ends at the first one without a name
 * @show: prints the result for a human; with @route, %NULL where @columns do
 * @show_event: prints one of the events that come before the result; %NULL where
 *	none may come
 */
struct cli_command {
	const char *noun;
	const char *verb;
	const char *alias;
	const char *op;
	const char *route;
	const char *member;
	const struct field *columns;
	size_t n_columns;
	const char *summary;
	const char *details;
	enum cli_secret secret;
	bool paged;
	bool open;
	bool keeps_token;
	bool saved_base64;
	const char *saved;
	const char *verdict;
	struct cli_param positionals[CLI_POSITIONALS_MAX + 1];
	struct cli_param options[CLI_OPTIONS_MAX + 1];
	void (*show)(FILE *out, const json_t *result);
	void (*show_event)(FILE *out, const json_t *event);
};

/* The options of every command that takes a password. */
#define CLI_PASSWORD_FILE \
	{ .name = "password-file", .value = "FILE", .kind = CLI_SECRET_FILE, \
	  .excludes = "password-fd", \
	  .help = "read the password from FILE; one newline at its end is cut" }
#define CLI_PASSWORD_FD \
	{ .name = "password-fd", .value = "N", .kind = CLI_SECRET_FD, \
	  .excludes = "password-file", \
	  .help = "read the password from file descriptor N, to its end" }

extern const struct cli_command cli_commands[];
extern const size_t cli_n_commands;

#endif
