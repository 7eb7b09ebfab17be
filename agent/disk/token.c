/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "disk/token.h"
#include "vmcrypt.h"

#define WHAT	"vmcrypt token"

/* Whatever a token is refused for, for the kernel the header is damaged. */
static int damaged(struct error *e, int r)
{
	if (e)
		e->reason = VMCRYPT_REASON_HEADER_DAMAGED;
	return r;
}

static int get_text(const json_t *json, const char *key, char *ret, size_t size, struct error *e)
{
	const char *text;
	int r = json_get_string(json, WHAT, key, size - 1, &text, e);

	if (r == 0)
		memcpy(ret, text, strlen(text) + 1);
	return r;
}

static int check_head(const json_t *json, struct error *e)
{
	const char *type = NULL;
	json_t *keyslots;
	uint64_t version = 0;
	int r;

	r = json_get_string(json, WHAT, "type", sizeof(TOKEN_TYPE), &type, e);
	if (r == 0)
		r = json_get_uint(json, WHAT, "version", INT64_MAX, &version, e);
	if (r < 0)
		return r;
	if (strcmp(type, TOKEN_TYPE) != 0)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: its type is another one");
	if (version != TOKEN_VERSION)
		return error_fail(e, EOPNOTSUPP, "The " WHAT " has version %llu, this program knows "
				  "version %d: update it", (unsigned long long) version, TOKEN_VERSION);
	return json_get_array(json, WHAT, "keyslots", 0, &keyslots, e);
}

static int get_labels(const json_t *json, struct token *t, struct error *e)
{
	int64_t seconds;
	int r;

	r = json_get_uuid(json, WHAT, "dek", t->dek, e);
	if (r == 0)
		r = get_text(json, "vm", t->vm, sizeof(t->vm), e);
	if (r == 0)
		r = get_text(json, "disk", t->disk, sizeof(t->disk), e);
	if (r == 0)
		r = json_get_time(json, WHAT, "created", &seconds, e);
	if (r == 0)
		r = get_text(json, "created", t->created, sizeof(t->created), e);
	return r;
}

static int check_wrap(const struct token *t, const struct wrap *w, struct error *e)
{
	if (token_find(t, &w->locator) >= 0)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: two wraps of one key");
	if (t->n_wraps > 0 && w->ciphertext_size != t->wraps[0].ciphertext_size)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: wraps of different sizes");
	return 0;
}

static int get_wraps(const json_t *json, struct token *t, struct error *e)
{
	json_t *array;
	size_t n;
	int r;

	r = json_get_array(json, WHAT, "wraps", TOKEN_WRAPS_MAX, &array, e);
	if (r < 0)
		return r;
	n = json_array_size(array);
	if (n == 0)
		return error_fail(e, EBADMSG, "The " WHAT " is not valid: \"wraps\" is empty");
	for (size_t i = 0; i < n; i++) {
		struct wrap w;

		r = wrap_from_json(json_array_get(array, i), &w, e);
		if (r == 0)
			r = check_wrap(t, &w, e);
		if (r < 0) {
			error_prefix(e, "Wrap %zu of the header", i + 1);
			return r;
		}
		t->wraps[t->n_wraps++] = w;
	}
	return 0;
}

int token_from_json(const json_t *json, struct token *ret, struct error *e)
{
	static const char *const known[] = {
		"type", "keyslots", "version", "dek", "vm", "disk", "created", "wraps", NULL
	};
	struct token t = { .n_wraps = 0 };
	int r;

	/* The version first: a later one may well have other members. */
	r = check_head(json, e);
	if (r == 0)
		r = json_check_keys(json, WHAT, known, e);
	if (r == 0)
		r = get_labels(json, &t, e);
	if (r == 0)
		r = get_wraps(json, &t, e);
	if (r < 0)
		return damaged(e, r);
	*ret = t;
	return 0;
}

int token_parse(const char *json, size_t size, struct token *ret, struct error *e)
{
	_cleanup_json_ json_t *root = NULL;
	int r = json_parse(json, size, TOKEN_JSON_MAX, WHAT, &root, e);

	if (r < 0)
		return damaged(e, r);
	return token_from_json(root, ret, e);
}

static int build_wraps(const struct token *t, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *array = json_array();

	if (!array)
		return error_oom(e);
	for (size_t i = 0; i < t->n_wraps; i++) {
		json_t *wrap = NULL;
		int r = wrap_to_json(&t->wraps[i], &wrap, e);

		if (r < 0)
			return r;
		if (json_array_append_new(array, wrap) < 0)
			return error_oom(e);
	}
	*ret = TAKE_PTR(array);
	return 0;
}

int token_build(const struct token *t, char **ret, struct error *e)
{
	_cleanup_json_ json_t *root = NULL, *wraps = NULL;
	_cleanup_free_ char *text = NULL;
	struct token again;
	size_t size;
	int r;

	if (t->n_wraps > TOKEN_WRAPS_MAX)
		return error_fail(e, EINVAL, "A disk has at most %d wraps of its key", TOKEN_WRAPS_MAX);
	r = build_wraps(t, &wraps, e);
	if (r < 0)
		return r;
	root = json_pack("{s:s, s:[], s:i, s:s, s:s, s:s, s:O}", "type", TOKEN_TYPE, "keyslots",
			 "version", TOKEN_VERSION, "vm", t->vm, "disk", t->disk,
			 "created", t->created, "wraps", wraps);
	if (!root)
		return error_fail(e, EINVAL, "Making the " WHAT ": names of VM and disk must be UTF-8");
	if (json_set_uuid(root, "dek", t->dek) < 0)
		return error_oom(e);
	r = json_format(root, &text, &size, e);
	if (r < 0)
		return r;

	/* What cannot be read again must not get onto a disk. */
	r = token_parse(text, size, &again, e);
	if (r < 0) {
		if (e)
			e->reason = 0;
		error_prefix(e, "Making the " WHAT);
		return r;
	}
	*ret = TAKE_PTR(text);
	return 0;
}

int token_find(const struct token *t, const struct key_locator *locator)
{
	for (size_t i = 0; i < t->n_wraps; i++) {
		const struct key_locator *l = &t->wraps[i].locator;

		if (memcmp(l->provider, locator->provider, UUID_SIZE) == 0 &&
		    strcmp(l->key_id, locator->key_id) == 0)
			return (int) i;
	}
	return -ENOENT;
}
