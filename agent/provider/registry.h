/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of the provider registry: for the files of this folder only.
 *
 * Two locks. @lock is over the list and the files, and is held for short times.
 * @tpm_lock lets one thread at a time talk to the TPM, which takes up to seconds,
 * or for ever when it hangs: it is taken with @lock free, so that a TPM that hangs
 * stops nothing but what needs the TPM. What works without @lock works on a copy
 * of the provider.
 */
#ifndef VMCRYPT_PROVIDER_REGISTRY_H
#define VMCRYPT_PROVIDER_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "provider/provider.h"
#include "provider/tpm.h"

/** KDK_FINGERPRINT_SIZE - bytes, see native_fingerprint() */
#define KDK_FINGERPRINT_SIZE 16

struct provider;
struct key_cache;

/**
 * struct provider_ops - what a kind of provider does
 * @type: name of the kind, as files and status have it
 * @local: its key is kept on this host, and has to be backed up
 * @key_new: see provider_key_new(); @ret_key_id has KEY_ID_MAX + 1 bytes
 * @key_get: see provider_key_get()
 * @check: see provider_check()
 *
 * Called without a lock, with a copy of the provider.
 */
struct provider_ops {
	const char *type;
	bool local;
	int (*key_new)(struct provider_registry *registry, const struct provider *provider,
		       const struct key_use *use, char *ret_key_id, struct secret *ret_kek,
		       struct error *e);
	int (*key_get)(struct provider_registry *registry, const struct provider *provider,
		       const char *key_id, const struct key_use *use, struct secret *ret_kek,
		       struct error *e);
	int (*check)(struct provider_registry *registry, const struct provider *provider,
		     struct error *e);
};

/**
 * struct provider - one provider of this host
 * @ops: its kind
 * @id: its UUID
 * @name: unique
 * @created: seconds since 1970
 * @backed_up: seconds since 1970, 0: never
 * @sealing: SEALING_TPM or SEALING_NONE; SEALING_KEY_SERVER with a standard one, where
 *	all but @ops, @id, @name and @deleting is empty
 * @sealed: the KDK, with SEALING_TPM
 * @fingerprint: tells the right KDK from a damaged or foreign one
 * @cached: the KDK as the TPM unsealed it, or empty; always empty in a copy
 * @managed: a native one that the manager gave
 * @deleting: makes no new keys, for it is about to go
 */
struct provider {
	const struct provider_ops *ops;
	uint8_t id[UUID_SIZE];
	char name[PROVIDER_NAME_MAX + 1];
	int64_t created;
	int64_t backed_up;
	enum provider_sealing sealing;
	struct tpm_sealed sealed;
	uint8_t fingerprint[KDK_FINGERPRINT_SIZE];
	struct secret cached;
	bool managed;
	bool deleting;
};

/**
 * struct provider_registry - all providers of this host
 * @lock: over the list and the files
 * @tpm_lock: over talks with the TPM
 * @dir: folder of the files, never changes
 * @tcti: how the TPM is reached, never changes
 * @in_use: see struct provider_settings
 * @attached: the same
 * @key_in_use: the same
 * @make: the same
 * @fetch: the same
 * @userdata: of all of these
 * @keys: of standard providers, never changes, has a lock of its own
 * @providers: @count of them, each malloc'ed
 * @default_id: of the default provider
 * @has_default: whether there is one
 */
struct provider_registry {
	pthread_mutex_t lock;
	pthread_mutex_t tpm_lock;
	char *dir;
	char *tcti;
	int (*in_use)(void *userdata, const uint8_t provider[UUID_SIZE], char *ret_what,
		      size_t what_size, struct error *e);
	int (*attached)(void *userdata, const uint8_t provider[UUID_SIZE], char *ret_what,
			size_t what_size, struct error *e);
	int (*key_in_use)(void *userdata, const uint8_t provider[UUID_SIZE], const char *key_id,
			  char *ret_what, size_t what_size, struct error *e);
	int (*make)(void *userdata, const uint8_t provider[UUID_SIZE], const struct key_use *use,
		    uint64_t deadline_ms, char *ret_key_id, struct secret *ret_kek,
		    struct channel_failure *ret_why);
	int (*fetch)(void *userdata, const uint8_t provider[UUID_SIZE], const char *key_id,
		     const struct key_use *use, uint64_t deadline_ms, struct secret *ret_kek,
		     struct channel_failure *ret_why);
	void *userdata;
	struct key_cache *keys;
	struct provider *providers[PROVIDERS_MAX];
	size_t count;
	uint8_t default_id[UUID_SIZE];
	bool has_default;
};

extern const struct provider_ops native_ops;
extern const struct provider_ops standard_ops;

/** provider_free() - NULL is left alone */
void provider_free(struct provider *provider);

/* From here to registry_load(): called with the lock held. */

/** registry_find() - by name or text of the UUID; NULL: none */
struct provider *registry_find(struct provider_registry *registry, const char *name);

/** registry_find_id() - NULL: none */
struct provider *registry_find_id(struct provider_registry *registry,
				  const uint8_t id[UUID_SIZE]);

/**
 * registry_need() - registry_find(), NULL standing for the default provider, with
 * an error that says what to do
 */
int registry_need(struct provider_registry *registry, const char *name, struct provider **ret,
		  struct error *e);

/**
 * registry_add() - save a provider and put it into the list, which then owns it
 *
 * Becomes the default one when there is none. On failure the caller still owns
 * it and nothing is left on the disk.
 */
int registry_add(struct provider_registry *registry, struct provider *provider,
		 const struct secret *kdk, struct error *e);

/**
 * registry_remove() - take it from disk and list, and free it
 *
 * On failure it is still there, or its unsealed key could not be overwritten
 * and lies in ".deleted.tmp", which the next start deletes.
 */
int registry_remove(struct provider_registry *registry, struct provider *provider,
		    struct error *e);

/** registry_set_default() - on the disk first */
int registry_set_default(struct provider_registry *registry, const struct provider *provider,
			 struct error *e);

/**
 * provider_save() - write a provider's file; what the old one held is overwritten
 * @kdk: written in clear with SEALING_NONE, else not used
 */
int provider_save(struct provider_registry *registry, const struct provider *provider,
		  const struct secret *kdk, struct error *e);

/**
 * provider_load() - read a provider's file
 * @path: a file that only its owner can read, and the owner is us
 * @ret: malloc'ed
 * @ret_kdk: with SEALING_NONE the KDK, else empty; NULL: not wanted
 */
int provider_load(const char *path, struct provider **ret, struct secret *ret_kdk,
		  struct error *e);

/** provider_path() - malloc'ed path of a provider's file; NULL: out of memory */
char *provider_path(const struct provider_registry *registry, const uint8_t id[UUID_SIZE]);

/**
 * registry_load() - read all files
 *
 * Erases what a crash has left (".*.tmp").
 */
int registry_load(struct provider_registry *registry, struct error *e);

/**
 * registry_copy() - registry_need() and a copy of it; takes the lock
 */
int registry_copy(struct provider_registry *registry, const char *name, struct provider *ret,
		  struct error *e);

/**
 * registry_cached() - a copy of the cached KDK of a provider; takes the lock
 *
 * Return: 0; -ENOENT (none is cached), -ENOMEM.
 */
int registry_cached(struct provider_registry *registry, const struct provider *provider,
		    struct secret *ret);

/**
 * registry_cache() - keep a KDK that the TPM unsealed; takes the lock
 *
 * Does nothing when the provider is gone or has another key by now.
 */
void registry_cache(struct provider_registry *registry, const struct provider *provider,
		    const struct secret *kdk);

/**
 * registry_delete() - provider_delete(), of a managed one, too; takes the lock
 * @name: or the text of its UUID
 * @kept: its key is kept elsewhere: only attached disks are in the way
 */
int registry_delete(struct provider_registry *registry, const char *name, bool kept,
		    struct error *e);

/**
 * standard_key_foreign() - the KEK of a header whose provider is not here
 *
 * The manager is asked, which names the reason where it has not got it either; what it gives
 * is not kept. As provider_key_get(); without a lock.
 */
int standard_key_foreign(struct provider_registry *registry, const struct key_locator *locator,
			 const struct key_use *use, struct secret *ret_kek, struct error *e);

/**
 * native_seal() - set how the KDK is kept: @provider's sealing, sealed object and
 * fingerprint
 * @provider: not in the list
 * @sealing: SEALING_TPM or SEALING_NONE
 *
 * Without the lock; takes the TPM's.
 */
int native_seal(struct provider_registry *registry, struct provider *provider,
		const struct secret *kdk, enum provider_sealing sealing, struct error *e);

/**
 * native_kdk() - the KDK of a native provider, from the cache, the TPM or the file
 * @provider: a copy
 * @fresh: not from the cache
 * @ret: the caller owns it
 *
 * Without a lock; takes both.
 *
 * Return: 0; -ENOKEY with EXIT_NO_KEY, whatever the cause; the text says which.
 */
int native_kdk(struct provider_registry *registry, const struct provider *provider, bool fresh,
	       struct secret *ret, struct error *e);

/**
 * native_fingerprint() - 16 bytes of HKDF-SHA256(KDK, salt = provider's UUID, info =
 * "vmcrypt-native-kdk-id-v1")
 *
 * Says nothing about the KDK, which has 256 bits, to whom does not have it.
 */
int native_fingerprint(const struct secret *kdk, const uint8_t id[UUID_SIZE],
		       uint8_t ret[KDK_FINGERPRINT_SIZE]);

/**
 * native_choose_sealing() - turn a wish into SEALING_TPM or SEALING_NONE
 *
 * Without the lock; takes the TPM's.
 *
 * Return: 0; -ENODEV with what to do.
 */
int native_choose_sealing(struct provider_registry *registry, enum provider_sealing wish,
			  enum provider_sealing *ret, struct error *e);

#endif
