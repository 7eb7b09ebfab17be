/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files whose content goes to the manager, or comes from it. */
#ifndef CLI_MANAGER_FILES_H
#define CLI_MANAGER_FILES_H

#include "cli/parse.h"

/**
 * manager_read_files() - put content in the place of paths
 * @call: a call; of its arguments, each %CLI_TEXT_FILE and %CLI_BASE64_FILE holds a path
 *	and then the content of that file
 *
 * Return: 0, -errno.
 */
int manager_read_files(const struct cli_call *call, struct error *e);

/**
 * manager_save() - move a member of the answer into the file for it
 * @call: a call with @out_file, of a command with &cli_command.saved
 * @fd: that file, which is synced
 * @answer: loses the member
 *
 * Return: 0; -EPROTO where the answer does not have it; -errno.
 */
int manager_save(const struct cli_call *call, int fd, json_t *answer, struct error *e);

#endif
