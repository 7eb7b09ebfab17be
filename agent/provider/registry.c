// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The list of providers: finding, adding, removing, showing.
 */
#include "provider/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "provider/lock.h"
#include "provider/standard-cache.h"

int provider_registry_open(const struct provider_settings *settings,
			   struct provider_registry **ret, struct error *e)
{
	struct provider_registry *registry;
	int r;

	registry = calloc(1, sizeof(*registry));
	if (!registry)
		return error_oom(e);
	pthread_mutex_init(&registry->lock, NULL);
	pthread_mutex_init(&registry->tpm_lock, NULL);
	registry->dir = strdup(settings->dir);
	registry->tcti = strdup(settings->tcti ? settings->tcti : TPM_TCTI_DEFAULT);
	registry->in_use = settings->in_use;
	registry->attached = settings->attached;
	registry->key_in_use = settings->key_in_use;
	registry->make = settings->make;
	registry->fetch = settings->fetch;
	registry->keys = key_cache_new();
	registry->userdata = settings->userdata;

	r = registry->dir && registry->tcti && registry->keys ? registry_load(registry, e) : error_oom(e);
	if (r < 0) {
		provider_registry_free(registry);
		return r;
	}
	*ret = registry;
	return 0;
}

void provider_registry_free(struct provider_registry *registry)
{
	size_t i;

	if (!registry)
		return;
	for (i = 0; i < registry->count; i++)
		provider_free(registry->providers[i]);
	key_cache_free(registry->keys);
	pthread_mutex_destroy(&registry->lock);
	pthread_mutex_destroy(&registry->tpm_lock);
	free(registry->dir);
	free(registry->tcti);
	free(registry);
}

void provider_registry_forget(struct provider_registry *registry)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	size_t i;

	for (i = 0; i < registry->count; i++)
		secret_done(&registry->providers[i]->cached);
}

struct provider *registry_find_id(struct provider_registry *registry,
				  const uint8_t id[UUID_SIZE])
{
	size_t i;

	for (i = 0; i < registry->count; i++)
		if (memcmp(registry->providers[i]->id, id, UUID_SIZE) == 0)
			return registry->providers[i];
	return NULL;
}

struct provider *registry_find(struct provider_registry *registry, const char *name)
{
	uint8_t id[UUID_SIZE];
	size_t i;

	for (i = 0; i < registry->count; i++)
		if (strcmp(registry->providers[i]->name, name) == 0)
			return registry->providers[i];
	return uuid_parse_text(name, id) == 0 ? registry_find_id(registry, id) : NULL;
}

int registry_need(struct provider_registry *registry, const char *name, struct provider **ret,
		  struct error *e)
{
	struct provider *provider;

	if (registry->count == 0)
		return error_fail(e, ENOENT, "This host has no key provider: make one with vmcryptctl "
				  "provider create native NAME");
	if (name)
		provider = registry_find(registry, name);
	else
		provider = registry->has_default ?
			registry_find_id(registry, registry->default_id) : NULL;
	if (!provider && name)
		return error_fail(e, ENOENT, "This host has no key provider \"%.64s\": vmcryptctl "
				  "provider list shows those it has", name);
	if (!provider)
		return error_fail(e, ENOENT, "This host has no default key provider: choose one with "
				  "vmcryptctl provider default NAME");
	*ret = provider;
	return 0;
}

int registry_copy(struct provider_registry *registry, const char *name, struct provider *ret,
		  struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *provider;
	int r;

	r = registry_need(registry, name, &provider, e);
	if (r < 0)
		return r;
	*ret = *provider;
	ret->cached = SECRET_NULL;
	return 0;
}

int registry_cached(struct provider_registry *registry, const struct provider *provider,
		    struct secret *ret)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	const struct provider *now = registry_find_id(registry, provider->id);

	if (!now || now->cached.size == 0)
		return -ENOENT;
	return secret_copy(now->cached.data, now->cached.size, ret);
}

void registry_cache(struct provider_registry *registry, const struct provider *provider,
		    const struct secret *kdk)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *now = registry_find_id(registry, provider->id);

	if (!now || now->sealing != SEALING_TPM || now->cached.size > 0 ||
	    memcmp(now->fingerprint, provider->fingerprint, KDK_FINGERPRINT_SIZE) != 0)
		return;
	/* No memory for it: the next key asks the TPM again. */
	(void) secret_copy(kdk->data, kdk->size, &now->cached);
}

int registry_add(struct provider_registry *registry, struct provider *provider,
		 const struct secret *kdk, struct error *e)
{
	_cleanup_free_ char *path = provider_path(registry, provider->id);
	int r;

	if (!path)
		return error_oom(e);
	if (registry->count == PROVIDERS_MAX)
		return error_fail(e, E2BIG, "Cannot add provider \"%s\": this host has %d already, "
				  "delete one", provider->name, PROVIDERS_MAX);
	r = provider_save(registry, provider, kdk, e);
	if (r == 0 && !registry->has_default)
		r = registry_set_default(registry, provider, e);
	if (r < 0) {
		unlink(path);
		return r;
	}
	registry->providers[registry->count++] = provider;
	return 0;
}

int registry_remove(struct provider_registry *registry, struct provider *provider,
		    struct error *e)
{
	_cleanup_free_ char *path = provider_path(registry, provider->id);
	bool gone = false;
	size_t i = 0;
	int r;

	if (!path)
		return error_oom(e);
	/* A sealed KDK is worthless without its TPM. */
	if (provider->sealing == SEALING_NONE) {
		r = file_erase(path, &gone, e);
	} else {
		r = file_remove(path, e);
		gone = r == 0;
	}
	if (!gone)
		return r;

	while (registry->providers[i] != provider)
		i++;
	if (registry->has_default && memcmp(registry->default_id, provider->id, UUID_SIZE) == 0)
		registry->has_default = false;
	registry->providers[i] = registry->providers[--registry->count];
	key_cache_drop(registry->keys, provider->id);
	provider_free(provider);
	return r;
}

static void fill_info(const struct provider_registry *registry, const struct provider *provider,
		      struct provider_info *ret)
{
	*ret = (struct provider_info) {
		.type = provider->ops->type,
		.created = provider->created,
		.backed_up = provider->backed_up,
		.sealing = provider->sealing,
		.is_default = registry->has_default &&
			memcmp(registry->default_id, provider->id, UUID_SIZE) == 0,
		.managed = provider->managed,
		.usable = !provider->ops->local || provider->managed || provider->backed_up > 0,
	};
	memcpy(ret->id, provider->id, sizeof(ret->id));
	memcpy(ret->name, provider->name, sizeof(ret->name));
}

static int by_name(const void *a, const void *b)
{
	const struct provider_info *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int provider_list(struct provider_registry *registry, struct provider_info **ret,
		  size_t *ret_count, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider_info *infos = NULL;
	size_t i;

	if (registry->count > 0) {
		infos = calloc(registry->count, sizeof(*infos));
		if (!infos)
			return error_oom(e);
		for (i = 0; i < registry->count; i++)
			fill_info(registry, registry->providers[i], &infos[i]);
		qsort(infos, registry->count, sizeof(*infos), by_name);
	}
	*ret = infos;
	*ret_count = registry->count;
	return 0;
}

int provider_show(struct provider_registry *registry, const char *name,
		  struct provider_info *ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *provider;
	int r;

	r = registry_need(registry, name, &provider, e);
	if (r < 0)
		return r;
	fill_info(registry, provider, ret);
	return 0;
}

json_t *provider_info_to_json(const struct provider_info *info)
{
	char id[UUID_TEXT_SIZE], created[TIME_TEXT_SIZE], backed_up[TIME_TEXT_SIZE];

	uuid_format(info->id, id);
	time_format(info->created, created);
	time_format(info->backed_up, backed_up);
	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s, s:b, s:b, s:b}", "id", id, "name", info->name,
			 "type", info->type, "created", info->created > 0 ? created : NULL,
			 "backed_up", info->backed_up > 0 ? backed_up : NULL,
			 "sealing", sealing_text(info->sealing), "default", info->is_default,
			 "managed", info->managed, "usable", info->usable);
}

int provider_set_default(struct provider_registry *registry, const char *name, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *provider;
	int r;

	r = registry_need(registry, name, &provider, e);
	if (r < 0)
		return r;
	return registry_set_default(registry, provider, e);
}
