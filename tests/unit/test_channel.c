// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The channel's messages: one of each form as the text of channel.h has it, and everything around
 * them that is none.
 */
#include "unit.h"

#include "common/channel.h"
#include "common/json.h"
#include "crypto/box.h"
#include "crypto/locator.h"
#include "crypto/wrap.h"
#include "vmcrypt.h"

#define U	"\"01234567-89ab-cdef-0123-456789abcdef\""
#define B32	"\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\""
#define B80	"\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4" \
		"OTo7PD0+P0BBQkNERUZHSElKS0xNTk8=\""
#define KEY	"{\"provider\":" U ",\"provider_name\":\"kms\",\"key\":\"k-1\",\"sealed\":" B80 "}"
#define PEM	"\"-----BEGIN X-----\\nAA==\\n-----END X-----\\n\""

struct example {
	enum channel_side from;
	const char *op;
	const char *args;
	const char *result;
};

static const struct example examples[] = {
	{ CHANNEL_HOST, "hello", "{\"version\":\"1.0\",\"name\":\"h1\",\"boot_id\":" U ",\"module\":null,"
	  "\"tpm\":true,\"public_key\":" B32 "}", "{\"host\":" U ",\"name\":\"h1\"}" },
	{ CHANNEL_HOST, "hello", "{\"version\":\"1.0\",\"name\":\"h1\",\"boot_id\":" U ",\"module\":\"1\","
	  "\"tpm\":false,\"public_key\":" B32 "}", "{\"host\":" U ",\"name\":\"h1\"}" },
	{ CHANNEL_HOST, "key.new", "{\"provider\":null,\"vm\":\"wéb 1\",\"disk\":\"vda\"}", KEY },
	{ CHANNEL_HOST, "key.get", "{\"provider\":" U ",\"key\":\"k-1\",\"vm\":null}", KEY },
	{ CHANNEL_HOST, "disk.report", "{\"disks\":[{\"dek\":" U ",\"vm\":null,\"disk\":\"vda\","
	  "\"state\":\"loaded\",\"attached\":true,\"keys\":[{\"provider\":" U ",\"key\":\"k\"}]}],"
	  "\"more\":false}", "{}" },
	{ CHANNEL_HOST, "cert.renew", "{\"csr\":" PEM "}", "{\"certificate\":" PEM "}" },
	{ CHANNEL_MANAGER, "mode.set", "{\"mode\":\"pending-incapable\"}", "{}" },
	{ CHANNEL_MANAGER, "provider.set", "{\"providers\":[{\"uuid\":" U ",\"name\":\"kms\","
	  "\"type\":\"standard\",\"default\":true}]}", "{}" },
	{ CHANNEL_MANAGER, "key.push", "{\"keys\":[" KEY "," KEY "]}",
	  "{\"refused\":[{\"provider\":" U ",\"key\":\"k\",\"text\":\"does not open\"}]}" },
	{ CHANNEL_MANAGER, "key.remove", "{\"provider\":" U ",\"key\":\"k\"}", "{}" },
	{ CHANNEL_MANAGER, "key.probe", "{\"key\":" KEY ",\"nonce\":" B32 "}",
	  "{\"iv\":\"AAAAAAAAAAAAAAAA\",\"ciphertext\":" B32 ",\"tag\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}" },
	{ CHANNEL_MANAGER, "kdk.push", "{\"provider\":" U ",\"name\":\"native1\","
	  "\"created\":\"2026-11-24T12:00:00Z\",\"require_tpm\":true,\"default\":false,"
	  "\"sealed\":" B80 "}", "{\"sealed\":true}" },
	{ CHANNEL_MANAGER, "provider.remove", "{\"provider\":" U ",\"kept\":true}", "{}" },
	{ CHANNEL_MANAGER, "host.removed", "{}", "{}" },
	{ CHANNEL_MANAGER, "run", "{\"op\":\"disk.list\",\"args\":{},\"user\":\"root\"}", "{\"disks\":[]}" },
};

static struct error e;

static json_t *load(const char *text)
{
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(json);
	return json;
}

typedef int check_fn(enum channel_side from, const char *op, const json_t *body, struct error *e);

/* Every member taken away, given another type, and joined by one that is unknown. */
static void spoil(check_fn *check, const struct example *x, json_t *root, json_t *object)
{
	size_t count = json_object_size(object);

	json_object_set_new(object, "zz", json_null());
	assert_int_equal(check(x->from, x->op, root, &e), -EBADMSG);
	json_object_del(object, "zz");

	/* What is set again goes to the end: the first one is another one each time. */
	for (size_t i = 0; i < count; i++) {
		void *first = json_object_iter(object);
		json_t *keep = json_incref(json_object_iter_value(first));
		char *copy = strdup(json_object_iter_key(first));

		json_object_del(object, copy);
		assert_int_equal(check(x->from, x->op, root, &e), -EBADMSG);
		json_object_set_new(object, copy, json_integer(7));
		assert_int_equal(check(x->from, x->op, root, &e), -EBADMSG);
		unit_speaks(&e, copy);
		json_object_set_new(object, copy, json_string(""));
		/* An empty text is one; an empty key, base64, UUID or flag is not. */
		if (!json_is_string(keep) || strcmp(copy, "key") == 0 || strcmp(copy, "sealed") == 0)
			if (!json_is_null(keep) || strcmp(copy, "provider") == 0)
				assert_int_equal(check(x->from, x->op, root, &e), -EBADMSG);
		json_object_set_new(object, copy, keep);
		free(copy);
		assert_int_equal(check(x->from, x->op, root, &e), 0);
	}
}

static void spoil_deep(check_fn *check, const struct example *x, json_t *root, json_t *object)
{
	const char *name;
	json_t *value, *element;
	size_t i;

	spoil(check, x, root, object);
	json_object_foreach(object, name, value)
		json_array_foreach(value, i, element)
			spoil_deep(check, x, root, element);
}

static void takes_what_is_written_and_nothing_else(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		const struct example *x = &examples[i];
		enum channel_side other = x->from == CHANNEL_HOST ? CHANNEL_MANAGER : CHANNEL_HOST;
		_cleanup_json_ json_t *args = load(x->args), *result = load(x->result), *no = json_array();

		assert_int_equal(channel_check_args(x->from, x->op, args, &e), 0);
		assert_int_equal(channel_check_result(x->from, x->op, result, &e), 0);
		assert_int_equal(channel_check_args(other, x->op, args, &e), -EOPNOTSUPP);
		assert_int_equal(channel_check_result(other, x->op, result, &e), -EOPNOTSUPP);
		assert_int_equal(channel_check_args(x->from, x->op, no, &e), -EBADMSG);
		assert_int_equal(channel_check_result(x->from, x->op, no, &e), -EBADMSG);
		spoil_deep(channel_check_args, x, args, args);
		if (strcmp(x->op, "run") != 0)
			spoil_deep(channel_check_result, x, result, result);
	}
}

static void bounds_values(void **state)
{
	static const struct { const char *op, *args; } bad[] = {
		{ "mode.set", "{\"mode\":\"Safe\"}" },
		{ "key.probe", "{\"key\":null,\"nonce\":" B32 "}" },
		{ "key.probe", "{\"key\":{\"provider\":" U "},\"nonce\":" B32 "}" },
		{ "key.probe", "{\"nonce\":" B32 "}" },
		{ "key.remove", "{\"provider\":" U ",\"key\":\"a b\"}" },
		{ "key.remove", "{\"provider\":" U ",\"key\":\"\"}" },
		{ "key.remove", "{\"provider\":" U ",\"key\":\"\\u00e9\"}" },
		{ "key.remove", "{\"provider\":\"01234567-89AB-cdef-0123-456789abcdef\",\"key\":\"k\"}" },
		{ "run", "{\"op\":\"x\",\"args\":{},\"user\":\"a\\nb\"}" },
		{ "run", "{\"op\":\"x\",\"args\":{},\"user\":\"a\\u007fb\"}" },
		{ "run", "{\"op\":\"x\",\"args\":[],\"user\":\"a\"}" },
		{ "provider.set", "{\"providers\":[{\"uuid\":" U ",\"name\":\"kms\",\"type\":\"native\","
		  "\"default\":true}]}" },
		{ "provider.set", "{\"providers\":[17]}" },
		{ "key.push", "{\"keys\":[{\"provider\":" U ",\"provider_name\":\"kms\",\"key\":\"k\","
		  "\"sealed\":" B32 "}]}" },
	};
	_cleanup_json_ json_t *list = json_array(), *args = NULL;
	char word[CHANNEL_WORD_MAX + 2];

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_json_ json_t *json = load(bad[i].args);

		if (channel_check_args(CHANNEL_MANAGER, bad[i].op, json, &e) != -EBADMSG)
			fail_msg("taken: %s", bad[i].args);
	}

	for (size_t i = 0; i < CHANNEL_LIST_MAX; i++)
		json_array_append_new(list, load(KEY));
	args = json_pack("{s:O}", "keys", list);
	assert_int_equal(channel_check_args(CHANNEL_MANAGER, "key.push", args, &e), 0);
	json_array_append_new(list, load(KEY));
	assert_int_equal(channel_check_args(CHANNEL_MANAGER, "key.push", args, &e), -EBADMSG);

	memset(word, 'k', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	for (size_t cut = 1; cut <= 2; cut++) {
		_cleanup_json_ json_t *json = json_pack("{s:s, s:s%}", "provider",
			"01234567-89ab-cdef-0123-456789abcdef", "key", word, sizeof(word) - cut);

		assert_int_equal(channel_check_args(CHANNEL_MANAGER, "key.remove", json, &e),
				 cut == 1 ? -EBADMSG : 0);
	}
}

static void goes_there_and_back(void **state)
{
	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		const struct example *x = &examples[i];
		_cleanup_json_ json_t *args = load(x->args), *result = load(x->result);
		_cleanup_channel_frame_ struct channel_frame asked = { .json = NULL };
		_cleanup_channel_frame_ struct channel_frame answered = { .json = NULL };
		_cleanup_free_ char *request = NULL, *answer = NULL;
		size_t size;

		assert_int_equal(channel_build_request(x->from, i, x->op, args, &request, &size, &e), 0);
		assert_int_equal(size, strlen(request));
		assert_int_equal(channel_parse(request, size, &asked, &e), 0);
		assert_int_equal(asked.kind, CHANNEL_REQUEST);
		assert_int_equal(asked.id, i);
		assert_string_equal(asked.op, x->op);
		assert_true(json_equal(asked.body, args));

		assert_int_equal(channel_build_answer(x->from, CHANNEL_ID_MAX, x->op, result, &answer, &size,
						      &e), 0);
		assert_int_equal(channel_parse(answer, size, &answered, &e), 0);
		assert_int_equal(answered.kind, CHANNEL_ANSWER);
		assert_int_equal(answered.id, CHANNEL_ID_MAX);
		assert_true(json_equal(answered.body, result));
	}
}

static void failure_there_and_back(const struct channel_failure *from, struct channel_failure *ret)
{
	_cleanup_channel_frame_ struct channel_frame frame = { .json = NULL };
	_cleanup_free_ char *text = NULL;
	size_t size;

	assert_int_equal(channel_build_failure(5, from, &text, &size, &e), 0);
	assert_int_equal(channel_parse(text, size, &frame, &e), 0);
	assert_int_equal(frame.kind, CHANNEL_FAILURE);
	assert_int_equal(frame.id, 5);
	*ret = frame.failure;
}

static void carries_failures(void **state)
{
	struct channel_failure from = { .key_reason = "KeyStateNotActiveOrEnabled" }, to;

	(void) state;
	error_set(&from.error, ENOKEY, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE, "Key \"k\" is off");
	failure_there_and_back(&from, &to);
	assert_int_equal(to.error.code, -ENOKEY);
	assert_int_equal(to.error.status, EXIT_NO_KEY);
	assert_int_equal(to.error.reason, VMCRYPT_REASON_UNAVAILABLE);
	assert_string_equal(to.error.text, "Key \"k\" is off");
	assert_string_equal(to.key_reason, "KeyStateNotActiveOrEnabled");

	/* No reasons; bytes that are no UTF-8; a key_reason that nobody knows. */
	from = (struct channel_failure) { .key_reason = "Nonsense" };
	error_fail(&from.error, EACCES, "caf\xe9");
	failure_there_and_back(&from, &to);
	assert_int_equal(to.error.code, -EACCES);
	assert_int_equal(to.error.reason, 0);
	assert_string_equal(to.error.text, "caf?");
	assert_string_equal(to.key_reason, "");

	/* A failure never comes out as none. */
	from = (struct channel_failure) { .key_reason = "" };
	failure_there_and_back(&from, &to);
	assert_true(error_is_set(&to.error));
	assert_int_equal(to.error.status, EXIT_FAILED);
	assert_false(channel_key_reason_valid(""));
}

static void must_refuse(const char *text, size_t size, int code)
{
	struct channel_frame frame = { .id = 99 };

	e = ERROR_NULL;
	if (channel_parse(text, size, &frame, &e) != code)
		fail_msg("parsed otherwise: %.80s", text);
	assert_true(error_is_set(&e));
	assert_int_equal(frame.id, 99);
	assert_null(frame.json);
}

static void refuses_other_frames(void **state)
{
	static const char *const bad[] = {
		"", "{}", "[]", "7", "null", "{\"id\":1}", "{\"op\":\"hello\",\"args\":{}}",
		"{\"id\":-1,\"op\":\"a\",\"args\":{}}", "{\"id\":1.0,\"op\":\"a\",\"args\":{}}",
		"{\"id\":9007199254740993,\"op\":\"a\",\"args\":{}}", "{\"id\":1,\"op\":\"a\"}",
		"{\"id\":null,\"op\":\"a\",\"args\":{}}", "{\"id\":1,\"op\":\"a\",\"args\":[]}",
		"{\"id\":1,\"op\":\"a\",\"args\":{},\"x\":1}", "{\"id\":1,\"id\":1,\"op\":\"a\",\"args\":{}}",
		"{\"id\":1,\"op\":7,\"args\":{}}", "{\"id\":1,\"op\":\"a\",\"args\":{}} {}",
		"{\"id\":1,\"ok\":true}", "{\"id\":1,\"ok\":1,\"result\":{}}", "{\"id\":1,\"ok\":false}",
		"{\"id\":1,\"ok\":true,\"result\":{},\"error\":{}}", "{\"id\":1,\"ok\":true,\"result\":null}",
		"{\"id\":1,\"ok\":true,\"result\":{},\"op\":\"a\"}",
		"{\"id\":1,\"ok\":false,\"error\":{}}",
		"{\"id\":1,\"ok\":false,\"result\":{},\"error\":{\"status\":1,\"errno\":\"EIO\",\"reason\":null,"
		"\"key_reason\":null,\"text\":\"t\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":0,\"errno\":\"EIO\",\"reason\":null,"
		"\"key_reason\":null,\"text\":\"t\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":5,\"errno\":\"EIO\",\"reason\":null,"
		"\"key_reason\":null,\"text\":\"t\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":1,\"errno\":\"EIO\",\"reason\":\"other\","
		"\"key_reason\":null,\"text\":\"t\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":1,\"errno\":\"EIO\",\"reason\":null,"
		"\"key_reason\":\"KeyState\",\"text\":\"t\"}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":1,\"errno\":\"EIO\",\"text\":\"t\"}}",
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		must_refuse(bad[i], strlen(bad[i]), -EBADMSG);
	must_refuse("{\"id\":1,\"op\":\"a\0b\",\"args\":{}}", 29, -EBADMSG);
}

static void refuses_large_and_deep(void **state)
{
	_cleanup_free_ char *text = malloc(CHANNEL_FRAME_MAX + 1);
	_cleanup_free_ char *built = NULL;
	_cleanup_json_ json_t *args = NULL;
	struct channel_frame frame;
	size_t size;

	(void) state;
	memset(text, ' ', CHANNEL_FRAME_MAX + 1);
	memcpy(text, "{\"id\":1,\"op\":\"a\",\"args\":{}}", 27);
	must_refuse(text, CHANNEL_FRAME_MAX + 1, -EFBIG);
	assert_int_equal(channel_parse(text, CHANNEL_FRAME_MAX, &frame, &e), 0);
	channel_frame_done(&frame);
	channel_frame_done(NULL);

	memset(text, '[', CHANNEL_FRAME_MAX);
	memcpy(text, "{\"id\":1,\"op\":\"a\",\"args\":", 24);
	must_refuse(text, CHANNEL_FRAME_MAX, -EBADMSG);

	memset(text, 'x', CHANNEL_FRAME_MAX);
	args = json_pack("{s:s, s:{s:s%}, s:s}", "op", "x", "args", "big", text, CHANNEL_FRAME_MAX, "user",
			 "u");
	assert_int_equal(channel_build_request(CHANNEL_MANAGER, 1, "run", args, &built, &size, &e), -EFBIG);
	assert_null(built);
}

static void does_not_send_what_would_be_refused(void **state)
{
	_cleanup_json_ json_t *empty = json_object();
	char *text = NULL;
	size_t size;

	(void) state;
	assert_int_equal(channel_build_request(CHANNEL_HOST, 1, "hello", empty, &text, &size, &e), -EBADMSG);
	assert_int_equal(channel_build_request(CHANNEL_HOST, 1, "run", empty, &text, &size, &e),
			 -EOPNOTSUPP);
	assert_int_equal(channel_build_answer(CHANNEL_HOST, 1, "hello", empty, &text, &size, &e), -EBADMSG);
	assert_null(text);
}

/* Whatever comes: an answer and no more, as the sanitizers see it. */
static void survives_garbage(void **state)
{
	unsigned int seed = 1;

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		_cleanup_json_ json_t *args = load(examples[i].args);
		_cleanup_free_ char *text = NULL;
		size_t size;

		assert_int_equal(channel_build_request(examples[i].from, 1, examples[i].op, args, &text, &size,
						       &e), 0);
		for (size_t cut = 0; cut < size; cut++)
			must_refuse(text, cut, -EBADMSG);
		for (int round = 0; round < 400; round++) {
			_cleanup_channel_frame_ struct channel_frame frame = { .json = NULL };
			_cleanup_free_ char *bent = malloc(size);

			memcpy(bent, text, size);
			for (int n = 0; n <= round % 3; n++)
				bent[(size_t) rand_r(&seed) % size] = (char) rand_r(&seed);
			if (channel_parse(bent, size, &frame, &e) == 0 && frame.kind == CHANNEL_REQUEST)
				(void) channel_check_args(examples[i].from, frame.op, frame.body, &e);
		}
	}
}

/* The sizes that common may not learn from crypto. */
static void sizes_agree(void **state)
{
	(void) state;
	assert_int_equal(CHANNEL_SEALED_SIZE, KEK_SIZE + BOX_OVERHEAD);
	assert_int_equal(CHANNEL_PUBLIC_KEY_SIZE, BOX_KEY_SIZE);
	assert_int_equal(CHANNEL_WORD_MAX, KEY_ID_MAX);
	assert_int_equal(CHANNEL_TEXT_MAX, LABEL_MAX);
}

static void words_of_errors(void **state)
{
	(void) state;
	for (uint32_t reason = 1; reason <= VMCRYPT_REASON_INTERNAL; reason++)
		assert_int_equal(error_reason_from_word(error_reason_word(reason)), reason);
	assert_null(error_reason_word(0));
	assert_null(error_reason_word(77));
	assert_int_equal(error_reason_from_word(""), 0);
	assert_int_equal(error_code_from_name("ENOKEY"), ENOKEY);
	assert_int_equal(error_code_from_name("EUNKNOWN"), 0);
	assert_int_equal(error_code_from_name(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_written_and_nothing_else),
		cmocka_unit_test(bounds_values),
		cmocka_unit_test(goes_there_and_back),
		cmocka_unit_test(carries_failures),
		cmocka_unit_test(refuses_other_frames),
		cmocka_unit_test(refuses_large_and_deep),
		cmocka_unit_test(does_not_send_what_would_be_refused),
		cmocka_unit_test(survives_garbage),
		cmocka_unit_test(sizes_agree),
		cmocka_unit_test(words_of_errors),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
