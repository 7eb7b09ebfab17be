// SPDX-License-Identifier: LGPL-2.1-or-later
/* The seal, the states of a key, what dumps and notifications say of them. */
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "kselftest_harness.h"
#include "lib.h"

FIXTURE(keys) {
	struct nl nl;
	struct dek dek;
};

FIXTURE_VARIANT(keys) {
	size_t size;
};

FIXTURE_VARIANT_ADD(keys, xts256) {
	.size = 32,
};

FIXTURE_VARIANT_ADD(keys, xts512) {
	.size = 64,
};

FIXTURE_SETUP(keys)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	dek_random(&self->dek, variant->size);
}

FIXTURE_TEARDOWN(keys)
{
	test_end(&self->nl);
}

/* what a test changes between sealing and sending */
struct changes {
	size_t flip_sealed;	/* bit to flip, counted from 1 */
	size_t flip_public;
	uint32_t sealed_bits;	/* in the additional data */
	const uint8_t *sealed_uuid;
	const uint8_t *public;	/* sent instead of ours */
	uint32_t id_delta;
};

static int set_changed(struct nl *nl, const struct dek *d, const struct changes *c, struct answer *a)
{
	uint8_t kernel[PUBLIC_LEN], mine[PUBLIC_LEN], sealed[KEY_MAX + TAG_LEN];
	const uint32_t bits = (uint32_t)d->size * 8;
	struct msg m;
	uint32_t id;
	int r = key_prepare(nl, &id, kernel);

	if (!r)
		r = seal(kernel, c->sealed_uuid ? c->sealed_uuid : d->uuid, c->sealed_bits ? c->sealed_bits : bits,
			 d->key, d->size, mine, sealed);
	if (r)
		return r;
	if (c->flip_sealed)
		sealed[(c->flip_sealed - 1) / 8] ^= (uint8_t)(1 << (c->flip_sealed - 1) % 8);
	if (c->flip_public)
		mine[(c->flip_public - 1) / 8] ^= (uint8_t)(1 << (c->flip_public - 1) % 8);
	key_set_message(nl, &m, d->uuid, bits, id + c->id_delta, c->public ? c->public : mine, sealed,
			d->size + TAG_LEN);
	return nl_call(nl, &m, a);
}

TEST_F(keys, set_and_get)
{
	static struct answer a;
	struct msg m;

	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	msg_begin(&self->nl, &m, CMD_KEY_GET, 0);
	msg_put(&m, A_DEK, self->dek.uuid, UUID_LEN);
	ASSERT_EQ(0, nl_call(&self->nl, &m, &a));
	ASSERT_EQ(1, a.messages);
	ASSERT_EQ(CMD_KEY_GET, a.cmd);
	ASSERT_TRUE(has_attr(&a, A_DEK, UUID_LEN));
	EXPECT_EQ(0, memcmp(self->dek.uuid, a.attr[A_DEK].data, UUID_LEN));
	EXPECT_EQ(variant->size * 8, get_u32(&a, A_KEY_BITS));
	EXPECT_EQ(KEY_LOADED, get_u32(&a, A_STATE));
	EXPECT_EQ(0, get_u32(&a, A_TARGETS));
	/* and not a byte more */
	EXPECT_EQ(0, a.strange);
	EXPECT_EQ(20 + 8 + 8 + 8, a.size);
}

TEST_F(keys, tampered_seal)
{
	static struct answer a;
	const size_t bits = (variant->size + TAG_LEN) * 8;

	for (size_t bit = 1; bit <= bits; bit += 13) {
		const struct changes c = { .flip_sealed = bit };

		ASSERT_EQ(-EBADMSG, set_changed(&self->nl, &self->dek, &c, &a))
			TH_LOG("bit %zu", bit);
		ASSERT_NE(0, strlen(a.text));
	}
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, self->dek.uuid));
}

TEST_F(keys, tampered_public_key)
{
	static struct answer a;

	/* the top bit is masked by X25519, but bound by the hash */
	for (size_t bit = 1; bit <= 256; bit += 17) {
		const struct changes c = { .flip_public = bit };

		ASSERT_EQ(-EBADMSG, set_changed(&self->nl, &self->dek, &c, &a))
			TH_LOG("bit %zu", bit);
	}
	ASSERT_EQ(-EBADMSG, set_changed(&self->nl, &self->dek, &(struct changes){ .flip_public = 256 }, &a));
}

TEST_F(keys, additional_data_counts)
{
	uint8_t other[UUID_LEN];
	const struct changes uuid = { .sealed_uuid = other };
	const struct changes size = { .sealed_bits = variant->size == 64 ? 256 : 512 };
	static struct answer a;

	memcpy(other, self->dek.uuid, UUID_LEN);
	other[15] ^= 1;
	ASSERT_EQ(-EBADMSG, set_changed(&self->nl, &self->dek, &uuid, &a));
	ASSERT_EQ(-EBADMSG, set_changed(&self->nl, &self->dek, &size, &a));
	ASSERT_EQ(0, set_changed(&self->nl, &self->dek, &(struct changes){ 0 }, &a));
}

/* points of low order: the shared secret would be zero whatever the kernel's key */
TEST_F(keys, low_order_public_key)
{
	static const uint8_t points[][PUBLIC_LEN] = {
		{ 0 },
		{ 1 },
		{ 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
		  0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00 },
		{ 0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
		  0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57 },
		{ 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
		{ 0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
		{ 0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
	};
	static struct answer a;

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		const struct changes c = { .public = points[i] };

		EXPECT_EQ(-EBADMSG, set_changed(&self->nl, &self->dek, &c, &a))
			TH_LOG("point %zu", i);
		EXPECT_NE(0, strlen(a.text));
	}
}

TEST_F(keys, wrong_key)
{
	struct dek other;

	dek_random(&other, variant->size);
	ASSERT_EQ(-EKEYREJECTED, key_set_as(&self->nl, &other, self->dek.uuid));
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, self->dek.uuid));
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, other.uuid));
	/* nor over a key that is loaded */
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(-EKEYREJECTED, key_set_as(&self->nl, &other, self->dek.uuid));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, self->dek.uuid));
}

TEST_F(keys, weak_key)
{
	struct dek weak;
	uint8_t key[KEY_MAX];

	random_bytes(key, variant->size / 2);
	memcpy(key + variant->size / 2, key, variant->size / 2);
	dek_from(&weak, key, variant->size);
	ASSERT_EQ(-EINVAL, key_set(&self->nl, &weak));
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, weak.uuid));
	memset(key, 0, sizeof(key));
	dek_from(&weak, key, variant->size);
	ASSERT_EQ(-EINVAL, key_set(&self->nl, &weak));
}

TEST_F(keys, set_twice)
{
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, self->dek.uuid));
	ASSERT_EQ(1, key_count(&self->nl));
}

TEST_F(keys, wipe_unused)
{
	ASSERT_EQ(-ENOENT, key_wipe(&self->nl, self->dek.uuid, 0));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, key_wipe(&self->nl, self->dek.uuid, 0));
	ASSERT_EQ(0, key_wait(&self->nl, self->dek.uuid, KEY_ABSENT, 5000));
	ASSERT_EQ(-ENOENT, key_wipe(&self->nl, self->dek.uuid, WIPE_FORCE));
}

/* loaded, wiping, locked, loaded, absent: each told to group events, and nothing of the key */
TEST_F(keys, events)
{
	static struct answer a;
	struct nl events;

	ASSERT_EQ(0, nl_open(&events));
	ASSERT_EQ(0, nl_join(&events, events.events));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, nl_expect(&events, CMD_KEY_CHANGED, self->dek.uuid, KEY_LOADED, 2000, &a));
	EXPECT_EQ(20 + 8, a.size);
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, key_wipe(&self->nl, self->dek.uuid, 0));
	/* setting it again was no change */
	ASSERT_EQ(0, nl_event(&events, 2000, &a));
	ASSERT_TRUE(a.cmd == CMD_KEY_CHANGED && get_u32(&a, A_STATE) != KEY_LOADED);
	if (get_u32(&a, A_STATE) != KEY_ABSENT) {
		ASSERT_EQ(0, nl_expect(&events, CMD_KEY_CHANGED, self->dek.uuid, KEY_ABSENT, 2000, &a));
	}
	nl_close(&events);
}

FIXTURE(seals) {
	struct nl nl;
	struct dek dek;
};

FIXTURE_SETUP(seals)
{
	/* prepared keys of earlier tests would count */
	ASSERT_EQ(0, test_begin(&self->nl));
	nl_close(&self->nl);
	ASSERT_EQ(0, module_reload(NULL));
	ASSERT_EQ(0, nl_open(&self->nl));
	dek_random(&self->dek, 64);
}

FIXTURE_TEARDOWN(seals)
{
	test_end(&self->nl);
}

static int set_with(struct nl *nl, const struct dek *d, uint32_t id, const uint8_t kernel[PUBLIC_LEN])
{
	uint8_t mine[PUBLIC_LEN], sealed[KEY_MAX + TAG_LEN];
	static struct answer a;
	struct msg m;
	int r = seal(kernel, d->uuid, (uint32_t)d->size * 8, d->key, d->size, mine, sealed);

	if (r)
		return r;
	key_set_message(nl, &m, d->uuid, (uint32_t)d->size * 8, id, mine, sealed, d->size + TAG_LEN);
	return nl_call(nl, &m, &a);
}

TEST_F(seals, used_once)
{
	uint8_t kernel[PUBLIC_LEN];
	struct dek wrong;
	uint32_t id;

	ASSERT_EQ(0, key_prepare(&self->nl, &id, kernel));
	ASSERT_EQ(0, set_with(&self->nl, &self->dek, id, kernel));
	ASSERT_EQ(-ENOENT, set_with(&self->nl, &self->dek, id, kernel));
	/* a KEY_SET that fails uses it up too */
	ASSERT_EQ(0, key_prepare(&self->nl, &id, kernel));
	dek_random(&wrong, 64);
	wrong.uuid[0] ^= 1;
	ASSERT_EQ(-EKEYREJECTED, set_with(&self->nl, &wrong, id, kernel));
	ASSERT_EQ(-ENOENT, set_with(&self->nl, &self->dek, id, kernel));
	ASSERT_EQ(-ENOENT, set_with(&self->nl, &self->dek, id + 1000, kernel));
}

TEST_F(seals, sealed_for_another)
{
	uint8_t one[PUBLIC_LEN], two[PUBLIC_LEN];
	uint32_t id_one, id_two;

	ASSERT_EQ(0, key_prepare(&self->nl, &id_one, one));
	ASSERT_EQ(0, key_prepare(&self->nl, &id_two, two));
	ASSERT_NE(id_one, id_two);
	ASSERT_NE(0, memcmp(one, two, PUBLIC_LEN));
	ASSERT_EQ(-EBADMSG, set_with(&self->nl, &self->dek, id_one, two));
	ASSERT_EQ(0, set_with(&self->nl, &self->dek, id_two, two));
}

/* bounded in number, and dead after ten seconds; the places come free again */
TEST_F_TIMEOUT(seals, bounds_and_expiry, 60)
{
	static struct answer a;
	uint8_t kernel[PUBLIC_LEN], first[PUBLIC_LEN];
	uint32_t id, first_id;
	uint64_t began = now_ms();
	struct msg m;

	ASSERT_EQ(0, key_prepare(&self->nl, &first_id, first));
	for (int i = 1; i < SEALS_MAX; i++) {
		ASSERT_EQ(0, key_prepare(&self->nl, &id, kernel))
			TH_LOG("prepared key %d", i);
	}
	msg_begin(&self->nl, &m, CMD_KEY_PREPARE, 0);
	ASSERT_EQ(-EAGAIN, nl_call(&self->nl, &m, &a));
	ASSERT_NE(0, strlen(a.text));
	ASSERT_EQ(0, set_with(&self->nl, &self->dek, id, kernel));
	ASSERT_EQ(0, key_prepare(&self->nl, &id, kernel));
	ASSERT_GT(SEAL_LIFETIME_S * 1000, now_ms() - began);
	sleep_ms(SEAL_LIFETIME_S * 1000 - (unsigned int)(now_ms() - began) + 800);
	ASSERT_EQ(-ENOENT, set_with(&self->nl, &self->dek, first_id, first));
	for (int i = 0; i < SEALS_MAX / 2; i++)
		ASSERT_EQ(0, key_prepare(&self->nl, &id, kernel));
	ASSERT_EQ(0, set_with(&self->nl, &self->dek, id, kernel));
}

/* a key that nobody uses dies; setting it again does not prolong that */
TEST_F_TIMEOUT(seals, preload_dies, 30)
{
	static struct answer a;
	struct nl events;
	uint64_t began;

	nl_close(&self->nl);
	ASSERT_EQ(0, module_reload("preload_ttl_s=2"));
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(0, nl_open(&events));
	ASSERT_EQ(0, nl_join(&events, events.events));
	began = now_ms();
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	sleep_ms(1000);
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, self->dek.uuid));
	ASSERT_EQ(0, key_set(&self->nl, &self->dek));
	ASSERT_EQ(0, nl_expect(&events, CMD_KEY_CHANGED, self->dek.uuid, KEY_ABSENT, 8000, &a));
	ASSERT_LE(1900, now_ms() - began);
	ASSERT_GE(2900, now_ms() - began);
	ASSERT_EQ(KEY_ABSENT, key_state(&self->nl, self->dek.uuid));
	nl_close(&events);
}

/* a key that a target names lives on */
TEST_F_TIMEOUT(seals, used_key_stays, 30)
{
	struct vdisk v;

	nl_close(&self->nl);
	ASSERT_EQ(0, module_reload("preload_ttl_s=1"));
	ASSERT_EQ(0, nl_open(&self->nl));
	ASSERT_EQ(0, vdisk_new(&v, &self->nl, "stays", MIB, 64, ""));
	sleep_ms(2500);
	ASSERT_EQ(KEY_LOADED, key_state(&self->nl, v.dek.uuid));
	ASSERT_EQ(0, write_all(v.fd, buffer(4096), 4096, 0));
	vdisk_free(&v);
}

#define MANY	200

FIXTURE(dumps) {
	struct nl nl;
	struct dek *dek;
};

FIXTURE_SETUP(dumps)
{
	ASSERT_EQ(0, test_begin(&self->nl));
	self->dek = calloc(MANY, sizeof(*self->dek));
	for (int i = 0; i < MANY; i++) {
		dek_random(&self->dek[i], i & 1 ? 64 : 32);
		ASSERT_EQ(0, key_set(&self->nl, &self->dek[i]));
	}
}

FIXTURE_TEARDOWN(dumps)
{
	for (int i = 0; i < MANY; i++)
		key_wipe(&self->nl, self->dek[i].uuid, WIPE_FORCE);
	test_end(&self->nl);
}

static void take_key(const struct answer *a, void *arg)
{
	FIXTURE_DATA(dumps) *self = arg;

	for (int i = 0; i < MANY; i++)
		if (has_attr(a, A_DEK, UUID_LEN) && !memcmp(self->dek[i].uuid, a->attr[A_DEK].data, UUID_LEN) &&
		    get_u32(a, A_KEY_BITS) == self->dek[i].size * 8 && get_u32(a, A_STATE) == KEY_LOADED &&
		    get_u32(a, A_TARGETS) == 0)
			self->dek[i].text[0] = '!';
}

TEST_F(dumps, complete)
{
	static struct answer a;
	struct msg m;

	msg_begin(&self->nl, &m, CMD_KEY_GET, NLM_F_DUMP);
	ASSERT_EQ(0, nl_dump(&self->nl, &m, &a, take_key, self));
	ASSERT_EQ(MANY, a.messages);
	ASSERT_FALSE(a.interrupted);
	for (int i = 0; i < MANY; i++)
		ASSERT_EQ('!', self->dek[i].text[0]);
}

/* a change between two parts of a dump is marked in those that follow */
TEST_F(dumps, overtaken)
{
	_Alignas(8) uint8_t buf[4096];
	struct dek more;
	struct nl slow = self->nl;
	struct msg m;
	bool done = false, marked = false;
	int parts = 0;

	/* a socket that never offered a big buffer gets small parts */
	slow.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	ASSERT_LE(0, slow.fd);
	dek_random(&more, 64);
	msg_begin(&slow, &m, CMD_KEY_GET, NLM_F_DUMP);
	ASSERT_EQ(0, nl_send(&slow, &m));
	while (!done) {
		ssize_t n = recv(slow.fd, buf, sizeof(buf), 0);
		size_t left = n > 0 ? (size_t)n : 0;

		ASSERT_LT(0, n);
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			done |= h->nlmsg_type == NLMSG_DONE;
			marked |= !!(h->nlmsg_flags & NLM_F_DUMP_INTR);
		}
		if (!parts++) {
			ASSERT_FALSE(done);
			ASSERT_FALSE(marked);
			ASSERT_EQ(0, key_set(&self->nl, &more));
		}
	}
	ASSERT_LE(3, parts);
	ASSERT_TRUE(marked);
	nl_close(&slow);
}

TEST_HARNESS_MAIN
