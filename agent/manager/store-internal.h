/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store from inside, whatever database it stands on: transactions, the space in
 * reserve, and what the record of events keeps in memory.
 */
#ifndef MANAGER_STORE_INTERNAL_H
#define MANAGER_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/lock.h"
#include "manager/store.h"

#define STORE_FILE		"manager.db"
#define STORE_RESERVE_FILE	"reserve"
#define STORE_RESERVE_SIZE	((uint64_t)8 << 20)	/* bytes: thousands of events */
#define STORE_APPLICATION_ID	0x766d636d		/* "vmcm" */

struct database;	/* store-sql.h */

/**
 * struct store_record - the newest rows on their way out
 * @fd: DIR/events.head
 * @pending: rows of the transaction that is open
 * @marks: how many rows there were when each of its levels began
 */
struct store_record {
	int fd;
	json_t *pending;
	size_t marks[STORE_DEPTH_MAX];
	void (*seen)(const json_t *row, void *userdata);
	void *userdata;
};

/**
 * struct store
 * @lock: recursive; a transaction holds it once for each of its levels
 * @waiting: threads that want it
 * @depth: levels of the transaction that is open; under the lock
 * @dir_fd: the folder; its flock(2) keeps other managers out
 * @db: the connection
 * @reserve: bytes that the reserve has
 * @released: how often it has been given back
 * @trouble: why the last write failed; empty when it went well
 */
struct store {
	pthread_mutex_t lock;
	atomic_uint waiting;
	unsigned int depth;
	int dir_fd;
	char *dir;
	struct database *db;
	uint64_t reserve;
	unsigned int released;
	char trouble[ERROR_TEXT_SIZE];
	struct store_record record;
};

static inline pthread_mutex_t *store_lock(struct store *s)
{
	pthread_mutex_t *lock;

	atomic_fetch_add(&s->waiting, 1);
	lock = mutex_lock(&s->lock);
	atomic_fetch_sub(&s->waiting, 1);
	return lock;
}

/**
 * store_rest() - let others have the lock, between two holds of a long walk
 *
 * A mutex goes to whoever comes first: who takes it again at once keeps it from those
 * that have waited.
 */
void store_rest(struct store *s);

/* store-schema.c */
int schema_open(struct store *s, struct error *e);

/* store-reserve.c */

/** reserve_fill() - make the reserve whole when there is room for it and as much again */
void reserve_fill(struct store *s);

/** reserve_is_needed() - whether the next transaction may not find the space it needs */
bool reserve_is_needed(const struct store *s);

/** reserve_release() - give it back. Return: whether there was any. */
bool reserve_release(struct store *s);

/* record.c, for store.c */
int record_open(struct store *s, struct error *e);
void record_close(struct store *s);
void record_rolled_back(struct store *s, unsigned int depth);

/** record_committed() - Return: rows for record_journal(), which needs no lock */
json_t *record_committed(struct store *s);
void record_journal(json_t *rows);

#endif /* MANAGER_STORE_INTERNAL_H */
