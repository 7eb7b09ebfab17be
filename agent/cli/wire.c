// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "host/protocol.h"

_Static_assert(JSON_MAX_DEPTH == PROTOCOL_DEPTH_MAX, "json_parse() bounds nesting");

#define FIRST_SIZE 4096	/* bytes; doubles while a line does not end */

static void drop_taken(struct wire_buffer *b)
{
	if (b->taken == 0)
		return;
	b->used -= b->taken;
	memmove(b->data, b->data + b->taken, b->used);
	b->taken = 0;
	b->scanned = 0;
}

int wire_room(struct wire_buffer *b, char **ret, size_t *ret_size,
	      struct error *e)
{
	drop_taken(b);
	if (b->used == b->size) {
		size_t size = b->size ? 2 * b->size : FIRST_SIZE;
		char *data;

		if (b->size >= PROTOCOL_ANSWER_MAX)
			return error_fail(e, -EMSGSIZE, "The agent sent a line of more than %u bytes, which is no answer. Is a vmcryptd listening there?",
					 PROTOCOL_ANSWER_MAX);
		data = realloc(b->data, size);
		if (!data)
			return error_oom(e);
		b->data = data;
		b->size = size;
	}
	*ret = b->data + b->used;
	*ret_size = b->size - b->used;
	return 0;
}

void wire_came(struct wire_buffer *b, size_t n)
{
	b->used += n;
}

int wire_line(struct wire_buffer *b, const char **ret, size_t *ret_size)
{
	const char *end;

	drop_taken(b);
	if (b->scanned == b->used)
		return 0;
	end = memchr(b->data + b->scanned, '\n', b->used - b->scanned);
	if (!end) {
		b->scanned = b->used;
		return 0;
	}
	*ret = b->data;
	*ret_size = (size_t)(end - b->data);
	b->taken = *ret_size + 1;
	return 1;
}

static int bad_answer(struct error *e, const char *why)
{
	return error_fail(e, -EPROTO, "The agent's answer does not keep to the protocol: %s. Do vmcryptd and vmcryptctl come from the same release?",
			 why);
}

static int check_id(const json_t *root, int64_t id, bool failed, struct error *e)
{
	const json_t *member = json_object_get(root, "id");

	/* null: the agent could not tell which request it refuses. */
	if (failed && json_is_null(member))
		return 0;
	if (!json_is_integer(member) || json_integer_value(member) != id)
		return bad_answer(e, "it is for another request");
	return 0;
}

static int check_error(const json_t *error, struct error *e)
{
	const json_t *status = json_object_get(error, "status");
	json_int_t value = json_integer_value(status);

	if (!json_is_integer(status) || value < EXIT_FAILED ||
	    value > EXIT_NOT_ALLOWED)
		return bad_answer(e, "an error without a status from 1 to 4");
	if (json_string_length(json_object_get(error, "text")) == 0)
		return bad_answer(e, "an error without a text");
	return 0;
}

static const struct {
	const char *member;
	enum wire_type type;
} bodies[] = {
	{ "progress", WIRE_PROGRESS },
	{ "event",    WIRE_EVENT },
	{ "result",   WIRE_DONE },
	{ "error",    WIRE_FAILED },
};

/* Exactly one of the bodies must be there, and it must be an object. */
static int find_body(json_t *root, struct wire_message *ret, struct error *e)
{
	json_t *found = NULL;
	enum wire_type type = WIRE_PROGRESS;

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		json_t *body = json_object_get(root, bodies[i].member);

		if (!body)
			continue;
		if (found)
			return bad_answer(e, "one line says two things");
		found = body;
		type = bodies[i].type;
	}
	if (!json_is_object(found))
		return bad_answer(e, "neither progress, event, result nor error");
	ret->type = type;
	ret->body = found;
	return 0;
}

static int check_ok(const json_t *root, enum wire_type type, struct error *e)
{
	const json_t *ok = json_object_get(root, "ok");
	bool good;

	switch (type) {
	case WIRE_DONE:
		good = json_is_true(ok);
		break;
	case WIRE_FAILED:
		good = json_is_false(ok);
		break;
	default:
		good = !ok;
	}
	return good ? 0 : bad_answer(e, "\"ok\" contradicts the rest");
}

int wire_parse(const char *line, size_t size, int64_t id,
	       struct wire_message *ret, struct error *e)
{
	_cleanup_json_ json_t *root = NULL;
	struct wire_message message = { 0 };
	int r;

	if (json_parse(line, size, PROTOCOL_ANSWER_MAX, "answer", &root, NULL) < 0)
		return bad_answer(e, "it is no JSON object, or one that is doubled or too deep inside");
	r = find_body(root, &message, e);
	if (r == 0)
		r = check_ok(root, message.type, e);
	if (r == 0)
		r = check_id(root, id, message.type == WIRE_FAILED, e);
	if (r == 0 && message.type == WIRE_FAILED)
		r = check_error(message.body, e);
	if (r < 0)
		return r;
	json_incref(message.body);
	*ret = message;
	return 0;
}

int wire_status(const struct wire_message *m)
{
	return (int)json_integer_value(json_object_get(m->body, "status"));
}

void wire_message_done(struct wire_message *m)
{
	json_decref(m->body);
	m->body = NULL;
}

void wire_buffer_done(struct wire_buffer *b)
{
	free(b->data);
	*b = (struct wire_buffer) { 0 };
}
