// SPDX-License-Identifier: GPL-2.0-only
/*
 * Known answers, through the same code that I/O takes. Run when the module is
 * loaded; it is not loaded when one fails.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include "selftest.h"

#include <crypto/sha2.h>
#include <linux/blk_types.h>
#include <linux/completion.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uuid.h>

#include "cipher.h"
#include "dek.h"

#define TEST_PAGES	2
#define TEST_BYTES	(TEST_PAGES * 4096)
#define HEAD_BYTES	16

/*
 * The keys of vectors 4 and 10 of IEEE 1619-2018, annex B, and their plaintext
 * (00 01 … ff, again and again); the first 512 bytes at a sector size of 512
 * are those vectors, whose first bytes are @head. The digests are SHA-256 over
 * TEST_BYTES of ciphertext, plain64 in units of 512 bytes.
 */
static const struct known_answer {
	const char *key;
	u64 iv;
	unsigned int sector_size;
	const char *head;
	const char *digest;
} known_answers[] = {
#define IEEE_4	"2718281828459045235360287471352631415926535897932384626433832795"
#define IEEE_10	"2718281828459045235360287471352662497757247093699959574966967627"\
		"3141592653589793238462643383279502884197169399375105820974944592"
	{ IEEE_4, 0x00, 512, "27a7479befa1d476489f308cd4cfa6e2",
	  "599a6187908b21215d9cf9446ae56509c83cca639f3cb003952eb81034f2306e" },
	{ IEEE_4, 0x00, 1024, NULL,
	  "19990f10a9203b31c7489436462b7a1960059f14c50075fd88e020cc6d447d4a" },
	{ IEEE_4, 0x00, 2048, NULL,
	  "e51fa6deb80757aaa7adacc8d2c443c8fa7990840a74064bf73b932f130738e1" },
	{ IEEE_4, 0x00, 4096, NULL,
	  "74abda7d8f50596caa00f810ccba083230b3490f633dacdaf56cb8dde9a70055" },
	{ IEEE_10, 0xff, 512, "1c3b3a102f770386e4836c99e370cf9b",
	  "6f8c3b1fcc7451eee053f069fb772219ef875e01437938d599ac9110953c2cd3" },
	{ IEEE_10, 0xff, 1024, NULL,
	  "e394b43e33e0fb9a66cdc9df422950192377888fa17a38ea9013aaf4a41caa4c" },
	{ IEEE_10, 0xff, 2048, NULL,
	  "bb149f3d458800b98408673973b8ed19a3a005bdc8133b09063d4ccfee186c5f" },
	{ IEEE_10, 0xff, 4096, NULL,
	  "384f76310e9a2aeb5ce0828b5b71bce5ef45d32b21bc7ad50ed708231957ca94" },
};

static const struct {
	unsigned int size;
	const char *dek;
} known_names[] = {
	/* Keys 00 01 02 … */
	{ 64, "1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf" },
	{ 32, "4433a1be-c98b-87e4-979c-963ad3831ca1" },
};

/**
 * struct test - what the tests work on
 * @crypt: the pass, as an I/O has it
 * @plain: source of encryption
 * @cipher: destination of encryption, decrypted in place
 * @ended: an asynchronous step has ended
 */
struct test {
	struct vmcrypt_crypt *crypt;
	u8 *plain;
	u8 *cipher;
	struct completion ended;
};

static struct test *running;

static void step_ended(struct vmcrypt_crypt *crypt)
{
	complete(&running->ended);
}

static int run(struct test *test, struct crypto_skcipher *tfm)
{
	int r;

	vmcrypt_crypt_begin(test->crypt, tfm, step_ended);
	while ((r = vmcrypt_crypt_run(test->crypt)) == -EINPROGRESS)
		wait_for_completion(&test->ended);
	return r;
}

/* Cuts @bytes at @data into segments of @piece bytes. */
static void cut(struct bio_vec *vec, u8 *data, unsigned int bytes, unsigned int piece)
{
	for (; bytes; bytes -= piece, data += piece, vec++) {
		vec->bv_page = virt_to_page(data);
		vec->bv_offset = offset_in_page(data);
		vec->bv_len = piece;
	}
}

static void aim(struct vmcrypt_crypt *crypt, const struct known_answer *answer,
		const struct bio_vec *src, const struct bio_vec *dst)
{
	crypt->src = src;
	crypt->dst = dst;
	crypt->src_iter = (struct bvec_iter){ .bi_size = TEST_BYTES };
	crypt->dst_iter = crypt->src_iter;
	crypt->iv = answer->iv;
	crypt->iv_step = answer->sector_size >> SECTOR_SHIFT;
	crypt->sector_size = answer->sector_size;
	crypt->encrypt = !!dst;
	crypt->may_resched = true;
}

static bool ciphertext_is(const struct known_answer *answer, const u8 *data)
{
	u8 digest[SHA256_DIGEST_SIZE], want[SHA256_DIGEST_SIZE], head[HEAD_BYTES];

	if (answer->head && (hex2bin(head, answer->head, sizeof(head)) ||
			     memcmp(data, head, sizeof(head))))
		return false;
	sha256(data, TEST_BYTES, digest);
	return !hex2bin(want, answer->digest, sizeof(want)) &&
	       !memcmp(digest, want, sizeof(want));
}

/* @piece: bytes in a segment of the source, and of what is decrypted in place. */
static int test_answer(struct test *test, const struct known_answer *answer, unsigned int piece)
{
	struct bio_vec *plain, *cipher, *pieces;
	u8 key[VMCRYPT_DEK_BYTES_MAX];
	unsigned int size = strlen(answer->key) / 2;
	struct crypto_skcipher *tfm;
	int r;

	plain = kcalloc(3 * TEST_BYTES / 512, sizeof(*plain), GFP_KERNEL);
	if (!plain)
		return -ENOMEM;
	cipher = plain + TEST_BYTES / 512;
	pieces = cipher + TEST_BYTES / 512;
	cut(plain, test->plain, TEST_BYTES, piece);
	cut(cipher, test->cipher, TEST_BYTES, 4096);
	cut(pieces, test->cipher, TEST_BYTES, piece);

	r = hex2bin(key, answer->key, size);
	if (r)
		goto out_free;
	tfm = vmcrypt_cipher_alloc(key, size);
	if (IS_ERR(tfm)) {
		r = PTR_ERR(tfm);
		goto out_free;
	}

	memset(test->cipher, 0, TEST_BYTES);
	aim(test->crypt, answer, plain, cipher);
	r = run(test, tfm);
	if (!r && !ciphertext_is(answer, test->cipher))
		r = -EBADMSG;
	if (r)
		goto out_tfm;

	aim(test->crypt, answer, pieces, NULL);
	r = run(test, tfm);
	if (!r && memcmp(test->plain, test->cipher, TEST_BYTES))
		r = -EBADMSG;

out_tfm:
	crypto_free_skcipher(tfm);
out_free:
	kfree(plain);
	return r;
}

static int test_answers(struct test *test)
{
	static const unsigned int pieces[] = { 4096, 1024, 512 };
	unsigned int i, p;
	int r;

	for (i = 0; i < ARRAY_SIZE(known_answers); i++) {
		for (p = 0; p < ARRAY_SIZE(pieces); p++) {
			r = test_answer(test, &known_answers[i], pieces[p]);
			if (!r)
				continue;
			pr_err("self-test: known answer %u, segments of %u bytes: %d\n",
			       i, pieces[p], r);
			return r;
		}
	}
	return 0;
}

static int test_names(void)
{
	u8 key[VMCRYPT_DEK_BYTES_MAX];
	unsigned int i;
	uuid_t dek;

	for (i = 0; i < sizeof(key); i++)
		key[i] = i;
	for (i = 0; i < ARRAY_SIZE(known_names); i++) {
		if (uuid_parse(known_names[i].dek, &dek))
			return -EINVAL;
		if (!vmcrypt_dek_named(key, known_names[i].size, &dek)) {
			pr_err("self-test: DEK UUID %u\n", i);
			return -EBADMSG;
		}
	}
	return 0;
}

/* Equal halves must be refused, or a broken key source goes unnoticed. */
static int test_weak_key(void)
{
	u8 key[VMCRYPT_DEK_BYTES_MAX];
	struct crypto_skcipher *tfm;

	memset(key, 0x5a, sizeof(key));
	tfm = vmcrypt_cipher_alloc(key, sizeof(key));
	if (!IS_ERR(tfm)) {
		crypto_free_skcipher(tfm);
		pr_err("self-test: a weak key was taken\n");
		return -EBADMSG;
	}
	return PTR_ERR(tfm) == -EINVAL ? 0 : PTR_ERR(tfm);
}

static int test_memory(struct test *test)
{
	unsigned int i;

	test->crypt = kzalloc(vmcrypt_crypt_size(), GFP_KERNEL);
	test->plain = (u8 *)__get_free_pages(GFP_KERNEL, get_order(TEST_BYTES));
	test->cipher = (u8 *)__get_free_pages(GFP_KERNEL, get_order(TEST_BYTES));
	if (!test->crypt || !test->plain || !test->cipher)
		return -ENOMEM;
	for (i = 0; i < TEST_BYTES; i++)
		test->plain[i] = i;
	return 0;
}

/**
 * vmcrypt_selftest() - known answers for the cipher, the DEK's name, a weak key
 *
 * Called once, before anything uses the cipher.
 *
 * Return: 0, or a negative errno and a line in the log.
 */
int vmcrypt_selftest(void)
{
	struct test test = {};
	int r;

	init_completion(&test.ended);
	running = &test;
	r = test_memory(&test);
	if (!r)
		r = test_names();
	if (!r)
		r = test_weak_key();
	if (!r)
		r = test_answers(&test);
	running = NULL;

	free_pages((unsigned long)test.cipher, get_order(TEST_BYTES));
	free_pages((unsigned long)test.plain, get_order(TEST_BYTES));
	kfree(test.crypt);
	return r;
}
