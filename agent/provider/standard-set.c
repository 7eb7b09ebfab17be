// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The list of standard providers, as the manager sets it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "provider/lock.h"
#include "provider/registry.h"

static const struct provider_standard *listed(const struct provider_standard *list, size_t count,
					      const uint8_t id[UUID_SIZE])
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(list[i].id, id, UUID_SIZE) == 0)
			return &list[i];
	return NULL;
}

/* Each by itself, and against the others of the list. */
static int check_list(const struct provider_standard *list, size_t count, struct error *e)
{
	uint8_t id[UUID_SIZE];

	for (size_t i = 0; i < count; i++) {
		if (!provider_name_valid(list[i].name) || uuid_parse_text(list[i].name, id) == 0)
			return error_fail(e, EINVAL, "The manager has a provider whose name is none");
		for (size_t j = 0; j < i; j++)
			if (memcmp(list[i].id, list[j].id, UUID_SIZE) == 0 ||
			    strcmp(list[i].name, list[j].name) == 0)
				return error_fail(e, EINVAL, "The manager names provider \"%s\" twice",
						  list[i].name);
	}
	return 0;
}

/* Against the native ones, with the lock held. */
static int check_others(const struct provider_registry *registry,
			const struct provider_standard *list, size_t count, struct error *e)
{
	size_t others = 0;

	for (size_t i = 0; i < registry->count; i++) {
		const struct provider *p = registry->providers[i];

		if (p->ops == &standard_ops)
			continue;
		others++;
		for (size_t j = 0; j < count; j++)
			if (memcmp(p->id, list[j].id, UUID_SIZE) == 0 ||
			    strcmp(p->name, list[j].name) == 0)
				return error_fail(e, EEXIST, "The manager's provider \"%s\" cannot be used: "
						  "this host has another one of that name or UUID",
						  list[j].name);
	}
	if (others + count > PROVIDERS_MAX)
		return error_fail(e, E2BIG, "Cannot take the manager's %zu providers: this host has %zu of "
				  "its own, and at most %d in all", count, others, PROVIDERS_MAX);
	return 0;
}

/* The next one that is to go; false: there is none. */
static bool find_leaving(struct provider_registry *registry, const struct provider_standard *list,
			 size_t count, size_t *at, struct provider *ret)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);

	for (; *at < registry->count; (*at)++) {
		const struct provider *p = registry->providers[*at];

		if (p->ops != &standard_ops || listed(list, count, p->id))
			continue;
		*ret = *p;
		(*at)++;
		return true;
	}
	return false;
}

static int check_leaving(struct provider_registry *registry, const struct provider_standard *list,
			 size_t count, struct error *e)
{
	char what[256] = "something";
	struct provider provider;
	size_t at = 0;
	int r;

	while (registry->in_use && find_leaving(registry, list, count, &at, &provider)) {
		r = registry->in_use(registry->userdata, provider.id, what, sizeof(what), e);
		if (r < 0)
			return r;
		if (r > 0)
			return error_fail(e, EBUSY, "Provider \"%s\" stays on this host: %s uses it",
					  provider.name, what);
	}
	return 0;
}

static int remove_leaving(struct provider_registry *registry, const struct provider_standard *list,
			  size_t count, struct error *e)
{
	int r;

	for (size_t i = registry->count; i-- > 0;) {
		struct provider *p = registry->providers[i];

		if (p->ops != &standard_ops || listed(list, count, p->id))
			continue;
		r = registry_remove(registry, p, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add(struct provider_registry *registry, const struct provider_standard *item,
	       struct error *e)
{
	struct provider *provider = calloc(1, sizeof(*provider));
	int r;

	if (!provider)
		return error_oom(e);
	provider->ops = &standard_ops;
	provider->sealing = SEALING_KEY_SERVER;
	memcpy(provider->id, item->id, UUID_SIZE);
	memcpy(provider->name, item->name, strlen(item->name) + 1);
	r = registry_add(registry, provider, /* kdk= */ NULL, e);
	if (r < 0)
		provider_free(provider);
	return r;
}

/* On the disk before in memory. */
static int rename_to(struct provider_registry *registry, struct provider *here, const char *name,
		     struct error *e)
{
	struct provider changed = *here;
	int r;

	if (strcmp(here->name, name) == 0)
		return 0;
	memcpy(changed.name, name, strlen(name) + 1);
	r = provider_save(registry, &changed, /* kdk= */ NULL, e);
	if (r == 0)
		memcpy(here->name, changed.name, sizeof(here->name));
	return r;
}

static bool is_default(const struct provider_registry *registry, const uint8_t id[UUID_SIZE])
{
	return registry->has_default && memcmp(registry->default_id, id, UUID_SIZE) == 0;
}

static int apply(struct provider_registry *registry, const struct provider_standard *list,
		 size_t count, struct error *e)
{
	struct provider *here;
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		here = registry_find_id(registry, list[i].id);
		r = here ? rename_to(registry, here, list[i].name, e) : add(registry, &list[i], e);
	}
	for (size_t i = 0; i < count && r == 0; i++)
		if (list[i].is_default && !is_default(registry, list[i].id))
			r = registry_set_default(registry, registry_find_id(registry, list[i].id), e);
	return r;
}

int provider_set_standard(struct provider_registry *registry, const struct provider_standard *list,
			  size_t count, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	int r;

	r = check_list(list, count, e);
	if (r == 0)
		r = check_leaving(registry, list, count, e);
	if (r < 0)
		return r;
	lock = registry_lock(registry);
	r = check_others(registry, list, count, e);
	if (r == 0)
		r = remove_leaving(registry, list, count, e);
	if (r == 0)
		r = apply(registry, list, count, e);
	return r;
}
