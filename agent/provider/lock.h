/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holding one of the registry's locks for the rest of a block.
 */
#ifndef VMCRYPT_PROVIDER_LOCK_H
#define VMCRYPT_PROVIDER_LOCK_H

#include <pthread.h>

#include "provider/registry.h"

static inline pthread_mutex_t *registry_lock(struct provider_registry *registry)
{
	pthread_mutex_lock(&registry->lock);
	return &registry->lock;
}

static inline pthread_mutex_t *registry_lock_tpm(struct provider_registry *registry)
{
	pthread_mutex_lock(&registry->tpm_lock);
	return &registry->tpm_lock;
}

static inline void registry_unlock(pthread_mutex_t **lock)
{
	if (*lock)
		pthread_mutex_unlock(*lock);
	*lock = NULL;
}

#define _cleanup_unlock_ __attribute__((cleanup(registry_unlock), unused))

#endif
