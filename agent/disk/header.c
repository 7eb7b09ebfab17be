/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "crypto/wrap.h"
#include "disk/header.h"
#include "disk/image.h"
#include "disk/internal.h"
#include "disk/lock.h"
#include "disk/luks.h"

static const char *where(const struct disk_header *h)
{
	return h->header ? h->header : h->device;
}

void header_free(struct disk_header *h)
{
	if (!h)
		return;
	image_free(h->image);
	free(h->device);
	free(h->header);
	free(h);
}

int header_alloc(const char *device, const char *header, struct disk_header **ret, struct error *e)
{
	_cleanup_header_ struct disk_header *h = calloc(1, sizeof(*h));

	if (!h)
		return error_oom(e);
	h->device = strdup(device);
	h->header = header ? strdup(header) : NULL;
	if (!h->device || (header && !h->header))
		return error_oom(e);
	*ret = TAKE_PTR(h);
	return 0;
}

/**
 * struct loaded - a header as it was read
 * @bad: copies on the device that are not what they should be, as bits
 */
struct loaded {
	struct header_image *image;
	struct luks_view view;
	unsigned int bad;
};

static void loaded_done(struct loaded *l)
{
	image_free(TAKE_PTR(l->image));
	luks_view_done(&l->view);
}

static int load(const struct block_target *t, struct loaded *ret, struct error *e)
{
	__attribute__((cleanup(loaded_done))) struct loaded l = { .image = NULL };
	struct error first = ERROR_NULL, next = ERROR_NULL;
	int r;

	for (size_t attempt = 0;; attempt++) {
		r = image_read(t, attempt, &l.image, &next);
		/* The first attempt's words are the ones that matter. */
		if (r < 0 && attempt > 0)
			break;
		if (r < 0) {
			first = next;
			break;
		}
		r = luks_load(l.image, t->path, &l.view, attempt == 0 ? &first : &next);
		if (r == 0)
			break;
		loaded_done(&l);
	}
	if (r < 0) {
		if (e)
			*e = first;
		return first.code;
	}
	r = image_bad_copies(l.image, &l.bad, e);
	if (r < 0)
		return r;
	*ret = l;
	l = (struct loaded) { .image = NULL };
	return 0;
}

static int repair(struct loaded *l, const struct block_target *t)
{
	struct error e = ERROR_NULL;
	unsigned int first = l->bad & 1 ? 0 : 1;

	if (image_write(l->image, t, l->bad, first, &e) < 0) {
		log_warning("Repairing the header of %s: %s", t->path, e.text);
		return e.code;
	}
	return 0;
}

/*
 * A copy that is bad may be one that somebody writes at this moment, so what was
 * found is only believed after a second look under the lock.
 */
static int load_locked(const char *path, unsigned int flags, struct loaded *ret, bool *ret_repaired,
		       struct error *e)
{
	__attribute__((cleanup(loaded_done))) struct loaded l = { .image = NULL };
	_cleanup_header_lock_ struct header_lock lock = HEADER_LOCK_NULL;
	_cleanup_target_ struct block_target t = BLOCK_TARGET_NULL;
	bool write = flags & HEADER_REPAIR;
	int r;

	r = block_target_open(path, write ? O_RDWR : O_RDONLY, &t, e);
	if (r == 0)
		r = header_lock(t.fd, path, /* exclusive= */ write, &lock, e);
	if (r == 0)
		r = load(&t, &l, e);
	if (r < 0)
		return r;
	if (l.bad && write && repair(&l, &t) == 0) {
		l.bad = 0;
		*ret_repaired = true;
	}
	*ret = l;
	l = (struct loaded) { .image = NULL };
	return 0;
}

static int load_path(const char *path, unsigned int flags, struct loaded *ret, bool *ret_repaired,
		     struct error *e)
{
	__attribute__((cleanup(loaded_done))) struct loaded l = { .image = NULL }, again = l;
	_cleanup_target_ struct block_target t = BLOCK_TARGET_NULL;
	struct error second = ERROR_NULL;
	int r, r2;

	r = block_target_open(path, O_RDONLY, &t, e);
	if (r < 0)
		return r;
	r = load(&t, &l, e);
	if (r < 0 && r != -EBADMSG)
		return r;
	if (r < 0 || l.bad) {
		r2 = load_locked(path, flags, &again, ret_repaired, &second);
		if (r2 < 0 && r == 0)
			log_warning("A second look at the header of %s: %s", path, second.text);
		if (r2 < 0 && r < 0)
			return r;
		if (r2 == 0) {
			loaded_done(&l);
			l = again;
			again = (struct loaded) { .image = NULL };
		}
	}
	*ret = l;
	l = (struct loaded) { .image = NULL };
	return 0;
}

static void tell(const struct disk_header *h)
{
	if (h->repaired)
		log_warning("The header of %s had one damaged copy, which was written anew from the "
			    "other one", where(h));
	else if (h->damaged)
		log_warning("The header of %s has one damaged copy and was read from the other one",
			    where(h));
}

/* Remembers the device itself: a path may lead elsewhere when the table is made. */
static int find_data_device(struct disk_header *h, struct error *e)
{
	_cleanup_target_ struct block_target t = BLOCK_TARGET_NULL;
	int r = block_target_open(h->device, O_RDONLY, &t, e);

	if (r == 0)
		h->rdev = t.rdev;
	return r;
}

int header_open(const char *device, const char *header, unsigned int flags,
		struct disk_header **ret, struct error *e)
{
	__attribute__((cleanup(loaded_done))) struct loaded l = { .image = NULL };
	_cleanup_header_ struct disk_header *h = NULL;
	int r;

	r = header_alloc(device, header, &h, e);
	if (r == 0)
		r = load_path(where(h), flags, &l, &h->repaired, e);
	if (r == 0)
		r = find_data_device(h, e);
	if (r < 0)
		return r;
	r = token_from_json(l.view.token, &h->token, e);
	if (r < 0) {
		error_prefix(e, "Header of %s", where(h));
		return r;
	}

	memcpy(h->uuid, l.view.uuid, sizeof(h->uuid));
	h->segment = l.view.segment;
	h->token_id = l.view.token_id;
	h->key_bits = (uint32_t) h->token.wraps[0].ciphertext_size * 8;
	h->damaged = l.bad != 0;
	h->image = TAKE_PTR(l.image);
	tell(h);
	*ret = TAKE_PTR(h);
	return 0;
}

void header_context(const struct disk_header *h, const struct key_locator *locator,
		    struct wrap_context *ret)
{
	*ret = (struct wrap_context) {
		.data_offset = h->segment.offset,
		.iv_tweak = h->segment.iv_tweak,
		.key_bits = h->key_bits,
		.locator = *locator,
		.sector_size = h->segment.sector_size,
	};
	memcpy(ret->cipher, h->segment.cipher, sizeof(ret->cipher));
	memcpy(ret->created, h->token.created, sizeof(ret->created));
	memcpy(ret->dek, h->token.dek, sizeof(ret->dek));
	memcpy(ret->disk, h->token.disk, sizeof(ret->disk));
	memcpy(ret->vm, h->token.vm, sizeof(ret->vm));
}

static int open_wrap(struct disk_header *h, const struct wrap *wrap, const struct secret *kek,
		     struct secret *ret_dek, struct error *e)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	struct wrap_context context;
	int r;

	header_context(h, &wrap->locator, &context);
	r = wrap_open(kek, &context, wrap, &dek, e);
	if (r == 0)
		r = luks_verify(h->image, where(h), &dek, e);
	if (r < 0) {
		error_prefix(e, "Unlocking %s", h->device);
		return r;
	}
	*ret_dek = secret_take(&dek);
	return 0;
}

static int no_key(struct error *e)
{
	if (e->status == EXIT_FAILED)
		e->status = EXIT_NO_KEY;
	if (e->reason == 0)
		e->reason = VMCRYPT_REASON_UNAVAILABLE;
	return e->code;
}

int header_unlock(struct disk_header *h, header_lookup_t lookup, void *userdata,
		  struct secret *ret_dek, struct error *e)
{
	struct error missing = ERROR_NULL, refused = ERROR_NULL;

	for (size_t i = 0; i < h->token.n_wraps; i++) {
		const struct wrap *wrap = &h->token.wraps[i];
		_cleanup_secret_ struct secret kek = SECRET_NULL;
		struct error why = ERROR_NULL;
		int r = lookup(&wrap->locator, userdata, &kek, &why);

		if (r < 0) {
			if (!error_is_set(&why))
				error_set(&why, r, EXIT_NO_KEY, 0, "Unlocking %s: no key for wrap %zu (%s)",
					  h->device, i + 1, error_name(r));
			if (!error_is_set(&missing))
				missing = why;
			continue;
		}
		r = open_wrap(h, wrap, &kek, ret_dek, &why);
		if (r == 0) {
			h->authentic = true;
			if (error_is_set(&refused))
				log_warning("%s; another wrap of its key holds", refused.text);
			return 0;
		}
		if (!error_is_set(&refused))
			refused = why;
	}
	/* A key that was there and did not open is the worse news. */
	if (!error_is_set(&refused)) {
		no_key(&missing);
		refused = missing;
	}
	if (e)
		*e = refused;
	return refused.code;
}
