// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/channel.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

#define WHAT		"message of the channel"
#define WHAT_ERROR	"failure of the channel"
#define OP_MAX		64	/* bytes */
#define REASON_MAX	32	/* bytes */

static const char *const key_reasons[] = {
	"KeyStateMissingInCache", "KeyStateClusterInvalid", "KeyStateClusterUnreachable",
	"KeyStateMissingInKMS", "KeyStateNotActiveOrEnabled", "KeyStateManagedByTrustAuthority",
	"KeyStateManagedByNKP", "NoPermissionToAccessKeyProvider", "WrappingKeyMissingInKMS",
	"WrappingKeyNotActiveOrEnabled",
};

bool channel_key_reason_valid(const char *key_reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(key_reasons); i++)
		if (strcmp(key_reasons[i], key_reason) == 0)
			return true;
	return false;
}

void channel_frame_done(struct channel_frame *frame)
{
	if (!frame)
		return;
	json_decref(frame->json);
	*frame = (struct channel_frame) { .json = NULL };
}

static int bad_error(struct error *e, const char *name, const char *why)
{
	return error_fail(e, EBADMSG, "The " WHAT_ERROR " is not valid: \"%s\" %s", name, why);
}

static int parse_reasons(const json_t *error, struct channel_failure *ret, struct error *e)
{
	const char *reason, *key_reason;
	int r;

	if (!json_is_null(json_object_get(error, "reason"))) {
		r = json_get_string(error, WHAT_ERROR, "reason", REASON_MAX, &reason, e);
		if (r < 0)
			return r;
		ret->error.reason = error_reason_from_word(reason);
		if (ret->error.reason == 0)
			return bad_error(e, "reason", "is unknown");
	}
	if (json_is_null(json_object_get(error, "key_reason")))
		return 0;
	r = json_get_string(error, WHAT_ERROR, "key_reason", CHANNEL_KEY_REASON_SIZE - 1, &key_reason,
			    e);
	if (r < 0)
		return r;
	if (!channel_key_reason_valid(key_reason))
		return bad_error(e, "key_reason", "is unknown");
	memcpy(ret->key_reason, key_reason, strlen(key_reason) + 1);
	return 0;
}

static int parse_failure(const json_t *frame, struct channel_failure *ret, struct error *e)
{
	static const char *const known[] = {
		"status", "errno", "reason", "key_reason", "text", NULL
	};
	const char *name, *text;
	uint64_t status;
	json_t *error;
	int r;

	r = json_get_object(frame, WHAT, "error", &error, e);
	if (r == 0)
		r = json_check_keys(error, WHAT_ERROR, known, e);
	if (r == 0)
		r = json_get_uint(error, WHAT_ERROR, "status", EXIT_NOT_ALLOWED, &status, e);
	if (r == 0)
		r = json_get_string(error, WHAT_ERROR, "errno", REASON_MAX, &name, e);
	if (r == 0)
		r = json_get_string(error, WHAT_ERROR, "text", ERROR_TEXT_SIZE - 1, &text, e);
	if (r == 0)
		r = parse_reasons(error, ret, e);
	if (r != 0)
		return r;
	if (status == EXIT_DONE)
		return bad_error(e, "status", "says that it was done");
	/* A name that only the other side's system has is a failure all the same. */
	error_set(&ret->error, error_code_from_name(name), (enum exit_status) status,
		  ret->error.reason, "%s", text);
	return 0;
}

static int parse_answer(struct channel_frame *frame, struct error *e)
{
	static const char *const done[] = { "id", "ok", "result", NULL };
	static const char *const failed[] = { "id", "ok", "error", NULL };
	bool ok;
	int r;

	r = json_get_bool(frame->json, WHAT, "ok", &ok, e);
	if (r < 0)
		return r;
	frame->kind = ok ? CHANNEL_ANSWER : CHANNEL_FAILURE;
	r = json_check_keys(frame->json, WHAT, ok ? done : failed, e);
	if (r < 0)
		return r;
	return ok ? json_get_object(frame->json, WHAT, "result", &frame->body, e) :
		    parse_failure(frame->json, &frame->failure, e);
}

static int parse_request(struct channel_frame *frame, struct error *e)
{
	static const char *const known[] = { "id", "op", "args", NULL };
	int r;

	frame->kind = CHANNEL_REQUEST;
	r = json_check_keys(frame->json, WHAT, known, e);
	if (r == 0)
		r = json_get_string(frame->json, WHAT, "op", OP_MAX, &frame->op, e);
	if (r == 0)
		r = json_get_object(frame->json, WHAT, "args", &frame->body, e);
	return r;
}

int channel_parse(const char *text, size_t size, struct channel_frame *ret, struct error *e)
{
	_cleanup_channel_frame_ struct channel_frame frame = { .json = NULL };
	int r;

	r = json_parse(text, size, CHANNEL_FRAME_MAX, WHAT, &frame.json, e);
	if (r == 0)
		r = json_get_uint(frame.json, WHAT, "id", CHANNEL_ID_MAX, &frame.id, e);
	if (r == 0)
		r = json_has(frame.json, "ok") ? parse_answer(&frame, e) : parse_request(&frame, e);
	if (r < 0)
		return r;
	*ret = frame;
	frame.json = NULL;
	return 0;
}

/* Takes @frame over; NULL: it could not be made. */
static int format(json_t *frame, char **ret, size_t *ret_size, struct error *e)
{
	_cleanup_json_ json_t *owned = frame;
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (!owned)
		return error_oom(e);
	r = json_format(owned, &text, &size, e);
	if (r < 0)
		return r;
	if (size > CHANNEL_FRAME_MAX)
		return error_fail(e, EFBIG, "A message of %zu bytes is too large for the channel: at most "
				  "%zu can be sent at once", size, CHANNEL_FRAME_MAX);
	*ret = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

int channel_build_request(enum channel_side from, uint64_t id, const char *op, json_t *args,
			  char **ret, size_t *ret_size, struct error *e)
{
	int r;

	r = channel_check_args(from, op, args, e);
	if (r < 0)
		return r;
	return format(json_pack("{s:I, s:s, s:O}", "id", (json_int_t) id, "op", op, "args", args), ret,
		      ret_size, e);
}

int channel_build_answer(enum channel_side from, uint64_t id, const char *op, json_t *result,
			 char **ret, size_t *ret_size, struct error *e)
{
	int r;

	r = channel_check_result(from, op, result, e);
	if (r < 0)
		return r;
	return format(json_pack("{s:I, s:b, s:O}", "id", (json_int_t) id, "ok", 1, "result", result),
		      ret, ret_size, e);
}

int channel_build_failure(uint64_t id, const struct channel_failure *failure, char **ret,
			  size_t *ret_size, struct error *e)
{
	const struct error *why = &failure->error;
	bool known = channel_key_reason_valid(failure->key_reason);

	return format(json_pack("{s:I, s:b, s:{s:i, s:s, s:s?, s:s?, s:o}}", "id", (json_int_t) id,
				"ok", 0, "error", "status",
				why->status == EXIT_DONE ? EXIT_FAILED : (int) why->status,
				"errno", error_name(why->code),
				"reason", error_reason_word(why->reason),
				"key_reason", known ? failure->key_reason : NULL,
				"text", json_string_printable(why->text)),
		      ret, ret_size, e);
}
