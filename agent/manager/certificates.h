/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ends of the certificates that the manager's authority has made, its own among them:
 * what nobody renews in time is said before it ends.
 */
#ifndef MANAGER_CERTIFICATES_H
#define MANAGER_CERTIFICATES_H

#include <jansson.h>
#include <stdint.h>

#include "common/errors.h"

/** CERTIFICATES_LATE_DAYS - before the end of what should have been renewed by then */
#define CERTIFICATES_LATE_DAYS	14
/** CERTIFICATES_CA_DAYS - before the end of the authority, which nobody renews */
#define CERTIFICATES_CA_DAYS	180

struct manager;

/**
 * certificates_warnings() - what there is to say
 * @now: seconds since 1970
 * @ret: [{"host": UUID|null, "text": …}…]
 */
int certificates_warnings(struct manager *m, int64_t now, json_t **ret, struct error *e);

/**
 * certificates_watch() - record the warnings, each once a day
 *
 * For the thread that does this each minute, and for tests.
 */
void certificates_watch(struct manager *m, int64_t now);

#endif
