/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Searching a process's own memory for what should be gone.
 *
 * What is searched for stays masked all the time, so that the search does not
 * find itself. For programs built without sanitizers, whose allocator keeps
 * what is freed.
 */
#ifndef VMCRYPT_TESTS_MEMSEARCH_H
#define VMCRYPT_TESTS_MEMSEARCH_H

#include "unit.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define MASK	0xa5
#define WINDOW	8
#define CHUNK	(1 << 20)

/**
 * struct needle - a secret, masked
 * @bytes: each one xor MASK
 * @size: of it; each whole WINDOW of it is searched for
 */
struct needle {
	uint8_t bytes[128];
	size_t size;
};

static inline struct needle remember(const struct secret *s)
{
	struct needle needle = { .size = s->size < 128 ? s->size : 128 };
	size_t i;

	for (i = 0; i < needle.size; i++)
		needle.bytes[i] = s->data[i] ^ MASK;
	return needle;
}

static inline struct secret recall(const struct needle *needle)
{
	struct secret s = SECRET_NULL;
	size_t i;

	assert_int_equal(secret_new(needle->size, &s), 0);
	for (i = 0; i < needle->size; i++)
		s.data[i] = needle->bytes[i] ^ MASK;
	return s;
}

static inline bool window_at(const uint8_t *at, const uint8_t *masked)
{
	size_t i;

	for (i = 0; i < WINDOW; i++)
		if ((at[i] ^ MASK) != masked[i])
			return false;
	return true;
}

static inline size_t search_chunk(const uint8_t *data, size_t size, const struct needle *needle)
{
	size_t found = 0, i, w;

	for (i = 0; i + WINDOW <= size; i++)
		for (w = 0; w + WINDOW <= needle->size; w += WINDOW)
			if (window_at(data + i, needle->bytes + w))
				found++;
	return found;
}

/* The buffer is a mapping of its own, left out of the search. */
static uint8_t *chunk;

static inline int memsearch_setup(void)
{
	/* Shared: a mapping that the kernel does not merge with a neighbour. */
	chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return chunk == MAP_FAILED ? -1 : 0;
}

static inline size_t search_range(uintptr_t from, uintptr_t to, const struct needle *needle)
{
	size_t found = 0;

	while (from < to) {
		size_t want = to - from < CHUNK ? to - from : CHUNK;
		struct iovec local = { chunk, want }, remote = { (void *) from, want };
		ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

		if (n <= 0)
			break;
		found += search_chunk(chunk, (size_t) n, needle);
		/* Windows that straddle two chunks are seen in the second one. */
		if ((size_t) n < want || want <= WINDOW)
			break;
		from += want - (to - from > CHUNK ? WINDOW : 0);
	}
	memset(chunk, 0, CHUNK);
	return found;
}

static inline size_t search(const struct needle *needle)
{
	char line[512], perms[8];
	uintptr_t from, to;
	size_t found = 0, regions = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, perms) != 3 ||
		    perms[0] != 'r' || perms[1] != 'w' || from == (uintptr_t) chunk)
			continue;
		regions++;
		found += search_range(from, to, needle);
	}
	fclose(maps);
	assert_true(regions > 5);
	return found;
}

static inline void assert_gone(const struct needle *needle, const char *what)
{
	size_t found = search(needle);

	if (found > 0)
		fail_msg("%s: %zu places still hold parts of it", what, found);
}

static inline struct needle random_needle(size_t size)
{
	struct secret s = SECRET_NULL;
	struct needle needle;

	assert_int_equal(secret_random(size, &s), 0);
	needle = remember(&s);
	secret_done(&s);
	return needle;
}

#endif
