/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/fileio.h"
#include "common/json.h"
#include "crypto/gcm.h"
#include "crypto/kdf.h"
#include "provider/tpm.h"

#define ALG		"A256GCM"
#define CONTEXT_MAX	512
#define KEY_ID_SIZE	8
#define KEY_ID_LABEL	"vmcrypt-vault-key-id-v1"
#define TPM_FILE_MAX	16384

/* Nothing changes after vault_open(), so that any thread may use it.
 * @id: tells one key from another and nothing else about it */
struct vault {
	enum vault_source source;
	struct secret key;
	char id[2 * KEY_ID_SIZE + 1];
};

/* What is sealed: all that vault_seal() writes. */
struct sealed {
	uint8_t iv[GCM_IV_SIZE];
	uint8_t tag[GCM_TAG_SIZE];
	uint8_t ciphertext[VAULT_SECRET_MAX];
	size_t size;
};

const char *vault_source_name(enum vault_source source)
{
	switch (source) {
	case VAULT_FROM_CREDENTIAL:
		return "credential";
	case VAULT_FROM_TPM:
		return "tpm";
	case VAULT_FROM_KEY_FILE:
		return "key-file";
	}
	return "unknown";
}

static int make_path(const char *dir, const char *name, char ret[PATH_MAX], struct error *e)
{
	if (snprintf(ret, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return error_usage(e, "The path of %s in \"%.128s…\" is too long", name, dir);
	return 0;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static const char *tcti(const struct vault_settings *settings)
{
	return settings->tcti ? settings->tcti : TPM_TCTI_DEFAULT;
}

static int check_size(const struct secret *key, const char *path, struct error *e)
{
	if (key->size != VAULT_KEY_SIZE)
		return error_fail(e, EBADMSG, "The vault's key in %s has %zu bytes, not %d: restore it",
				  path, key->size, VAULT_KEY_SIZE);
	return 0;
}

/* @private: refuse a file that others than its owner can get at. */
static int read_key(const char *path, bool private, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_fail(e, errno, "Cannot read the vault's key %s: %s", path, strerror(errno));
	if (private && (st.st_mode & 077))
		return error_fail(e, EPERM, "The vault's key %s is open to others (mode %04o): others may "
				  "have read it; set mode 0600", path, st.st_mode & 07777);
	r = file_read_secret(fd, path, VAULT_SECRET_MAX, &key, e);
	if (r == 0)
		r = check_size(&key, path, e);
	if (r < 0)
		return r;
	*ret = secret_take(&key);
	return 0;
}

static int read_tpm(const struct vault_settings *settings, const char *path, struct secret *ret,
		    struct error *e)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;
	struct tpm_sealed sealed;
	size_t size;
	int r;

	r = file_read_bounded(path, TPM_FILE_MAX, &text, &size, e);
	if (r == 0)
		r = json_parse(text, size, TPM_FILE_MAX, "sealed key of the vault", &json, e);
	if (r == 0)
		r = tpm_sealed_from_json(json, "sealed key of the vault", &sealed, e);
	if (r == 0)
		r = tpm_unseal(tcti(settings), &sealed, &key, e);
	if (r == 0)
		r = check_size(&key, path, e);
	if (r < 0)
		return r;
	*ret = secret_take(&key);
	return 0;
}

static int write_tpm(const struct vault_settings *settings, const char *path,
		     const struct secret *key, struct error *e)
{
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;
	struct tpm_sealed sealed;
	size_t size;
	int r;

	r = tpm_seal(tcti(settings), key, &sealed, e);
	if (r < 0)
		return r;
	json = tpm_sealed_to_json(&sealed);
	if (!json)
		return error_oom(e);
	r = json_format(json, &text, &size, e);
	if (r < 0)
		return r;
	return file_write_atomic(path, text, size, 0600, e);
}

static int refuse_existing(const char *path, struct error *e)
{
	if (!exists(path))
		return 0;
	return error_fail(e, EEXIST, "There is a key of a vault in %s: what it sealed would be lost; "
			  "move it away if that is meant", path);
}

int vault_create(const struct vault_settings *settings, enum vault_source source,
		 struct error *e)
{
	char tpm_path[PATH_MAX], key_path[PATH_MAX], credential[PATH_MAX];
	_cleanup_secret_ struct secret key = SECRET_NULL;
	int r;

	r = make_path(settings->dir, VAULT_TPM_FILE, tpm_path, e);
	if (r == 0)
		r = make_path(settings->dir, VAULT_KEY_FILE, key_path, e);
	if (r == 0)
		r = refuse_existing(tpm_path, e);
	if (r == 0)
		r = refuse_existing(key_path, e);
	if (r < 0)
		return r;
	if (source == VAULT_FROM_CREDENTIAL) {
		if (!settings->credentials)
			return error_fail(e, ENOENT, "No credential " VAULT_CREDENTIAL " was passed: start by "
					  "systemd with LoadCredentialEncrypted=" VAULT_CREDENTIAL
					  ", or choose --tpm or --key-file");
		r = make_path(settings->credentials, VAULT_CREDENTIAL, credential, e);
		return r < 0 ? r : read_key(credential, /* private= */ false, &key, e);
	}
	r = secret_random(VAULT_KEY_SIZE, &key);
	if (r < 0)
		return error_fail(e, r, "Cannot make the vault's key: %s", strerror(-r));
	if (source == VAULT_FROM_TPM)
		return write_tpm(settings, tpm_path, &key, e);
	return file_write_atomic(key_path, key.data, key.size, 0600, e);
}

static int find_key(const struct vault_settings *settings, struct vault *vault, struct error *e)
{
	char path[PATH_MAX];
	int r;

	if (settings->credentials) {
		r = make_path(settings->credentials, VAULT_CREDENTIAL, path, e);
		if (r < 0)
			return r;
		vault->source = VAULT_FROM_CREDENTIAL;
		if (exists(path))
			return read_key(path, /* private= */ false, &vault->key, e);
	}
	r = make_path(settings->dir, VAULT_TPM_FILE, path, e);
	if (r < 0)
		return r;
	vault->source = VAULT_FROM_TPM;
	if (exists(path))
		return read_tpm(settings, path, &vault->key, e);
	r = make_path(settings->dir, VAULT_KEY_FILE, path, e);
	if (r < 0)
		return r;
	vault->source = VAULT_FROM_KEY_FILE;
	if (exists(path))
		return read_key(path, /* private= */ true, &vault->key, e);
	return error_fail(e, ENOENT, "The vault in %s has no key: no credential " VAULT_CREDENTIAL
			  ", no " VAULT_TPM_FILE ", no " VAULT_KEY_FILE "; was vmcrypt-manager init run?",
			  settings->dir);
}

static int make_id(struct vault *vault, struct error *e)
{
	_cleanup_secret_ struct secret id = SECRET_NULL;
	int r;

	r = kdf_hkdf_sha256(&vault->key, NULL, 0, KEY_ID_LABEL, strlen(KEY_ID_LABEL), KEY_ID_SIZE, &id);
	if (r < 0)
		return error_fail(e, r, "Cannot name the vault's key: %s", strerror(-r));
	hex_encode(id.data, id.size, vault->id);
	return 0;
}

int vault_open(const struct vault_settings *settings, struct vault **ret, struct error *e)
{
	struct vault *vault = calloc(1, sizeof(*vault));
	int r;

	if (!vault)
		return error_oom(e);
	r = find_key(settings, vault, e);
	if (r == 0)
		r = make_id(vault, e);
	if (r < 0) {
		vault_free(vault);
		return r;
	}
	*ret = vault;
	return 0;
}

void vault_free(struct vault *vault)
{
	if (!vault)
		return;
	secret_done(&vault->key);
	free(vault);
}

enum vault_source vault_source(const struct vault *vault)
{
	return vault->source;
}

static int check_context(const char *context, struct error *e)
{
	size_t n = strnlen(context, CONTEXT_MAX + 1);

	if (n == 0 || n > CONTEXT_MAX)
		return error_usage(e, "A secret's place in the vault has 1 to %d bytes", CONTEXT_MAX);
	return 0;
}

static int to_json(const struct vault *vault, const struct sealed *sealed, json_t **ret,
		   struct error *e)
{
	_cleanup_json_ json_t *json = json_pack("{s:i, s:s, s:s}", "v", 1, "alg", ALG, "key",
						vault->id);

	if (!json || json_set_base64(json, "iv", sealed->iv, GCM_IV_SIZE) < 0 ||
	    json_set_base64(json, "ciphertext", sealed->ciphertext, sealed->size) < 0 ||
	    json_set_base64(json, "tag", sealed->tag, GCM_TAG_SIZE) < 0)
		return error_oom(e);
	*ret = TAKE_PTR(json);
	return 0;
}

int vault_seal(struct vault *vault, const char *context, const struct secret *plain,
	       json_t **ret, struct error *e)
{
	struct sealed sealed = { .size = plain->size };
	int r;

	r = check_context(context, e);
	if (r < 0)
		return r;
	if (plain->size == 0 || plain->size > VAULT_SECRET_MAX)
		return error_usage(e, "The vault seals 1 to %d bytes, not %zu", VAULT_SECRET_MAX,
				   plain->size);
	r = getrandom_full(sealed.iv, sizeof(sealed.iv));
	if (r < 0)
		return error_fail(e, r, "Cannot seal %s: %s", context, strerror(-r));
	r = gcm_seal(&vault->key, sealed.iv, context, strlen(context), plain, sealed.ciphertext,
		     sealed.tag);
	if (r == -ENOMEM)
		return error_oom(e);
	if (r < 0)
		return error_fail(e, r, "Cannot seal %s: AES-256-GCM failed", context);
	return to_json(vault, &sealed, ret, e);
}

static int from_json(const struct vault *vault, const json_t *json, const char *context,
		     struct sealed *ret, struct error *e)
{
	static const char *const known[] = { "v", "alg", "key", "iv", "ciphertext", "tag", NULL };
	static const char what[] = "sealed secret";
	const char *alg, *key;
	uint64_t version;
	int r;

	if (!json_is_object(json))
		return error_fail(e, EBADMSG, "There is no sealed secret %s: was the store altered?",
				  context);
	r = json_check_keys(json, what, known, e);
	if (r < 0)
		return r;
	r = json_get_uint(json, what, "v", 1, &version, e);
	if (r < 0)
		return r;
	r = json_get_string(json, what, "alg", 16, &alg, e);
	if (r < 0)
		return r;
	r = json_get_string(json, what, "key", 2 * KEY_ID_SIZE, &key, e);
	if (r < 0)
		return r;
	if (version != 1 || strcmp(alg, ALG) != 0)
		return error_fail(e, EBADMSG, "The sealed secret %s is in a form of another version", context);
	if (strcmp(key, vault->id) != 0)
		return error_fail(e, EKEYREJECTED, "The secret %s was sealed with the vault key %.16s, not "
				  "with %s from %s: restore that key", context, key, vault->id,
				  vault_source_name(vault->source));
	r = json_get_base64(json, what, "iv", ret->iv, GCM_IV_SIZE, e);
	if (r == 0)
		r = json_get_base64(json, what, "tag", ret->tag, GCM_TAG_SIZE, e);
	if (r == 0)
		r = json_get_base64_max(json, what, "ciphertext", ret->ciphertext, VAULT_SECRET_MAX,
					&ret->size, e);
	if (r == 0 && ret->size == 0)
		return error_fail(e, EBADMSG, "The sealed secret %s is empty", context);
	return r;
}

int vault_open_secret(struct vault *vault, const char *context, const json_t *sealed_json,
		      struct secret *ret, struct error *e)
{
	struct sealed sealed;
	int r;

	r = check_context(context, e);
	if (r == 0)
		r = from_json(vault, sealed_json, context, &sealed, e);
	if (r < 0)
		return r;
	r = gcm_open(&vault->key, sealed.iv, context, strlen(context), sealed.ciphertext, sealed.size,
		     sealed.tag, ret);
	if (r < 0 && r != -EBADMSG)
		return error_fail(e, r, "Cannot open %s: no secure memory left", context);
	if (r < 0)
		return error_fail(e, r, "The secret %s does not open: it was altered, or belongs to "
				  "another place; restore the store", context);
	return 0;
}
