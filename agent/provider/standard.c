// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The standard provider: its KEKs are at a key server, the manager fetches them
 * and pushes them here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "crypto/wrap.h"
#include "provider/lock.h"
#include "provider/registry.h"
#include "provider/standard-cache.h"
#include "vmcrypt.h"

/* What a key that is not here is called when nobody can be asked for it. */
#define NO_MANAGER	"KeyStateMissingInCache"

static uint64_t deadline(void)
{
	return (uint64_t) time_monotonic_ms() + PROVIDER_ASK_S * 1000;
}

/*
 * Whatever the other side's failure was: here it means that a key cannot be had, or may not.
 * @hint: what else can be done, "": nothing
 */
static int no_key(const char *provider, const char *what, const char *hint,
		  const struct channel_failure *why, struct error *e)
{
	bool denied = why->error.status == EXIT_NOT_ALLOWED;
	bool named = why->key_reason[0];

	/* The reason first: a long text may be cut. */
	return error_set(e, denied ? EACCES : ENOKEY, denied ? EXIT_NOT_ALLOWED : EXIT_NO_KEY,
			 denied ? VMCRYPT_REASON_NOT_ALLOWED : VMCRYPT_REASON_UNAVAILABLE,
			 "Key %s/%s cannot be had%s%s%s: %s%s", provider, what, named ? " (" : "",
			 why->key_reason, named ? ")" : "", hint,
			 error_is_set(&why->error) ? why->error.text : "the manager did not say why");
}

static int nobody_to_ask(const char *provider, const char *what, const char *hint, struct error *e)
{
	struct channel_failure why = { .key_reason = NO_MANAGER };

	error_fail(&why.error, ENOTCONN, "this host has no connection to its manager, which would "
		   "have to give it: look at the manager and at the network between");
	return no_key(provider, what, hint, &why, e);
}

static int check_size(const char *provider, const char *key_id, const struct secret *kek,
		      struct error *e)
{
	if (kek->size == KEK_SIZE)
		return 0;
	return error_fail(e, EBADMSG, "Key %s/%s has %zu bytes, not %d: it is no key of ours",
			  provider, key_id, kek->size, KEK_SIZE);
}

/*
 * A key that came from the manager goes to the cache, if it is one.
 * @generation: of the cache, as it was before the key was asked for
 *
 * Return: -ESTALE: keys were taken from this host since then, and it is not kept.
 */
static int keep(struct provider_registry *registry, const struct provider *provider,
		const char *key_id, const struct secret *kek, uint64_t generation,
		struct error *e)
{
	int r = check_size(provider->name, key_id, kek, e);

	if (r < 0)
		return r;
	r = key_cache_put(registry->keys, provider->id, key_id, kek, generation);
	if (r == -EKEYREJECTED)
		return error_fail(e, r, "Key %s/%s came with another value than the one that is here: one "
				  "of them is wrong, look at the key server before anything is "
				  "encrypted with it", provider->name, key_id);
	if (r == -ESTALE) {
		error_set(e, ENOKEY, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
			  "Key %s/%s is not used: keys were taken from this host while it was asked "
			  "for, try again", provider->name, key_id);
		return r;
	}
	if (r < 0)
		return error_fail(e, r, "Cannot keep key %s/%s: %s", provider->name, key_id,
				  strerror(-r));
	return 0;
}

static int fetch_once(struct provider_registry *registry, const struct provider *provider,
		      const char *key_id, const struct key_use *use, struct secret *ret_kek,
		      struct error *e)
{
	uint64_t generation = key_cache_generation(registry->keys);
	struct channel_failure why = { .key_reason = "" };
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	int r;

	r = registry->fetch(registry->userdata, provider->id, key_id, use, deadline(), &kek, &why);
	if (r < 0)
		return no_key(provider->name, key_id, /* hint= */ "", &why, e);
	r = keep(registry, provider, key_id, &kek, generation, e);
	if (r == 0)
		*ret_kek = secret_take(&kek);
	return r;
}

static int fetch(struct provider_registry *registry, const struct provider *provider,
		 const char *key_id, const struct key_use *use, struct secret *ret_kek,
		 struct error *e)
{
	int r;

	if (!registry->fetch)
		return nobody_to_ask(provider->name, key_id, /* hint= */ "", e);
	r = fetch_once(registry, provider, key_id, use, ret_kek, e);
	/* What was taken may have been another key: the manager knows. */
	if (r == -ESTALE)
		r = fetch_once(registry, provider, key_id, use, ret_kek, e);
	return r == -ESTALE ? -ENOKEY : r;
}

static int standard_key_new(struct provider_registry *registry, const struct provider *provider,
			    const struct key_use *use, char *ret_key_id, struct secret *ret_kek,
			    struct error *e)
{
	struct channel_failure why = { .key_reason = "" };
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	char key_id[KEY_ID_MAX + 1] = "";
	uint64_t generation;
	int r;

	if (!registry->make)
		return nobody_to_ask(provider->name, "(new)", /* hint= */ "", e);
	generation = key_cache_generation(registry->keys);
	r = registry->make(registry->userdata, provider->id, use, deadline(), key_id, &kek, &why);
	if (r < 0)
		return no_key(provider->name, "(new)", /* hint= */ "", &why, e);
	if (!key_id_valid(key_id))
		return error_fail(e, EBADMSG, "The manager gave a key of provider \"%s\" with an id that "
				  "no header can hold", provider->name);
	r = keep(registry, provider, key_id, &kek, generation, e);
	if (r == -ESTALE) {
		secret_done(&kek);
		r = fetch(registry, provider, key_id, use, &kek, e);
	}
	if (r < 0)
		return r;
	memcpy(ret_key_id, key_id, sizeof(key_id));
	*ret_kek = secret_take(&kek);
	return 0;
}

static int standard_key_get(struct provider_registry *registry, const struct provider *provider,
			    const char *key_id, const struct key_use *use, struct secret *ret_kek,
			    struct error *e)
{
	int r;

	if (!key_id_valid(key_id))
		return error_set(e, EBADMSG, EXIT_FAILED, VMCRYPT_REASON_HEADER_DAMAGED,
				 "A key of provider \"%s\" cannot be had: its id is none, the header is "
				 "damaged", provider->name);
	r = key_cache_get(registry->keys, provider->id, key_id, ret_kek);
	if (r == 0)
		return 0;
	if (r != -ENOENT)
		return error_oom(e);
	return fetch(registry, provider, key_id, use, ret_kek, e);
}

int standard_key_foreign(struct provider_registry *registry, const struct key_locator *locator,
			 const struct key_use *use, struct secret *ret_kek, struct error *e)
{
	struct channel_failure why = { .key_reason = "" };
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	char id[UUID_TEXT_SIZE], hint[160];
	int r;

	uuid_format(locator->provider, id);
	snprintf(hint, sizeof(hint), "this host has no provider %s; if it was one of its own, restore it "
		 "from its backup (vmcryptctl provider restore). ", id);
	if (!registry->fetch)
		return nobody_to_ask(locator->provider_name, locator->key_id, hint, e);
	r = registry->fetch(registry->userdata, locator->provider, locator->key_id, use, deadline(),
			    &kek, &why);
	if (r < 0)
		return no_key(locator->provider_name, locator->key_id, hint, &why, e);
	r = check_size(locator->provider_name, locator->key_id, &kek, e);
	if (r == 0)
		*ret_kek = secret_take(&kek);
	return r;
}

/* A key made for a check would stay at the key server for ever: one that is here is asked for again. */
static int standard_check(struct provider_registry *registry, const struct provider *provider,
			  struct error *e)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	char key_id[KEY_ID_MAX + 1];

	if (key_cache_newest(registry->keys, provider->id, key_id) < 0)
		return error_fail(e, ENODATA, "Provider \"%s\" has no key on this host yet to be tried: "
				  "create or attach a disk with it first", provider->name);
	return fetch(registry, provider, key_id, /* use= */ NULL, &kek, e);
}

const struct provider_ops standard_ops = {
	.type = "standard",
	.local = false,
	.key_new = standard_key_new,
	.key_get = standard_key_get,
	.check = standard_check,
};

/* The provider that a key is of; a copy. */
static int need_standard(struct provider_registry *registry, const uint8_t id[UUID_SIZE],
			 struct provider *ret, struct error *e)
{
	char text[UUID_TEXT_SIZE];
	int r;

	uuid_format(id, text);
	r = registry_copy(registry, text, ret, e);
	if (r < 0)
		return r;
	if (ret->ops != &standard_ops)
		return error_fail(e, EINVAL, "Provider \"%s\" makes its keys on this host: none of them "
				  "can be given or taken", ret->name);
	return 0;
}

int provider_key_put(struct provider_registry *registry, const uint8_t id[UUID_SIZE],
		     const char *key_id, const struct secret *kek, struct error *e)
{
	struct provider provider;
	int r;

	r = need_standard(registry, id, &provider, e);
	if (r < 0)
		return r;
	if (!key_id_valid(key_id))
		return error_fail(e, EINVAL, "A key of provider \"%s\" cannot be kept: its id is none that "
				  "a header can hold", provider.name);
	return keep(registry, &provider, key_id, kek, key_cache_generation(registry->keys), e);
}

int provider_key_remove(struct provider_registry *registry, const uint8_t id[UUID_SIZE],
			const char *key_id, struct error *e)
{
	char what[256] = "something";
	struct provider provider;
	uint64_t mark = 0;
	int r;

	r = need_standard(registry, id, &provider, e);
	if (r < 0)
		return r;
	/* Asked for while we ask who uses it: then somebody does. */
	r = key_cache_mark(registry->keys, id, key_id, &mark);
	if (r == 0 && registry->key_in_use) {
		r = registry->key_in_use(registry->userdata, id, key_id, what, sizeof(what), e);
		if (r < 0)
			return r;
		if (r > 0)
			return error_fail(e, EBUSY, "Key %s/%.128s stays: %s uses it", provider.name,
					  key_id, what);
	}
	r = key_cache_remove(registry->keys, id, key_id, mark);
	if (r == -EBUSY)
		return error_fail(e, r, "Key %s/%.128s stays: it was asked for just now",
				  provider.name, key_id);
	if (r < 0)
		return error_fail(e, r, "Key %s/%.128s is not on this host", provider.name, key_id);
	return 0;
}

void provider_keys_forget(struct provider_registry *registry)
{
	key_cache_drop(registry->keys, NULL);
}

size_t provider_key_count(struct provider_registry *registry)
{
	return key_cache_count(registry->keys, NULL);
}
