/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What hosts are doing for users right now. A host that asks for a key meanwhile asks in
 * its own name; who ordered the disk that the key is for stands in the record beside it.
 *
 * From any thread.
 */
#ifndef MANAGER_ERRANDS_H
#define MANAGER_ERRANDS_H

#include <jansson.h>
#include <sys/queue.h>

#include "common/errors.h"

struct errands;

/**
 * struct errand - one; the caller's, and so are the texts
 * @host, @vm: UUIDs
 * @event: id of the intent
 */
struct errand {
	const char *host;
	const char *vm;
	const char *user;
	const char *event;
	LIST_ENTRY(errand) entry;
};

int errands_new(struct errands **ret, struct error *e);

/** errands_free() - NULL is left alone */
void errands_free(struct errands *errands);

void errand_begin(struct errands *errands, struct errand *errand);
void errand_end(struct errands *errands, struct errand *errand);

/**
 * errand_json() - for whom this host may be asking for a key of this VM
 *
 * Return: {user, event} for the data of an event; the caller owns it. NULL: for nobody, or
 * for one of several.
 */
json_t *errand_json(struct errands *errands, const char *host, const char *vm);

#endif
