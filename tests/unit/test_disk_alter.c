/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A header that somebody altered on purpose: both copies, with checksums that are right. Whatever
 * decides what is decrypted where and for whom must not change without an error.
 */
#include <endian.h>

#include <openssl/evp.h>

#include "disk_fixture.h"

#define BINARY		4096
#define TEXT_SIZE	(COPY_SIZE - BINARY)
#define UUID_AT		168
#define CSUM_AT		448
#define CSUM_SIZE	64

/* Writes @text into both copies and makes their checksums right (LUKS2 specification, 2.1). */
static void write_text(const struct fixture *f, const char *text, size_t size)
{
	uint8_t copies[2 * COPY_SIZE];

	assert_true(size < TEXT_SIZE);
	fixture_read(f->disk, copies, sizeof(copies), 0);
	for (int i = 0; i < 2; i++) {
		uint8_t *copy = copies + i * COPY_SIZE;

		memset(copy + BINARY, 0, TEXT_SIZE);
		memcpy(copy + BINARY, text, size);
		memset(copy + CSUM_AT, 0, CSUM_SIZE);
		assert_int_equal(EVP_Digest(copy, COPY_SIZE, copy + CSUM_AT, NULL, EVP_sha256(), NULL),
				 1);
	}
	fixture_write(f->disk, copies, sizeof(copies), 0);
}

static void read_text(const struct fixture *f, char *ret)
{
	fixture_read(f->disk, ret, TEXT_SIZE, BINARY);
	assert_int_equal(ret[TEXT_SIZE - 1], '\0');
}

/* Opens and unlocks. Return: the first error, 0: both went. */
static int try_open(struct fixture *f, struct error *e)
{
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	int r;

	*e = ERROR_NULL;
	r = header_open(f->disk, NULL, 0, &h, e);
	if (r == 0)
		r = header_unlock(h, fixture_lookup, f, &dek, e);
	if (r < 0) {
		/* The same for a caller that does not want to know why. */
		if (h)
			assert_int_equal(header_unlock(h, fixture_lookup, f, &dek, NULL), r);
		else
			assert_int_equal(header_open(f->disk, NULL, 0, &h, NULL), r);
		assert_null(dek.data);
		assert_true(strlen(e->text) > 10);
	}
	return r;
}

/* Where in @text the object behind @key begins and ends. The number of a token or digest, which
 * stands in @key, means nothing: another one is taken. */
static void find_object(const char *text, const char *key, size_t *ret_from, size_t *ret_to)
{
	const char *at = strstr(text, key);
	int depth = 0;

	assert_non_null(at);
	at += strlen(key);
	assert_int_equal(*at, '{');
	*ret_from = (size_t) (at - text);
	for (;; at++) {
		depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
		if (depth == 0)
			break;
	}
	*ret_to = (size_t) (at - text) + 1;
}

/* What a byte becomes: what an attacker with an editor, and what a bit error would make. */
static char altered(char c, int way)
{
	switch (way) {
	case 0:
		return (char) (c ^ 1);
	case 1:
		return c >= '0' && c <= '8' ? (char) (c + 1) : (char) (c ^ 0x20);
	default:
		return ' ';
	}
}

static void alter_object(struct fixture *f, const char *key)
{
	char good[TEXT_SIZE], bad[TEXT_SIZE];
	size_t from, to, size;
	struct error e;

	read_text(f, good);
	size = strlen(good);
	find_object(good, key, &from, &to);
	for (size_t i = from; i < to; i++)
		for (int way = 0; way < 3; way++) {
			memcpy(bad, good, sizeof(bad));
			bad[i] = altered(good[i], way);
			if (bad[i] == good[i])
				continue;
			write_text(f, bad, size);
			if (try_open(f, &e) == 0)
				print_error("taken: byte %zu, '%c' for '%c': %.40s\n", i, bad[i],
					    good[i], bad + (i > 20 ? i - 20 : 0));
			assert_true(e.code < 0);
			assert_true(e.reason == VMCRYPT_REASON_HEADER_DAMAGED ||
				    e.reason == VMCRYPT_REASON_NO_HEADER ||
				    e.reason == VMCRYPT_REASON_UNAVAILABLE);
		}
	write_text(f, good, size);
	assert_int_equal(try_open(f, &e), 0);
}

static void test_token_bytes(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);

	fixture_create(f, &p);
	alter_object(f, "\"tokens\":{\"0\":");
}

static void test_segment_bytes(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);

	fixture_create(f, &p);
	alter_object(f, "\"segments\":{\"0\":");
}

static void test_digest_bytes(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);

	fixture_create(f, &p);
	alter_object(f, "\"digests\":{\"0\":");
}

static size_t replace(const char *text, const char *from, const char *to, char *ret)
{
	const char *at = strstr(text, from);
	int n;

	assert_non_null(at);
	n = snprintf(ret, TEXT_SIZE, "%.*s%s%s", (int) (at - text), text, to, at + strlen(from));
	assert_true(n > 0 && n < TEXT_SIZE);
	return (size_t) n;
}

/* Values that are possible in themselves, and members that LUKS2 itself allows. */
static void test_edits(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	static const struct { const char *from, *to; uint32_t reason; } edits[] = {
		{ "\"sector_size\":4096", "\"sector_size\":512", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"iv_tweak\":\"0\"", "\"iv_tweak\":\"8\"", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"iv_tweak\":\"0\"", "\"iv_tweak\":\"00\"", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"iv_tweak\":\"0\"", "\"iv_tweak\":\"18446744073709551615\"",
		  VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"offset\":\"16777216\"", "\"offset\":\"17825792\"", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"size\":\"dynamic\"", "\"size\":\"1048576\"", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "aes-xts-plain64", "aes-xts-plain", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "aes-xts-plain64", "aes-cbc-essiv:sha256", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"sector_size\":4096", "\"sector_size\":4096,\"flags\":[\"x\"]",
		  VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"sector_size\":4096", "\"sector_size\":4096,\"integrity\":{\"type\":\"hmac(sha256)\","
		  "\"journal_encryption\":\"none\",\"journal_integrity\":\"none\"}",
		  VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"sector_size\":4096", "\"sector_size\":4096,\"sector_size\":4096",
		  VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"type\":\"crypt\"", "\"type\":\"linear\"", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"vm\":\"vm-1\"", "\"vm\":\"vm-2\"", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"vm\":\"vm-1\"", "\"vm\":\"vm-1\",\"vm\":\"vm-1\"", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"disk\":\"root\"", "\"disk\":\"data\"", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"provider_name\":\"native-1\"", "\"provider_name\":\"native-2\"",
		  VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"provider\":\"01", "\"provider\":\"77", VMCRYPT_REASON_UNAVAILABLE },
		{ "\"type\":\"vmcrypt\"", "\"type\":\"other\"", VMCRYPT_REASON_NO_HEADER },
		{ "\"tokens\":{\"0\":", "\"tokens\":{\"x\":", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"iterations\":1000", "\"iterations\":4294967295", VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"config\":{", "\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt\"]},",
		  VMCRYPT_REASON_HEADER_DAMAGED },
		{ "\"config\":{", "\"config\":{\"requirements\":{\"mandatory\":[\"unheard-of\"]},",
		  VMCRYPT_REASON_HEADER_DAMAGED },
	};
	char good[TEXT_SIZE], bad[TEXT_SIZE];
	struct error e;

	fixture_create(f, &p);
	read_text(f, good);
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		write_text(f, bad, replace(good, edits[i].from, edits[i].to, bad));
		if (try_open(f, &e) == 0)
			print_error("taken: %s\n", edits[i].to);
		assert_true(e.code < 0);
		if (e.reason != edits[i].reason)
			print_error("%s: %s\n", edits[i].to, e.text);
		assert_int_equal(e.reason, edits[i].reason);
	}
	write_text(f, good, strlen(good));
	assert_int_equal(try_open(f, &e), 0);
}

/* The LUKS UUID is authenticated by nothing, so at least it has to be one. */
static void test_uuid(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	char good[TEXT_SIZE];
	struct error e;

	fixture_create(f, &p);
	read_text(f, good);
	for (int i = 0; i < 2; i++)
		fixture_write(f->disk, "../../..", 8, i * COPY_SIZE + UUID_AT);
	write_text(f, good, strlen(good));
	assert_int_equal(try_open(f, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "UUID"));
}

/* A second token, a copy of the first; and one of somebody else's, which is none of ours. */
static void test_two_tokens(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	_cleanup_free_ char *twice = NULL, *other = NULL;
	char good[TEXT_SIZE];
	size_t from, to;
	struct error e;

	fixture_create(f, &p);
	read_text(f, good);
	find_object(good, "\"tokens\":{\"0\":", &from, &to);
	assert_true(asprintf(&twice, "%.*s,\"1\":%.*s%s", (int) to, good, (int) (to - from),
			     good + from, good + to) > 0);
	write_text(f, twice, strlen(twice));
	assert_int_equal(try_open(f, &e), -EBADMSG);
	assert_int_equal(e.reason, VMCRYPT_REASON_HEADER_DAMAGED);
	assert_non_null(strstr(e.text, "two tokens"));

	assert_true(asprintf(&other, "%.*s,\"1\":{\"type\":\"other\",\"keyslots\":[]}%s", (int) to,
			     good, good + to) > 0);
	write_text(f, other, strlen(other));
	assert_int_equal(try_open(f, &e), 0);
}

static void test_not_json(void **state)
{
	struct fixture *f = *state;
	struct header_params p = fixture_params(f);
	char good[TEXT_SIZE], bad[TEXT_SIZE];
	struct error e;

	fixture_create(f, &p);
	read_text(f, good);
	write_text(f, "", 0);
	assert_int_equal(try_open(f, &e), -EBADMSG);
	write_text(f, "not JSON at all", 15);
	assert_int_equal(try_open(f, &e), -EBADMSG);
	write_text(f, good, strlen(good) - 1);
	assert_int_equal(try_open(f, &e), -EBADMSG);
	/* libcryptsetup's parser takes this, and strict JSON does not. */
	write_text(f, bad, replace(good, "\"version\":1,", "\"version\":1,/**/", bad));
	assert_int_equal(try_open(f, &e), -EBADMSG);
	memset(bad, '{', sizeof(bad));
	write_text(f, bad, TEXT_SIZE - 1);
	assert_int_equal(try_open(f, &e), -EBADMSG);
	assert_int_equal(e.reason, VMCRYPT_REASON_HEADER_DAMAGED);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_token_bytes),
		TEST(test_segment_bytes),
		TEST(test_digest_bytes),
		TEST(test_edits),
		TEST(test_uuid),
		TEST(test_two_tokens),
		TEST(test_not_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
