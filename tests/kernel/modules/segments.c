// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bios whose sectors lie in several pieces of memory, of odd lengths and across
 * pages, as no process can make them: direct I/O has pieces of 512 bytes at least.
 * What is written in pieces is read in one, and the other way round. A sector in
 * more pieces than the target takes must fail, and leave nothing of it anywhere.
 * Loading the module tests; it loads if all was well.
 *
 * Copyright (C) 2026 The vmcrypt authors
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/version.h>

#define PIECES_MAX	64
#define BYTES_MAX	(64 * 1024)
#define BLOCK_ORDER	2	/* of the memory that one piece lies in */
#define REPEAT		4

static char *device;
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "path of a vmcrypt target, whose first 64 KiB are overwritten");

static unsigned int sector_size = 512;
module_param(sector_size, uint, 0444);
MODULE_PARM_DESC(sector_size, "of the target, bytes");

/**
 * struct layout - how data is cut into pieces, REPEAT times
 * @sectors: that are cut together
 * @pieces: into so many
 * @odd: of odd lengths
 * @fails: there is a sector in more pieces than the target takes
 */
struct layout {
	unsigned int sectors;
	unsigned int pieces;
	bool odd;
	bool fails;
};

static const struct layout layouts[] = {
	{ .sectors = 1, .pieces = 1 },
	{ .sectors = 1, .pieces = 2 },
	{ .sectors = 1, .pieces = 8 },
	{ .sectors = 1, .pieces = 2, .odd = true },
	{ .sectors = 1, .pieces = 3, .odd = true },
	{ .sectors = 1, .pieces = 8, .odd = true },
	/* some sectors begin inside a piece, some are whole in one */
	{ .sectors = 3, .pieces = 2, .odd = true },
	{ .sectors = 2, .pieces = 5, .odd = true },
	{ .sectors = 4, .pieces = 15, .odd = true },
	{ .sectors = 1, .pieces = 9, .odd = true, .fails = true },
	{ .sectors = 1, .pieces = 16, .fails = true },
};

/**
 * struct area - the memory of a bio
 * @nr: pieces
 * @bytes: in all
 * @at: each piece, in a block of its own
 * @len: its length
 * @block: what it lies in
 */
struct area {
	unsigned int nr;
	unsigned int bytes;
	u8 *at[PIECES_MAX];
	unsigned int len[PIECES_MAX];
	u8 *block[PIECES_MAX];
};

static void area_free(struct area *area)
{
	unsigned int i;

	for (i = 0; i < area->nr; i++)
		free_pages((unsigned long)area->block[i], BLOCK_ORDER);
}

static int add_piece(struct area *area, unsigned int bytes, bool odd)
{
	u8 *block = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, BLOCK_ORDER);

	if (!block)
		return -ENOMEM;
	area->block[area->nr] = block;
	area->len[area->nr] = bytes;
	/* Each other one lies across the end of a page. */
	area->at[area->nr] = block + (area->nr & 1 ? PAGE_SIZE - bytes / 2 : odd ? 3 : 0);
	area->bytes += bytes;
	area->nr++;
	return 0;
}

static int area_make(struct area *area, const struct layout *l)
{
	const unsigned int all = l->sectors * sector_size;
	unsigned int i, k, r = 0;

	area->nr = 0;
	area->bytes = 0;
	for (i = 0; i < REPEAT && !r; i++) {
		unsigned int left = all;

		for (k = 1; k <= l->pieces && !r; k++) {
			unsigned int bytes = all / l->pieces;

			if (l->odd)
				bytes |= 1;
			if (k == l->pieces)
				bytes = left;
			r = add_piece(area, bytes, l->odd);
			left -= bytes;
		}
	}
	return r;
}

/* Different in each byte, and for each @seed. */
static void pattern(u8 *p, unsigned int bytes, u32 seed)
{
	unsigned int i;

	for (i = 0; i < bytes; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = seed >> 24;
	}
}

static void scatter(struct area *area, const u8 *from)
{
	unsigned int i;

	for (i = 0; i < area->nr; from += area->len[i++])
		memcpy(area->at[i], from, area->len[i]);
}

static bool holds(const struct area *area, const u8 *what)
{
	unsigned int i;

	for (i = 0; i < area->nr; what += area->len[i++])
		if (memcmp(area->at[i], what, area->len[i]))
			return false;
	return true;
}

static int in_pieces(struct block_device *bdev, struct area *area, blk_opf_t op)
{
	struct bio *bio = bio_alloc(bdev, area->nr, op, GFP_KERNEL);
	unsigned int i;
	int r;

	bio->bi_iter.bi_sector = 0;
	/* Not bio_add_page(), which joins what happens to be neighbours. */
	for (i = 0; i < area->nr; i++)
		__bio_add_page(bio, virt_to_page(area->at[i]), area->len[i],
			       offset_in_page(area->at[i]));
	r = submit_bio_wait(bio);
	bio_put(bio);
	return r;
}

static int in_one(struct block_device *bdev, u8 *p, unsigned int bytes, blk_opf_t op)
{
	struct area area = { .nr = 1, .at = { p }, .len = { bytes } };

	return in_pieces(bdev, &area, op);
}

/**
 * struct buffers - of BYTES_MAX each
 * @was: what is on the device at first
 * @new: what is written in pieces
 * @back: what is read
 */
struct buffers {
	u8 *was;
	u8 *new;
	u8 *back;
};

/* Before its pieces were read they held @new. */
static int check_read(struct block_device *bdev, const struct layout *l, struct area *area,
		      struct buffers *b)
{
	int r = in_pieces(bdev, area, REQ_OP_READ);

	if (!l->fails)
		return r ? r : holds(area, b->was) ? 0 : -EILSEQ;
	if (r != -EIO)
		return r ? r : -ENODATA;
	memset(b->back, 0, area->bytes);
	return holds(area, b->back) ? 0 : -EILSEQ;
}

static int check_write(struct block_device *bdev, const struct layout *l, struct area *area,
		       struct buffers *b)
{
	int r;

	scatter(area, b->new);
	r = in_pieces(bdev, area, REQ_OP_WRITE);
	if (l->fails)
		r = r == -EIO ? 0 : r ? r : -ENODATA;
	if (!r && !holds(area, b->new))
		r = -EUCLEAN;
	if (!r)
		r = in_one(bdev, b->back, area->bytes, REQ_OP_READ);
	if (r)
		return r;
	return memcmp(b->back, l->fails ? b->was : b->new, area->bytes) ? -EILSEQ : 0;
}

static int check(struct block_device *bdev, const struct layout *l, struct area *area,
		 struct buffers *b)
{
	int r = area_make(area, l);

	if (!r) {
		pattern(b->was, area->bytes, l->pieces);
		pattern(b->new, area->bytes, l->pieces + 100);
		scatter(area, b->new);
		r = in_one(bdev, b->was, area->bytes, REQ_OP_WRITE);
	}
	if (!r)
		r = check_read(bdev, l, area, b);
	if (!r)
		r = check_write(bdev, l, area, b);
	area_free(area);
	if (r)
		pr_err("segments: %u sectors of %u bytes in %u%s pieces: %d\n", l->sectors,
		       sector_size, l->pieces, l->odd ? " odd" : "", r);
	return r;
}

static u8 *buffer(void)
{
	return (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, get_order(BYTES_MAX));
}

static int check_all(struct block_device *bdev)
{
	struct buffers b = { buffer(), buffer(), buffer() };
	struct area *area = kzalloc(sizeof(*area), GFP_KERNEL);
	int r = b.was && b.new && b.back && area ? 0 : -ENOMEM;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(layouts) && !r; i++)
		r = check(bdev, &layouts[i], area, &b);
	kfree(area);
	free_pages((unsigned long)b.was, get_order(BYTES_MAX));
	free_pages((unsigned long)b.new, get_order(BYTES_MAX));
	free_pages((unsigned long)b.back, get_order(BYTES_MAX));
	return r;
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
static int __init segments_init(void)
{
	struct block_device *bdev;
	int r;

	bdev = blkdev_get_by_path(device, FMODE_READ | FMODE_WRITE, NULL);
	if (IS_ERR(bdev))
		return PTR_ERR(bdev);
	r = check_all(bdev);
	blkdev_put(bdev, FMODE_READ | FMODE_WRITE);
	return r;
}
#else
static int __init segments_init(void)
{
	struct file *file;
	int r;

	file = bdev_file_open_by_path(device, BLK_OPEN_READ | BLK_OPEN_WRITE, NULL, NULL);
	if (IS_ERR(file))
		return PTR_ERR(file);
	r = check_all(file_bdev(file));
	bdev_fput(file);
	return r;
}
#endif

static void __exit segments_exit(void)
{
}

module_init(segments_init);
module_exit(segments_exit);
MODULE_DESCRIPTION("Bios whose sectors lie in several pieces of memory");
MODULE_AUTHOR("The vmcrypt authors");
MODULE_LICENSE("GPL");
