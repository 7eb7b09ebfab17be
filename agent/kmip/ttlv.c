// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/ttlv.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define DAMAGED "Reading a KMIP message: it is damaged, "
#define ASK "; look into the key server's log"
#define US_PER_S 1000000

/* 0: any size */
static const struct {
	const char *name;
	uint8_t size;
} types[] = {
	[TTLV_STRUCTURE]	= { "structure", 0 },
	[TTLV_INTEGER]		= { "integer", 4 },
	[TTLV_LONG]		= { "long integer", 8 },
	[TTLV_BIG]		= { "big integer", 0 },
	[TTLV_ENUMERATION]	= { "enumeration", 4 },
	[TTLV_BOOLEAN]		= { "boolean", 8 },
	[TTLV_TEXT]		= { "text", 0 },
	[TTLV_BYTES]		= { "byte string", 0 },
	[TTLV_DATE]		= { "date", 8 },
	[TTLV_INTERVAL]		= { "interval", 4 },
	[TTLV_DATE_EXTENDED]	= { "extended date", 8 },
};

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t) get32(p) << 32 | get32(p + 4);
}

static const char *type_name(uint8_t type)
{
	return type < ARRAY_SIZE(types) && types[type].name ? types[type].name : "unknown type";
}

void ttlv_reader_init(struct ttlv_reader *r, const void *data, size_t size)
{
	*r = (struct ttlv_reader) { .at = data, .left = size };
}

/* What the type demands of the size: section 9.1.1.3. */
static int check_size(const struct ttlv_item *item, struct error *e)
{
	bool whole = item->type == TTLV_STRUCTURE || item->type == TTLV_BIG;
	uint8_t fixed = item->type < ARRAY_SIZE(types) ? types[item->type].size : 0;

	if ((fixed && item->size != fixed) || (whole && item->size % 8 != 0) ||
	    (item->type == TTLV_BIG && item->size == 0))
		return error_fail(e, EBADMSG, DAMAGED "item %06x is of %zu bytes, which no %s is" ASK,
				  item->tag, item->size, type_name(item->type));
	return 0;
}

int ttlv_next(struct ttlv_reader *r, struct ttlv_item *ret, struct error *e)
{
	struct ttlv_item item;
	size_t padded, i;
	int rc;

	if (r->left == 0)
		return 0;
	if (r->left < TTLV_HEADER_SIZE)
		return error_fail(e, EBADMSG, DAMAGED "%zu bytes stand where an item should" ASK, r->left);

	item = (struct ttlv_item) {
		.tag = get32(r->at) >> 8,
		.type = r->at[3],
		.depth = r->depth,
		.size = get32(r->at + 4),
		.value = r->at + TTLV_HEADER_SIZE,
	};
	/* Compared before it is rounded up, so nothing can overflow. */
	if (item.size > r->left - TTLV_HEADER_SIZE)
		return error_fail(e, EBADMSG, DAMAGED "item %06x is of %zu bytes where %zu are left" ASK,
				  item.tag, item.size, r->left - TTLV_HEADER_SIZE);
	padded = (item.size + 7) / 8 * 8;
	if (padded > r->left - TTLV_HEADER_SIZE)
		return error_fail(e, EBADMSG, DAMAGED "the padding of item %06x is missing" ASK, item.tag);
	rc = check_size(&item, e);
	if (rc < 0)
		return rc;
	for (i = item.size; i < padded; i++)
		if (item.value[i] != 0)
			return error_fail(e, EBADMSG, DAMAGED "the padding of item %06x is not zero" ASK,
					  item.tag);

	r->at += TTLV_HEADER_SIZE + padded;
	r->left -= TTLV_HEADER_SIZE + padded;
	*ret = item;
	return 1;
}

static int check_type(const struct ttlv_item *item, uint8_t type, struct error *e)
{
	if (item->type != type)
		return error_fail(e, EBADMSG, DAMAGED "item %06x is of the type %02x (%s), not %s" ASK,
				  item->tag, item->type, type_name(item->type), type_name(type));
	return 0;
}

int ttlv_enter(const struct ttlv_item *item, struct ttlv_reader *ret, struct error *e)
{
	int r;

	r = check_type(item, TTLV_STRUCTURE, e);
	if (r < 0)
		return r;
	if (item->depth + 1 > TTLV_DEPTH_MAX)
		return error_fail(e, EBADMSG, DAMAGED "more than %d structures are inside each other" ASK,
				  TTLV_DEPTH_MAX);
	*ret = (struct ttlv_reader) { .at = item->value, .left = item->size, .depth = item->depth + 1 };
	return 0;
}

int ttlv_find(const struct ttlv_reader *r, uint32_t tag, struct ttlv_item *ret, struct error *e)
{
	struct ttlv_reader rest = *r;
	struct ttlv_item item, found = { .tag = 0 };
	int rc, n = 0;

	while ((rc = ttlv_next(&rest, &item, e)) > 0) {
		if (item.tag != tag)
			continue;
		if (n++)
			return error_fail(e, EBADMSG, DAMAGED "item %06x is there twice" ASK, tag);
		found = item;
	}
	if (rc < 0)
		return rc;
	if (n)
		*ret = found;
	return n;
}

int ttlv_need(const struct ttlv_reader *r, uint32_t tag, const char *what, struct ttlv_item *ret,
	      struct error *e)
{
	int rc = ttlv_find(r, tag, ret, e);

	if (rc == 0)
		return error_fail(e, EBADMSG, DAMAGED "the item %s (%06x) is missing" ASK, what, tag);
	return rc < 0 ? rc : 0;
}

int ttlv_integer(const struct ttlv_item *item, int32_t *ret, struct error *e)
{
	int r = check_type(item, TTLV_INTEGER, e);

	if (r == 0)
		*ret = (int32_t) get32(item->value);
	return r;
}

int ttlv_long(const struct ttlv_item *item, int64_t *ret, struct error *e)
{
	int r = check_type(item, TTLV_LONG, e);

	if (r == 0)
		*ret = (int64_t) get64(item->value);
	return r;
}

int ttlv_enumeration(const struct ttlv_item *item, uint32_t *ret, struct error *e)
{
	int r = check_type(item, TTLV_ENUMERATION, e);

	if (r == 0)
		*ret = get32(item->value);
	return r;
}

int ttlv_boolean(const struct ttlv_item *item, bool *ret, struct error *e)
{
	int r = check_type(item, TTLV_BOOLEAN, e);

	if (r < 0)
		return r;
	if (get64(item->value) > 1)
		return error_fail(e, EBADMSG, DAMAGED "item %06x is neither true nor false" ASK, item->tag);
	*ret = get64(item->value);
	return 0;
}

/* Rounded down before 1970 too, as a clock that has no smaller parts shows it. */
static int64_t whole_seconds(int64_t us)
{
	return us / US_PER_S - (us % US_PER_S < 0);
}

int ttlv_date(const struct ttlv_item *item, int64_t *ret, struct error *e)
{
	int r;

	if (item->type == TTLV_DATE_EXTENDED) {
		*ret = whole_seconds((int64_t) get64(item->value));
		return 0;
	}
	r = check_type(item, TTLV_DATE, e);
	if (r == 0)
		*ret = (int64_t) get64(item->value);
	return r;
}

int ttlv_bytes(const struct ttlv_item *item, const uint8_t **ret, size_t *ret_size,
	       struct error *e)
{
	int r = check_type(item, TTLV_BYTES, e);

	if (r < 0)
		return r;
	*ret = item->value;
	*ret_size = item->size;
	return 0;
}

int ttlv_text(const struct ttlv_item *item, char *ret, size_t max, struct error *e)
{
	const char *text = (const char *) item->value;
	_cleanup_json_ json_t *utf8 = NULL;
	int r = check_type(item, TTLV_TEXT, e);

	if (r < 0)
		return r;
	if (item->size >= max)
		return error_fail(e, EMSGSIZE,
				  "Reading a KMIP message: text %06x is of %zu bytes, more than %zu" ASK,
				  item->tag, item->size, max - 1);
	if (memchr(text, 0, item->size))
		return error_fail(e, EBADMSG, DAMAGED "text %06x holds a NUL" ASK, item->tag);
	utf8 = json_stringn(text, item->size);
	if (!utf8)
		return error_fail(e, EBADMSG, DAMAGED "text %06x is not UTF-8" ASK, item->tag);
	memcpy(ret, text, item->size);
	ret[item->size] = '\0';
	return 0;
}

int ttlv_message_size(const uint8_t header[TTLV_HEADER_SIZE], uint32_t tag, size_t max,
		      size_t *ret, struct error *e)
{
	size_t size = get32(header + 4);

	if (get32(header) >> 8 != tag || header[3] != TTLV_STRUCTURE || size % 8 != 0)
		return error_fail(e, EBADMSG,
				  "Reading from the key server: what came is no KMIP message; check host and port");
	if (max < TTLV_HEADER_SIZE || size > max - TTLV_HEADER_SIZE)
		return error_fail(e, EMSGSIZE,
				  "Reading from the key server: a message of %zu bytes came, more than the %zu that are taken",
				  size, max);
	*ret = size;
	return 0;
}
