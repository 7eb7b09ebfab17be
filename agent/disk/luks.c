/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libcryptsetup.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "disk/library.h"
#include "disk/luks.h"
#include "vmcrypt.h"

#define SECTOR			512
#define BINARY_SIZE		4096		/* bytes before the text of a copy */
#define FD_PATH_MAX		32
#define WHAT			"LUKS2 header"
/* The digest guards a random key of 256 bits or more, which no amount of
 * guessing finds: the least that libcryptsetup takes is enough. */
#define DIGEST_ITERATIONS	1000
/* What cryptsetup itself writes is below that; more would only burn time, with
 * the library's lock held. */
#define DIGEST_ITERATIONS_MAX	4000000
#define DIGEST_SALT_SIZE	32

void luks_view_done(struct luks_view *v)
{
	json_decref(TAKE_PTR(v->token));
}

static void context_freep(struct crypt_device **cd)
{
	crypt_free(*cd);
}

#define _cleanup_context_ _cleanup_(context_freep)

static int damaged(struct error *e, int r)
{
	if (e)
		e->reason = VMCRYPT_REASON_HEADER_DAMAGED;
	return r;
}

static void fd_path(int fd, char ret[FD_PATH_MAX])
{
	snprintf(ret, FD_PATH_MAX, "/proc/self/fd/%d", fd);
}

/* Call with the lock held, as all static functions that take a context. */
static int open_image(const struct header_image *i, struct crypt_device **ret)
{
	char path[FD_PATH_MAX];

	fd_path(i->fd, path);
	/* A plug-in found by the token's name would be code that we do not know. */
	crypt_token_external_disable();
	return crypt_init(ret, path);
}

static int load_image(const struct header_image *i, struct crypt_device **ret)
{
	_cleanup_context_ struct crypt_device *cd = NULL;
	int r = open_image(i, &cd);

	if (r == 0)
		r = crypt_load(cd, CRYPT_LUKS2, NULL);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(cd);
	return 0;
}

static int library_failed(struct error *e, int r, const char *doing, const char *path)
{
	const char *said = disk_library_message();

	return error_fail(e, r, "%s %s: libcryptsetup: %s", doing, path,
			  said[0] ? said : strerror(-r));
}

static int format(const struct header_image *i, uint32_t sector_size, int data_fd,
		  const struct secret *dek)
{
	const struct crypt_pbkdf_type pbkdf = {
		.type = CRYPT_KDF_PBKDF2,
		.hash = "sha256",
		.iterations = DIGEST_ITERATIONS,
		.flags = CRYPT_PBKDF_NO_BENCHMARK,
	};
	struct crypt_params_luks2 params = { .pbkdf = &pbkdf, .sector_size = sector_size };
	_cleanup_context_ struct crypt_device *cd = NULL;
	char data_path[FD_PATH_MAX];
	int r;

	r = open_image(i, &cd);
	if (r == 0 && data_fd < 0)
		r = crypt_set_data_offset(cd, HEADER_DATA_OFFSET / SECTOR);
	if (r < 0)
		return r;
	if (data_fd >= 0) {
		fd_path(data_fd, data_path);
		params.data_device = data_path;
	}
	return crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL, (const char *) dek->data,
			    dek->size, &params);
}

/* In the place of the data device, for its size: libcryptsetup only measures it. */
static int stand_in(uint64_t size, int *ret)
{
	_cleanup_close_ int fd = memfd_create("vmcrypt-data", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t) size) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

static int read_text(const struct header_image *i, json_t **ret, struct error *e)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	const char *text = NULL;
	size_t max = i->copy_size - BINARY_SIZE;
	int r = image_bytes(i, &bytes, e);

	if (r < 0)
		return r;
	text = (const char *) bytes + BINARY_SIZE;
	return json_parse(text, strnlen(text, max), max, WHAT, ret, e);
}

/* LUKS2 writes numbers of 64 bits as strings; only the shortest form is taken,
 * so that no two texts mean one number. */
static int get_number(const json_t *json, const char *key, uint64_t *ret, struct error *e)
{
	const char *text = NULL;
	char again[32];
	uint64_t value;
	int r = json_get_string(json, WHAT, key, 19, &text, e);

	if (r < 0)
		return r;
	value = strtoull(text, NULL, 10);
	snprintf(again, sizeof(again), "%llu", (unsigned long long) value);
	if (strcmp(text, again) != 0 || value > INT64_MAX)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: \"%s\" is no number", key);
	*ret = value;
	return 0;
}

static int expect(const json_t *json, const char *key, const char *wanted, struct error *e)
{
	const char *text = NULL;
	int r = json_get_string(json, WHAT, key, 255, &text, e);

	if (r == 0 && strcmp(text, wanted) != 0)
		return error_fail(e, EBADMSG, "The " WHAT " is not one of vmcrypt's: its \"%s\" is "
				  "not \"%s\"", key, wanted);
	return r;
}

static bool sector_size_valid(uint64_t size)
{
	return size >= SECTOR && size <= 4096 && (size & (size - 1)) == 0;
}

static int get_segment(const json_t *json, struct header_segment *ret, struct error *e)
{
	static const char *const known[] = {
		"type", "offset", "size", "iv_tweak", "encryption", "sector_size", NULL
	};
	struct header_segment s = { .cipher = HEADER_CIPHER };
	uint64_t sector_size = 0;
	int r;

	r = json_check_keys(json, WHAT, known, e);
	if (r == 0)
		r = expect(json, "type", "crypt", e);
	if (r == 0)
		r = expect(json, "size", "dynamic", e);
	if (r == 0)
		r = expect(json, "encryption", HEADER_CIPHER, e);
	if (r == 0)
		r = get_number(json, "offset", &s.offset, e);
	if (r == 0)
		r = get_number(json, "iv_tweak", &s.iv_tweak, e);
	if (r == 0)
		r = json_get_uint(json, WHAT, "sector_size", 4096, &sector_size, e);
	if (r < 0)
		return r;
	if (!sector_size_valid(sector_size) || s.offset % SECTOR != 0)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: sector size or offset of "
				  "the segment is not possible");
	s.sector_size = (uint32_t) sector_size;
	*ret = s;
	return 0;
}

static int find_segment(const json_t *root, struct header_segment *ret, struct error *e)
{
	json_t *segments = NULL, *segment = NULL, *config = NULL;
	int r;

	r = json_get_object(root, WHAT, "segments", &segments, e);
	if (r == 0 && json_object_size(segments) != 1)
		r = error_fail(e, EBADMSG, "The " WHAT " is not one of vmcrypt's: it has %zu segments "
			       "where vmcrypt has 1", json_object_size(segments));
	if (r == 0)
		r = json_get_object(segments, WHAT, "0", &segment, e);
	if (r == 0)
		r = json_get_object(root, WHAT, "config", &config, e);
	if (r < 0)
		return r;
	/* Such as a re-encryption that cryptsetup has begun. */
	if (json_has(config, "requirements"))
		return error_fail(e, EOPNOTSUPP, "The " WHAT " has requirements that vmcrypt does not "
				  "know: finish with cryptsetup what was begun with it");
	return get_segment(segment, ret, e);
}

/*
 * libcryptsetup 2.6 takes any key for the right one when a digest has no value, or
 * one of a length that does not fit its hash. So the shape is checked here.
 */
static int check_digest(const json_t *digest, struct error *e)
{
	static const struct {
		const char *name;
		size_t size;
	} hashes[] = {
		{ "sha1", 20 }, { "sha224", 28 }, { "sha256", 32 }, { "sha384", 48 }, { "sha512", 64 },
	};
	static const char *const known[] = {
		"type", "keyslots", "segments", "hash", "iterations", "salt", "digest", NULL
	};
	uint8_t value[64];
	const char *hash = "";
	uint64_t iterations;
	int r;

	r = json_check_keys(digest, WHAT, known, e);
	if (r == 0)
		r = expect(digest, "type", "pbkdf2", e);
	if (r == 0)
		r = json_get_uint(digest, WHAT, "iterations", DIGEST_ITERATIONS_MAX, &iterations, e);
	if (r == 0)
		r = json_get_base64(digest, WHAT, "salt", value, DIGEST_SALT_SIZE, e);
	if (r == 0)
		r = json_get_string(digest, WHAT, "hash", 31, &hash, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++)
		if (strcmp(hash, hashes[i].name) == 0)
			return json_get_base64(digest, WHAT, "digest", value, hashes[i].size, e);
	return error_fail(e, EBADMSG, "The " WHAT " is not valid: a digest has an unknown \"hash\"");
}

static int check_digests(const json_t *root, struct error *e)
{
	json_t *digests, *digest;
	const char *key;
	int r = json_get_object(root, WHAT, "digests", &digests, e);

	if (r < 0)
		return r;
	json_object_foreach(digests, key, digest) {
		r = check_digest(digest, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int find_token(const json_t *root, const char *path, struct luks_view *v, struct error *e)
{
	json_t *tokens, *token, *found = NULL;
	const char *key;
	int r;

	r = json_get_object(root, WHAT, "tokens", &tokens, e);
	if (r < 0)
		return damaged(e, r);
	json_object_foreach(tokens, key, token) {
		const char *type = json_string_value(json_object_get(token, "type"));

		if (!type || strcmp(type, TOKEN_TYPE) != 0)
			continue;
		if (found)
			return damaged(e, error_fail(e, EBADMSG, "The " WHAT " of %s has two tokens "
						     "of type " TOKEN_TYPE ": restore a backup of "
						     "the header", path));
		found = token;
		v->token_id = (int) strtol(key, NULL, 10);
	}
	if (!found)
		return error_set(e, ENOMSG, EXIT_FAILED, VMCRYPT_REASON_NO_HEADER,
				 "The " WHAT " of %s has no token of type " TOKEN_TYPE
				 ": the disk was not encrypted by vmcrypt, or the token was removed",
				 path);
	v->token = json_incref(found);
	return 0;
}

int luks_format(struct header_image *i, const char *path, uint32_t sector_size,
		uint64_t data_size, const struct secret *dek, struct header_segment *ret,
		struct error *e)
{
	_cleanup_close_ int data_fd = -1;
	_cleanup_json_ json_t *root = NULL;
	int r;

	if (data_size > 0) {
		r = stand_in(data_size, &data_fd);
		if (r < 0)
			return error_fail(e, r, "Making a header for %s: %s", path, strerror(-r));
	}
	disk_library_lock();
	r = format(i, sector_size, data_fd, dek);
	if (r < 0)
		library_failed(e, r, "Making a header for", path);
	disk_library_unlock();
	if (r == 0)
		r = read_text(i, &root, e);
	if (r == 0)
		r = find_segment(root, ret, e);
	return r;
}

/* Where copies are damaged, a wrong size of them may have been guessed. */
static int check_copy_size(const struct header_image *i, const char *path, struct crypt_device *cd,
			   struct error *e)
{
	uint64_t metadata = 0, keyslots;

	if (crypt_get_metadata_size(cd, &metadata, &keyslots) < 0 || metadata != i->copy_size)
		return error_fail(e, EBADMSG, "The header of %s is damaged: its copies do not agree "
				  "on their size", path);
	return 0;
}

static int mend(struct header_image *i, const char *path, struct luks_view *v, struct error *e)
{
	_cleanup_context_ struct crypt_device *cd = NULL;
	uint8_t uuid[UUID_SIZE];
	const char *said;
	int r = load_image(i, &cd);

	said = disk_library_message();
	if (r == -ENOMEM)
		return error_oom(e);
	if (r < 0)
		return error_fail(e, EBADMSG, "The header of %s is damaged, both copies of it (%s): "
				  "restore a backup of it (cryptsetup luksHeaderRestore)", path,
				  said[0] ? said : strerror(-r));
	snprintf(v->uuid, sizeof(v->uuid), "%s", crypt_get_uuid(cd));
	/* It becomes part of a mapped device's UUID, and nothing authenticates it. */
	if (uuid_parse_text(crypt_get_uuid(cd), uuid) < 0)
		return error_fail(e, EBADMSG, "The header of %s is damaged: its LUKS UUID is none",
				  path);
	return check_copy_size(i, path, cd, e);
}

int luks_load(struct header_image *i, const char *path, struct luks_view *ret, struct error *e)
{
	_cleanup_luks_view_ struct luks_view v = LUKS_VIEW_NULL;
	_cleanup_json_ json_t *root = NULL;
	int r;

	disk_library_lock();
	r = mend(i, path, &v, e);
	disk_library_unlock();
	if (r < 0)
		return damaged(e, r);

	r = read_text(i, &root, e);
	if (r == 0)
		r = find_segment(root, &v.segment, e);
	if (r == 0)
		r = check_digests(root, e);
	if (r < 0) {
		error_prefix(e, "Header of %s", path);
		return damaged(e, r);
	}
	r = find_token(root, path, &v, e);
	if (r < 0)
		return r;
	*ret = v;
	v.token = NULL;
	return 0;
}

int luks_set_token(struct header_image *i, const char *path, int token_id, const char *json,
		   struct error *e)
{
	struct crypt_device *cd = NULL;
	int r;

	disk_library_lock();
	r = load_image(i, &cd);
	if (r == 0)
		r = crypt_token_json_set(cd, token_id < 0 ? CRYPT_ANY_TOKEN : token_id, json);
	crypt_free(cd);
	if (r < 0)
		library_failed(e, r, "Changing the header of", path);
	disk_library_unlock();
	return r < 0 ? r : 0;
}

int luks_verify(struct header_image *i, const char *path, const struct secret *dek, struct error *e)
{
	struct crypt_device *cd = NULL;
	int r;

	disk_library_lock();
	r = load_image(i, &cd);
	if (r == 0)
		r = crypt_volume_key_verify(cd, (const char *) dek->data, dek->size);
	crypt_free(cd);
	disk_library_unlock();
	if (r >= 0)
		return 0;
	if (r == -ENOMEM)
		return error_oom(e);
	return damaged(e, error_fail(e, EBADMSG, "The header of %s is damaged: its digest is not that "
				     "of its key (%s)", path, strerror(-r)));
}
