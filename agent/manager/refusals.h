/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many refusals of one user, or one host, go into the record: else whoever may log in,
 * or has joined, fills it.
 */
#ifndef MANAGER_REFUSALS_H
#define MANAGER_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"

/** REFUSALS_A_MINUTE - of one user that are recorded */
#define REFUSALS_A_MINUTE	30U
/** REFUSALS_USERS - that are told apart at a time; the one that was quiet longest gives way */
#define REFUSALS_USERS		256U

struct refusals;

int refusals_new(struct refusals **ret, struct error *e);

/** refusals_free() - NULL is left alone */
void refusals_free(struct refusals *refusals);

/**
 * refusals_count() - whether one more refusal of a user is to be recorded
 * @user: or "host:UUID"
 * @now: seconds that never go backwards
 * @ret_unrecorded: how many of his were not since the last one that was; 0 where it is not
 *
 * From any thread.
 */
bool refusals_count(struct refusals *refusals, const char *user, int64_t now,
		    uint64_t *ret_unrecorded);

/** refusals_sink - @unrecorded refusals of @user, "": of users that gave way */
typedef void (*refusals_sink)(const char *user, uint64_t unrecorded, void *userdata);

/**
 * refusals_flush() - tell what is counted and not recorded, of users who may never be refused again
 * @now: as for refusals_count(): minutes that go on are left alone; INT64_MAX: all
 *
 * What was told is not counted any more. @sink is called without a lock.
 */
void refusals_flush(struct refusals *refusals, int64_t now, refusals_sink sink, void *userdata);

#endif
