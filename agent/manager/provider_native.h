/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the files that make and keep providers.
 */
#ifndef MANAGER_PROVIDER_NATIVE_H
#define MANAGER_PROVIDER_NATIVE_H

#include "manager/providers.h"

/**
 * struct provider_insertion - a provider's document on its way into the store
 */
struct provider_insertion {
	const char *id;
	const json_t *document;
};

/** provider_insert() - for store_write(); the first provider becomes the global default */
int provider_insert(struct store *store, void *insertion, struct error *e);

/** provider_default_put() - in a scope, whether or not there is one already */
int provider_default_put(struct store *store, const char *scope, const char *id,
			 struct error *e);

/** provider_default_drop() - for an object that goes: "cluster" or "host", and its UUID */
int provider_default_drop(struct store *store, const char *kind, const char *id,
			  struct error *e);

/** provider_native_document() - not backed up yet. @kdk: KDK_SIZE bytes */
int provider_native_document(struct manager *m, const char *id, const char *name,
			     const char *created, bool allow_unsealed, const struct secret *kdk,
			     json_t **ret, struct error *e);

#endif
