// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The forms of the channel's operations, as channel.h says them.
 */
#include <errno.h>
#include <string.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"

/* Of the largest binary member. */
#define BINARY_MAX	CHANNEL_SEALED_SIZE
#define DISK_KEYS_MAX	16
#define NAME_MAX_BYTES	64
#define PEM_CSR_MAX	4096

enum type {
	TYPE_TEXT,
	TYPE_WORD,
	TYPE_CHOICE,
	TYPE_UUID,
	TYPE_BOOL,
	TYPE_BASE64,
	TYPE_PEM,
	TYPE_OBJECT,
	TYPE_KEY,
	TYPE_ARRAY,
};

/* A member: @max are the bytes of a text, the exact bytes of a base64, the elements of an array. */
struct field {
	const char *name;
	enum type type;
	bool nullable;
	size_t max;
	const char *const *choices;
	const struct field *element;
};

struct operation {
	const char *name;
	enum channel_side from;
	const struct field *args;
	const struct field *result;	/* NULL: any object */
};

static const char *const modes[] = { "incapable", "prepared", "safe", "pending-incapable", NULL };
static const char *const states[] = { "loaded", "locked", "wiping", "absent", NULL };
static const char *const types[] = { "standard", NULL };

static const struct field nothing[] = { { .name = NULL } };

static const struct field hello_args[] = {
	{ .name = "version", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX },
	{ .name = "name", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX },
	{ .name = "boot_id", .type = TYPE_UUID },
	{ .name = "module", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX, .nullable = true },
	{ .name = "tpm", .type = TYPE_BOOL },
	{ .name = "public_key", .type = TYPE_BASE64, .max = CHANNEL_PUBLIC_KEY_SIZE },
	{ .name = NULL }
};

static const struct field hello_result[] = {
	{ .name = "host", .type = TYPE_UUID },
	{ .name = "name", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX },
	{ .name = NULL }
};

static const struct field key[] = {
	{ .name = "provider", .type = TYPE_UUID },
	{ .name = "provider_name", .type = TYPE_WORD, .max = NAME_MAX_BYTES },
	{ .name = "key", .type = TYPE_WORD, .max = CHANNEL_WORD_MAX },
	{ .name = "sealed", .type = TYPE_BASE64, .max = CHANNEL_SEALED_SIZE },
	{ .name = NULL }
};

static const struct field key_name[] = {
	{ .name = "provider", .type = TYPE_UUID },
	{ .name = "key", .type = TYPE_WORD, .max = CHANNEL_WORD_MAX },
	{ .name = NULL }
};

static const struct field key_new_args[] = {
	{ .name = "provider", .type = TYPE_UUID, .nullable = true },
	{ .name = "vm", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX },
	{ .name = "disk", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX },
	{ .name = NULL }
};

static const struct field key_get_args[] = {
	{ .name = "provider", .type = TYPE_UUID },
	{ .name = "key", .type = TYPE_WORD, .max = CHANNEL_WORD_MAX },
	{ .name = "vm", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX, .nullable = true },
	{ .name = NULL }
};

static const struct field disk[] = {
	{ .name = "dek", .type = TYPE_UUID },
	{ .name = "vm", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX, .nullable = true },
	{ .name = "disk", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX, .nullable = true },
	{ .name = "state", .type = TYPE_CHOICE, .choices = states },
	{ .name = "attached", .type = TYPE_BOOL },
	{ .name = "keys", .type = TYPE_ARRAY, .max = DISK_KEYS_MAX, .element = key_name },
	{ .name = NULL }
};

static const struct field report_args[] = {
	{ .name = "disks", .type = TYPE_ARRAY, .max = CHANNEL_LIST_MAX, .element = disk },
	{ .name = "more", .type = TYPE_BOOL },
	{ .name = NULL }
};

static const struct field renew_args[] = {
	{ .name = "csr", .type = TYPE_PEM, .max = PEM_CSR_MAX },
	{ .name = NULL }
};

static const struct field renew_result[] = {
	{ .name = "certificate", .type = TYPE_PEM, .max = CHANNEL_PEM_MAX },
	{ .name = NULL }
};

static const struct field mode_args[] = {
	{ .name = "mode", .type = TYPE_CHOICE, .choices = modes },
	{ .name = NULL }
};

static const struct field provider[] = {
	{ .name = "uuid", .type = TYPE_UUID },
	{ .name = "name", .type = TYPE_WORD, .max = NAME_MAX_BYTES },
	{ .name = "type", .type = TYPE_CHOICE, .choices = types },
	{ .name = "default", .type = TYPE_BOOL },
	{ .name = NULL }
};

static const struct field provider_args[] = {
	{ .name = "providers", .type = TYPE_ARRAY, .max = CHANNEL_LIST_MAX, .element = provider },
	{ .name = NULL }
};

static const struct field push_args[] = {
	{ .name = "keys", .type = TYPE_ARRAY, .max = CHANNEL_LIST_MAX, .element = key },
	{ .name = NULL }
};

static const struct field probe_args[] = {
	{ .name = "key", .type = TYPE_KEY, .element = key },
	{ .name = "nonce", .type = TYPE_BASE64, .max = CHANNEL_NONCE_SIZE },
	{ .name = NULL }
};

static const struct field probe_result[] = {
	{ .name = "iv", .type = TYPE_BASE64, .max = 12 },
	{ .name = "ciphertext", .type = TYPE_BASE64, .max = CHANNEL_NONCE_SIZE },
	{ .name = "tag", .type = TYPE_BASE64, .max = 16 },
	{ .name = NULL }
};

static const struct field kdk_args[] = {
	{ .name = "provider", .type = TYPE_UUID },
	{ .name = "name", .type = TYPE_WORD, .max = NAME_MAX_BYTES },
	{ .name = "created", .type = TYPE_WORD, .max = CHANNEL_WORD_MAX },
	{ .name = "require_tpm", .type = TYPE_BOOL },
	{ .name = "default", .type = TYPE_BOOL },
	{ .name = "sealed", .type = TYPE_BASE64, .max = CHANNEL_SEALED_SIZE },
	{ .name = NULL }
};

static const struct field kdk_result[] = {
	{ .name = "sealed", .type = TYPE_BOOL },
	{ .name = NULL }
};

static const struct field remove_args[] = {
	{ .name = "provider", .type = TYPE_UUID },
	{ .name = "kept", .type = TYPE_BOOL },
	{ .name = NULL }
};

static const struct field refused[] = {
	{ .name = "provider", .type = TYPE_UUID },
	{ .name = "key", .type = TYPE_WORD, .max = CHANNEL_WORD_MAX },
	{ .name = "text", .type = TYPE_TEXT, .max = ERROR_TEXT_SIZE - 1 },
	{ .name = NULL }
};

static const struct field push_result[] = {
	{ .name = "refused", .type = TYPE_ARRAY, .max = CHANNEL_LIST_MAX, .element = refused },
	{ .name = NULL }
};

static const struct field run_args[] = {
	{ .name = "op", .type = TYPE_WORD, .max = CHANNEL_WORD_MAX },
	{ .name = "args", .type = TYPE_OBJECT },
	{ .name = "user", .type = TYPE_TEXT, .max = CHANNEL_TEXT_MAX },
	{ .name = NULL }
};

static const struct operation operations[] = {
	{ "hello", CHANNEL_HOST, hello_args, hello_result },
	{ "key.new", CHANNEL_HOST, key_new_args, key },
	{ "key.get", CHANNEL_HOST, key_get_args, key },
	{ "disk.report", CHANNEL_HOST, report_args, nothing },
	{ "cert.renew", CHANNEL_HOST, renew_args, renew_result },
	{ "mode.set", CHANNEL_MANAGER, mode_args, nothing },
	{ "provider.set", CHANNEL_MANAGER, provider_args, nothing },
	{ "key.push", CHANNEL_MANAGER, push_args, push_result },
	{ "key.remove", CHANNEL_MANAGER, key_name, nothing },
	{ "key.probe", CHANNEL_MANAGER, probe_args, probe_result },
	{ "kdk.push", CHANNEL_MANAGER, kdk_args, kdk_result },
	{ "provider.remove", CHANNEL_MANAGER, remove_args, nothing },
	{ "host.removed", CHANNEL_MANAGER, nothing, nothing },
	{ "run", CHANNEL_MANAGER, run_args, NULL },
};

static int bad(struct error *e, const char *what, const char *name, const char *why)
{
	return error_fail(e, EBADMSG, "The %s is not valid: \"%s\" %s", what, name, why);
}

/* Bytes @from..@to only; jansson has made sure of UTF-8. */
static bool within(const char *text, unsigned char from, unsigned char to, char also)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char) *text;

		if ((c < from || c > to || c == 0x7f) && (also == '\0' || *text != also))
			return false;
	}
	return true;
}

static bool is_choice(const struct field *f, const char *text)
{
	const char *const *c = f->choices;

	while (*c && strcmp(*c, text) != 0)
		c++;
	return *c;
}

static int check_string(const struct field *f, const json_t *object, const char *what,
			struct error *e)
{
	const char *text;
	int r;

	r = json_get_string(object, what, f->name, f->type == TYPE_CHOICE ? CHANNEL_TEXT_MAX : f->max,
			    &text, e);
	if (r < 0)
		return r;
	if (f->type == TYPE_CHOICE && !is_choice(f, text))
		return bad(e, what, f->name, "is none of the words that it can be");
	if (f->type == TYPE_TEXT && !within(text, 0x20, 0xff, '\0'))
		return bad(e, what, f->name, "has control characters");
	if (f->type == TYPE_WORD && (!*text || !within(text, 0x21, 0x7e, '\0')))
		return bad(e, what, f->name, "is no word of printable characters");
	if (f->type == TYPE_PEM && (!*text || !within(text, 0x20, 0x7e, '\n')))
		return bad(e, what, f->name, "is no PEM");
	return 0;
}

static int check_base64(const struct field *f, const json_t *object, const char *what,
			struct error *e)
{
	uint8_t data[BINARY_MAX];

	return json_get_base64(object, what, f->name, data, f->max, e);
}

static int check_uuid(const struct field *f, const json_t *object, const char *what,
		      struct error *e)
{
	uint8_t uuid[UUID_SIZE];

	return json_get_uuid(object, what, f->name, uuid, e);
}

static int check_shape(const struct field *fields, const json_t *object, const char *what,
		       struct error *e);

/* Not deep: an element has at most an array of its own, as the tables above show. */
static int check_array(const struct field *f, const json_t *object, const char *what,
		       struct error *e)
{
	json_t *array, *element;
	size_t i;
	int r;

	r = json_get_array(object, what, f->name, f->max, &array, e);
	if (r < 0)
		return r;
	json_array_foreach(array, i, element) {
		if (!json_is_object(element))
			return bad(e, what, f->name, "has an element that is no object");
		r = check_shape(f->element, element, what, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_field(const struct field *f, const json_t *object, const char *what,
		       struct error *e)
{
	json_t *member;
	bool flag;

	if (f->nullable && json_is_null(json_object_get(object, f->name)))
		return 0;
	switch (f->type) {
	case TYPE_UUID:
		return check_uuid(f, object, what, e);
	case TYPE_BOOL:
		return json_get_bool(object, what, f->name, &flag, e);
	case TYPE_BASE64:
		return check_base64(f, object, what, e);
	case TYPE_OBJECT:
		return json_get_object(object, what, f->name, &member, e);
	case TYPE_KEY:
		return check_shape(f->element, json_object_get(object, f->name), what, e);
	case TYPE_ARRAY:
		return check_array(f, object, what, e);
	case TYPE_TEXT:
	case TYPE_WORD:
	case TYPE_CHOICE:
	case TYPE_PEM:
		break;
	}
	return check_string(f, object, what, e);
}

/* All of @fields and nothing else: with as many members as fields, none is left over. */
static int check_shape(const struct field *fields, const json_t *object, const char *what,
		       struct error *e)
{
	size_t n = 0;
	int r;

	if (!json_is_object(object))
		return error_fail(e, EBADMSG, "The %s is not valid: no object", what);
	for (; fields[n].name; n++) {
		r = check_field(&fields[n], object, what, e);
		if (r < 0)
			return r;
	}
	if (json_object_size(object) != n)
		return error_fail(e, EBADMSG, "The %s is not valid: it has a member that is unknown",
				  what);
	return 0;
}

static const struct operation *find(enum channel_side from, const char *op)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].from == from && strcmp(operations[i].name, op) == 0)
			return &operations[i];
	return NULL;
}

static int unknown(enum channel_side from, const char *op, struct error *e)
{
	return error_fail(e, EOPNOTSUPP, "%s does not ask for \"%.64s\": are both of the same version?",
			  from == CHANNEL_HOST ? "A host" : "A manager", op);
}

int channel_check_args(enum channel_side from, const char *op, const json_t *args,
		       struct error *e)
{
	const struct operation *o = find(from, op);
	char what[64];

	if (!o)
		return unknown(from, op, e);
	snprintf(what, sizeof(what), "request %s", o->name);
	return check_shape(o->args, args, what, e);
}

int channel_check_result(enum channel_side from, const char *op, const json_t *result,
			 struct error *e)
{
	const struct operation *o = find(from, op);
	char what[64];

	if (!o)
		return unknown(from, op, e);
	snprintf(what, sizeof(what), "answer to %s", o->name);
	if (!o->result && json_is_object(result))
		return 0;
	return check_shape(o->result ? o->result : nothing, result, what, e);
}
