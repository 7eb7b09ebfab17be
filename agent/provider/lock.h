/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holding one of the registry's locks for the rest of a block.
 */
#ifndef VMCRYPT_PROVIDER_LOCK_H
#define VMCRYPT_PROVIDER_LOCK_H

#include "common/lock.h"
#include "provider/registry.h"

static inline pthread_mutex_t *registry_lock(struct provider_registry *registry)
{
	return mutex_lock(&registry->lock);
}

static inline pthread_mutex_t *registry_lock_tpm(struct provider_registry *registry)
{
	return mutex_lock(&registry->tpm_lock);
}

#endif
