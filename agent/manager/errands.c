/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/errands.h"

#include <stdlib.h>
#include <string.h>

#include "common/lock.h"

/** struct errands - under @lock */
struct errands {
	pthread_mutex_t lock;
	LIST_HEAD(, errand) list;
};

int errands_new(struct errands **ret, struct error *e)
{
	struct errands *errands = calloc(1, sizeof(*errands));

	if (!errands)
		return error_oom(e);
	pthread_mutex_init(&errands->lock, NULL);
	LIST_INIT(&errands->list);
	*ret = errands;
	return 0;
}

void errands_free(struct errands *errands)
{
	if (!errands)
		return;
	pthread_mutex_destroy(&errands->lock);
	free(errands);
}

void errand_begin(struct errands *errands, struct errand *errand)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&errands->lock);

	LIST_INSERT_HEAD(&errands->list, errand, entry);
}

void errand_end(struct errands *errands, struct errand *errand)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&errands->lock);

	LIST_REMOVE(errand, entry);
}

json_t *errand_json(struct errands *errands, const char *host, const char *vm)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&errands->lock);
	const struct errand *errand, *found = NULL;

	LIST_FOREACH(errand, &errands->list, entry) {
		if (strcmp(errand->host, host) != 0 || strcmp(errand->vm, vm) != 0)
			continue;
		if (found)
			return NULL;
		found = errand;
	}
	return found ? json_pack("{s:s, s:s}", "user", found->user, "event", found->event) : NULL;
}
