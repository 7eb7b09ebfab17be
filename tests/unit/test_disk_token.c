/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The token's text: one way to write it, and all others refused. */
#include "disk_fixture.h"
#include "common/json.h"
#include "disk/token.h"

#define HEAD	"{\"type\":\"vmcrypt\",\"keyslots\":[],\"version\":1,"
#define DEK	"\"dek\":\"1ea7f707-8b16-8e3b-bc0b-596a3bdd62bf\","
#define NAMES	"\"vm\":\"vm-1\",\"disk\":\"root\",\"created\":\"2026-01-31T12:00:00Z\","
#define PROVIDER "\"provider\":\"01010101-0101-4101-8101-010101010101\","
#define WRAP_REST "\"provider_name\":\"native\",\"alg\":\"A256GCM\",\"iv\":\"AAECAwQFBgcICQoL\"," \
		 "\"ciphertext\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"," \
		 "\"tag\":\"AAECAwQFBgcICQoLDA0ODw==\"}"
#define WRAP	"{" PROVIDER "\"key\":\"k1\"," WRAP_REST
#define GOOD	HEAD DEK NAMES "\"wraps\":[" WRAP "]}"

static void test_good(void **state)
{
	struct error e = ERROR_NULL;
	struct token t;

	(void) state;
	assert_int_equal(token_parse(GOOD, strlen(GOOD), &t, &e), 0);
	assert_string_equal(t.vm, "vm-1");
	assert_string_equal(t.disk, "root");
	assert_string_equal(t.created, "2026-01-31T12:00:00Z");
	assert_int_equal(t.dek[0], 0x1e);
	assert_int_equal(t.n_wraps, 1);
	assert_int_equal(t.wraps[0].ciphertext_size, 32);
	assert_int_equal(t.wraps[0].ciphertext[31], 31);
	assert_int_equal(t.wraps[0].tag[15], 15);
	assert_string_equal(t.wraps[0].locator.key_id, "k1");
}

static void test_build(void **state)
{
	_cleanup_free_ char *text = NULL, *again = NULL;
	struct error e = ERROR_NULL;
	struct token t, u;

	(void) state;
	assert_int_equal(token_parse(GOOD, strlen(GOOD), &t, &e), 0);
	t.wraps[1] = t.wraps[0];
	memcpy(t.wraps[1].locator.key_id, "k2", 3);
	t.n_wraps = 2;
	assert_int_equal(token_build(&t, &text, &e), 0);
	assert_int_equal(token_parse(text, strlen(text), &u, &e), 0);
	assert_int_equal(u.n_wraps, 2);
	assert_int_equal(token_find(&u, &t.wraps[1].locator), 1);
	assert_int_equal(token_build(&u, &again, &e), 0);
	assert_string_equal(text, again);
}

static void test_build_refuses(void **state)
{
	struct error e = ERROR_NULL;
	struct token good, t;
	char *text = NULL;

	(void) state;
	assert_int_equal(token_parse(GOOD, strlen(GOOD), &good, &e), 0);
	t = good;
	t.n_wraps = 0;
	assert_true(token_build(&t, &text, &e) < 0);
	t = good;
	t.wraps[1] = t.wraps[0];
	t.n_wraps = 2;
	assert_true(token_build(&t, &text, &e) < 0);
	t = good;
	memcpy(t.vm, "\xc3\x28", 3);
	assert_true(token_build(&t, &text, &e) < 0);
	t = good;
	memcpy(t.created, "yesterday", 10);
	assert_true(token_build(&t, &text, &e) < 0);
	assert_int_equal(e.reason, 0);
	assert_null(text);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"", " ", "{", "[]", "null", "\"vmcrypt\"", "{}", GOOD "x", GOOD GOOD,
		/* missing */
		"{\"keyslots\":[],\"version\":1," DEK NAMES "\"wraps\":[" WRAP "]}",
		"{\"type\":\"vmcrypt\",\"version\":1," DEK NAMES "\"wraps\":[" WRAP "]}",
		"{\"type\":\"vmcrypt\",\"keyslots\":[]," DEK NAMES "\"wraps\":[" WRAP "]}",
		HEAD NAMES "\"wraps\":[" WRAP "]}",
		HEAD DEK "\"wraps\":[" WRAP "]}",
		HEAD DEK "\"disk\":\"root\",\"created\":\"2026-01-31T12:00:00Z\",\"wraps\":[" WRAP "]}",
		HEAD DEK "\"vm\":\"v\",\"created\":\"2026-01-31T12:00:00Z\",\"wraps\":[" WRAP "]}",
		HEAD DEK "\"vm\":\"v\",\"disk\":\"root\",\"wraps\":[" WRAP "]}",
		"{\"type\":\"vmcrypt\",\"keyslots\":[],\"version\":1," DEK
		"\"vm\":\"v\",\"disk\":\"d\",\"created\":\"2026-01-31T12:00:00Z\"}",
		/* wrong types and values */
		"{\"type\":\"vmcrypt2\",\"keyslots\":[],\"version\":1," DEK NAMES "\"wraps\":[" WRAP "]}",
		"{\"type\":1,\"keyslots\":[],\"version\":1," DEK NAMES "\"wraps\":[" WRAP "]}",
		"{\"type\":\"vmcrypt\",\"keyslots\":{},\"version\":1," DEK NAMES "\"wraps\":[" WRAP "]}",
		"{\"type\":\"vmcrypt\",\"keyslots\":[\"0\"],\"version\":1," DEK NAMES
		"\"wraps\":[" WRAP "]}",
		"{\"type\":\"vmcrypt\",\"keyslots\":[],\"version\":\"1\"," DEK NAMES "\"wraps\":[" WRAP "]}",
		"{\"type\":\"vmcrypt\",\"keyslots\":[],\"version\":1.0," DEK NAMES "\"wraps\":[" WRAP "]}",
		"{\"type\":\"vmcrypt\",\"keyslots\":[],\"version\":-1," DEK NAMES "\"wraps\":[" WRAP "]}",
		HEAD "\"dek\":\"1EA7F707-8B16-8E3B-BC0B-596A3BDD62BF\"," NAMES "\"wraps\":[" WRAP "]}",
		HEAD "\"dek\":\"1ea7f707-8b16-8e3b-bc0b-596a3bdd62b\"," NAMES "\"wraps\":[" WRAP "]}",
		HEAD "\"dek\":\"1ea7f7078b168e3bbc0b596a3bdd62bf\"," NAMES "\"wraps\":[" WRAP "]}",
		HEAD "\"dek\":null," NAMES "\"wraps\":[" WRAP "]}",
		HEAD DEK "\"vm\":7,\"disk\":\"d\",\"created\":\"2026-01-31T12:00:00Z\",\"wraps\":[" WRAP "]}",
		HEAD DEK "\"vm\":\"\\u0000\",\"disk\":\"d\",\"created\":\"2026-01-31T12:00:00Z\","
		"\"wraps\":[" WRAP "]}",
		HEAD DEK "\"vm\":\"\xff\",\"disk\":\"d\",\"created\":\"2026-01-31T12:00:00Z\","
		"\"wraps\":[" WRAP "]}",
		HEAD DEK "\"vm\":\"v\",\"disk\":\"d\",\"created\":\"2026-01-31 12:00:00Z\","
		"\"wraps\":[" WRAP "]}",
		HEAD DEK "\"vm\":\"v\",\"disk\":\"d\",\"created\":\"2026-13-31T12:00:00Z\","
		"\"wraps\":[" WRAP "]}",
		HEAD DEK NAMES "\"wraps\":{}}", HEAD DEK NAMES "\"wraps\":[]}",
		HEAD DEK NAMES "\"wraps\":[1]}", HEAD DEK NAMES "\"wraps\":[{}]}",
		HEAD DEK NAMES "\"wraps\":[[" WRAP "]]}",
		/* doubled and unknown */
		HEAD "\"version\":1," DEK NAMES "\"wraps\":[" WRAP "]}",
		HEAD DEK DEK NAMES "\"wraps\":[" WRAP "]}",
		HEAD DEK NAMES "\"wraps\":[" WRAP "],\"wraps\":[" WRAP "]}",
		HEAD DEK NAMES "\"extra\":0,\"wraps\":[" WRAP "]}",
		HEAD DEK NAMES "\"wraps\":[" WRAP "," WRAP "]}",
		HEAD DEK NAMES "\"wraps\":[{\"extra\":1," PROVIDER "\"key\":\"k1\"," WRAP_REST "]}",
		HEAD DEK NAMES "\"wraps\":[{\"key\":\"k1\"," WRAP_REST "]}",
		HEAD DEK NAMES "\"wraps\":[{" PROVIDER WRAP_REST "]}",
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct token t = { .n_wraps = 99 };
		struct error e = ERROR_NULL;
		int r = token_parse(bad[i], strlen(bad[i]), &t, &e);

		if (r >= 0)
			print_error("taken: %s\n", bad[i]);
		assert_true(r == -EBADMSG || r == -EFBIG);
		assert_int_equal(e.reason, VMCRYPT_REASON_HEADER_DAMAGED);
		assert_true(strlen(e.text) > 10);
		assert_int_equal(token_parse(bad[i], strlen(bad[i]), &t, NULL), r);
		assert_int_equal(t.n_wraps, 99);
	}
}

static void test_later_version(void **state)
{
	static const char later[] = "{\"type\":\"vmcrypt\",\"keyslots\":[],\"version\":2,\"new\":true}";
	struct error e = ERROR_NULL;
	struct token t;

	(void) state;
	assert_int_equal(token_parse(later, strlen(later), &t, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "version 2"));
	assert_non_null(strstr(e.text, "update"));
}

/* Each value of a wrap, one character longer or shorter, or in another alphabet. */
static void test_bad_wraps(void **state)
{
	static const struct { const char *from, *to; } edits[] = {
		{ "AAECAwQFBgcICQoL\"", "AAECAwQFBgcICQo=\"" },
		{ "AAECAwQFBgcICQoL\"", "AAECAwQFBgcICQoLDA==\"" },
		{ "AAECAwQFBgcICQoL\"", "AAECAwQFBgcICQo-\"" },
		{ "Hh8=", "Hh9=" }, { "Hh8=", "Hh8" },
		{ "Hh8=", "Hh8= " }, { "Hh8=", "Hh8g" }, { "Dw==", "Dx==" }, { "Dw==", "Dw=" },
		{ "A256GCM", "A128GCM" }, { "\"k1\"", "\"\"" }, { "\"k1\"", "\"k 1\"" },
		{ "\"k1\"", "\"k/1\"" }, { "\"k1\"", "17" }, { "native", "" }, { "native", "-x" },
		{ "native", "a b" }, { "01010101-0101", "01010101-010g" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		const char *at = strstr(GOOD, edits[i].from);
		_cleanup_free_ char *text = NULL;
		struct error e = ERROR_NULL;
		struct token t;

		assert_non_null(at);
		assert_true(asprintf(&text, "%.*s%s%s", (int) (at - GOOD), GOOD, edits[i].to,
				     at + strlen(edits[i].from)) > 0);
		if (token_parse(text, strlen(text), &t, &e) == 0)
			print_error("taken: %s\n", text);
		assert_int_equal(token_parse(text, strlen(text), &t, &e), -EBADMSG);
	}
}

static size_t many_wraps(char *text, size_t size, int n)
{
	size_t at = (size_t) snprintf(text, size, "%s", HEAD DEK NAMES "\"wraps\":[");

	for (int i = 0; i < n; i++)
		at += (size_t) snprintf(text + at, size - at, "%s{%s\"key\":\"k%d\",%s",
					i ? "," : "", PROVIDER, i, WRAP_REST);
	return at + (size_t) snprintf(text + at, size - at, "]}");
}

static void test_sizes(void **state)
{
	_cleanup_free_ char *text = malloc(1 << 20);
	struct error e = ERROR_NULL;
	struct token t;
	size_t n = 0;

	(void) state;
	assert_non_null(text);
	/* Nine wraps, then far more than any token has. */
	n = many_wraps(text, 1 << 20, 9);
	assert_int_equal(token_parse(text, n, &t, &e), -EBADMSG);
	n = many_wraps(text, 1 << 20, 8);
	assert_int_equal(token_parse(text, n, &t, &e), 0);
	assert_int_equal(t.n_wraps, 8);
	n = many_wraps(text, 1 << 20, 100);
	assert_int_equal(token_parse(text, n, &t, &e), -EFBIG);
	memset(text, '[', 1 << 19);
	assert_int_equal(token_parse(text, 10000, &t, &e), -EBADMSG);
}

/*
 * Every byte of a good token becomes every other byte: what is taken nevertheless must
 * differ in a value that a wrap authenticates.
 */
static void test_every_byte(void **state)
{
	char text[sizeof(GOOD)];
	struct error e = ERROR_NULL;
	struct token good, t;
	size_t taken = 0;

	(void) state;
	assert_int_equal(token_parse(GOOD, strlen(GOOD), &good, &e), 0);
	for (size_t i = 0; i < strlen(GOOD); i++)
		for (int c = 0; c < 256; c++) {
			memcpy(text, GOOD, sizeof(GOOD));
			if (text[i] == (char) c)
				continue;
			text[i] = (char) c;
			if (token_parse(text, strlen(GOOD), &t, &e) < 0)
				continue;
			taken++;
			assert_true(memcmp(t.dek, good.dek, sizeof(t.dek)) != 0 ||
				    strcmp(t.vm, good.vm) != 0 || strcmp(t.disk, good.disk) != 0 ||
				    strcmp(t.created, good.created) != 0 ||
				    memcmp(&t.wraps[0], &good.wraps[0], sizeof(t.wraps[0])) != 0);
		}
	assert_true(taken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_build_refuses),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_later_version),
		cmocka_unit_test(test_bad_wraps),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
