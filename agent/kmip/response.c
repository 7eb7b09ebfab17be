// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/response.h"

#include <string.h>

#include "common/cleanup.h"
#include "kmip/reason.h"

#define READING "Reading the key server's answer: "
#define ASK "; look into the key server's log"

static int get_version(const struct ttlv_item *from, struct kmip_version *ret, struct error *e)
{
	struct kmip_version version = { 0, 0 };
	struct ttlv_reader inside;
	struct ttlv_item item;
	int r;

	r = ttlv_enter(from, &inside, e);
	if (r == 0)
		r = ttlv_need(&inside, KMIP_TAG_VERSION_MAJOR, "Protocol Version Major", &item, e);
	if (r == 0)
		r = ttlv_integer(&item, &version.major, e);
	if (r == 0)
		r = ttlv_need(&inside, KMIP_TAG_VERSION_MINOR, "Protocol Version Minor", &item, e);
	if (r == 0)
		r = ttlv_integer(&item, &version.minor, e);
	if (r == 0)
		*ret = version;
	return r;
}

/* The whole message and nothing behind it. */
static int open_message(const struct secret *message, struct ttlv_reader *ret, struct error *e)
{
	struct ttlv_reader r;
	struct ttlv_item item;
	int rc;

	ttlv_reader_init(&r, message->data, message->size);
	rc = ttlv_next(&r, &item, e);
	if (rc < 0)
		return rc;
	if (rc == 0 || item.tag != KMIP_TAG_RESPONSE_MESSAGE || r.left)
		return error_fail(e, EBADMSG, READING "it is not one response message" ASK);
	return ttlv_enter(&item, ret, e);
}

static int get_header(const struct ttlv_reader *message, struct kmip_version *ret,
		      int32_t *ret_count, struct error *e)
{
	struct ttlv_reader inside;
	struct ttlv_item item;
	int r;

	r = ttlv_need(message, KMIP_TAG_RESPONSE_HEADER, "Response Header", &item, e);
	if (r == 0)
		r = ttlv_enter(&item, &inside, e);
	if (r == 0)
		r = ttlv_need(&inside, KMIP_TAG_PROTOCOL_VERSION, "Protocol Version", &item, e);
	if (r == 0)
		r = get_version(&item, ret, e);
	if (r == 0)
		r = ttlv_need(&inside, KMIP_TAG_BATCH_COUNT, "Batch Count", &item, e);
	return r < 0 ? r : ttlv_integer(&item, ret_count, e);
}

/* The server's words may be of any length; no character is cut into two. They are for
 * people: what is no text is left out, and the reason counts all the same. */
static void get_words(struct ttlv_item item, char ret[KMIP_TEXT_SIZE])
{
	if (item.size >= KMIP_TEXT_SIZE) {
		item.size = KMIP_TEXT_SIZE - 1;
		while (item.size > 0 && (item.value[item.size] & 0xc0) == 0x80)
			item.size--;
	}
	(void) ttlv_text(&item, ret, KMIP_TEXT_SIZE, NULL);
}

static int get_result(const struct ttlv_reader *inside, struct kmip_result *ret, struct error *e)
{
	struct kmip_result result = { .answered = true };
	struct ttlv_item item;
	int r;

	r = ttlv_need(inside, KMIP_TAG_RESULT_STATUS, "Result Status", &item, e);
	if (r == 0)
		r = ttlv_enumeration(&item, &result.status, e);
	if (r == 0)
		r = ttlv_find(inside, KMIP_TAG_RESULT_REASON, &item, e);
	if (r > 0)
		r = ttlv_enumeration(&item, &result.reason, e);
	if (r == 0)
		r = ttlv_find(inside, KMIP_TAG_RESULT_MESSAGE, &item, e);
	if (r > 0)
		get_words(item, result.message);
	if (r >= 0)
		r = ttlv_find(inside, KMIP_TAG_RESPONSE_PAYLOAD, &item, e);
	if (r > 0)
		r = ttlv_enter(&item, &result.payload, e);
	if (r == 0)
		*ret = result;
	return r;
}

/* Which request an item answers. */
static int get_place(const struct ttlv_reader *inside, size_t n, bool with_ids, size_t *ret,
		     struct error *e)
{
	uint8_t wanted[KMIP_BATCH_ID_SIZE];
	struct ttlv_item item;
	const uint8_t *id;
	size_t size, i;
	int r;

	r = ttlv_find(inside, KMIP_TAG_BATCH_ITEM_ID, &item, e);
	if (r < 0)
		return r;
	if (r == 0 && n == 1) {
		*ret = 0;
		return 0;
	}
	if (r == 0 || !with_ids)
		return error_fail(e, EBADMSG, READING "an operation's number is %s" ASK,
				  r ? "there, but none was sent" : "missing");
	r = ttlv_bytes(&item, &id, &size, e);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++) {
		kmip_batch_id(i, wanted);
		if (size == sizeof(wanted) && memcmp(id, wanted, size) == 0) {
			*ret = i;
			return 0;
		}
	}
	return error_fail(e, EBADMSG, READING "it has the number of an operation that was not asked for" ASK);
}

static void refuse_all(const struct kmip_result *refusal, struct kmip_result *results, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!results[i].answered)
			results[i] = *refusal;
}

static int decode_item(const struct ttlv_item *from, const struct kmip_request *requests, size_t n,
		       bool with_ids, struct kmip_response *response, struct error *e)
{
	struct kmip_result result = { .answered = false };
	struct ttlv_reader inside;
	struct ttlv_item item;
	uint32_t operation = 0;
	size_t i = 0;
	int r, named;

	r = ttlv_enter(from, &inside, e);
	if (r == 0)
		r = get_result(&inside, &result, e);
	if (r < 0)
		return r;
	named = ttlv_find(&inside, KMIP_TAG_OPERATION, &item, e);
	if (named < 0)
		return named;
	if (!named && result.status == KMIP_OPERATION_FAILED) {
		refuse_all(&result, response->results, n);
		return 0;
	}
	if (!named)
		return error_fail(e, EBADMSG, READING "it does not say to which operation it belongs" ASK);

	r = ttlv_enumeration(&item, &operation, e);
	if (r == 0)
		r = get_place(&inside, n, with_ids, &i, e);
	if (r < 0)
		return r;
	if (operation != requests[i].operation || response->results[i].answered)
		return error_fail(e, EBADMSG, READING "%s was asked for, it answers %s%s" ASK,
				  kmip_operation_name(requests[i].operation), kmip_operation_name(operation),
				  response->results[i].answered ? " twice" : "");
	result.operation = operation;
	response->results[i] = result;
	return 0;
}

int kmip_decode(const struct secret *message, const struct kmip_request *requests, size_t n,
		bool with_ids, struct kmip_response *ret, struct error *e)
{
	struct kmip_response response = { .version = { 0, 0 } };
	struct ttlv_reader inside;
	struct ttlv_item item;
	int32_t count = 0, found = 0;
	int r;

	if (n == 0 || n > KMIP_BATCH_MAX)
		return error_usage(e, READING "to %zu operations there is none", n);
	r = open_message(message, &inside, e);
	if (r == 0)
		r = get_header(&inside, &response.version, &count, e);
	if (r < 0)
		return r;
	while ((r = ttlv_next(&inside, &item, e)) > 0) {
		if (item.tag != KMIP_TAG_BATCH_ITEM)
			continue;
		found++;
		r = decode_item(&item, requests, n, with_ids || n > 1, &response, e);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (found != count || found == 0)
		return error_fail(e, EBADMSG, READING "it holds %d results and says %d" ASK, found, count);
	*ret = response;
	return 0;
}

int kmip_succeeded(const struct kmip_result *result, enum kmip_operation operation,
		   struct error *e)
{
	const char *name = kmip_operation_name(operation);

	if (!result->answered)
		return error_fail(e, EPROTO, "The key server did not come to %s, since something failed before; see the errors above",
				  name);
	if (result->status == KMIP_SUCCESS)
		return 0;
	if (result->status == KMIP_OPERATION_FAILED)
		return kmip_refused(name, result->reason, result->message, e);
	return error_fail(e, EPROTO, "The key server put %s off or took it back (status %u), which vmcrypt did not ask for; look into its log",
			  name, result->status);
}

/* The next item with a tag: 1, 0 or -errno. */
static int next_of(struct ttlv_reader *r, uint32_t tag, struct ttlv_item *ret, struct error *e)
{
	int rc;

	while ((rc = ttlv_next(r, ret, e)) > 0)
		if (ret->tag == tag)
			return 1;
	return rc;
}

int kmip_next_version(struct ttlv_reader *r, struct kmip_version *ret, struct error *e)
{
	struct ttlv_item item;
	int rc = next_of(r, KMIP_TAG_PROTOCOL_VERSION, &item, e);

	if (rc <= 0)
		return rc;
	rc = get_version(&item, ret, e);
	return rc < 0 ? rc : 1;
}

int kmip_next_operation(struct ttlv_reader *r, uint32_t *ret, struct error *e)
{
	struct ttlv_item item;
	int rc = next_of(r, KMIP_TAG_OPERATION, &item, e);

	if (rc <= 0)
		return rc;
	rc = ttlv_enumeration(&item, ret, e);
	return rc < 0 ? rc : 1;
}

int kmip_get_vendor(const struct ttlv_reader *payload, char ret[KMIP_TEXT_SIZE], struct error *e)
{
	struct ttlv_item item;
	int r;

	r = ttlv_find(payload, KMIP_TAG_VENDOR_IDENTIFICATION, &item, e);
	if (r > 0)
		return ttlv_text(&item, ret, KMIP_TEXT_SIZE, e);
	if (r == 0)
		ret[0] = '\0';
	return r;
}
