/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/keys_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "crypto/locator.h"
#include "manager/certificates.h"
#include "manager/keys_material.h"
#include "manager/keys_push.h"
#include "manager/keys_right.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/providers.h"

#define STRIPES		64
#define TICK_MS		500
#define THREADS		2

/**
 * struct wanted - a key that a host waits for
 * @due: ms of CLOCK_MONOTONIC
 * @pause: to the next try, ms
 */
struct wanted {
	char host[UUID_TEXT_SIZE];
	char provider[UUID_TEXT_SIZE];
	char key[KEY_ID_MAX + 1];
	int64_t due;
	int64_t pause;
	struct wanted *next;
};

/**
 * struct keywatch - the watcher
 * @lock: of everything below but @hosts
 * @hosts: one for each host, some share one
 * @seen: name -> state
 * @removing: ids of keys that are being removed, as members
 */
struct keywatch {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_mutex_t hosts[STRIPES];
	struct manager *m;
	pthread_t threads[THREADS];
	size_t running;
	bool stop;
	struct wanted *wanted;
	size_t n_wanted;
	json_t *seen;
	json_t *removing;
};

int keywatch_new(struct keywatch **ret, struct error *e)
{
	struct keywatch *w = calloc(1, sizeof(*w));
	size_t i;

	if (!w)
		return error_oom(e);
	w->seen = json_object();
	w->removing = json_object();
	if (!w->seen || !w->removing) {
		json_decref(w->seen);
		json_decref(w->removing);
		free(w);
		return error_oom(e);
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	for (i = 0; i < STRIPES; i++)
		pthread_mutex_init(&w->hosts[i], NULL);
	*ret = w;
	return 0;
}

static void drop_list(struct wanted *list)
{
	while (list) {
		struct wanted *next = list->next;

		free(list);
		list = next;
	}
}

void keywatch_free(struct keywatch *w)
{
	size_t i;

	if (!w)
		return;
	drop_list(w->wanted);
	json_decref(w->seen);
	json_decref(w->removing);
	for (i = 0; i < STRIPES; i++)
		pthread_mutex_destroy(&w->hosts[i]);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static pthread_mutex_t *stripe(struct keywatch *w, const char *host)
{
	unsigned int sum = 0;

	while (*host)
		sum = sum * 31 + (unsigned char)*host++;
	return &w->hosts[sum % STRIPES];
}

pthread_mutex_t *keywatch_host_lock(struct keywatch *w, const char *host)
{
	return w ? mutex_lock(stripe(w, host)) : NULL;
}

pthread_mutex_t *keywatch_host_lock_until(struct keywatch *w, const char *host, int64_t deadline)
{
	return mutex_lock_until(stripe(w, host), deadline);
}

int keywatch_remove_begin(struct keywatch *w, const char *id, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&w->lock);

	if (json_has(w->removing, id))
		return error_fail(e, EBUSY, "Key %.165s is being removed already", id);
	return json_object_set_new(w->removing, id, json_true()) < 0 ? error_oom(e) : 0;
}

void keywatch_remove_end(struct keywatch *w, const char *id)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&w->lock);

	json_object_del(w->removing, id);
}

bool keywatch_removing(struct keywatch *w, const char *id)
{
	_cleanup_unlock_ pthread_mutex_t *lock = w ? mutex_lock(&w->lock) : NULL;

	return w && json_has(w->removing, id);
}

void keywatch_recall(struct keywatch *w, const char *what, char *ret)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&w->lock);

	snprintf(ret, KEYWATCH_STATE_SIZE, "%s", json_text(w->seen, what));
}

void keywatch_remember(struct keywatch *w, const char *what, const char *state, char *ret)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&w->lock);

	snprintf(ret, KEYWATCH_STATE_SIZE, "%s", json_text(w->seen, what));
	if (json_object_set_new(w->seen, what, json_string(state)) < 0)
		log_warning("What was seen of %s is forgotten: out of memory", what);
}

size_t keywatch_wanted(struct keywatch *w)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&w->lock);

	return w->n_wanted;
}

static bool same(const struct wanted *a, const char *host, const char *provider, const char *key)
{
	return strcmp(a->host, host) == 0 && strcmp(a->provider, provider) == 0 &&
	       strcmp(a->key, key) == 0;
}

/* Under the lock. One that is there already stays as it is. */
static void add(struct keywatch *w, struct wanted *new)
{
	struct wanted *at = w->wanted;

	while (at && !same(at, new->host, new->provider, new->key))
		at = at->next;
	if (at || w->n_wanted == KEYWATCH_WANTED_MAX) {
		free(new);
		return;
	}
	new->next = w->wanted;
	w->wanted = new;
	w->n_wanted++;
}

void keywatch_want(struct keywatch *w, const char *host, const char *provider, const char *key)
{
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	struct wanted *new = w ? calloc(1, sizeof(*new)) : NULL;

	if (!new)
		return;
	snprintf(new->host, sizeof(new->host), "%s", host);
	snprintf(new->provider, sizeof(new->provider), "%s", provider);
	snprintf(new->key, sizeof(new->key), "%s", key);
	new->pause = KEYWATCH_FIRST_MS;
	new->due = time_monotonic_ms() + new->pause;
	lock = mutex_lock(&w->lock);
	add(w, new);
}

/* Those that are due, taken out of the list. */
static struct wanted *take_due(struct keywatch *w, int64_t now)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&w->lock);
	struct wanted **at = &w->wanted, *due = NULL;

	while (*at) {
		struct wanted *this = *at;

		if (this->due > now) {
			at = &this->next;
			continue;
		}
		*at = this->next;
		this->next = due;
		due = this;
		w->n_wanted--;
	}
	return due;
}

static void put_back(struct keywatch *w, struct wanted *wanted, int64_t now)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&w->lock);

	wanted->pause = wanted->pause * 2 < KEYWATCH_LAST_MS ? wanted->pause * 2 : KEYWATCH_LAST_MS;
	wanted->due = now + wanted->pause;
	add(w, wanted);
}

/* Whether it is worth asking the key server: key_push_one() looks once more. */
static bool entitled(struct manager *m, const struct wanted *wanted)
{
	struct key_right right;

	return link_connected(m, wanted->host) &&
	       key_right(m, wanted->host, wanted->provider, wanted->key, &right, NULL) == 0;
}

/* Return: 0: it has it, or is to have it no more; else it is tried again. */
static int retry(struct manager *m, const struct wanted *wanted, char failed[UUID_TEXT_SIZE])
{
	_cleanup_secret_ struct secret material = SECRET_NULL;
	_cleanup_set_ struct provider_set *set = NULL;
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	struct key_push push = { .key = wanted->key, .material = &material };
	int r;

	if (!entitled(m, wanted))
		return 0;
	if (strcmp(failed, wanted->provider) == 0)
		return -EAGAIN;
	r = key_set(m, wanted->provider, &set, &why);
	if (r == 0)
		r = key_fetch(set, wanted->key, &material, &why);
	if (r < 0) {
		if (why.why == KEYSTATE_PROVIDER_UNREACHABLE)
			snprintf(failed, UUID_TEXT_SIZE, "%s", wanted->provider);
		return r;
	}
	push.set = set;
	r = key_push_one(m, wanted->host, &push, &why.error);
	if (r == 0)
		log_info("Host %s has key %s/%s, which it has waited for", wanted->host, set->name,
			 wanted->key);
	return r;
}

void keywatch_retry(struct keywatch *w, struct manager *m, int64_t now)
{
	struct wanted *due = take_due(w, now);
	char failed[UUID_TEXT_SIZE] = "";

	while (due) {
		struct wanted *this = due;

		due = this->next;
		this->next = NULL;
		if (retry(m, this, failed) < 0)
			put_back(w, this, now);
		else
			free(this);
	}
}

/* Return: whether to go on. */
static bool tick(struct keywatch *w)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&w->lock);
	int64_t end = time_monotonic_ms() + TICK_MS;

	while (!w->stop && cond_wait_until(&w->wake, &w->lock, end))
		;
	return !w->stop;
}

static void *run_retry(void *userdata)
{
	struct keywatch *w = userdata;

	while (tick(w))
		keywatch_retry(w, w->m, time_monotonic_ms());
	return NULL;
}

static void *run_look(void *userdata)
{
	struct keywatch *w = userdata;
	int64_t due = time_monotonic_ms();

	while (tick(w)) {
		if (time_monotonic_ms() < due)
			continue;
		provider_watch(w->m, time_now());
		certificates_watch(w->m, time_now());
		due = time_monotonic_ms() + (int64_t)KEYWATCH_PROBE_S * 1000;
	}
	return NULL;
}

int keywatch_start(struct keywatch *w, struct manager *m, struct error *e)
{
	/* A provider that answers slowly must not keep keys of another from their hosts. */
	void *(*const runs[THREADS])(void *userdata) = { run_retry, run_look };
	int r;

	w->m = m;
	w->stop = false;
	while (w->running < THREADS) {
		r = pthread_create(&w->threads[w->running], NULL, runs[w->running], w);
		if (r) {
			keywatch_stop(w);
			return error_fail(e, r, "Cannot start the threads that look after keys: %s",
					  error_name(r));
		}
		w->running++;
	}
	return 0;
}

void keywatch_stop(struct keywatch *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
	while (w->running)
		pthread_join(w->threads[--w->running], NULL);
}
