/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which keys there are, and who uses them. Key material is nowhere here.
 */
#ifndef MANAGER_KEYS_USE_H
#define MANAGER_KEYS_USE_H

#include <jansson.h>
#include <stdbool.h>

#include "common/errors.h"

struct manager;
struct store;

#define KEY_KIND "key"
/** KEY_DOCUMENT_SIZE - bytes of "PROVIDER/KEY-ID", with the NUL */
#define KEY_DOCUMENT_SIZE 170

/** key_document_id() - the id of a key's document */
void key_document_id(const char *provider, const char *key, char ret[KEY_DOCUMENT_SIZE]);

/** disk_uses_key() - whether a disk has a key of a provider. @key: NULL: any */
bool disk_uses_key(const json_t *disk, const char *provider, const char *key);

/** keys_get() - the document of a key. Return: 0; -ENOENT */
int keys_get(struct manager *m, const char *provider, const char *key, json_t **ret,
	     struct error *e);

/** keys_check_unused() - whether no disk and no host has a key. Return: 0; -EBUSY, the text says who */
int keys_check_unused(struct store *store, const char *provider, const char *key, struct error *e);

/**
 * keys_settle() - a disk is there for which keys were made
 * @keys: as disk.report has them; what is not on the list is left alone
 *
 * In a transaction of the caller's.
 */
int keys_settle(struct store *store, const json_t *keys, struct error *e);

/**
 * keys_check_provider_unused() - whether no disk and no host has a key of a provider
 *
 * Return: 0; -EBUSY, the text says who.
 */
int keys_check_provider_unused(struct store *store, const char *id, const char *name,
			       struct error *e);

/**
 * keys_list() - keys, with their state at the key server, and who uses them
 * @provider: only those of one, NULL: all
 * @vm: only those for one VM, NULL: all
 * @ret: as openapi.yaml has Keys
 *
 * A key server that cannot be asked fails nothing: the state is null then, as it is for what
 * could not be asked for in some seconds.
 */
int keys_list(struct manager *m, const char *provider, const char *vm, json_t **ret,
	      struct error *e);

/** keys_show() - one of them. Return: 0; -ENOENT */
int keys_show(struct manager *m, const char *provider, const char *key, json_t **ret,
	      struct error *e);

/**
 * keys_remove() - forget a key: on the hosts, then here; on a host that is away when it
 * comes (keys_withdraw())
 * @destroy: also revoke and destroy it at the key server
 *
 * Return: 0; -EBUSY (in use, by what the manager or a host knows; to be destroyed, and a host
 * that may have a disk with it is away or has not told of its disks), -ENOENT.
 */
int keys_remove(struct manager *m, const char *provider, const char *key, bool destroy,
		struct error *e);

/**
 * keys_register() - take in a key that is at the key server already, for a VM
 *
 * For a manager that was made anew, and disks that came from elsewhere. The key is fetched
 * once.
 */
int keys_register(struct manager *m, const char *provider, const char *key, const char *vm,
		  struct error *e);

#endif
