/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of what is done with keys: STATE/events, one JSON object a line.
 *
 * An operation has an intent, on stable storage before it takes effect, and an
 * outcome under the same id. Space for both is allocated beforehand, so that a
 * full disk keeps no VM from starting: the file itself has its whole extent
 * (fallocate(2) beyond its end), and a spare one of the same extent
 * (events.spare) takes its place when it is full; the full one becomes events.1.
 *
 * Any thread may call what is here.
 */
#ifndef HOST_EVENTS_H
#define HOST_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"

#define EVENTS_SIZE_MIN		(256U * 1024)	/* bytes, smallest bound of one file */
#define EVENTS_SIZE_DEFAULT	(4U << 20)	/* bytes */
#define EVENTS_SIZE_MAX		(64U << 20)	/* bytes */
#define EVENT_LINE_MAX		8192U		/* bytes, with the newline */
#define EVENT_USER_KERNEL	"kernel"	/* who asks by KEY_REQUEST */
#define EVENT_USER_AGENT	"agent"		/* what the agent does by itself */

struct events;

/**
 * struct event - what is about to be done
 * @user: who wants it
 * @operation: "disk.attach", "key.load" and so on
 * @object: name or path of what it is done to
 * @key: key locator, NULL when there is none yet
 * @vm: name of the VM, or NULL
 */
struct event {
	const char *user;
	const char *operation;
	const char *object;
	const char *key;
	const char *vm;
};

/**
 * struct event_record - an intent that waits for its outcome
 * @line: the intent, NULL when there is none
 */
struct event_record {
	json_t *line;
};

#define EVENT_RECORD_NULL ((struct event_record){ .line = NULL })

/**
 * events_open() - open or make the store, and put it in order
 * @dir: the state folder
 * @size_max: bytes of one file, EVENTS_SIZE_MIN to EVENTS_SIZE_MAX
 *
 * A last line that a crash has torn is cut off; an intent without an outcome
 * gets the outcome "unknown: agent restarted".
 *
 * Return: 0; -EBUSY when another agent has it open; or what the files answered.
 */
int events_open(const char *dir, uint64_t size_max, struct events **ret, struct error *e);
void events_free(struct events *events);

/**
 * events_begin() - record an intent
 * @ret: written only on success; ended by events_end()
 *
 * On return the intent is on stable storage. On failure the operation must not
 * take place.
 */
int events_begin(struct events *events, const struct event *event, struct event_record *ret,
		 struct error *e);

/* What became known on the way: @key and @vm replace the intent's, NULL leaves. */
void events_learn(struct event_record *record, const char *key, const char *vm);

/**
 * events_end() - record the outcome
 * @failure: what failed; NULL or an error that is not set: "ok"
 *
 * A record that has no intent is left alone.
 */
void events_end(struct events *events, struct event_record *record, const struct error *failure);

/** struct events_status - for `status` */
struct events_status {
	uint64_t bytes;			/* kept, both files */
	uint64_t reserved;		/* bytes allocated for lines to come */
	bool healthy;			/* both reserves stand, the last write went well */
	char trouble[ERROR_TEXT_SIZE];	/* what is wrong when not healthy */
};

void events_get_status(struct events *events, struct events_status *ret);

/**
 * events_each() - go over what is kept, oldest first
 * @limit: newest lines only; 0 for all
 * @line: a whole line without its newline; a negative return ends the walk
 * @ret_seq: number of the newest line seen; lines that come later have higher ones
 */
int events_each(struct events *events, uint64_t limit,
		int (*line)(const char *text, size_t size, void *userdata), void *userdata,
		uint64_t *ret_seq, struct error *e);

/**
 * events_watch() - be told of each new line
 * @seen: called under the store's lock: it hands on and returns; @seq is the
 *	line's number
 */
void events_watch(struct events *events,
		  void (*seen)(const char *text, size_t size, uint64_t seq, void *userdata),
		  void *userdata);

#endif /* HOST_EVENTS_H */
