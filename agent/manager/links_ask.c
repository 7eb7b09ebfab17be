/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Questions to hosts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/lock.h"
#include "manager/links_internal.h"
#include "manager/manager.h"

static struct link_ask *ask_new(const char *op)
{
	struct link_ask *ask = calloc(1, sizeof(*ask));

	if (!ask)
		return NULL;
	ask->op = op;
	pthread_cond_init(&ask->answered, NULL);
	return ask;
}

static void ask_free(struct link_ask *ask)
{
	pthread_cond_destroy(&ask->answered);
	json_decref(ask->result);
	free(ask);
}

static int not_connected(const char *host, const char *op, struct error *e)
{
	return error_set(e, ENOTCONN, EXIT_NO_KEY, 0, "Host %s is not connected and cannot be asked for %s: "
			 "see that vmcryptd runs there and reaches the manager", host, op);
}

/* Sends the question. Return: 0: it waits among the link's. */
static int send_ask(struct link *link, struct link_ask *ask, json_t *args, struct error *e)
{
	char *text;
	size_t size;
	int r;

	/* A host that answers nothing at all is better dialled anew. */
	if (link->n_asks >= CHANNEL_PENDING_MAX) {
		const struct link_ask *other;

		TAILQ_FOREACH(other, &link->asks, entry)
			if (!other->abandoned)
				break;
		if (!other)
			link_hang_up(link, "it does not answer");
		return error_set(e, EAGAIN, EXIT_NO_KEY, 0, "Host %s has %d questions to answer already: "
				 "try again later", link->host, CHANNEL_PENDING_MAX);
	}
	ask->id = link->next_id;
	r = channel_build_request(CHANNEL_MANAGER, ask->id, ask->op, args, &text, &size, e);
	if (r < 0)
		return r;
	link->next_id = link->next_id == CHANNEL_ID_MAX ? 0 : link->next_id + 1;
	TAILQ_INSERT_TAIL(&link->asks, ask, entry);
	link->n_asks++;
	link_post(link, text, size, /* answer= */ false);
	return 0;
}

static void forget(struct link *link, struct link_ask *ask)
{
	TAILQ_REMOVE(&link->asks, ask, entry);
	link->n_asks--;
}

/* Waits for it. On a time-out the question stays with the link: its answer may come. */
static int wait_for(struct link *link, struct link_ask *ask, int64_t deadline, json_t **ret,
		    struct channel_failure *why)
{
	int r;

	while (!ask->done && cond_wait_until(&ask->answered, &link->links->lock, deadline))
		;
	if (!ask->done) {
		ask->abandoned = true;
		return error_set(&why->error, ETIMEDOUT, EXIT_NO_KEY, 0, "Host %s did not answer %s in time: "
				 "it is busy, or its line is slow; try again", link->host, ask->op);
	}
	forget(link, ask);
	r = ask->why.error.code;
	if (r < 0)
		*why = ask->why;
	else if (ret)
		*ret = TAKE_PTR(ask->result);
	ask_free(ask);
	return r;
}

int link_ask(struct manager *m, const char *host, const char *op, json_t *args,
	     unsigned int timeout_ms, json_t **ret, struct channel_failure *why)
{
	const int64_t deadline = time_monotonic_ms() + timeout_ms;
	_cleanup_unlock_ pthread_mutex_t *lock = m->links ? mutex_lock(&m->links->lock) : NULL;
	struct link *link = m->links ? link_find(m->links, host) : NULL;
	struct link_ask *ask;
	int r;

	*why = (struct channel_failure) { .key_reason = "" };
	if (!link)
		return not_connected(host, op, &why->error);
	ask = ask_new(op);
	if (!ask)
		return error_oom(&why->error);
	link->refs++;
	r = send_ask(link, ask, args, &why->error);
	if (r < 0)
		ask_free(ask);
	else
		r = wait_for(link, ask, deadline, ret, why);
	link_unref(link);
	return r;
}

int link_answered(struct link *link, const struct channel_frame *frame, struct error *e)
{
	struct link_ask *ask;
	int r;

	TAILQ_FOREACH(ask, &link->asks, entry)
		if (ask->id == frame->id && !ask->done)
			break;
	if (!ask)
		return error_fail(e, EPROTO, "Host %s has answered what it was not asked", link->host);
	if (ask->abandoned) {
		forget(link, ask);
		ask_free(ask);
		return 0;
	}
	if (frame->kind == CHANNEL_ANSWER) {
		r = channel_check_result(CHANNEL_MANAGER, ask->op, frame->body, e);
		if (r < 0)
			return r;
		ask->result = json_incref(frame->body);
	} else {
		ask->why = frame->failure;
	}
	ask->done = true;
	pthread_cond_signal(&ask->answered);
	return 0;
}
