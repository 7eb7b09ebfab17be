/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/user_throttle.h"

#include <arpa/inet.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/encode.h"
#include "common/secret.h"

/* Places that a key can be in; the full one that matters least gives way. */
#define WAYS	8
#define SETS	(THROTTLE_ENTRIES / WAYS)

struct place {
	uint8_t key[16];
	uint32_t failures;		/* 0: free */
	int64_t last;
};

/* @salt: so that nobody can tell which names share their places. */
struct throttle {
	struct throttle_rule rule;
	uint8_t salt[32];
	struct place place[SETS][WAYS];
};

struct throttle *throttle_new(const struct throttle_rule *rule)
{
	struct throttle *throttle = calloc(1, sizeof(*throttle));

	if (!throttle)
		return NULL;
	throttle->rule = *rule;
	if (getrandom_full(throttle->salt, sizeof(throttle->salt)) < 0) {
		free(throttle);
		return NULL;
	}
	return throttle;
}

void throttle_free(struct throttle *throttle)
{
	free(throttle);
}

/* Names come from outside and may be long: what is beyond the end counts as one. */
static size_t hash_key(const struct throttle *throttle, const char *key, uint8_t ret[16])
{
	uint8_t text[sizeof(throttle->salt) + 128], hash[SHA256_DIGEST_LENGTH];
	size_t n = strnlen(key, sizeof(text) - sizeof(throttle->salt));

	memcpy(text, throttle->salt, sizeof(throttle->salt));
	memcpy(text + sizeof(throttle->salt), key, n);
	SHA256(text, sizeof(throttle->salt) + n, hash);
	memcpy(ret, hash, 16);
	return (hash[16] | (size_t) hash[17] << 8) % SETS;
}

static struct place *find(const struct throttle *throttle, const char *key)
{
	uint8_t hash[16];
	size_t set = hash_key(throttle, key, hash), i;

	for (i = 0; i < WAYS; i++) {
		const struct place *place = &throttle->place[set][i];

		if (place->failures > 0 && memcmp(place->key, hash, sizeof(hash)) == 0)
			return (struct place *) place;
	}
	return NULL;
}

static bool stale(const struct place *place, int64_t now)
{
	return place->failures == 0 || now - place->last >= THROTTLE_FORGET;
}

/* Fewer failures matter less, then older ones: a flood of names that fail once each
 * does not drive out the one that is being guessed at. */
static bool matters_less(const struct place *a, const struct place *b, int64_t now)
{
	if (stale(a, now) != stale(b, now))
		return stale(a, now);
	if (a->failures != b->failures)
		return a->failures < b->failures;
	return a->last < b->last;
}

unsigned int throttle_wait(const struct throttle *throttle, const char *key, int64_t now)
{
	const struct place *place = find(throttle, key);
	uint64_t delay = throttle->rule.max;
	uint32_t over;

	if (!place || stale(place, now) || place->failures < throttle->rule.free)
		return 0;
	over = place->failures - throttle->rule.free;
	if (over < 32 && (uint64_t) 1 << over < delay)
		delay = (uint64_t) 1 << over;
	if (now - place->last >= (int64_t) delay)
		return 0;
	return (unsigned int) ((int64_t) delay - (now - place->last));
}

void throttle_count(struct throttle *throttle, const char *key, int64_t now)
{
	struct place *place = find(throttle, key);
	uint8_t hash[16];
	size_t set, i;

	if (!place) {
		set = hash_key(throttle, key, hash);
		place = &throttle->place[set][0];
		for (i = 1; i < WAYS; i++)
			if (matters_less(&throttle->place[set][i], place, now))
				place = &throttle->place[set][i];
		memcpy(place->key, hash, sizeof(hash));
		place->failures = 0;
	} else if (stale(place, now)) {
		place->failures = 0;
	}
	if (place->failures < UINT32_MAX)
		place->failures++;
	place->last = now;
}

void throttle_forgive(struct throttle *throttle, const char *key)
{
	struct place *place = find(throttle, key);

	if (place)
		place->failures = 0;
}

void throttle_take_back(struct throttle *throttle, const char *key)
{
	struct place *place = find(throttle, key);

	if (place)
		place->failures--;
}

size_t throttle_used(const struct throttle *throttle)
{
	size_t n = 0, set, i;

	for (set = 0; set < SETS; set++)
		for (i = 0; i < WAYS; i++)
			n += throttle->place[set][i].failures > 0;
	return n;
}

/* What an attacker has many of counts as one: the last 64 bits of IPv6. */
void throttle_address(const char *address, char ret[THROTTLE_ADDRESS_SIZE])
{
	struct in6_addr six;

	if (inet_pton(AF_INET6, address, &six) != 1)
		snprintf(ret, THROTTLE_ADDRESS_SIZE, "%.40s", address);
	else if (IN6_IS_ADDR_V4MAPPED(&six))
		inet_ntop(AF_INET, &six.s6_addr[12], ret, INET6_ADDRSTRLEN);
	else
		hex_encode(six.s6_addr, 8, ret);
}
