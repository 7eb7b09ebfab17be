/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Table and status lines of a vmcrypt target as text (design, "Table line"). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "disk/dm.h"

#define SECTOR		512

static const char *const key_loss_names[] = {
	[KEY_LOSS_QUEUE] = "queue",
	[KEY_LOSS_ERROR] = "error",
};

int key_loss_from_name(const char *name, enum key_loss *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(key_loss_names); i++)
		if (strcmp(name, key_loss_names[i]) == 0) {
			*ret = (enum key_loss) i;
			return 0;
		}
	return -EINVAL;
}

int dm_name_check(const char *name, struct error *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789#+-.:=@_";
	size_t size = strlen(name);

	if (size == 0 || size > VMCRYPT_NAME_MAX || strspn(name, allowed) != size)
		return error_usage(e, "The name of a mapped device has 1 to %d letters, digits or "
				   "characters of #+-.:=@_", VMCRYPT_NAME_MAX);
	/* The first two are no names of files, the third is device-mapper's own. */
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "control") == 0)
		return error_usage(e, "A mapped device cannot be called \"%s\"", name);
	return 0;
}

static int check_alignment(const struct header_segment *s, const char *device, struct error *e)
{
	if (s->offset % s->sector_size != 0 || (s->iv_tweak * SECTOR) % s->sector_size != 0)
		return error_fail(e, EINVAL, "The header of %s does not fit the kernel's target: data "
				  "offset and iv_tweak have to be multiples of the sector size %u",
				  device, s->sector_size);
	return 0;
}

int dm_format_table(const struct disk_header *hdr, const char *device,
		    const struct dm_disk_options *o, char **ret, struct error *e)
{
	const struct header_segment *s = &hdr->segment;
	char dek[UUID_TEXT_SIZE], options[96], number[16] = "";
	int n, r, count = 0;

	if (!hdr->authentic)
		return error_fail(e, EACCES, "The header of %s was not unlocked before its table was "
				  "made", hdr->device);
	r = check_alignment(s, hdr->device, e);
	if (r < 0)
		return r;

	options[0] = '\0';
	n = 0;
	if (s->sector_size != SECTOR) {
		n += snprintf(options + n, sizeof(options) - n, " sector_size:%" PRIu32, s->sector_size);
		count++;
	}
	if (o->allow_discards) {
		n += snprintf(options + n, sizeof(options) - n, " allow_discards");
		count++;
	}
	if (o->key_loss != KEY_LOSS_QUEUE) {
		snprintf(options + n, sizeof(options) - n, " key_loss:%s", key_loss_names[o->key_loss]);
		count++;
	}
	if (count > 0)
		snprintf(number, sizeof(number), " %d", count);

	uuid_format(hdr->token.dek, dek);
	if (asprintf(ret, "%s %s %" PRIu64 " %s %" PRIu64 "%s%s", s->cipher, dek, s->iv_tweak, device,
		     s->offset / SECTOR, number, options) < 0)
		return error_oom(e);
	return 0;
}

/**
 * struct words - a line cut at its spaces
 */
struct words {
	char *next;
};

static const char *word(struct words *w)
{
	return strsep(&w->next, " ");
}

/* Decimal, without sign, space or leading zero. */
static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	if (!text || *text < '0' || *text > '9' || (*text == '0' && text[1]))
		return -EINVAL;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || *end || *ret > max ? -EINVAL : 0;
}

static int parse_u32(const char *text, uint32_t *ret)
{
	uint64_t value;

	if (parse_number(text, UINT32_MAX, &value) < 0)
		return -EINVAL;
	*ret = (uint32_t) value;
	return 0;
}

static int parse_device(const char *text, struct dm_disk *d)
{
	struct words w;
	char copy[32];

	if (!text || strlen(text) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	w.next = copy;
	if (parse_u32(strsep(&w.next, ":"), &d->lower_major) < 0)
		return -EINVAL;
	return parse_u32(w.next, &d->lower_minor);
}

static int parse_option(const char *text, struct dm_disk *d)
{
	static const char sector_size[] = "sector_size:", key_loss[] = "key_loss:";

	if (strcmp(text, "allow_discards") == 0) {
		d->allow_discards = true;
		return 0;
	}
	if (strcmp(text, "iv_large_sectors") == 0) {
		d->iv_large_sectors = true;
		return 0;
	}
	if (strncmp(text, sector_size, sizeof(sector_size) - 1) == 0)
		return parse_u32(text + sizeof(sector_size) - 1, &d->sector_size);
	if (strncmp(text, key_loss, sizeof(key_loss) - 1) == 0)
		return key_loss_from_name(text + sizeof(key_loss) - 1, &d->key_loss);
	return -EINVAL;
}

static int parse_options(struct words *w, struct dm_disk *d)
{
	const char *text = word(w);
	uint64_t count;

	if (!text)
		return 0;
	if (parse_number(text, 4, &count) < 0)
		return -EINVAL;
	while (count-- > 0) {
		text = word(w);
		if (!text || parse_option(text, d) < 0)
			return -EINVAL;
	}
	return w->next ? -EINVAL : 0;
}

/* device-mapper ends each line with a space, so that may be cut. */
static char *copy_line(const char *line)
{
	char *copy = strdup(line);
	size_t size = copy ? strlen(copy) : 0;

	while (size > 0 && copy[size - 1] == ' ')
		copy[--size] = '\0';
	return copy;
}

int dm_parse_table(const char *params, struct dm_disk *d, struct error *e)
{
	_cleanup_free_ char *copy = copy_line(params);
	struct words w = { .next = copy };
	struct dm_disk out = *d;
	const char *cipher, *dek;

	if (!copy)
		return error_oom(e);
	out.sector_size = SECTOR;
	out.allow_discards = out.iv_large_sectors = false;
	out.key_loss = KEY_LOSS_QUEUE;
	cipher = word(&w);
	dek = word(&w);
	if (!dek || strcmp(cipher, HEADER_CIPHER) != 0 || uuid_parse_text(dek, out.dek) < 0 ||
	    parse_number(word(&w), UINT64_MAX, &out.iv_offset) < 0 ||
	    parse_device(word(&w), &out) < 0 ||
	    parse_number(word(&w), UINT64_MAX, &out.offset) < 0 || parse_options(&w, &out) < 0)
		return error_fail(e, EBADMSG, "The kernel's table line of a vmcrypt target does not read "
				  "as it should: module and agent are not of one version");
	*d = out;
	return 0;
}

int dm_parse_status(const char *params, struct dm_disk *d, struct error *e)
{
	_cleanup_free_ char *copy = copy_line(params);
	struct words w = { .next = copy };
	struct dm_disk out = *d;
	const char *state;

	if (!copy)
		return error_oom(e);
	state = word(&w);
	if (!state || (strcmp(state, "loaded") != 0 && strcmp(state, "locked") != 0) ||
	    parse_u32(word(&w), &out.inflight) < 0 || parse_u32(word(&w), &out.queued) < 0 ||
	    parse_number(word(&w), UINT64_MAX, &out.reads) < 0 ||
	    parse_number(word(&w), UINT64_MAX, &out.writes) < 0 ||
	    parse_number(word(&w), UINT64_MAX, &out.errors) < 0 || w.next)
		return error_fail(e, EBADMSG, "The kernel's status line of a vmcrypt target does not read "
				  "as it should: module and agent are not of one version");
	out.loaded = strcmp(state, "loaded") == 0;
	*d = out;
	return 0;
}
