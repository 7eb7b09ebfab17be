// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The module's parameter cipher_driver: other implementations give the same
 * bytes, asynchronous ones with a backlog too; the self-test at load.
 */
#include <pthread.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(16 * MIB)

FIXTURE(cipher) {
	struct nl nl;
	struct vdisk v;
};

FIXTURE_VARIANT(cipher) {
	const char *driver;
	unsigned int sector_size;
};

FIXTURE_VARIANT_ADD(cipher, picked_by_the_kernel) {
	.driver = "xts(aes)", .sector_size = 512,
};

FIXTURE_VARIANT_ADD(cipher, generic) {
	.driver = "xts(ecb(aes-generic))", .sector_size = 512,
};

FIXTURE_VARIANT_ADD(cipher, async_generic) {
	.driver = "cryptd(xts(ecb(aes-generic)))", .sector_size = 512,
};

FIXTURE_VARIANT_ADD(cipher, async_generic_4096) {
	.driver = "cryptd(xts(ecb(aes-generic)))", .sector_size = 4096,
};

FIXTURE_VARIANT_ADD(cipher, async_aesni) {
	.driver = "cryptd(xts(ecb(aes-aesni)))", .sector_size = 512,
};

FIXTURE_SETUP(cipher)
{
	char parameters[128];

	ASSERT_EQ(0, test_begin(&self->nl));
	nl_close(&self->nl);
	snprintf(parameters, sizeof(parameters), "cipher_driver=%s", variant->driver);
	ASSERT_EQ(0, module_reload(parameters));
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(0, vdisk_new(&self->v, &self->nl, "cipher", SIZE, 64,
			       variant->sector_size == 4096 ? "1 sector_size:4096" : ""));
}

FIXTURE_TEARDOWN(cipher)
{
	vdisk_free(&self->v);
	test_end(&self->nl);
}

/* the driver is the one that was asked for: /proc/crypto counts its users */
TEST_F(cipher, is_used)
{
	static char crypto[1 << 20];
	char want[160];
	FILE *f = fopen("/proc/crypto", "re");
	size_t n = f ? fread(crypto, 1, sizeof(crypto) - 1, f) : 0;
	const char *at, *count;

	if (f)
		fclose(f);
	crypto[n] = 0;
	if (!strcmp(variant->driver, "xts(aes)"))
		return;
	snprintf(want, sizeof(want), "driver       : %s\n", variant->driver);
	at = strstr(crypto, want);
	ASSERT_NE(NULL, at)
		TH_LOG("%s is not in /proc/crypto", variant->driver);
	count = strstr(at, "refcnt       : ");
	ASSERT_NE(NULL, count);
	ASSERT_LT(1, strtol(count + 15, NULL, 10));
}

TEST_F(cipher, same_bytes)
{
	static const size_t sizes[] = { 4 * KIB, 64 * KIB, 1 * MIB, 3 * MIB };
	uint8_t *p = buffer(3 * MIB), *q = buffer(3 * MIB), *raw = buffer(3 * MIB);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint64_t at = 4096 * (i + 1);

		fill(p, sizes[i], i);
		ASSERT_EQ(0, write_all(self->v.fd, p, sizes[i], at));
		ASSERT_EQ(0, read_all(self->v.below.raw, raw, sizes[i], at));
		ASSERT_EQ(0, xts(&self->v.dek, false, at / SECTOR, variant->sector_size / SECTOR,
				 variant->sector_size, raw, raw, sizes[i]));
		ASSERT_EQ(0, memcmp(p, raw, sizes[i]));
		ASSERT_EQ(0, read_all(self->v.fd, q, sizes[i], at));
		ASSERT_EQ(0, memcmp(p, q, sizes[i]));
	}
}

struct load {
	pthread_t thread;
	int fd;
	unsigned int index;
	int rounds;
	int result;
};

static void *run_load(void *arg)
{
	struct load *l = arg;
	uint8_t *p = buffer(MIB), *q = buffer(MIB);

	for (int i = 0; i < l->rounds && !l->result; i++) {
		fill(p, MIB, l->index * 100 + i);
		l->result = write_all(l->fd, p, MIB, l->index * 2 * MIB + i % 2 * MIB);
		if (!l->result)
			l->result = read_all(l->fd, q, MIB, l->index * 2 * MIB + i % 2 * MIB);
		if (!l->result && memcmp(p, q, MIB))
			l->result = -EBADMSG;
	}
	return NULL;
}

static int under_load(FIXTURE_DATA(cipher) *self, int rounds, int (*meanwhile)(FIXTURE_DATA(cipher) *self))
{
	struct load l[6];
	int r = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		l[i] = (struct load){ .fd = self->v.fd, .index = i, .rounds = rounds };
		if (pthread_create(&l[i].thread, NULL, run_load, &l[i]))
			abort();
	}
	for (int i = 0; meanwhile && i < 10 && !r; i++)
		r = meanwhile(self);
	for (unsigned int i = 0; i < ARRAY_SIZE(l); i++) {
		pthread_join(l[i].thread, NULL);
		if (!r)
			r = l[i].result;
	}
	return r;
}

/* 6 × 2048 requests at once: more than cryptd queues, so -EBUSY and the backlog are met */
TEST_F_TIMEOUT(cipher, backlog, 60)
{
	ASSERT_EQ(0, under_load(self, 4, NULL));
}

static int wipe_and_set(FIXTURE_DATA(cipher) *self)
{
	int r = key_wipe(&self->nl, self->v.dek.uuid, WIPE_FORCE);

	if (!r)
		r = key_wait(&self->nl, self->v.dek.uuid, KEY_LOCKED, 10000);
	if (key_set(&self->nl, &self->v.dek) && !r)
		r = -EIO;
	sleep_ms(10);
	return r;
}

TEST_F_TIMEOUT(cipher, wipe_under_load, 60)
{
	ASSERT_EQ(0, under_load(self, 3, wipe_and_set));
}

static int suspend_and_resume(FIXTURE_DATA(cipher) *self)
{
	int r = dm_suspend(self->v.name, DMF_NOLOCKFS | DMF_NOFLUSH);

	return r ? r : dm_resume(self->v.name);
}

TEST_F_TIMEOUT(cipher, suspend_under_load, 60)
{
	ASSERT_EQ(0, under_load(self, 3, suspend_and_resume));
}

FIXTURE(load) {
	struct nl nl;
};

FIXTURE_SETUP(load)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	nl_close(&self->nl);
	ASSERT_EQ(0, module_reload(NULL));
}

FIXTURE_TEARDOWN(load)
{
	nl_close(&self->nl);
	module_reload(NULL);
}

TEST_F(load, self_test_is_logged)
{
	int kmsg = kmsg_open();

	ASSERT_EQ(0, module_reload(NULL));
	ASSERT_TRUE(kmsg_find(kmsg, "self-test"));
	close(kmsg);
}

/* a cipher that is not AES-XTS, or that is not there: the module does not load */
TEST_F(load, wrong_cipher_is_refused)
{
	static const char *const drivers[] = {
		"cbc(aes)", "ctr(aes)", "no-such-cipher", "sha256", "xts(cast6)", "lrw(aes)",
	};
	char parameters[128];

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		ASSERT_EQ(0, module_loaded() ? module_unload() : 0);
		snprintf(parameters, sizeof(parameters), "cipher_driver=%s", drivers[i]);
		EXPECT_GT(0, module_load(parameters))
			TH_LOG("loads with %s", drivers[i]);
		EXPECT_FALSE(module_loaded());
	}
}

TEST_F(load, in_and_out)
{
	for (int i = 0; i < 10; i++)
		ASSERT_EQ(0, module_reload(NULL));
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(0, key_count(&self->nl));
}

/* keys that wait for their target go with the module, and prepared ones */
TEST_F(load, unload_with_preloaded_keys)
{
	struct dek dek;
	uint8_t public[PUBLIC_LEN];
	uint32_t id;

	ASSERT_EQ(0, nl_open(&self->nl));
	for (int i = 0; i < 20; i++) {
		dek_random(&dek, 64);
		ASSERT_EQ(0, key_set(&self->nl, &dek));
		ASSERT_EQ(0, key_prepare(&self->nl, &id, public));
	}
	nl_close(&self->nl);
	ASSERT_EQ(0, module_reload(NULL));
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, dek.uuid));
	ASSERT_EQ(0, key_count(&self->nl));
}

TEST_HARNESS_MAIN
