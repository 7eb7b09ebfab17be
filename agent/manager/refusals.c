/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/refusals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lock.h"
#include "manager/user.h"

#define MINUTE_S 60

/**
 * struct refused - one user
 * @since: when the minute began
 * @last: when he was refused last
 * @recorded: refusals of this minute
 */
struct refused {
	char user[USER_NAME_MAX + 1];
	int64_t since;
	int64_t last;
	unsigned int recorded;
	uint64_t unrecorded;
};

/**
 * struct refusals - all under @lock
 * @others: refusals that were not recorded, of users that gave way
 */
struct refusals {
	pthread_mutex_t lock;
	struct refused users[REFUSALS_USERS];
	size_t n;
	uint64_t others;
};

int refusals_new(struct refusals **ret, struct error *e)
{
	struct refusals *refusals = calloc(1, sizeof(*refusals));

	if (!refusals)
		return error_oom(e);
	pthread_mutex_init(&refusals->lock, NULL);
	*ret = refusals;
	return 0;
}

void refusals_free(struct refusals *refusals)
{
	if (!refusals)
		return;
	pthread_mutex_destroy(&refusals->lock);
	free(refusals);
}

static struct refused *find(struct refusals *refusals, const char *user, int64_t now)
{
	struct refused *oldest = &refusals->users[0];
	size_t i;

	for (i = 0; i < refusals->n; i++) {
		if (strcmp(refusals->users[i].user, user) == 0)
			return &refusals->users[i];
		if (refusals->users[i].last < oldest->last)
			oldest = &refusals->users[i];
	}
	if (refusals->n < REFUSALS_USERS)
		oldest = &refusals->users[refusals->n++];
	refusals->others += oldest->unrecorded;
	*oldest = (struct refused){ .since = now };
	snprintf(oldest->user, sizeof(oldest->user), "%s", user);
	return oldest;
}

bool refusals_count(struct refusals *refusals, const char *user, int64_t now,
		    uint64_t *ret_unrecorded)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&refusals->lock);
	struct refused *refused = find(refusals, user, now);

	*ret_unrecorded = 0;
	refused->last = now;
	if (now - refused->since >= MINUTE_S) {
		refused->since = now;
		refused->recorded = 0;
	}
	if (refused->recorded == REFUSALS_A_MINUTE) {
		refused->unrecorded++;
		return false;
	}
	refused->recorded++;
	*ret_unrecorded = refused->unrecorded;
	refused->unrecorded = 0;
	return true;
}

/* Return: whether there was one; it is taken. */
static bool take_one(struct refusals *refusals, int64_t now, struct refused *ret)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&refusals->lock);
	size_t i;

	*ret = (struct refused){ .unrecorded = refusals->others };
	refusals->others = 0;
	for (i = 0; i < refusals->n && !ret->unrecorded; i++) {
		struct refused *refused = &refusals->users[i];

		if (now - refused->since < MINUTE_S)
			continue;
		*ret = *refused;
		refused->unrecorded = 0;
	}
	return ret->unrecorded > 0;
}

void refusals_flush(struct refusals *refusals, int64_t now, refusals_sink sink, void *userdata)
{
	struct refused refused;

	while (take_one(refusals, now, &refused))
		sink(refused.user, refused.unrecorded, userdata);
}
