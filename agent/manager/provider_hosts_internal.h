/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The documents of provider_hosts.h: for the files provider_hosts*.c only. */
#ifndef MANAGER_PROVIDER_HOSTS_INTERNAL_H
#define MANAGER_PROVIDER_HOSTS_INTERNAL_H

#include "manager/provider_hosts.h"

#define KDK_KIND	"kdk"

bool given_is_gone(const json_t *given);
bool given_is_refused(const json_t *given);

/** given_set_gone() - the host has said that it has forgotten it */
int given_set_gone(struct store *store, json_t *given, struct error *e);

/** given_set_refused() - it has not. @text: why; NULL: it is to be asked again */
int given_set_refused(struct store *store, json_t *given, const char *text, struct error *e);

/**
 * given_put() - a host has a provider
 * @document: the provider's
 * @sealed: true, false, or null before the host has answered; taken over
 */
int given_put(struct store *store, const char *host, const json_t *document, json_t *sealed,
	      struct error *e);

/** provider_use_vouched() - whether a host that had the provider has said that the disk uses it */
bool provider_use_vouched(struct store *store, const char *disk, const char *provider);

#endif
