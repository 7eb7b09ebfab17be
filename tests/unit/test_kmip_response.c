// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Answers of key servers. Called with the word "decode" the program reads
 * messages described in JSON for test_kmip_oasis.py and says what it found.
 */
#include "oasis.h"

#include "kmip/reason.h"
#include "vmcrypt.h"

#define VERSION_10 "4200690100000020" "42006a02000000040000000100000000" "42006b02000000040000000000000000"
#define COUNT_1 "42000d02000000040000000100000000"
#define HEADER "42007a0100000038" VERSION_10 COUNT_1
/* Activate: status 0, payload with the identifier "1" */
#define ITEM "42000f0100000038" "42005c05000000040000001200000000" "42007f05000000040000000000000000" \
	     "42007c0100000010" "42009407000000013100000000000000"

static const struct kmip_request activate = { .operation = KMIP_ACTIVATE, .id = "1" };

static int decode_hex(const char *hex, const struct kmip_request *requests, size_t n,
		      struct kmip_response *ret, struct secret *ret_message, struct error *e)
{
	*ret_message = unit_secret_hex(hex);
	return kmip_decode(ret_message, requests, n, n > 1, ret, e);
}

static void refused(const char *hex, const char *why)
{
	_cleanup_secret_ struct secret message = SECRET_NULL;
	struct kmip_response response;
	struct error e = ERROR_NULL;

	assert_int_equal(decode_hex(hex, &activate, 1, &response, &message, &e), -EBADMSG);
	unit_speaks(&e, why);
}

static void reads_success(void **state)
{
	_cleanup_secret_ struct secret message = SECRET_NULL;
	struct kmip_response response;
	struct error e = ERROR_NULL;
	char id[KMIP_ID_SIZE];

	(void) state;
	assert_int_equal(decode_hex("42007b0100000080" HEADER ITEM, &activate, 1, &response, &message, &e), 0);
	assert_int_equal(response.version.major, 1);
	assert_int_equal(kmip_succeeded(&response.results[0], KMIP_ACTIVATE, &e), 0);
	assert_int_equal(kmip_get_id(&response, 0, id, &e), 0);
	assert_string_equal(id, "1");
}

static void refuses_strange_answers(void **state)
{
	(void) state;
	refused("4200780100000080" HEADER ITEM, "not one response");
	refused("42007b0100000080" HEADER ITEM "4200010100000000", "not one response");
	refused("42007b0100000040" ITEM, "Response Header");
	refused("42007b0100000040" HEADER, "holds 0 results and says 1");
	refused("42007b01000000c0" HEADER ITEM ITEM, "Activate twice");
	refused("42007b0100000080" HEADER "42000f0100000038" "42005c05000000040000001300000000"
		"42007f05000000040000000000000000" "42007c0100000010" "42009407000000013100000000000000",
		"Activate was asked for, it answers Revoke");
	refused("42007b0100000060" HEADER "42000f0100000018" "42007f05000000040000000000000000"
		"42007c0100000000", "to which operation");
	refused("42007b0100000090" HEADER "42000f0100000048" "42005c05000000040000001200000000"
		"4200930800000004766d000100000000" "42007f05000000040000000000000000"
		"42007c0100000010" "42009407000000013100000000000000", "none was sent");
	refused("42007b0100000080" HEADER "42000f0100000038" "42005c02000000040000001200000000"
		"42007f05000000040000000000000000" "42007c0100000010" "42009407000000013100000000000000",
		"not enumeration");
}

/* PyKMIP's answer to a batch that it cannot read: version 1.0, nothing repeated. */
static void refusal_of_all(void **state)
{
	const struct kmip_request two[] = { activate, { .operation = KMIP_DESTROY, .id = "1" } };
	_cleanup_secret_ struct secret message = SECRET_NULL;
	struct kmip_response response;
	struct error e = ERROR_NULL;
	size_t i;

	(void) state;
	assert_int_equal(decode_hex("42007b0100000078" HEADER "42000f0100000030"
				    "42007f05000000040000000100000000" "42007e05000000040000000400000000"
				    "42007d07000000046f68206e00000000", two, 2, &response, &message, &e), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(kmip_succeeded(&response.results[i], two[i].operation, &e), -EPROTO);
		unit_speaks(&e, "Invalid Message (4), it says: oh n");
	}
}

/* Words that are none take nothing from the reason. */
static void reason_without_words(void **state)
{
	/* With a NUL, not UTF-8, and a number */
	static const char *const words[] = {
		"42007d07000000046f68006e00000000", "42007d0700000004ff68206e00000000",
		"42007d02000000040000000100000000",
	};
	char hex[512];
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		_cleanup_secret_ struct secret message = SECRET_NULL;
		struct kmip_response response;
		struct error e = ERROR_NULL;

		snprintf(hex, sizeof(hex), "%s%s", "42007b0100000078" HEADER "42000f0100000030"
			 "42007f05000000040000000100000000" "42007e05000000040000000100000000", words[i]);
		must(decode_hex(hex, &activate, 1, &response, &message, &e));
		assert_int_equal(kmip_succeeded(&response.results[0], KMIP_ACTIVATE, &e), -ENOKEY);
		unit_speaks(&e, "Item Not Found (1); ");
	}
}

/* The server may stop at a failure. */
static void stops_early(void **state)
{
	const struct kmip_request two[] = { activate, { .operation = KMIP_DESTROY, .id = "1" } };
	_cleanup_secret_ struct secret message = SECRET_NULL;
	struct kmip_response response;
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(decode_hex("42007b0100000088" HEADER "42000f0100000040"
				    "42005c05000000040000001200000000" "4200930800000004766d000000000000"
				    "42007f05000000040000000100000000" "42007e05000000040000000c00000000",
				    two, 2, &response, &message, &e), 0);
	assert_int_equal(kmip_succeeded(&response.results[0], KMIP_ACTIVATE, &e), -EACCES);
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
	assert_int_equal(e.reason, VMCRYPT_REASON_NOT_ALLOWED);
	assert_int_equal(kmip_succeeded(&response.results[1], KMIP_DESTROY, &e), -EPROTO);
	unit_speaks(&e, "did not come to Destroy");
}

static void reasons_of_both_generations(void **state)
{
	static const struct { uint32_t reason; int code; enum exit_status status; } cases[] = {
		{ 0x01, -ENOKEY, EXIT_NO_KEY }, { 0x37, -ENOKEY, EXIT_NO_KEY },
		{ 0x03, -EACCES, EXIT_NOT_ALLOWED }, { 0x39, -EACCES, EXIT_NOT_ALLOWED },
		{ 0x0d, -EKEYREJECTED, EXIT_NO_KEY }, { 0x43, -EKEYREJECTED, EXIT_NO_KEY },
		{ 0x05, -EOPNOTSUPP, EXIT_FAILED }, { 0x3f, -EOPNOTSUPP, EXIT_FAILED },
		{ 0x100, -EAGAIN, EXIT_NO_KEY }, { 0x2a, -EAGAIN, EXIT_NO_KEY },
		{ 0x07, -EPROTO, EXIT_FAILED }, { 0x3d, -EPROTO, EXIT_FAILED },
		{ 0, -EPROTO, EXIT_FAILED }, { 0xffffffff, -EPROTO, EXIT_FAILED },
	};
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error e = ERROR_NULL;

		assert_int_equal(kmip_refused("Get", cases[i].reason, "", &e), cases[i].code);
		assert_int_equal(e.status, cases[i].status);
		unit_speaks(&e, kmip_reason_name(cases[i].reason));
	}
}

static void custom_of_2(void **state)
{
	const struct kmip_version version = { 2, 1 };
	struct kmip_attribute wanted, found;
	struct error e = ERROR_NULL;
	struct ttlv_reader r;
	uint8_t bytes[96];

	(void) state;
	assert_int_equal(hex_decode("42009407000000013100000000000000" "4201250100000048"
				    "42008d05000000040000000200000000" "4200080100000030"
				    "42009d07000000017800000000000000" "42000a07000000015600000000000000"
				    "42000b07000000015700000000000000", bytes, sizeof(bytes)), 0);
	ttlv_reader_init(&r, bytes, sizeof(bytes));
	assert_int_equal(kmip_attribute_named("x-V", &wanted, &e), 0);
	assert_int_equal(kmip_find_attribute(&r, &version, &wanted, &found, &e), 1);
	assert_string_equal(found.text, "W");
	assert_int_equal(kmip_attribute_named("State", &wanted, &e), 0);
	assert_int_equal(kmip_find_attribute(&r, &version, &wanted, &found, &e), 1);
	assert_int_equal(found.number, KMIP_ACTIVE);
	assert_int_equal(kmip_attribute_named("Name", &wanted, &e), 0);
	assert_int_equal(kmip_find_attribute(&r, &version, &wanted, &found, &e), 0);
}

/* @hex: an item in the place of a second identifier; the first is "1", of a Create. */
static int refer(const char *hex, int32_t major, char ret[KMIP_ID_SIZE], struct error *e)
{
	static struct kmip_response response;
	uint8_t first[16], second[16];

	assert_int_equal(hex_decode("42009407000000013100000000000000", first, sizeof(first)), 0);
	assert_int_equal(hex_decode(hex, second, sizeof(second)), 0);
	response = (struct kmip_response) {
		.version = { major, 1 },
		.results = { { .operation = KMIP_CREATE }, { .operation = KMIP_ACTIVATE }, { .operation = KMIP_GET } },
	};
	ttlv_reader_init(&response.results[0].payload, first, sizeof(first));
	ttlv_reader_init(&response.results[1].payload, second, sizeof(second));
	return kmip_get_id(&response, 1, ret, e);
}

/* KMIP 2.1 section 4.58; a reference to itself, behind itself or to nothing is refused. */
static void refers_to_identifiers(void **state)
{
	static const char *const good[] = {
		"4200940200000004" "0000000000000000", "4200940200000004" "ffffffff00000000",
		"4200940500000004" "0000000100000000", "4200940500000004" "0000000300000000",
	};
	static const char *const bad[] = {
		"4200940200000004" "0000000100000000", "4200940200000004" "fffffffe00000000",
		"4200940200000004" "8000000000000000", "4200940200000004" "7fffffff00000000",
		"4200940500000004" "0000000d00000000", "4200940500000004" "0000000000000000",
	};
	char id[KMIP_ID_SIZE] = "";
	struct error e = ERROR_NULL;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		id[0] = '\0';
		assert_int_equal(refer(good[i], 2, id, &e), 0);
		assert_string_equal(id, "1");
		assert_int_equal(refer(good[i], 1, id, &e), -EBADMSG);
		unit_speaks(&e, "not text");
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		e = ERROR_NULL;
		assert_int_equal(refer(bad[i], 2, id, &e), -EBADMSG);
		unit_speaks(&e, "refers to one that is not there");
	}
}

/* The identifier among the attributes may be a reference; the rest is still read. */
static void reference_among_attributes(void **state)
{
	const struct kmip_version version = { 2, 1 };
	struct kmip_attribute found;
	struct error e = ERROR_NULL;
	struct ttlv_reader r;
	uint8_t bytes[32];

	(void) state;
	assert_int_equal(hex_decode("4200940500000004" "0000000100000000" "42008d0500000004" "0000000200000000",
				    bytes, sizeof(bytes)), 0);
	ttlv_reader_init(&r, bytes, sizeof(bytes));
	assert_int_equal(kmip_next_attribute(&r, &version, &found, &e), 1);
	assert_int_equal(found.kind, KMIP_KIND_ENUMERATION);
	assert_int_equal(kmip_next_attribute(&r, &version, &found, &e), 1);
	assert_int_equal(found.tag, KMIP_TAG_STATE);
	assert_int_equal(found.number, KMIP_ACTIVE);
}

static struct kmip_key wrapped_key(const char *hex, uint32_t mode, uint32_t encoding)
{
	return (struct kmip_key) {
		.material = unit_secret_hex(hex), .wrapped = true,
		.wrapping = { .mode = mode, .encoding = encoding },
	};
}

/* RFC 3394 section 4.1, RFC 5649 section 6. */
static void unwraps_as_the_rfcs(void **state)
{
	_cleanup_secret_ struct secret kek = unit_counting(16), padded = SECRET_NULL, plain = SECRET_NULL;
	_cleanup_secret_ struct secret pad_kek =
		unit_secret_hex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8");
	_cleanup_kmip_key_ struct kmip_key key =
		wrapped_key("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5", KMIP_NIST_KEY_WRAP, KMIP_NO_ENCODING);
	_cleanup_kmip_key_ struct kmip_key pad =
		wrapped_key("138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
			    KMIP_AES_KEY_WRAP_PADDING, KMIP_NO_ENCODING);
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(kmip_unwrap(&kek, &key, &plain, &e), 0);
	assert_int_equal(plain.size, 16);
	assert_memory_equal(plain.data, "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
	assert_int_equal(kmip_unwrap(&pad_kek, &pad, &padded, &e), 0);
	assert_int_equal(padded.size, 20);
	assert_memory_equal(padded.data, "\xc3\x7b\x7e\x64\x92\x58\x43\x40", 8);
}

/* A whole Key Value, wrapped by openssl enc -id-aes128-wrap. */
static void unwraps_encoded(void **state)
{
	_cleanup_secret_ struct secret kek = unit_counting(16), plain = SECRET_NULL;
	_cleanup_kmip_key_ struct kmip_key key =
		wrapped_key("a088ca48441c8a58895daa5345800268a05f3a46737132a701910dbf954d4a10179f4e82331d17ee",
			    KMIP_NIST_KEY_WRAP, 0);
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(kmip_unwrap(&kek, &key, &plain, &e), 0);
	assert_int_equal(plain.size, 16);
	assert_memory_equal(plain.data, "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
}

static void unwrap_refuses(void **state)
{
	_cleanup_secret_ struct secret kek = unit_counting(16), odd = unit_counting(17), plain = SECRET_NULL;
	_cleanup_kmip_key_ struct kmip_key key =
		wrapped_key("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5", KMIP_NIST_KEY_WRAP, 0);
	struct error e = ERROR_NULL;

	(void) state;
	/* It opens, but without an encoding said it must hold a Key Value. */
	assert_int_equal(kmip_unwrap(&kek, &key, &plain, &e), -EBADMSG);
	key.wrapping.encoding = KMIP_NO_ENCODING;
	kek.data[0] ^= 1;
	assert_int_equal(kmip_unwrap(&kek, &key, &plain, &e), -EKEYREJECTED);
	unit_speaks(&e, "another key, or is damaged");
	assert_int_equal(kmip_unwrap(&odd, &key, &plain, &e), -EINVAL);
	key.wrapping.mode = 1;
	assert_int_equal(kmip_unwrap(&kek, &key, &plain, &e), -EINVAL);
	key.wrapping.mode = KMIP_NIST_KEY_WRAP;
	secret_shrink(&key.material, 23);
	assert_int_equal(kmip_unwrap(&kek, &key, &plain, &e), -EBADMSG);
	key.wrapped = false;
	assert_int_equal(kmip_unwrap(&kek, &key, &plain, &e), -EINVAL);
	assert_null(plain.data);
}

/* The rest serves test_kmip_oasis.py. */

static int decode(const json_t *json)
{
	_cleanup_secret_ struct secret message =
		unit_secret_hex(json_string_value(json_object_get(json, "message")));
	const json_t *operations = json_object_get(json, "operations");
	struct kmip_request requests[KMIP_BATCH_MAX] = { { .id = NULL } };
	_cleanup_json_ json_t *results = json_array();
	struct kmip_response response;
	struct error e = ERROR_NULL;
	size_t i, n = json_array_size(operations);
	int r;

	if (n > KMIP_BATCH_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++)
		requests[i].operation = (uint32_t) json_integer_value(json_array_get(operations, i));
	r = kmip_decode(&message, requests, n, json_is_true(json_object_get(json, "with_ids")), &response, &e);
	for (i = 0; r == 0 && i < n; i++)
		r = add_result(&response, i, requests[i].operation, results, &e);
	if (r < 0)
		fprintf(stderr, "%s\n", e.text);
	else
		r = json_dumpf(results, stdout, JSON_COMPACT) < 0 || putchar('\n') == EOF ? -EIO : 0;
	return r;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_success),
		cmocka_unit_test(refuses_strange_answers),
		cmocka_unit_test(refusal_of_all),
		cmocka_unit_test(reason_without_words),
		cmocka_unit_test(stops_early),
		cmocka_unit_test(reasons_of_both_generations),
		cmocka_unit_test(custom_of_2),
		cmocka_unit_test(refers_to_identifiers),
		cmocka_unit_test(reference_among_attributes),
		cmocka_unit_test(unwraps_as_the_rfcs),
		cmocka_unit_test(unwraps_encoded),
		cmocka_unit_test(unwrap_refuses),
	};

	if (argc == 2 && strcmp(argv[1], "decode") == 0)
		return each(stdin, decode);
	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
