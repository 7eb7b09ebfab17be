// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The native provider: KEKs derived from a KDK that this host keeps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "crypto/kdf.h"
#include "provider/lock.h"
#include "provider/registry.h"
#include "vmcrypt.h"

#define FINGERPRINT_INFO "vmcrypt-native-kdk-id-v1"

int native_fingerprint(const struct secret *kdk, const uint8_t id[UUID_SIZE],
		       uint8_t ret[KDK_FINGERPRINT_SIZE])
{
	_cleanup_secret_ struct secret out = SECRET_NULL;
	int r;

	r = kdf_hkdf_sha256(kdk, id, UUID_SIZE, FINGERPRINT_INFO, strlen(FINGERPRINT_INFO),
			    KDK_FINGERPRINT_SIZE, &out);
	if (r < 0)
		return r;
	memcpy(ret, out.data, KDK_FINGERPRINT_SIZE);
	return 0;
}

static int look_for_tpm(struct provider_registry *registry, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock_tpm(registry);

	return tpm_present(registry->tcti, e);
}

int native_choose_sealing(struct provider_registry *registry, enum provider_sealing wish,
			  enum provider_sealing *ret, struct error *e)
{
	struct error why = ERROR_NULL;
	int r;

	if (wish == SEALING_NONE) {
		*ret = SEALING_NONE;
		return 0;
	}
	r = look_for_tpm(registry, &why);
	if (r == 0) {
		*ret = SEALING_TPM;
		return 0;
	}
	if (wish == SEALING_TPM)
		return error_fail(e, r, "A TPM is required, and there is none to be had: %s", why.text);
	return error_fail(e, r, "%s. Without a TPM the provider's key would lie readable on this "
			  "host's disk: if that is wanted, say --allow-unsealed", why.text);
}

int native_seal(struct provider_registry *registry, struct provider *provider,
		const struct secret *kdk, enum provider_sealing sealing, struct error *e)
{
	struct tpm_sealed sealed = { .public_size = 0 };
	uint8_t fingerprint[KDK_FINGERPRINT_SIZE];
	int r;

	r = native_fingerprint(kdk, provider->id, fingerprint);
	if (r < 0)
		return error_fail(e, r, "Cannot fingerprint the provider's key: %s", strerror(-r));
	if (sealing == SEALING_TPM) {
		_cleanup_unlock_ pthread_mutex_t *lock = registry_lock_tpm(registry);

		r = tpm_seal(registry->tcti, kdk, &sealed, e);
		if (r < 0)
			return r;
	}
	provider->sealing = sealing;
	provider->sealed = sealed;
	memcpy(provider->fingerprint, fingerprint, sizeof(fingerprint));
	return 0;
}

/* The unsealed KDK, from the file each time: it does not stay in memory. */
static int read_unsealed(struct provider_registry *registry, const struct provider *provider,
			 struct secret *ret, struct error *e)
{
	_cleanup_free_ char *path = provider_path(registry, provider->id);
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	struct provider *again = NULL;
	int r;

	if (!path)
		return error_oom(e);
	/* One that is replaced meanwhile is overwritten. */
	lock = registry_lock(registry);
	r = provider_load(path, &again, &kdk, e);
	if (r < 0)
		return r;
	provider_free(again);
	if (kdk.size == 0)
		return error_fail(e, EAGAIN, "%s was sealed meanwhile: try again", path);
	*ret = secret_take(&kdk);
	return 0;
}

/* Disks that come up together ask once: the others find what the first one got. */
static int unseal(struct provider_registry *registry, const struct provider *provider, bool fresh,
		  struct secret *ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock_tpm(registry);

	if (!fresh && registry_cached(registry, provider, ret) == 0)
		return 0;
	return tpm_unseal(registry->tcti, &provider->sealed, ret, e);
}

static int get_kdk(struct provider_registry *registry, const struct provider *provider, bool fresh,
		   struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	uint8_t fingerprint[KDK_FINGERPRINT_SIZE];
	int r;

	if (!fresh && registry_cached(registry, provider, ret) == 0)
		return 0;
	if (provider->sealing == SEALING_TPM)
		r = unseal(registry, provider, fresh, &kdk, e);
	else
		r = read_unsealed(registry, provider, &kdk, e);
	if (r < 0)
		return r;
	if (kdk.size != KDK_SIZE || native_fingerprint(&kdk, provider->id, fingerprint) < 0 ||
	    memcmp(fingerprint, provider->fingerprint, sizeof(fingerprint)) != 0)
		return error_fail(e, EBADMSG, "its key is damaged: restore the provider from its backup "
				  "(vmcryptctl provider restore)");
	if (provider->sealing == SEALING_TPM)
		registry_cache(registry, provider, &kdk);
	*ret = secret_take(&kdk);
	return 0;
}

int native_kdk(struct provider_registry *registry, const struct provider *provider, bool fresh,
	       struct secret *ret, struct error *e)
{
	struct error why = ERROR_NULL;

	if (get_kdk(registry, provider, fresh, ret, &why) == 0)
		return 0;
	return error_set(e, ENOKEY, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
			 "The key of provider \"%s\" cannot be had: %s", provider->name, why.text);
}

static int native_key_new(struct provider_registry *registry, const struct provider *provider,
			  const struct key_use *use, char *ret_key_id, struct secret *ret_kek,
			  struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	uint8_t key_id[UUID_SIZE];
	int r;

	(void) use;
	r = native_kdk(registry, provider, /* fresh= */ false, &kdk, e);
	if (r < 0)
		return r;
	r = uuid_random(key_id);
	if (r < 0)
		return error_fail(e, r, "Cannot make a key id: %s", strerror(-r));
	r = kdf_native_kek(&kdk, provider->id, key_id, ret_kek, e);
	if (r < 0)
		return r;
	uuid_format(key_id, ret_key_id);
	return 0;
}

static int native_key_get(struct provider_registry *registry, const struct provider *provider,
			  const char *key_id, const struct key_use *use, struct secret *ret_kek,
			  struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	uint8_t id[UUID_SIZE];
	int r;

	(void) use;
	if (uuid_parse_text(key_id, id) < 0)
		return error_set(e, EBADMSG, EXIT_FAILED, VMCRYPT_REASON_HEADER_DAMAGED,
				 "Key %s/%.64s cannot be had: a native provider's key ids are UUIDs, the "
				 "header is damaged", provider->name, key_id);
	r = native_kdk(registry, provider, /* fresh= */ false, &kdk, e);
	if (r < 0)
		return r;
	return kdf_native_kek(&kdk, provider->id, id, ret_kek, e);
}

static int native_check(struct provider_registry *registry, const struct provider *provider,
			struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL, kek = SECRET_NULL, again = SECRET_NULL;
	char key_id[KEY_ID_MAX + 1];
	int r;

	r = native_kdk(registry, provider, /* fresh= */ true, &kdk, e);
	if (r < 0)
		return r;
	/* What is cached, if anything is, must be the same. */
	r = native_key_new(registry, provider, /* use= */ NULL, key_id, &kek, e);
	if (r < 0)
		return r;
	r = native_key_get(registry, provider, key_id, /* use= */ NULL, &again, e);
	if (r < 0)
		return r;
	if (!secret_equal(&kek, &again))
		return error_fail(e, EIO, "Provider \"%s\" gives two keys for one id: do not trust this "
				  "machine", provider->name);
	return 0;
}

const struct provider_ops native_ops = {
	.type = "native",
	.local = true,
	.key_new = native_key_new,
	.key_get = native_key_get,
	.check = native_check,
};
