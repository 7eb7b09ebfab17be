/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which members of a JSON object a human sees, and how. */
#ifndef CLI_FIELDS_H
#define CLI_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/**
 * typedef field_format_t - turn a member into text
 * @value: the member; %NULL when it is not there
 * @object: the object that it is a member of
 *
 * Return: allocated text that is safe to print, or %NULL without memory.
 */
typedef char *(*field_format_t)(const json_t *value, const json_t *object);

char *field_text(const json_t *value, const json_t *object);
char *field_number(const json_t *value, const json_t *object);
char *field_size(const json_t *value, const json_t *object);
char *field_yes_no(const json_t *value, const json_t *object);
char *field_list(const json_t *value, const json_t *object);

/**
 * struct field - one line of an object, or one column of a list
 * @label: what stands before it, or above it
 * @key: the member
 * @format: how it is written
 */
struct field {
	const char *label;
	const char *key;
	field_format_t format;
};

/**
 * fields_print_object - print one object, a field on a line
 * @out: where to
 * @fields: which fields
 * @n_fields: how many
 * @object: the object
 */
void fields_print_object(FILE *out, const struct field *fields, size_t n_fields,
			 const json_t *object);

/**
 * fields_print_list - print objects as a table
 * @out: where to
 * @fields: which columns
 * @n_fields: how many
 * @array: the objects
 * @none: what to say when there is none
 */
void fields_print_list(FILE *out, const struct field *fields, size_t n_fields,
		       const json_t *array, const char *none);

/**
 * fields_print_rows - the same of one of several pages
 * @labels: whether the columns' labels stand above them
 */
void fields_print_rows(FILE *out, const struct field *fields, size_t n_fields,
		       const json_t *array, bool labels);

/**
 * fields_string - a member that is a string, made safe to print
 * @object: the object
 * @key: the member
 *
 * Return: allocated; ``-`` when there is none; %NULL without memory.
 */
char *fields_string(const json_t *object, const char *key);

#endif
