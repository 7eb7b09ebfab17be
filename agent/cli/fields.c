// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/fields.h"

#include <stdlib.h>
#include <string.h>

#include "cli/text.h"
#include "common/cleanup.h"

static const char nothing[] = "-";

char *field_text(const json_t *value, const json_t *object)
{
	(void)object;
	return text_safe(json_is_string(value) ? json_string_value(value) : nothing);
}

char *field_number(const json_t *value, const json_t *object)
{
	char *text;

	(void)object;
	if (!json_is_integer(value))
		return strdup(nothing);
	return asprintf(&text, "%lld", (long long)json_integer_value(value)) < 0 ?
		NULL : text;
}

char *field_size(const json_t *value, const json_t *object)
{
	char text[TEXT_SIZE_MAX];

	(void)object;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return strdup(nothing);
	text_size((uint64_t)json_integer_value(value), text);
	return strdup(text);
}

char *field_yes_no(const json_t *value, const json_t *object)
{
	(void)object;
	return strdup(json_is_true(value) ? "yes" : json_is_false(value) ? "no" : nothing);
}

char *field_list(const json_t *value, const json_t *object)
{
	_cleanup_free_ char *joined = NULL;
	_cleanup_fclose_ FILE *out = NULL;
	size_t size, i;
	json_t *item;

	(void)object;
	if (json_array_size(value) == 0)
		return strdup(nothing);
	out = open_memstream(&joined, &size);
	if (!out)
		return NULL;
	json_array_foreach(value, i, item)
		fprintf(out, "%s%s", i > 0 ? ", " : "",
			json_is_string(item) ? json_string_value(item) : nothing);
	if (fflush(out) != 0)
		return NULL;
	return text_safe(joined);
}

char *fields_string(const json_t *object, const char *key)
{
	return field_text(json_object_get(object, key), object);
}

static void add_value(struct text_table *table, const struct field *field,
		      const json_t *object)
{
	const json_t *value = json_object_get(object, field->key);

	text_table_add(table, field->format(value, object));
}

void fields_print_object(FILE *out, const struct field *fields, size_t n_fields,
			 const json_t *object)
{
	_cleanup_table_ struct text_table table = { .n_columns = 2 };

	for (size_t i = 0; i < n_fields; i++) {
		text_table_add(&table, strdup(fields[i].label));
		add_value(&table, &fields[i], object);
	}
	if (text_table_print(&table, out) < 0)
		fputs("No memory to print this.\n", out);
}

void fields_print_rows(FILE *out, const struct field *fields, size_t n_fields,
		       const json_t *array, bool labels)
{
	_cleanup_table_ struct text_table table = { .n_columns = n_fields };
	json_t *object;
	size_t i;

	for (i = 0; labels && i < n_fields; i++)
		text_table_add(&table, strdup(fields[i].label));
	json_array_foreach(array, i, object)
		for (size_t j = 0; j < n_fields; j++)
			add_value(&table, &fields[j], object);
	if (text_table_print(&table, out) < 0)
		fputs("No memory to print this.\n", out);
}

void fields_print_list(FILE *out, const struct field *fields, size_t n_fields,
		       const json_t *array, const char *none)
{
	if (json_array_size(array) > 0)
		fields_print_rows(out, fields, n_fields, array, /* labels= */ true);
	else
		fprintf(out, "%s\n", none);
}
