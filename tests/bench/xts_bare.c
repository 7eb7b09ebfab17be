// SPDX-License-Identifier: GPL-2.0-only
/*
 * What bare xts(aes) costs: 4096 bytes as one request and as eight of 512. The
 * time is what the clock of a machine that counts instructions says, so it is
 * instructions. Loading the module measures; the result is in the kernel log.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include <crypto/skcipher.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#define BYTES	4096
#define ROUNDS	2000
#define WARM	100

/**
 * struct bare - one set-up of the measurement
 * @tfm: the fastest xts(aes), with a key
 * @req: synchronous use of it
 * @wait: for drivers that answer later all the same
 * @src: plaintext
 * @dst: ciphertext
 */
struct bare {
	struct crypto_skcipher *tfm;
	struct skcipher_request *req;
	struct crypto_wait wait;
	u8 *src;
	u8 *dst;
};

/* Set up once and then only moved, as nothing can do it for less. */
static int one_pass(struct bare *b, unsigned int size, bool encrypt, u64 iv)
{
	__le64 tweak[2] = { 0, 0 };
	struct scatterlist in, out;
	unsigned int at;
	int r = 0;

	sg_init_one(&in, encrypt ? b->src : b->dst, size);
	sg_init_one(&out, b->dst, size);
	skcipher_request_set_crypt(b->req, &in, encrypt ? &out : &in, size, tweak);
	for (at = 0; at < BYTES && !r; at += size) {
		tweak[0] = cpu_to_le64(iv++);
		tweak[1] = 0;
		r = encrypt ? crypto_skcipher_encrypt(b->req) : crypto_skcipher_decrypt(b->req);
		if (r == -EINPROGRESS || r == -EBUSY)
			r = crypto_wait_req(r, &b->wait);
		in.offset += size;
		out.offset += size;
	}
	return r;
}

/* Nanoseconds for BYTES, in tenths */
static s64 measure(struct bare *b, unsigned int size, bool encrypt)
{
	ktime_t begin = 0;
	int i, r;

	for (i = 0; i < WARM + ROUNDS; i++) {
		if (i == WARM)
			begin = ktime_get();
		r = one_pass(b, size, encrypt, i);
		if (r)
			return r;
	}
	return div_s64(ktime_to_ns(ktime_sub(ktime_get(), begin)) * 10, ROUNDS);
}

static int report(struct bare *b)
{
	static const unsigned int sizes[] = { 512, 4096 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		s64 write = measure(b, sizes[i], /* encrypt= */ true);
		s64 read = measure(b, sizes[i], /* encrypt= */ false);

		if (write < 0 || read < 0)
			return -EIO;
		pr_info("xts_bare: %u read %lld.%lld write %lld.%lld driver %s\n", sizes[i],
			read / 10, read % 10, write / 10, write % 10,
			crypto_tfm_alg_driver_name(crypto_skcipher_tfm(b->tfm)));
	}
	return 0;
}

static int prepare(struct bare *b)
{
	u8 key[64];
	unsigned int i;

	for (i = 0; i < sizeof(key); i++)
		key[i] = i;
	b->src = kzalloc(BYTES, GFP_KERNEL);
	b->dst = kzalloc(BYTES, GFP_KERNEL);
	b->req = skcipher_request_alloc(b->tfm, GFP_KERNEL);
	if (!b->src || !b->dst || !b->req)
		return -ENOMEM;
	skcipher_request_set_callback(b->req, CRYPTO_TFM_REQ_MAY_BACKLOG, crypto_req_done, &b->wait);
	return crypto_skcipher_setkey(b->tfm, key, sizeof(key));
}

static int __init xts_bare_init(void)
{
	struct bare b = {};
	int r;

	crypto_init_wait(&b.wait);
	b.tfm = crypto_alloc_skcipher("xts(aes)", 0, 0);
	if (IS_ERR(b.tfm))
		return PTR_ERR(b.tfm);
	r = prepare(&b);
	if (!r)
		r = report(&b);
	skcipher_request_free(b.req);
	kfree(b.dst);
	kfree(b.src);
	crypto_free_skcipher(b.tfm);
	return r;
}

static void __exit xts_bare_exit(void)
{
}

module_init(xts_bare_init);
module_exit(xts_bare_exit);
MODULE_DESCRIPTION("What bare xts(aes) costs");
MODULE_AUTHOR("The vmcrypt authors");
MODULE_LICENSE("GPL");
