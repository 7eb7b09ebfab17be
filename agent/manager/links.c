/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/links_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/manager.h"

int links_new(struct manager *m, struct links **ret, struct error *e)
{
	struct links *links = calloc(1, sizeof(*links));

	if (!links)
		return error_oom(e);
	links->manager = m;
	pthread_mutex_init(&links->lock, NULL);
	TAILQ_INIT(&links->open);
	links_lanes_init(links);
	*ret = links;
	return 0;
}

void links_set_wake(struct links *links, void (*wake)(void *waker), void *waker)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&links->lock);

	links->wake = wake;
	links->waker = waker;
}

void links_stop(struct links *links)
{
	struct link *link;

	if (!links)
		return;
	pthread_mutex_lock(&links->lock);
	links->stopping = true;
	TAILQ_FOREACH(link, &links->open, entry)
		link_hang_up(link, "the manager ends");
	pthread_mutex_unlock(&links->lock);
	links_lanes_stop(links);
}

void links_free(struct links *links)
{
	size_t i;

	if (!links)
		return;
	links_stop(links);
	for (i = 0; i < N_LANES; i++)
		pthread_cond_destroy(&links->lanes[i].wake);
	pthread_mutex_destroy(&links->lock);
	free(links);
}

static void wake(struct link *link)
{
	link->wants = true;
	if (link->links->wake)
		link->links->wake(link->links->waker);
}

static void drop_requests(struct link *link)
{
	struct link_request *request;
	size_t i;

	for (i = 0; i < N_QUEUES; i++) {
		struct link_queue *queue = &link->queues[i];

		while ((request = STAILQ_FIRST(&queue->requests))) {
			STAILQ_REMOVE_HEAD(&queue->requests, entry);
			channel_frame_done(&request->frame);
			free(request);
		}
	}
}

static void message_free(struct link_message *message)
{
	erase(message->text, message->size);
	free(message->text);
	free(message);
}

void link_unref(struct link *link)
{
	struct link_message *message;
	struct link_ask *ask;

	if (--link->refs)
		return;
	drop_requests(link);
	while ((message = STAILQ_FIRST(&link->messages))) {
		STAILQ_REMOVE_HEAD(&link->messages, entry);
		message_free(message);
	}
	/* Those that are left were abandoned: who waits has a reference. */
	while ((ask = TAILQ_FIRST(&link->asks))) {
		TAILQ_REMOVE(&link->asks, ask, entry);
		free(ask);
	}
	json_decref(link->queues[QUEUE_REST].peer.report);
	free(link);
}

struct link *link_find(struct links *links, const char *host)
{
	struct link *link;

	TAILQ_FOREACH(link, &links->open, entry)
		if (link->open && link->hello && strcmp(link->host, host) == 0)
			return link;
	return NULL;
}

void link_post(struct link *link, char *text, size_t size, bool answer)
{
	struct link_message *message = link->open ? calloc(1, sizeof(*message)) : NULL;

	if (!message) {
		if (answer)
			link->n_requests--;
		if (link->open)
			link_hang_up(link, "out of memory");
		erase(text, size);
		free(text);
		return;
	}
	*message = (struct link_message) { .text = text, .size = size, .answer = answer };
	STAILQ_INSERT_TAIL(&link->messages, message, entry);
	wake(link);
}

static void give_up(struct link_ask *ask, const char *host, const char *why)
{
	error_set(&ask->why.error, ECONNRESET, EXIT_NO_KEY, 0, "Host %s went away before it answered "
		  "%s: %s", host, ask->op, why);
	ask->done = true;
	pthread_cond_signal(&ask->answered);
}

void link_hang_up(struct link *link, const char *why)
{
	struct link_ask *ask;

	link->open = false;
	link->over = true;
	TAILQ_FOREACH(ask, &link->asks, entry)
		if (!ask->done && !ask->abandoned)
			give_up(ask, link->host, why);
	drop_requests(link);
	wake(link);
}

bool link_connected(struct manager *m, const char *host)
{
	_cleanup_unlock_ pthread_mutex_t *lock = m->links ? mutex_lock(&m->links->lock) : NULL;

	return m->links && link_find(m->links, host);
}

void link_close(struct manager *m, const char *host)
{
	_cleanup_unlock_ pthread_mutex_t *lock = m->links ? mutex_lock(&m->links->lock) : NULL;
	struct link *link;

	if (!m->links)
		return;
	/* Also one that has not said hello yet. */
	TAILQ_FOREACH(link, &m->links->open, entry)
		if (link->open && strcmp(link->host, host) == 0)
			link_hang_up(link, "the manager closed its channel");
}

/* Whom a key is sealed for, and by which name. */
static int find_receiver(struct manager *m, const char *host, uint8_t ret_peer[BOX_KEY_SIZE],
			 uint8_t ret_uuid[UUID_SIZE], struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = m->links ? mutex_lock(&m->links->lock) : NULL;
	const struct link *link = m->links ? link_find(m->links, host) : NULL;

	if (!link)
		return error_set(e, ENOTCONN, EXIT_NO_KEY, 0, "No key can be sealed for host %s, which is not "
				 "connected", host);
	if (uuid_parse_text(host, ret_uuid) < 0)
		return error_usage(e, "\"%.64s\" is no host's UUID", host);
	memcpy(ret_peer, link->public_key, BOX_KEY_SIZE);
	return 0;
}

int link_seal_kek(struct manager *m, const char *host, const uint8_t provider[UUID_SIZE],
		  const char *provider_name, const char *key_id, const struct secret *kek,
		  json_t **ret, struct error *e)
{
	uint8_t peer[BOX_KEY_SIZE], uuid[UUID_SIZE];
	_cleanup_json_ json_t *key = NULL;
	struct box box;
	int r = find_receiver(m, host, peer, uuid, e);

	if (r == 0)
		r = box_seal_kek(peer, provider, key_id, uuid, kek, &box, e);
	if (r < 0)
		return r;
	key = json_pack("{s:s, s:s}", "provider_name", provider_name, "key", key_id);
	if (!key || json_set_uuid(key, "provider", provider) < 0 ||
	    json_set_base64(key, "sealed", box.data, box.size) < 0)
		return error_oom(e);
	*ret = TAKE_PTR(key);
	return 0;
}

int link_seal_kdk(struct manager *m, const char *host, const uint8_t provider[UUID_SIZE],
		  const struct secret *kdk, char **ret, struct error *e)
{
	uint8_t peer[BOX_KEY_SIZE], uuid[UUID_SIZE];
	struct box box;
	char *text;
	int r = find_receiver(m, host, peer, uuid, e);

	if (r == 0)
		r = box_seal_kdk(peer, provider, uuid, kdk, &box, e);
	if (r < 0)
		return r;
	text = malloc(BASE64_SIZE(box.size));
	if (!text)
		return error_oom(e);
	base64_encode(box.data, box.size, text);
	*ret = text;
	return 0;
}

/*
 * The thread of the connections.
 */

int link_new(struct links *links, X509 *peer, const char *address, struct link **ret,
	     struct error *e)
{
	struct link *link;
	size_t i;
	int r;

	if (!peer)
		return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "The channel needs a host's certificate: let "
				 "the host join");
	link = calloc(1, sizeof(*link));
	if (!link)
		return error_oom(e);
	r = authority_host_identity(links->manager->authority, peer, link->host, link->serial, e);
	if (r == 0)
		r = host_dialled(links->manager, link->host, link->serial, e);
	if (r < 0) {
		free(link);
		return r;
	}
	link->links = links;
	link->refs = 1;
	snprintf(link->address, sizeof(link->address), "%s", address);
	for (i = 0; i < N_QUEUES; i++) {
		link->queues[i].peer = (struct host_peer) {
			.host = link->host, .serial = link->serial, .address = link->address,
		};
		STAILQ_INIT(&link->queues[i].requests);
	}
	STAILQ_INIT(&link->messages);
	TAILQ_INIT(&link->asks);
	*ret = link;
	return 0;
}

void link_opened(struct link *link)
{
	struct links *links = link->links;
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&links->lock);
	struct link *other;

	TAILQ_FOREACH(other, &links->open, entry)
		if (other->open && strcmp(other->host, link->host) == 0)
			link_hang_up(other, "it has dialled again");
	TAILQ_INSERT_TAIL(&links->open, link, entry);
	link->open = !links->stopping;
	link->over = links->stopping;
}

static int take_request(struct link *link, struct channel_frame *frame, struct error *e)
{
	struct link_request *request;

	if (link->n_requests >= CHANNEL_PENDING_MAX)
		return error_fail(e, EPROTO, "Host %s has asked for more than %d things at a time",
				  link->host, CHANNEL_PENDING_MAX);
	request = calloc(1, sizeof(*request));
	if (!request)
		return error_oom(e);
	request->frame = *frame;
	frame->json = NULL;
	STAILQ_INSERT_TAIL(&link_queue_of(link, &request->frame)->requests, request, entry);
	link->n_requests++;
	link_serve(link);
	return 0;
}

int link_received(struct link *link, const char *text, size_t size, struct error *e)
{
	_cleanup_channel_frame_ struct channel_frame frame = { .json = NULL };
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	int r = channel_parse(text, size, &frame, e);

	if (r < 0)
		return r;
	lock = mutex_lock(&link->links->lock);
	/* Replaced, and about to be closed: nobody is interested. */
	if (!link->open)
		return 0;
	return frame.kind == CHANNEL_REQUEST ? take_request(link, &frame, e) :
					       link_answered(link, &frame, e);
}

char *link_take(struct link *link, size_t *ret_size)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->links->lock);
	struct link_message *message = STAILQ_FIRST(&link->messages);
	char *text;

	link->wants = false;
	if (!message)
		return NULL;
	STAILQ_REMOVE_HEAD(&link->messages, entry);
	if (message->answer)
		link->n_requests--;
	link->wants = link->over || !STAILQ_EMPTY(&link->messages);
	text = message->text;
	*ret_size = message->size;
	free(message);
	return text;
}

bool link_wants(struct link *link)
{
	return link->wants;
}

bool link_over(struct link *link)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->links->lock);

	return link->over;
}

static void lost(struct link *link)
{
	struct links *links = link->links;
	bool back = link_find(links, link->host);

	if (back)
		return;
	pthread_mutex_unlock(&links->lock);
	host_lost(links->manager, link->host, link->address);
	pthread_mutex_lock(&links->lock);
}

void link_closed(struct link *link)
{
	struct links *links = link->links;
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&links->lock);

	/* Set by link_opened() alone. */
	if (link->entry.tqe_prev) {
		TAILQ_REMOVE(&links->open, link, entry);
		link_hang_up(link, "its connection ended");
		link->wants = false;
	}
	if (link->hello) {
		link->lost.run = lost;
		links_work(link, &link->lost, LANE_QUICK);
	}
	link_unref(link);
}
