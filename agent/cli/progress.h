/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/**
 * struct cli_progress - how far a long operation is
 * @out: where it is shown, standard error as a rule
 * @terminal: @out is a terminal: one line that is drawn anew, else a line for
 *	each step
 * @drawn: a line is on the terminal that must be wiped
 */
struct cli_progress {
	FILE *out;
	bool terminal;
	bool drawn;
};

/**
 * cli_progress_show - show what the agent reports
 * @p: the progress
 * @report: the protocol's ``progress`` object
 */
void cli_progress_show(struct cli_progress *p, const json_t *report);

/**
 * cli_progress_end - take the bar off the terminal
 * @p: the progress
 */
void cli_progress_end(struct cli_progress *p);

#endif
