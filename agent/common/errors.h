/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Errors as values: one object says what was tried, on what, why it failed and
 * what to do, in the words that CLI, journal and API all print.
 */
#ifndef VMCRYPT_COMMON_ERRORS_H
#define VMCRYPT_COMMON_ERRORS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#define ERROR_TEXT_SIZE 512

/**
 * enum exit_status - what a command of vmcryptctl exits with
 * @EXIT_DONE: done
 * @EXIT_FAILED: failed
 * @EXIT_USAGE: wrong usage
 * @EXIT_NO_KEY: the key cannot be had now
 * @EXIT_NOT_ALLOWED: not allowed
 */
enum exit_status {
	EXIT_DONE		= 0,
	EXIT_FAILED		= 1,
	EXIT_USAGE		= 2,
	EXIT_NO_KEY		= 3,
	EXIT_NOT_ALLOWED	= 4,
};

/**
 * struct error - one failure
 * @code: negative errno, 0: no error
 * @status: what the CLI exits with
 * @reason: VMCRYPT_REASON_* to tell the kernel, 0: none
 * @text: one line without a full stop at the end and without a newline
 */
struct error {
	int code;
	enum exit_status status;
	uint32_t reason;
	char text[ERROR_TEXT_SIZE];
};

#define ERROR_NULL ((struct error) { .code = 0 })

/**
 * error_set() - record a failure
 * @e: NULL: only the code is wanted
 * @code: errno, of either sign; 0 becomes -EIO, so that nobody takes a failure
 *	for a success
 * @status: what the CLI exits with
 * @reason: VMCRYPT_REASON_* or 0
 * @fmt: text that is too long is cut; control characters become '?'
 *
 * Return: the code, negative.
 */
int error_set(struct error *e, int code, enum exit_status status, uint32_t reason,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* What the compiler and its analyzers cannot see: outputs that are written only on
 * success are not used after one of these. */
static inline int error_negative(int code)
{
	if (code >= 0)
		__builtin_unreachable();
	return code;
}

#define error_set(...) error_negative((error_set)(__VA_ARGS__))

/**
 * error_fail() - error_set() of the usual kind: EXIT_FAILED, no reason
 */
#define error_fail(e, code, ...) error_set((e), (code), EXIT_FAILED, 0, __VA_ARGS__)

/**
 * error_usage() - error_set() of a wrong argument: -EINVAL, EXIT_USAGE
 */
#define error_usage(e, ...) error_set((e), EINVAL, EXIT_USAGE, 0, __VA_ARGS__)

/**
 * error_oom() - error_set() for a failed allocation
 */
#define error_oom(e) error_fail((e), ENOMEM, "Out of memory: free some and try again")

/**
 * error_prefix() - put the larger undertaking before the text: "PREFIX: TEXT"
 *
 * For a failure only. Return: the code; -EIO when there is nothing that holds it,
 * so that ``return error_prefix(…)`` never makes a success of a failure. Where
 * the caller may have passed no @e, return the code that is at hand instead.
 */
int error_prefix(struct error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define error_prefix(...) error_negative((error_prefix)(__VA_ARGS__))

/**
 * error_is_set() - whether a failure is recorded
 */
bool error_is_set(const struct error *e);

/**
 * error_name() - "ENOKEY" for -ENOKEY or ENOKEY; "EUNKNOWN" for no errno
 */
const char *error_name(int code);

/**
 * error_reason_text() - the words of a VMCRYPT_REASON_*, "" for 0 and others
 */
const char *error_reason_text(uint32_t reason);

/**
 * error_reason_word() - "no-header", "unavailable", … as the agent's protocols
 * have it; NULL for 0 and others
 */
const char *error_reason_word(uint32_t reason);

/** error_reason_from_word() - the reverse; 0: unknown */
uint32_t error_reason_from_word(const char *word);

/** error_code_from_name() - the reverse of error_name(), positive; 0: unknown */
int error_code_from_name(const char *name);

#endif
