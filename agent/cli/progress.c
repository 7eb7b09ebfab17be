// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/progress.h"

#include <stdint.h>

#include "cli/fields.h"
#include "common/cleanup.h"

#define BAR_WIDTH 24	/* columns */

static const char wipe_line[] = "\r\033[K";

static void draw_bar(FILE *out, json_int_t step, json_int_t steps)
{
	int filled = steps > 0 ? (int)(step * BAR_WIDTH / steps) : 0;

	fputc('[', out);
	for (int i = 0; i < BAR_WIDTH; i++)
		fputc(i < filled ? '#' : '.', out);
	fputs("] ", out);
}

void cli_progress_show(struct cli_progress *p, const json_t *report)
{
	json_int_t step = json_integer_value(json_object_get(report, "step"));
	json_int_t steps = json_integer_value(json_object_get(report, "steps"));
	_cleanup_free_ char *text = fields_string(report, "text");

	/* The agent's numbers are not trusted to fit a bar. */
	if (steps < 0 || steps > INT32_MAX)
		steps = 0;
	if (step < 0 || step > steps)
		step = steps;
	if (!p->terminal) {
		fprintf(p->out, "%lld/%lld %s\n", (long long)step,
			(long long)steps, text ? text : "-");
		return;
	}
	fputs(wipe_line, p->out);
	draw_bar(p->out, step, steps);
	fputs(text ? text : "-", p->out);
	fflush(p->out);
	p->drawn = true;
}

void cli_progress_end(struct cli_progress *p)
{
	if (p->drawn)
		fputs(wipe_line, p->out);
	p->drawn = false;
}
