// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Native providers that the manager gives, and what a host forgets with its manager.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "crypto/kdf.h"
#include "provider/lock.h"
#include "provider/registry.h"
#include "provider/standard-cache.h"

static void cleanup_provider(struct provider **provider)
{
	provider_free(*provider);
}

static int check_name(const char *name, struct error *e)
{
	uint8_t id[UUID_SIZE];

	if (!provider_name_valid(name) || uuid_parse_text(name, id) == 0)
		return error_fail(e, EINVAL, "The manager has a provider whose name is none");
	return 0;
}

/* With the lock held. @ret_here: NULL: it is a new one. */
static int compare(struct provider_registry *registry, const struct provider_managed *managed,
		   const struct secret *kdk, struct provider **ret_here, struct error *e)
{
	struct provider *here = registry_find_id(registry, managed->id);
	struct provider *namesake = registry_find(registry, managed->name);
	uint8_t fingerprint[KDK_FINGERPRINT_SIZE];

	if ((namesake && namesake != here) || (here && here->ops != &native_ops))
		return error_fail(e, EEXIST, "The manager's provider \"%s\" cannot be used: this host has "
				  "another one of that name or UUID", managed->name);
	if (native_fingerprint(kdk, managed->id, fingerprint) < 0)
		return error_oom(e);
	if (here && memcmp(fingerprint, here->fingerprint, sizeof(fingerprint)) != 0)
		return error_fail(e, EKEYREJECTED, "Provider \"%s\" is here with another key than the one "
				  "that the manager gives, and stays", here->name);
	*ret_here = here;
	return 0;
}

static bool as_given(const struct provider *here, const struct provider_managed *managed)
{
	return here && here->managed && strcmp(here->name, managed->name) == 0 &&
	       (!managed->require_tpm || here->sealing == SEALING_TPM);
}

bool provider_managed_known(struct provider_registry *registry,
			    const struct provider_managed *managed, const struct secret *kdk)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *here = NULL;

	if (compare(registry, managed, kdk, &here, NULL) < 0 || !as_given(here, managed))
		return false;
	return !managed->is_default ||
	       (registry->has_default && memcmp(registry->default_id, here->id, UUID_SIZE) == 0);
}

/* Return: 1: it is here as it is to be. */
static int check(struct provider_registry *registry, const struct provider_managed *managed,
		 const struct secret *kdk, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *here;
	int r;

	r = compare(registry, managed, kdk, &here, e);
	if (r < 0 || !as_given(here, managed))
		return r;
	if (managed->is_default)
		r = registry_set_default(registry, here, e);
	return r < 0 ? r : 1;
}

static int choose_sealing(struct provider_registry *registry,
			  const struct provider_managed *managed, enum provider_sealing *ret,
			  struct error *e)
{
	struct error why = ERROR_NULL;

	if (managed->require_tpm)
		return native_choose_sealing(registry, SEALING_TPM, ret, e);
	if (native_choose_sealing(registry, SEALING_TPM, ret, &why) == 0)
		return 0;
	log_notice("The key of the manager's provider \"%s\" is kept in a file that only root can read: "
		   "%s", managed->name, why.text);
	*ret = SEALING_NONE;
	return 0;
}

/* What the TPM or its absence decides, with no lock held. */
static int prepare(struct provider_registry *registry, const struct provider_managed *managed,
		   const struct secret *kdk, struct provider **ret, struct error *e)
{
	_cleanup_(cleanup_provider) struct provider *provider = calloc(1, sizeof(*provider));
	enum provider_sealing sealing;
	int r;

	if (!provider)
		return error_oom(e);
	provider->ops = &native_ops;
	provider->managed = true;
	provider->created = managed->created;
	memcpy(provider->id, managed->id, UUID_SIZE);
	memcpy(provider->name, managed->name, strlen(managed->name) + 1);
	r = choose_sealing(registry, managed, &sealing, e);
	if (r == 0)
		r = native_seal(registry, provider, kdk, sealing, e);
	if (r == 0)
		*ret = TAKE_PTR(provider);
	return r;
}

/* On the disk before in memory. */
static int change(struct provider_registry *registry, struct provider *here,
		  const struct provider *given, const struct secret *kdk, struct error *e)
{
	struct provider changed = *here;
	int r;

	changed.managed = true;
	changed.sealing = given->sealing;
	changed.sealed = given->sealed;
	memcpy(changed.name, given->name, sizeof(changed.name));
	r = provider_save(registry, &changed, kdk, e);
	if (r == 0)
		*here = changed;
	return r;
}

/* Takes *provider over when it becomes a new one. */
static int put(struct provider_registry *registry, const struct provider_managed *managed,
	       const struct secret *kdk, struct provider **provider, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *here;
	int r;

	r = compare(registry, managed, kdk, &here, e);
	if (r < 0)
		return r;
	r = here ? change(registry, here, *provider, kdk, e) :
		   registry_add(registry, *provider, kdk, e);
	if (r == 0 && !here)
		here = TAKE_PTR(*provider);
	if (r == 0 && managed->is_default)
		r = registry_set_default(registry, here, e);
	return r;
}

int provider_put_managed(struct provider_registry *registry, const struct provider_managed *managed,
			 const struct secret *kdk, struct error *e)
{
	_cleanup_(cleanup_provider) struct provider *provider = NULL;
	int r;

	if (kdk->size != KDK_SIZE)
		return error_fail(e, EBADMSG, "The manager's provider has a key of %zu bytes, not %d",
				  kdk->size, KDK_SIZE);
	r = check_name(managed->name, e);
	if (r == 0)
		r = check(registry, managed, kdk, e);
	if (r == 0)
		r = prepare(registry, managed, kdk, &provider, e);
	return r < 0 ? r : !provider ? 0 : put(registry, managed, kdk, &provider, e);
}

int provider_remove_managed(struct provider_registry *registry, const uint8_t id[UUID_SIZE],
			    bool kept, struct error *e)
{
	char text[UUID_TEXT_SIZE];
	struct provider provider;
	int r;

	uuid_format(id, text);
	r = registry_copy(registry, text, &provider, e);
	if (r < 0)
		return r;
	if (!provider.managed)
		return error_fail(e, EINVAL, "Provider \"%s\" is not one that the manager gave",
				  provider.name);
	return registry_delete(registry, text, kept, e);
}

int provider_forget_managed(struct provider_registry *registry, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct error why = ERROR_NULL;
	int r = 0;

	for (size_t i = registry->count; i-- > 0;) {
		struct provider *p = registry->providers[i];

		if (p->ops == &native_ops && !p->managed)
			continue;
		/* One that stays must not keep the others here. */
		if (registry_remove(registry, p, &why) < 0 && r == 0) {
			r = why.code;
			if (e)
				*e = why;
		}
	}
	key_cache_drop(registry->keys, NULL);
	return r;
}

bool provider_key_known(struct provider_registry *registry, const uint8_t provider[UUID_SIZE],
			const char *key_id)
{
	uint64_t mark;

	return key_cache_mark(registry->keys, provider, key_id, &mark) == 0;
}

int provider_tpm_present(struct provider_registry *registry, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock_tpm(registry);

	return tpm_present(registry->tcti, e);
}

int provider_tpm_seal(struct provider_registry *registry, const struct secret *secret,
		      struct tpm_sealed *ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock_tpm(registry);

	return tpm_seal(registry->tcti, secret, ret, e);
}

int provider_tpm_unseal(struct provider_registry *registry, const struct tpm_sealed *sealed,
			struct secret *ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock_tpm(registry);

	return tpm_unseal(registry->tcti, sealed, ret, e);
}
