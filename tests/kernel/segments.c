// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sectors in several pieces of memory, which only the kernel can submit: the
 * module tests/kernel/modules/segments.c does, for a disk that is set up here.
 */
#include "kselftest_harness.h"
#include "lib.h"

#define SIZE	(1 * MIB)

FIXTURE(segments) {
	struct nl nl;
	struct vdisk v;
};

FIXTURE_VARIANT(segments) {
	unsigned int sector_size;
	const char *options;
};

FIXTURE_VARIANT_ADD(segments, s512) {
	.sector_size = 512, .options = "",
};

FIXTURE_VARIANT_ADD(segments, s1024) {
	.sector_size = 1024, .options = "1 sector_size:1024",
};

FIXTURE_VARIANT_ADD(segments, s4096) {
	.sector_size = 4096, .options = "2 sector_size:4096 iv_large_sectors",
};

/* a loop device with a page cache behind it takes memory of any alignment */
FIXTURE_SETUP(segments)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	ASSERT_EQ(0, vdisk_new(&self->v, &self->nl, "segments", SIZE, 64, variant->options));
}

FIXTURE_TEARDOWN(segments)
{
	vdisk_free(&self->v);
	test_end(&self->nl);
}

static int load_segments(const char *parameters)
{
	const char *path = getenv("VMCRYPT_SEGMENTS");
	int fd = open(path ? path : "/lib/vmcrypt/segments.ko", O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return r;
}

TEST_F(segments, compared_with_one_piece)
{
	char parameters[100];
	int kmsg = kmsg_open(), r;

	snprintf(parameters, sizeof(parameters), "device=/dev/dm-%u sector_size=%u", self->v.minor,
		 variant->sector_size);
	r = load_segments(parameters);
	if (r)
		kmsg_find(kmsg, "no such line");
	ASSERT_EQ(0, r);
	ASSERT_EQ(0, syscall(SYS_delete_module, "segments", O_NONBLOCK));
	close(kmsg);
}

TEST_HARNESS_MAIN
