/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store: opening, transactions, and how it is. */
#include "manager/store-sql.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/log.h"

#define REST_NS	100000	/* for a thread that waits to wake up and take the lock */
#define RESTS	500	/* on a machine that is busy */

static int make_lock(struct store *s, struct error *e)
{
	pthread_mutexattr_t attr;
	int r = pthread_mutexattr_init(&attr);

	if (r == 0)
		r = pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	if (r == 0)
		r = pthread_mutex_init(&s->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return r ? error_fail(e, r, "Cannot make a lock: %s", strerror(r)) : 0;
}

static int open_dir(struct store *s, struct error *e)
{
	int r = file_make_dir(s->dir, 0700, e);

	if (r < 0)
		return r;
	s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return error_fail(e, errno, "Cannot open the folder %s: %s", s->dir,
				  strerror(errno));
	if (flock(s->dir_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_fail(e, EBUSY,
				  "Another manager has the folder %s open: end it or use another folder",
				  s->dir);
	return error_fail(e, errno, "Cannot lock the folder %s: %s", s->dir, strerror(errno));
}

int store_open(const char *dir, struct store **ret, struct error *e)
{
	struct store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_oom(e);
	s->dir_fd = -1;
	s->record.fd = -1;
	r = make_lock(s, e);
	if (r < 0) {
		free(s);
		return r;
	}
	s->dir = strdup(dir);
	r = s->dir ? open_dir(s, e) : error_oom(e);
	if (r == 0)
		r = schema_open(s, e);
	if (r == 0)
		r = record_open(s, e);
	if (r < 0) {
		store_free(s);
		return r;
	}
	reserve_fill(s);
	*ret = s;
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	sql_close(store);
	record_close(store);
	close_fd(store->dir_fd);
	pthread_mutex_destroy(&store->lock);
	free(store->dir);
	free(store);
}

/* SQLite gives a transaction up whose commit finds the disk full: so the reserve goes
 * before that. */
static int begin_outermost(struct store *s, struct error *e)
{
	if (reserve_is_needed(s))
		reserve_release(s);
	return sql_run(s, "BEGIN IMMEDIATE", e);
}

int store_begin(struct store *s, struct error *e)
{
	int r;

	store_lock(s);
	if (s->depth == STORE_DEPTH_MAX)
		r = error_fail(e, E2BIG, "Too many transactions inside each other");
	else if (s->depth > 0)
		r = sql_run(s, "SAVEPOINT inner", e);
	else
		r = begin_outermost(s, e);
	if (r < 0) {
		pthread_mutex_unlock(&s->lock);
		return r;
	}
	s->record.marks[s->depth] = json_array_size(s->record.pending);
	s->depth++;
	return 0;
}

/* Under the lock: undo the innermost level. */
static void undo(struct store *s)
{
	struct error e = ERROR_NULL;
	int r = 0;

	s->depth--;
	record_rolled_back(s, s->depth);
	if (sqlite3_get_autocommit(s->db->sqlite))
		return;
	if (s->depth == 0) {
		r = sql_run(s, "ROLLBACK", &e);
	} else {
		r = sql_run(s, "ROLLBACK TO inner", &e);
		if (r == 0)
			r = sql_run(s, "RELEASE inner", &e);
	}
	if (r < 0)
		log_error("Cannot undo a transaction: %s", e.text);
}

/* Under the lock, the outermost level: make it durable. */
static int finish(struct store *s, struct error *e)
{
	struct error own = ERROR_NULL;
	int r = sql_run(s, "COMMIT", &own);

	if (r < 0) {
		snprintf(s->trouble, sizeof(s->trouble), "%s", own.text);
		if (e)
			*e = own;
		undo(s);
		return r;
	}
	s->trouble[0] = '\0';
	s->depth = 0;
	return 0;
}

int store_commit(struct store *s, struct error *e)
{
	json_t *rows = NULL;
	int r;

	pthread_mutex_lock(&s->lock);
	if (s->depth == 0) {
		pthread_mutex_unlock(&s->lock);
		return error_fail(e, EINVAL, "There is no transaction to commit");
	}
	if (s->depth == 1) {
		r = finish(s, e);
		if (r == 0)
			rows = record_committed(s);
		reserve_fill(s);
	} else {
		r = sql_run(s, "RELEASE inner", e);
		if (r < 0)
			undo(s);
		else
			s->depth--;
	}
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->lock);
	record_journal(rows);
	return r;
}

void store_rollback(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->depth > 0) {
		undo(s);
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

void store_rest(struct store *s)
{
	const struct timespec some = { .tv_nsec = REST_NS };
	int i;

	/* Those that come meanwhile are no reason to rest for ever. */
	for (i = 0; i < RESTS && atomic_load(&s->waiting) > 0; i++)
		nanosleep(&some, NULL);
}

int store_hold(struct store *s, unsigned int ms, struct error *e)
{
	struct timespec until;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	atomic_fetch_add(&s->waiting, 1);
	r = pthread_mutex_clocklock(&s->lock, CLOCK_MONOTONIC, &until);
	atomic_fetch_sub(&s->waiting, 1);
	return r == 0 ? 0 : error_fail(e, EBUSY, "%s/" STORE_FILE " is busy: try again", s->dir);
}

void store_let_go(struct store *s)
{
	pthread_mutex_unlock(&s->lock);
}

static bool was_released(struct store *s, unsigned int before)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);

	return s->released != before;
}

/* @ret_again: whether the disk was full, and the reserve may help now. Within a larger
 * transaction only its owner can try again. */
static int write_once(struct store *s, int (*work)(struct store *s, void *userdata, struct error *e),
		      void *userdata, bool *ret_again, struct error *e)
{
	unsigned int released;
	bool outermost;
	int r = store_begin(s, e);

	if (r < 0)
		return r;
	released = s->released;
	outermost = s->depth == 1;
	r = work(s, userdata, e);
	if (r < 0)
		store_rollback(s);
	else
		r = store_commit(s, e);
	*ret_again = r == -ENOSPC && outermost && was_released(s, released);
	return r;
}

int store_write(struct store *s, int (*work)(struct store *s, void *userdata, struct error *e),
		void *userdata, struct error *e)
{
	struct error own = ERROR_NULL;
	bool again = false;
	int r = write_once(s, work, userdata, &again, &own);

	if (again) {
		own = ERROR_NULL;
		r = write_once(s, work, userdata, &again, &own);
	}
	if (r < 0 && e)
		*e = own;
	return r;
}

void store_get_status(struct store *s, struct store_status *ret)
{
	_cleanup_unlock_ pthread_mutex_t *lock = store_lock(s);

	reserve_fill(s);
	*ret = (struct store_status){
		.healthy = s->reserve >= STORE_RESERVE_SIZE && !s->trouble[0],
		.reserve = s->reserve,
	};
	if (s->trouble[0])
		snprintf(ret->trouble, sizeof(ret->trouble), "%s", s->trouble);
	else if (!ret->healthy)
		snprintf(ret->trouble, sizeof(ret->trouble),
			 "%s has only %llu of %llu KiB in reserve: free space on its file system, else a full disk will stop operations on keys",
			 s->dir, (unsigned long long)(s->reserve >> 10),
			 (unsigned long long)(STORE_RESERVE_SIZE >> 10));
}
