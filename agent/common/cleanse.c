// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Everything that is freed in this process is erased first.
 *
 * Keys pass through libraries that do not erase what they free: jansson holds a
 * backup's base64, tpm2-tss the parameters it has decrypted, OpenSSL's ASN.1 code
 * and libcryptsetup's crypto back end their working copies. Each has a hook of
 * its own at best (json_set_alloc_funcs(), CRYPTO_set_mem_functions()), tpm2-tss
 * has none. So the one place where all of them meet is taken: free(). glibc
 * lets a program replace it (the dynamic linker binds every library to the
 * program's definition) and keeps its own under another name.
 *
 * realloc() is here because glibc's moves a block without erasing the old one.
 * A sanitizer brings its own allocator: there this file is empty.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanse.h"

/* gcc says it one way, clang the other. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#ifdef __SANITIZE_ADDRESS__

bool cleanse_active(void)
{
	return false;
}

#else

/* glibc's own, exported under these names beside the replaceable ones. */
extern void __libc_free(void *p);

void free(void *p)
{
	int saved = errno;

	if (!p)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	__libc_free(p);
	errno = saved;
}

void *realloc(void *p, size_t size)
{
	size_t old;
	void *q;

	if (!p)
		return malloc(size);
	if (size == 0) {
		free(p);
		return NULL;
	}

	/* A little smaller or just as large: the block is good as it is. */
	old = malloc_usable_size(p);
	if (size <= old && size >= old / 2) {
		explicit_bzero((char *) p + size, old - size);
		return p;
	}

	q = malloc(size);
	if (!q)
		return NULL;
	memcpy(q, p, old < size ? old : size);
	free(p);
	return q;
}

bool cleanse_active(void)
{
	return true;
}

#endif
