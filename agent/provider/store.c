// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The providers' files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "common/log.h"
#include "crypto/kdf.h"
#include "provider/registry.h"

#define FILE_VERSION	1
#define FILE_SIZE_MAX	((size_t) 16 * 1024)
#define FILE_SUFFIX	".json"
#define DEFAULT_NAME	"default"

static const struct provider_ops *const kinds[] = { &native_ops, &standard_ops };

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static void cleanup_provider(struct provider **provider)
{
	provider_free(*provider);
}

const char *sealing_text(enum provider_sealing sealing)
{
	return sealing == SEALING_TPM ? "tpm" :
	       sealing == SEALING_KEY_SERVER ? "key-server" : "none";
}

void provider_free(struct provider *provider)
{
	if (!provider)
		return;
	secret_done(&provider->cached);
	free(provider);
}

char *provider_path(const struct provider_registry *registry, const uint8_t id[UUID_SIZE])
{
	char text[UUID_TEXT_SIZE];
	char *path;

	uuid_format(id, text);
	if (asprintf(&path, "%s/%s" FILE_SUFFIX, registry->dir, text) < 0)
		return NULL;
	return path;
}

static json_t *standard_to_json(const struct provider *provider)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(provider->id, id);
	return json_pack("{s:i, s:s, s:s, s:s}", "v", FILE_VERSION, "type", provider->ops->type, "name",
			 provider->name, "id", id);
}

static json_t *provider_to_json(const struct provider *provider, const struct secret *kdk)
{
	_cleanup_json_ json_t *json = NULL;
	char created[TIME_TEXT_SIZE], backed_up[TIME_TEXT_SIZE];
	bool tpm = provider->sealing == SEALING_TPM;
	int r;

	time_format(provider->created, created);
	time_format(provider->backed_up, backed_up);
	json = json_pack("{s:i, s:s, s:s, s:s, s:s?, s:s}", "v", FILE_VERSION,
			 "type", provider->ops->type, "name", provider->name, "created", created,
			 "backed_up", provider->backed_up > 0 ? backed_up : NULL,
			 "sealing", sealing_text(provider->sealing));
	if (!json || json_set_uuid(json, "id", provider->id) < 0 ||
	    (provider->managed && json_object_set_new(json, "managed", json_true()) < 0) ||
	    json_set_base64(json, "fingerprint", provider->fingerprint, KDK_FINGERPRINT_SIZE) < 0)
		return NULL;
	r = tpm ? json_object_set_new(json, "tpm", tpm_sealed_to_json(&provider->sealed)) :
		  json_set_base64(json, "kdk", kdk->data, kdk->size);
	return r < 0 ? NULL : TAKE_PTR(json);
}

int provider_save(struct provider_registry *registry, const struct provider *provider,
		  const struct secret *kdk, struct error *e)
{
	_cleanup_secret_ struct secret text = SECRET_NULL;
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *path = NULL;
	int r;

	path = provider_path(registry, provider->id);
	json = provider->ops->local ? provider_to_json(provider, kdk) : standard_to_json(provider);
	if (!path || !json)
		return error_oom(e);
	r = json_format_secret(json, &text, e);
	if (r < 0)
		return r;
	return file_replace_secret(path, text.data, text.size, 0600, e);
}

static int parse_kind(const json_t *json, const char *what, struct provider *provider,
		      struct error *e)
{
	uint64_t version;
	const char *type;
	size_t i;
	int r;

	r = json_get_uint(json, what, "v", INT64_MAX, &version, e);
	if (r == 0 && version != FILE_VERSION)
		return error_fail(e, EBADMSG, "The %s has version %ju, this program knows %d: use the "
				  "program that wrote it", what, (uintmax_t) version, FILE_VERSION);
	if (r == 0)
		r = json_get_string(json, what, "type", 16, &type, e);
	if (r != 0)
		return r;
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i]->type, type) == 0)
			provider->ops = kinds[i];
	if (!provider->ops)
		return error_fail(e, EBADMSG, "The %s is of an unknown type \"%s\"", what, type);
	return 0;
}

static int parse_names(const json_t *json, const char *what, struct provider *provider,
		       struct error *e)
{
	const char *name;
	int r;

	r = json_get_uuid(json, what, "id", provider->id, e);
	if (r == 0)
		r = json_get_string(json, what, "name", PROVIDER_NAME_MAX, &name, e);
	if (r == 0 && !provider_name_valid(name))
		return error_fail(e, EBADMSG, "The %s is not valid: \"name\" is no provider's name", what);
	if (r != 0)
		return r;
	memcpy(provider->name, name, strlen(name) + 1);
	return 0;
}

static int parse_facts(const json_t *json, const char *what, struct provider *provider,
		       struct error *e)
{
	int r;

	r = json_get_time(json, what, "created", &provider->created, e);
	if (r == 0 && !json_is_null(json_object_get(json, "backed_up")))
		r = json_get_time(json, what, "backed_up", &provider->backed_up, e);
	if (r == 0)
		r = json_get_base64(json, what, "fingerprint", provider->fingerprint,
				    KDK_FINGERPRINT_SIZE, e);
	if (r == 0 && json_has(json, "managed"))
		r = json_get_bool(json, what, "managed", &provider->managed, e);
	return r;
}

static int parse_kdk(const json_t *json, const char *what, struct provider *provider,
		     struct secret *ret_kdk, struct error *e)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL;
	const char *sealing;
	json_t *tpm;
	int r;

	r = json_get_string(json, what, "sealing", 8, &sealing, e);
	if (r < 0)
		return r;
	if (strcmp(sealing, sealing_text(SEALING_TPM)) == 0) {
		provider->sealing = SEALING_TPM;
		r = json_get_object(json, what, "tpm", &tpm, e);
		return r < 0 ? r : tpm_sealed_from_json(tpm, what, &provider->sealed, e);
	}
	if (strcmp(sealing, sealing_text(SEALING_NONE)) != 0)
		return error_fail(e, EBADMSG, "The %s is not valid: unknown \"sealing\"", what);

	provider->sealing = SEALING_NONE;
	r = secret_new(KDK_SIZE, &kdk);
	if (r < 0)
		return error_oom(e);
	r = json_get_base64(json, what, "kdk", kdk.data, kdk.size, e);
	if (r == 0 && ret_kdk)
		*ret_kdk = secret_take(&kdk);
	return r;
}

static int provider_from_json(const json_t *json, const char *what, struct provider **ret,
			      struct secret *ret_kdk, struct error *e)
{
	static const char *const known[] = {
		"v", "type", "id", "name", "created", "backed_up", "sealing", "fingerprint",
		"tpm", "kdk", "managed", NULL
	};
	static const char *const standard[] = { "v", "type", "id", "name", NULL };
	_cleanup_(cleanup_provider) struct provider *provider = NULL;
	int r;

	provider = calloc(1, sizeof(*provider));
	if (!provider)
		return error_oom(e);
	r = parse_kind(json, what, provider, e);
	if (r == 0)
		r = json_check_keys(json, what, provider->ops->local ? known : standard, e);
	if (r == 0)
		r = parse_names(json, what, provider, e);
	if (r == 0 && provider->ops->local)
		r = parse_facts(json, what, provider, e);
	if (r == 0 && provider->ops->local)
		r = parse_kdk(json, what, provider, ret_kdk, e);
	if (r < 0)
		return r;
	if (!provider->ops->local)
		provider->sealing = SEALING_KEY_SERVER;
	*ret = TAKE_PTR(provider);
	return 0;
}

/* Others must not be able to read what may hold a KDK. */
static int open_private(const char *path, struct error *e)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_fail(e, errno, "Cannot read %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_fail(e, EINVAL, "Cannot read %s: not a regular file", path);
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return error_set(e, EPERM, EXIT_NOT_ALLOWED, 0, "Others have access to %s: find out who "
				 "may have read it, then give it to its owner alone (chown, chmod 600)",
				 path);
	return TAKE_FD(fd);
}

int provider_load(const char *path, struct provider **ret, struct secret *ret_kdk,
		  struct error *e)
{
	_cleanup_secret_ struct secret text = SECRET_NULL;
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *what = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&what, "provider file %s", path) < 0)
		return error_oom(e);
	fd = open_private(path, e);
	if (fd < 0)
		return fd;
	r = file_read_secret(fd, path, FILE_SIZE_MAX, &text, e);
	if (r == 0)
		r = json_parse((const char *) text.data, text.size, FILE_SIZE_MAX, what, &json, e);
	if (r == 0)
		r = provider_from_json(json, what, ret, ret_kdk, e);
	return r;
}

static int load_default(struct provider_registry *registry, struct error *e)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t n;
	int r;

	if (asprintf(&path, "%s/" DEFAULT_NAME, registry->dir) < 0)
		return error_oom(e);
	r = file_read_bounded(path, UUID_TEXT_SIZE, &text, NULL, e);
	if (r == -ENOENT) {
		if (e)
			*e = ERROR_NULL;
		return 0;
	}
	if (r < 0)
		return r;
	n = strcspn(text, "\n");
	text[n] = '\0';
	if (uuid_parse_text(text, registry->default_id) < 0)
		return error_fail(e, EBADMSG, "%s does not hold a provider's UUID: delete it and choose "
				  "one again (vmcryptctl provider default)", path);
	registry->has_default = registry_find_id(registry, registry->default_id);
	return 0;
}

int registry_set_default(struct provider_registry *registry, const struct provider *provider,
			 struct error *e)
{
	_cleanup_free_ char *path = NULL;
	char text[UUID_TEXT_SIZE];
	int r;

	if (asprintf(&path, "%s/" DEFAULT_NAME, registry->dir) < 0)
		return error_oom(e);
	uuid_format(provider->id, text);
	text[UUID_TEXT_SIZE - 1] = '\n';
	r = file_write_atomic(path, text, sizeof(text), 0600, e);
	if (r < 0)
		return r;
	memcpy(registry->default_id, provider->id, UUID_SIZE);
	registry->has_default = true;
	return 0;
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && strcmp(name + n - m, suffix) == 0;
}

static int load_one(struct provider_registry *registry, const char *path, const char *file,
		    struct error *e)
{
	_cleanup_(cleanup_provider) struct provider *provider = NULL;
	const struct provider *namesake;
	char id[UUID_TEXT_SIZE];
	int r;

	if (registry->count == PROVIDERS_MAX)
		return error_fail(e, E2BIG, "%s holds more than %d providers", registry->dir,
				  PROVIDERS_MAX);
	r = provider_load(path, &provider, NULL, e);
	if (r != 0 || !provider)
		return r;
	uuid_format(provider->id, id);
	if (strncmp(file, id, UUID_TEXT_SIZE - 1) != 0 || strlen(file) != UUID_TEXT_SIZE - 1 +
	    strlen(FILE_SUFFIX))
		return error_fail(e, EBADMSG, "%s holds provider %s: it was renamed or copied, "
				  "move it away or give it its name back", path, id);
	namesake = registry_find(registry, provider->name);
	/* A crash between two renamings that the manager asked for leaves two standard
	 * providers of one name. Headers name them by UUID, and it sets the list anew. */
	if (namesake && (namesake->ops->local || provider->ops->local))
		return error_fail(e, EEXIST, "%s: another provider is called \"%s\" too: move one of the "
				  "two files away", path, provider->name);
	registry->providers[registry->count++] = TAKE_PTR(provider);
	return 0;
}

static int load_entry(struct provider_registry *registry, const char *file, struct error *e)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", registry->dir, file) < 0)
		return error_oom(e);
	if (file[0] == '.' && has_suffix(file, ".tmp")) {
		log_notice("Deleting %s, which a crash has left", path);
		return file_erase_rest(path, e);
	}
	if (file[0] == '.' || !has_suffix(file, FILE_SUFFIX))
		return 0;
	return load_one(registry, path, file, e);
}

int registry_load(struct provider_registry *registry, struct error *e)
{
	_cleanup_(cleanup_dir) DIR *dir = NULL;
	struct dirent *entry;
	struct stat st;
	int r;

	r = file_make_dir(registry->dir, 0700, e);
	if (r < 0)
		return r;
	dir = opendir(registry->dir);
	if (!dir || fstat(dirfd(dir), &st) < 0)
		return error_fail(e, errno, "Cannot read %s: %s", registry->dir, strerror(errno));
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return error_set(e, EPERM, EXIT_NOT_ALLOWED, 0, "Others can write to %s: give it to its "
				 "owner alone (chown, chmod 700)", registry->dir);

	for (errno = 0; (entry = readdir(dir)); errno = 0) {
		r = load_entry(registry, entry->d_name, e);
		if (r < 0)
			return r;
	}
	if (errno != 0)
		return error_fail(e, errno, "Cannot read %s: %s", registry->dir, strerror(errno));
	return load_default(registry, e);
}
