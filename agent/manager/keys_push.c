/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/keys_push.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/keys_right.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/record.h"

#define THREADS_MAX	16
#define EVENT_HOST	"com.vmware.vc.host.Crypto.SendKeyError.HostError"

int keys_ask_host(struct manager *m, const char *host, const char *op, json_t *args,
		  unsigned int timeout_ms, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *own = args;
	struct channel_failure why = { .error = ERROR_NULL };
	int r = own ? link_ask(m, host, op, own, timeout_ms, ret, &why) : error_oom(&why.error);

	if (r < 0 && e)
		*e = why.error;
	return r;
}

/* What a host has not taken, in its own words. */
static int check_refused(const char *host, const json_t *answer, struct error *e)
{
	const json_t *refused = json_object_get(answer, "refused");

	if (json_array_size(refused) == 0)
		return 0;
	return error_fail(e, EREMOTEIO, "Host %s does not take key %.128s: %.256s", host,
			  json_text(json_array_get(refused, 0), "key"),
			  json_text(json_array_get(refused, 0), "text"));
}

static int send_key(struct manager *m, const char *host, json_t *sealed, struct error *e)
{
	_cleanup_json_ json_t *answer = NULL;
	int r = keys_ask_host(m, host, "key.push", json_pack("{s:[O]}", "keys", sealed),
			      KEYS_PUSH_MS, &answer, e);

	return r < 0 ? r : check_refused(host, answer, e);
}

static int push_recorded(struct manager *m, const char *host, const struct key_push *push,
			 const char *vm, json_t *sealed, struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "provider", push->set->id);
	char object[6 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	struct record_event event = { .user = RECORD_USER_MANAGER, .operation = "key.push",
				      .type = RECORD_TYPE_OPERATION, .failed_type = EVENT_HOST,
				      .object = object, .key = push->key, .host = host,
				      .vm = *vm ? vm : NULL, .data = data };
	int r;

	snprintf(object, sizeof(object), "host:%.36s", host);
	r = record_begin(m->store, &event, id, e);
	if (r < 0)
		return r;
	r = send_key(m, host, sealed, e);
	(void)record_end(m->store, id, &event, r < 0 ? e : NULL);
	return r;
}

int key_push_one(struct manager *m, const char *host, const struct key_push *push,
		 struct error *e)
{
	const int64_t deadline = time_monotonic_ms() + KEYS_PUSH_MS;
	_cleanup_unlock_ pthread_mutex_t *lock = keywatch_host_lock_until(m->watch, host, deadline);
	_cleanup_json_ json_t *sealed = NULL;
	uint8_t provider[UUID_SIZE];
	struct error failure = ERROR_NULL;
	struct key_right right;
	int r;

	if (!lock)
		return error_set(e, EBUSY, EXIT_NO_KEY, 0, "Host %s is being given other things: try again "
				 "later", host);
	r = key_right(m, host, push->set->id, push->key, &right, e);
	if (r < 0)
		return r;
	if (uuid_parse_text(push->set->id, provider) < 0)
		return error_fail(e, EBADMSG, "\"%s\" is no UUID of a provider", push->set->id);
	r = link_seal_kek(m, host, provider, push->set->name, push->key, push->material, &sealed, e);
	if (r == 0)
		r = push_recorded(m, host, push, right.vm, sealed, &failure);
	if (error_is_set(&failure) && e)
		*e = failure;
	return r;
}

/**
 * struct crowd - hosts that are worked on at once
 * @lock: of @next
 */
struct crowd {
	struct manager *m;
	const json_t *hosts;
	void (*work)(struct manager *m, const char *host, void *userdata);
	void *userdata;
	pthread_mutex_t lock;
	size_t next;
};

static const char *next_host(struct crowd *crowd)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&crowd->lock);

	return json_string_value(json_array_get(crowd->hosts, crowd->next++));
}

static void *work_on(void *userdata)
{
	struct crowd *crowd = userdata;
	const char *host;

	while ((host = next_host(crowd)))
		if (link_connected(crowd->m, host))
			crowd->work(crowd->m, host, crowd->userdata);
	return NULL;
}

void keys_each_host(struct manager *m, const json_t *hosts,
		    void (*work)(struct manager *m, const char *host, void *userdata),
		    void *userdata)
{
	struct crowd crowd = { .m = m, .hosts = hosts, .work = work, .userdata = userdata,
			       .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t threads[THREADS_MAX];
	size_t n = json_array_size(hosts), started = 0;

	/* This thread is one of them: without any other it takes longer, and no more. */
	while (started + 1 < n && started < THREADS_MAX &&
	       pthread_create(&threads[started], NULL, work_on, &crowd) == 0)
		started++;
	work_on(&crowd);
	while (started)
		pthread_join(threads[--started], NULL);
	pthread_mutex_destroy(&crowd.lock);
}

struct push_all {
	const struct key_push *push;
	const char *but;
};

static void push_to(struct manager *m, const char *host, void *userdata)
{
	const struct push_all *all = userdata;
	struct error e = ERROR_NULL;
	int r;

	if (all->but && strcmp(host, all->but) == 0)
		return;
	r = key_push_one(m, host, all->push, &e);
	/* One that is not safe has no use for it. */
	if (r < 0 && r != -EACCES)
		log_warning("Key %s/%s is not on host %s yet: %s", all->push->set->name, all->push->key,
			    host, e.text);
}

void key_push_all(struct manager *m, const json_t *hosts, const char *but,
		  const struct key_push *push)
{
	struct push_all all = { .push = push, .but = but };

	keys_each_host(m, hosts, push_to, &all);
}
