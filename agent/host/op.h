/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The operations of the control socket: one table of names, privileges,
 * arguments and functions, and the check of a request against it.
 */
#ifndef HOST_OP_H
#define HOST_OP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"
#include "host/protocol.h"

struct call;

#define OP_ARGS_MAX	8

enum privilege {
	PRIVILEGE_NONE,
	PRIVILEGE_READ,		/* root, or the group vmcrypt */
	PRIVILEGE_CHANGE,	/* root */
};

enum arg_type {
	ARG_FLAG,		/* true or false */
	ARG_NUMBER,		/* 0 to @max */
	ARG_LABEL,		/* UTF-8, 1 to @max bytes, no control characters */
	ARG_PATH,		/* as ARG_LABEL, begins with '/' */
};

/**
 * struct op_arg - one member of "args"
 * @name: NULL ends the list
 * @max: bytes, or the largest number
 */
struct op_arg {
	const char *name;
	enum arg_type type;
	bool needed;
	uint64_t max;
};

/**
 * struct op - one operation
 * @files: descriptors that come with it
 * @remote: a manager may ask for it, too: it needs no file, and nothing of a client
 * @deadline_s: seconds after which its client is told that it hangs, 0: never
 * @run: in a worker; sets *ret_result, an object, on success
 */
struct op {
	const char *name;
	enum privilege privilege;
	unsigned int files;
	unsigned int deadline_s;
	bool remote;
	int (*run)(struct call *call, json_t **ret_result, struct error *e);
	struct op_arg args[OP_ARGS_MAX];
};

/**
 * struct request - a line that was understood
 * @id: of the request; negative when the line has none
 */
struct request {
	int64_t id;
	const struct op *op;
	json_t *args;
};

/* The operation of that name, or NULL. The table itself, for tests: ends in a NULL name. */
const struct op *op_find(const char *name);
extern const struct op op_table[];

/**
 * request_parse() - check a line against protocol.h and the table
 * @ret: its id is set as soon as it is known, on failure too; args are the
 *	caller's to release
 *
 * Return: 0; -EINVAL or -EBADMSG (EXIT_USAGE).
 */
int request_parse(const char *line, size_t size, struct request *ret, struct error *e);

/* Whether these are the operation's arguments. Return: 0; -EINVAL (EXIT_USAGE). */
int request_check_args(const struct op *op, const json_t *args, struct error *e);

/* 0, or -EACCES (EXIT_NOT_ALLOWED) with who may do it. */
int op_check_privilege(const struct op *op, enum privilege has, struct error *e);

#endif /* HOST_OP_H */
