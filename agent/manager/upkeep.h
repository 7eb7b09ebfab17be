/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What has to be done now and then while the manager serves: renew the server's
 * certificate, record how many refusals were not, ask hosts again to forget keys, cut old
 * events away. In a thread of its own.
 */
#ifndef MANAGER_UPKEEP_H
#define MANAGER_UPKEEP_H

#include <stdint.h>

#include "common/errors.h"
#include "manager/record.h"

struct manager;

/** UPKEEP_PERIOD_S - between two rounds */
#define UPKEEP_PERIOD_S 3600

/**
 * struct upkeep_settings - what upkeep_start() is given
 * @renewed: the server has a new certificate; called in the thread of the upkeep
 * @user: of @renewed
 */
struct upkeep_settings {
	struct manager *manager;
	struct record_keep keep;
	void (*renewed)(void *user);
	void *user;
};

struct upkeep;

/** upkeep_round() - all of it once. @now: seconds since 1970. What fails is in the log. */
void upkeep_round(const struct upkeep_settings *settings, int64_t now);

/**
 * upkeep_start() - a round now and every UPKEEP_PERIOD_S
 *
 * All that @settings point to has to live until upkeep_stop().
 */
int upkeep_start(const struct upkeep_settings *settings, struct upkeep **ret, struct error *e);

/** upkeep_stop() - waits for the round that runs, records what is left; NULL is left alone */
void upkeep_stop(struct upkeep *upkeep);

#endif
