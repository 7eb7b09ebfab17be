/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Table and status lines as text; what the kernel does with them is tested in tests/kernel. */
#include "disk_fixture.h"
#include "disk/dm.h"

static struct disk_header authentic(uint32_t sector_size, uint64_t iv_tweak)
{
	struct disk_header h = {
		.device = (char *) "/dev/vdb", .authentic = true,
		.segment = { .cipher = "aes-xts-plain64", .sector_size = sector_size,
			     .offset = 16 * MIB, .iv_tweak = iv_tweak },
	};

	for (int i = 0; i < 16; i++)
		h.token.dek[i] = (uint8_t) (i * 17);
	return h;
}

#define UUID "00112233-4455-6677-8899-aabbccddeeff"

static void test_format(void **state)
{
	static const struct {
		uint32_t sector_size;
		uint64_t iv_tweak;
		struct dm_disk_options o;
		const char *line;
	} cases[] = {
		{ 512, 0, { false, false, KEY_LOSS_QUEUE },
		  "aes-xts-plain64 " UUID " 0 /dev/vdb 32768" },
		{ 4096, 0, { false, false, KEY_LOSS_QUEUE },
		  "aes-xts-plain64 " UUID " 0 /dev/vdb 32768 1 sector_size:4096" },
		{ 512, 7, { true, false, KEY_LOSS_QUEUE },
		  "aes-xts-plain64 " UUID " 7 /dev/vdb 32768 1 allow_discards" },
		{ 2048, 8, { true, true, KEY_LOSS_ERROR },
		  "aes-xts-plain64 " UUID " 8 /dev/vdb 32768 3 sector_size:2048 allow_discards "
		  "key_loss:error" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct disk_header h = authentic(cases[i].sector_size, cases[i].iv_tweak);
		_cleanup_free_ char *line = NULL;
		struct error e = ERROR_NULL;

		assert_int_equal(dm_format_table(&h, h.device, &cases[i].o, &line, &e), 0);
		assert_string_equal(line, cases[i].line);
	}
}

static void test_format_refuses(void **state)
{
	const struct dm_disk_options o = { .allow_discards = false };
	struct disk_header h = authentic(4096, 1);
	struct error e = ERROR_NULL;
	char *line = NULL;

	(void) state;
	assert_int_equal(dm_format_table(&h, h.device, &o, &line, &e), -EINVAL);
	h = authentic(4096, 0);
	h.segment.offset += 512;
	assert_int_equal(dm_format_table(&h, h.device, &o, &line, &e), -EINVAL);
	/* A header nobody has proved makes no table. */
	h = authentic(4096, 0);
	h.authentic = false;
	assert_int_equal(dm_format_table(&h, h.device, &o, &line, &e), -EACCES);
	/* A plain file is nothing for device-mapper. */
	h.authentic = true;
	assert_int_equal(dm_disk_table(&h, &o, &line, &e), -ENOTBLK);
	assert_non_null(strstr(e.text, "losetup"));
	assert_null(line);
}

static void test_parse_table(void **state)
{
	struct dm_disk d = { .major = 1 };
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(dm_parse_table("aes-xts-plain64 " UUID " 8 254:16 32768 4 sector_size:4096 "
					"iv_large_sectors allow_discards key_loss:error", &d, &e), 0);
	assert_int_equal(d.dek[1], 0x11);
	assert_int_equal(d.iv_offset, 8);
	assert_int_equal(d.lower_major, 254);
	assert_int_equal(d.lower_minor, 16);
	assert_int_equal(d.offset, 32768);
	assert_int_equal(d.sector_size, 4096);
	assert_true(d.iv_large_sectors);
	assert_true(d.allow_discards);
	assert_int_equal(d.key_loss, KEY_LOSS_ERROR);
	assert_int_equal(d.major, 1);

	assert_int_equal(dm_parse_table("aes-xts-plain64 " UUID " 0 8:0 0 ", &d, &e), 0);
	assert_int_equal(d.sector_size, 512);
	assert_false(d.allow_discards);
	assert_int_equal(d.key_loss, KEY_LOSS_QUEUE);
}

static void test_parse_table_refuses(void **state)
{
	static const char *const lines[] = {
		"", " ", "aes-xts-plain64", "aes-xts-plain64 " UUID, "aes-xts-plain64 " UUID " 0",
		"aes-xts-plain64 " UUID " 0 8:0", "aes-cbc-essiv " UUID " 0 8:0 0",
		"aes-xts-plain64 " UUID " -1 8:0 0", "aes-xts-plain64 " UUID " 01 8:0 0",
		"aes-xts-plain64 " UUID " 0 8 0", "aes-xts-plain64 " UUID " 0 8: 0",
		"aes-xts-plain64 " UUID " 0 8:0:0 0", "aes-xts-plain64 " UUID " 0 /dev/sda 0",
		"aes-xts-plain64 " UUID " 0 8:0 0 1", "aes-xts-plain64 " UUID " 0 8:0 0 0 x",
		"aes-xts-plain64 " UUID " 0 8:0 0 1 unknown", "aes-xts-plain64 " UUID " 0 8:0 0 5 x",
		"aes-xts-plain64 " UUID " 0 8:0 0 1 sector_size:x",
		"aes-xts-plain64 " UUID " 0 8:0 0 1 key_loss:lose",
		"aes-xts-plain64 " UUID " 18446744073709551616 8:0 0",
		"aes-xts-plain64 00112233-4455-6677-8899-AABBCCDDEEFF 0 8:0 0",
		"aes-xts-plain64 :64:logon:key 0 8:0 0",
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct dm_disk d = { .offset = 99 };
		struct error e = ERROR_NULL;

		assert_int_equal(dm_parse_table(lines[i], &d, &e), -EBADMSG);
		assert_int_equal(d.offset, 99);
	}
}

static void test_parse_status(void **state)
{
	static const char *const bad[] = {
		"", "loaded", "open 0 0 0 0 0", "loaded 0 0 0 0", "loaded 0 0 0 0 0 0",
		"loaded -1 0 0 0 0", "loaded 4294967296 0 0 0 0", "loaded  0 0 0 0 0",
	};
	struct dm_disk d = { .loaded = false };
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(dm_parse_status("loaded 1 2 3 4 5", &d, &e), 0);
	assert_true(d.loaded);
	assert_int_equal(d.inflight, 1);
	assert_int_equal(d.queued, 2);
	assert_int_equal(d.reads, 3);
	assert_int_equal(d.writes, 4);
	assert_int_equal(d.errors, 5);
	assert_int_equal(dm_parse_status("locked 0 0 0 0 0 ", &d, &e), 0);
	assert_false(d.loaded);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(dm_parse_status(bad[i], &d, &e), -EBADMSG);
}

static void test_names(void **state)
{
	static const char *const good[] = { "a", "vm-1_disk.0", "A#B+C:D=E@F" };
	static const char *const bad[] = { "", ".", "..", "control", "a b", "a/b", "a\n", "ä", "a\\x2f" };
	char longest[VMCRYPT_NAME_MAX + 2];
	struct error e = ERROR_NULL;

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(dm_name_check(good[i], &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(dm_name_check(bad[i], &e), -EINVAL);
		assert_int_equal(e.status, EXIT_USAGE);
	}
	memset(longest, 'n', sizeof(longest) - 1);
	longest[VMCRYPT_NAME_MAX + 1] = '\0';
	assert_int_equal(dm_name_check(longest, &e), -EINVAL);
	longest[VMCRYPT_NAME_MAX] = '\0';
	assert_int_equal(dm_name_check(longest, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_format_refuses),
		cmocka_unit_test(test_parse_table),
		cmocka_unit_test(test_parse_table_refuses),
		cmocka_unit_test(test_parse_status),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
