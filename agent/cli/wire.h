/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the agent sends on the control socket (host/protocol.h), taken apart. */
#ifndef CLI_WIRE_H
#define CLI_WIRE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"

enum wire_type {
	WIRE_PROGRESS,
	WIRE_EVENT,
	WIRE_DONE,
	WIRE_FAILED,
};

/**
 * struct wire_message - one line from the agent
 * @type: which kind
 * @body: the object that came under ``progress``, ``event``, ``result`` or
 *	``error``; owned, release it with wire_message_done()
 */
struct wire_message {
	enum wire_type type;
	json_t *body;
};

/**
 * struct wire_buffer - bytes that came and are not yet a taken line
 * @data: the bytes; owned
 * @size: room in @data, at most PROTOCOL_ANSWER_MAX
 * @used: bytes in @data
 * @scanned: bytes at the start of @data known to hold no newline
 * @taken: bytes of the line that was taken last; they go with the next call
 */
struct wire_buffer {
	char *data;
	size_t size;
	size_t used;
	size_t scanned;
	size_t taken;
};

/**
 * wire_room - make room for bytes to come
 * @b: the buffer
 * @ret: where they go
 * @ret_size: how many may come, at least 1
 * @e: words on failure
 *
 * Return: 0, -EMSGSIZE when a line is longer than PROTOCOL_ANSWER_MAX, -ENOMEM.
 */
int wire_room(struct wire_buffer *b, char **ret, size_t *ret_size,
	      struct error *e);

/**
 * wire_came - tell that bytes came
 * @b: the buffer
 * @n: how many, at most what wire_room() allowed
 */
void wire_came(struct wire_buffer *b, size_t n);

/**
 * wire_line - take the next whole line
 * @b: the buffer
 * @ret: the line, without its newline and not terminated; valid up to the next
 *	call for @b
 * @ret_size: its length
 *
 * Return: 1 with a line, 0 when more bytes must come.
 */
int wire_line(struct wire_buffer *b, const char **ret, size_t *ret_size);

/**
 * wire_parse - take a line apart and hold it to the protocol
 * @line: the line, without its newline
 * @size: its length
 * @id: the id of the only request that is out
 * @ret: the message
 * @e: words on failure
 *
 * Return: 0, -EPROTO when the agent does not keep to the protocol.
 */
int wire_parse(const char *line, size_t size, int64_t id,
	       struct wire_message *ret, struct error *e);

/**
 * wire_status - the exit status that a WIRE_FAILED message carries
 * @m: the message
 *
 * Return: 1 to 4.
 */
int wire_status(const struct wire_message *m);

void wire_message_done(struct wire_message *m);
void wire_buffer_done(struct wire_buffer *b);

#define _cleanup_message_ __attribute__((cleanup(wire_message_done)))
#define _cleanup_buffer_ __attribute__((cleanup(wire_buffer_done)))

#endif
