/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that the module is built for. Included
 * ahead of every source file; no other file asks for the kernel's version.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#ifndef _VMCRYPT_COMPAT_H
#define _VMCRYPT_COMPAT_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "dm-vmcrypt needs Linux 6.1 or newer"
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0) && !defined(VMCRYPT_NEWER_KERNEL)
#error "tested up to Linux 6.12: read kernel/compat/, then define VMCRYPT_NEWER_KERNEL"
#endif

/*
 * The completion of a cipher request got its own data as the argument in 6.3;
 * before, it got the request.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
typedef void vmcrypt_completion_arg;
#define vmcrypt_completion_data(arg)	(arg)
#else
#include <linux/crypto.h>
typedef struct crypto_async_request vmcrypt_completion_arg;
#define vmcrypt_completion_data(arg)	((arg)->data)
#endif

/* What a family's pre_doit is given to name the operation: split in 6.2. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define vmcrypt_genl_op	genl_split_ops
#else
#define vmcrypt_genl_op	genl_ops
#endif

/* Shrinkers are allocated by the core since 6.7, and were embedded before. */
#include <linux/shrinker.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
static inline struct shrinker *
vmcrypt_shrinker_register(unsigned long (*count)(struct shrinker *, struct shrink_control *),
			  unsigned long (*scan)(struct shrinker *, struct shrink_control *),
			  const char *name)
{
	struct shrinker *shrinker = shrinker_alloc(0, "%s", name);

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
	shrinker_register(shrinker);
	return shrinker;
}

static inline void vmcrypt_shrinker_unregister(struct shrinker *shrinker)
{
	shrinker_free(shrinker);
}
#else
#include <linux/slab.h>

static inline struct shrinker *
vmcrypt_shrinker_register(unsigned long (*count)(struct shrinker *, struct shrink_control *),
			  unsigned long (*scan)(struct shrinker *, struct shrink_control *),
			  const char *name)
{
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);

	if (!shrinker)
		return NULL;
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
	if (register_shrinker(shrinker, "%s", name)) {
		kfree(shrinker);
		return NULL;
	}
	return shrinker;
}

static inline void vmcrypt_shrinker_unregister(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
	kfree(shrinker);
}
#endif

#endif /* _VMCRYPT_COMPAT_H */
