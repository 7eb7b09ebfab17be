/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/fileio.h"
#include "crypto/dek.h"
#include "disk/header.h"
#include "disk/image.h"
#include "disk/internal.h"
#include "disk/lock.h"
#include "disk/luks.h"
#include "disk/probe.h"

#define HEADER_FILE_SIZE	HEADER_DATA_OFFSET	/* room for keyslots of a later day */
#define SECTOR_SIZE_BEST	4096
#define SECTOR_SIZE_LEAST	512

static int check_label(const char *what, const char *text, struct error *e)
{
	if (!text || !*text || strlen(text) > LABEL_MAX)
		return error_usage(e, "The %s has to have 1 to %d bytes", what, LABEL_MAX);
	return 0;
}

static int check_params(const struct header_params *p, struct error *e)
{
	uint32_t s = p->sector_size;
	struct stat device, header;
	int r;

	r = check_label("name of the VM", p->vm, e);
	if (r == 0)
		r = check_label("label of the disk", p->disk, e);
	if (r < 0)
		return r;
	if (s != 0 && (s < SECTOR_SIZE_LEAST || s > SECTOR_SIZE_BEST || (s & (s - 1)) != 0))
		return error_usage(e, "A sector size of %u is not possible: choose 512, 1024, 2048 or "
				   "4096", s);
	if (p->header && stat(p->device, &device) == 0 && stat(p->header, &header) == 0 &&
	    (S_ISBLK(device.st_mode) ?
	     S_ISBLK(header.st_mode) && device.st_rdev == header.st_rdev :
	     device.st_dev == header.st_dev && device.st_ino == header.st_ino))
		return error_usage(e, "A detached header cannot stand on the device itself (%s)",
				   p->device);
	return 0;
}

static int check_empty(const struct header_params *p, const struct block_target *t, struct error *e)
{
	return p->force || t->size == 0 ? 0 : probe_empty(t->path, e);
}

/**
 * struct places - where a new header goes
 * @made: the header's file was made here, and goes again on failure
 * @data: the data device
 * @apart: the detached header; unused when the header stands on @data
 */
struct places {
	const struct header_params *p;
	bool made;
	struct block_target data, apart;
};

static void places_done(struct places *x)
{
	if (x->made)
		unlink(x->p->header);
	block_target_done(&x->data);
	block_target_done(&x->apart);
}

static struct block_target *header_target(struct places *x)
{
	return x->p->header ? &x->apart : &x->data;
}

/* Makes the file of a detached header, unless something is there. */
static int make_header_file(struct places *x, struct error *e)
{
	_cleanup_close_ int fd = open(x->p->header, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0)
		return error_fail(e, errno, "Making the header file %s: %s", x->p->header,
				  strerror(errno));
	x->made = true;
	return 0;
}

static int grow_header_file(struct block_target *t, struct error *e)
{
	if (t->is_block || t->size >= HEADER_FILE_SIZE)
		return 0;
	if (ftruncate(t->fd, HEADER_FILE_SIZE) < 0)
		return error_fail(e, errno, "Making room in the header file %s: %s", t->path,
				  strerror(errno));
	t->size = HEADER_FILE_SIZE;
	return 0;
}

static int open_apart(struct places *x, struct error *e)
{
	struct block_target *t = &x->apart;
	int r = make_header_file(x, e);

	if (r == 0)
		r = block_target_open(x->p->header, O_RDWR | O_EXCL, t, e);
	if (r < 0)
		return r;
	if (!t->is_block && t->size > 0 && !x->p->force)
		return error_fail(e, EEXIST, "The header file %s is there already: give another name, "
				  "or force to lose it", t->path);
	r = check_empty(x->p, t, e);
	if (r == 0)
		r = grow_header_file(t, e);
	return r;
}

static int open_places(struct places *x, struct error *e)
{
	int r;

	r = block_target_open(x->p->device, O_EXCL | (x->p->header ? O_RDONLY : O_RDWR), &x->data, e);
	if (r == 0)
		r = check_empty(x->p, &x->data, e);
	if (r == 0 && x->p->header)
		r = open_apart(x, e);
	return r;
}

static int check_sizes(struct places *x, uint32_t *ret_sector_size, struct error *e)
{
	const struct block_target *t = header_target(x);
	uint64_t offset = x->p->header ? 0 : HEADER_DATA_OFFSET;
	uint32_t sector = x->p->sector_size;

	if (t->size < HEADER_DATA_OFFSET || x->data.size < offset + SECTOR_SIZE_BEST)
		return error_fail(e, ENOSPC, "%s is too small: a header needs %u bytes, and data must "
				  "be left", t->path, HEADER_DATA_OFFSET);
	if (sector == 0)
		sector = x->data.size % SECTOR_SIZE_BEST == 0 ? SECTOR_SIZE_BEST : SECTOR_SIZE_LEAST;
	if (x->data.size % sector != 0)
		return error_usage(e, "The size of %s (%llu bytes) is no multiple of the sector size "
				   "%u: choose a smaller one", x->data.path,
				   (unsigned long long) x->data.size, sector);
	*ret_sector_size = sector;
	return 0;
}

/* Puts a new wrap behind the others of @t, which is left alone on failure. */
static int append_wrap(const struct disk_header *h, struct token *t, const struct secret *dek,
		       const struct key_locator *locator, const struct secret *kek,
		       struct error *e)
{
	struct wrap_context context;
	int r;

	if (t->n_wraps == TOKEN_WRAPS_MAX)
		return error_fail(e, ENOSPC, "The header of %s has %d wraps, which is the most: remove "
				  "one first", h->device, TOKEN_WRAPS_MAX);
	header_context(h, locator, &context);
	r = wrap_seal(kek, &context, dek, &t->wraps[t->n_wraps], e);
	if (r < 0) {
		error_prefix(e, "Wrapping the key of %s", h->device);
		return r;
	}
	t->n_wraps++;
	return 0;
}

static int fill_token(struct disk_header *h, const struct header_params *p,
		      const struct secret *dek, struct error *e)
{
	struct token *t = &h->token;
	int r = dek_uuid(dek, t->dek);

	if (r < 0)
		return error_fail(e, r, "Naming the key of %s: %s", p->device, error_name(r));
	memcpy(t->vm, p->vm, strlen(p->vm) + 1);
	memcpy(t->disk, p->disk, strlen(p->disk) + 1);
	time_format(time_now(), t->created);
	return 0;
}

/* All of the new header, in memory. */
static int make_image(struct disk_header *h, struct places *x, const struct secret *dek,
		      const struct key_locator *locator, const struct secret *kek,
		      struct error *e)
{
	const struct block_target *t = header_target(x);
	_cleanup_free_ char *json = NULL;
	uint32_t sector_size = 0;
	int r;

	r = check_sizes(x, &sector_size, e);
	if (r == 0)
		r = image_new(t->size, &h->image, e);
	if (r == 0)
		r = luks_format(h->image, t->path, sector_size, x->p->header ? x->data.size : 0, dek,
				&h->segment, e);
	if (r == 0)
		r = fill_token(h, x->p, dek, e);
	if (r < 0)
		return r;
	h->key_bits = (uint32_t) dek->size * 8;
	r = append_wrap(h, &h->token, dek, locator, kek, e);
	if (r == 0)
		r = token_build(&h->token, &json, e);
	if (r == 0)
		r = luks_set_token(h->image, t->path, /* token_id= */ -1, json, e);
	return r;
}

/*
 * Zeros first, so that no old copy outlives; then the second copy, then the first: a
 * header that shows at all is whole.
 */
static int write_new(struct disk_header *h, struct places *x, struct error *e)
{
	_cleanup_header_lock_ struct header_lock lock = HEADER_LOCK_NULL;
	const struct block_target *t = header_target(x);
	int r;

	r = header_lock(t->fd, t->path, /* exclusive= */ true, &lock, e);
	if (r == 0)
		r = image_wipe(t, HEADER_DATA_OFFSET, e);
	if (r == 0)
		r = image_write(h->image, t, /* copies= */ 3, /* first= */ 1, e);
	if (r == 0 && x->made)
		r = file_sync_parent(t->path, e);
	return r;
}

static int check_dek(const struct secret *dek, struct error *e)
{
	if (!dek_bits_valid((uint32_t) dek->size * 8) || dek_is_weak(dek))
		return error_fail(e, EINVAL, "Making a header: the key has neither 32 nor 64 bytes, or "
				  "two equal halves");
	return 0;
}

/* Gives back the one secret that the new header has to open with. */
static int lookup_given(const struct key_locator *locator, void *userdata, struct secret *ret_kek,
			struct error *e)
{
	const struct secret *kek = userdata;
	int r = secret_copy(kek->data, kek->size, ret_kek);

	(void) locator;
	return r < 0 ? error_oom(e) : 0;
}

/* What was written is read again and opened, before anybody relies on it. */
static int read_back(const struct header_params *p, const struct secret *kek,
		     struct disk_header **ret, struct error *e)
{
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	struct secret copy = *kek;
	int r;

	r = header_open(p->device, p->header, /* flags= */ 0, &h, e);
	if (r == 0)
		r = header_unlock(h, lookup_given, &copy, &dek, e);
	if (r < 0) {
		error_prefix(e, "Reading the new header again");
		return r;
	}
	*ret = TAKE_PTR(h);
	return 0;
}

int header_create(const struct header_params *p, const struct secret *dek,
		  const struct key_locator *locator, const struct secret *kek,
		  struct disk_header **ret, struct error *e)
{
	__attribute__((cleanup(places_done))) struct places x = {
		.p = p, .data = BLOCK_TARGET_NULL, .apart = BLOCK_TARGET_NULL,
	};
	_cleanup_header_ struct disk_header *h = NULL;
	int r;

	r = check_params(p, e);
	if (r == 0)
		r = check_dek(dek, e);
	if (r == 0)
		r = header_alloc(p->device, p->header, &h, e);
	if (r == 0)
		r = open_places(&x, e);
	if (r == 0)
		r = make_image(h, &x, dek, locator, kek, e);
	if (r == 0)
		r = write_new(h, &x, e);
	if (r == 0)
		r = read_back(p, kek, ret, e);
	if (r < 0) {
		error_prefix(e, "Encrypting %s", p->device);
		return r;
	}
	x.made = false;
	return 0;
}

/* Writes a changed token: in memory, then one copy after the other. A copy that
 * is bad is the first one, for the other is all there is. */
static int commit(struct disk_header *h, const struct token *t, struct error *e)
{
	_cleanup_header_lock_ struct header_lock lock = HEADER_LOCK_NULL;
	_cleanup_target_ struct block_target target = BLOCK_TARGET_NULL;
	const char *path = h->header ? h->header : h->device;
	_cleanup_free_ char *json = NULL;
	unsigned int bad;
	int r;

	r = image_bad_copies(h->image, &bad, e);
	if (r == 0)
		r = token_build(t, &json, e);
	if (r == 0)
		r = block_target_open(path, O_RDWR, &target, e);
	if (r == 0)
		r = header_lock(target.fd, path, /* exclusive= */ true, &lock, e);
	if (r == 0)
		r = image_unchanged(h->image, &target, e);
	if (r == 0)
		r = luks_set_token(h->image, path, h->token_id, json, e);
	if (r == 0)
		r = image_write(h->image, &target, /* copies= */ 3, /* first= */ bad == 2 ? 1 : 0, e);
	if (r < 0)
		return r;
	h->token = *t;
	h->damaged = false;
	return 0;
}

static int check_authentic(const struct disk_header *h, struct error *e)
{
	if (!h->authentic)
		return error_fail(e, EACCES, "The header of %s was not unlocked before it was changed",
				  h->device);
	return 0;
}

int header_add_wrap(struct disk_header *h, const struct secret *dek,
		    const struct key_locator *locator, const struct secret *kek, struct error *e)
{
	struct token t = h->token;
	int r;

	r = check_authentic(h, e);
	if (r < 0)
		return r;
	if (token_find(&t, locator) >= 0)
		return error_fail(e, EEXIST, "The key of %s is wrapped by this key already", h->device);
	r = append_wrap(h, &t, dek, locator, kek, e);
	if (r == 0)
		r = commit(h, &t, e);
	return r;
}

int header_remove_wrap(struct disk_header *h, const struct key_locator *locator, struct error *e)
{
	struct token t = h->token;
	int at = token_find(&t, locator), r;

	r = check_authentic(h, e);
	if (r < 0)
		return r;
	if (at < 0)
		return error_fail(e, ENOENT, "The key of %s is not wrapped by this key", h->device);
	if (t.n_wraps == 1)
		return error_fail(e, EPERM, "The key of %s has this wrap alone: without it the disk "
				  "would be lost; add another one first", h->device);
	t.n_wraps--;
	memmove(&t.wraps[at], &t.wraps[at + 1], (t.n_wraps - (size_t) at) * sizeof(t.wraps[0]));
	return commit(h, &t, e);
}

int header_rewrap(struct disk_header *h, const struct secret *dek,
		  const struct key_locator *locator, const struct secret *kek, struct error *e)
{
	struct token t;
	int r = header_add_wrap(h, dek, locator, kek, e);

	if (r < 0)
		return r;
	t = h->token;
	t.wraps[0] = t.wraps[t.n_wraps - 1];
	t.n_wraps = 1;
	return commit(h, &t, e);
}

int header_data_size(const struct disk_header *h, uint64_t *ret, struct error *e)
{
	_cleanup_target_ struct block_target t = BLOCK_TARGET_NULL;
	uint64_t size;
	int r = block_target_open(h->device, O_RDONLY, &t, e);

	if (r < 0)
		return r;
	if (t.rdev != h->rdev)
		return error_fail(e, ESTALE, "%s is another device than when its header was read: try "
				  "again", h->device);
	if (t.size <= h->segment.offset)
		return error_fail(e, ENOSPC, "%s is too small: its data begin at byte %llu, its size is "
				  "%llu", h->device, (unsigned long long) h->segment.offset,
				  (unsigned long long) t.size);
	size = t.size - h->segment.offset;
	if (size % h->segment.sector_size != 0)
		return error_fail(e, EINVAL, "The data of %s (%llu bytes) are no multiple of its sector "
				  "size %u: has the device been cut or grown?", h->device,
				  (unsigned long long) size, h->segment.sector_size);
	*ret = size;
	return 0;
}
