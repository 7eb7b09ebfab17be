/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of agent/disk share: a plain file as a disk, keys, names. */
#ifndef DISK_FIXTURE_H
#define DISK_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/errors.h"
#include "common/fileio.h"
#include "common/secret.h"
#include "crypto/dek.h"
#include "disk/header.h"

#define MIB		(1024 * 1024)
#define DISK_SIZE	(20 * MIB)
#define COPY_SIZE	16384

/**
 * struct fixture - a file that is a disk, and its keys
 * @kek: of @locator; @kek2 of @locator2
 */
struct fixture {
	char dir[64];
	char disk[96];
	char header[96];
	struct secret dek, kek, kek2;
	struct key_locator locator, locator2;
};

static inline void fixture_disk(const char *path, off_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static inline void fixture_locator(struct key_locator *l, uint8_t first, const char *id)
{
	memset(l->provider, first, sizeof(l->provider));
	snprintf(l->provider_name, sizeof(l->provider_name), "native-%u", first);
	snprintf(l->key_id, sizeof(l->key_id), "%s", id);
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error e = ERROR_NULL;

	assert_non_null(f);
	assert_int_equal(secret_init(), 0);
	/* Thousands of fsync(2): in memory where there is such a place. */
	snprintf(f->dir, sizeof(f->dir), "%s/vmcrypt-disk-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->disk, sizeof(f->disk), "%s/disk", f->dir);
	snprintf(f->header, sizeof(f->header), "%s/header", f->dir);
	fixture_disk(f->disk, DISK_SIZE);
	assert_int_equal(dek_generate(512, &f->dek, &e), 0);
	assert_int_equal(secret_random(KEK_SIZE, &f->kek), 0);
	assert_int_equal(secret_random(KEK_SIZE, &f->kek2), 0);
	fixture_locator(&f->locator, 1, "01234567-89ab-4cde-8f01-23456789abcd");
	fixture_locator(&f->locator2, 2, "fedcba98-7654-4321-8fed-cba987654321");
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	unlink(f->disk);
	unlink(f->header);
	rmdir(f->dir);
	secret_done(&f->dek);
	secret_done(&f->kek);
	secret_done(&f->kek2);
	free(f);
	return 0;
}

/* A provider that has both keys; @userdata is the fixture. */
static inline int fixture_lookup(const struct key_locator *locator, void *userdata,
				 struct secret *ret, struct error *e)
{
	struct fixture *f = userdata;
	const struct secret *kek = NULL;

	if (memcmp(locator->provider, f->locator.provider, UUID_SIZE) == 0 &&
	    strcmp(locator->key_id, f->locator.key_id) == 0)
		kek = &f->kek;
	else if (memcmp(locator->provider, f->locator2.provider, UUID_SIZE) == 0 &&
		 strcmp(locator->key_id, f->locator2.key_id) == 0)
		kek = &f->kek2;
	if (!kek)
		return error_set(e, ENOKEY, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
				 "The provider %s is not known here", locator->provider_name);
	return secret_copy(kek->data, kek->size, ret);
}

static inline struct header_params fixture_params(const struct fixture *f)
{
	return (struct header_params) {
		.device = f->disk, .vm = "vm-1", .disk = "root", .sector_size = 4096,
	};
}

static inline void fixture_create(const struct fixture *f, const struct header_params *p)
{
	_cleanup_header_ struct disk_header *h = NULL;
	struct error e = ERROR_NULL;
	int r = header_create(p, &f->dek, &f->locator, &f->kek, &h, &e);

	if (r < 0)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
	assert_true(h->authentic);
}

static inline void fixture_read(const char *path, void *ret, size_t size, off_t at)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, ret, size, at), (ssize_t) size);
	close(fd);
}

static inline void fixture_write(const char *path, const void *data, size_t size, off_t at)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, size, at), (ssize_t) size);
	close(fd);
}

/* Opens and unlocks; what the header must then hold is checked here once. */
static inline struct disk_header *fixture_open(struct fixture *f, const char *header,
					       unsigned int flags)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	struct disk_header *h = NULL;
	struct error e = ERROR_NULL;
	int r = header_open(f->disk, header, flags, &h, &e);

	if (r == 0)
		r = header_unlock(h, fixture_lookup, f, &dek, &e);
	if (r < 0)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
	assert_true(secret_equal(&dek, &f->dek));
	assert_true(h->authentic);
	return h;
}

#endif
