/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TTLV, the encoding of KMIP messages (KMIP 1.4 section 9.1, 2.1 section 10):
 * tag of 3 bytes, type of 1, length of 4, value padded to a multiple of 8; all
 * big-endian.
 *
 * The reader walks over a buffer that stays the caller's, makes no copy and
 * trusts no length. The writer's buffer is a secret, for requests and answers
 * carry keys.
 */
#ifndef VMCRYPT_KMIP_TTLV_H
#define VMCRYPT_KMIP_TTLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"

/** TTLV_DEPTH_MAX - structures inside each other; KMIP's own messages need 9 */
#define TTLV_DEPTH_MAX 16
/** TTLV_HEADER_SIZE - bytes of tag, type and length */
#define TTLV_HEADER_SIZE 8
/** TTLV_MESSAGE_MAX - largest message, bytes: what a secret holds */
#define TTLV_MESSAGE_MAX SECRET_MAX

/**
 * enum ttlv_type - KMIP 1.4 section 9.1.1.2; the last one came with 2.0
 */
enum ttlv_type {
	TTLV_STRUCTURE		= 0x01,
	TTLV_INTEGER		= 0x02,
	TTLV_LONG		= 0x03,
	TTLV_BIG		= 0x04,
	TTLV_ENUMERATION	= 0x05,
	TTLV_BOOLEAN		= 0x06,
	TTLV_TEXT		= 0x07,
	TTLV_BYTES		= 0x08,
	TTLV_DATE		= 0x09,
	TTLV_INTERVAL		= 0x0a,
	TTLV_DATE_EXTENDED	= 0x0b,
};

/**
 * struct ttlv_reader - the rest of a row of items
 * @at: the next item, in the caller's buffer
 * @left: bytes
 * @depth: structures around them
 */
struct ttlv_reader {
	const uint8_t *at;
	size_t left;
	unsigned int depth;
};

/**
 * struct ttlv_item - one item
 * @tag: 24 bits
 * @type: enum ttlv_type, or a type of a later version
 * @depth: structures around it
 * @size: bytes of the value without its padding
 * @value: in the caller's buffer
 */
struct ttlv_item {
	uint32_t tag;
	uint8_t type;
	unsigned int depth;
	size_t size;
	const uint8_t *value;
};

/**
 * ttlv_reader_init() - read the @size bytes at @data, which stay the caller's
 */
void ttlv_reader_init(struct ttlv_reader *r, const void *data, size_t size);

/**
 * ttlv_next() - step over one item
 *
 * Checks what the item says of itself: that it ends inside of what is around
 * it, that a type of fixed size has this size, that the padding is zero. A type
 * that this version does not know is no error, for a later one may have it.
 *
 * Return: 1 (*@ret is an item), 0 (the end), -EBADMSG.
 */
int ttlv_next(struct ttlv_reader *r, struct ttlv_item *ret, struct error *e);

/**
 * ttlv_enter() - read the items inside of a structure
 *
 * Return: 0; -EBADMSG (no structure, or more than TTLV_DEPTH_MAX of them).
 */
int ttlv_enter(const struct ttlv_item *item, struct ttlv_reader *ret, struct error *e);

/**
 * ttlv_find() - the one item with a tag among the rest of a row
 * @r: stays where it is
 *
 * Items with other tags are skipped, wherever they stand.
 *
 * Return: 1, 0 (none), -EBADMSG (a second one, or a damaged row).
 */
int ttlv_find(const struct ttlv_reader *r, uint32_t tag, struct ttlv_item *ret, struct error *e);

/**
 * ttlv_need() - ttlv_find() of an item that must be there
 * @what: its name, for the error
 */
int ttlv_need(const struct ttlv_reader *r, uint32_t tag, const char *what, struct ttlv_item *ret,
	      struct error *e);

/*
 * Values; a wrong type is -EBADMSG. Dates are seconds since 1970; what an extended
 * one (KMIP 2.1 section 10.1.2) has below a second is dropped.
 */
int ttlv_integer(const struct ttlv_item *item, int32_t *ret, struct error *e);
int ttlv_long(const struct ttlv_item *item, int64_t *ret, struct error *e);
int ttlv_enumeration(const struct ttlv_item *item, uint32_t *ret, struct error *e);
int ttlv_boolean(const struct ttlv_item *item, bool *ret, struct error *e);
int ttlv_date(const struct ttlv_item *item, int64_t *ret, struct error *e);
int ttlv_bytes(const struct ttlv_item *item, const uint8_t **ret, size_t *ret_size,
	       struct error *e);

/**
 * ttlv_text() - copy a text: UTF-8 without NUL
 * @ret: @max bytes, ends in NUL
 *
 * Return: 0; -EBADMSG (no text, or not UTF-8), -EMSGSIZE (longer than @max - 1).
 */
int ttlv_text(const struct ttlv_item *item, char *ret, size_t max, struct error *e);

/**
 * ttlv_message_size() - what follows the header of a message
 * @header: the first 8 bytes that came
 * @tag: which message is awaited
 * @max: largest message that is wanted, bytes, header included
 * @ret: bytes behind the header
 *
 * Return: 0; -EBADMSG (another tag, no structure, a length that is no multiple
 * of 8), -EMSGSIZE.
 */
int ttlv_message_size(const uint8_t header[TTLV_HEADER_SIZE], uint32_t tag, size_t max,
		      size_t *ret, struct error *e);

/**
 * struct ttlv_writer - a message in the making
 * @buffer: grows
 * @used: bytes of it
 * @open: where the structures begin that have not ended
 * @n_open: how many
 * @error: the first failure, negative errno; from then on nothing is written
 */
struct ttlv_writer {
	struct secret buffer;
	size_t used;
	size_t open[TTLV_DEPTH_MAX];
	unsigned int n_open;
	int error;
};

#define TTLV_WRITER_NULL ((struct ttlv_writer) { .buffer = SECRET_NULL })

/* The failures of all these are kept, and told by ttlv_finish(). */
void ttlv_begin(struct ttlv_writer *w, uint32_t tag);
void ttlv_end(struct ttlv_writer *w);
void ttlv_put_integer(struct ttlv_writer *w, uint32_t tag, int32_t value);
void ttlv_put_long(struct ttlv_writer *w, uint32_t tag, int64_t value);
void ttlv_put_enumeration(struct ttlv_writer *w, uint32_t tag, uint32_t value);
void ttlv_put_boolean(struct ttlv_writer *w, uint32_t tag, bool value);
void ttlv_put_text(struct ttlv_writer *w, uint32_t tag, const char *text);
void ttlv_put_secret_text(struct ttlv_writer *w, uint32_t tag, const struct secret *text);
void ttlv_put_bytes(struct ttlv_writer *w, uint32_t tag, const void *data, size_t size);
void ttlv_put_date(struct ttlv_writer *w, uint32_t tag, int64_t seconds);
void ttlv_put_interval(struct ttlv_writer *w, uint32_t tag, uint32_t seconds);

/**
 * ttlv_finish() - take the message out of the writer
 * @ret: written only on success; the caller owns it
 *
 * Return: 0; -ENOMEM, -EMSGSIZE (more than TTLV_MESSAGE_MAX), -EINVAL (a
 * structure is open or was never opened, or too deep: a fault of the caller).
 */
int ttlv_finish(struct ttlv_writer *w, struct secret *ret, struct error *e);

/**
 * ttlv_writer_done() - erase and free; the writer becomes empty
 */
void ttlv_writer_done(struct ttlv_writer *w);

#define _cleanup_ttlv_writer_ __attribute__((cleanup(ttlv_writer_done)))

#endif
