// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "vmcrypt.h"

/* Linux: IS_ERR_VALUE() knows no larger one. */
#define ERRNO_MAX 4095

/* What is quoted in an error may come from outside: it must not draw lines or
 * colours of its own in a journal or on a terminal. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char) *text < 0x20 || *text == 0x7f)
			*text = '?';
}

int (error_set)(struct error *e, int code, enum exit_status status, uint32_t reason,
		const char *fmt, ...)
{
	va_list ap;

	code = code == 0 ? -EIO : -abs(code);
	if (!e)
		return code;

	e->code = code;
	e->status = status;
	e->reason = reason;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	make_printable(e->text);
	return code;
}

int (error_prefix)(struct error *e, const char *fmt, ...)
{
	char old[ERROR_TEXT_SIZE];
	size_t used;
	va_list ap;
	int n;

	if (!error_is_set(e))
		return -EIO;

	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	used = n < 0 ? 0 : strlen(e->text);
	n = snprintf(e->text + used, sizeof(e->text) - used, ": %s", old);
	if (n < 0)
		e->text[used] = '\0';
	make_printable(e->text);
	return e->code;
}

bool error_is_set(const struct error *e)
{
	return e && e->code < 0;
}

const char *error_name(int code)
{
	const char *name = strerrorname_np(abs(code));

	return name ? name : "EUNKNOWN";
}

const char *error_reason_text(uint32_t reason)
{
	static const char *const texts[] = {
		[VMCRYPT_REASON_NO_HEADER]	= "no such disk or header",
		[VMCRYPT_REASON_UNAVAILABLE]	= "key unavailable now",
		[VMCRYPT_REASON_NOT_ALLOWED]	= "not allowed",
		[VMCRYPT_REASON_LOCKED]		= "locked by an administrator",
		[VMCRYPT_REASON_HEADER_DAMAGED]	= "header damaged",
		[VMCRYPT_REASON_INTERNAL]	= "internal",
	};

	if (reason >= ARRAY_SIZE(texts) || !texts[reason])
		return "";
	return texts[reason];
}

static const char *const reason_words[] = {
	[VMCRYPT_REASON_NO_HEADER]	= "no-header",
	[VMCRYPT_REASON_UNAVAILABLE]	= "unavailable",
	[VMCRYPT_REASON_NOT_ALLOWED]	= "not-allowed",
	[VMCRYPT_REASON_LOCKED]		= "locked",
	[VMCRYPT_REASON_HEADER_DAMAGED]	= "header-damaged",
	[VMCRYPT_REASON_INTERNAL]	= "internal",
};

const char *error_reason_word(uint32_t reason)
{
	return reason < ARRAY_SIZE(reason_words) ? reason_words[reason] : NULL;
}

uint32_t error_reason_from_word(const char *word)
{
	for (uint32_t i = 0; i < ARRAY_SIZE(reason_words); i++)
		if (reason_words[i] && strcmp(reason_words[i], word) == 0)
			return i;
	return 0;
}

int error_code_from_name(const char *name)
{
	for (int code = 1; code <= ERRNO_MAX; code++) {
		const char *known = strerrorname_np(code);

		if (known && strcmp(known, name) == 0)
			return code;
	}
	return 0;
}
