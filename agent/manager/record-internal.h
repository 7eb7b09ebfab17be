/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record from inside: the chain's hash and where its newest row is noted down.
 */
#ifndef MANAGER_RECORD_INTERNAL_H
#define MANAGER_RECORD_INTERNAL_H

#include "manager/record.h"
#include "manager/store-event.h"
#include "manager/store-internal.h"

#define RECORD_HEAD_FILE	"events.head"
#define RECORD_CUT		"event.cut"	/* the operation that cuts old rows away */
#define RECORD_HASH_ZERO	"0000000000000000000000000000000000000000000000000000000000000000"

/** record_hash() - of the row before, in hexadecimal, and of a row's text */
int record_hash(const char *previous, const char *row, size_t size, char ret[RECORD_HASH_SIZE],
		struct error *e);

/**
 * record_data_copy() - the data of an event without what looks like a secret
 *
 * Return: a new reference; NULL when out of memory.
 */
json_t *record_data_copy(const json_t *data);

/* record-head.c: under the lock */

/** anchor_read() - the row before the oldest that was kept; seq 0: none was cut away */
int anchor_read(struct store *s, struct event_mark *ret, struct error *e);

/** head_read_last() - of the last row that is there; seq 0 when there is none */
int head_read_last(struct store *s, struct event_mark *ret, struct error *e);

/** head_file_read() - from DIR/events.head. Return: 0; -ENOENT; -EBADMSG */
int head_file_read(struct store *s, struct event_mark *ret);
int head_file_write(struct store *s, const struct event_mark *head, struct error *e);

/**
 * head_open() - open the file, and see whether the three places agree
 * @ret_wrong: what does not, in static words; NULL: all is well
 *
 * Where they do not, the chain goes on from the place that has the most, so that the
 * break stays in it for ever.
 */
int head_open(struct store *s, const char **ret_wrong, struct error *e);

/**
 * record_check_oldest() - check the chain from its anchor to the row @to
 *
 * Return: 0; -EBADMSG: removed, altered or reordered rows; -ESTALE: rows were cut away
 * meanwhile. The lock must not be held.
 */
int record_check_oldest(struct store *s, const struct event_mark *to, struct error *e);

#endif /* MANAGER_RECORD_INTERNAL_H */
