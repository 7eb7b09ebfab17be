/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines: to the journal when stderr is the journal, else to stderr.
 * Never a secret, at no level.
 */
#ifndef VMCRYPT_COMMON_LOG_H
#define VMCRYPT_COMMON_LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "common/errors.h"

/**
 * log_init() - choose where lines go
 * @ident: name of the program; kept by reference, so a literal
 *
 * Lines go to the journal's native socket when JOURNAL_STREAM names the file
 * that stderr is (systemd.exec(5)), else to stderr with the name in front.
 */
void log_init(const char *ident);

/**
 * log_set_level() - drop lines less urgent than @level (LOG_ERR … LOG_DEBUG)
 *
 * LOG_INFO at start.
 */
void log_set_level(int level);

/**
 * log_print() - write one line
 * @level: LOG_* of syslog(3)
 *
 * Safe in any thread: a line is one write.
 */
void log_print(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)		log_print(LOG_ERR, __VA_ARGS__)
#define log_warning(...)	log_print(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)		log_print(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)		log_print(LOG_INFO, __VA_ARGS__)
#define log_debug(...)		log_print(LOG_DEBUG, __VA_ARGS__)

#endif
