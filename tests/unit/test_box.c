// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Boxes: held against an answer that another implementation computed (python3-cryptography 48.0.0),
 * and against every change of what they bind.
 */
#include "unit.h"

#include "crypto/box.h"
#include "crypto/kdf.h"
#include "crypto/wrap.h"

#define PROVIDER	"01234567-89ab-cdef-0123-456789abcdef"
#define HOST		"fedcba98-7654-3210-fedc-ba9876543210"
#define AAD		PROVIDER "|key-1|" HOST

/* Ephemeral private key 20 21 .. 3f, receiver's 40 41 .. 5f, KEK 00 01 .. 1f. */
static const char known_public[] =
	"79a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a";
static const char known_box[] =
	"358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254"
	"eab1e135554c8004e315148e5e6f0d700f380a5609179aac68876dfd0992da80"
	"4fe242ab0b5376869d9654d0972dec7b";

static struct error e;

static struct secret counting_from(uint8_t first)
{
	struct secret s = unit_counting(32);

	for (size_t i = 0; i < s.size; i++)
		s.data[i] = (uint8_t) (s.data[i] + first);
	return s;
}

static void known_answer(void **state)
{
	_cleanup_secret_ struct secret ephemeral = counting_from(0x20), kek = counting_from(0);
	_cleanup_secret_ struct secret back = SECRET_NULL;
	_cleanup_box_key_ struct box_key receiver = { .private_key = counting_from(0x40) };
	uint8_t wanted[80], public_key[32], provider[16], host[16];
	struct box box;

	(void) state;
	assert_int_equal(hex_decode(known_box, wanted, 80), 0);
	assert_int_equal(hex_decode(known_public, public_key, 32), 0);
	assert_int_equal(box_public_key(&receiver.private_key, receiver.public_key), 0);
	assert_memory_equal(receiver.public_key, public_key, 32);

	assert_int_equal(box_seal_with(&ephemeral, public_key, BOX_KEK_LABEL, AAD, strlen(AAD), &kek,
				       &box, &e), 0);
	assert_int_equal(box.size, 80);
	assert_memory_equal(box.data, wanted, 80);

	/* The same box is what box_open_kek() takes: its additional data are AAD. */
	assert_int_equal(uuid_parse_text(PROVIDER, provider), 0);
	assert_int_equal(uuid_parse_text(HOST, host), 0);
	assert_int_equal(box_open_kek(&receiver, provider, "key-1", host, &box, &back, &e), 0);
	assert_true(secret_equal(&back, &kek));
}

static void opens_at_every_size(void **state)
{
	_cleanup_box_key_ struct box_key receiver = BOX_KEY_NULL;

	(void) state;
	assert_int_equal(box_key_new(&receiver, &e), 0);
	for (size_t size = 1; size <= BOX_PLAIN_MAX; size++) {
		_cleanup_secret_ struct secret plain = SECRET_NULL, back = SECRET_NULL;
		struct box box, again;

		assert_int_equal(secret_random(size, &plain), 0);
		assert_int_equal(box_seal(receiver.public_key, "l", NULL, 0, &plain, &box, &e), 0);
		assert_int_equal(box.size, size + BOX_OVERHEAD);
		assert_int_equal(box_open(&receiver, "l", NULL, 0, &box, &back, &e), 0);
		assert_true(secret_equal(&plain, &back));

		/* A fresh ephemeral key each time. */
		assert_int_equal(box_seal(receiver.public_key, "l", NULL, 0, &plain, &again, &e), 0);
		assert_memory_not_equal(box.data, again.data, BOX_KEY_SIZE);
		assert_memory_not_equal(box.data + BOX_KEY_SIZE, again.data + BOX_KEY_SIZE,
					size + BOX_TAG_SIZE);
	}
}

static void must_not_open(const struct box_key *key, const char *label, const char *aad,
			  const struct box *box)
{
	struct secret back = SECRET_NULL;

	e = ERROR_NULL;
	assert_int_equal(box_open(key, label, aad, strlen(aad), box, &back, &e), -EBADMSG);
	assert_null(back.data);
	unit_speaks(&e, "sealed");
}

static void shows_every_change(void **state)
{
	_cleanup_box_key_ struct box_key receiver = BOX_KEY_NULL, other = BOX_KEY_NULL;
	_cleanup_secret_ struct secret plain = SECRET_NULL;
	struct box box;

	(void) state;
	assert_int_equal(box_key_new(&receiver, &e), 0);
	assert_int_equal(box_key_new(&other, &e), 0);
	assert_int_equal(secret_random(32, &plain), 0);
	assert_int_equal(box_seal(receiver.public_key, "label", AAD, strlen(AAD), &plain, &box, &e), 0);

	/* X25519 ignores the top bit of a public key (RFC 7748 section 5); the salt does not. */
	for (size_t bit = 0; bit < box.size * 8; bit++) {
		box.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
		must_not_open(&receiver, "label", AAD, &box);
		box.data[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	must_not_open(&other, "label", AAD, &box);
	must_not_open(&receiver, "labels", AAD, &box);
	must_not_open(&receiver, "label", AAD "x", &box);
	must_not_open(&receiver, "label", "", &box);
	for (size_t size = box.size; size-- > 0;) {
		struct box shorter = box;

		shorter.size = size;
		must_not_open(&receiver, "label", AAD, &shorter);
	}
	box.size = BOX_SIZE_MAX + 1;
	must_not_open(&receiver, "label", AAD, &box);
}

static void binds_provider_key_and_host(void **state)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL, back = SECRET_NULL, dek = SECRET_NULL;
	_cleanup_box_key_ struct box_key receiver = BOX_KEY_NULL;
	const uint8_t a[UUID_SIZE] = { 1 }, b[UUID_SIZE] = { 2 };
	struct box box;

	(void) state;
	assert_int_equal(box_key_new(&receiver, &e), 0);
	assert_int_equal(secret_random(KEK_SIZE, &kek), 0);
	assert_int_equal(secret_random(64, &dek), 0);
	assert_int_equal(box_seal_kek(receiver.public_key, a, "k", b, &kek, &box, &e), 0);
	assert_int_equal(box_open_kek(&receiver, b, "k", b, &box, &back, &e), -EBADMSG);
	assert_int_equal(box_open_kek(&receiver, a, "l", b, &box, &back, &e), -EBADMSG);
	assert_int_equal(box_open_kek(&receiver, a, "k", a, &box, &back, &e), -EBADMSG);
	assert_int_equal(box_open_kek(&receiver, a, "", b, &box, &back, &e), -EINVAL);
	assert_null(back.data);
	assert_int_equal(box_open_kek(&receiver, a, "k", b, &box, &back, &e), 0);
	assert_true(secret_equal(&back, &kek));

	assert_int_equal(box_seal_kek(receiver.public_key, a, "k", b, &dek, &box, &e), -EINVAL);
	assert_int_equal(box_seal_kek(receiver.public_key, a, "a key", b, &kek, &box, &e), -EINVAL);
}

/* A sender with the right label and additional data, but no KEK inside. */
static void a_kdk_is_for_its_provider_and_host(void **state)
{
	_cleanup_secret_ struct secret kdk = SECRET_NULL, back = SECRET_NULL, dek = SECRET_NULL;
	_cleanup_box_key_ struct box_key receiver = BOX_KEY_NULL;
	const uint8_t a[UUID_SIZE] = { 1 }, b[UUID_SIZE] = { 2 };
	struct box box;

	(void)state;
	assert_int_equal(box_key_new(&receiver, &e), 0);
	assert_int_equal(secret_random(KDK_SIZE, &kdk), 0);
	assert_int_equal(box_seal_kdk(receiver.public_key, a, b, &kdk, &box, &e), 0);
	assert_int_equal(box_open_kdk(&receiver, b, b, &box, &back, &e), -EBADMSG);
	assert_int_equal(box_open_kdk(&receiver, a, a, &box, &back, &e), -EBADMSG);
	assert_int_equal(box_open_kek(&receiver, a, "k", b, &box, &back, &e), -EBADMSG);
	assert_null(back.data);
	assert_int_equal(box_open_kdk(&receiver, a, b, &box, &back, &e), 0);
	assert_true(secret_equal(&back, &kdk));
	assert_int_equal(secret_random(KDK_SIZE + 1, &dek), 0);
	assert_int_equal(box_seal_kdk(receiver.public_key, a, b, &dek, &box, &e), -EINVAL);
}

static void a_kek_has_its_size(void **state)
{
	_cleanup_secret_ struct secret odd = SECRET_NULL, back = SECRET_NULL;
	_cleanup_box_key_ struct box_key receiver = BOX_KEY_NULL;
	uint8_t provider[16], host[16];
	struct box box;

	(void) state;
	assert_int_equal(uuid_parse_text(PROVIDER, provider), 0);
	assert_int_equal(uuid_parse_text(HOST, host), 0);
	assert_int_equal(box_key_new(&receiver, &e), 0);
	assert_int_equal(secret_random(33, &odd), 0);
	assert_int_equal(box_seal(receiver.public_key, BOX_KEK_LABEL, AAD, strlen(AAD), &odd, &box,
				  &e), 0);
	assert_int_equal(box_open_kek(&receiver, provider, "key-1", host, &box, &back, &e), -EBADMSG);
	assert_null(back.data);
}

static void refuses(void **state)
{
	static const uint8_t zero[32], one[32] = { 1 };
	_cleanup_secret_ struct secret key = SECRET_NULL, large = SECRET_NULL, back = SECRET_NULL;
	_cleanup_box_key_ struct box_key receiver = BOX_KEY_NULL;
	struct box box = { .size = 7 };

	(void) state;
	assert_int_equal(box_key_new(&receiver, &e), 0);
	assert_int_equal(secret_random(32, &key), 0);
	assert_int_equal(secret_random(BOX_PLAIN_MAX + 1, &large), 0);
	assert_int_equal(box_seal(zero, "l", "", 0, &key, &box, &e), -EBADMSG);
	unit_speaks(&e, "low order");
	assert_int_equal(box_seal(one, "l", "", 0, &key, &box, &e), -EBADMSG);
	assert_int_equal(box_seal(receiver.public_key, "l", "", 0, &large, &box, &e), -EINVAL);
	assert_int_equal(box_seal(receiver.public_key, "l", "", 0, &back, &box, &e), -EINVAL);
	assert_int_equal(box_seal_with(&large, receiver.public_key, "l", "", 0, &key, &box, &e),
			 -EINVAL);
	assert_int_equal(box.size, 7);

	/* A receiver whose key is gone opens nothing. */
	assert_int_equal(box_seal(receiver.public_key, "l", "", 0, &key, &box, &e), 0);
	box_key_done(&receiver);
	box_key_done(NULL);
	assert_int_equal(box_open(&receiver, "l", "", 0, &box, &back, &e), -EINVAL);
	assert_null(back.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answer),
		cmocka_unit_test(opens_at_every_size),
		cmocka_unit_test(shows_every_change),
		cmocka_unit_test(binds_provider_key_and_host),
		cmocka_unit_test(a_kdk_is_for_its_provider_and_host),
		cmocka_unit_test(a_kek_has_its_size),
		cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
