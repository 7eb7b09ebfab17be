// SPDX-License-Identifier: LGPL-2.1-or-later
#include "provider/standard-cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"
#include "crypto/locator.h"

struct entry {
	uint8_t provider[UUID_SIZE];
	char key_id[KEY_ID_MAX + 1];
	struct secret kek;
	uint64_t used;
};

/* @clock counts uses: who has the smallest @used makes room. */
struct key_cache {
	pthread_mutex_t lock;
	struct entry *entries;
	size_t count, room;
	uint64_t clock;
	uint64_t generation;
};

struct key_cache *key_cache_new(void)
{
	struct key_cache *cache = calloc(1, sizeof(*cache));

	if (cache)
		pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

void key_cache_free(struct key_cache *cache)
{
	if (!cache)
		return;
	key_cache_drop(cache, NULL);
	pthread_mutex_destroy(&cache->lock);
	free(cache->entries);
	free(cache);
}

static struct entry *find(struct key_cache *cache, const uint8_t *provider, const char *key_id)
{
	for (size_t i = 0; i < cache->count; i++)
		if (memcmp(cache->entries[i].provider, provider, UUID_SIZE) == 0 &&
		    strcmp(cache->entries[i].key_id, key_id) == 0)
			return &cache->entries[i];
	return NULL;
}

/* The last one moves to its place. */
static void forget(struct key_cache *cache, struct entry *entry)
{
	struct entry *last = &cache->entries[--cache->count];

	secret_done(&entry->kek);
	if (entry != last)
		*entry = *last;
	*last = (struct entry) { .kek = SECRET_NULL };
}

static void evict_one(struct key_cache *cache)
{
	struct entry *oldest = &cache->entries[0];

	for (size_t i = 1; i < cache->count; i++)
		if (cache->entries[i].used < oldest->used)
			oldest = &cache->entries[i];
	forget(cache, oldest);
}

static int make_room(struct key_cache *cache)
{
	size_t room = cache->room == 0 ? 16 : cache->room * 2;
	struct entry *larger;

	if (cache->count == KEY_CACHE_MAX)
		evict_one(cache);
	if (cache->count < cache->room)
		return 0;
	larger = reallocarray(cache->entries, room, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	cache->entries = larger;
	cache->room = room;
	return 0;
}

uint64_t key_cache_generation(struct key_cache *cache)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&cache->lock);

	return cache->generation;
}

int key_cache_put(struct key_cache *cache, const uint8_t provider[UUID_SIZE], const char *key_id,
		  const struct secret *kek, uint64_t generation)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&cache->lock);
	struct entry *entry = find(cache, provider, key_id);
	struct secret copy = SECRET_NULL;
	int r;

	if (generation != cache->generation)
		return -ESTALE;
	if (entry && !secret_equal(&entry->kek, kek))
		return -EKEYREJECTED;
	if (entry) {
		entry->used = ++cache->clock;
		return 0;
	}
	if (strlen(key_id) > KEY_ID_MAX)
		return -EINVAL;
	r = secret_copy(kek->data, kek->size, &copy);
	if (r < 0)
		return r;
	r = make_room(cache);
	if (r < 0) {
		secret_done(&copy);
		return r;
	}
	entry = &cache->entries[cache->count++];
	*entry = (struct entry) { .kek = copy, .used = ++cache->clock };
	memcpy(entry->provider, provider, UUID_SIZE);
	memcpy(entry->key_id, key_id, strlen(key_id) + 1);
	return 0;
}

int key_cache_get(struct key_cache *cache, const uint8_t provider[UUID_SIZE], const char *key_id,
		  struct secret *ret)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&cache->lock);
	struct entry *entry = find(cache, provider, key_id);

	if (!entry)
		return -ENOENT;
	entry->used = ++cache->clock;
	return secret_copy(entry->kek.data, entry->kek.size, ret);
}

int key_cache_mark(struct key_cache *cache, const uint8_t provider[UUID_SIZE], const char *key_id,
		   uint64_t *ret_mark)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&cache->lock);
	const struct entry *entry = find(cache, provider, key_id);

	if (!entry)
		return -ENOENT;
	*ret_mark = entry->used;
	return 0;
}

int key_cache_remove(struct key_cache *cache, const uint8_t provider[UUID_SIZE],
		     const char *key_id, uint64_t mark)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&cache->lock);
	struct entry *entry = find(cache, provider, key_id);

	if (entry && entry->used != mark)
		return -EBUSY;
	cache->generation++;
	if (!entry)
		return -ENOENT;
	forget(cache, entry);
	return 0;
}

static bool is_of(const struct entry *entry, const uint8_t *provider)
{
	return !provider || memcmp(entry->provider, provider, UUID_SIZE) == 0;
}

void key_cache_drop(struct key_cache *cache, const uint8_t *provider)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&cache->lock);

	cache->generation++;
	/* From the end: what moves to a freed place was looked at already. */
	for (size_t i = cache->count; i-- > 0;)
		if (is_of(&cache->entries[i], provider))
			forget(cache, &cache->entries[i]);
}

size_t key_cache_count(struct key_cache *cache, const uint8_t *provider)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&cache->lock);
	size_t n = 0;

	for (size_t i = 0; i < cache->count; i++)
		n += is_of(&cache->entries[i], provider);
	return n;
}

int key_cache_newest(struct key_cache *cache, const uint8_t provider[UUID_SIZE], char *ret_key_id)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&cache->lock);
	const struct entry *newest = NULL;

	for (size_t i = 0; i < cache->count; i++)
		if (is_of(&cache->entries[i], provider) &&
		    (!newest || cache->entries[i].used > newest->used))
			newest = &cache->entries[i];
	if (!newest)
		return -ENOENT;
	memcpy(ret_key_id, newest->key_id, sizeof(newest->key_id));
	return 0;
}
