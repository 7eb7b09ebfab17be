/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration files: sections and KEY=value as systemd.syntax(7) has them,
 * without its continuation lines and quotes. '#' and ';' begin a comment line.
 */
#ifndef VMCRYPT_COMMON_CONF_H
#define VMCRYPT_COMMON_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"

/**
 * struct conf_item - one key that a program knows
 * @section: without brackets
 * @key: case matters
 * @parse: sets @target from @value; returns 0 or -EINVAL/-ERANGE; leaves
 *	@target alone on failure
 * @target: what @parse is given
 * @expects: completes "expected …" in errors, as in "a number of seconds"
 */
struct conf_item {
	const char *section;
	const char *key;
	int (*parse)(const char *value, void *target);
	void *target;
	const char *expects;
};

/**
 * conf_load() - read a file of at most 64 KiB
 * @items: ends in an item without section
 * @optional: a file that is not there is no error
 *
 * An unknown section or key, a line without '=', a key that comes twice and a
 * bad value are -EINVAL; the text names file and line. Targets set before the
 * bad line stay set: a program that starts does not go on after an error.
 */
int conf_load(const char *path, const struct conf_item *items, bool optional, struct error *e);

/** conf_string() - @target: char **, malloc'ed; an old value is freed */
int conf_string(const char *value, void *target);
/** conf_path() - the same; has to begin with '/' */
int conf_path(const char *value, void *target);
/** conf_bool() - @target: bool *; yes, no, true, false, on, off, 1, 0 */
int conf_bool(const char *value, void *target);
/** conf_uint() - @target: unsigned int *; decimal */
int conf_uint(const char *value, void *target);

#endif
