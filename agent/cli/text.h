/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text for a terminal. Names of VMs and disks come from headers that others
 * may have written, so nothing is printed that a terminal could obey.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * text_init - set up what the functions below need: UTF-8, whatever the locale
 */
void text_init(void);

/**
 * text_safe - copy a string, with escapes for what is not printable
 * @text: any bytes
 *
 * Control characters, marks that turn the direction of writing and bytes that
 * are not UTF-8 become ``\xNN`` or ``\uNNNN``.
 *
 * Return: allocated string; %NULL without memory.
 */
char *text_safe(const char *text);

/**
 * text_width - columns that a string takes on a terminal
 * @text: what text_safe() returned
 *
 * Return: columns.
 */
size_t text_width(const char *text);

#define TEXT_SIZE_MAX 24	/* bytes of a text_size(), with the NUL */

/**
 * text_size - write a size for a human, in units of 1024
 * @bytes: the size
 * @ret: for example ``512 B``, ``10 GiB``, ``1.5 TiB``
 */
void text_size(uint64_t bytes, char ret[TEXT_SIZE_MAX]);

/**
 * struct text_table - rows of cells, printed with aligned columns
 * @cells: cells row by row, the header first; each allocated; owned
 * @n_columns: cells in a row
 * @n_cells: cells in all
 * @failed: memory ran out, the table prints nothing
 */
struct text_table {
	char **cells;
	size_t n_columns;
	size_t n_cells;
	int failed;
};

/**
 * text_table_add - add the next cell
 * @t: the table
 * @cell: allocated string, taken over; %NULL marks the table as failed
 */
void text_table_add(struct text_table *t, char *cell);

/**
 * text_table_print - print the rows, columns two spaces apart
 * @t: the table
 * @out: where to
 *
 * Return: 0, -ENOMEM when a cell could not be made.
 */
int text_table_print(const struct text_table *t, FILE *out);

void text_table_done(struct text_table *t);

#define _cleanup_table_ __attribute__((cleanup(text_table_done)))

#endif
