// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the rest of the agent asks of providers: making, backing up, restoring
 * and deleting them, and their keys.
 */
#include "provider/provider.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "crypto/backup.h"
#include "crypto/kdf.h"
#include "provider/lock.h"
#include "provider/registry.h"
#include "vmcrypt.h"

static void cleanup_provider(struct provider **provider)
{
	provider_free(*provider);
}

static struct provider *native_alloc(const uint8_t id[UUID_SIZE], const char *name, int64_t created)
{
	struct provider *provider = calloc(1, sizeof(*provider));

	if (!provider)
		return NULL;
	provider->ops = &native_ops;
	provider->created = created;
	memcpy(provider->id, id, UUID_SIZE);
	memcpy(provider->name, name, strlen(name) + 1);
	return provider;
}

static int refuse_name(struct provider_registry *registry, const char *name, struct error *e)
{
	uint8_t id[UUID_SIZE];

	if (!provider_name_valid(name) || uuid_parse_text(name, id) == 0)
		return error_usage(e, "A provider cannot be called \"%.80s\": 1 to %d letters, digits, "
				   "'.', '_' and '-', a letter or digit first, and no UUID", name,
				   PROVIDER_NAME_MAX);
	if (registry_find(registry, name))
		return error_fail(e, EEXIST, "This host has a provider \"%s\" already: choose another name",
				  name);
	return 0;
}

static int check_new_name(struct provider_registry *registry, const char *name, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);

	return refuse_name(registry, name, e);
}

/* The name was free before; somebody may have taken it while the TPM worked. */
static int add_new(struct provider_registry *registry, struct provider *provider,
		   const struct secret *kdk, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	int r;

	r = refuse_name(registry, provider->name, e);
	return r < 0 ? r : registry_add(registry, provider, kdk, e);
}

int provider_create_native(struct provider_registry *registry, const char *name,
			   enum provider_sealing sealing, struct provider_info *ret,
			   struct error *e)
{
	_cleanup_(cleanup_provider) struct provider *provider = NULL;
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	uint8_t id[UUID_SIZE];
	int r;

	r = check_new_name(registry, name, e);
	if (r == 0)
		r = native_choose_sealing(registry, sealing, &sealing, e);
	if (r < 0)
		return r;
	r = uuid_random(id);
	if (r == 0)
		r = secret_random(KDK_SIZE, &kdk);
	if (r < 0)
		return error_fail(e, r, "Cannot make a key for provider \"%s\": %s", name, strerror(-r));
	provider = native_alloc(id, name, time_now());
	if (!provider)
		return error_oom(e);

	r = native_seal(registry, provider, &kdk, sealing, e);
	if (r == 0)
		r = add_new(registry, provider, &kdk, e);
	if (r < 0) {
		error_prefix(e, "Cannot create provider \"%s\"", name);
		return r;
	}
	provider = NULL;
	return ret ? provider_show(registry, name, ret, e) : 0;
}

static int check_backup_file(int fd, struct error *e)
{
	struct stat st;
	int flags;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st) < 0)
		return error_fail(e, errno, "Cannot use the backup's file: %s", strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size != 0 || (flags & O_ACCMODE) != O_RDWR)
		return error_usage(e, "A backup is written to a new, empty, regular file that can be read "
				   "back");
	return 0;
}

/* What counts is what comes back from the file, with the password as given. */
static int verify_backup(int fd, const uint8_t *der, size_t size, const struct secret *password,
			 const struct backup_content *content, struct error *e)
{
	_cleanup_backup_ struct backup_content again = { .kdk = SECRET_NULL };
	_cleanup_free_ uint8_t *read_back = NULL;
	ssize_t got;
	int r;

	read_back = malloc(size + 1);
	if (!read_back)
		return error_oom(e);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	got = pread(fd, read_back, size + 1, 0);
	if (got < 0)
		return error_fail(e, errno, "Cannot read the backup back: %s", strerror(errno));
	if ((size_t) got != size || memcmp(read_back, der, size) != 0)
		return error_fail(e, EIO, "The backup reads back differently than it was written: choose "
				  "another place for it");
	r = backup_read(read_back, size, password, &again, e);
	if (r < 0)
		return r;
	if (!secret_equal(&again.kdk, &content->kdk) ||
	    memcmp(again.provider, content->provider, UUID_SIZE) != 0)
		return error_fail(e, EIO, "The backup does not hold the provider's key: it cannot be used");
	return 0;
}

static int write_backup(const struct backup_content *content, const struct secret *password, int fd,
			struct error *e)
{
	_cleanup_free_ uint8_t *der = NULL;
	size_t size;
	int r;

	r = check_backup_file(fd, e);
	if (r == 0)
		r = backup_write(content, password, &der, &size, e);
	if (r < 0)
		return r;
	r = file_write_all(fd, der, size);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		return error_fail(e, r, "Cannot write the backup: %s", strerror(-r));
	return verify_backup(fd, der, size, password, content, e);
}

static int get_content(struct provider_registry *registry, const char *name,
		       struct backup_content *ret, struct error *e)
{
	struct provider provider;
	int r;

	r = registry_copy(registry, name, &provider, e);
	if (r < 0)
		return r;
	ret->created = provider.created;
	if (!provider.ops->local)
		return error_fail(e, EOPNOTSUPP, "Provider \"%s\" has no key on this host to be backed "
				  "up: its keys are at its key server", provider.name);
	if (provider.managed)
		return error_fail(e, EOPNOTSUPP, "Provider \"%s\" was given by the manager: back it up "
				  "there", provider.name);
	memcpy(ret->provider, provider.id, UUID_SIZE);
	memcpy(ret->name, provider.name, sizeof(ret->name));
	return native_kdk(registry, &provider, /* fresh= */ false, &ret->kdk, e);
}

static int mark_backed_up(struct provider_registry *registry, const struct backup_content *content,
			  struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *provider;
	int64_t before;
	int r;

	provider = registry_find_id(registry, content->provider);
	if (!provider)
		return error_fail(e, ENOENT, "Provider \"%s\" was deleted meanwhile", content->name);
	before = provider->backed_up;
	provider->backed_up = time_now();
	r = provider_save(registry, provider, &content->kdk, e);
	if (r < 0)
		provider->backed_up = before;
	return r;
}

int provider_backup(struct provider_registry *registry, const char *name,
		    const struct secret *password, int fd, struct error *e)
{
	_cleanup_backup_ struct backup_content content = { .kdk = SECRET_NULL };
	int r;

	/* No lock is held while PBKDF2 works: disks go on being attached. */
	r = get_content(registry, name, &content, e);
	if (r == 0)
		r = write_backup(&content, password, fd, e);
	if (r == 0)
		r = mark_backed_up(registry, &content, e);
	return r;
}

/* Whether the backup fits what is here already. */
static int compare_restore(struct provider_registry *registry, const struct backup_content *content,
			   struct provider **ret_here, struct error *e)
{
	uint8_t fingerprint[KDK_FINGERPRINT_SIZE];
	struct provider *here, *namesake;

	here = registry_find_id(registry, content->provider);
	namesake = registry_find(registry, content->name);
	if (!here && namesake)
		return error_fail(e, EEXIST, "Cannot restore: another provider is called \"%s\" here: "
				  "delete it first, if nothing needs it", content->name);
	if (native_fingerprint(&content->kdk, content->provider, fingerprint) < 0)
		return error_oom(e);
	if (here && memcmp(fingerprint, here->fingerprint, sizeof(fingerprint)) != 0)
		return error_fail(e, EEXIST, "Cannot restore: provider \"%s\" is here with another key: "
				  "this backup is not of the provider it says", here->name);
	*ret_here = here;
	return 0;
}

static void fill_plan(const struct provider_registry *registry, const struct backup_content *content,
		      const struct provider *here, enum provider_sealing sealing,
		      struct provider_restore_plan *ret)
{
	bool becomes_default = !here && !registry->has_default;

	*ret = (struct provider_restore_plan) {
		.info = {
			.type = native_ops.type,
			.created = content->created,
			.backed_up = time_now(),
			.sealing = sealing,
			.is_default = becomes_default || (here && registry->has_default &&
				memcmp(here->id, registry->default_id, UUID_SIZE) == 0),
			.usable = true,
		},
		.exists = here,
		.becomes_default = becomes_default,
		.sealing = sealing,
	};
	memcpy(ret->info.id, content->provider, UUID_SIZE);
	memcpy(ret->info.name, here ? here->name : content->name, sizeof(ret->info.name));
}

/* On the disk before in memory: after a failure the old sealing still stands. */
static int reseal(struct provider_registry *registry, struct provider *here,
		  const struct provider *restored, const struct secret *kdk, struct error *e)
{
	struct provider changed = *here;
	int r;

	changed.backed_up = restored->backed_up;
	changed.sealing = restored->sealing;
	changed.sealed = restored->sealed;
	r = provider_save(registry, &changed, kdk, e);
	if (r < 0)
		return r;
	secret_done(&here->cached);
	changed.cached = SECRET_NULL;
	*here = changed;
	return 0;
}

/* What the TPM or its absence decides, with no lock held. */
static int prepare_restore(struct provider_registry *registry, const struct backup_content *content,
			   enum provider_sealing sealing, bool dry_run, struct provider **ret,
			   struct error *e)
{
	_cleanup_(cleanup_provider) struct provider *provider = NULL;
	int r;

	r = native_choose_sealing(registry, sealing, &sealing, e);
	if (r < 0)
		return r;
	provider = native_alloc(content->provider, content->name, content->created);
	if (!provider)
		return error_oom(e);
	provider->sealing = sealing;
	provider->backed_up = time_now();
	if (!dry_run)
		r = native_seal(registry, provider, &content->kdk, sealing, e);
	if (r < 0) {
		error_prefix(e, "Cannot restore provider \"%s\"", content->name);
		return r;
	}
	*ret = TAKE_PTR(provider);
	return 0;
}

/* Takes *provider over when it becomes a new one. */
static int do_restore(struct provider_registry *registry, const struct backup_content *content,
		      struct provider **provider, bool dry_run, struct provider_restore_plan *ret,
		      struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider_restore_plan plan;
	struct provider *here = NULL;
	int r;

	r = compare_restore(registry, content, &here, e);
	if (r < 0)
		return r;
	fill_plan(registry, content, here, (*provider)->sealing, &plan);
	if (!dry_run) {
		r = here ? reseal(registry, here, *provider, &content->kdk, e) :
			   registry_add(registry, *provider, &content->kdk, e);
		if (r < 0) {
			error_prefix(e, "Cannot restore provider \"%s\"", plan.info.name);
			return r;
		}
		if (!here)
			*provider = NULL;
	}
	if (ret)
		*ret = plan;
	return 0;
}

static int check_restore(struct provider_registry *registry, const struct backup_content *content,
			 struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *here;

	return compare_restore(registry, content, &here, e);
}

int provider_restore(struct provider_registry *registry, int fd, const struct secret *password,
		     enum provider_sealing sealing, bool dry_run,
		     struct provider_restore_plan *ret, struct error *e)
{
	_cleanup_backup_ struct backup_content content = { .kdk = SECRET_NULL };
	_cleanup_(cleanup_provider) struct provider *provider = NULL;
	_cleanup_secret_ struct secret file = SECRET_NULL;
	int r;

	r = file_read_secret(fd, "the backup", BACKUP_SIZE_MAX, &file, e);
	if (r == 0)
		r = backup_read(file.data, file.size, password, &content, e);
	if (r == 0)
		r = check_restore(registry, &content, e);
	if (r == 0)
		r = prepare_restore(registry, &content, sealing, dry_run, &provider, e);
	if (r == 0)
		r = do_restore(registry, &content, &provider, dry_run, ret, e);
	return r;
}

json_t *provider_restore_plan_to_json(const struct provider_restore_plan *plan)
{
	json_t *info = provider_info_to_json(&plan->info);

	return json_pack("{s:o, s:b, s:b, s:s}", "provider", info, "exists", plan->exists,
			 "becomes_default", plan->becomes_default,
			 "sealing", sealing_text(plan->sealing));
}

int provider_check(struct provider_registry *registry, const char *name, struct error *e)
{
	struct provider provider;
	int r;

	r = registry_copy(registry, name, &provider, e);
	if (r < 0)
		return r;
	return provider.ops->check(registry, &provider, e);
}

/* From here on no key of it is made, so that "nothing uses it" stays true. */
static int begin_delete(struct provider_registry *registry, const char *name,
			uint8_t ret_id[UUID_SIZE], struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = registry_lock(registry);
	struct provider *provider;
	int r;

	r = registry_need(registry, name, &provider, e);
	if (r < 0)
		return r;
	if (provider->deleting)
		return error_fail(e, EBUSY, "Provider \"%s\" is being deleted already", provider->name);
	provider->deleting = true;
	memcpy(ret_id, provider->id, UUID_SIZE);
	return 0;
}

static int ask_in_use(struct provider_registry *registry, const char *name,
		      const uint8_t id[UUID_SIZE], struct error *e)
{
	char what[256] = "something";
	int r;

	r = registry->in_use ? registry->in_use(registry->userdata, id, what, sizeof(what), e) : 0;
	if (r > 0)
		return error_fail(e, EBUSY, "Cannot delete provider \"%.64s\": %s uses it; without it "
				  "that data is lost", name, what);
	return r;
}

static int ask_attached(struct provider_registry *registry, const char *name,
			const uint8_t id[UUID_SIZE], struct error *e)
{
	char what[256] = "something";
	int r;

	r = registry->attached ? registry->attached(registry->userdata, id, what, sizeof(what), e) : 0;
	if (r > 0)
		return error_fail(e, EBUSY, "Provider \"%.64s\" stays on this host: %s is attached and "
				  "uses it", name, what);
	return r;
}

int registry_delete(struct provider_registry *registry, const char *name, bool kept,
		    struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	struct provider *provider;
	uint8_t id[UUID_SIZE];
	int r;

	r = begin_delete(registry, name, id, e);
	if (r < 0)
		return r;
	r = kept ? ask_attached(registry, name, id, e) : ask_in_use(registry, name, id, e);

	lock = registry_lock(registry);
	provider = registry_find_id(registry, id);
	if (!provider)
		return error_fail(e, ENOENT, "Provider \"%.64s\" is gone already", name);
	if (r == 0)
		r = registry_remove(registry, provider, e);
	if (r < 0 && registry_find_id(registry, id))
		provider->deleting = false;
	return r;
}

int provider_delete(struct provider_registry *registry, const char *name, struct error *e)
{
	struct provider provider;
	int r;

	if (!name)
		return error_usage(e, "Which provider is to be deleted has to be said");
	r = registry_copy(registry, name, &provider, e);
	if (r == 0 && provider.managed)
		return error_set(e, EPERM, EXIT_NOT_ALLOWED, 0, "Provider \"%s\" was given by the manager, "
				 "and goes only by its word", provider.name);
	return r < 0 ? r : registry_delete(registry, name, /* kept= */ false, e);
}

static void fill_locator(const struct provider *provider, struct key_locator *ret)
{
	memcpy(ret->provider, provider->id, UUID_SIZE);
	memcpy(ret->provider_name, provider->name, sizeof(ret->provider_name));
}

int provider_key_new(struct provider_registry *registry, const char *name,
		     const struct key_use *use, struct key_locator *ret, struct secret *ret_kek,
		     struct error *e)
{
	struct key_locator locator = { .key_id = "" };
	struct provider provider;
	int r;

	r = registry_copy(registry, name, &provider, e);
	if (r < 0)
		return r;
	if (provider.deleting)
		return error_set(e, ENOKEY, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
				 "Provider \"%s\" makes no new keys: it is being deleted", provider.name);
	if (provider.ops->local && !provider.managed && provider.backed_up == 0)
		return error_set(e, ENOKEY, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
				 "Provider \"%s\" makes no keys before it is backed up: run vmcryptctl "
				 "provider backup %s --out FILE --password-file FILE", provider.name,
				 provider.name);
	r = provider.ops->key_new(registry, &provider, use, locator.key_id, ret_kek, e);
	if (r < 0)
		return r;
	fill_locator(&provider, &locator);
	*ret = locator;
	return 0;
}

int provider_key_get(struct provider_registry *registry, const struct key_locator *locator,
		     const struct key_use *use, struct secret *ret_kek, struct error *e)
{
	char id[UUID_TEXT_SIZE];
	struct provider provider;

	uuid_format(locator->provider, id);
	if (registry_copy(registry, id, &provider, NULL) < 0)
		return standard_key_foreign(registry, locator, use, ret_kek, e);
	return provider.ops->key_get(registry, &provider, locator->key_id, use, ret_kek, e);
}
