/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holding a mutex for the rest of a block:
 *
 *	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&object->lock);
 */
#ifndef VMCRYPT_COMMON_LOCK_H
#define VMCRYPT_COMMON_LOCK_H

#include <pthread.h>

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

#endif
