/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From which addresses each user has logged in of late: whoever guesses at a name from
 * elsewhere does not keep its owner out.
 */
#ifndef MANAGER_USER_KNOWN_H
#define MANAGER_USER_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

/** KNOWN_MAX - pairs that are remembered; the one longest unused gives way */
#define KNOWN_MAX	512
/** KNOWN_PAIR_SIZE - bytes of a pair as text, with the NUL */
#define KNOWN_PAIR_SIZE	128

/** struct known - zero: empty. @used: 0: free, else counts up. For one thread at a time. */
struct known {
	uint64_t clock;
	struct {
		char pair[KNOWN_PAIR_SIZE];
		uint64_t used;
	} entry[KNOWN_MAX];
};

/** known_pair() - a user's name, and an address, as one text */
void known_pair(const char *name, const char *address, char ret[KNOWN_PAIR_SIZE]);

/** known_has() - whether that pair was put */
bool known_has(struct known *known, const char *pair);

/** known_put() - it has logged in */
void known_put(struct known *known, const char *pair);

#endif
