/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "disk/image.h"

#define PRIMARY		0
#define SECONDARY	1
#define PROBE_SIZE	4096		/* bytes: the binary part of a copy */
#define COPY_SIZES_MAX	10		/* one of the first copy, nine places of second ones */
#define WIPE_CHUNK	((size_t) 1 << 20)

/* First bytes of a copy (LUKS2 On-Disk Format Specification, 2.1) */
struct copy_head {
	char magic[6];
	uint16_t version;		/* big-endian, as the next */
	uint64_t size;
} __attribute__((packed));

static const char magics[IMAGE_COPIES][6] = {
	[PRIMARY]	= { 'L', 'U', 'K', 'S', '\xba', '\xbe' },
	[SECONDARY]	= { 'S', 'K', 'U', 'L', '\xba', '\xbe' },
};

void block_target_done(struct block_target *t)
{
	t->fd = close_fd(t->fd);
}

static int target_size(struct block_target *t)
{
	struct stat st;
	int block = 0;

	if (fstat(t->fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		t->size = (uint64_t) st.st_size;
		t->logical_block = 512;
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return -ENOTBLK;
	if (ioctl(t->fd, BLKGETSIZE64, &t->size) < 0 || ioctl(t->fd, BLKSSZGET, &block) < 0)
		return -errno;
	t->logical_block = (uint32_t) block;
	t->is_block = true;
	t->rdev = st.st_rdev;
	return 0;
}

static const char *open_hint(int r)
{
	switch (r) {
	case -EBUSY:
		return "; it is mounted, mapped by device-mapper or held by another program";
	case -ENOTBLK:
		return "; neither a block device nor a plain file";
	default:
		return "";
	}
}

static bool is_gone(int r)
{
	return r == -ENOENT || r == -ENXIO || r == -ENODEV || r == -ENOTBLK || r == -ENOTDIR;
}

/*
 * O_DIRECT on block devices: another host that shares the storage may have
 * changed what our page cache still holds. O_NONBLOCK lets a FIFO not block here.
 */
int block_target_open(const char *path, int flags, struct block_target *ret, struct error *e)
{
	_cleanup_target_ struct block_target t = { .fd = -1, .path = path };
	struct stat st;
	int r = 0;

	if (stat(path, &st) < 0)
		r = -errno;
	else if (S_ISBLK(st.st_mode))
		flags |= O_DIRECT;
	else if (S_ISREG(st.st_mode))
		flags &= ~O_EXCL;
	else
		r = -ENOTBLK;
	if (r == 0) {
		t.fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (t.fd < 0 && errno == EINVAL)
			t.fd = open(path, (flags & ~O_DIRECT) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		r = t.fd < 0 ? -errno : target_size(&t);
	}
	if (r < 0)
		return error_set(e, r, r == -EACCES || r == -EPERM ? EXIT_NOT_ALLOWED : EXIT_FAILED,
				 is_gone(r) ? VMCRYPT_REASON_NO_HEADER : 0, "Opening %s: %s%s", path,
				 strerror(-r), open_hint(r));
	*ret = t;
	t.fd = -1;
	return 0;
}

static void *aligned(size_t size)
{
	void *p = NULL;

	return posix_memalign(&p, 4096, size) == 0 ? p : NULL;
}

/* Reads @size bytes; what is behind the end is zero. @ret is aligned for O_DIRECT. */
static int read_at(int fd, void *ret, size_t size, uint64_t offset)
{
	size_t done = 0;

	memset(ret, 0, size);
	while (done < size) {
		ssize_t n = pread(fd, (char *) ret + done, size - done, (off_t) (offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t) n;
		/* A short read of a file ends at its end; going on unaligned
		 * would fail on a device. */
		if (n % 512 != 0)
			break;
	}
	return 0;
}

static int write_at(int fd, const void *data, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(fd, (const char *) data + done, size - done,
				   (off_t) (offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t) n;
	}
	return 0;
}

static bool copy_size_valid(uint64_t size)
{
	return size >= IMAGE_COPY_MIN && size <= IMAGE_COPY_MAX && (size & (size - 1)) == 0;
}

/* Size of the copies by what stands at @offset; 0: no copy there */
static size_t probe_copy(const struct block_target *t, int which, uint64_t offset, void *buf,
			 int *ret_r)
{
	const struct copy_head *head = buf;
	uint64_t size;
	int r = 0;

	if (offset + PROBE_SIZE <= t->size)
		r = read_at(t->fd, buf, PROBE_SIZE, offset);
	else
		memset(buf, 0, PROBE_SIZE);
	if (r < 0) {
		*ret_r = r;
		return 0;
	}
	if (memcmp(head->magic, magics[which], sizeof(head->magic)) != 0 ||
	    be16toh(head->version) != 2)
		return 0;
	size = be64toh(head->size);
	if (!copy_size_valid(size) || (which == SECONDARY && size != offset))
		return 0;
	return (size_t) size;
}

/*
 * The sizes that a header on the device may have, the likeliest one first: what
 * the first copy says, then each of the nine places where a second copy may stand
 * and does. A first copy that is damaged may well say a wrong size.
 */
static int find_copy_sizes(const struct block_target *t, size_t ret[COPY_SIZES_MAX], size_t *ret_n)
{
	_cleanup_free_ void *buf = aligned(PROBE_SIZE);
	size_t n = 0, first;
	int r = 0;

	if (!buf)
		return -ENOMEM;
	first = probe_copy(t, PRIMARY, 0, buf, &r);
	if (first)
		ret[n++] = first;
	for (size_t at = IMAGE_COPY_MIN; at <= IMAGE_COPY_MAX; at *= 2)
		if (at != first && probe_copy(t, SECONDARY, at, buf, &r))
			ret[n++] = at;
	if (n == 0)
		return r < 0 ? r : -ENOMSG;
	*ret_n = n;
	return 0;
}

int image_new(uint64_t device_size, struct header_image **ret, struct error *e)
{
	_cleanup_image_ struct header_image *i = calloc(1, sizeof(*i));

	if (!i)
		return error_oom(e);
	i->device_size = device_size;
	i->copy_size = IMAGE_COPY_MIN;
	i->fd = memfd_create("vmcrypt-header", MFD_CLOEXEC);
	if (i->fd < 0 || ftruncate(i->fd, (off_t) device_size) < 0)
		return error_fail(e, errno, "Making a copy of the header in memory: %s",
				  strerror(errno));
	i->device_bytes = calloc(IMAGE_COPIES, i->copy_size);
	if (!i->device_bytes)
		return error_oom(e);
	*ret = TAKE_PTR(i);
	return 0;
}

static int read_copies(struct header_image *i, const struct block_target *t, uint8_t **ret)
{
	_cleanup_free_ uint8_t *bytes = aligned(IMAGE_COPIES * i->copy_size);
	int r;

	if (!bytes)
		return -ENOMEM;
	/* One by one: a bad sector in one copy must not hide the other. */
	for (int copy = 0; copy < IMAGE_COPIES; copy++) {
		uint64_t at = copy * i->copy_size;

		r = read_at(t->fd, bytes + at, i->copy_size, at);
		if (r < 0)
			memset(bytes + at, 0, i->copy_size);
	}
	*ret = TAKE_PTR(bytes);
	return 0;
}

static int fill(struct header_image *i, const struct block_target *t)
{
	int r;

	free(TAKE_PTR(i->device_bytes));
	r = read_copies(i, t, &i->device_bytes);
	if (r < 0)
		return r;
	for (int copy = 0; copy < IMAGE_COPIES; copy++) {
		uint64_t at = copy * i->copy_size, size = i->copy_size;

		if (at >= i->device_size)
			break;
		if (size > i->device_size - at)
			size = i->device_size - at;
		r = write_at(i->fd, i->device_bytes + at, (size_t) size, at);
		if (r < 0)
			return r;
	}
	return 0;
}

int image_read(const struct block_target *t, size_t attempt, struct header_image **ret,
	       struct error *e)
{
	_cleanup_image_ struct header_image *i = NULL;
	size_t sizes[COPY_SIZES_MAX], n = 0;
	int r;

	r = find_copy_sizes(t, sizes, &n);
	if (r == -ENOMSG || (r == 0 && attempt >= n))
		return error_set(e, ENOMSG, EXIT_FAILED, VMCRYPT_REASON_NO_HEADER,
				 "%s has no LUKS2 header: it is no encrypted disk, or its header is "
				 "detached and has to be named", t->path);
	if (r < 0)
		return error_fail(e, r, "Reading the header of %s: %s", t->path, strerror(-r));
	r = image_new(t->size, &i, e);
	if (r < 0)
		return r;
	i->copy_size = sizes[attempt];
	r = fill(i, t);
	if (r < 0)
		return error_fail(e, r, "Reading the header of %s: %s", t->path, strerror(-r));
	*ret = TAKE_PTR(i);
	return 0;
}

int image_bytes(const struct header_image *i, uint8_t **ret, struct error *e)
{
	_cleanup_free_ uint8_t *bytes = aligned(IMAGE_COPIES * i->copy_size);
	int r;

	if (!bytes)
		return error_oom(e);
	r = read_at(i->fd, bytes, IMAGE_COPIES * i->copy_size, 0);
	if (r < 0)
		return error_fail(e, r, "Reading the copy of the header in memory: %s",
				  strerror(-r));
	*ret = TAKE_PTR(bytes);
	return 0;
}

int image_bad_copies(const struct header_image *i, unsigned int *ret, struct error *e)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	unsigned int bad = 0;
	int r = image_bytes(i, &bytes, e);

	if (r < 0)
		return r;
	for (int copy = 0; copy < IMAGE_COPIES; copy++)
		if (memcmp(bytes + copy * i->copy_size, i->device_bytes + copy * i->copy_size,
			   i->copy_size) != 0)
			bad |= 1U << copy;
	*ret = bad;
	return 0;
}

int image_unchanged(const struct header_image *i, const struct block_target *t, struct error *e)
{
	_cleanup_free_ uint8_t *now = NULL;
	struct header_image where = { .copy_size = i->copy_size };
	int r = read_copies(&where, t, &now);

	if (r < 0)
		return error_fail(e, r, "Reading the header of %s: %s", t->path, strerror(-r));
	if (t->size != i->device_size ||
	    memcmp(now, i->device_bytes, IMAGE_COPIES * i->copy_size) != 0)
		return error_fail(e, ESTALE, "The header of %s was changed by another program since "
				  "it was read: try again", t->path);
	return 0;
}

static int write_copy(struct header_image *i, const struct block_target *t, const uint8_t *bytes,
		      unsigned int copy)
{
	uint64_t at = copy * i->copy_size;
	int r = write_at(t->fd, bytes + at, i->copy_size, at);

	if (r == 0 && fsync(t->fd) < 0)
		r = -errno;
	if (r == 0)
		memcpy(i->device_bytes + at, bytes + at, i->copy_size);
	return r;
}

int image_write(struct header_image *i, const struct block_target *t, unsigned int copies,
		unsigned int first, struct error *e)
{
	const unsigned int order[IMAGE_COPIES] = { first, 1 - first };
	_cleanup_free_ uint8_t *bytes = NULL;
	int r;

	r = image_bytes(i, &bytes, e);
	if (r < 0)
		return r;
	for (int n = 0; n < IMAGE_COPIES && r == 0; n++)
		if (copies & (1U << order[n]))
			r = write_copy(i, t, bytes, order[n]);
	if (r < 0)
		return error_fail(e, r, "Writing the header of %s: %s", t->path, strerror(-r));
	return 0;
}

int image_wipe(const struct block_target *t, uint64_t size, struct error *e)
{
	_cleanup_free_ uint8_t *zeros = aligned(WIPE_CHUNK);
	int r = 0;

	if (!zeros)
		return error_oom(e);
	memset(zeros, 0, WIPE_CHUNK);
	for (uint64_t at = 0; at < size && r == 0; at += WIPE_CHUNK)
		r = write_at(t->fd, zeros, size - at < WIPE_CHUNK ? (size_t) (size - at) : WIPE_CHUNK,
			     at);
	if (r == 0 && fsync(t->fd) < 0)
		r = -errno;
	if (r < 0)
		return error_fail(e, r, "Wiping the place of the header on %s: %s", t->path,
				  strerror(-r));
	return 0;
}

void image_free(struct header_image *i)
{
	if (!i)
		return;
	close_fd(i->fd);
	free(i->device_bytes);
	free(i);
}
