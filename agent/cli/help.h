/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

/**
 * cli_help - print help on a command, a noun, or everything
 * @out: where to
 * @noun: the noun; %NULL for everything
 * @command: the command; %NULL for help on the noun
 * @manager: the commands of a manager, not the agent's
 */
void cli_help(FILE *out, const char *noun, const struct cli_command *command, bool manager);

#endif
