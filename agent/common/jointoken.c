/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/jointoken.h"

#include <string.h>

#include "common/encode.h"

#define PREFIX_SIZE	(sizeof(JOINTOKEN_PREFIX) - 1)
#define CONTENT_SIZE	(JOINTOKEN_FINGERPRINT_SIZE + JOINTOKEN_SECRET_SIZE)
#define PADDED_SIZE	(BASE64_SIZE(CONTENT_SIZE) - 1)
#define PADDING		(PADDED_SIZE - (JOINTOKEN_TEXT_SIZE - PREFIX_SIZE))

_Static_assert(PADDING == 2, "64 bytes leave two characters of padding");

void jointoken_done(struct jointoken *token)
{
	if (token)
		secret_done(&token->secret);
}

int jointoken_new(const uint8_t fingerprint[JOINTOKEN_FINGERPRINT_SIZE], struct jointoken *ret,
		  struct error *e)
{
	_cleanup_jointoken_ struct jointoken token = JOINTOKEN_NULL;
	int r;

	r = secret_random(JOINTOKEN_SECRET_SIZE, &token.secret);
	if (r < 0)
		return error_fail(e, r, "Cannot make a token to join with: %s", error_name(r));
	memcpy(ret->fingerprint, fingerprint, JOINTOKEN_FINGERPRINT_SIZE);
	ret->secret = secret_take(&token.secret);
	return 0;
}

static int no_token(struct error *e)
{
	return error_set(e, EBADMSG, EXIT_USAGE, 0, "This is no token to join with, which has %d characters "
			 "and begins with \"" JOINTOKEN_PREFIX "\": take it over as a whole, or ask for "
			 "a new one", JOINTOKEN_TEXT_SIZE);
}

/* The alphabet of section 5 to that of section 4. Return: 0; -EINVAL for others. */
static int to_plain(char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (text[i] == '+' || text[i] == '/' || text[i] == '=')
			return -EINVAL;
		if (text[i] == '-')
			text[i] = '+';
		else if (text[i] == '_')
			text[i] = '/';
	}
	return 0;
}

/* Without prefix and line feed. */
static int decode(const char *text, size_t size, struct jointoken *ret, struct error *e)
{
	_cleanup_secret_ struct secret padded = SECRET_NULL, content = SECRET_NULL;
	_cleanup_secret_ struct secret secret = SECRET_NULL;
	size_t n;

	if (secret_new(PADDED_SIZE, &padded) < 0 || secret_new(CONTENT_SIZE, &content) < 0)
		return error_oom(e);
	memcpy(padded.data, text, size);
	memset(padded.data + size, '=', PADDING);
	if (to_plain((char *) padded.data, size) < 0 ||
	    base64_decode((char *) padded.data, PADDED_SIZE, content.data, CONTENT_SIZE, &n) < 0 ||
	    n != CONTENT_SIZE)
		return no_token(e);
	if (secret_copy(content.data + JOINTOKEN_FINGERPRINT_SIZE, JOINTOKEN_SECRET_SIZE, &secret) < 0)
		return error_oom(e);
	memcpy(ret->fingerprint, content.data, JOINTOKEN_FINGERPRINT_SIZE);
	ret->secret = secret_take(&secret);
	return 0;
}

int jointoken_parse(const char *text, size_t size, struct jointoken *ret, struct error *e)
{
	if (size == JOINTOKEN_TEXT_SIZE + 1 && text[size - 1] == '\n')
		size--;
	if (size != JOINTOKEN_TEXT_SIZE || memcmp(text, JOINTOKEN_PREFIX, PREFIX_SIZE) != 0)
		return no_token(e);
	return decode(text + PREFIX_SIZE, size - PREFIX_SIZE, ret, e);
}

int jointoken_format(const struct jointoken *token, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret content = SECRET_NULL, text = SECRET_NULL;
	size_t i;

	/* base64_encode() writes padding and a NUL behind what is kept. */
	if (secret_new(CONTENT_SIZE, &content) < 0 ||
	    secret_new(PREFIX_SIZE + PADDED_SIZE + 1, &text) < 0)
		return error_oom(e);
	memcpy(content.data, token->fingerprint, JOINTOKEN_FINGERPRINT_SIZE);
	memcpy(content.data + JOINTOKEN_FINGERPRINT_SIZE, token->secret.data, JOINTOKEN_SECRET_SIZE);
	memcpy(text.data, JOINTOKEN_PREFIX, PREFIX_SIZE);
	base64_encode(content.data, CONTENT_SIZE, (char *) text.data + PREFIX_SIZE);
	secret_shrink(&text, JOINTOKEN_TEXT_SIZE);
	for (i = PREFIX_SIZE; i < text.size; i++) {
		if (text.data[i] == '+')
			text.data[i] = '-';
		else if (text.data[i] == '/')
			text.data[i] = '_';
	}
	*ret = secret_take(&text);
	return 0;
}

bool jointoken_name_valid(const char *name)
{
	size_t size = strlen(name), i;

	for (i = 0; i < size; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return size > 0 && size <= JOINTOKEN_NAME_MAX;
}
