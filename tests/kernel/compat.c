// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Byte for byte what dm-crypt writes, both ways: key size × sector size ×
 * iv_large_sectors as variants, and in each a table of several targets that
 * differ in IV offset, begin and offset on the device.
 */
#include "kselftest_harness.h"
#include "lib.h"

#define PIECE		(256 * KIB)
#define PIECE_SECTORS	(PIECE / SECTOR)

FIXTURE(compat) {
	struct nl nl;
	struct disk disk;
	struct dek dek;
	unsigned int ours, theirs;
	int fd_ours, fd_theirs;
};

FIXTURE_VARIANT(compat) {
	size_t key_size;
	unsigned int sector_size;
	bool large;
};

#define VARIANT(bits, sector, iv) \
	FIXTURE_VARIANT_ADD(compat, xts##bits##_##sector##_##iv) { \
		.key_size = (bits) / 8, .sector_size = (sector), .large = IV_##iv, \
	}
#define IV_plain	false
#define IV_large	true

VARIANT(256, 512, plain);
VARIANT(256, 512, large);
VARIANT(256, 1024, plain);
VARIANT(256, 1024, large);
VARIANT(256, 2048, plain);
VARIANT(256, 2048, large);
VARIANT(256, 4096, plain);
VARIANT(256, 4096, large);
VARIANT(512, 512, plain);
VARIANT(512, 512, large);
VARIANT(512, 1024, plain);
VARIANT(512, 1024, large);
VARIANT(512, 2048, plain);
VARIANT(512, 2048, large);
VARIANT(512, 4096, plain);
VARIANT(512, 4096, large);

/* begin is the target's place in the table; the rest is free of it */
static const struct {
	uint64_t iv_offset, offset;
} pieces[] = {
	{ 0, 0 },
	{ 8, 1 * PIECE_SECTORS },
	{ (1ull << 32) + 8, 7 * PIECE_SECTORS + 8 },
	{ 0, 3 * PIECE_SECTORS + 16 },
	{ (1ull << 40) - 64, 5 * PIECE_SECTORS + 32 },
};

#define WHOLE	(ARRAY_SIZE(pieces) * PIECE)

static void options_of(const FIXTURE_VARIANT(compat) *v, char *buf, size_t size)
{
	const bool sector = v->sector_size != 512;

	buf[0] = 0;
	if (sector || v->large)
		snprintf(buf, size, "%d", sector + v->large);
	if (sector)
		snprintf(buf + strlen(buf), size - strlen(buf), " sector_size:%u", v->sector_size);
	if (v->large)
		snprintf(buf + strlen(buf), size - strlen(buf), " iv_large_sectors");
}

/* the same table for either target: the key's UUID, or the key */
static void table_of(FIXTURE_DATA(compat) *self, const char *target, const char *key, const char *options,
		     char *buf, size_t size)
{
	buf[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
		snprintf(buf + strlen(buf), size - strlen(buf), "%llu %llu %s aes-xts-plain64 %s %llu %s %llu %s\n",
			 (unsigned long long)(i * PIECE_SECTORS), (unsigned long long)PIECE_SECTORS, target, key,
			 (unsigned long long)pieces[i].iv_offset, self->disk.node,
			 (unsigned long long)pieces[i].offset, options);
}

FIXTURE_SETUP(compat)
{
	char options[64], table[4096], hex[2 * KEY_MAX + 1];

	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, loop_new(&self->disk, 4 * MIB, 512, 0));
	dek_random(&self->dek, variant->key_size);
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	options_of(variant, options, sizeof(options));
	table_of(self, "vmcrypt", self->dek.text, options, table, sizeof(table));
	ASSERT_EQ(0, dm_make("vt-ours", table, 0, &self->ours));
	dek_hex(&self->dek, hex);
	table_of(self, "crypt", hex, options, table, sizeof(table));
	ASSERT_EQ(0, dm_make("vt-theirs", table, 0, &self->theirs));
	self->fd_ours = dm_open(self->ours, O_RDWR | O_DIRECT);
	self->fd_theirs = dm_open(self->theirs, O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->fd_ours);
	ASSERT_LE(0, self->fd_theirs);
}

FIXTURE_TEARDOWN(compat)
{
	close(self->fd_ours);
	close(self->fd_theirs);
	test_end(&self->nl);
	disk_free(&self->disk);
}

/* what the disk must hold, computed by OpenSSL */
static int expect_raw(FIXTURE_DATA(compat) *self, const FIXTURE_VARIANT(compat) *v, const uint8_t *plain)
{
	uint8_t *raw = buffer(PIECE), *out = buffer(PIECE);
	const uint64_t shift = v->large ? v->sector_size / SECTOR : 1;
	const uint64_t step = v->large ? 1 : v->sector_size / SECTOR;

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		int r = read_all(self->disk.raw, raw, PIECE, pieces[i].offset * SECTOR);

		if (!r)
			r = xts(&self->dek, true, pieces[i].iv_offset / shift, step, v->sector_size,
				plain + i * PIECE, out, PIECE);
		if (r)
			return r;
		if (memcmp(raw, out, PIECE)) {
			fprintf(stderr, "# target %zu of the table is not as computed\n", i);
			return -EBADMSG;
		}
	}
	free(raw);
	free(out);
	return 0;
}

TEST_F(compat, ours_read_by_dm_crypt)
{
	uint8_t *p = buffer(WHOLE), *q = buffer(WHOLE);

	fill(p, WHOLE, 1);
	ASSERT_EQ(0, write_all(self->fd_ours, p, WHOLE, 0));
	ASSERT_EQ(0, read_all(self->fd_theirs, q, WHOLE, 0));
	ASSERT_EQ(0, memcmp(p, q, WHOLE));
	ASSERT_EQ(0, expect_raw(self, variant, p));
}

TEST_F(compat, dm_crypt_read_by_us)
{
	uint8_t *p = buffer(WHOLE), *q = buffer(WHOLE);

	fill(p, WHOLE, 2);
	ASSERT_EQ(0, write_all(self->fd_theirs, p, WHOLE, 0));
	ASSERT_EQ(0, read_all(self->fd_ours, q, WHOLE, 0));
	ASSERT_EQ(0, memcmp(p, q, WHOLE));
	ASSERT_EQ(0, expect_raw(self, variant, p));
}

/* single sectors, written in an order of their own, over the targets' borders too */
TEST_F(compat, sector_by_sector)
{
	const unsigned int n = 4 * PIECE / variant->sector_size;
	uint8_t *p = buffer(WHOLE), *q = buffer(WHOLE);

	fill(p, WHOLE, 3);
	ASSERT_EQ(0, write_all(self->fd_theirs, p, WHOLE, 0));
	fill(p, 4 * PIECE, 4);
	for (unsigned int i = 0; i < n; i += n / 64) {
		const uint64_t at = ((i * 37ull + 5) % n) * variant->sector_size;

		ASSERT_EQ(0, write_all(self->fd_ours, p + at, variant->sector_size, at));
		ASSERT_EQ(0, read_all(self->fd_theirs, q, variant->sector_size, at));
		ASSERT_EQ(0, memcmp(p + at, q, variant->sector_size));
	}
}

FIXTURE(high) {
	struct nl nl;
	struct disk disk;
	struct dek dek;
	unsigned int ours, theirs;
};

FIXTURE_SETUP(high)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, loop_new(&self->disk, 5 * TIB, 512, 0));
	dek_random(&self->dek, 64);
}

FIXTURE_TEARDOWN(high)
{
	test_end(&self->nl);
	disk_free(&self->disk);
}

static int high_pair(FIXTURE_DATA(high) *self, const char *options)
{
	struct line l = {
		.length = self->disk.size / SECTOR, .uuid = self->dek.text,
		.device = self->disk.node, .options = options,
	};
	char table[512], hex[2 * KEY_MAX + 1];
	int r = key_set(&self->nl, &self->dek);

	line_print(&l, table, sizeof(table));
	if (!r)
		r = dm_make("vt-ours", table, 0, &self->ours);
	dek_hex(&self->dek, hex);
	snprintf(table, sizeof(table), "0 %llu crypt aes-xts-plain64 %s 0 %s 0 %s",
		 (unsigned long long)l.length, hex, self->disk.node, options);
	return r ? r : dm_make("vt-theirs", table, 0, &self->theirs);
}

/* sector numbers over 2^32, on the device and in the IV */
TEST_F(high, sectors_over_2_32)
{
	static const uint64_t at[] = { 2 * TIB - 4 * KIB, 2 * TIB, 3 * TIB + 12 * KIB, 5 * TIB - 64 * KIB };
	static const char *const options[] = { "", "1 sector_size:4096", "2 sector_size:4096 iv_large_sectors" };
	uint8_t *p = buffer(64 * KIB), *q = buffer(64 * KIB);

	for (size_t o = 0; o < ARRAY_SIZE(options); o++) {
		int ours, theirs;

		ASSERT_EQ(0, high_pair(self, options[o]));
		ours = dm_open(self->ours, O_RDWR | O_DIRECT);
		theirs = dm_open(self->theirs, O_RDWR | O_DIRECT);
		for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
			const size_t n = i ? 64 * KIB : 8 * KIB;

			fill(p, n, o * 16 + i);
			ASSERT_EQ(0, write_all(ours, p, n, at[i]));
			ASSERT_EQ(0, read_all(theirs, q, n, at[i]));
			ASSERT_EQ(0, memcmp(p, q, n));
			fill(p, n, o * 16 + i + 100);
			ASSERT_EQ(0, write_all(theirs, p, n, at[i]));
			ASSERT_EQ(0, read_all(ours, q, n, at[i]));
			ASSERT_EQ(0, memcmp(p, q, n));
		}
		close(ours);
		close(theirs);
		ASSERT_EQ(0, dm_remove("vt-ours"));
		ASSERT_EQ(0, dm_remove("vt-theirs"));
	}
}

/* a DEK that covers more than 1 TiB is said in the log, once */
TEST_F(high, over_one_tib_is_said_once)
{
	char log[65536], *first;
	int kmsg = kmsg_open();

	/* once for each load of the module, and it was said before */
	nl_close(&self->nl);
	ASSERT_EQ(0, module_reload(NULL));
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(0, high_pair(self, ""));
	ASSERT_EQ(0, dm_suspend("vt-ours", 0));
	ASSERT_EQ(0, dm_resume("vt-ours"));
	kmsg_read(kmsg, log, sizeof(log));
	first = strstr(log, "TiB");
	ASSERT_NE(NULL, first)
		TH_LOG("the log has: %s", log);
	ASSERT_EQ(NULL, strstr(first + 1, "TiB"));
	close(kmsg);
}

TEST_HARNESS_MAIN
