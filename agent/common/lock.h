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

static inline struct timespec timespec_of_ms(int64_t ms)
{
	return (struct timespec) {
		.tv_sec = (time_t) (ms / 1000),
		.tv_nsec = (long) (ms % 1000) * 1000000,
	};
}

/** mutex_lock() - lock it, and return it for the variable that unlocks it */
static inline pthread_mutex_t *mutex_lock(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	return mutex;
}

/** mutex_lock_until() - the same, NULL when it is not had before a deadline, as below */
static inline pthread_mutex_t *mutex_lock_until(pthread_mutex_t *mutex, int64_t deadline_ms)
{
	const struct timespec until = timespec_of_ms(deadline_ms);

	return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until) == 0 ? mutex : NULL;
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
	const struct timespec until = timespec_of_ms(deadline_ms);

	return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &until) == 0;
}

#endif
