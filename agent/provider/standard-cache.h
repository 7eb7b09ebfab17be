/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * KEKs that the manager gave, in the secure heap and nowhere else.
 *
 * Bounded: what was not asked for longest makes room, and is asked for at the
 * manager when it is needed again. May be called from any thread.
 */
#ifndef VMCRYPT_PROVIDER_STANDARD_CACHE_H
#define VMCRYPT_PROVIDER_STANDARD_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"

/** KEY_CACHE_MAX - keys at most: an eighth of the secure heap */
#define KEY_CACHE_MAX 4096

struct key_cache;

/** key_cache_new() - NULL: out of memory */
struct key_cache *key_cache_new(void);

/** key_cache_free() - erases all keys; NULL is left alone */
void key_cache_free(struct key_cache *cache);

/** key_cache_generation() - rises with each key_cache_remove() and key_cache_drop() */
uint64_t key_cache_generation(struct key_cache *cache);

/**
 * key_cache_put() - keep a copy of a key
 * @generation: as it was before the key was asked for: what was to be forgotten since then
 *	must not come back by an answer that was under way
 *
 * Return: 0, also when it is there already; -ESTALE (something was forgotten since),
 * -EKEYREJECTED (another key is there under this name, and stays), -ENOMEM.
 */
int key_cache_put(struct key_cache *cache, const uint8_t provider[UUID_SIZE], const char *key_id,
		  const struct secret *kek, uint64_t generation);

/**
 * key_cache_get() - a copy of a key; it counts as used now
 *
 * Return: 0; -ENOENT, -ENOMEM.
 */
int key_cache_get(struct key_cache *cache, const uint8_t provider[UUID_SIZE], const char *key_id,
		  struct secret *ret);

/**
 * key_cache_mark() - a number that the key's next use or putting changes
 *
 * Return: 0; -ENOENT.
 */
int key_cache_mark(struct key_cache *cache, const uint8_t provider[UUID_SIZE], const char *key_id,
		   uint64_t *ret_mark);

/**
 * key_cache_remove() - erase a key; one that is not there does not come any more
 * @mark: as it was told before, 0: it was not there
 *
 * Return: 0; -ENOENT, -EBUSY (used since).
 */
int key_cache_remove(struct key_cache *cache, const uint8_t provider[UUID_SIZE],
		     const char *key_id, uint64_t mark);

/** key_cache_drop() - erase the keys of a provider; NULL: all keys */
void key_cache_drop(struct key_cache *cache, const uint8_t *provider);

/** key_cache_count() - keys of a provider; NULL: all keys */
size_t key_cache_count(struct key_cache *cache, const uint8_t *provider);

/**
 * key_cache_newest() - the id of the key of a provider that was used last
 * @ret_key_id: KEY_ID_MAX + 1 bytes
 *
 * Return: 0; -ENOENT.
 */
int key_cache_newest(struct key_cache *cache, const uint8_t provider[UUID_SIZE],
		     char *ret_key_id);

#endif
