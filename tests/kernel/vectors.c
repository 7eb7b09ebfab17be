// SPDX-License-Identifier: LGPL-2.1-or-later
/* Known answers: IEEE 1619 through the block device, the DEK's UUID. */
#include "kselftest_harness.h"
#include "lib.h"
#include "vectors.h"

FIXTURE(vectors) {
	struct nl nl;
	struct disk disk;
};

FIXTURE_SETUP(vectors)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, loop_new(&self->disk, 1 * MIB, 512, 0));
}

FIXTURE_TEARDOWN(vectors)
{
	test_end(&self->nl);
	disk_free(&self->disk);
}

static void counting(uint8_t sector[512])
{
	for (int i = 0; i < 512; i++)
		sector[i] = (uint8_t)i;
}

/* one sector at @at of a disk whose first IV is @iv_offset, both ways */
static int known_answer(FIXTURE_DATA(vectors) *self, const uint8_t *key, size_t key_size, uint64_t iv_offset,
			uint64_t at, const uint8_t *expected)
{
	struct dek dek;
	struct line l = { .length = self->disk.size / SECTOR, .iv_offset = iv_offset, .device = self->disk.node };
	uint8_t *p = buffer(512), raw[512], plain[512];
	char table[256];
	unsigned int minor;
	int fd, r;

	counting(plain);
	memcpy(p, plain, 512);
	dek_from(&dek, key, key_size);
	l.uuid = dek.text;
	line_print(&l, table, sizeof(table));
	r = key_set(&self->nl, &dek);
	if (!r)
		r = dm_make("vt-vector", table, 0, &minor);
	if (r)
		return r;
	fd = dm_open(minor, O_RDWR | O_DIRECT);
	r = fd < 0 ? fd : write_all(fd, p, 512, at * SECTOR);
	if (!r)
		r = read_all(self->disk.raw, raw, 512, at * SECTOR);
	if (!r && memcmp(raw, expected, 512))
		r = -EBADMSG;
	/* and the standard's own bytes read back, not what we wrote */
	memcpy(raw, expected, 512);
	if (!r)
		r = write_all(self->disk.raw, raw, 512, at * SECTOR);
	memset(p, 0, 512);
	if (!r)
		r = read_all(fd, p, 512, at * SECTOR);
	if (!r && memcmp(p, plain, 512))
		r = -EILSEQ;
	close(fd);
	dm_remove("vt-vector");
	return r;
}

TEST_F(vectors, ieee_1619_4)
{
	ASSERT_EQ(0, known_answer(self, ieee_4_key, sizeof(ieee_4_key), 0, 0, ieee_4_ciphertext));
}

TEST_F(vectors, ieee_1619_10_by_iv_offset)
{
	ASSERT_EQ(0, known_answer(self, ieee_10_key, sizeof(ieee_10_key), 0xff, 0, ieee_10_ciphertext));
}

TEST_F(vectors, ieee_1619_10_by_sector)
{
	ASSERT_EQ(0, known_answer(self, ieee_10_key, sizeof(ieee_10_key), 0, 0xff, ieee_10_ciphertext));
}

TEST_F(vectors, ieee_1619_10_by_both)
{
	ASSERT_EQ(0, known_answer(self, ieee_10_key, sizeof(ieee_10_key), 0x80, 0x7f, ieee_10_ciphertext));
}

/* that OpenSSL, the judge in all other tests, gives the standard's answers too */
TEST_F(vectors, openssl_agrees)
{
	uint8_t plain[512], out[512];
	struct dek d;

	counting(plain);
	dek_from(&d, ieee_4_key, sizeof(ieee_4_key));
	ASSERT_EQ(0, xts(&d, true, 0, 1, 512, plain, out, 512));
	ASSERT_EQ(0, memcmp(out, ieee_4_ciphertext, 512));
	dek_from(&d, ieee_10_key, sizeof(ieee_10_key));
	ASSERT_EQ(0, xts(&d, true, 0xff, 1, 512, plain, out, 512));
	ASSERT_EQ(0, memcmp(out, ieee_10_ciphertext, 512));
}

TEST_F(vectors, openssl_agrees_on_every_sector)
{
	static const size_t key_size[] = { 32, 64 };
	uint8_t *p = buffer(64 * KIB), *raw = buffer(64 * KIB), *out = buffer(64 * KIB);

	fill(p, 64 * KIB, 7);
	for (size_t i = 0; i < ARRAY_SIZE(key_size); i++) {
		struct vdisk v = { .below = self->disk };

		ASSERT_EQ(0, vdisk_over(&v, &self->nl, "vector", key_size[i], ""));
		ASSERT_EQ(0, write_all(v.fd, p, 64 * KIB, 128 * KIB));
		ASSERT_EQ(0, read_all(self->disk.raw, raw, 64 * KIB, 128 * KIB));
		ASSERT_EQ(0, xts(&v.dek, true, 256, 1, 512, p, out, 64 * KIB));
		ASSERT_EQ(0, memcmp(raw, out, 64 * KIB));
		close(v.fd);
		ASSERT_EQ(0, dm_remove(v.name));
	}
}

/* the UUID rule, by the examples that the design gives */
TEST_F(vectors, uuid_examples)
{
	struct dek d;

	dek_counting(&d, 64);
	ASSERT_STREQ("1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf", d.text);
	ASSERT_EQ(0, key_set(&self->nl, &d));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, d.uuid));
	dek_counting(&d, 32);
	ASSERT_STREQ("4433a1be-c98b-87e4-979c-963ad3831ca1", d.text);
	ASSERT_EQ(0, key_set(&self->nl, &d));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, d.uuid));
}

/* each bit of the UUID counts: version and variant bits too */
TEST_F(vectors, uuid_must_be_the_keys)
{
	struct dek d;

	dek_random(&d, 64);
	for (int bit = 0; bit < UUID_LEN * 8; bit++) {
		uint8_t wrong[UUID_LEN];

		memcpy(wrong, d.uuid, UUID_LEN);
		wrong[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ASSERT_EQ(-EKEYREJECTED, key_set_as(&self->nl, &d, wrong))
			TH_LOG("bit %d of the UUID", bit);
		ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, wrong));
	}
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, d.uuid));
}

TEST_HARNESS_MAIN
