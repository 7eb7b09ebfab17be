/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON from outside: bounded, strict, with errors that name the member.
 */
#ifndef VMCRYPT_COMMON_JSON_H
#define VMCRYPT_COMMON_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"

/** JSON_MAX_DEPTH - arrays and objects inside each other */
#define JSON_MAX_DEPTH 16

/**
 * json_parse() - parse one JSON object
 * @text: @size bytes, need not end in NUL
 * @max: larger is -EFBIG
 * @what: names the text in errors, as in "header token"
 * @ret: an object; written only on success; the caller owns a reference
 *
 * Refuses members that come twice, NUL inside strings, nesting beyond
 * JSON_MAX_DEPTH, anything behind the object, and everything that is not an
 * object. Error texts never quote the content.
 *
 * Return: 0; -EFBIG, -EBADMSG, -ENOMEM.
 */
int json_parse(const char *text, size_t size, size_t max, const char *what, json_t **ret,
	       struct error *e);

/*
 * Typed members. @what names the object in errors. A member that is missing,
 * of another type or out of bounds is -EBADMSG. What @ret points to belongs to
 * @object. Written only on success.
 */

/** json_get_string() - of 0..@max bytes */
int json_get_string(const json_t *object, const char *what, const char *key, size_t max,
		    const char **ret, struct error *e);

/** json_get_uint() - an integer 0..@max */
int json_get_uint(const json_t *object, const char *what, const char *key, uint64_t max,
		  uint64_t *ret, struct error *e);

/** json_get_bool() */
int json_get_bool(const json_t *object, const char *what, const char *key, bool *ret,
		  struct error *e);

/** json_get_uuid() - text of a UUID in lower case */
int json_get_uuid(const json_t *object, const char *what, const char *key, uint8_t ret[16],
		  struct error *e);

/** json_get_time() - RFC 3339 as encode.h takes it, to seconds since 1970 */
int json_get_time(const json_t *object, const char *what, const char *key, int64_t *ret,
		  struct error *e);

/** json_get_base64() - exactly @size bytes */
int json_get_base64(const json_t *object, const char *what, const char *key, void *ret,
		    size_t size, struct error *e);

/** json_get_base64_max() - up to @max bytes */
int json_get_base64_max(const json_t *object, const char *what, const char *key, void *ret,
			size_t max, size_t *ret_size, struct error *e);

/** json_get_object() - borrowed */
int json_get_object(const json_t *object, const char *what, const char *key, json_t **ret,
		    struct error *e);

/** json_get_array() - borrowed, at most @max elements */
int json_get_array(const json_t *object, const char *what, const char *key, size_t max,
		   json_t **ret, struct error *e);

/** json_has() - whether there is a member @key, null or not */
bool json_has(const json_t *object, const char *key);

/**
 * json_check_keys() - refuse members that are not in @known
 * @known: ends in NULL
 */
int json_check_keys(const json_t *object, const char *what, const char *const *known,
		    struct error *e);

/**
 * json_format() - compact text with sorted keys
 * @ret: malloc'ed, ends in NUL; written only on success
 * @ret_size: bytes without the NUL; may be NULL
 *
 * The same value always gives the same bytes: this is what the additional data
 * of a wrap is made of.
 */
int json_format(const json_t *value, char **ret, size_t *ret_size, struct error *e);

/**
 * json_format_secret() - the same into the secure heap, without a NUL
 */
int json_format_secret(const json_t *value, struct secret *ret, struct error *e);

/**
 * json_string_printable() - json_string() of a text that need not be UTF-8: then each
 * byte that is not ASCII becomes '?'. Return: NULL when out of memory.
 */
json_t *json_string_printable(const char *text);

/** json_text() - a member that is a string; "" when it is none. Borrowed */
const char *json_text(const json_t *object, const char *key);

/**
 * json_set_uuid() - set a member to the text of a UUID. Return: 0 or -ENOMEM.
 */
int json_set_uuid(json_t *object, const char *key, const uint8_t uuid[16]);

/**
 * json_set_base64() - set a member to the base64 of up to 4096 bytes
 *
 * Return: 0, -EINVAL or -ENOMEM.
 */
int json_set_base64(json_t *object, const char *key, const void *data, size_t size);

#endif
