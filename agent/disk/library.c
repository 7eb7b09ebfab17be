/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libcryptsetup.h>
#include <libdevmapper.h>

#include "disk/library.h"

/* Libraries with global state leave no other place for what guards them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char message[256];

static void keep(const char *text)
{
	snprintf(message, sizeof(message), "%s", text);
	message[strcspn(message, "\n")] = '\0';
}

static void on_cryptsetup_log(int level, const char *text, void *userdata)
{
	(void) userdata;
	if (level == CRYPT_LOG_ERROR)
		keep(text);
}

__attribute__((format(printf, 5, 6)))
static void on_dm_log(int level, const char *file, int line, int dm_errno, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	(void) file;
	(void) line;
	(void) dm_errno;
	if ((level & 7) > 3)		/* _LOG_ERR of libdevmapper is 3 */
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	keep(text);
}

void disk_library_lock(void)
{
	pthread_mutex_lock(&lock);
	message[0] = '\0';
	crypt_set_log_callback(NULL, on_cryptsetup_log, NULL);
	/* Each time: libcryptsetup puts its own in the place of it. */
	dm_log_with_errno_init(on_dm_log);
}

void disk_library_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

const char *disk_library_message(void)
{
	return message;
}
