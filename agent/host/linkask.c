/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests and answers over the link, whatever carries them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "common/log.h"
#include "crypto/locator.h"
#include "crypto/wrap.h"
#include "host/linkstate.h"

#define MODULE_VERSION	"/sys/module/dm_vmcrypt/version"
#define BOOT_ID		"/proc/sys/kernel/random/boot_id"
/* Why a key cannot be had that no manager can be asked for; that it was asked for in vain. */
#define NOT_ASKED	"KeyStateMissingInCache"
#define NO_ANSWER	CHANNEL_NO_ANSWER

void link_wake(struct link *link)
{
	if (link->context)
		lws_cancel_service(link->context);
	pthread_cond_broadcast(&link->changed);
}

int link_send(struct link *link, const char *text, size_t size)
{
	struct link_message *message = malloc(sizeof(*message) + LWS_PRE + size);

	if (!message)
		return -ENOMEM;
	message->size = size;
	memcpy(message->data + LWS_PRE, text, size);
	STAILQ_INSERT_TAIL(&link->messages, message, entry);
	link_wake(link);
	return 0;
}

static void request_free(struct link *link, struct link_request *request)
{
	TAILQ_REMOVE(&link->requests, request, entry);
	link->n_requests--;
	json_decref(request->result);
	free(request);
}

struct link_request *link_request_add(struct link *link, const char *op, json_t *args,
				      struct error *e)
{
	_cleanup_free_ char *text = NULL;
	struct link_request *request;
	size_t size;

	if (link->n_requests >= CHANNEL_PENDING_MAX) {
		error_set(e, EAGAIN, EXIT_NO_KEY, 0,
			  "%d requests wait for the manager already: try again",
			  CHANNEL_PENDING_MAX);
		return NULL;
	}
	if (channel_build_request(CHANNEL_HOST, link->next_id, op, args, &text, &size, e) < 0)
		return NULL;
	request = calloc(1, sizeof(*request));
	if (!request || link_send(link, text, size) < 0) {
		free(request);
		error_oom(e);
		return NULL;
	}
	request->id = link->next_id++;
	snprintf(request->op, sizeof(request->op), "%s", op);
	TAILQ_INSERT_TAIL(&link->requests, request, entry);
	link->n_requests++;
	return request;
}

static void fail_request(struct link *link, struct link_request *request, const struct error *why)
{
	if (request->abandoned || request->hello) {
		request_free(link, request);
		return;
	}
	if (request->over)
		return;
	request->over = true;
	request->why = (struct channel_failure){ .error = *why, .key_reason = NO_ANSWER };
	request->why.error.status = EXIT_NO_KEY;
}

static void order_free(struct link_order *order)
{
	channel_frame_done(&order->frame);
	json_decref(order->result);
	free(order);
}

static void drop_list(struct link_orders *list)
{
	struct link_order *order;

	while ((order = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, entry);
		order_free(order);
	}
}

/* Orders that are being worked on end by themselves, and find their connection gone. */
static void drop_orders(struct link *link)
{
	drop_list(&link->orders);
	drop_list(&link->runs);
	drop_list(&link->ended);
	link->n_orders = 0;
}

void link_end(struct link *link, const struct error *why)
{
	struct link_request *request, *next;
	struct link_message *message;

	link->open = false;
	link->connected = false;
	box_key_done(&link->box);
	for (request = TAILQ_FIRST(&link->requests); request; request = next) {
		next = TAILQ_NEXT(request, entry);
		fail_request(link, request, why);
	}
	drop_orders(link);
	while ((message = STAILQ_FIRST(&link->messages))) {
		STAILQ_REMOVE_HEAD(&link->messages, entry);
		free(message);
	}
	json_decref(link->reported);
	link->reported = NULL;
	pthread_cond_broadcast(&link->changed);
}

static int not_connected(const struct link *link, struct channel_failure *why)
{
	const char *trouble = link->trouble.text;

	memcpy(why->key_reason, NOT_ASKED, sizeof(NOT_ASKED));
	if (!link->joined)
		return error_set(&why->error, ENOTCONN, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
				 "this host has joined no manager, which would have to give it: join one (vmcryptctl host join)");
	return error_set(&why->error, ENOTCONN, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
			 "this host has no connection to its manager, which would have to give it%s%s",
			 *trouble ? ": " : "", trouble);
}

/* Waits with the lock held; lets the request go, or leaves it to its answer. */
static int wait_answer(struct link *link, struct link_request *request, uint64_t deadline_ms,
		       json_t **ret, struct channel_failure *why)
{
	int r;

	while (!request->over)
		if (!link_wait(link, deadline_ms) && !request->over &&
		    link_now() >= deadline_ms) {
			request->abandoned = true;
			memcpy(why->key_reason, NO_ANSWER, sizeof(NO_ANSWER));
			return error_set(&why->error, ETIMEDOUT, EXIT_NO_KEY,
					 VMCRYPT_REASON_UNAVAILABLE,
					 "the manager has not answered in time");
		}
	if (error_is_set(&request->why.error)) {
		*why = request->why;
		r = why->error.code;
	} else {
		*ret = TAKE_PTR(request->result);
		r = 0;
	}
	request_free(link, request);
	return r;
}

int uplink_ask(struct link *link, const char *op, json_t *args, uint64_t deadline_ms,
	       json_t **ret, uint64_t *ret_connection, struct channel_failure *why)
{
	_cleanup_json_ json_t *owned = args;
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);
	struct link_request *request;

	*why = (struct channel_failure){ .key_reason = "" };
	if (!owned)
		return error_oom(&why->error);
	if (!link->connected)
		return not_connected(link, why);
	request = link_request_add(link, op, owned, &why->error);
	if (!request) {
		memcpy(why->key_reason, NO_ANSWER, sizeof(NO_ANSWER));
		return why->error.code;
	}
	if (ret_connection)
		*ret_connection = link->connection;
	return wait_answer(link, request, deadline_ms, ret, why);
}

static char *read_line(const char *path)
{
	char *text = NULL;

	if (file_read_bounded(path, CHANNEL_TEXT_MAX, &text, NULL, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static json_t *hello_args(const struct link *link)
{
	_cleanup_free_ char *module = read_line(MODULE_VERSION), *boot_id = read_line(BOOT_ID);
	char key[BASE64_SIZE(BOX_KEY_SIZE)], name[256] = "";
	bool loaded = module || access("/sys/module/dm_vmcrypt", F_OK) == 0;

	base64_encode(link->box.public_key, BOX_KEY_SIZE, key);
	(void)gethostname(name, sizeof(name) - 1);
	return json_pack("{s:s, s:o, s:s?, s:s?, s:b, s:s}", "version", VMCRYPT_VERSION,
			 "name", json_string_printable(*name ? name : "localhost"),
			 "boot_id", boot_id, "module",
			 module ? module : loaded ? "unknown" : NULL, "tpm", link->tpm,
			 "public_key", key);
}

int link_hello(struct link *link, struct error *e)
{
	_cleanup_json_ json_t *args = NULL;
	struct link_request *request;
	int r;

	link->connection++;
	link->next_id = 0;
	box_key_done(&link->box);
	r = box_key_new(&link->box, e);
	if (r < 0)
		return r;
	args = hello_args(link);
	if (!args)
		return error_oom(e);
	request = link_request_add(link, "hello", args, e);
	if (!request)
		return e->code;
	request->hello = true;
	link->open = true;
	return 0;
}

static int on_hello(struct link *link, const struct channel_frame *frame, struct error *e)
{
	const char *host;

	if (frame->kind == CHANNEL_FAILURE)
		return error_set(e, EACCES, EXIT_NO_KEY, 0, "the manager refuses: %s",
				 frame->failure.error.text);
	host = json_text(frame->body, "host");
	if (strcmp(host, link->identity.host) != 0)
		return error_fail(e, EBADMSG, "the manager takes this host for another one");
	snprintf(link->name, sizeof(link->name), "%s", json_text(frame->body, "name"));
	link->connected = true;
	link->connected_since = time_now();
	link->trouble = ERROR_NULL;
	link->report_at = link_now();
	link->renew_at = link->report_at;
	log_notice("This host is connected to its manager %s", link->identity.url);
	link_wake(link);
	return 0;
}

static struct link_request *find_request(struct link *link, uint64_t id)
{
	struct link_request *request;

	TAILQ_FOREACH(request, &link->requests, entry)
		if (request->id == id && !request->over)
			return request;
	return NULL;
}

/* With the lock held. */
static int take_answer(struct link *link, struct channel_frame *frame, struct error *e)
{
	struct link_request *request = find_request(link, frame->id);
	int r = 0;

	if (!request)
		return error_fail(e, EBADMSG, "the manager answers what was not asked");
	if (frame->kind == CHANNEL_ANSWER)
		r = channel_check_result(CHANNEL_HOST, request->op, frame->body, e);
	if (r == 0 && request->hello)
		r = on_hello(link, frame, e);
	if (r < 0 || request->abandoned || request->hello) {
		if (r == 0)
			request_free(link, request);
		return r;
	}
	if (frame->kind == CHANNEL_ANSWER)
		request->result = json_incref(frame->body);
	else
		request->why = frame->failure;
	request->over = true;
	pthread_cond_broadcast(&link->changed);
	return 0;
}

static int take_order(struct link *link, struct channel_frame *frame, struct error *e)
{
	struct link_order *order;

	if (link->n_orders >= CHANNEL_PENDING_MAX)
		return error_fail(e, EBADMSG, "the manager asks more than %d things at once",
				  CHANNEL_PENDING_MAX);
	order = calloc(1, sizeof(*order));
	if (!order)
		return error_oom(e);
	order->connection = link->connection;
	order->frame = *frame;
	frame->json = NULL;
	STAILQ_INSERT_TAIL(&link->orders, order, entry);
	link->n_orders++;
	pthread_cond_broadcast(&link->changed);
	return 0;
}

int uplink_take(struct link *link, const char *text, size_t size, struct error *e)
{
	_cleanup_channel_frame_ struct channel_frame frame = { .json = NULL };
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	int r;

	r = channel_parse(text, size, &frame, e);
	if (r < 0)
		return r;
	lock = mutex_lock(&link->lock);
	return frame.kind == CHANNEL_REQUEST ? take_order(link, &frame, e) :
					       take_answer(link, &frame, e);
}

static int build_answer(const struct link_order *order, json_t *result,
			const struct channel_failure *failure, char **ret, size_t *ret_size)
{
	struct channel_failure why = { .key_reason = "" };
	uint64_t id = order->frame.id;
	int r;

	if (failure)
		return channel_build_failure(id, failure, ret, ret_size, NULL);
	r = channel_build_answer(CHANNEL_MANAGER, id, order->frame.op, result, ret, ret_size,
				 &why.error);
	if (r < 0)
		r = channel_build_failure(id, &why, ret, ret_size, NULL);
	return r;
}

void link_answer(struct link *link, struct link_order *order, json_t *result,
		 const struct channel_failure *failure)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r = -ENOMEM;

	if (result || failure)
		r = build_answer(order, result, failure, &text, &size);
	pthread_mutex_lock(&link->lock);
	if (link->open && link->connection == order->connection) {
		link->n_orders--;
		if (r < 0 || link_send(link, text, size) < 0)
			log_error("Out of memory: a request of the manager is not answered");
	}
	pthread_mutex_unlock(&link->lock);
	order_free(order);
}

/* Whom a key is sealed for, while the connection that it came over stands; under the lock. */
static int receiver(const struct link *link, uint64_t connection, uint8_t ret_host[UUID_SIZE],
		    struct error *e)
{
	if (!link->open || link->connection != connection)
		return error_set(e, ECONNRESET, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
				 "the connection that the key came over has ended");
	if (uuid_parse_text(link->identity.host, ret_host) < 0)
		return error_fail(e, EBADMSG, "this host's own UUID, which the key is sealed for, is not known: leave the manager and join it again (vmcryptctl host leave)");
	return 0;
}

static int read_box(const json_t *object, struct box *ret, struct error *e)
{
	ret->size = CHANNEL_SEALED_SIZE;
	return json_get_base64(object, "sealed key", "sealed", ret->data, CHANNEL_SEALED_SIZE, e);
}

int link_open_kek(struct link *link, uint64_t connection, const json_t *key,
		  uint8_t ret_provider[UUID_SIZE], const char **ret_key_id,
		  struct secret *ret_kek, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	uint8_t host[UUID_SIZE];
	struct box box;
	int r;

	r = json_get_uuid(key, "sealed key", "provider", ret_provider, e);
	if (r == 0)
		r = json_get_string(key, "sealed key", "key", KEY_ID_MAX, ret_key_id, e);
	if (r == 0)
		r = read_box(key, &box, e);
	if (r < 0)
		return r;
	lock = mutex_lock(&link->lock);
	r = receiver(link, connection, host, e);
	return r < 0 ? r : box_open_kek(&link->box, ret_provider, *ret_key_id, host, &box, ret_kek,
					e);
}

int link_open_kdk(struct link *link, uint64_t connection, const json_t *args,
		  struct secret *ret_kdk, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	uint8_t host[UUID_SIZE], provider[UUID_SIZE];
	struct box box;
	int r;

	r = json_get_uuid(args, "sealed key", "provider", provider, e);
	if (r == 0)
		r = read_box(args, &box, e);
	if (r < 0)
		return r;
	lock = mutex_lock(&link->lock);
	r = receiver(link, connection, host, e);
	return r < 0 ? r : box_open_kdk(&link->box, provider, host, &box, ret_kdk, e);
}
