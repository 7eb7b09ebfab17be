/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events as comma-separated values (RFC 4180), the manager's and its clients'. */
#ifndef COMMON_EVENT_CSV_H
#define COMMON_EVENT_CSV_H

#include <jansson.h>
#include <stdio.h>

/**
 * event_csv_header(), event_csv() - one line: the columns' names, or one event
 * @row: an event as the manager answers it
 *
 * What a spreadsheet would take for a formula gets an apostrophe in front.
 *
 * Return: 0; -EIO: @out takes no more; -ENOMEM.
 */
int event_csv_header(FILE *out);
int event_csv(const json_t *row, FILE *out);

#endif /* COMMON_EVENT_CSV_H */
