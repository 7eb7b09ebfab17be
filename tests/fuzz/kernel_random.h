/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the fuzzers of the kernel's interfaces share: numbers that a seed repeats. */
#ifndef FUZZ_KERNEL_RANDOM_H
#define FUZZ_KERNEL_RANDOM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/**
 * struct rnd - a generator (splitmix64): each case has its own seed, so that one
 * case repeats without those before it
 */
struct rnd {
	uint64_t state;
};

static inline uint64_t rnd_next(struct rnd *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* 0 … n - 1 */
static inline unsigned int rnd_below(struct rnd *r, unsigned int n)
{
	return (unsigned int)(rnd_next(r) % n);
}

static inline bool rnd_one_in(struct rnd *r, unsigned int n)
{
	return !rnd_below(r, n);
}

/* numbers at which code goes wrong, or any */
static inline uint64_t rnd_number(struct rnd *r)
{
	static const uint64_t edges[] = {
		0, 1, 2, 7, 8, 16, 32, 64, 255, 256, 511, 512, 513, 1024, 2048, 4095, 4096, 4097, 8192,
		INT32_MAX, (uint64_t)INT32_MAX + 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1, 1ull << 44,
		(1ull << 44) + 8, 1ull << 55, 1ull << 56, INT64_MAX,
		(uint64_t)INT64_MAX + 1, UINT64_MAX - 7, UINT64_MAX,
	};

	if (rnd_one_in(r, 4))
		return rnd_next(r) >> rnd_below(r, 64);
	return edges[rnd_below(r, sizeof(edges) / sizeof(*edges))];
}

#endif
