/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the unit tests of common, crypto and provider share.
 */
#ifndef VMCRYPT_TESTS_UNIT_H
#define VMCRYPT_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"

static inline int unit_setup(void **state)
{
	(void) state;
	return secret_init();
}

/* Path inside a folder; lives until the fourth next call. */
static inline const char *unit_path(const char *dir, const char *name)
{
	static char paths[4][512];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static inline void unit_make_dir(char dir[64])
{
	snprintf(dir, 64, "/tmp/vmcrypt-unit-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

/* Deletes a folder's files and one level of folders. */
static inline void unit_remove_dir(const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);

	if (!d)
		return;
	while ((entry = readdir(d))) {
		char path[1024];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < 0)
			continue;
		if (entry->d_type == DT_DIR)
			unit_remove_dir(path);
		else
			unlink(path);
	}
	closedir(d);
	rmdir(dir);
}

/* Number of entries whose name ends in @suffix. */
static inline size_t unit_count(const char *dir, const char *suffix)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		size_t have = strlen(entry->d_name), want = strlen(suffix);

		if (entry->d_name[0] == '.' && (have < 3 || want == 0))
			continue;
		if (have >= want && strcmp(entry->d_name + have - want, suffix) == 0)
			n++;
	}
	closedir(d);
	return n;
}

static inline void unit_write(const char *path, const void *data, size_t size, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	if (size > 0)
		assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static inline struct secret unit_secret(const void *data, size_t size)
{
	struct secret s = SECRET_NULL;

	assert_int_equal(secret_copy(data, size, &s), 0);
	return s;
}

static inline struct secret unit_secret_hex(const char *hex)
{
	struct secret s = SECRET_NULL;

	assert_int_equal(secret_new(strlen(hex) / 2, &s), 0);
	assert_int_equal(hex_decode(hex, s.data, s.size), 0);
	return s;
}

static inline struct secret unit_password(const char *text)
{
	return unit_secret(text, strlen(text));
}

/* 00 01 02 … */
static inline struct secret unit_counting(size_t size)
{
	struct secret s = SECRET_NULL;
	size_t i;

	assert_int_equal(secret_new(size, &s), 0);
	for (i = 0; i < size; i++)
		s.data[i] = (uint8_t) i;
	return s;
}

/* An error has to say something that helps, on one line. */
static inline void unit_speaks(const struct error *e, const char *part)
{
	assert_true(error_is_set(e));
	assert_true(strlen(e->text) > 10);
	assert_null(strchr(e->text, '\n'));
	if (!strstr(e->text, part))
		fail_msg("\"%s\" does not say \"%s\"", e->text, part);
}

/* Calls that have to go well; the test has a struct error e. */
#define must(call)						\
	do {							\
		if ((call) < 0)					\
			fail_msg("%s: %s", #call, e.text);	\
	} while (0)

/* A failure of a known kind, which speaks. */
#define must_fail(call, code_, part)				\
	do {							\
		e = ERROR_NULL;					\
		assert_int_equal((call), (code_));		\
		assert_int_equal(e.code, (code_));		\
		unit_speaks(&e, (part));			\
	} while (0)

#endif
