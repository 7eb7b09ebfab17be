/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager's record of what is done with keys, hosts and rights.
 *
 * An operation has an intent, on stable storage before it takes effect, and an
 * outcome under the same id; an intent that the manager's end left open gets the
 * outcome "unknown: manager restarted" at the next start. Each row holds
 *
 *	seq time id user operation type object key phase result host vm data hash
 *
 * and hash = SHA-256(hash of the row before, 32 bytes ‖ the row without its hash
 * as compact JSON with sorted keys), in hexadecimal; before the first row stand
 * 32 zero bytes. The newest seq and hash are kept in a second table and in the file
 * DIR/events.head, so that removed newest rows show, too.
 *
 * Old rows can be cut away (record_cut()): the seq and hash of the newest of them stay
 * as the chain's anchor, and so they do in the data of an event "event.cut" behind it,
 * without which the anchor is not believed.
 *
 * The journal gets a copy of each row. Any thread may call what is here.
 */
#ifndef MANAGER_RECORD_H
#define MANAGER_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "manager/store.h"
#include "manager/store-event.h"

#define RECORD_ROW_MAX		16384U	/* bytes of a row as text */
#define RECORD_HASH_SIZE	EVENT_HASH_SIZE
#define RECORD_USER_MANAGER	"manager"	/* what the manager does by itself */
/** RECORD_TYPE_OPERATION - of what is done with keys and has no type of its own */
#define RECORD_TYPE_OPERATION	"com.vmware.vc.crypto.Operation"

/**
 * struct record_event - what is done, or was refused
 * @user: who wants it
 * @operation: "key.new", "host.join" and so on; a route where one was refused
 * @type: vSphere's name of the event that it was done, or NULL. An intent has none
 * @failed_type: of the event that it failed; or NULL
 * @object: "host:UUID" and so on, what it is done to; or NULL
 * @key: key ID, NULL when there is none (yet)
 * @host: UUID, or NULL
 * @vm: UUID, or NULL
 * @data: more, an object without secrets, up to 8 KiB as text; or NULL; not kept. Members
 *	that are called as secrets are, and texts of more than 1 KiB, are left out of the
 *	row all the same
 */
struct record_event {
	const char *user;
	const char *operation;
	const char *type;
	const char *failed_type;
	const char *object;
	const char *key;
	const char *host;
	const char *vm;
	const json_t *data;
};

/**
 * record_begin() - record an intent
 * @ret_id: for record_end(); written only on success
 *
 * On return the intent is on stable storage: so it is refused inside of a
 * transaction (-EDEADLK). On failure the operation must not take place.
 */
int record_begin(struct store *s, const struct record_event *ev, char ret_id[UUID_TEXT_SIZE],
		 struct error *e);

/**
 * record_begin_keys() - record_begin() for several keys: an intent for each, one write for all
 * @ev: of each but for @key and @data
 * @keys: objects with "provider" and "key"; what else they have is not recorded
 * @ret_ids: strings in the order of @keys, each for record_end(); the caller owns the array
 */
int record_begin_keys(struct store *s, const struct record_event *ev, const json_t *keys,
		      json_t **ret_ids, struct error *e);

/**
 * record_end() - record the outcome of an intent
 * @ev: as it has become; members that are NULL are taken from the intent
 * @failure: what failed; NULL or an error that is not set: "ok"
 *
 * Inside of a transaction it takes effect with it. A failure is in the journal; the
 * intent stays open then.
 *
 * Return: 0; -ENOENT: no such intent is open; -EIO and others.
 */
int record_end(struct store *s, const char *id, const struct record_event *ev,
	       const struct error *failure);

/**
 * record_note() - one row, phase "note": what has no intent, as refusals and alarms
 * @result: as text
 *
 * Inside of a transaction it takes effect with it, and is undone with it.
 */
int record_note(struct store *s, const struct record_event *ev, const char *result,
		struct error *e);

/**
 * struct record_filter - which rows; zero and NULL take all
 * @since_seq: rows after this one
 * @before_seq: rows before this one
 * @from: seconds since 1970, with it
 * @to: seconds since 1970, without it
 * @limit: so many rows at most
 * @newest: with @limit: the newest ones rather than the oldest
 */
struct record_filter {
	uint64_t since_seq;
	uint64_t before_seq;
	int64_t from;
	int64_t to;
	const char *id;
	const char *user;
	const char *operation;
	const char *type;
	const char *object;
	const char *key;
	const char *host;
	const char *vm;
	uint64_t limit;
	bool newest;
};

/**
 * record_each() - go over rows, oldest first
 * @f: NULL: all
 * @row: one row with its hash; a negative return ends the walk. No lock is held
 *
 * Rows that come while it walks are left out.
 *
 * Return: 0, what @row returned, or why they cannot be read.
 */
int record_each(struct store *s, const struct record_filter *f,
		int (*row)(const json_t *row, void *userdata), void *userdata, struct error *e);

/** record_last() - number of the newest row, 0: there is none */
int record_last(struct store *s, uint64_t *ret_seq, struct error *e);

/**
 * record_verify() - check the chain from the first row, or its anchor, to the newest
 * @ret_rows: rows that were right
 * @ret_bad_seq: the first seq that is missing, altered or out of order; 0: none
 * @ret_head: hash of the newest row, to be kept elsewhere; all outputs may be NULL,
 *	and are written when the return is 0 or -EBADMSG
 *
 * Return: 0; -EBADMSG: removed, altered or reordered rows.
 */
int record_verify(struct store *s, uint64_t *ret_rows, uint64_t *ret_bad_seq,
		  char ret_head[RECORD_HASH_SIZE], struct error *e);

/** RECORD_KEEP_MIN - rows that stay whatever their age */
#define RECORD_KEEP_MIN		100U
/** RECORD_CUT_MIN - fewer rows are not worth the two that a cut adds */
#define RECORD_CUT_MIN		100U
/** RECORD_CUT_MAX - rows that are cut away at a time, under one hold of the lock */
#define RECORD_CUT_MAX		1000U

/**
 * struct record_keep - how many old rows stay
 * @days: rows that are older may go; 0: of any age stay
 * @rows: the newest ones stay; 0: of any number stay
 */
struct record_keep {
	unsigned int days;
	uint64_t rows;
};

/**
 * record_cut() - cut away the oldest rows that both are right and need not stay
 * @now: seconds since 1970
 *
 * Rows from the oldest intent that is open on stay in any case. What is cut away has
 * been checked first, and is not cut away when it is broken.
 *
 * Return: 1: so many that there may be more; 0; -EBADMSG: broken; as record_begin().
 */
int record_cut(struct store *s, const struct record_keep *keep, int64_t now, struct error *e);

/** record_anchor() - number of the newest row that was cut away, 0: none was */
int record_anchor(struct store *s, uint64_t *ret_seq, struct error *e);

/**
 * record_watch() - be told of each new row, once it is durable
 * @seen: called in order and under the store's lock: it hands on and returns, and
 *	calls nothing of the store. NULL: nobody
 */
void record_watch(struct store *s, void (*seen)(const json_t *row, void *userdata),
		  void *userdata);

#endif /* MANAGER_RECORD_H */
