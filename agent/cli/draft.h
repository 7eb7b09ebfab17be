/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file that is long in the making, and appears under its name whole or not at all. */
#ifndef CLI_DRAFT_H
#define CLI_DRAFT_H

#include <limits.h>
#include <stdio.h>

#include "common/errors.h"

/**
 * struct draft - the file before it has its name
 * @out: what is written; %NULL: none is begun
 * @path: the name that it is to have
 * @temp: the name that it has; empty once it has the other
 */
struct draft {
	FILE *out;
	const char *path;
	char temp[PATH_MAX];
};

/**
 * draft_begin() - make a file beside @path, for its owner alone
 * @path: nothing may be there; must live as long as the draft
 *
 * Return: 0; -EEXIST; what the file system answered.
 */
int draft_begin(const char *path, struct draft *ret, struct error *e);

/**
 * draft_keep() - put it on stable storage and give it its name
 *
 * Return: 0; -EEXIST: another file has got the name meanwhile; as draft_begin().
 */
int draft_keep(struct draft *d, struct error *e);

/** draft_done() - end; what was not kept is removed */
void draft_done(struct draft *d);

#define _cleanup_draft_ __attribute__((cleanup(draft_done)))

#endif
