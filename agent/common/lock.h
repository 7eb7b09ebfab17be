/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holding a mutex for the rest of a block:
 *
 *	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&object->lock);
 *
 * and waiting under it, by a clock that nobody sets.
 */
#ifndef VMCRYPT_COMMON_LOCK_H
#define VMCRYPT_COMMON_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/** mutex_lock() - lock it, and return it for the variable that unlocks it */
static inline pthread_mutex_t *mutex_lock(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	return mutex;
}

/** mutex_unlock() - unlock it; the variable becomes NULL, and NULL is left alone */
static inline void mutex_unlock(pthread_mutex_t **mutex)
{
	if (*mutex)
		pthread_mutex_unlock(*mutex);
	*mutex = NULL;
}

#define _cleanup_unlock_ __attribute__((cleanup(mutex_unlock), unused))

/**
 * cond_wait_until() - pthread_cond_wait(), to a deadline
 * @mutex: must hold
 * @deadline_ms: as time_monotonic_ms() has it
 *
 * Return: false when the deadline is past; true: look again.
 */
static inline bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex,
				   int64_t deadline_ms)
{
	const struct timespec until = {
		.tv_sec = (time_t) (deadline_ms / 1000),
		.tv_nsec = (long) (deadline_ms % 1000) * 1000000,
	};

	return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &until) == 0;
}

#endif
