// SPDX-License-Identifier: LGPL-2.1-or-later
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#define LINE_SIZE 2048

/* The one process-wide setting: where lines go is a property of the process. */
static struct {
	const char *ident;
	bool journal;
	int level;
} log_to = { .ident = "vmcrypt", .journal = false, .level = LOG_INFO };

static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%ju:%ju", &dev, &ino) != 2)
		return false;
	if (fstat(STDERR_FILENO, &st) < 0)
		return false;
	return st.st_dev == dev && st.st_ino == ino;
}

void log_init(const char *ident)
{
	log_to.ident = ident;
	log_to.journal = stderr_is_journal();
}

void log_set_level(int level)
{
	log_to.level = level;
}

void log_print(int level, const char *fmt, ...)
{
	char text[LINE_SIZE], line[LINE_SIZE + 64];
	int saved = errno;
	va_list ap;
	int n;

	if (level > log_to.level)
		return;

	va_start(ap, fmt);
	errno = saved;
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		goto finish;

	if (log_to.journal &&
	    sd_journal_send("MESSAGE=%s", text, "PRIORITY=%i", level,
			    "SYSLOG_IDENTIFIER=%s", log_to.ident, NULL) >= 0)
		goto finish;

	n = snprintf(line, sizeof(line), "%s: %s\n", log_to.ident, text);
	if (n > 0 && (size_t) n < sizeof(line))
		while (write(STDERR_FILENO, line, (size_t) n) < 0 && errno == EINTR)
			;
finish:
	errno = saved;
}
