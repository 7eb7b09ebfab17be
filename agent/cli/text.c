// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/text.h"

#include <errno.h>
#include <locale.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "common/cleanup.h"

void text_init(void)
{
	setlocale(LC_CTYPE, "C.UTF-8");
}

static bool is_unsafe(wchar_t c)
{
	static const struct {
		wchar_t first, last;
	} ranges[] = {
		{ 0x0000, 0x001f },	/* C0 */
		{ 0x007f, 0x009f },	/* DEL and C1 */
		{ 0x061c, 0x061c },	/* Arabic letter mark */
		{ 0x200b, 0x200f },	/* no width, direction */
		{ 0x2028, 0x202e },	/* separators, direction */
		{ 0x2060, 0x206f },	/* no width, direction */
		{ 0xfeff, 0xfeff },	/* byte order mark */
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return wcwidth(c) < 0;
}

char *text_safe(const char *text)
{
	size_t left = strlen(text), size, n;
	mbstate_t state = { 0 };
	char *safe = NULL;
	wchar_t c;
	FILE *out;

	out = open_memstream(&safe, &size);
	if (!out)
		return NULL;
	for (; left > 0; text += n, left -= n) {
		n = mbrtowc(&c, text, left, &state);
		if (n == (size_t)-1 || n == (size_t)-2) {
			fprintf(out, "\\x%02x", (unsigned char)*text);
			state = (mbstate_t) { 0 };
			n = 1;
		} else if (is_unsafe(c)) {
			fprintf(out, "\\u%04x", (unsigned int)c);
		} else {
			fwrite(text, 1, n, out);
		}
	}
	if (fclose(out) != 0) {
		free(safe);
		return NULL;
	}
	return safe;
}

size_t text_width(const char *text)
{
	size_t left = strlen(text), width = 0, n;
	mbstate_t state = { 0 };
	wchar_t c;

	for (; left > 0; text += n, left -= n) {
		n = mbrtowc(&c, text, left, &state);
		if (n == (size_t)-1 || n == (size_t)-2)
			return width + left;
		width += wcwidth(c) > 0 ? (size_t)wcwidth(c) : 0;
	}
	return width;
}

void text_size(uint64_t bytes, char ret[TEXT_SIZE_MAX])
{
	static const char *const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB",
	};
	uint64_t whole = bytes;
	unsigned int unit = 0, tenth = 0;

	while (whole >= 1024) {
		tenth = (unsigned int)(whole % 1024 * 10 / 1024);
		whole /= 1024;
		unit++;
	}
	if (tenth == 0)
		snprintf(ret, TEXT_SIZE_MAX, "%llu %s",
			 (unsigned long long)whole, units[unit]);
	else
		snprintf(ret, TEXT_SIZE_MAX, "%llu.%u %s",
			 (unsigned long long)whole, tenth, units[unit]);
}

/* Room is doubled whenever the number of cells reaches a power of two. */
static int make_room(struct text_table *t)
{
	char **cells;

	if ((t->n_cells & (t->n_cells - 1)) != 0)
		return 0;
	cells = reallocarray(t->cells, t->n_cells ? 2 * t->n_cells : 1,
			     sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	t->cells = cells;
	return 0;
}

void text_table_add(struct text_table *t, char *cell)
{
	if (!cell || make_room(t) < 0) {
		free(cell);
		t->failed = true;
		return;
	}
	t->cells[t->n_cells++] = cell;
}

static size_t column_width(const struct text_table *t, size_t column)
{
	size_t width = 0, cell;

	for (size_t i = column; i < t->n_cells; i += t->n_columns) {
		cell = text_width(t->cells[i]);
		if (cell > width)
			width = cell;
	}
	return width;
}

int text_table_print(const struct text_table *t, FILE *out)
{
	_cleanup_free_ size_t *widths = NULL;

	widths = calloc(t->n_columns, sizeof(*widths));
	if (t->failed || !widths)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_columns; i++)
		widths[i] = column_width(t, i);
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t column = i % t->n_columns;
		bool last = column + 1 == t->n_columns;
		size_t gap = widths[column] - text_width(t->cells[i]) + 2;

		fprintf(out, "%s%*s", t->cells[i], last ? 0 : (int)gap, "");
		if (last)
			fputc('\n', out);
	}
	return 0;
}

void text_table_done(struct text_table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct text_table) { 0 };
}
