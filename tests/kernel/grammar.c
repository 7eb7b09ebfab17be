// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Every malformed table line is EINVAL with a reason in the kernel log, even
 * though the key that it names is loaded; and a good line goes on working.
 */
#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(4 * MIB)

FIXTURE(grammar) {
	struct nl nl;
	struct disk disk;
	struct dek dek;
	int kmsg;
};

FIXTURE_SETUP(grammar)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, loop_new(&self->disk, SIZE, 512, 0));
	dek_random(&self->dek, 64);
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	self->kmsg = kmsg_open();
}

FIXTURE_TEARDOWN(grammar)
{
	unsigned int minor;
	char good[512];

	/* a good line goes in, whatever came before */
	snprintf(good, sizeof(good), "0 1024 vmcrypt aes-xts-plain64 %s 0 %s 0", self->dek.text, self->disk.node);
	if (key_state(&self->nl, self->dek.uuid) == KEY_ABSENT) {
		EXPECT_EQ(0, key_set(&self->nl, &self->dek));
	}
	EXPECT_EQ(0, dm_make("vt-good", good, 0, &minor));
	EXPECT_EQ(0, dm_remove("vt-good"));
	EXPECT_EQ(KEY_ABSENT, key_state(&self->nl, self->dek.uuid));
	close(self->kmsg);
	test_end(&self->nl);
	disk_free(&self->disk);
}

/* "vmcrypt: REASON (-EINVAL)" of device-mapper; @reason gets REASON */
static bool reason_of(int kmsg, char *reason, size_t size)
{
	static char log[65536];
	const char *at, *end;

	kmsg_read(kmsg, log, sizeof(log));
	at = strstr(log, ": vmcrypt: ");
	if (!at)
		return false;
	at += strlen(": vmcrypt: ");
	end = strstr(at, " (-");
	if (!end || (size_t)(end - at) >= size)
		return false;
	memcpy(reason, at, (size_t)(end - at));
	reason[end - at] = 0;
	return true;
}

/* 0 when the line was refused with EINVAL and a reason was given */
static int refused(FIXTURE_DATA(grammar) *self, const char *table)
{
	char reason[512] = "";
	unsigned int minor;
	int r = dm_new("vt-bad", &minor);

	if (r)
		return r;
	r = dm_load("vt-bad", table, 0);
	dm_remove("vt-bad");
	if (r != -EINVAL) {
		fprintf(stderr, "# answered %d: %.200s\n", r, table);
		return r ? r : -EIO;
	}
	if (!reason_of(self->kmsg, reason, sizeof(reason)) || strlen(reason) < 8 ||
	    strstr(reason, "Unknown error")) {
		fprintf(stderr, "# no reason in the log (%s): %.200s\n", reason, table);
		return -ENODATA;
	}
	return 0;
}

/* parts of a line; what is NULL is good */
struct bad {
	const char *cipher, *uuid, *iv_offset, *offset, *options;
	const char *length;
};

static int refused_parts(FIXTURE_DATA(grammar) *self, const struct bad *b)
{
	char table[4096];

	snprintf(table, sizeof(table), "0 %s vmcrypt %s %s %s %s %s%s%s", b->length ? b->length : "1024",
		 b->cipher ? b->cipher : "aes-xts-plain64", b->uuid ? b->uuid : self->dek.text,
		 b->iv_offset ? b->iv_offset : "0", self->disk.node, b->offset ? b->offset : "0",
		 b->options ? " " : "", b->options ? b->options : "");
	return refused(self, table);
}

#define REFUSE_ALL(table) do {						\
	for (size_t i_ = 0; i_ < ARRAY_SIZE(table); i_++) {		\
		EXPECT_EQ(0, refused_parts(self, &(table)[i_]))		\
			TH_LOG("entry %zu", i_);			\
	}								\
} while (0)

TEST_F(grammar, missing_arguments)
{
	const char *const parts[] = { "aes-xts-plain64", self->dek.text, "0", self->disk.node, "0" };
	char table[512] = "0 1024 vmcrypt ";

	for (size_t n = 0; n < ARRAY_SIZE(parts); n++) {
		EXPECT_EQ(0, refused(self, table))
			TH_LOG("%zu arguments", n);
		snprintf(table + strlen(table), sizeof(table) - strlen(table), "%s%s", n ? " " : "", parts[n]);
	}
}

TEST_F(grammar, cipher)
{
	static const struct bad lines[] = {
		{ .cipher = "aes-cbc-plain64" }, { .cipher = "aes-cbc-essiv:sha256" },
		{ .cipher = "aes-xts-plain" }, { .cipher = "aes-xts-plain64be" },
		{ .cipher = "aes-xts-plain6" }, { .cipher = "aes-xts" }, { .cipher = "aes" },
		{ .cipher = "AES-XTS-PLAIN64" }, { .cipher = "serpent-xts-plain64" },
		{ .cipher = "capi:xts(aes)-plain64" }, { .cipher = "aes-xts-null" },
		{ .cipher = "cipher_null-ecb" }, { .cipher = "-" }, { .cipher = "0" },
		{ .cipher = "aes-xts-plain64:" }, { .cipher = "aes-xts-plain64 aes-xts-plain64" },
	};

	REFUSE_ALL(lines);
}

TEST_F(grammar, uuid)
{
	static const struct bad lines[] = {
		{ .uuid = "-" }, { .uuid = "0" },
		{ .uuid = "1ea7f707-8b16-8e3b-bc0b-596a3bdd62b" },
		{ .uuid = "1ea7f707-8b16-8e3b-bc0b-596a3bdd62bff" },
		{ .uuid = "1ea7f707-8b16-8e3b-bc0b-596a3bdd62bg" },
		{ .uuid = "1ea7f7078b168e3bbc0b596a3bdd62bf" },
		{ .uuid = "{1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf}" },
		{ .uuid = "1ea7f707-8b16-8e3b-bc0b_596a3bdd62bf" },
		{ .uuid = "1ea7f7078-b16-8e3b-bc0b-596a3bdd62bf" },
		{ .uuid = "1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf-" },
		{ .uuid = "urn:uuid:1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf" },
		{ .uuid = ":64:logon:cryptsetup:key" },
		{ .uuid = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" },
	};

	REFUSE_ALL(lines);
}

TEST_F(grammar, numbers)
{
	static const char *const words[] = {
		"-1", "-8", "abc", "8x", "x8", "0x", "1.5", "1e3", "18446744073709551616",
		"99999999999999999999999999999999", "--8", "8,", "-", "+", ":",
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct bad iv = { .iv_offset = words[i] };
		const struct bad offset = { .offset = words[i] };

		EXPECT_EQ(0, refused_parts(self, &iv));
		EXPECT_EQ(0, refused_parts(self, &offset));
	}
}

TEST_F(grammar, sector_size)
{
	static const struct bad lines[] = {
		{ .options = "1 sector_size:0" }, { .options = "1 sector_size:1" },
		{ .options = "1 sector_size:256" }, { .options = "1 sector_size:511" },
		{ .options = "1 sector_size:513" }, { .options = "1 sector_size:1536" },
		{ .options = "1 sector_size:3072" }, { .options = "1 sector_size:8192" },
		{ .options = "1 sector_size:65536" }, { .options = "1 sector_size:-512" },
		{ .options = "1 sector_size:" }, { .options = "1 sector_size" },
		{ .options = "1 sector_size:x" }, { .options = "1 sector_size:512x" },
		{ .options = "1 sector_size:512k" }, { .options = "1 sector_size:4294967808" },
		{ .options = "1 sector_size:18446744073709552128" }, { .options = "1 sector_size=512" },
		{ .options = "1 sector_size:512:512" }, { .options = "1 sector_size::512" },
	};

	REFUSE_ALL(lines);
}

TEST_F(grammar, misaligned)
{
	static const struct bad lines[] = {
		{ .options = "1 sector_size:4096", .length = "1023" },
		{ .options = "1 sector_size:4096", .length = "1028" },
		{ .options = "1 sector_size:1024", .length = "1023" },
		{ .options = "1 sector_size:2048", .length = "1026" },
		{ .options = "1 sector_size:4096", .iv_offset = "1" },
		{ .options = "1 sector_size:4096", .iv_offset = "12" },
		{ .options = "1 sector_size:4096", .iv_offset = "4294967300" },
		{ .options = "1 sector_size:1024", .iv_offset = "3" },
		{ .options = "1 sector_size:4096", .offset = "1" },
		{ .options = "1 sector_size:4096", .offset = "12" },
		{ .options = "1 sector_size:2048", .offset = "2" },
		{ .options = "2 sector_size:4096 iv_large_sectors", .iv_offset = "4" },
		{ .options = "2 iv_large_sectors sector_size:4096", .offset = "4" },
	};

	REFUSE_ALL(lines);
}

TEST_F(grammar, option_count)
{
	static const struct bad lines[] = {
		{ .options = "-1" }, { .options = "x" }, { .options = "1" }, { .options = "2 allow_discards" },
		{ .options = "0 allow_discards" }, { .options = "1 allow_discards iv_large_sectors" },
		{ .options = "1 allow_discards 1" }, { .options = "allow_discards" },
		{ .options = "1x allow_discards" }, { .options = "4294967297 allow_discards" },
		{ .options = "99 allow_discards" }, { .options = "0 0" },
		{ .options = "5 sector_size:512 iv_large_sectors allow_discards key_loss:queue allow_discards" },
		{ .options = "-1 allow_discards" },
	};

	REFUSE_ALL(lines);
}

TEST_F(grammar, doubled_options)
{
	static const struct bad lines[] = {
		{ .options = "2 allow_discards allow_discards" },
		{ .options = "2 iv_large_sectors iv_large_sectors" },
		{ .options = "2 sector_size:512 sector_size:512" },
		{ .options = "2 sector_size:512 sector_size:4096" },
		{ .options = "2 key_loss:queue key_loss:queue" },
		{ .options = "2 key_loss:queue key_loss:error" },
		{ .options = "3 allow_discards sector_size:4096 allow_discards" },
	};

	REFUSE_ALL(lines);
}

TEST_F(grammar, unknown_options)
{
	static const struct bad lines[] = {
		{ .options = "1 no_read_workqueue" }, { .options = "1 no_write_workqueue" },
		{ .options = "1 same_cpu_crypt" }, { .options = "1 submit_from_crypt_cpus" },
		{ .options = "1 integrity:28:aead" }, { .options = "1 allow_discard" },
		{ .options = "1 allow_discards:1" }, { .options = "1 allow_discardss" },
		{ .options = "1 ALLOW_DISCARDS" }, { .options = "1 iv_large_sectors:1" },
		{ .options = "1 iv_large_sector" }, { .options = "1 key_loss" },
		{ .options = "1 key_loss:" }, { .options = "1 key_loss:panic" },
		{ .options = "1 key_loss:errors" }, { .options = "1 key_loss:QUEUE" },
		{ .options = "1 key_loss=error" }, { .options = "1 :" }, { .options = "1 -" },
		{ .options = "2 allow_discards unknown" },
	};

	REFUSE_ALL(lines);
}

TEST_F(grammar, device)
{
	static const char *const devices[] = { "/dev/no-such-device", "/dev/null", "/", "999:999", "-", "" };
	unsigned int minor;
	char table[512];

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		snprintf(table, sizeof(table), "0 1024 vmcrypt aes-xts-plain64 %s 0 %s 0", self->dek.text, devices[i]);
		EXPECT_GT(0, dm_make("vt-bad", table, 0, &minor))
			TH_LOG("device \"%s\"", devices[i]);
	}
	EXPECT_EQ(KEY_LOADED, key_state(&self->nl, self->dek.uuid));
}

/* beyond the device; and where the sum runs over 2^64 */
TEST_F(grammar, offset_out_of_range)
{
	static const char *const offsets[] = { "8192", "9223372036854775800", "18446744073709551608" };
	unsigned int minor;
	char table[512];

	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		snprintf(table, sizeof(table), "0 1024 vmcrypt aes-xts-plain64 %s 0 %s %s", self->dek.text,
			 self->disk.node, offsets[i]);
		/* a table that fails late takes its key along */
		EXPECT_EQ(0, key_set(&self->nl, &self->dek));
		EXPECT_EQ(-EINVAL, dm_make("vt-bad", table, 0, &minor))
			TH_LOG("offset %s", offsets[i]);
	}
}

TEST_F(grammar, over_long)
{
	static char word[60000], table[61000];

	memset(word, 'a', sizeof(word) - 1);
	snprintf(table, sizeof(table), "0 1024 vmcrypt aes-xts-plain64 %s 0 %s 0", word, self->disk.node);
	EXPECT_EQ(0, refused(self, table));
	snprintf(table, sizeof(table), "0 1024 vmcrypt %s %s 0 %s 0", word, self->dek.text, self->disk.node);
	EXPECT_EQ(0, refused(self, table));
	snprintf(table, sizeof(table), "0 1024 vmcrypt aes-xts-plain64 %s 0 %s 0 1 %s", self->dek.text,
		 self->disk.node, word);
	EXPECT_EQ(0, refused(self, table));
	memset(word, '1', sizeof(word) - 1);
	snprintf(table, sizeof(table), "0 1024 vmcrypt aes-xts-plain64 %s %s %s 0", self->dek.text, word,
		 self->disk.node);
	EXPECT_EQ(0, refused(self, table));
	/* as many words as fit */
	for (size_t i = 1; i < sizeof(word) - 1; i += 2)
		word[i] = ' ';
	snprintf(table, sizeof(table), "0 1024 vmcrypt aes-xts-plain64 %s 0 %s 0 %s", self->dek.text,
		 self->disk.node, word);
	EXPECT_EQ(0, refused(self, table));
}

TEST_F(grammar, not_text)
{
	static const struct bad lines[] = {
		{ .cipher = "\xc3\xa4\xc3\xb6" }, { .uuid = "\xff\xfe\xfd" }, { .options = "1 \xe2\x82\xac" },
		{ .iv_offset = "\xd9\xa3" }, { .options = "\x01" }, { .options = "1 allow_discards\x7f" },
		{ .cipher = "%s%s%s%n" }, { .options = "1 %n%n%s" },
	};

	REFUSE_ALL(lines);
}

/* IEEE 1619: never more than 2^44 blocks of 16 bytes under one key */
TEST_F(grammar, larger_than_one_key_may_cover)
{
	const uint64_t limit = (1ull << 44) * 16 / SECTOR;
	unsigned int minor;
	struct disk big;
	char table[512];

	ASSERT_EQ(0, loop_new(&big, limit * SECTOR + MIB, 512, 0));
	snprintf(table, sizeof(table), "0 %llu vmcrypt aes-xts-plain64 %s 0 %s 0", (unsigned long long)limit + 8,
		 self->dek.text, big.node);
	EXPECT_EQ(0, refused(self, table));
	snprintf(table, sizeof(table), "0 %llu vmcrypt aes-xts-plain64 %s 0 %s 0", (unsigned long long)limit,
		 self->dek.text, big.node);
	EXPECT_EQ(0, dm_make("vt-big", table, 0, &minor));
	dm_remove("vt-big");
	disk_free(&big);
}

/* nobody listens and the key is not there: ENOKEY, not EINVAL; and a reason */
TEST_F(grammar, good_line_without_a_key)
{
	char table[512], reason[512];
	unsigned int minor;

	snprintf(table, sizeof(table), "0 1024 vmcrypt aes-xts-plain64 1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf 0 %s 0",
		 self->disk.node);
	ASSERT_EQ(-ENOKEY, dm_make("vt-bad", table, 0, &minor));
	ASSERT_TRUE(reason_of(self->kmsg, reason, sizeof(reason)));
}

TEST_HARNESS_MAIN
