/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/upkeep.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/authority.h"
#include "manager/host_mode.h"
#include "manager/keys_withdraw.h"
#include "manager/manager.h"
#include "manager/refusals.h"
#include "manager/user.h"

struct upkeep {
	struct upkeep_settings settings;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
};

static void renew_server(const struct upkeep_settings *s, int64_t now)
{
	struct error e = ERROR_NULL;
	bool renewed = false;

	if (authority_renew_server(s->manager->authority, now, &renewed, &e) < 0)
		log_error("The server's certificate is not renewed: %s", e.text);
	if (!renewed)
		return;
	log_notice("The server has a new certificate, for the old one was about to end");
	s->renewed(s->user);
}

static void cut_events(const struct upkeep_settings *s, int64_t now)
{
	struct error e = ERROR_NULL;
	int r;

	do
		r = record_cut(s->manager->store, &s->keep, now, &e);
	while (r > 0);
	if (r < 0)
		log_error("Old events are not cut away: %s", e.text);
}

static void note_refusals(struct manager *m, const char *user, const char *operation,
			  uint64_t unrecorded)
{
	_cleanup_json_ json_t *data = json_pack("{s:I}", "unrecorded_before", (json_int_t)unrecorded);
	const struct record_event event = { .user = *user ? user : "-", .operation = operation,
					    .data = data };
	struct error e = ERROR_NULL;

	if (record_note(m->store, &event, "refused", &e) < 0)
		log_warning("Cannot record that %s was refused %llu times more: %s", event.user,
			    (unsigned long long)unrecorded, e.text);
}

static void note_user(const char *user, uint64_t unrecorded, void *userdata)
{
	note_refusals(userdata, user, "refusals", unrecorded);
}

/* @now: seconds since boot; INT64_MAX: the manager ends. */
static void flush_refusals(struct manager *m, int64_t now)
{
	uint64_t logins = m->users ? user_refusals_take(m->users) : 0;

	if (logins)
		note_refusals(m, "", "session.new", logins);
	if (m->refusals)
		refusals_flush(m->refusals, now, note_user, m);
}

void upkeep_round(const struct upkeep_settings *settings, int64_t now)
{
	renew_server(settings, now);
	flush_refusals(settings->manager, time_since_boot());
	keys_withdraw_again(settings->manager);
	host_mode_force_all(settings->manager, /* cluster= */ NULL);
	cut_events(settings, now);
}

/* Return: whether to go on. */
static bool wait_period(struct upkeep *upkeep)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&upkeep->lock);
	int64_t until = time_monotonic_ms() + UPKEEP_PERIOD_S * 1000;

	while (!upkeep->stopping && cond_wait_until(&upkeep->wake, &upkeep->lock, until))
		;
	return !upkeep->stopping;
}

static void *upkeep_thread(void *arg)
{
	struct upkeep *upkeep = arg;

	do
		upkeep_round(&upkeep->settings, time_now());
	while (wait_period(upkeep));
	return NULL;
}

int upkeep_start(const struct upkeep_settings *settings, struct upkeep **ret, struct error *e)
{
	struct upkeep *upkeep = calloc(1, sizeof(*upkeep));
	int r;

	if (!upkeep)
		return error_oom(e);
	upkeep->settings = *settings;
	pthread_mutex_init(&upkeep->lock, NULL);
	pthread_cond_init(&upkeep->wake, NULL);
	r = pthread_create(&upkeep->thread, NULL, upkeep_thread, upkeep);
	if (r) {
		pthread_cond_destroy(&upkeep->wake);
		pthread_mutex_destroy(&upkeep->lock);
		free(upkeep);
		return error_fail(e, r, "Cannot start the thread of the manager's upkeep: %s",
				  error_name(r));
	}
	*ret = upkeep;
	return 0;
}

void upkeep_stop(struct upkeep *upkeep)
{
	if (!upkeep)
		return;
	pthread_mutex_lock(&upkeep->lock);
	upkeep->stopping = true;
	pthread_cond_signal(&upkeep->wake);
	pthread_mutex_unlock(&upkeep->lock);
	pthread_join(upkeep->thread, NULL);
	flush_refusals(upkeep->settings.manager, INT64_MAX);
	pthread_cond_destroy(&upkeep->wake);
	pthread_mutex_destroy(&upkeep->lock);
	free(upkeep);
}
