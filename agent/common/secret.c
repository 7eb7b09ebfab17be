// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanse.h"

#define SECURE_HEAP_SIZE	((size_t) 1024 * 1024)
#define SECURE_HEAP_MIN		16
#define STACK_DEPTH		(32 * 1024)

int secret_init(void)
{
	(void) cleanse_active();

	if (CRYPTO_secure_malloc_initialized())
		return 0;
	/* 2: there is a heap, but it is not locked or has no guard pages. */
	if (CRYPTO_secure_malloc_init(SECURE_HEAP_SIZE, SECURE_HEAP_MIN) != 1) {
		CRYPTO_secure_malloc_done();
		return -ENOMEM;
	}
	return 0;
}

int secret_new(size_t size, struct secret *ret)
{
	uint8_t *data;

	if (size == 0 || size > SECRET_MAX)
		return -EINVAL;
	/* Without its heap OPENSSL_secure_malloc() takes ordinary memory. */
	if (!CRYPTO_secure_malloc_initialized())
		return -ENOMEM;

	data = OPENSSL_secure_zalloc(size);
	if (!data)
		return -ENOMEM;
	*ret = (struct secret) { .data = data, .size = size };
	return 0;
}

int secret_random(size_t size, struct secret *ret)
{
	_cleanup_secret_ struct secret s = SECRET_NULL;
	int r;

	r = secret_new(size, &s);
	if (r < 0)
		return r;
	r = getrandom_full(s.data, s.size);
	if (r < 0)
		return r;
	*ret = secret_take(&s);
	return 0;
}

int secret_copy(const void *data, size_t size, struct secret *ret)
{
	struct secret s;
	int r;

	r = secret_new(size, &s);
	if (r < 0)
		return r;
	memcpy(s.data, data, size);
	*ret = s;
	return 0;
}

int secret_grow(struct secret *s, size_t size)
{
	struct secret larger;
	int r;

	r = secret_new(size, &larger);
	if (r < 0)
		return r;
	if (s->size)
		memcpy(larger.data, s->data, s->size);
	secret_done(s);
	*s = larger;
	return 0;
}

void secret_shrink(struct secret *s, size_t size)
{
	if (size >= s->size)
		return;
	erase(s->data + size, s->size - size);
	s->size = size;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	if (a->size != b->size)
		return false;
	return a->size == 0 || CRYPTO_memcmp(a->data, b->data, a->size) == 0;
}

struct secret secret_take(struct secret *s)
{
	struct secret taken = *s;

	*s = SECRET_NULL;
	return taken;
}

void secret_done(struct secret *s)
{
	if (!s)
		return;
	if (s->data)
		OPENSSL_secure_clear_free(s->data, s->size);
	*s = SECRET_NULL;
}

void erase(void *p, size_t n)
{
	if (p && n > 0)
		OPENSSL_cleanse(p, n);
}

__attribute__((noinline)) void erase_stack(void)
{
	uint8_t below[STACK_DEPTH];

	erase(below, sizeof(below));
}

int getrandom_full(void *p, size_t n)
{
	uint8_t *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		at += got;
		n -= (size_t) got;
	}
	return 0;
}
