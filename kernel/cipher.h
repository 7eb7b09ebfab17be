/* SPDX-License-Identifier: GPL-2.0-only */
/* Copyright (C) 2026 The vmcrypt authors */
#ifndef _VMCRYPT_CIPHER_H
#define _VMCRYPT_CIPHER_H

#include <crypto/skcipher.h>
#include <linux/atomic.h>
#include <linux/bvec.h>
#include <linux/scatterlist.h>

/* A sector of 4096 bytes in pieces of 512, what the queue limits allow at worst. */
#define VMCRYPT_GATHER_MAX	8

struct vmcrypt_crypt;

/**
 * typedef vmcrypt_crypt_done_fn - an asynchronous step has ended
 * @crypt: call vmcrypt_crypt_run() again to go on
 *
 * Called from the cipher driver's completion, any context.
 */
typedef void vmcrypt_crypt_done_fn(struct vmcrypt_crypt *crypt);

/**
 * struct vmcrypt_crypt - one pass of the cipher over the data of one bio
 * @src: segments read from
 * @dst: segments written to, NULL to work in place
 * @src_iter: what is left of @src
 * @dst_iter: what is left of @dst
 * @done: see vmcrypt_crypt_done_fn
 * @iv: tweak of the next sector, plain64
 * @iv_step: how far @iv moves with each sector
 * @sector_size: bytes per call of the cipher
 * @encrypt: which way
 * @may_resched: the caller may sleep between segments
 * @met: which of caller and completion came first at an asynchronous step
 * @error: what the completion was told
 * @iv_buf: @iv as the cipher reads it
 * @in: source of one call
 * @out: destination of one call
 * @req: the request, set up once; the driver's context follows it
 *
 * Owned by whoever called vmcrypt_crypt_run(), except between -EINPROGRESS and
 * @done.
 */
struct vmcrypt_crypt {
	const struct bio_vec *src;
	const struct bio_vec *dst;
	struct bvec_iter src_iter;
	struct bvec_iter dst_iter;
	vmcrypt_crypt_done_fn *done;
	u64 iv;
	u32 iv_step;
	u32 sector_size;
	bool encrypt;
	bool may_resched;
	atomic_t met;
	int error;
	__le64 iv_buf[2];
	struct scatterlist in[VMCRYPT_GATHER_MAX];
	struct scatterlist out;
	struct skcipher_request req;	/* must be last */
};

struct crypto_skcipher *vmcrypt_cipher_alloc(const u8 *raw, unsigned int size);

unsigned int vmcrypt_crypt_size(void);
void vmcrypt_crypt_begin(struct vmcrypt_crypt *crypt, struct crypto_skcipher *tfm,
			 vmcrypt_crypt_done_fn *done);
int vmcrypt_crypt_run(struct vmcrypt_crypt *crypt);

int vmcrypt_cipher_init(void);
void vmcrypt_cipher_exit(void);

#endif /* _VMCRYPT_CIPHER_H */
