/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/user_known.h"

#include <stdio.h>
#include <string.h>

void known_pair(const char *name, const char *address, char ret[KNOWN_PAIR_SIZE])
{
	/* What is too long is cut, and then nobody's: such a name has no user. */
	snprintf(ret, KNOWN_PAIR_SIZE, "%.64s\n%s", name, address);
}

/* The place of a pair, or the one that gives way. */
static unsigned int find(const struct known *known, const char *pair, bool *ret_found)
{
	unsigned int oldest = 0, i;

	for (i = 0; i < KNOWN_MAX; i++) {
		*ret_found = known->entry[i].used && strcmp(known->entry[i].pair, pair) == 0;
		if (*ret_found)
			return i;
		if (known->entry[i].used < known->entry[oldest].used)
			oldest = i;
	}
	return oldest;
}

bool known_has(struct known *known, const char *pair)
{
	bool found;

	find(known, pair, &found);
	return found;
}

void known_put(struct known *known, const char *pair)
{
	bool found;
	unsigned int i = find(known, pair, &found);

	snprintf(known->entry[i].pair, sizeof(known->entry[i].pair), "%s", pair);
	known->entry[i].used = ++known->clock;
}
