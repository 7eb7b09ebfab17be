/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/manager.h"

#include <string.h>

#include "common/encode.h"
#include "manager/authority.h"
#include "manager/errands.h"
#include "manager/hosts.h"
#include "manager/keys_watch.h"
#include "manager/providers.h"
#include "manager/refusals.h"
#include "manager/session.h"
#include "manager/store.h"
#include "manager/user.h"

static int open_parts(const struct vault_settings *settings, struct manager *m, struct error *e)
{
	int r = store_open(settings->dir, &m->store, e);

	if (r == 0)
		r = vault_open(settings, &m->vault, e);
	if (r == 0)
		r = authority_load(m->store, m->vault, &m->authority, e);
	if (r == 0)
		r = sessions_new(/* clock= */ NULL, &m->sessions, e);
	if (r == 0)
		r = users_new(m->store, m->sessions, /* clock= */ NULL, &m->users, e);
	if (r == 0)
		r = refusals_new(&m->refusals, e);
	if (r == 0)
		r = errands_new(&m->errands, e);
	if (r == 0)
		r = hosts_new(&m->hosts, e);
	if (r == 0)
		r = providers_open(m->store, m->vault, &m->providers, e);
	if (r == 0)
		r = keywatch_new(&m->watch, e);
	return r;
}

int manager_open(const struct vault_settings *settings, struct manager *ret, struct error *e)
{
	struct manager m = { .started = time_now() };
	int r = open_parts(settings, &m, e);

	if (r < 0) {
		manager_close(&m);
		return r;
	}
	*ret = m;
	return 0;
}

void manager_close(struct manager *manager)
{
	hosts_free(manager->hosts);
	keywatch_free(manager->watch);
	providers_free(manager->providers);
	errands_free(manager->errands);
	refusals_free(manager->refusals);
	users_free(manager->users);
	sessions_free(manager->sessions);
	authority_free(manager->authority);
	vault_free(manager->vault);
	store_free(manager->store);
	memset(manager, 0, sizeof(*manager));
}
