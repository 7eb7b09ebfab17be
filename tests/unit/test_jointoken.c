/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "common/jointoken.h"

/* 00 01 … 1f, then fb ff bf …: made by Python's base64.urlsafe_b64encode(). */
static const char known[] = "vmj1.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh_7_7_7_7_7_7_7_7_"
			    "7_7_7_7_7_7_7_7_7_7_7_7_7_w";

static void known_token(void **state)
{
	_cleanup_jointoken_ struct jointoken token = JOINTOKEN_NULL;
	_cleanup_secret_ struct secret text = SECRET_NULL;
	struct error e = ERROR_NULL;
	uint8_t secret[JOINTOKEN_SECRET_SIZE];
	size_t i;

	(void) state;
	for (i = 0; i < sizeof(secret); i++)
		secret[i] = i % 3 == 0 ? 0xfb : i % 3 == 1 ? 0xff : 0xbf;
	assert_int_equal(jointoken_parse(known, strlen(known), &token, &e), 0);
	for (i = 0; i < sizeof(token.fingerprint); i++)
		assert_int_equal(token.fingerprint[i], i);
	assert_int_equal(token.secret.size, sizeof(secret));
	assert_memory_equal(token.secret.data, secret, sizeof(secret));
	assert_int_equal(jointoken_format(&token, &text, &e), 0);
	assert_int_equal(text.size, JOINTOKEN_TEXT_SIZE);
	assert_memory_equal(text.data, known, JOINTOKEN_TEXT_SIZE);
}

static void both_ways(void **state)
{
	uint8_t fingerprint[JOINTOKEN_FINGERPRINT_SIZE] = { 1, 2, 3 };
	char line[JOINTOKEN_TEXT_SIZE + 1];
	struct error e = ERROR_NULL;
	int i;

	(void) state;
	for (i = 0; i < 50; i++) {
		_cleanup_jointoken_ struct jointoken a = JOINTOKEN_NULL, b = JOINTOKEN_NULL;
		_cleanup_secret_ struct secret text = SECRET_NULL;

		assert_int_equal(jointoken_new(fingerprint, &a, &e), 0);
		assert_int_equal(jointoken_format(&a, &text, &e), 0);
		memcpy(line, text.data, text.size);
		line[text.size] = '\n';
		assert_int_equal(jointoken_parse(line, sizeof(line), &b, &e), 0);
		assert_memory_equal(a.fingerprint, b.fingerprint, sizeof(fingerprint));
		assert_true(secret_equal(&a.secret, &b.secret));
	}
}

static void refuses(const char *text, size_t size)
{
	struct jointoken token = JOINTOKEN_NULL;
	struct error e = ERROR_NULL;

	assert_int_equal(jointoken_parse(text, size, &token, &e), -EBADMSG);
	assert_int_equal(e.status, EXIT_USAGE);
	unit_speaks(&e, "token");
	assert_null(token.secret.data);
}

static void others_are_refused(void **state)
{
	static const char bad[] = { '+', '/', '=', ' ', '\n', '\0', '.', (char) 0xc3 };
	char text[sizeof(known) + 8];
	size_t i;

	(void) state;
	for (i = 0; i < JOINTOKEN_TEXT_SIZE; i++)
		refuses(known, i);
	snprintf(text, sizeof(text), "%sA", known);
	refuses(text, strlen(text));
	snprintf(text, sizeof(text), "%s\n\n", known);
	refuses(text, strlen(text));
	for (i = 0; i < sizeof(bad); i++) {
		memcpy(text, known, sizeof(known));
		text[40] = bad[i];
		refuses(text, JOINTOKEN_TEXT_SIZE);
		memcpy(text, known, sizeof(known));
		text[JOINTOKEN_TEXT_SIZE - 1] = bad[i];
		refuses(text, JOINTOKEN_TEXT_SIZE);
	}
	memcpy(text, known, sizeof(known));
	text[3] = '2';
	refuses(text, JOINTOKEN_TEXT_SIZE);
	/* Bits behind the last byte. */
	memcpy(text, known, sizeof(known));
	text[JOINTOKEN_TEXT_SIZE - 1] = 'x';
	refuses(text, JOINTOKEN_TEXT_SIZE);
}

static void names(void **state)
{
	char name[JOINTOKEN_NAME_MAX + 2];

	(void) state;
	memset(name, 'a', sizeof(name));
	name[JOINTOKEN_NAME_MAX + 1] = '\0';
	assert_false(jointoken_name_valid(name));
	name[JOINTOKEN_NAME_MAX] = '\0';
	assert_true(jointoken_name_valid(name));
	assert_true(jointoken_name_valid("host-1.example"));
	assert_false(jointoken_name_valid(""));
	assert_false(jointoken_name_valid("a b"));
	assert_false(jointoken_name_valid("a/b"));
	assert_false(jointoken_name_valid("a\x7f"));
	assert_false(jointoken_name_valid("\xc3\xa4"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_token),
		cmocka_unit_test(both_ways),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("jointoken", tests, unit_setup, NULL);
}
