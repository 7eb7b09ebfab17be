/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/lock.h"
#include "common/log.h"
#include "host/join.h"
#include "host/linkstate.h"

#define RENEW_LOOK_MS	(3600 * 1000)	/* between two looks at the certificate's end */
#define REPORT_AGAIN_MS	30000		/* after a report that failed */
#define STACK_SIZE	((size_t)1 << 20)

const struct link_times link_times_default = {
	.retry_ms = 1000,
	.retry_max_ms = CHANNEL_RETRY_MAX_S * 1000,
	.ping_ms = CHANNEL_PING_S * 1000,
	.dead_ms = CHANNEL_DEAD_S * 1000,
	.report_ms = 2000,
};

bool link_wait(struct link *link, uint64_t deadline_ms)
{
	if (!deadline_ms)
		return pthread_cond_wait(&link->changed, &link->lock) == 0;
	return cond_wait_until(&link->changed, &link->lock, (int64_t)deadline_ms);
}

int uplink_new(struct host *host, const struct link_times *times, struct link **ret,
	       struct error *e)
{
	struct link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return error_oom(e);
	link->host = host;
	link->times = times ? *times : link_times_default;
	link->run_fd = -1;
	pthread_mutex_init(&link->order_lock, NULL);
	pthread_mutex_init(&link->lock, NULL);
	pthread_cond_init(&link->changed, NULL);
	TAILQ_INIT(&link->requests);
	STAILQ_INIT(&link->orders);
	STAILQ_INIT(&link->messages);
	STAILQ_INIT(&link->runs);
	STAILQ_INIT(&link->ended);
	r = identity_load(host->conf.state_dir, &link->identity, &link->trouble);
	link->joined = r == 0;
	if (r < 0 && r != -ENOENT)
		log_error("This host does not connect to its manager: %s", link->trouble.text);
	if (link->joined)
		link->mode = identity_load_mode(host->conf.state_dir);
	*ret = link;
	return 0;
}

/* Longer or shorter by up to half, so that the hosts of a manager that comes back do not
 * come all at once. */
static uint64_t jitter(uint64_t ms)
{
	uint32_t random = 0;

	(void)getrandom_full(&random, sizeof(random));
	return ms / 2 + random % (ms + 1);
}

static void say_trouble(struct link *link, const struct error *why)
{
	bool news = strcmp(link->trouble.text, why->text) != 0;

	link->trouble = *why;
	if (news)
		log_warning("There is no connection to the manager: %s", why->text);
}

/* One connection; called with the lock, which is let go meanwhile. */
static bool dial(struct link *link)
{
	_cleanup_identity_ struct identity identity = IDENTITY_NULL;
	struct error why = ERROR_NULL;
	uint64_t epoch = link->epoch;
	bool good = false, tpm;
	int r;

	r = identity_copy(&link->identity, &identity, &why);
	pthread_mutex_unlock(&link->lock);
	tpm = provider_tpm_present(link->host->providers, NULL) == 0;
	pthread_mutex_lock(&link->lock);
	link->tpm = tpm;
	pthread_mutex_unlock(&link->lock);
	if (r == 0)
		r = identity_open(&identity, link->host->providers, &why);
	if (r == 0)
		good = link_connect(link, &identity, epoch, &why);
	pthread_mutex_lock(&link->lock);
	if (link->epoch == epoch && !link->stop)
		say_trouble(link, &why);
	return good;
}

static void *wire_main(void *arg)
{
	struct link *link = arg;
	uint64_t pause = link->times.retry_ms, next = 0, epoch = 0;
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	while (!link->stop) {
		if (epoch != link->epoch) {
			epoch = link->epoch;
			next = 0;
			pause = link->times.retry_ms;
		}
		if (!link->joined || link_now() < next) {
			(void)link_wait(link, link->joined ? next : 0);
			continue;
		}
		if (dial(link))
			pause = link->times.retry_ms;
		next = link_now() + jitter(pause);
		pause = pause * 2 < link->times.retry_max_ms ? pause * 2 : link->times.retry_max_ms;
	}
	return NULL;
}

static void *worker_main(void *arg)
{
	struct link *link = arg;
	struct link_order *order;
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	while (!link->stop) {
		order = STAILQ_FIRST(&link->orders);
		if (!order) {
			(void)link_wait(link, 0);
			continue;
		}
		STAILQ_REMOVE_HEAD(&link->orders, entry);
		pthread_mutex_unlock(&link->lock);
		link_order_run(link, order);
		pthread_mutex_lock(&link->lock);
	}
	return NULL;
}

/* What is due runs without the lock, and says when the next time is. */
static void do_report(struct link *link)
{
	struct link_orders ended = STAILQ_HEAD_INITIALIZER(ended);
	struct error e = ERROR_NULL;

	STAILQ_CONCAT(&ended, &link->ended);
	link->report_at = 0;
	pthread_mutex_unlock(&link->lock);
	if (link_report(link, &e) < 0)
		log_info("The manager does not know this host's disks yet: %s", e.text);
	link_answer_ended(link, &ended);
	pthread_mutex_lock(&link->lock);
	if (error_is_set(&e) && !link->report_at)
		link->report_at = link_now() + REPORT_AGAIN_MS;
}

static void do_renew(struct link *link)
{
	struct error e = ERROR_NULL;

	link->renew_at = link_now() + RENEW_LOOK_MS;
	if (!identity_due(&link->identity, time_now()))
		return;
	pthread_mutex_unlock(&link->lock);
	if (link_renew(link, &e) < 0)
		log_warning("The certificate of this host cannot be renewed now: %s", e.text);
	pthread_mutex_lock(&link->lock);
}

static void *chores_main(void *arg)
{
	struct link *link = arg;
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);
	uint64_t next;

	while (!link->stop) {
		next = link->report_at && link->report_at < link->renew_at ? link->report_at :
		       link->renew_at;
		if (!link->connected)
			(void)link_wait(link, 0);
		else if (link->report_at && link_now() >= link->report_at)
			do_report(link);
		else if (link_now() >= link->renew_at)
			do_renew(link);
		else
			(void)link_wait(link, next);
	}
	return NULL;
}

/* Once, when there is a manager. */
static int start_threads(struct link *link, struct error *e)
{
	const struct {
		pthread_t *thread;
		void *(*main)(void *arg);
	} threads[] = {
		{ &link->wire, wire_main }, { &link->worker, worker_main },
		{ &link->chores, chores_main },
	};
	pthread_attr_t attr;
	int r = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (; r == 0 && link->threads < ARRAY_SIZE(threads); link->threads += r == 0)
		r = -pthread_create(threads[link->threads].thread, &attr,
				    threads[link->threads].main, link);
	pthread_attr_destroy(&attr);
	return r < 0 ? error_fail(e, r, "Cannot prepare the connection to the manager: %s",
				  strerror(-r)) : 0;
}

int link_start(struct link *link, struct error *e)
{
	int r;

	r = link_run_init(link);
	if (r < 0)
		return error_fail(e, r, "Cannot prepare the connection to the manager: %s",
				  strerror(-r));
	return link->joined ? start_threads(link, e) : 0;
}

void link_stop(struct link *link)
{
	static const struct error why = { .code = -ESHUTDOWN, .status = EXIT_NO_KEY,
					  .text = "the agent ends" };
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;

	if (!link)
		return;
	lock = mutex_lock(&link->lock);
	link->stop = true;
	link_end(link, &why);
	link_wake(link);
}

static bool end_threads(struct link *link, unsigned int wait_s)
{
	const pthread_t threads[] = { link->wire, link->worker, link->chores };
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_s;
	while (link->threads) {
		if (pthread_clockjoin_np(threads[link->threads - 1], NULL, CLOCK_MONOTONIC,
					 &until) != 0)
			return false;
		link->threads--;
	}
	return true;
}

bool link_free(struct link *link, unsigned int wait_s)
{
	if (!link)
		return true;
	link_stop(link);
	if (!end_threads(link, wait_s))
		return false;
	link_run_done(link);
	identity_done(&link->identity);
	pthread_cond_destroy(&link->changed);
	pthread_mutex_destroy(&link->lock);
	pthread_mutex_destroy(&link->order_lock);
	free(link);
	return true;
}

void link_look(struct link *link, struct link_view *ret)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	*ret = (struct link_view){ .joined = link->joined, .trouble = link->trouble };
	if (!link->joined)
		return;
	ret->connected = link->connected;
	ret->sealed = link->identity.sealed;
	ret->mode = link->mode;
	snprintf(ret->url, sizeof(ret->url), "%s", link->identity.url);
	memcpy(ret->host, link->identity.host, sizeof(ret->host));
	memcpy(ret->name, link->name, sizeof(ret->name));
	ret->certificate_end = link->identity.certificate_end;
	ret->connected_since = link->connected ? link->connected_since : 0;
}

int link_check_safe(struct link *link, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	if (link->joined && link->mode == MODE_SAFE)
		return 0;
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0,
			 "This host's encryption mode is %s, and has to be safe for a key of the manager's: have it enabled there",
			 link->joined ? host_mode_name(link->mode) : "incapable");
}

int link_set_mode(struct link *link, enum host_mode mode, struct error *e)
{
	int r;

	r = identity_save_mode(link->host->conf.state_dir, mode, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&link->lock);
	link->mode = mode;
	pthread_mutex_unlock(&link->lock);
	return 0;
}

static int begin_join(struct link *link, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	if (link->joined)
		return error_fail(e, EEXIST, "This host has joined the manager %s already: leave that one first (vmcryptctl host leave)",
				  link->identity.url);
	if (link->joining)
		return error_fail(e, EEXIST, "This host is joining a manager already: wait for that");
	link->joining = true;
	return 0;
}

/* Saves it and takes it over, or does neither; with the lock held. */
static int change_identity(struct link *link, struct identity *identity, struct error *e)
{
	int r;

	r = identity_save(link->host->conf.state_dir, identity, e);
	if (r < 0)
		return r;
	identity_done(&link->identity);
	link->identity = identity_take(identity);
	if (!link->joined)
		link->mode = MODE_INCAPABLE;
	link->joined = true;
	link->trouble = ERROR_NULL;
	link->epoch++;
	link_wake(link);
	return 0;
}

int link_join(struct link *link, const char *url, const char *name,
	      const struct jointoken *token, struct error *e)
{
	_cleanup_identity_ struct identity identity = IDENTITY_NULL;
	int r;

	r = begin_join(link, e);
	if (r < 0)
		return r;
	r = join_manager(url, name, token, &identity, e);
	if (r == 0)
		r = identity_seal(&identity, link->host->providers, e);
	if (r == 0)
		r = start_threads(link, e);
	pthread_mutex_lock(&link->lock);
	if (r == 0)
		r = change_identity(link, &identity, e);
	link->joining = false;
	pthread_mutex_unlock(&link->lock);
	return r;
}

int link_renew(struct link *link, struct error *e)
{
	_cleanup_identity_ struct identity identity = IDENTITY_NULL;
	_cleanup_json_ json_t *result = NULL;
	_cleanup_free_ char *csr = NULL;
	struct channel_failure why = { .key_reason = "" };
	uint64_t epoch;
	int r;

	pthread_mutex_lock(&link->lock);
	epoch = link->epoch;
	r = identity_copy(&link->identity, &identity, e);
	pthread_mutex_unlock(&link->lock);
	secret_done(&identity.key);
	if (r == 0)
		r = identity_new_key(&identity.key, &csr, e);
	if (r < 0)
		return r;
	r = uplink_ask(link, "cert.renew", json_pack("{s:s}", "csr", csr),
		       link_now() + PROVIDER_ASK_S * 1000, &result, NULL, &why);
	if (r < 0) {
		*e = why.error;
		return r;
	}
	r = identity_certify(&identity, json_string_value(json_object_get(result, "certificate")),
			     time_now(), e);
	if (r == 0)
		r = identity_seal(&identity, link->host->providers, e);
	pthread_mutex_lock(&link->lock);
	/* Not over what has left, or joined anew, meanwhile. */
	if (r == 0 && (epoch != link->epoch || !link->joined))
		r = error_fail(e, ECANCELED, "the host has left its manager");
	if (r == 0)
		r = change_identity(link, &identity, e);
	pthread_mutex_unlock(&link->lock);
	if (r == 0)
		log_notice("The certificate of this host was renewed");
	return r;
}

bool link_stands(const struct link *link, uint64_t connection)
{
	return link->joined && link->open && link->connection == connection;
}

int link_leave_one(struct link *link, const char *host, struct error *e)
{
	static const struct error why = { .code = -ENOTCONN, .status = EXIT_NO_KEY,
					  .text = "this host has left its manager" };
	_cleanup_unlock_ pthread_mutex_t *orders = mutex_lock(&link->order_lock);
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);
	int r;

	if (!link->joined)
		return error_fail(e, ENOENT, "This host has joined no manager");
	if (host && strcmp(link->identity.host, host) != 0)
		return error_fail(e, ENOENT, "This host has left that manager, and joined one anew, already");
	/* The certificate first: what fails then can be done again. */
	r = identity_forget(link->host->conf.state_dir, e);
	if (r < 0)
		return r;
	link->joined = false;
	link->epoch++;
	link->mode = MODE_INCAPABLE;
	link->trouble = ERROR_NULL;
	identity_done(&link->identity);
	link_end(link, &why);
	link_wake(link);
	mutex_unlock(&lock);
	return provider_forget_managed(link->host->providers, e);
}

int link_leave(struct link *link, struct error *e)
{
	return link_leave_one(link, /* host= */ NULL, e);
}

void link_report_soon(struct link *link)
{
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;

	if (!link)
		return;
	lock = mutex_lock(&link->lock);
	if (link->report_at || !link->joined)
		return;
	link->report_at = link_now() + link->times.report_ms;
	pthread_cond_broadcast(&link->changed);
}
