/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the manager keeps: JSON documents of kinds, in DIR/manager.db.
 *
 * Narrow on purpose: whoever calls this knows no SQL, so that another database
 * can stand behind it. No document holds a secret in clear (manager/vault.h).
 *
 * Space is kept in reserve (DIR/reserve) and given back when the disk is full,
 * so that keys and events go on; store_get_status() warns until it is whole again.
 *
 * Any thread may call what is here.
 */
#ifndef MANAGER_STORE_H
#define MANAGER_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"

#define STORE_DOCUMENT_MAX	(256U * 1024)	/* bytes of one document as text */
#define STORE_KIND_MAX		32U		/* bytes of a kind or a field */
#define STORE_ID_MAX		256U		/* bytes of an id */
#define STORE_DEPTH_MAX		8U		/* transactions inside each other */

struct store;

/**
 * store_open() - open the database of a folder; make or migrate it
 * @dir: made with mode 0700 when it is missing, its parent is not
 * @ret: written only on success
 *
 * Return: 0; -EBUSY: another manager has it; -EBADMSG: not a database, or a
 * damaged one; -EPROTONOSUPPORT: another program's, or of a later version;
 * -ENOSPC; or what the files answered.
 */
int store_open(const char *dir, struct store **ret, struct error *e);
void store_free(struct store *store);

/**
 * store_begin() - begin a transaction; other threads wait until it ends
 *
 * They nest in one thread: an inner one that is rolled back leaves the outer one
 * as it was before. Without any, each call is a transaction of its own.
 */
int store_begin(struct store *s, struct error *e);

/**
 * store_commit() - end the innermost transaction; the outermost makes it durable
 *
 * On failure it has been rolled back: store_rollback() must not follow.
 */
int store_commit(struct store *s, struct error *e);

/** store_rollback() - end the innermost transaction and undo what it did */
void store_rollback(struct store *s);

/**
 * store_write() - @work in a transaction of its own, or within the one that is open
 * @work: what it did is undone when it fails; it may be called a second time, when the
 *	disk was full and the reserve has been given back since
 *
 * Return: what @work returned when that was negative; as store_begin() and store_commit().
 */
int store_write(struct store *s, int (*work)(struct store *s, void *userdata, struct error *e),
		void *userdata, struct error *e);

/**
 * store_get() - one document by its id
 * @ret: has the id as its member "id"; the caller owns it; written only on success
 *
 * Return: 0; -ENOENT.
 */
int store_get(struct store *s, const char *kind, const char *id, json_t **ret, struct error *e);

/**
 * store_find() - the first document, by name then id, whose @field is @value
 * @field: a member that holds a string: lower case, digits and '_'. An index serves
 *	name, cluster, host, vm, provider, user and serial; others are searched for
 *
 * Return: 0; -ENOENT.
 */
int store_find(struct store *s, const char *kind, const char *field, const char *value,
	       json_t **ret, struct error *e);

/**
 * store_list() - all documents of a kind whose @field is @value
 * @field: as in store_find(); NULL: all of the kind
 * @ret: an array in the order of name, then id; may be empty
 */
int store_list(struct store *s, const char *kind, const char *field, const char *value,
	       json_t **ret, struct error *e);

/**
 * store_insert() - add a document
 * @document: not changed; its "name", where there is one, is unique within the kind
 *
 * Return: 0; -EEXIST: the id or the name is taken; -EFBIG.
 */
int store_insert(struct store *s, const char *kind, const char *id, const json_t *document,
		 struct error *e);

/**
 * store_update() - replace a document as a whole
 *
 * Return: 0; -ENOENT; -EEXIST: the name is another's.
 */
int store_update(struct store *s, const char *kind, const char *id, const json_t *document,
		 struct error *e);

/** store_delete() - remove a document. Return: 0; -ENOENT. */
int store_delete(struct store *s, const char *kind, const char *id, struct error *e);

/**
 * store_delete_all() - remove all documents of a kind whose @field is @value
 *
 * Within a transaction all are removed or none.
 */
int store_delete_all(struct store *s, const char *kind, const char *field, const char *value,
		     struct error *e);

/**
 * store_hold() - have the store to oneself, if that is possible soon
 * @ms: how long to wait at most
 *
 * For a thread that must not wait for a disk: what it asks until store_let_go() waits
 * for nobody.
 *
 * Return: 0; -EBUSY: others had it all the time.
 */
int store_hold(struct store *s, unsigned int ms, struct error *e);
void store_let_go(struct store *s);

/**
 * struct store_status - for /about and the journal
 * @healthy: the reserve is whole and the last write went well
 * @reserve: bytes in reserve
 * @trouble: what is wrong and what to do when not healthy
 */
struct store_status {
	bool healthy;
	uint64_t reserve;
	char trouble[ERROR_TEXT_SIZE];
};

void store_get_status(struct store *s, struct store_status *ret);

/** struct store_copy - a copy that was made or read: bytes, SHA-256 in hexadecimal */
struct store_copy {
	uint64_t bytes;
	char sha256[65];
};

/**
 * store_backup() - write a copy of the database to a file, while others use it
 * @fd: where it stands; the caller's
 *
 * One consistent state: that at its end. The folder needs space for the copy
 * meanwhile. One call at a time.
 *
 * Return: 0; -ENOSPC; -EBADMSG: the copy is damaged; -EIO.
 */
int store_backup(struct store *s, int fd, struct store_copy *ret, struct error *e);

/**
 * store_restore() - make a folder's database out of such a copy
 * @dir: made when it is missing; may have no database
 *
 * Return: 0; -EEXIST; -EBADMSG: damaged, or no database of a manager. On failure no
 * database is there.
 */
int store_restore(const char *dir, int fd, struct store_copy *ret, struct error *e);

/** store_unrestore() - undo it, before anything was done with the database */
void store_unrestore(const char *dir);

#endif /* MANAGER_STORE_H */
