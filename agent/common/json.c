// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"

#define FORMAT_FLAGS	(JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY)
#define BASE64_DATA_MAX	((size_t) 4096)

static int bad(struct error *e, const char *what, const char *key, const char *why)
{
	return error_fail(e, EBADMSG, "The %s is not valid: \"%s\" %s", what, key, why);
}

/* jansson recurses; its own limit is 2048. */
static bool depth_in_bounds(const char *text, size_t size)
{
	bool in_string = false;
	size_t i, depth = 0;

	for (i = 0; i < size; i++) {
		if (in_string) {
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				in_string = false;
			continue;
		}
		if (text[i] == '"')
			in_string = true;
		else if (text[i] == '{' || text[i] == '[')
			depth++;
		else if ((text[i] == '}' || text[i] == ']') && depth > 0)
			depth--;
		if (depth > JSON_MAX_DEPTH)
			return false;
	}
	return true;
}

int json_parse(const char *text, size_t size, size_t max, const char *what, json_t **ret,
	       struct error *e)
{
	_cleanup_json_ json_t *json = NULL;
	json_error_t where;

	if (size > max)
		return error_fail(e, EFBIG, "The %s is larger than %zu bytes", what, max);
	if (!depth_in_bounds(text, size))
		return error_fail(e, EBADMSG, "The %s is not valid: nested deeper than %d", what,
				  JSON_MAX_DEPTH);

	json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
	if (!json && json_error_code(&where) == json_error_out_of_memory)
		return error_oom(e);
	/* jansson's own words quote the text, which may be a secret. */
	if (!json)
		return error_fail(e, EBADMSG, "The %s is not valid: %s in line %d, column %d", what,
				  json_error_code(&where) == json_error_duplicate_key ?
				  "a member that comes twice" : "no JSON", where.line, where.column);
	if (!json_is_object(json))
		return error_fail(e, EBADMSG, "The %s is not valid: no JSON object", what);
	*ret = TAKE_PTR(json);
	return 0;
}

int json_get_string(const json_t *object, const char *what, const char *key, size_t max,
		    const char **ret, struct error *e)
{
	const json_t *member = json_object_get(object, key);

	if (!json_is_string(member))
		return bad(e, what, key, member ? "is no string" : "is missing");
	if (json_string_length(member) > max)
		return bad(e, what, key, "is too long");
	*ret = json_string_value(member);
	return 0;
}

int json_get_uint(const json_t *object, const char *what, const char *key, uint64_t max,
		  uint64_t *ret, struct error *e)
{
	const json_t *member = json_object_get(object, key);
	json_int_t value;

	if (!json_is_integer(member))
		return bad(e, what, key, member ? "is no integer" : "is missing");
	value = json_integer_value(member);
	if (value < 0 || (uint64_t) value > max)
		return bad(e, what, key, "is out of range");
	*ret = (uint64_t) value;
	return 0;
}

int json_get_bool(const json_t *object, const char *what, const char *key, bool *ret,
		  struct error *e)
{
	const json_t *member = json_object_get(object, key);

	if (!json_is_boolean(member))
		return bad(e, what, key, member ? "is neither true nor false" : "is missing");
	*ret = json_is_true(member);
	return 0;
}

int json_get_uuid(const json_t *object, const char *what, const char *key, uint8_t ret[16],
		  struct error *e)
{
	const char *text;
	int r;

	r = json_get_string(object, what, key, UUID_TEXT_SIZE - 1, &text, e);
	if (r < 0)
		return r;
	if (uuid_parse_text(text, ret) < 0)
		return bad(e, what, key, "is no UUID in lower case");
	return 0;
}

int json_get_time(const json_t *object, const char *what, const char *key, int64_t *ret,
		  struct error *e)
{
	const char *text;
	int r;

	r = json_get_string(object, what, key, TIME_INPUT_SIZE - 1, &text, e);
	if (r < 0)
		return r;
	if (time_parse(text, ret) < 0)
		return bad(e, what, key, "is no time as RFC 3339 writes it, such as 2026-01-31T23:59:59Z");
	return 0;
}

int json_get_base64_max(const json_t *object, const char *what, const char *key, void *ret,
			size_t max, size_t *ret_size, struct error *e)
{
	const char *text;
	int r;

	r = json_get_string(object, what, key, BASE64_SIZE(max) - 1, &text, e);
	if (r < 0)
		return r;
	r = base64_decode(text, strlen(text), ret, max, ret_size);
	if (r < 0)
		return bad(e, what, key, r == -EFBIG ? "is too long" : "is no base64");
	return 0;
}

int json_get_base64(const json_t *object, const char *what, const char *key, void *ret,
		    size_t size, struct error *e)
{
	size_t got;
	int r;

	r = json_get_base64_max(object, what, key, ret, size, &got, e);
	if (r < 0)
		return r;
	if (got != size) {
		erase(ret, size);
		return bad(e, what, key, "is too short");
	}
	return 0;
}

int json_get_object(const json_t *object, const char *what, const char *key, json_t **ret,
		    struct error *e)
{
	json_t *member = json_object_get(object, key);

	if (!json_is_object(member))
		return bad(e, what, key, member ? "is no object" : "is missing");
	*ret = member;
	return 0;
}

int json_get_array(const json_t *object, const char *what, const char *key, size_t max,
		   json_t **ret, struct error *e)
{
	json_t *member = json_object_get(object, key);

	if (!json_is_array(member))
		return bad(e, what, key, member ? "is no array" : "is missing");
	if (json_array_size(member) > max)
		return bad(e, what, key, "has too many elements");
	*ret = member;
	return 0;
}

bool json_has(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

int json_check_keys(const json_t *object, const char *what, const char *const *known,
		    struct error *e)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *) object, key, value) {
		const char *const *k = known;

		while (*k && strcmp(*k, key) != 0)
			k++;
		if (!*k)
			return error_fail(e, EBADMSG, "The %s is not valid: "
					  "it has an unknown member \"%.64s\"", what, key);
	}
	return 0;
}

int json_format(const json_t *value, char **ret, size_t *ret_size, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	size = json_dumpb(value, NULL, 0, FORMAT_FLAGS);
	if (size == 0)
		return error_oom(e);
	text = malloc(size + 1);
	if (!text || json_dumpb(value, text, size, FORMAT_FLAGS) != size)
		return error_oom(e);
	text[size] = '\0';
	*ret = TAKE_PTR(text);
	if (ret_size)
		*ret_size = size;
	return 0;
}

int json_format_secret(const json_t *value, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret s = SECRET_NULL;
	size_t size;

	size = json_dumpb(value, NULL, 0, FORMAT_FLAGS);
	if (size == 0 || secret_new(size, &s) < 0)
		return error_oom(e);
	if (json_dumpb(value, (char *) s.data, size, FORMAT_FLAGS) != size)
		return error_oom(e);
	*ret = secret_take(&s);
	return 0;
}

json_t *json_string_printable(const char *text)
{
	json_t *json = json_string(text);
	_cleanup_free_ char *copy = NULL;
	size_t i;

	if (json)
		return json;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (i = 0; copy[i]; i++)
		if ((unsigned char) copy[i] >= 0x80)
			copy[i] = '?';
	return json_string(copy);
}

const char *json_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int json_set_uuid(json_t *object, const char *key, const uint8_t uuid[16])
{
	char text[UUID_TEXT_SIZE];

	uuid_format(uuid, text);
	return json_object_set_new(object, key, json_string(text)) < 0 ? -ENOMEM : 0;
}

int json_set_base64(json_t *object, const char *key, const void *data, size_t size)
{
	char text[BASE64_SIZE(BASE64_DATA_MAX)];
	int r;

	if (size > BASE64_DATA_MAX)
		return -EINVAL;
	base64_encode(data, size, text);
	r = json_object_set_new(object, key, json_string(text)) < 0 ? -ENOMEM : 0;
	erase(text, sizeof(text));
	return r;
}
