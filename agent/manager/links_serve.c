/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What hosts ask for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/links_internal.h"
#include "manager/manager.h"

struct link_queue *link_queue_of(struct link *link, const struct channel_frame *frame)
{
	const struct host_request *known = host_request_find(frame->op);

	return &link->queues[known && known->lane == LANE_KEYS ? QUEUE_KEYS : QUEUE_REST];
}

/* Without the lock, as all until greet(). Return: 0, or *why is filled. */
static int check(const struct link *link, const struct channel_frame *frame, bool hello,
		 const struct host_request **ret, struct error *e)
{
	const struct host_request *known = host_request_find(frame->op);
	bool greets = strcmp(frame->op, HOST_HELLO) == 0;
	int r = channel_check_args(CHANNEL_HOST, frame->op, frame->body, e);

	if (r < 0)
		return r;
	if (!known)
		return error_fail(e, EOPNOTSUPP, "This manager does not know %s: bring it up to date",
				  frame->op);
	if (!hello && !greets)
		return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "Host %s has to say hello before it asks "
				 "for %s", link->host, frame->op);
	if (hello && greets)
		return error_fail(e, EALREADY, "Host %s has said hello already", link->host);
	*ret = known;
	return 0;
}

static int serve(struct link *link, struct link_queue *queue, const struct channel_frame *frame,
		 bool hello, json_t **ret, struct channel_failure *why)
{
	const struct host_request *known;
	int r = check(link, frame, hello, &known, &why->error);

	if (r == 0)
		r = known->serve(link->links->manager, &queue->peer, frame->body, ret, why);
	/* A failure without words would be sent as a success of nothing. */
	if (r < 0 && !error_is_set(&why->error))
		error_fail(&why->error, r, "The manager could not do %s: %s", frame->op, error_name(r));
	return r;
}

static int build(const struct channel_frame *frame, json_t *result,
		 const struct channel_failure *why, char **ret, size_t *ret_size)
{
	struct channel_failure own = { .key_reason = "" };

	if (!error_is_set(&why->error)) {
		if (channel_build_answer(CHANNEL_HOST, frame->id, frame->op, result, ret, ret_size,
					 &own.error) == 0)
			return 0;
		log_error("Cannot answer %s: %s", frame->op, own.error.text);
		why = &own;
	}
	return channel_build_failure(frame->id, why, ret, ret_size, NULL);
}

/* Hello was said and was right. */
static void greet(struct link *link, const json_t *args)
{
	if (json_get_base64(args, "hello", "public_key", link->public_key, sizeof(link->public_key),
			    NULL) < 0)
		return;
	link->hello = true;
}

static void follow(struct link *link, void (*up)(struct manager *m, const char *host))
{
	struct links *links = link->links;

	if (!link->open)
		return;
	pthread_mutex_unlock(&links->lock);
	up(links->manager, link->host);
	pthread_mutex_lock(&links->lock);
}

static void provision(struct link *link)
{
	follow(link, host_greeted);
}

static void look_after(struct link *link)
{
	link->provision.run = provision;
	links_work(link, &link->provision, LANE_PROVISION);
}

void link_look_after(struct manager *m, const char *host)
{
	_cleanup_unlock_ pthread_mutex_t *lock = m->links ? mutex_lock(&m->links->lock) : NULL;
	struct link *link = m->links ? link_find(m->links, host) : NULL;

	if (link)
		look_after(link);
}

static void reported(struct link *link)
{
	follow(link, host_reported);
}

/* Under the lock. @text: NULL: there was no memory for an answer. */
static void finish(struct link *link, const struct channel_frame *frame, bool greeted, char *text,
		   size_t size)
{
	if (greeted && link->open)
		greet(link, frame->body);
	if (text) {
		link_post(link, text, size, /* answer= */ true);
	} else {
		link->n_requests--;
		link_hang_up(link, "out of memory");
	}
	if (greeted && link->hello)
		look_after(link);
	if (strcmp(frame->op, HOST_REPORT) == 0 && link->hello) {
		link->reported.run = reported;
		links_work(link, &link->reported, LANE_PROVISION);
	}
}

static void serve_first(struct link *link, struct link_queue *queue)
{
	struct link_request *request = STAILQ_FIRST(&queue->requests);
	struct channel_failure why = { .key_reason = "" };
	_cleanup_json_ json_t *result = NULL;
	bool hello = link->hello, refused;
	char *text = NULL;
	size_t size = 0;
	int r;

	if (!request)
		return;
	STAILQ_REMOVE_HEAD(&queue->requests, entry);
	queue->busy = true;
	pthread_mutex_unlock(&link->links->lock);
	r = serve(link, queue, &request->frame, hello, &result, &why);
	if (build(&request->frame, result, &why, &text, &size) < 0)
		text = NULL;
	pthread_mutex_lock(&link->links->lock);
	queue->busy = false;
	finish(link, &request->frame, r == 0 && !hello, text, size);
	mutex_unlock(&queue->peer.order);
	/* Who may not even say hello has no business here. */
	refused = r == -EACCES && !hello && strcmp(request->frame.op, HOST_HELLO) == 0;
	if (refused)
		link_hang_up(link, "it was refused");
	channel_frame_done(&request->frame);
	free(request);
	link_serve(link);
}

static void serve_rest(struct link *link)
{
	serve_first(link, &link->queues[QUEUE_REST]);
}

static void serve_keys(struct link *link)
{
	serve_first(link, &link->queues[QUEUE_KEYS]);
}

static bool is_idle(const struct link_queue *queue)
{
	return !queue->busy && STAILQ_EMPTY(&queue->requests);
}

static void start(struct link *link, enum link_queue_id id, void (*run)(struct link *link),
		  enum lane_id lane)
{
	struct link_queue *queue = &link->queues[id];

	if (queue->busy || STAILQ_EMPTY(&queue->requests))
		return;
	queue->work.run = run;
	links_work(link, &queue->work, lane);
}

void link_serve(struct link *link)
{
	start(link, QUEUE_REST, serve_rest, LANE_QUICK);
	/* What came behind hello is behind it. */
	if (link->hello || is_idle(&link->queues[QUEUE_REST]))
		start(link, QUEUE_KEYS, serve_keys, LANE_KEYS);
}
