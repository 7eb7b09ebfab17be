// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Requests as bytes. Called with a word, the program is the codec's hand for
 * test_kmip_oasis.py: "encode" makes messages out of descriptions in JSON.
 */
#include "oasis.h"

#define HEADER_11 "42007701000000384200690100000020" "42006a0200000004000000010000000042006b02000000040000000100000000" \
		  "42000d02000000040000000100000000"

static void assert_message(const struct kmip_options *options, const struct kmip_request *requests,
			   size_t n, const char *wanted)
{
	_cleanup_secret_ struct secret message = SECRET_NULL;
	_cleanup_free_ char *hex = NULL;
	struct error e = ERROR_NULL;

	assert_int_equal(kmip_encode(options, requests, n, &message, &e), 0);
	hex = malloc(2 * message.size + 1);
	assert_non_null(hex);
	hex_encode(message.data, message.size, hex);
	assert_string_equal(hex, wanted);
}

static struct kmip_attribute numbered(const char *name, int64_t number)
{
	struct kmip_attribute a;

	assert_int_equal(kmip_attribute_named(name, &a, NULL), 0);
	a.number = number;
	return a;
}

static struct kmip_attribute worded(const char *name, const char *text)
{
	struct kmip_attribute a;

	assert_int_equal(kmip_attribute_named(name, &a, NULL), 0);
	snprintf(a.text, sizeof(a.text), "%s", text);
	return a;
}

/* Recorded from vCenter 7.0.3, so that a key server set up for it needs no more. */
static void discovers_as_vcenter(void **state)
{
	const struct kmip_options options = { .version = { 1, 1 } };
	const struct kmip_request request = { .operation = KMIP_DISCOVER_VERSIONS };

	(void) state;
	assert_message(&options, &request, 1,
		"4200780100000060" HEADER_11 "42000f010000001842005c05000000040000001e00000000" "4200790100000000");
}

static void creates_as_vcenter(void **state)
{
	const struct kmip_options options = { .version = { 1, 1 } };
	const struct kmip_attribute attributes[] = {
		numbered("Cryptographic Algorithm", KMIP_AES),
		numbered("Cryptographic Usage Mask", KMIP_USAGE_ENCRYPT | KMIP_USAGE_DECRYPT),
		numbered("Cryptographic Length", 256),
	};
	const struct kmip_request request = {
		.operation = KMIP_CREATE,
		.object_type = KMIP_SYMMETRIC_KEY,
		.attributes = attributes,
		.n_attributes = ARRAY_SIZE(attributes),
	};

	(void) state;
	assert_message(&options, &request, 1,
		"42007801000001204200770100000038420069010000002042006a0200000004"
		"000000010000000042006b0200000004000000010000000042000d0200000004"
		"000000010000000042000f01000000d842005c05000000040000000100000000"
		"42007901000000c04200570500000004000000020000000042009101000000a8"
		"420008010000003042000a070000001743727970746f6772617068696320416c"
		"676f726974686d0042000b050000000400000003000000004200080100000030"
		"42000a070000001843727970746f677261706869632055736167" "65204d61736b"
		"42000b02000000040000000c00000000420008010000003042000a0700000014"
		"43727970746f67726170686963204c656e6774680000000042000b0200000004"
		"0000010000000000");
}

/* Written by hand from KMIP 2.1 sections 6.1.5 and 4.57. */
static void creates_in_2(void **state)
{
	const struct kmip_options options = { .version = { 2, 1 } };
	const struct kmip_attribute attributes[] = {
		numbered("Cryptographic Length", 256), worded("Name", "kek"), worded("x-Vendor", "V"),
	};
	const struct kmip_request request = {
		.operation = KMIP_CREATE,
		.object_type = KMIP_SYMMETRIC_KEY,
		.attributes = attributes,
		.n_attributes = ARRAY_SIZE(attributes),
	};

	(void) state;
	assert_message(&options, &request, 1,
		"42007801000000e8" "4200770100000038" "4200690100000020"
		"42006a02000000040000000200000000" "42006b02000000040000000100000000"
		"42000d02000000040000000100000000"
		"42000f01000000a0" "42005c05000000040000000100000000" "4200790100000088"
		"42005705000000040000000200000000" "4201250100000070"
		"42002a02000000040000010000000000"
		"4200530100000020" "42005507000000036b656b0000000000" "42005405000000040000000100000000"
		"4200080100000030" "42009d07000000017800000000000000"
		"42000a070000000656656e646f720000" "42000b07000000015600000000000000");
}

static void references_in_2(void **state)
{
	const struct kmip_options options = { .version = { 2, 0 } };
	const struct kmip_attribute names[] = { numbered("State", 0), worded("x-Vendor", "") };
	const struct kmip_request request = {
		.operation = KMIP_GET_ATTRIBUTES,
		.id = "7",
		.attributes = names,
		.n_attributes = ARRAY_SIZE(names),
	};

	(void) state;
	assert_message(&options, &request, 1,
		"42007801000000a8" "4200770100000038" "4200690100000020"
		"42006a02000000040000000200000000" "42006b02000000040000000000000000"
		"42000d02000000040000000100000000"
		"42000f0100000060" "42005c05000000040000000b00000000" "4200790100000048"
		"42009407000000013700000000000000" "42013b05000000040042008d00000000"
		"42013b0100000020" "42009d07000000017800000000000000"
		"42000a070000000656656e646f720000");
}

static void sends_credential(void **state)
{
	_cleanup_secret_ struct secret password = unit_password("pass");
	const struct kmip_options options = {
		.version = { 1, 2 }, .user = "u", .password = &password, .maximum_response = 4096,
	};
	const struct kmip_request request = { .operation = KMIP_ACTIVATE, .id = "1" };

	(void) state;
	assert_message(&options, &request, 1,
		"42007801000000c8" "4200770100000090" "4200690100000020"
		"42006a02000000040000000100000000" "42006b02000000040000000200000000"
		"42005002000000040000100000000000"
		"42000c0100000040" "4200230100000038" "42002405000000040000000100000000"
		"4200250100000020" "42009907000000017500000000000000" "4200a107000000047061737300000000"
		"42000d02000000040000000100000000"
		"42000f0100000028" "42005c05000000040000001200000000" "4200790100000010"
		"42009407000000013100000000000000");
}

static void numbers_batches(void **state)
{
	const struct kmip_options options = { .version = { 1, 0 }, .ordered = true };
	const struct kmip_request requests[] = {
		{ .operation = KMIP_REKEY, .id = "1" }, { .operation = KMIP_DESTROY },
	};

	(void) state;
	assert_message(&options, requests, 2,
		"42007801000000c0" "4200770100000048" "4200690100000020"
		"42006a02000000040000000100000000" "42006b02000000040000000000000000"
		"42001006000000080000000000000001" "42000d02000000040000000200000000"
		"42000f0100000038" "42005c05000000040000000400000000" "4200930800000004766d000000000000"
		"4200790100000010" "42009407000000013100000000000000"
		"42000f0100000028" "42005c05000000040000001400000000" "4200930800000004766d000100000000"
		"4200790100000000");
}

/* KMIP 2.1 section 4.58: an identifier by its place in the answer. */
static void refers_in_2(void **state)
{
	const struct kmip_options options = { .version = { 2, 1 } }, first = { .version = { 1, 4 } };
	const int32_t before = -1;
	const struct kmip_request activate = { .operation = KMIP_ACTIVATE, .nth = &before };
	const struct kmip_request before_it = { .operation = KMIP_ACTIVATE, .reference = KMIP_PLACEHOLDER };
	const struct kmip_request both = { .operation = KMIP_ACTIVATE, .id = "1", .nth = &before };
	_cleanup_secret_ struct secret message = SECRET_NULL;
	struct error e = ERROR_NULL;

	(void) state;
	assert_message(&options, &activate, 1,
		"4200780100000070" "4200770100000038" "4200690100000020"
		"42006a02000000040000000200000000" "42006b02000000040000000100000000"
		"42000d02000000040000000100000000"
		"42000f0100000028" "42005c05000000040000001200000000" "4200790100000010"
		"4200940200000004ffffffff00000000");
	assert_int_equal(kmip_encode(&first, &activate, 1, &message, &e), -EINVAL);
	unit_speaks(&e, "that version 1.4 does not have");
	assert_int_equal(kmip_encode(&first, &before_it, 1, &message, &e), -EINVAL);
	assert_int_equal(kmip_encode(&options, &both, 1, &message, &e), -EINVAL);
}

static void refuses_what_lacks(void **state)
{
	const struct kmip_options options = { .version = { 1, 4 } }, strange = { .version = { 1, 5 } };
	const struct kmip_request lacking[] = {
		{ .operation = KMIP_CREATE }, { .operation = KMIP_REGISTER, .object_type = KMIP_SYMMETRIC_KEY },
		{ .operation = KMIP_ADD_ATTRIBUTE, .id = "1" }, { .operation = KMIP_REVOKE, .id = "1" },
		{ .operation = KMIP_QUERY }, { .operation = 0x99 },
	};
	const struct kmip_request good = { .operation = KMIP_GET, .id = "1" };
	_cleanup_secret_ struct secret message = SECRET_NULL;
	struct error e = ERROR_NULL;
	struct kmip_attribute a;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(lacking); i++)
		assert_int_equal(kmip_encode(&options, &lacking[i], 1, &message, &e), -EINVAL);
	assert_int_equal(kmip_encode(&strange, &good, 1, &message, &e), -EINVAL);
	unit_speaks(&e, "version 1.5");
	assert_int_equal(kmip_encode(&options, &good, 0, &message, &e), -EINVAL);
	assert_int_equal(kmip_encode(&options, &good, KMIP_BATCH_MAX + 1, &message, &e), -EINVAL);
	assert_null(message.data);
	assert_int_equal(kmip_attribute_named("Stat", &a, &e), -EINVAL);
	assert_int_equal(kmip_attribute_named("x-", &a, &e), -EINVAL);
}

/* The rest serves test_kmip_oasis.py. */

static int encode(const json_t *json)
{
	_cleanup_secret_ struct secret message = SECRET_NULL;
	const json_t *items = json_object_get(json, "items");
	struct kmip_options options = {
		.version = { (int32_t) number_in(json, "major"), (int32_t) number_in(json, "minor") },
		.ordered = json_is_true(json_object_get(json, "ordered")),
		.with_ids = json_is_true(json_object_get(json, "with_ids")),
	};
	static struct described d;
	struct error e = ERROR_NULL;
	size_t i, n = json_array_size(items);
	int r;

	if (n > KMIP_BATCH_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++)
		describe(json_array_get(items, i), &d, i);
	r = kmip_encode(&options, d.requests, n, &message, &e);
	described_done(&d);
	if (r < 0) {
		fprintf(stderr, "%s\n", e.text);
		return r;
	}
	for (i = 0; i < message.size; i++)
		printf("%02x", message.data[i]);
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(discovers_as_vcenter),
		cmocka_unit_test(creates_as_vcenter),
		cmocka_unit_test(creates_in_2),
		cmocka_unit_test(references_in_2),
		cmocka_unit_test(sends_credential),
		cmocka_unit_test(numbers_batches),
		cmocka_unit_test(refers_in_2),
		cmocka_unit_test(refuses_what_lacks),
	};

	if (argc == 2 && strcmp(argv[1], "encode") == 0)
		return each(stdin, encode);
	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
