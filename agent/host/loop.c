/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "common/log.h"
#include "host/boot.h"
#include "host/keyrequest.h"

#define USEC_PER_SEC	1000000ULL
#define STATUS_S	5	/* seconds between STATUS= lines */
/* Cached KDKs are forgotten when no key was asked for in this time. */
#define IDLE_S		300

static void notify_status(struct host *host, const char *state)
{
	unsigned int attached = 0, failed = 0, waiting = 0;

	if (host->boot)
		boot_count(host->boot, &attached, &failed, &waiting);
	sd_notifyf(0, "%sSTATUS=%s; at start: %u disks attached, %u waiting, %u failed", state,
		   key_requests_module_loaded(host->requests) ? "kernel module loaded" :
		   "kernel module dm-vmcrypt not loaded", attached, waiting, failed);
}

void loop_ready(struct host *host)
{
	log_info("The agent is ready");
	notify_status(host, "READY=1\n");
}

void loop_module_came(struct host *host)
{
	boot_retry(host->boot);
	notify_status(host, "");
}

void loop_device_came(struct host *host, dev_t device, bool added)
{
	boot_device_came(host->boot, device, added);
}

static void reload(struct host *host)
{
	struct error e = ERROR_NULL;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)now.tv_sec * USEC_PER_SEC +
		   (unsigned long long)now.tv_nsec / 1000);
	if (host_conf_reload(&host->conf, &e) < 0)
		log_error("The settings stay as they were: %s", e.text);
	log_set_level(host->conf.log_level);
	e = ERROR_NULL;
	if (boot_reload(host->boot, &e) < 0)
		log_error("The list of disks stays as it was: %s", e.text);
	notify_status(host, "READY=1\n");
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	(void)source;
	(void)si;
	log_notice("Reading the settings and the list of disks again");
	reload(userdata);
	return 0;
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	(void)userdata;
	log_notice("The agent ends (signal %u); attached disks stay attached", si->ssi_signo);
	sd_notify(0, "STOPPING=1");
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_status(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct host *host = userdata;

	(void)usec;
	notify_status(host, "");
	sd_event_source_set_time_relative(source, STATUS_S * USEC_PER_SEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct host *host = userdata;

	(void)usec;
	if (!workers_busy(host->operations) && !workers_busy(host->key_work))
		provider_registry_forget(host->providers);
	sd_event_source_set_time_relative(source, IDLE_S * USEC_PER_SEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGPIPE);
	return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

static int add_sources(struct host *host)
{
	int r;

	r = sd_event_add_signal(host->event, NULL, SIGTERM, on_end, host);
	if (r >= 0)
		r = sd_event_add_signal(host->event, NULL, SIGINT, on_end, host);
	if (r >= 0)
		r = sd_event_add_signal(host->event, NULL, SIGHUP, on_reload, host);
	if (r >= 0)
		r = sd_event_add_time_relative(host->event, NULL, CLOCK_MONOTONIC,
					       STATUS_S * USEC_PER_SEC, 0, on_status, host);
	if (r >= 0)
		r = sd_event_add_time_relative(host->event, &host->idle, CLOCK_MONOTONIC,
					       IDLE_S * USEC_PER_SEC, 0, on_idle, host);
	if (r >= 0)
		r = sd_event_set_watchdog(host->event, 1);
	return r;
}

int loop_new(struct host *host, struct error *e)
{
	int r;

	r = block_signals();
	if (r >= 0)
		r = sd_event_new(&host->event);
	if (r >= 0)
		r = add_sources(host);
	return r < 0 ? error_fail(e, r, "Cannot make the main loop: %s", strerror(-r)) : 0;
}

int loop_run(struct host *host, struct error *e)
{
	int r = sd_event_loop(host->event);

	return r < 0 ? error_fail(e, r, "The main loop broke off: %s", strerror(-r)) : 0;
}
