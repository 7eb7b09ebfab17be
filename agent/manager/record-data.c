/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The data of an event as they are kept: the last place where a secret can be left out. */
#include "manager/record-internal.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define TEXT_MAX	1024	/* bytes; keys, certificates and files are longer than words */
#define DEPTH_MAX	8

/* Parts of names that secrets have, whoever adds the next route. */
static const char *const secret_names[] = {
	"password", "passphrase", "secret", "private", "token", "pin_code", "kdk",
};

static bool names_secret(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(secret_names); i++)
		if (strcasestr(name, secret_names[i]))
			return true;
	return false;
}

static json_t *copy_value(const json_t *value, unsigned int depth);

static json_t *copy_text(const json_t *value)
{
	const char *text = json_string_value(value);
	char size[32];

	if (strstr(text, "PRIVATE KEY-----"))
		return json_string("(a private key)");
	if (json_string_length(value) <= TEXT_MAX)
		return json_string(text);
	snprintf(size, sizeof(size), "(%zu bytes)", json_string_length(value));
	return json_string(size);
}

static json_t *copy_object(const json_t *value, unsigned int depth)
{
	_cleanup_json_ json_t *copy = json_object();
	const char *name;
	json_t *member;

	json_object_foreach((json_t *)value, name, member) {
		if (names_secret(name))
			continue;
		if (json_object_set_new(copy, name, copy_value(member, depth + 1)) < 0)
			return NULL;
	}
	return TAKE_PTR(copy);
}

static json_t *copy_array(const json_t *value, unsigned int depth)
{
	_cleanup_json_ json_t *copy = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach(value, i, item)
		if (json_array_append_new(copy, copy_value(item, depth + 1)) < 0)
			return NULL;
	return TAKE_PTR(copy);
}

/* Return: NULL when out of memory. */
static json_t *copy_value(const json_t *value, unsigned int depth)
{
	if (depth > DEPTH_MAX)
		return json_null();
	if (json_is_object(value))
		return copy_object(value, depth);
	if (json_is_array(value))
		return copy_array(value, depth);
	return json_is_string(value) ? copy_text(value) : json_copy((json_t *)value);
}

json_t *record_data_copy(const json_t *data)
{
	return copy_value(data, 0);
}
