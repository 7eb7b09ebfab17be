// SPDX-License-Identifier: LGPL-2.1-or-later
/* The table line as it is printed back, and the line of status. */
#include <sys/sysmacros.h>

#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(4 * MIB)

FIXTURE(table) {
	struct nl nl;
	struct disk disk;
	struct dek dek;
	char number[16];
};

FIXTURE_SETUP(table)
{
	struct stat st;

	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, loop_new(&self->disk, SIZE, 512, 0));
	dek_random(&self->dek, 64);
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, stat(self->disk.node, &st));
	snprintf(self->number, sizeof(self->number), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
}

FIXTURE_TEARDOWN(table)
{
	test_end(&self->nl);
	disk_free(&self->disk);
}

/* what is given and what is printed; %s: device, as a path and as a number */
static const struct {
	const char *given, *printed;
} options[] = {
	{ "", "" },
	{ " 0", "" },
	{ " 1 sector_size:512", "" },
	{ " 1 key_loss:queue", "" },
	{ " 2 key_loss:queue sector_size:512", "" },
	{ " 1 sector_size:1024", " 1 sector_size:1024" },
	{ " 1 sector_size:2048", " 1 sector_size:2048" },
	{ " 1 sector_size:4096", " 1 sector_size:4096" },
	{ " 1 iv_large_sectors", " 1 iv_large_sectors" },
	{ " 1 allow_discards", " 1 allow_discards" },
	{ " 1 key_loss:error", " 1 key_loss:error" },
	{ " 4 key_loss:error allow_discards iv_large_sectors sector_size:4096",
	  " 4 sector_size:4096 iv_large_sectors allow_discards key_loss:error" },
	{ " 3 allow_discards key_loss:queue sector_size:2048", " 2 sector_size:2048 allow_discards" },
};

TEST_F(table, printed_back)
{
	char given[512], expected[512], printed[8192];
	unsigned int minor;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		snprintf(given, sizeof(given), "0 4096 vmcrypt aes-xts-plain64 %s 16 %s 24%s", self->dek.text,
			 self->disk.node, options[i].given);
		snprintf(expected, sizeof(expected), "0 4096 vmcrypt aes-xts-plain64 %s 16 %s 24%s",
			 self->dek.text, self->number, options[i].printed);
		if (key_state(&self->nl, self->dek.uuid) != KEY_LOADED)
			ASSERT_EQ(0, key_set(&self->nl, &self->dek));
		ASSERT_EQ(0, dm_make("vt-table", given, 0, &minor))
			TH_LOG("%s", given);
		ASSERT_EQ(0, dm_table("vt-table", false, printed, sizeof(printed)));
		EXPECT_STREQ(expected, printed);
		/* what is printed can be given again, and is printed the same */
		ASSERT_EQ(0, dm_swap("vt-table", printed, 0));
		ASSERT_EQ(0, dm_table("vt-table", false, printed, sizeof(printed)));
		EXPECT_STREQ(expected, printed);
		ASSERT_EQ(0, dm_remove("vt-table"));
	}
}

TEST_F(table, loaded_but_not_live)
{
	char given[512], expected[512], printed[8192];
	unsigned int minor;

	snprintf(given, sizeof(given), "0 4096 vmcrypt aes-xts-plain64 %s 0 %s 0", self->dek.text, self->number);
	ASSERT_EQ(0, dm_new("vt-table", &minor));
	ASSERT_EQ(0, dm_load("vt-table", given, 0));
	snprintf(expected, sizeof(expected), "%s", given);
	ASSERT_EQ(0, dm_table("vt-table", true, printed, sizeof(printed)));
	ASSERT_STREQ(expected, printed);
	ASSERT_EQ(0, dm_table("vt-table", false, printed, sizeof(printed)));
	ASSERT_STREQ("", printed);
}

TEST_F(table, large_numbers)
{
	char given[512], printed[8192];
	unsigned int minor;

	snprintf(given, sizeof(given), "0 8 vmcrypt aes-xts-plain64 %s 4611686018427387904 %s 16", self->dek.text,
		 self->number);
	ASSERT_EQ(0, dm_make("vt-table", given, 0, &minor));
	ASSERT_EQ(0, dm_table("vt-table", false, printed, sizeof(printed)));
	ASSERT_STREQ(given, printed);
}

TEST_F(table, status)
{
	char given[512], line[512];
	uint8_t *p = buffer(4096);
	unsigned int minor;
	int fd;

	snprintf(given, sizeof(given), "0 4096 vmcrypt aes-xts-plain64 %s 0 %s 0", self->dek.text, self->number);
	ASSERT_EQ(0, dm_make("vt-table", given, 0, &minor));
	ASSERT_EQ(0, dm_status("vt-table", line, sizeof(line)));
	/* a reader of new devices may have looked at it */
	ASSERT_EQ(0, strncmp(line, "0 4096 vmcrypt loaded 0 0 ", 26))
		TH_LOG("%s", line);
	fd = dm_open(minor, O_RDWR | O_DIRECT);
	ASSERT_EQ(0, write_all(fd, p, 4096, 0));
	ASSERT_EQ(0, key_wipe(&self->nl, self->dek.uuid, WIPE_FORCE));
	ASSERT_EQ(0, key_wait(&self->nl, self->dek.uuid, KEY_LOCKED, 5000));
	ASSERT_EQ(0, dm_status("vt-table", line, sizeof(line)));
	ASSERT_EQ(0, strncmp(line, "0 4096 vmcrypt locked 0 0 ", 26))
		TH_LOG("%s", line);
	close(fd);
}

/* the name of device-mapper's own list */
TEST_F(table, target_is_listed)
{
	const char *const argv[] = { "sh", "-c", "dmsetup targets | grep -q '^vmcrypt  *v[0-9]'", NULL };

	ASSERT_EQ(0, run(argv));
}

/* the same through dmsetup, which is what people use */
TEST_F(table, dmsetup)
{
	char command[1024];
	const char *const argv[] = { "sh", "-c", command, NULL };

	snprintf(command, sizeof(command),
		 "set -e; dmsetup create vt-setup --noudevsync --noudevrules --table "
		 "'0 4096 vmcrypt aes-xts-plain64 %s 0 %s 0 1 allow_discards';"
		 "test \"$(dmsetup table vt-setup)\" = '0 4096 vmcrypt aes-xts-plain64 %s 0 %s 0 1 allow_discards';"
		 "dmsetup table --showkeys vt-setup | grep -q '%s 0 %s';"
		 "dmsetup status vt-setup | grep -q '^0 4096 vmcrypt loaded [0-9]* [0-9]* [0-9]* [0-9]* [0-9]*$';"
		 "dmsetup deps vt-setup | grep -q '^1 dependencies';"
		 "dmsetup remove --noudevsync vt-setup",
		 self->dek.text, self->disk.node, self->dek.text, self->number, self->dek.text, self->number);
	ASSERT_EQ(0, run(argv));
}

TEST_HARNESS_MAIN
