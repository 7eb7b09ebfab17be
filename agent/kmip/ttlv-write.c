// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/ttlv.h"

#include <string.h>

#define FIRST_SIZE 512

static void put32(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t) (value >> 24);
	p[1] = (uint8_t) (value >> 16);
	p[2] = (uint8_t) (value >> 8);
	p[3] = (uint8_t) value;
}

static int grow(struct ttlv_writer *w, size_t more)
{
	size_t size = w->buffer.size ? w->buffer.size : FIRST_SIZE;

	if (more > TTLV_MESSAGE_MAX - w->used)
		return -EMSGSIZE;
	if (w->buffer.data && more <= w->buffer.size - w->used)
		return 0;
	while (size - w->used < more)
		size *= 2;
	if (size > TTLV_MESSAGE_MAX)
		size = TTLV_MESSAGE_MAX;

	return secret_grow(&w->buffer, size);
}

/* Room for an item; its padding is zero, as a new secret is. NULL: failed. */
static uint8_t *put(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, size_t size)
{
	uint8_t *p;

	if (w->error)
		return NULL;
	if (size > TTLV_MESSAGE_MAX) {
		w->error = -EMSGSIZE;
		return NULL;
	}
	w->error = grow(w, TTLV_HEADER_SIZE + (size + 7) / 8 * 8);
	if (w->error)
		return NULL;
	p = w->buffer.data + w->used;
	put32(p, tag << 8 | type);
	put32(p + 4, (uint32_t) size);
	w->used += TTLV_HEADER_SIZE + (size + 7) / 8 * 8;
	return p + TTLV_HEADER_SIZE;
}

static void put_word(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, uint32_t value)
{
	uint8_t *p = put(w, tag, type, 4);

	if (p)
		put32(p, value);
}

static void put_words(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, uint64_t value)
{
	uint8_t *p = put(w, tag, type, 8);

	if (!p)
		return;
	put32(p, (uint32_t) (value >> 32));
	put32(p + 4, (uint32_t) value);
}

static void put_data(struct ttlv_writer *w, uint32_t tag, enum ttlv_type type, const void *data,
		     size_t size)
{
	uint8_t *p = put(w, tag, type, size);

	if (p && size)
		memcpy(p, data, size);
}

void ttlv_begin(struct ttlv_writer *w, uint32_t tag)
{
	size_t at = w->used;

	if (!w->error && w->n_open == TTLV_DEPTH_MAX)
		w->error = -EINVAL;
	if (put(w, tag, TTLV_STRUCTURE, 0))
		w->open[w->n_open++] = at;
}

void ttlv_end(struct ttlv_writer *w)
{
	size_t at;

	if (w->error)
		return;
	if (w->n_open == 0) {
		w->error = -EINVAL;
		return;
	}
	at = w->open[--w->n_open];
	put32(w->buffer.data + at + 4, (uint32_t) (w->used - at - TTLV_HEADER_SIZE));
}

void ttlv_put_integer(struct ttlv_writer *w, uint32_t tag, int32_t value)
{
	put_word(w, tag, TTLV_INTEGER, (uint32_t) value);
}

void ttlv_put_long(struct ttlv_writer *w, uint32_t tag, int64_t value)
{
	put_words(w, tag, TTLV_LONG, (uint64_t) value);
}

void ttlv_put_enumeration(struct ttlv_writer *w, uint32_t tag, uint32_t value)
{
	put_word(w, tag, TTLV_ENUMERATION, value);
}

void ttlv_put_boolean(struct ttlv_writer *w, uint32_t tag, bool value)
{
	put_words(w, tag, TTLV_BOOLEAN, value);
}

void ttlv_put_text(struct ttlv_writer *w, uint32_t tag, const char *text)
{
	put_data(w, tag, TTLV_TEXT, text, strlen(text));
}

void ttlv_put_secret_text(struct ttlv_writer *w, uint32_t tag, const struct secret *text)
{
	put_data(w, tag, TTLV_TEXT, text->data, text->size);
}

void ttlv_put_bytes(struct ttlv_writer *w, uint32_t tag, const void *data, size_t size)
{
	put_data(w, tag, TTLV_BYTES, data, size);
}

void ttlv_put_date(struct ttlv_writer *w, uint32_t tag, int64_t seconds)
{
	put_words(w, tag, TTLV_DATE, (uint64_t) seconds);
}

void ttlv_put_interval(struct ttlv_writer *w, uint32_t tag, uint32_t seconds)
{
	put_word(w, tag, TTLV_INTERVAL, seconds);
}

int ttlv_finish(struct ttlv_writer *w, struct secret *ret, struct error *e)
{
	if (!w->error && (w->n_open > 0 || w->used == 0))
		w->error = -EINVAL;
	if (w->error == -EMSGSIZE)
		return error_fail(e, EMSGSIZE, "Writing a KMIP message: it is of more than %zu bytes; put less into one",
				  TTLV_MESSAGE_MAX);
	if (w->error == -ENOMEM)
		return error_oom(e);
	if (w->error)
		return error_fail(e, w->error,
				  "Writing a KMIP message: its structures are not closed; this is a fault of vmcrypt");
	secret_shrink(&w->buffer, w->used);
	*ret = secret_take(&w->buffer);
	ttlv_writer_done(w);
	return 0;
}

void ttlv_writer_done(struct ttlv_writer *w)
{
	secret_done(&w->buffer);
	*w = TTLV_WRITER_NULL;
}
