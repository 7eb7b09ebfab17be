/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Slowing down those who guess: failures are counted by name, and by address, in a
 * table of fixed size. After some free ones each further attempt has to wait twice
 * as long as the one before.
 */
#ifndef VMCRYPT_MANAGER_USER_THROTTLE_H
#define VMCRYPT_MANAGER_USER_THROTTLE_H

#include <stddef.h>
#include <stdint.h>

/** THROTTLE_ENTRIES - names, or addresses, remembered at a time */
#define THROTTLE_ENTRIES	4096
/** THROTTLE_FORGET - seconds without a failure after which one is forgotten */
#define THROTTLE_FORGET		3600

/**
 * struct throttle_rule - how patient
 * @free: failures before the first delay
 * @max: longest delay, seconds
 */
struct throttle_rule {
	unsigned int free;
	unsigned int max;
};

/** THROTTLE_ADDRESS_SIZE - bytes of an address as a key, with the NUL */
#define THROTTLE_ADDRESS_SIZE	64

struct throttle;

/** throttle_new() - NULL: out of memory, or no random bytes */
struct throttle *throttle_new(const struct throttle_rule *rule);

void throttle_free(struct throttle *throttle);

/**
 * throttle_wait() - seconds until @key may try again, 0: now
 * @now: seconds that never go backwards
 */
unsigned int throttle_wait(const struct throttle *throttle, const char *key, int64_t now);

/**
 * throttle_count() - an attempt is made: a failure until it is forgiven
 *
 * Counted before its outcome is known, so that attempts at the same time count all.
 */
void throttle_count(struct throttle *throttle, const char *key, int64_t now);

/** throttle_forgive() - it was right: forget the failures of @key */
void throttle_forgive(struct throttle *throttle, const char *key);

/** throttle_take_back() - one failure less: the attempt at @now was right */
void throttle_take_back(struct throttle *throttle, const char *key);

/**
 * throttle_address() - the key of a peer's address, IPv4 or IPv6 as text
 *
 * All of an IPv6 network of 64 bits is one.
 */
void throttle_address(const char *address, char ret[THROTTLE_ADDRESS_SIZE]);

/** throttle_used() - places taken, for the test of the bound */
size_t throttle_used(const struct throttle *throttle);

#endif
