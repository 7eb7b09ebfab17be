/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/serve.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "common/cleanup.h"
#include "common/harden.h"
#include "common/log.h"
#include "manager/api.h"
#include "manager/authority.h"
#include "manager/backup.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/upkeep.h"
#include "manager/web.h"

static int use_certificate(SSL_CTX *ssl, void *user)
{
	const struct manager *manager = user;
	struct error e = ERROR_NULL;
	int r = authority_use(manager->authority, ssl, &e);

	if (r < 0)
		log_error("%s", e.text);
	return r;
}

static void *wait_for_signal(void *web)
{
	sigset_t signals;
	int signal;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	if (sigwait(&signals, &signal) == 0)
		log_info("Ending on SIG%s", sigabbrev_np(signal));
	web_stop(web);
	return NULL;
}

/* To be called before any thread starts: all inherit it. */
static void block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static int run(struct web *web, struct error *e)
{
	pthread_t waiter;
	int r = pthread_create(&waiter, NULL, wait_for_signal, web);

	if (r)
		return error_fail(e, r, "Cannot start the thread that waits for signals: %s",
				  error_name(r));
	log_info("Serving https on port %u", web_port(web));
	sd_notify(/* unset_environment= */ 0, "READY=1");
	r = web_run(web, e);
	sd_notify(/* unset_environment= */ 0, "STOPPING=1");
	/* Ends in sigwait(), a cancellation point, when it was not what ended us. */
	pthread_cancel(waiter);
	pthread_join(waiter, NULL);
	return r;
}

static void use_new_certificate(void *web)
{
	web_renew(web);
}

/* What needs care while it runs; without it nothing is served. */
static int run_cared_for(struct web *web, struct manager *manager,
			 const struct options *options, struct error *e)
{
	const struct upkeep_settings settings = {
		.manager = manager, .keep = options->keep, .renewed = use_new_certificate,
		.user = web,
	};
	struct backup_server *backups = NULL;
	struct upkeep *upkeep = NULL;
	int r = upkeep_start(&settings, &upkeep, e);

	if (r == 0)
		r = backup_serve(manager->store, options->dir, &backups, e);
	if (r == 0)
		r = run(web, e);
	backup_server_free(backups);
	upkeep_stop(upkeep);
	return r;
}

/* Between the opening of the manager and its closing. */
static int listen_and_run(struct manager *manager, const struct web_settings *settings,
			  const struct options *options, struct error *e)
{
	struct web_settings all = *settings;
	struct web *web = NULL;
	int r = links_new(manager, &manager->links, e);

	if (r < 0)
		return r;
	all.links = manager->links;
	r = web_new(&all, &web, e);
	if (r == 0)
		r = keywatch_start(manager->watch, manager, e);
	if (r == 0)
		r = run_cared_for(web, manager, options, e);
	/* What waits for hosts ends first. */
	links_stop(manager->links);
	keywatch_stop(manager->watch);
	web_free(web);
	links_free(TAKE_PTR(manager->links));
	return r;
}

static int renew_server(struct manager *manager, struct error *e)
{
	bool renewed = false;
	int r = authority_renew_server(manager->authority, manager->started, &renewed, e);

	if (r == 0 && renewed)
		log_notice("The server has a new certificate, for the old one was about to end");
	return r;
}

int serve(const struct options *options, struct error *e)
{
	const struct vault_settings vault = {
		.dir = options->dir, .credentials = getenv("CREDENTIALS_DIRECTORY"),
		.tcti = options->tcti,
	};
	struct manager manager = { .store = NULL };
	const struct web_settings settings = {
		.listen = options->listen, .port = options->port,
		.per_address = options->per_address, .threads = options->threads,
		.tls = use_certificate, .serve = api_serve, .user = &manager,
	};
	int r;

	block_signals();
	r = harden_seccomp_daemon(/* also= */ NULL, e);
	if (r == 0)
		r = manager_open(&vault, &manager, e);
	if (r < 0)
		return r;
	/* Half: log-ins and what needs the store alone do not wait for a host that does not answer. */
	manager.slow_max = options->threads > 1 ? options->threads / 2 : 1;
	r = renew_server(&manager, e);
	if (r == 0)
		r = listen_and_run(&manager, &settings, options, e);
	manager_close(&manager);
	return r;
}
