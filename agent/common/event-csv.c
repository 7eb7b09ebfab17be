/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events as comma-separated values. */
#include "common/event-csv.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

static const char *const columns[] = {
	"seq", "time", "id", "user", "operation", "type", "object", "key", "phase", "result",
	"host", "vm", "data", "hash",
};

static void put_text(const char *text, FILE *out)
{
	fputc('"', out);
	if (*text && strchr("=+-@\t\r", *text))
		fputc('\'', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static int put_value(const json_t *value, FILE *out)
{
	_cleanup_free_ char *text = NULL;
	int r;

	if (!value || json_is_null(value))
		return 0;
	if (json_is_string(value)) {
		put_text(json_string_value(value), out);
		return 0;
	}
	if (json_is_integer(value)) {
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return 0;
	}
	r = json_format(value, &text, NULL, NULL);
	if (r == 0)
		put_text(text, out);
	return r;
}

int event_csv_header(FILE *out)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(columns); i++)
		fprintf(out, "%s%s", i ? "," : "", columns[i]);
	fputs("\r\n", out);
	return ferror(out) ? -EIO : 0;
}

int event_csv(const json_t *row, FILE *out)
{
	size_t i;
	int r;

	for (i = 0; i < ARRAY_SIZE(columns); i++) {
		if (i > 0)
			fputc(',', out);
		r = put_value(json_object_get(row, columns[i]), out);
		if (r < 0)
			return r;
	}
	fputs("\r\n", out);
	return ferror(out) ? -EIO : 0;
}
