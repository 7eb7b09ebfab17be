/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of an identity. */
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
#include "crypto/x509.h"
#include "host/identity.h"

#define WHAT		"identity of this host"
#define FILE_VERSION	1
#define FILE_SIZE_MAX	((size_t)128 * 1024)
#define MODE_SIZE_MAX	32

static char *path_of(const char *state_dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/" IDENTITY_DIR "%s%s", state_dir, *name ? "/" : "", name) < 0 ?
	       NULL : path;
}

static json_t *to_json(const struct identity *identity)
{
	_cleanup_json_ json_t *json = NULL;
	int r;

	json = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "v", FILE_VERSION, "url", identity->url,
			 "host", identity->host, "ca", identity->ca, "certificate",
			 identity->certificate, "sealing", identity->sealed ? "tpm" : "none");
	if (!json)
		return NULL;
	if (!identity->sealed)
		r = json_set_base64(json, "key", identity->key.data, identity->key.size);
	else if (json_object_set_new(json, "tpm", tpm_sealed_to_json(&identity->tpm)) < 0 ||
		 json_set_base64(json, "iv", identity->iv, sizeof(identity->iv)) < 0 ||
		 json_set_base64(json, "tag", identity->tag, sizeof(identity->tag)) < 0)
		r = -ENOMEM;
	else
		r = json_set_base64(json, "box", identity->box, identity->box_size);
	return r < 0 ? NULL : TAKE_PTR(json);
}

int identity_save(const char *state_dir, const struct identity *identity, struct error *e)
{
	_cleanup_free_ char *dir = path_of(state_dir, ""), *path = path_of(state_dir, IDENTITY_FILE);
	_cleanup_json_ json_t *json = to_json(identity);
	_cleanup_secret_ struct secret text = SECRET_NULL;
	int r;

	if (!dir || !path || !json)
		return error_oom(e);
	r = file_make_dir(dir, 0700, e);
	if (r == 0)
		r = file_sync_parent(dir, e);
	if (r == 0)
		r = json_format_secret(json, &text, e);
	return r < 0 ? r : file_replace_secret(path, text.data, text.size, 0600, e);
}

static int get_copy(const json_t *json, const char *name, size_t max, char **ret, struct error *e)
{
	const char *text;
	int r;

	r = json_get_string(json, WHAT, name, max, &text, e);
	if (r < 0)
		return r;
	*ret = strdup(text);
	return *ret ? 0 : error_oom(e);
}

static int parse_clear_key(const json_t *json, struct identity *identity, struct error *e)
{
	size_t size;
	int r;

	r = secret_new(IDENTITY_KEY_MAX, &identity->key);
	if (r < 0)
		return error_oom(e);
	r = json_get_base64_max(json, WHAT, "key", identity->key.data, IDENTITY_KEY_MAX, &size, e);
	if (r == 0 && size == 0)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: \"key\" is empty");
	if (r == 0)
		secret_shrink(&identity->key, size);
	return r;
}

static int parse_key(const json_t *json, struct identity *identity, struct error *e)
{
	const char *sealing;
	json_t *tpm;
	int r;

	r = json_get_string(json, WHAT, "sealing", 8, &sealing, e);
	if (r < 0)
		return r;
	if (!strcmp(sealing, "none"))
		return parse_clear_key(json, identity, e);
	if (strcmp(sealing, "tpm") != 0)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: unknown \"sealing\"");
	identity->sealed = true;
	r = json_get_object(json, WHAT, "tpm", &tpm, e);
	if (r == 0)
		r = tpm_sealed_from_json(tpm, WHAT, &identity->tpm, e);
	if (r == 0)
		r = json_get_base64(json, WHAT, "iv", identity->iv, sizeof(identity->iv), e);
	if (r == 0)
		r = json_get_base64(json, WHAT, "tag", identity->tag, sizeof(identity->tag), e);
	if (r == 0)
		r = json_get_base64_max(json, WHAT, "box", identity->box, IDENTITY_KEY_MAX,
					&identity->box_size, e);
	return r;
}

static int parse_certificate(struct identity *identity, struct error *e)
{
	_cleanup_(x509_freep) X509 *certificate = NULL;

	certificate = x509_from_pem(identity->certificate, strlen(identity->certificate));
	if (!certificate)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: \"certificate\" is none");
	identity->certificate_end = x509_seconds(X509_get0_notAfter(certificate));
	return 0;
}

static int from_json(const json_t *json, struct identity *identity, struct error *e)
{
	static const char *const known[] = {
		"v", "url", "host", "ca", "certificate", "sealing", "key", "tpm", "iv", "tag",
		"box", NULL
	};
	uint8_t uuid[UUID_SIZE];
	uint64_t version;
	int r;

	r = json_get_uint(json, WHAT, "v", INT64_MAX, &version, e);
	if (r == 0 && version != FILE_VERSION)
		return error_fail(e, EBADMSG, "The " WHAT " has version %ju, this program knows %d: use the program that wrote it",
				  (uintmax_t)version, FILE_VERSION);
	if (r == 0)
		r = json_check_keys(json, WHAT, known, e);
	if (r == 0)
		r = json_get_uuid(json, WHAT, "host", uuid, e);
	if (r == 0)
		r = get_copy(json, "url", IDENTITY_URL_MAX, &identity->url, e);
	if (r == 0)
		r = get_copy(json, "ca", IDENTITY_PEM_MAX, &identity->ca, e);
	if (r == 0)
		r = get_copy(json, "certificate", IDENTITY_PEM_MAX, &identity->certificate, e);
	if (r == 0)
		r = parse_certificate(identity, e);
	if (r == 0)
		r = parse_key(json, identity, e);
	if (r == 0)
		uuid_format(uuid, identity->host);
	return r;
}

int identity_parse(const char *text, size_t size, struct identity *ret, struct error *e)
{
	_cleanup_identity_ struct identity identity = IDENTITY_NULL;
	_cleanup_json_ json_t *json = NULL;
	int r;

	r = json_parse(text, size, FILE_SIZE_MAX, WHAT, &json, e);
	if (r == 0)
		r = from_json(json, &identity, e);
	if (r < 0)
		return r;
	*ret = identity_take(&identity);
	return 0;
}

static int open_private(const char *path, struct error *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_fail(e, errno, "Cannot read %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_fail(e, EINVAL, "Cannot read %s: not a regular file", path);
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return error_set(e, EPERM, EXIT_NOT_ALLOWED, 0, "Others have access to %s: who has read it can pass for this host. Remove the host at the manager, then join it anew",
				 path);
	return TAKE_FD(fd);
}

/* What a crash has left may hold a key. */
static void clean(const char *state_dir)
{
	_cleanup_free_ char *dir = path_of(state_dir, "");
	DIR *d = dir ? opendir(dir) : NULL;
	struct dirent *entry;
	size_t n;

	while (d && (entry = readdir(d))) {
		_cleanup_free_ char *path = path_of(state_dir, entry->d_name);

		n = strlen(entry->d_name);
		if (path && entry->d_name[0] == '.' && n > 4 &&
		    !strcmp(entry->d_name + n - 4, ".tmp"))
			(void)file_erase_rest(path, NULL);
	}
	if (d)
		closedir(d);
}

int identity_load(const char *state_dir, struct identity *ret, struct error *e)
{
	_cleanup_free_ char *path = path_of(state_dir, IDENTITY_FILE);
	_cleanup_secret_ struct secret text = SECRET_NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (!path)
		return error_oom(e);
	clean(state_dir);
	fd = open_private(path, e);
	if (fd < 0)
		return fd;
	r = file_read_secret(fd, path, FILE_SIZE_MAX, &text, e);
	if (r == 0)
		r = identity_parse((const char *)text.data, text.size, ret, e);
	return r < 0 ? error_prefix(e, "%s", path) : 0;
}

/* That there was none is no error. */
static int unless_absent(int r, const struct error *why, struct error *e)
{
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		*e = *why;
	return r;
}

int identity_forget(const char *state_dir, struct error *e)
{
	_cleanup_free_ char *path = path_of(state_dir, IDENTITY_FILE);
	_cleanup_free_ char *mode = path_of(state_dir, IDENTITY_MODE_FILE);
	struct error why = ERROR_NULL;
	int r;

	if (!path || !mode)
		return error_oom(e);
	r = unless_absent(file_erase(path, /* ret_gone= */ NULL, &why), &why, e);
	return r < 0 ? r : unless_absent(file_remove(mode, &why), &why, e);
}

enum host_mode identity_load_mode(const char *state_dir)
{
	_cleanup_free_ char *path = path_of(state_dir, IDENTITY_MODE_FILE), *text = NULL;
	enum host_mode mode = MODE_INCAPABLE;
	struct error e = ERROR_NULL;
	int r;

	if (!path)
		return mode;
	r = file_read_bounded(path, MODE_SIZE_MAX, &text, NULL, &e);
	if (r == -ENOENT)
		return mode;
	if (r == 0) {
		text[strcspn(text, "\n")] = '\0';
		r = host_mode_from_name(text, &mode);
	}
	if (r < 0)
		log_warning("The encryption mode in %s cannot be read: the host counts as incapable until the manager says another",
			    path);
	return mode;
}

int identity_save_mode(const char *state_dir, enum host_mode mode, struct error *e)
{
	_cleanup_free_ char *path = path_of(state_dir, IDENTITY_MODE_FILE);
	char text[MODE_SIZE_MAX];
	int n = snprintf(text, sizeof(text), "%s\n", host_mode_name(mode));

	if (!path)
		return error_oom(e);
	return file_write_atomic(path, text, (size_t)n, 0600, e);
}
