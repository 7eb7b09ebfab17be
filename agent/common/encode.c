// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/encode.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* 9999-12-31T23:59:59Z */
#define TIME_MAX_SECONDS INT64_C(253402300799)

void hex_encode(const void *data, size_t size, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = data;
	size_t i;

	for (i = 0; i < size; i++) {
		ret[2 * i] = digits[in[i] >> 4];
		ret[2 * i + 1] = digits[in[i] & 15];
	}
	ret[2 * size] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(const char *text, void *ret, size_t size)
{
	uint8_t *out = ret;
	size_t i;

	if (strlen(text) != 2 * size)
		return -EINVAL;
	for (i = 0; i < size; i++)
		if (hex_digit(text[2 * i]) < 0 || hex_digit(text[2 * i + 1]) < 0)
			return -EINVAL;
	for (i = 0; i < size; i++)
		out[i] = (uint8_t) (hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
	return 0;
}

void base64_encode(const void *data, size_t size, char *ret)
{
	const uint8_t *in = data;
	size_t done;

	/* In steps, for EVP_EncodeBlock() counts in int. */
	for (done = 0; size - done > 3 * 1024; done += 3 * 1024, ret += 4 * 1024)
		EVP_EncodeBlock((uint8_t *) ret, in + done, 3 * 1024);
	EVP_EncodeBlock((uint8_t *) ret, in + done, (int) (size - done));
}

static bool base64_text_valid(const char *text, size_t length, size_t padding)
{
	size_t i;

	for (i = 0; i < length - padding; i++) {
		char c = text[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		      (c >= '0' && c <= '9') || c == '+' || c == '/'))
			return false;
	}
	return true;
}

int base64_decode(const char *text, size_t length, void *ret, size_t max, size_t *ret_size)
{
	uint8_t *out = ret, group[3];
	size_t i, padding = 0, size;
	char again[5];
	int r = 0;

	if (length % 4 != 0)
		return -EINVAL;
	if (length > 0 && text[length - 1] == '=')
		padding = text[length - 2] == '=' ? 2 : 1;
	if (!base64_text_valid(text, length, padding))
		return -EINVAL;
	size = length / 4 * 3 - padding;
	if (size > max)
		return -EFBIG;

	for (i = 0; i < length; i += 4) {
		size_t n = i + 4 == length ? 3 - padding : 3;

		EVP_DecodeBlock(group, (const uint8_t *) text + i, 4);
		memcpy(out + i / 4 * 3, group, n);
		if (i + 4 < length)
			continue;
		/* The last group says whether bits were set behind the end. */
		EVP_EncodeBlock((uint8_t *) again, group, (int) n);
		if (memcmp(again, text + i, 4) != 0)
			r = -EINVAL;
	}
	erase(group, sizeof(group));
	erase(again, sizeof(again));
	if (r < 0) {
		erase(ret, size);
		return r;
	}
	*ret_size = size;
	return 0;
}

void uuid_format(const uint8_t uuid[UUID_SIZE], char ret[UUID_TEXT_SIZE])
{
	static const uint8_t groups[] = { 4, 2, 2, 2, 6 };
	size_t g, at = 0;

	for (g = 0; g < sizeof(groups); g++) {
		hex_encode(uuid + at, groups[g], ret);
		ret += 2 * groups[g];
		at += groups[g];
		*ret++ = g + 1 < sizeof(groups) ? '-' : '\0';
	}
}

int uuid_parse_text(const char *text, uint8_t ret[UUID_SIZE])
{
	char digits[2 * UUID_SIZE + 1], again[UUID_TEXT_SIZE];
	uint8_t uuid[UUID_SIZE];
	size_t i, n = 0;

	if (strlen(text) != UUID_TEXT_SIZE - 1)
		return -EINVAL;
	for (i = 0; text[i]; i++)
		if (text[i] != '-' && n < sizeof(digits) - 1)
			digits[n++] = text[i];
	digits[n] = '\0';
	if (hex_decode(digits, uuid, sizeof(uuid)) < 0)
		return -EINVAL;
	/* Dashes in other places and upper case do not come out the same. */
	uuid_format(uuid, again);
	if (memcmp(again, text, sizeof(again)) != 0)
		return -EINVAL;
	memcpy(ret, uuid, sizeof(uuid));
	return 0;
}

int uuid_random(uint8_t ret[UUID_SIZE])
{
	uint8_t uuid[UUID_SIZE];
	int r;

	r = getrandom_full(uuid, sizeof(uuid));
	if (r < 0)
		return r;
	uuid[6] = (uint8_t) ((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t) ((uuid[8] & 0x3f) | 0x80);
	memcpy(ret, uuid, sizeof(uuid));
	return 0;
}

int uuid_random_text(char ret[UUID_TEXT_SIZE])
{
	uint8_t uuid[UUID_SIZE];
	int r = uuid_random(uuid);

	if (r == 0)
		uuid_format(uuid, ret);
	return r;
}

void time_format(int64_t seconds, char ret[TIME_TEXT_SIZE])
{
	struct tm tm;
	time_t t;

	if (seconds < 0)
		seconds = 0;
	if (seconds > TIME_MAX_SECONDS)
		seconds = TIME_MAX_SECONDS;
	t = (time_t) seconds;
	gmtime_r(&t, &tm);
	strftime(ret, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* "2026-01-31T23:59:59", each field with all its digits; returns what follows. */
static const char *parse_date_time(const char *text, int64_t *ret)
{
	char again[TIME_TEXT_SIZE];
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (end != text + TIME_TEXT_SIZE - 2)
		return NULL;
	*ret = timegm(&tm);
	/* timegm() rolls 31 February over, and strptime() takes spaces. */
	time_format(*ret, again);
	return memcmp(again, text, TIME_TEXT_SIZE - 2) == 0 ? end : NULL;
}

static const char *skip_fraction(const char *text)
{
	size_t digits;

	if (*text != '.')
		return text;
	digits = strspn(text + 1, "0123456789");
	return digits >= 1 && digits <= 9 ? text + 1 + digits : NULL;
}

/* "Z", or "+01:00", to seconds east of UTC; nothing may follow. */
static int parse_offset(const char *text, int64_t *ret)
{
	static const char form[] = "+00:00";
	size_t i;

	*ret = 0;
	if (strcmp(text, "Z") == 0)
		return 0;
	if (strlen(text) != sizeof(form) - 1 || (text[0] != '+' && text[0] != '-') || text[3] != ':')
		return -EINVAL;
	for (i = 1; i < sizeof(form) - 1; i++)
		if (form[i] == '0' && (text[i] < '0' || text[i] > '9'))
			return -EINVAL;
	*ret = ((text[1] - '0') * 10 + text[2] - '0') * 3600 +
	       ((text[4] - '0') * 10 + text[5] - '0') * 60;
	if (*ret >= 24 * 3600 || text[4] > '5')
		return -EINVAL;
	if (text[0] == '-')
		*ret = -*ret;
	return 0;
}

int time_parse(const char *text, int64_t *ret)
{
	const char *rest;
	int64_t t, east;

	rest = parse_date_time(text, &t);
	if (rest)
		rest = skip_fraction(rest);
	if (!rest || parse_offset(rest, &east) < 0)
		return -EINVAL;
	t -= east;
	if (t < 0 || t > TIME_MAX_SECONDS)
		return -EINVAL;
	*ret = t;
	return 0;
}

int64_t time_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

int64_t time_since_boot(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec;
}

int64_t time_monotonic_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
