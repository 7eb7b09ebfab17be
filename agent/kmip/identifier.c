// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/response.h"

#include "common/cleanup.h"

#define READING "Reading the key server's answer: "
#define ASK "; look into the key server's log"

/* Which operation a reference means. */
static const struct {
	uint32_t reference;
	uint32_t operation;
} references[] = {
	{ KMIP_FROM_CREATE, KMIP_CREATE },
	{ KMIP_FROM_LOCATE, KMIP_LOCATE },
	{ KMIP_FROM_REGISTER, KMIP_REGISTER },
	{ KMIP_FROM_REKEY, KMIP_REKEY },
};

/* The next identifier: 1, 0 or -errno. */
static int next_item(struct ttlv_reader *r, struct ttlv_item *ret, struct error *e)
{
	struct ttlv_item item;
	int rc;

	while ((rc = ttlv_next(r, &item, e)) > 0)
		if (item.tag == KMIP_TAG_UNIQUE_IDENTIFIER) {
			*ret = item;
			return 1;
		}
	return rc;
}

int kmip_next_id(struct ttlv_reader *r, char ret[KMIP_ID_SIZE], struct error *e)
{
	struct ttlv_item item;
	int rc = next_item(r, &item, e);

	if (rc <= 0)
		return rc;
	rc = ttlv_text(&item, ret, KMIP_ID_SIZE, e);
	return rc < 0 ? rc : 1;
}

/* How many identifiers the first @n results have, and the one at place @wanted. */
static int count_ids(const struct kmip_response *response, size_t n, int64_t wanted,
		     struct ttlv_item *ret, int64_t *ret_count, struct error *e)
{
	struct ttlv_reader r;
	struct ttlv_item item;
	int64_t count = 0;
	size_t i;
	int rc;

	for (i = 0; i < n; i++) {
		r = response->results[i].payload;
		while ((rc = next_item(&r, &item, e)) > 0)
			if (count++ == wanted)
				*ret = item;
		if (rc < 0)
			return rc;
	}
	*ret_count = count;
	return 0;
}

static int not_there(struct error *e)
{
	return error_fail(e, EBADMSG, READING "in the place of a unique identifier it refers to one that is not there" ASK);
}

/* Only what stands before result @i can be meant, so that no reference leads to itself. */
static int find_place(const struct kmip_response *response, size_t i, int32_t place,
		      struct ttlv_item *ret, struct error *e)
{
	int64_t before = 0, wanted;
	int r;

	r = count_ids(response, i, /* wanted= */ -1, ret, &before, e);
	if (r < 0)
		return r;
	wanted = place < 0 ? before + place : place;
	if (wanted < 0 || wanted >= before)
		return not_there(e);
	return count_ids(response, i, wanted, ret, &before, e);
}

static bool is_meant(uint32_t reference, uint32_t operation)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(references); i++)
		if (references[i].reference == reference)
			return references[i].operation == operation;
	return reference == KMIP_PLACEHOLDER;
}

/* The last one before; an operation that told several has left none behind. */
static int find_reference(const struct kmip_response *response, size_t i, uint32_t reference,
			  struct ttlv_item *ret, struct error *e)
{
	struct ttlv_reader r;
	int rc;

	while (i-- > 0) {
		if (!is_meant(reference, response->results[i].operation))
			continue;
		r = response->results[i].payload;
		rc = ttlv_find(&r, KMIP_TAG_UNIQUE_IDENTIFIER, ret, e);
		if (rc < 0)
			return rc;
		if (rc > 0 && ret->type == TTLV_TEXT)
			return 0;
	}
	return not_there(e);
}

int kmip_get_id(const struct kmip_response *response, size_t i, char ret[KMIP_ID_SIZE],
		struct error *e)
{
	uint32_t reference = 0;
	struct ttlv_item item;
	int32_t place = 0;
	int r;

	r = ttlv_need(&response->results[i].payload, KMIP_TAG_UNIQUE_IDENTIFIER, "Unique Identifier",
		      &item, e);
	if (r < 0)
		return r;
	if (response->version.major >= 2 && item.type == TTLV_INTEGER) {
		r = ttlv_integer(&item, &place, e);
		if (r == 0)
			r = find_place(response, i, place, &item, e);
	} else if (response->version.major >= 2 && item.type == TTLV_ENUMERATION) {
		r = ttlv_enumeration(&item, &reference, e);
		if (r == 0)
			r = find_reference(response, i, reference, &item, e);
	}
	return r < 0 ? r : ttlv_text(&item, ret, KMIP_ID_SIZE, e);
}
