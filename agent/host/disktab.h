/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * /etc/vmcrypt/disks: the disks that the agent attaches when it starts.
 *
 *   NAME DEVICE [OPTION[,OPTION]...]
 *
 * Fields stand between blanks; a line that is empty or begins with '#' is
 * passed over. DEVICE is an absolute path, or UUID=, LABEL=, PARTUUID= or
 * PARTLABEL=, as in crypttab(5). OPTION is one of header=FILE, discard,
 * key-loss=queue, key-loss=error, read-only and nofail, each at most once.
 */
#ifndef HOST_DISKTAB_H
#define HOST_DISKTAB_H

#include <stdbool.h>
#include <stddef.h>

#include "common/errors.h"
#include "disk/dm.h"

#define DISKTAB_PATH		"/etc/vmcrypt/disks"
#define DISKTAB_SIZE_MAX	(1U << 20)	/* bytes */
#define DISKTAB_LINES_MAX	4096		/* disks */

/**
 * struct disktab_line - one disk to attach, or one line that cannot be read
 * @line: its number, from 1
 * @name: mapped device; NULL when the line has none that is valid
 * @device: as written; NULL when the line has none
 * @path: of the device, UUID= and its like made into a path; NULL with @error
 * @header: path of the detached header, or NULL
 * @nofail: a failure does not count
 * @error: what is wrong with the line and what to do, or NULL
 *
 * Strings are the line's own.
 */
struct disktab_line {
	unsigned int line;
	char *name;
	char *device;
	char *path;
	char *header;
	bool discard;
	enum key_loss key_loss;
	bool read_only;
	bool nofail;
	char *error;
};

struct disktab {
	struct disktab_line *lines;
	size_t n_lines;
};

/**
 * disktab_parse() - read the text of the file
 * @text: @size bytes, need not end in NUL
 * @file: its name, for messages
 *
 * Bad lines become lines with an error; the others stand.
 *
 * Return: 0; -E2BIG or -ENOMEM, with *e set.
 */
int disktab_parse(const char *text, size_t size, const char *file, struct disktab *ret,
		  struct error *e);

/* Read a file; one that does not exist has no lines. Errors as above, or I/O. */
int disktab_load(const char *path, struct disktab *ret, struct error *e);

void disktab_done(struct disktab *tab);

/**
 * disktab_device_path() - the path that DEVICE of a line stands for
 *
 * Return: 0, -EINVAL (neither an absolute path nor a known TAG=), -ENOMEM.
 */
int disktab_device_path(const char *device, char **ret);

#endif /* HOST_DISKTAB_H */
