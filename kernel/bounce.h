/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_BOUNCE_H
#define _VMCRYPT_BOUNCE_H

#include <linux/bvec.h>
#include <linux/mempool.h>
#include <linux/mutex.h>

/* The largest write that is carried by one bio: as many pages as bvecs. */
#define VMCRYPT_BOUNCE_MAX		(BIO_MAX_VECS << PAGE_SHIFT)

/* The largest write for which memory is certain, see bounce.c. */
#define VMCRYPT_RESERVE_PAGES		32
#define VMCRYPT_RESERVE_BYTES		(VMCRYPT_RESERVE_PAGES << PAGE_SHIFT)

#define VMCRYPT_BOUNCE_INLINE_VECS	16

/**
 * struct vmcrypt_reserve - the pages that one target can always have
 * @pool: order-0 pages, enough for one write of VMCRYPT_RESERVE_BYTES
 * @lock: held while one write takes several pages from @pool
 */
struct vmcrypt_reserve {
	mempool_t pool;
	struct mutex lock;	/* one taker of several pages at a time */
};

/**
 * struct vmcrypt_bounce - the memory that a write is encrypted into
 * @vec: what @nr segments of ciphertext lie in
 * @nr: segments
 * @vec_page: the page that holds @vec, NULL while @inline_vecs does
 * @inline_vecs: enough for most bios
 */
struct vmcrypt_bounce {
	struct bio_vec *vec;
	unsigned int nr;
	struct page *vec_page;
	struct bio_vec inline_vecs[VMCRYPT_BOUNCE_INLINE_VECS];
};

int vmcrypt_reserve_init(struct vmcrypt_reserve *reserve);
void vmcrypt_reserve_exit(struct vmcrypt_reserve *reserve);

bool vmcrypt_bounce_try(struct vmcrypt_bounce *bounce, struct vmcrypt_reserve *reserve,
			unsigned int bytes);
void vmcrypt_bounce_wait(struct vmcrypt_bounce *bounce, struct vmcrypt_reserve *reserve,
			 unsigned int bytes);
void vmcrypt_bounce_free(struct vmcrypt_bounce *bounce, struct vmcrypt_reserve *reserve);

int vmcrypt_bounce_init(void);
void vmcrypt_bounce_exit(void);

#endif /* _VMCRYPT_BOUNCE_H */
