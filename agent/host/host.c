/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/fileio.h"
#include "common/log.h"
#include "host/boot.h"
#include "host/create.h"
#include "host/keyrequest.h"
#include "host/link.h"
#include "host/loop.h"
#include "host/ops.h"
#include "host/retry.h"
#include "host/server.h"
#include "host/udevwatch.h"

/* How long what runs may take to end. */
#define END_WAIT_S	10

/* Asked by the providers, of any thread. The link is there before any of them is used. */
static int make_key(void *userdata, const uint8_t provider[UUID_SIZE], const struct key_use *use,
		    uint64_t deadline_ms, char *ret_key_id, struct secret *ret_kek,
		    struct channel_failure *ret_why)
{
	const struct host *host = userdata;

	return link_key_new(host->link, provider, use, deadline_ms, ret_key_id, ret_kek, ret_why);
}

static int fetch_key(void *userdata, const uint8_t provider[UUID_SIZE], const char *key_id,
		     const struct key_use *use, uint64_t deadline_ms, struct secret *ret_kek,
		     struct channel_failure *ret_why)
{
	const struct host *host = userdata;

	return link_key_get(host->link, provider, key_id, use, deadline_ms, ret_kek, ret_why);
}

static int start_providers(struct host *host, struct error *e)
{
	_cleanup_free_ char *dir = NULL;
	struct provider_settings settings = {
		.tcti = host->conf.tcti,
		.in_use = ops_provider_in_use,
		.attached = ops_provider_attached,
		.key_in_use = ops_key_in_use,
		.make = make_key,
		.fetch = fetch_key,
		.userdata = host,
	};

	if (asprintf(&dir, "%s/providers", host->conf.state_dir) < 0) {
		dir = NULL;
		return error_oom(e);
	}
	settings.dir = dir;
	return provider_registry_open(&settings, &host->providers, e);
}

static int start_workers(struct host *host, struct error *e)
{
	int r;

	r = workers_new(host->event, host->conf.workers, &host->operations);
	if (r == 0)
		r = workers_new(host->event, host->conf.workers, &host->key_work);
	return r < 0 ? error_fail(e, r, "Cannot prepare workers: %s", strerror(-r)) : 0;
}

static int start_udev(struct host *host, struct error *e)
{
	return udev_watch_new(host, loop_device_came, &host->udev, e);
}

static int start_requests(struct host *host, struct error *e)
{
	return key_requests_new(host, loop_module_came, &host->requests, e);
}

static int start_server(struct host *host, struct error *e)
{
	return server_new(host, host->conf.socket, &host->server, e);
}

static int make_link(struct host *host, struct error *e)
{
	return uplink_new(host, /* times= */ NULL, &host->link, e);
}

static int start_retry(struct host *host, struct error *e)
{
	int r = retry_new(host, &host->retry, e);

	/* The agent before this one may have left locked disks. */
	if (r == 0)
		retry_later(host->retry);
	return r;
}

static int start_link(struct host *host, struct error *e)
{
	return link_start(host->link, e);
}

static int start_boot(struct host *host, struct error *e)
{
	return boot_new(host, loop_ready, &host->boot, e);
}

static int start_state_dir(struct host *host, struct error *e)
{
	return file_make_dir(host->conf.state_dir, 0700, e);
}

static int start_events(struct host *host, struct error *e)
{
	return events_open(host->conf.state_dir, (uint64_t)host->conf.events_kib * 1024,
			   &host->events, e);
}

static int start_state(struct host *host, struct error *e)
{
	return state_open(host->conf.state_dir, &host->state, e);
}

static int start_netlink(struct host *host, struct error *e)
{
	return nl_client_new(&host->netlink, e);
}

/* What an earlier agent began to create is a work of its own: it reads devices. */
struct resume {
	struct work work;	/* must be first */
	struct host *host;
};

static void resume_run(struct work *work)
{
	create_resume(((struct resume *)work)->host);
}

static void resume_nothing(struct work *work)
{
	(void)work;
}

static void resume_release(struct work *work)
{
	free(work);
}

static int start_resume(struct host *host, struct error *e)
{
	struct resume *resume = calloc(1, sizeof(*resume));
	int r;

	if (!resume)
		return error_oom(e);
	resume->host = host;
	resume->work = (struct work){
		.deadline_s = 60, .run = resume_run, .done = resume_nothing,
		.expired = resume_nothing, .release = resume_release,
	};
	r = workers_submit(host->operations, &resume->work);
	if (r == 0)
		return 0;
	free(resume);
	return error_fail(e, r, "Cannot look at what an earlier agent began: %s", strerror(-r));
}

/* In the order in which they need each other. */
static int (*const start[])(struct host *host, struct error *e) = {
	loop_new, start_state_dir, start_events, start_state, start_netlink, start_providers,
	make_link, start_workers, start_resume, start_udev, start_retry, start_requests,
	start_server, start_boot, start_link,
};

int host_start(struct host_conf *conf, struct host *ret, struct error *e)
{
	size_t i;
	int r = 0;

	*ret = (struct host){ .conf = *conf, .started = time_now() };
	*conf = (struct host_conf){ 0 };
	for (i = 0; i < ARRAY_SIZE(start) && r == 0; i++)
		r = start[i](ret, e);
	return r;
}

void host_done(struct host *host)
{
	bool left;

	/* Workers may wait for the manager. */
	link_stop(host->link);
	left = !workers_free(host->key_work, END_WAIT_S);
	left |= !workers_free(host->operations, END_WAIT_S);
	left |= !link_free(host->link, END_WAIT_S);
	/* A thread that hangs in a device still uses what would be freed here. */
	if (left) {
		log_warning("Some work hangs in devices that do not answer; the agent ends without it");
		_exit(EXIT_SUCCESS);
	}
	server_free(host->server);
	boot_free(host->boot);
	udev_watch_free(host->udev);
	retry_free(host->retry);
	key_requests_free(host->requests);
	provider_registry_free(host->providers);
	nl_client_free(host->netlink);
	state_free(host->state);
	events_free(host->events);
	sd_event_source_disable_unref(host->idle);
	sd_event_unref(host->event);
	host_conf_done(&host->conf);
}
