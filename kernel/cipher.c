// SPDX-License-Identifier: GPL-2.0-only
/*
 * XTS-AES through the kernel's skcipher API, sector by sector.
 *
 * The request, its scatterlist and its IV are set up once for a bio and then
 * only moved. All calls of the cipher are made by crypt_sector(): a cipher that
 * takes many sectors in one request is a change to that one place.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "cipher.h"

#include <linux/bio.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "selftest.h"

static char *cipher_driver = "xts(aes)";
module_param(cipher_driver, charp, 0444);
MODULE_PARM_DESC(cipher_driver, "crypto API name of the cipher (default xts(aes): the fastest driver of it)");

/* The most that is done between two looks whether somebody else should run. */
#define STEP_BYTES_MAX	(64 * 1024)

/*
 * The driver that has passed the self-test. Held, so that loading a key never
 * reads a file, and that every key gets this one: bios have room for its request.
 */
static struct crypto_skcipher *held_tfm;

static struct crypto_skcipher *find_driver(void)
{
	return crypto_alloc_skcipher(cipher_driver, 0, 0);
}

static const char *driver_name(void)
{
	return crypto_tfm_alg_driver_name(crypto_skcipher_tfm(held_tfm));
}

/**
 * vmcrypt_cipher_alloc() - make a key schedule
 * @raw: the key, data key first
 * @size: bytes in @raw
 *
 * CRYPTO_ALG_ASYNC is not masked out: on x86 up to 6.15 the fast drivers carry
 * that flag, and without them xts(ecb(aes-aesni)) at five times the cost would
 * be picked.
 *
 * The tfm is the one copy of the key in the kernel. crypto_free_skcipher()
 * erases it.
 *
 * Return: the tfm, or an ERR_PTR: -EINVAL for a weak key (equal halves),
 * -ENOMEM, -EIO for whatever else the driver did not like.
 */
struct crypto_skcipher *vmcrypt_cipher_alloc(const u8 *raw, unsigned int size)
{
	struct crypto_skcipher *tfm;
	int r;

	tfm = crypto_alloc_skcipher(driver_name(), 0, 0);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm) == -ENOMEM ? tfm : ERR_PTR(-EIO);

	/* Without the flag equal halves are refused in FIPS mode only. */
	crypto_skcipher_set_flags(tfm, CRYPTO_TFM_REQ_FORBID_WEAK_KEYS);
	r = crypto_skcipher_setkey(tfm, raw, size);
	if (r) {
		crypto_free_skcipher(tfm);
		return ERR_PTR(r == -EINVAL || r == -ENOMEM ? r : -EIO);
	}
	return tfm;
}

/**
 * vmcrypt_crypt_size() - memory that a pass takes
 *
 * Return: bytes of struct vmcrypt_crypt and the driver's context behind it.
 */
unsigned int vmcrypt_crypt_size(void)
{
	return sizeof(struct vmcrypt_crypt) + crypto_skcipher_reqsize(held_tfm);
}

static void crypt_complete(vmcrypt_completion_arg *arg, int error)
{
	struct vmcrypt_crypt *crypt = vmcrypt_completion_data(arg);

	/* The request has left the backlog and is being worked on. */
	if (error == -EINPROGRESS)
		return;

	crypt->error = error;
	/* Pairs with the atomic_fetch_inc() in await_step(). */
	if (atomic_fetch_inc(&crypt->met))
		crypt->done(crypt);
}

/**
 * vmcrypt_crypt_begin() - set the request up, once for a pass
 * @crypt: the caller has filled src, dst, the iters, iv, iv_step, sector_size,
 *	encrypt and may_resched
 * @tfm: holds the key; stays alive until the pass has ended
 * @done: called when an asynchronous step has ended
 */
void vmcrypt_crypt_begin(struct vmcrypt_crypt *crypt, struct crypto_skcipher *tfm,
			 vmcrypt_crypt_done_fn *done)
{
	struct skcipher_request *req = &crypt->req;

	crypt->done = done;
	crypt->error = 0;
	atomic_set(&crypt->met, 0);

	skcipher_request_set_tfm(req, tfm);
	skcipher_request_set_callback(req, CRYPTO_TFM_REQ_MAY_BACKLOG, crypt_complete, crypt);
	skcipher_request_set_crypt(req, crypt->in, crypt->dst ? &crypt->out : crypt->in,
				   crypt->sector_size, crypt->iv_buf);
}

static int crypt_sector(struct vmcrypt_crypt *crypt)
{
	/* Both halves: drivers use the IV as scratch. */
	crypt->iv_buf[0] = cpu_to_le64(crypt->iv);
	crypt->iv_buf[1] = 0;
	crypt->iv += crypt->iv_step;
	return crypt->encrypt ? crypto_skcipher_encrypt(&crypt->req) :
				crypto_skcipher_decrypt(&crypt->req);
}

static void advance(struct vmcrypt_crypt *crypt, unsigned int bytes)
{
	bvec_iter_advance(crypt->src, &crypt->src_iter, bytes);
	if (crypt->dst)
		bvec_iter_advance(crypt->dst, &crypt->dst_iter, bytes);
}

/*
 * The driver has kept the request. Whoever comes second, this caller or the
 * completion, goes on with the pass: the position has to be written down before
 * anybody else may move it.
 */
static int await_step(struct vmcrypt_crypt *crypt)
{
	/* Pairs with the atomic_fetch_inc() in crypt_complete(). */
	if (!atomic_fetch_inc(&crypt->met))
		return -EINPROGRESS;

	atomic_set(&crypt->met, 0);
	return crypt->error;
}

static int step_result(struct vmcrypt_crypt *crypt, int r)
{
	/* -EBUSY: kept, in the backlog. */
	return r == -EINPROGRESS || r == -EBUSY ? await_step(crypt) : r;
}

/*
 * The one entry of a scatterlist. The offset stays inside the page: a driver's
 * fast path may ask for that.
 */
static void set_single(struct scatterlist *sg, struct page *page, unsigned int offset,
		       unsigned int bytes)
{
	sg->page_link = SG_END;
	sg_set_page(sg, page + (offset >> PAGE_SHIFT), bytes, offset & ~PAGE_MASK);
}

static void move_single(struct scatterlist *sg, unsigned int bytes)
{
	sg->offset += bytes;
	if (sg->offset >= PAGE_SIZE)
		set_single(sg, sg_page(sg), sg->offset, bytes);
}

/* Whole sectors that lie in one segment on each side. */
static int crypt_run_of_sectors(struct vmcrypt_crypt *crypt, const struct bio_vec *in,
				const struct bio_vec *out, unsigned int bytes)
{
	unsigned int left;
	int r;

	set_single(crypt->in, in->bv_page, in->bv_offset, crypt->sector_size);
	if (crypt->dst)
		set_single(&crypt->out, out->bv_page, out->bv_offset, crypt->sector_size);

	for (left = bytes; left; left -= crypt->sector_size) {
		r = crypt_sector(crypt);
		if (unlikely(r)) {
			advance(crypt, bytes - left + crypt->sector_size);
			return step_result(crypt, r);
		}
		move_single(crypt->in, crypt->sector_size);
		if (crypt->dst)
			move_single(&crypt->out, crypt->sector_size);
	}
	advance(crypt, bytes);
	return 0;
}

/* Gathers one sector that lies in several segments of the source. */
static int gather_sector(struct vmcrypt_crypt *crypt)
{
	struct bvec_iter iter = crypt->src_iter;
	unsigned int nr = 0, left = crypt->sector_size;

	sg_init_table(crypt->in, VMCRYPT_GATHER_MAX);
	while (left) {
		struct bio_vec bv = mp_bvec_iter_bvec(crypt->src, iter);
		unsigned int len = min(left, bv.bv_len);

		if (nr == VMCRYPT_GATHER_MAX)
			return -EIO;
		sg_set_page(&crypt->in[nr++], bv.bv_page, len, bv.bv_offset);
		bvec_iter_advance_single(crypt->src, &iter, len);
		left -= len;
	}
	sg_mark_end(&crypt->in[nr - 1]);
	return 0;
}

static int crypt_gathered_sector(struct vmcrypt_crypt *crypt)
{
	int r = gather_sector(crypt);

	if (r)
		return r;
	if (crypt->dst) {
		struct bio_vec out = mp_bvec_iter_bvec(crypt->dst, crypt->dst_iter);

		set_single(&crypt->out, out.bv_page, out.bv_offset, crypt->sector_size);
	}
	r = crypt_sector(crypt);
	advance(crypt, crypt->sector_size);
	return r ? step_result(crypt, r) : 0;
}

/* One step: as many sectors as lie together, or one that does not. */
static int crypt_step(struct vmcrypt_crypt *crypt)
{
	struct bio_vec in = mp_bvec_iter_bvec(crypt->src, crypt->src_iter);
	struct bio_vec out = {};
	unsigned int bytes = min_t(unsigned int, in.bv_len, STEP_BYTES_MAX);

	if (crypt->dst) {
		/* A segment of the destination always ends with a sector. */
		out = mp_bvec_iter_bvec(crypt->dst, crypt->dst_iter);
		bytes = min(bytes, out.bv_len);
	}
	bytes &= ~(crypt->sector_size - 1);
	if (unlikely(!bytes))
		return crypt_gathered_sector(crypt);

	return crypt_run_of_sectors(crypt, &in, &out, bytes);
}

/**
 * vmcrypt_crypt_run() - go on with a pass until it ends
 * @crypt: begun by vmcrypt_crypt_begin()
 *
 * Return: 0 when all data is done; -EINPROGRESS when the driver works on its
 * own and @crypt->done will be called; or a negative errno: the data has to be
 * given up.
 */
int vmcrypt_crypt_run(struct vmcrypt_crypt *crypt)
{
	int r;

	/* Called again because an asynchronous step has ended. */
	if (unlikely(atomic_read(&crypt->met))) {
		atomic_set(&crypt->met, 0);
		if (crypt->error)
			return crypt->error;
	}

	while (crypt->src_iter.bi_size) {
		r = crypt_step(crypt);
		if (unlikely(r))
			return r;
		if (crypt->may_resched)
			cond_resched();
	}
	return 0;
}

/**
 * vmcrypt_cipher_init() - pick the driver, prove it, keep it
 *
 * The first look-up of xts(aes) loads the modules that offer AES and may itself
 * end at a slow template; the second one finds the best of what is there then.
 *
 * Return: 0 or a negative errno.
 */
int vmcrypt_cipher_init(void)
{
	struct crypto_skcipher *tfm;
	int r;

	tfm = find_driver();
	if (IS_ERR(tfm)) {
		pr_err("the cipher %s cannot be had (%ld): is its driver's module there?\n",
		       cipher_driver, PTR_ERR(tfm));
		return PTR_ERR(tfm);
	}
	crypto_free_skcipher(tfm);

	held_tfm = find_driver();
	if (IS_ERR(held_tfm))
		return PTR_ERR(held_tfm);

	r = vmcrypt_selftest();
	if (r) {
		pr_err("self-test of %s failed (%d): the module is not loaded\n",
		       driver_name(), r);
		crypto_free_skcipher(held_tfm);
		return r;
	}
	pr_info("cipher driver %s, self-test passed\n", driver_name());
	return 0;
}

/**
 * vmcrypt_cipher_exit() - let the driver go
 */
void vmcrypt_cipher_exit(void)
{
	crypto_free_skcipher(held_tfm);
}
