/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for keys and passwords.
 *
 * A secret lives in OpenSSL's secure heap: locked, between guard pages, left
 * out of core dumps. Each one has a single owner, whose clean-up erases it.
 */
#ifndef VMCRYPT_COMMON_SECRET_H
#define VMCRYPT_COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct secret - bytes that are erased when they die
 * @data: in the secure heap, NULL when empty
 * @size: bytes
 *
 * An empty one is SECRET_NULL; every function takes an empty one for a secret
 * of no bytes.
 */
struct secret {
	uint8_t *data;
	size_t size;
};

#define SECRET_NULL ((struct secret) { .data = NULL, .size = 0 })

/** SECRET_MAX - largest secret, bytes: a quarter of the secure heap */
#define SECRET_MAX ((size_t) 256 * 1024)

/**
 * secret_init() - set up the secure heap, 1 MiB, once per process
 *
 * To be called before the first secret is made. Calling it again is harmless.
 * Fails closed: without a locked heap no secret can be made.
 *
 * Return: 0; -ENOMEM when the heap cannot be had or cannot be locked (raise
 * RLIMIT_MEMLOCK).
 */
int secret_init(void);

/**
 * secret_new() - make a secret of zero bytes
 * @size: 1..SECRET_MAX
 * @ret: written only on success; the caller owns it
 *
 * Return: 0; -EINVAL (size), -ENOMEM (heap full or secret_init() not called).
 */
int secret_new(size_t size, struct secret *ret);

/**
 * secret_random() - make a secret of @size bytes from getrandom(2)
 *
 * Return: as secret_new(), or what getrandom(2) answered.
 */
int secret_random(size_t size, struct secret *ret);

/**
 * secret_copy() - make a secret holding a copy of @size bytes at @data
 *
 * The caller still owns, and has to erase, what @data points to.
 */
int secret_copy(const void *data, size_t size, struct secret *ret);

/**
 * secret_grow() - make a secret larger; the bytes that are new are zero
 * @size: not below the present size
 *
 * What it was before is erased. On failure it stays as it is.
 *
 * Return: as secret_new().
 */
int secret_grow(struct secret *s, size_t size);

/**
 * secret_shrink() - forget the bytes of a secret behind the first @size
 *
 * The memory stays, what is cut off is erased. @size beyond the present size
 * changes nothing.
 */
void secret_shrink(struct secret *s, size_t size);

/**
 * secret_equal() - compare in a time that depends on the sizes alone
 */
bool secret_equal(const struct secret *a, const struct secret *b);

/**
 * secret_take() - move a secret out of its variable, which becomes empty
 *
 * For handing it to a new owner: ``*ret = secret_take(&s);``
 */
struct secret secret_take(struct secret *s);

/**
 * secret_done() - erase and free; the variable becomes empty
 *
 * An empty secret and NULL are left alone.
 */
void secret_done(struct secret *s);

#define _cleanup_secret_ __attribute__((cleanup(secret_done)))

/**
 * erase() - overwrite memory with zeroes, never optimised away
 */
void erase(void *p, size_t n);

/**
 * erase_stack() - overwrite the part of the stack that functions called before
 * have used and left
 *
 * To be called after a library has worked with a key on its own stack: 32 KiB
 * below the caller's frame become zero.
 */
void erase_stack(void);

/**
 * getrandom_full() - fill a buffer from getrandom(2), blocking until the
 * kernel's generator is seeded
 *
 * Return: 0 or -errno.
 */
int getrandom_full(void *p, size_t n);

#endif
