/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key providers: where KEKs come from. One interface for all kinds: "native" ones
 * derive them from a KDK that this host keeps, those of "standard" ones are at a
 * key server, and the manager gives them to the host.
 *
 * A registry keeps one JSON file a provider under its folder,
 * STATE/providers/UUID.json (0600), and the UUID of the default provider in
 * STATE/providers/default. Every function here may be called from any thread.
 * Those that need a KDK wait for the TPM, one after the other; the others never
 * wait for it.
 */
#ifndef VMCRYPT_PROVIDER_PROVIDER_H
#define VMCRYPT_PROVIDER_PROVIDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"
#include "crypto/locator.h"
#include "provider/tpm.h"

/** PROVIDERS_MAX - providers that one host can have */
#define PROVIDERS_MAX 64

/**
 * enum provider_sealing - how a native provider's KDK is kept at rest
 * @SEALING_AUTO: by the TPM when there is one, else refuse (only as a wish)
 * @SEALING_TPM: by the TPM or not at all (--require-tpm)
 * @SEALING_NONE: in a file that only root can read (--allow-unsealed)
 * @SEALING_KEY_SERVER: not here at all: a standard provider has none (never as a wish)
 */
enum provider_sealing {
	SEALING_AUTO,
	SEALING_TPM,
	SEALING_NONE,
	SEALING_KEY_SERVER,
};

/** sealing_text() - "tpm", "none" or "key-server", as status and files have it */
const char *sealing_text(enum provider_sealing sealing);

/** PROVIDER_ASK_S - seconds that the manager has to give a key */
#define PROVIDER_ASK_S 20

/**
 * struct key_use - what a KEK is for, told to the manager
 * @vm: name of the VM
 * @disk: label of the disk
 */
struct key_use {
	const char *vm;
	const char *disk;
};

/**
 * struct provider_settings - what the registry is told by its program
 * @dir: folder of the providers' files; made (0700) when it is not there, its
 *	parent has to be there
 * @tcti: how the TPM is reached, as tss2-tctildr(7) has it; NULL:
 *	"device:/dev/tpmrm0"
 * @in_use: asked before a provider is deleted. Returns 1 and writes what uses
 *	it ("disk /dev/vdb of VM web1") to @ret_what, 0 when nothing does, or
 *	-errno with *e set. Called without the registry's lock.
 * @attached: the same for disks that are attached now, before the manager takes back a
 *	provider whose key it keeps
 * @key_in_use: as @in_use for one key, before it is taken from a host
 * @make: asks the manager for a new key of a standard provider. @deadline_ms is
 *	by CLOCK_MONOTONIC. @ret_key_id has KEY_ID_MAX + 1 bytes. Returns 0, or -errno
 *	with *ret_why set. Called without a lock, from any thread. @use may be NULL.
 *	NULL: there is no manager.
 * @fetch: asks it for a key by its id; else the same
 * @userdata: first argument of all of these
 *
 * Strings are copied.
 */
struct provider_settings {
	const char *dir;
	const char *tcti;
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
};

/**
 * struct provider_info - what is shown of a provider, nothing secret
 * @id: its UUID
 * @name: unique on a host
 * @type: "native" or "standard"; a literal
 * @created: seconds since 1970; 0 for a standard one: it was not made here
 * @backed_up: time of the last backup that was read back and found right,
 *	seconds since 1970; 0: never. A restored provider has the time of its
 *	restoring: the file it came from is its backup.
 * @sealing: SEALING_TPM, SEALING_NONE or, for a standard one, SEALING_KEY_SERVER
 * @is_default: used when no provider is named
 * @managed: given by the manager, which keeps its key, too
 * @usable: makes new keys: backed up, managed, or a standard one
 */
struct provider_info {
	uint8_t id[UUID_SIZE];
	char name[PROVIDER_NAME_MAX + 1];
	const char *type;
	int64_t created;
	int64_t backed_up;
	enum provider_sealing sealing;
	bool is_default;
	bool managed;
	bool usable;
};

struct provider_registry;

/**
 * provider_registry_open() - read all providers
 * @ret: freed by provider_registry_free(); written only on success
 *
 * A file that cannot be read or understood fails the whole: a provider that is
 * silently missing would look like lost disks. Left-overs of a crash (``.*.tmp``)
 * are deleted.
 */
int provider_registry_open(const struct provider_settings *settings,
			   struct provider_registry **ret, struct error *e);

/** provider_registry_free() - erases what is cached; NULL is left alone */
void provider_registry_free(struct provider_registry *registry);

/**
 * provider_registry_forget() - erase cached KDKs
 *
 * A KDK that the TPM unsealed stays in the secure heap until then, for a
 * hundred disks at start would else take a minute of TPM time. Call it when
 * nothing was asked for a while; the next key unseals again.
 */
void provider_registry_forget(struct provider_registry *registry);

/**
 * provider_list() - all providers, sorted by name
 * @ret: malloc'ed array, NULL when there are none
 */
int provider_list(struct provider_registry *registry, struct provider_info **ret,
		  size_t *ret_count, struct error *e);

/**
 * provider_show() - one provider
 * @name: its name or the text of its UUID; NULL: the default one
 *
 * Return: 0; -ENOENT (the text says which ones there are, or how to make one).
 */
int provider_show(struct provider_registry *registry, const char *name,
		  struct provider_info *ret, struct error *e);

/**
 * provider_info_to_json() - {id, name, type, created (null: not here), backed_up (null: never),
 * sealing, default, managed, usable}; NULL when out of memory
 */
json_t *provider_info_to_json(const struct provider_info *info);

/**
 * provider_create_native() - make a native provider with a new KDK
 * @sealing: what the administrator wants; SEALING_AUTO without a TPM is refused
 *	with what to do
 * @ret: may be NULL
 *
 * The first provider becomes the default one. It makes no keys before its
 * first backup.
 *
 * Return: 0; -EEXIST (name), -ENODEV (no TPM), -EINVAL, and what files and TPM
 * answer.
 */
int provider_create_native(struct provider_registry *registry, const char *name,
			   enum provider_sealing sealing, struct provider_info *ret,
			   struct error *e);

/**
 * provider_backup() - write a backup to a file that the caller opened
 * @fd: an empty regular file, open for reading and writing
 * @password: 1..PASSWORD_MAX bytes
 *
 * Written, synced, read back, opened with the password and compared with the
 * KDK; only then is the provider marked as backed up. Takes some seconds. On
 * failure the caller deletes the file.
 */
int provider_backup(struct provider_registry *registry, const char *name,
		    const struct secret *password, int fd, struct error *e);

/**
 * struct provider_restore_plan - what a restore does, or would do
 * @info: the provider as it is in the backup
 * @exists: a provider with this UUID is here already, with the same KDK: only
 *	its sealing is renewed
 * @becomes_default: there is no default provider
 * @sealing: how the KDK will be kept
 */
struct provider_restore_plan {
	struct provider_info info;
	bool exists;
	bool becomes_default;
	enum provider_sealing sealing;
};

/**
 * provider_restore() - bring a provider back from its backup
 * @fd: read from where it stands
 * @dry_run: do everything but the sealing and writing; fails where the real run would
 * @ret: may be NULL; what was done or would be done
 *
 * Return: 0; -EKEYREJECTED (wrong password), -EBADMSG (not a backup, damaged),
 * -EEXIST (another provider has this name, or this UUID with another KDK),
 * -ENODEV (no TPM).
 */
int provider_restore(struct provider_registry *registry, int fd, const struct secret *password,
		     enum provider_sealing sealing, bool dry_run,
		     struct provider_restore_plan *ret, struct error *e);

/** provider_restore_plan_to_json() - NULL when out of memory */
json_t *provider_restore_plan_to_json(const struct provider_restore_plan *plan);

/** provider_set_default() - Return: 0; -ENOENT */
int provider_set_default(struct provider_registry *registry, const char *name, struct error *e);

/**
 * provider_check() - make a key, get it again, compare; asks the TPM anew
 *
 * Of a standard provider the key that was used last here is asked for anew and
 * compared; -ENODATA: there is none yet.
 *
 * Return: 0; the error that a disk would meet.
 */
int provider_check(struct provider_registry *registry, const char *name, struct error *e);

/**
 * provider_delete() - erase a provider from this host
 *
 * Return: 0; -EBUSY (in use; the text says by what), -ENOENT, -EPERM (given by the manager).
 */
int provider_delete(struct provider_registry *registry, const char *name, struct error *e);

/**
 * provider_key_new() - a new KEK, used for one wrap
 * @name: name or UUID of the provider; NULL: the default one
 * @use: what it is for; may be NULL for a native one
 * @ret: names the key for the header; written only on success
 * @ret_kek: 32 bytes; the caller owns it
 *
 * Return: 0; -ENOENT (no such provider, or no default), -ENOKEY with
 * EXIT_NO_KEY (not backed up yet, the KDK cannot be had, or the manager is away or
 * cannot make one: then the text has vSphere's name of the reason), -EACCES (the
 * manager refuses).
 */
int provider_key_new(struct provider_registry *registry, const char *name,
		     const struct key_use *use, struct key_locator *ret, struct secret *ret_kek,
		     struct error *e);

/**
 * provider_key_get() - the KEK that a header names
 * @locator: the provider's UUID decides; the name is for the error text
 * @use: what it is for, as far as that is known; may be NULL
 * @ret_kek: 32 bytes; the caller owns it
 *
 * Return: 0; -ENOKEY with EXIT_NO_KEY and VMCRYPT_REASON_UNAVAILABLE (unknown
 * provider, TPM fails, manager away), -EACCES (the manager refuses), -EBADMSG with VMCRYPT_REASON_HEADER_DAMAGED (key id is
 * none of this provider's form).
 */
int provider_key_get(struct provider_registry *registry, const struct key_locator *locator,
		     const struct key_use *use, struct secret *ret_kek, struct error *e);

/**
 * struct provider_standard - a standard provider, as the manager names it
 * @id: its UUID
 * @name: as provider_name_valid() has it
 * @is_default: becomes this host's default; when none is, the default stays
 */
struct provider_standard {
	uint8_t id[UUID_SIZE];
	char name[PROVIDER_NAME_MAX + 1];
	bool is_default;
};

/**
 * provider_set_standard() - have these standard providers and no others
 *
 * Adds, renames and removes; with one that is removed its keys here are erased.
 * Native ones stay as they are. What is refused changes nothing; when a file
 * cannot be written, what was done before stays, and the list can be set again.
 *
 * Return: 0; -EINVAL, -EEXIST (a native one has the name or UUID), -EBUSY (one
 * that would go is in use; the text says by what), -E2BIG.
 */
int provider_set_standard(struct provider_registry *registry, const struct provider_standard *list,
			  size_t count, struct error *e);

/**
 * provider_key_put() - take a key that the manager pushes
 * @provider: UUID of a standard provider
 * @kek: KEK_SIZE bytes; copied
 *
 * Return: 0; -ENOENT (no such provider), -EINVAL (a native one, a bad key id),
 * -EBADMSG (size), -EKEYREJECTED (another key is here under this id, and stays).
 */
int provider_key_put(struct provider_registry *registry, const uint8_t provider[UUID_SIZE],
		     const char *key_id, const struct secret *kek, struct error *e);

/**
 * provider_key_remove() - erase a key that was pushed
 *
 * Return: 0; -ENOENT, -EBUSY (in use; the text says by what), -EINVAL (a native one).
 */
int provider_key_remove(struct provider_registry *registry, const uint8_t provider[UUID_SIZE],
			const char *key_id, struct error *e);

/** provider_key_known() - whether such a key is here; no use of it */
bool provider_key_known(struct provider_registry *registry, const uint8_t provider[UUID_SIZE],
			const char *key_id);

/** provider_keys_forget() - erase all keys of standard providers */
void provider_keys_forget(struct provider_registry *registry);

/**
 * struct provider_managed - a native provider that the manager gives
 * @id: its UUID
 * @name: as provider_name_valid() has it
 * @created: seconds since 1970
 * @require_tpm: not without one
 * @is_default: becomes this host's default
 */
struct provider_managed {
	uint8_t id[UUID_SIZE];
	const char *name;
	int64_t created;
	bool require_tpm;
	bool is_default;
};

/**
 * provider_put_managed() - take it
 * @kdk: KDK_SIZE bytes
 *
 * It makes keys at once: the manager keeps its KDK. One that is here with the same KDK
 * becomes managed, is renamed and sealed anew.
 *
 * Return: 0; -EEXIST (another provider has the name or the UUID), -EKEYREJECTED (it is here
 * with another KDK, and stays), -ENODEV (no TPM), -EINVAL, -EBADMSG.
 */
int provider_put_managed(struct provider_registry *registry, const struct provider_managed *managed,
			 const struct secret *kdk, struct error *e);

/** provider_managed_known() - whether provider_put_managed() would change nothing */
bool provider_managed_known(struct provider_registry *registry,
			    const struct provider_managed *managed, const struct secret *kdk);

/**
 * provider_remove_managed() - erase it
 * @kept: the manager keeps its key: no data is lost, and only a disk that is attached holds it
 *	here; else any disk that is known does
 *
 * Return: 0; -EBUSY (in use; the text says by what), -ENOENT, -EINVAL (not managed).
 */
int provider_remove_managed(struct provider_registry *registry, const uint8_t id[UUID_SIZE],
			    bool kept, struct error *e);

/**
 * provider_forget_managed() - erase all that came from the manager, whatever uses it:
 * standard providers with their keys, and managed ones
 */
int provider_forget_managed(struct provider_registry *registry, struct error *e);

/*
 * The TPM for what the agent keeps beside providers: the talks of one process with it must
 * not meet. As tpm_present(), tpm_seal() and tpm_unseal().
 */
int provider_tpm_present(struct provider_registry *registry, struct error *e);
int provider_tpm_seal(struct provider_registry *registry, const struct secret *secret,
		      struct tpm_sealed *ret, struct error *e);
int provider_tpm_unseal(struct provider_registry *registry, const struct tpm_sealed *sealed,
			struct secret *ret, struct error *e);

/** provider_key_count() - how many keys of standard providers are here */
size_t provider_key_count(struct provider_registry *registry);

#endif
