/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attached disks whose key is not in the kernel, though no administrator has locked
 * them: their key is asked for again when something has come that may bring it, and
 * now and then, ever more seldom.
 */
#ifndef HOST_RETRY_H
#define HOST_RETRY_H

#include "common/errors.h"
#include "host/host.h"

#define RETRY_FIRST_S	15
#define RETRY_LAST_S	300

struct retry;

/** retry_new() - in the main loop; no look is planned */
int retry_new(struct host *host, struct retry **ret, struct error *e);
void retry_free(struct retry *retry);

/** retry_soon() - at once. Any thread; NULL is left alone */
void retry_soon(struct retry *retry);

/** retry_all_soon() - and disks that wait to be attached: a key has come, or a provider. Any thread */
void retry_all_soon(struct host *host);

/** retry_later() - in RETRY_FIRST_S seconds: a key was lost, or may be. In the main loop */
void retry_later(struct retry *retry);

#endif /* HOST_RETRY_H */
