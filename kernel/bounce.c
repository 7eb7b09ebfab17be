// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that writes are encrypted into.
 *
 * A page that carried one write carries the next: each CPU keeps a stack of
 * used pages, and one of used chunks of 64 KiB, so that a big write becomes a
 * few segments instead of 256. They are never zeroed again: they only ever hold
 * ciphertext (or the vector of a write), and clearing a page costs half as much
 * as encrypting it.
 *
 * Progress does not depend on the stacks. Each target has a reserve of its
 * own, of pages for one write of VMCRYPT_RESERVE_BYTES and its vector:
 *
 *  - A page that is freed goes to the reserve of its target first while that is
 *    below its minimum; only then to the stack, then to the page allocator.
 *  - A write that finds no memory is cut to VMCRYPT_RESERVE_BYTES and takes its
 *    pages under the reserve's mutex, so two half-served writes can never wait
 *    for each other's pages.
 *  - What it then waits for is the end of writes of the same target, which need
 *    nothing from it, nor a worker that waits for it. A target stacked on this one
 *    has its own reserve.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "bounce.h"

#include <linux/bio.h>
#include <linux/cpuhotplug.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>

#include "trace.h"

#define CHUNK_ORDER		(16 - PAGE_SHIFT > 0 ? 16 - PAGE_SHIFT : 0)
#define CHUNK_BYTES		(PAGE_SIZE << CHUNK_ORDER)
#define CHUNK_WORTH_BYTES	(CHUNK_BYTES / 2)	/* from here a chunk is taken */

/* What one CPU keeps at most: 256 KiB in pages, 2 MiB in chunks. */
#define PAGES_KEPT		64
#define CHUNKS_KEPT		32

/* Fails at once: who has no memory now takes the way through the reserve. */
#define TRY_GFP	(GFP_NOWAIT | __GFP_NOWARN | __GFP_NORETRY | __GFP_NOMEMALLOC)

/**
 * struct used - what one CPU keeps of used memory
 * @lock: taken from any context, and by the shrinker from another CPU
 * @nr_pages: pages in @pages
 * @nr_chunks: chunks in @chunks
 * @pages: order 0
 * @chunks: order CHUNK_ORDER
 */
struct used {
	raw_spinlock_t lock;
	unsigned int nr_pages;
	unsigned int nr_chunks;
	struct page *pages[PAGES_KEPT];
	struct page *chunks[CHUNKS_KEPT];
};

static struct used __percpu *used_memory;
static struct shrinker *used_shrinker;
static int used_cpuhp_state;

static struct page *pop_page(struct used *used)
{
	return used->nr_pages ? used->pages[--used->nr_pages] : NULL;
}

static struct page *pop_chunk(struct used *used)
{
	return used->nr_chunks ? used->chunks[--used->nr_chunks] : NULL;
}

static void add_segment(struct vmcrypt_bounce *bounce, struct page *page, unsigned int bytes)
{
	struct bio_vec *bv = &bounce->vec[bounce->nr++];

	bv->bv_page = page;
	bv->bv_offset = 0;
	bv->bv_len = bytes;
}

/* Moves the vector out of the bio's own memory, into a page. */
static void grow(struct vmcrypt_bounce *bounce, struct page *page)
{
	BUILD_BUG_ON(BIO_MAX_VECS * sizeof(struct bio_vec) > PAGE_SIZE);
	bounce->vec_page = page;
	bounce->vec = page_address(page);
	memcpy(bounce->vec, bounce->inline_vecs, bounce->nr * sizeof(*bounce->vec));
}

static bool is_full(const struct vmcrypt_bounce *bounce)
{
	return !bounce->vec_page && bounce->nr == VMCRYPT_BOUNCE_INLINE_VECS;
}

/* Takes what the CPU's stacks have; returns the bytes that are still wanted. */
static unsigned int take_used(struct vmcrypt_bounce *bounce, unsigned int bytes)
{
	struct used *used;
	unsigned long flags;
	struct page *page;
	unsigned int len;

	local_irq_save(flags);
	used = this_cpu_ptr(used_memory);
	raw_spin_lock(&used->lock);
	while (bytes) {
		if (unlikely(is_full(bounce))) {
			page = pop_page(used);
			if (!page)
				break;
			grow(bounce, page);
		}
		if (bytes >= CHUNK_WORTH_BYTES) {
			len = min_t(unsigned int, bytes, CHUNK_BYTES);
			page = pop_chunk(used);
		} else {
			len = min_t(unsigned int, bytes, PAGE_SIZE);
			page = pop_page(used);
		}
		if (!page)
			break;
		add_segment(bounce, page, len);
		bytes -= len;
	}
	raw_spin_unlock(&used->lock);
	local_irq_restore(flags);
	return bytes;
}

/* Takes new memory; returns the bytes that could not be had without waiting. */
static unsigned int take_new(struct vmcrypt_bounce *bounce, unsigned int bytes)
{
	bool chunks = CHUNK_ORDER > 0;
	struct page *page;
	unsigned int len;

	while (bytes) {
		if (is_full(bounce)) {
			page = alloc_page(TRY_GFP);
			if (!page)
				break;
			grow(bounce, page);
		}
		page = NULL;
		len = min_t(unsigned int, bytes, CHUNK_BYTES);
		if (chunks && bytes >= CHUNK_WORTH_BYTES)
			page = alloc_pages(TRY_GFP | __GFP_COMP, CHUNK_ORDER);
		if (!page) {
			chunks = false;
			len = min_t(unsigned int, bytes, PAGE_SIZE);
			page = alloc_page(TRY_GFP);
		}
		if (!page)
			break;
		add_segment(bounce, page, len);
		bytes -= len;
	}
	return bytes;
}

static void make_empty(struct vmcrypt_bounce *bounce)
{
	bounce->nr = 0;
	bounce->vec_page = NULL;
	bounce->vec = bounce->inline_vecs;
}

/**
 * vmcrypt_bounce_try() - get memory for a write without waiting
 * @bounce: filled on success, empty on failure
 * @reserve: the target's, to which pages go back
 * @bytes: size of the write, a multiple of 512, at most VMCRYPT_BOUNCE_MAX
 *
 * Any context. Return: false if there is not enough memory now.
 */
bool vmcrypt_bounce_try(struct vmcrypt_bounce *bounce, struct vmcrypt_reserve *reserve,
			unsigned int bytes)
{
	make_empty(bounce);
	bytes = take_used(bounce, bytes);
	if (unlikely(bytes))
		bytes = take_new(bounce, bytes);
	if (likely(!bytes))
		return true;

	vmcrypt_bounce_free(bounce, reserve);
	return false;
}

/**
 * vmcrypt_bounce_wait() - get memory for a write, waiting for it
 * @bounce: filled
 * @reserve: the target's
 * @bytes: size of the write, a multiple of 512, at most VMCRYPT_RESERVE_BYTES
 *
 * Process context, no lock held. It always succeeds.
 */
void vmcrypt_bounce_wait(struct vmcrypt_bounce *bounce, struct vmcrypt_reserve *reserve,
			 unsigned int bytes)
{
	unsigned int len, left;

	might_sleep();
	make_empty(bounce);

	mutex_lock(&reserve->lock);
	for (left = bytes; left; left -= len) {
		if (is_full(bounce))
			grow(bounce, mempool_alloc(&reserve->pool, GFP_NOIO));
		len = min_t(unsigned int, left, PAGE_SIZE);
		add_segment(bounce, mempool_alloc(&reserve->pool, GFP_NOIO), len);
	}
	trace_vmcrypt_reserve(bytes, READ_ONCE(reserve->pool.curr_nr));
	mutex_unlock(&reserve->lock);
}

/* Puts a page on the CPU's stack. Must hold @used->lock. */
static bool push_page(struct used *used, struct page *page)
{
	lockdep_assert_held(&used->lock);
	if (used->nr_pages == PAGES_KEPT)
		return false;
	used->pages[used->nr_pages++] = page;
	return true;
}

/* Puts a chunk on the CPU's stack. Must hold @used->lock. */
static bool push_chunk(struct used *used, struct page *chunk)
{
	lockdep_assert_held(&used->lock);
	if (used->nr_chunks == CHUNKS_KEPT)
		return false;
	used->chunks[used->nr_chunks++] = chunk;
	return true;
}

/* The order is not remembered: what was taken as a chunk is compound. */
static bool is_chunk(struct page *page)
{
	return CHUNK_ORDER > 0 && PageHead(page);
}

static bool reserve_short(const struct vmcrypt_reserve *reserve)
{
	return READ_ONCE(reserve->pool.curr_nr) < reserve->pool.min_nr;
}

static bool keep(struct used *used, const struct vmcrypt_reserve *reserve, struct page *page)
{
	if (is_chunk(page))
		return push_chunk(used, page);
	if (unlikely(reserve_short(reserve)))
		return false;
	return push_page(used, page);
}

/* Keeps what there is room for; leaves the rest at the start of @vec, returns its number. */
static unsigned int keep_all(struct bio_vec *vec, unsigned int nr,
			     const struct vmcrypt_reserve *reserve)
{
	unsigned int i, left = 0;
	struct used *used;
	unsigned long flags;

	local_irq_save(flags);
	used = this_cpu_ptr(used_memory);
	raw_spin_lock(&used->lock);
	for (i = 0; i < nr; i++) {
		struct page *page = vec[i].bv_page;

		if (!keep(used, reserve, page))
			vec[left++].bv_page = page;
	}
	raw_spin_unlock(&used->lock);
	local_irq_restore(flags);
	return left;
}

static void give_back(struct bio_vec *vec, unsigned int nr, struct vmcrypt_reserve *reserve)
{
	unsigned int i, left = keep_all(vec, nr, reserve);

	for (i = 0; i < left; i++) {
		struct page *page = vec[i].bv_page;

		if (is_chunk(page))
			__free_pages(page, CHUNK_ORDER);
		else
			mempool_free(page, &reserve->pool);
	}
}

/**
 * vmcrypt_bounce_free() - give the memory of a write back
 * @bounce: what vmcrypt_bounce_try() or vmcrypt_bounce_wait() filled
 * @reserve: the same as there
 *
 * Any context, hard interrupts too.
 */
void vmcrypt_bounce_free(struct vmcrypt_bounce *bounce, struct vmcrypt_reserve *reserve)
{
	give_back(bounce->vec, bounce->nr, reserve);
	if (unlikely(bounce->vec_page)) {
		struct bio_vec last = { .bv_page = bounce->vec_page };

		give_back(&last, 1, reserve);
	}
	make_empty(bounce);
}

/* Empties what one CPU keeps, at most @max pages' worth; returns the pages freed. */
static unsigned long drain(struct used *used, unsigned long max)
{
	unsigned long flags, freed = 0;
	struct page *page;

	while (freed < max) {
		unsigned int order = CHUNK_ORDER;

		raw_spin_lock_irqsave(&used->lock, flags);
		page = pop_chunk(used);
		if (!page) {
			page = pop_page(used);
			order = 0;
		}
		raw_spin_unlock_irqrestore(&used->lock, flags);
		if (!page)
			break;
		__free_pages(page, order);
		freed += 1UL << order;
	}
	return freed;
}

static int cpu_dead(unsigned int cpu)
{
	drain(per_cpu_ptr(used_memory, cpu), ULONG_MAX);
	return 0;
}

static unsigned long shrink_count(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long pages = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct used *used = per_cpu_ptr(used_memory, cpu);

		/* An estimate is asked for: read without the lock. */
		pages += READ_ONCE(used->nr_pages);
		pages += (unsigned long)READ_ONCE(used->nr_chunks) << CHUNK_ORDER;
	}
	return pages ? pages : SHRINK_EMPTY;
}

static unsigned long shrink_scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long freed = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		freed += drain(per_cpu_ptr(used_memory, cpu), sc->nr_to_scan - freed);
		if (freed >= sc->nr_to_scan)
			break;
	}
	return freed ? freed : SHRINK_STOP;
}

/**
 * vmcrypt_reserve_init() - set a target's reserve aside
 * @reserve: the reserve
 *
 * Return: 0 or -ENOMEM.
 */
int vmcrypt_reserve_init(struct vmcrypt_reserve *reserve)
{
	mutex_init(&reserve->lock);
	/* One more page than the largest write: the vector's. */
	return mempool_init_page_pool(&reserve->pool, VMCRYPT_RESERVE_PAGES + 1, 0);
}

/**
 * vmcrypt_reserve_exit() - free a target's reserve
 * @reserve: the reserve, or zeroes
 */
void vmcrypt_reserve_exit(struct vmcrypt_reserve *reserve)
{
	mempool_exit(&reserve->pool);
}

/**
 * vmcrypt_bounce_init() - begin to keep used memory
 *
 * Return: 0 or a negative errno.
 */
int vmcrypt_bounce_init(void)
{
	int cpu, r;

	used_memory = alloc_percpu(struct used);
	if (!used_memory)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		raw_spin_lock_init(&per_cpu_ptr(used_memory, cpu)->lock);

	r = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "dm/vmcrypt:dead", NULL, cpu_dead);
	if (r < 0)
		goto err_memory;
	used_cpuhp_state = r;

	used_shrinker = vmcrypt_shrinker_register(shrink_count, shrink_scan, "dm-vmcrypt");
	if (!used_shrinker) {
		r = -ENOMEM;
		goto err_cpuhp;
	}
	return 0;

err_cpuhp:
	cpuhp_remove_state_nocalls(used_cpuhp_state);
err_memory:
	free_percpu(used_memory);
	return r;
}

/**
 * vmcrypt_bounce_exit() - free all used memory
 *
 * No target is left.
 */
void vmcrypt_bounce_exit(void)
{
	int cpu;

	vmcrypt_shrinker_unregister(used_shrinker);
	cpuhp_remove_state_nocalls(used_cpuhp_state);
	for_each_possible_cpu(cpu)
		drain(per_cpu_ptr(used_memory, cpu), ULONG_MAX);
	free_percpu(used_memory);
}
