/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text forms of binary values: base 16, base 64, UUIDs, times.
 */
#ifndef VMCRYPT_COMMON_ENCODE_H
#define VMCRYPT_COMMON_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/secret.h"

#define UUID_SIZE	16
/** UUID_TEXT_SIZE - bytes of a UUID as text, with the NUL */
#define UUID_TEXT_SIZE	37
/** TIME_INPUT_SIZE - bytes of "2026-01-31T23:59:59.123456789+01:00", with the NUL */
#define TIME_INPUT_SIZE	36
/** TIME_TEXT_SIZE - bytes of "2026-01-31T23:59:59Z", with the NUL */
#define TIME_TEXT_SIZE	21

/**
 * hex_encode() - lower-case base 16
 * @ret: 2 * @size + 1 bytes, ends in NUL
 */
void hex_encode(const void *data, size_t size, char *ret);

/**
 * hex_decode() - exactly @size bytes of base 16, either case
 *
 * Return: 0; -EINVAL.
 */
int hex_decode(const char *text, void *ret, size_t size);

/** BASE64_SIZE() - bytes of the base64 of n bytes, with the NUL */
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

/**
 * base64_encode() - RFC 4648 section 4, with padding, no line breaks
 * @ret: BASE64_SIZE(@size) bytes
 */
void base64_encode(const void *data, size_t size, char *ret);

/**
 * base64_decode() - the strict reverse
 * @text: @length characters
 * @ret: room for @max bytes
 *
 * Refuses white space, missing padding, and bits set behind the last byte, so
 * that one value has one text. On failure @ret is erased.
 *
 * Return: 0; -EINVAL (not base64), -EFBIG (more than @max bytes).
 */
int base64_decode(const char *text, size_t length, void *ret, size_t max, size_t *ret_size);

/**
 * uuid_format() - "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", lower case
 */
void uuid_format(const uint8_t uuid[UUID_SIZE], char ret[UUID_TEXT_SIZE]);

/**
 * uuid_parse_text() - 36 characters, lower case only, any version
 *
 * Return: 0; -EINVAL.
 */
int uuid_parse_text(const char *text, uint8_t ret[UUID_SIZE]);

/**
 * uuid_random() - a UUID of version 4 (RFC 9562 section 5.4)
 *
 * Return: 0, or what getrandom(2) answered.
 */
int uuid_random(uint8_t ret[UUID_SIZE]);

/** uuid_random_text() - the same as text. Return: as uuid_random() */
int uuid_random_text(char ret[UUID_TEXT_SIZE]);

/**
 * time_format() - RFC 3339 in UTC, whole seconds
 * @seconds: since 1970; outside the years 1970..9999 it is cut to them
 */
void time_format(int64_t seconds, char ret[TIME_TEXT_SIZE]);

/**
 * time_parse() - RFC 3339 with "T" and "Z" in upper case, leap seconds left out
 * @ret: whole seconds since 1970; a fraction of up to 9 digits is cut off
 *
 * Return: 0; -EINVAL.
 */
int time_parse(const char *text, int64_t *ret);

/**
 * time_now() - CLOCK_REALTIME, whole seconds
 */
int64_t time_now(void);

/** time_since_boot() - CLOCK_BOOTTIME, whole seconds: goes on in a sleep, is never set */
int64_t time_since_boot(void);

/** time_monotonic_ms() - CLOCK_MONOTONIC, ms: what deadlines are counted in */
int64_t time_monotonic_ms(void);

#endif
