/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which provider is used where none is named: the nearest of three scopes decides. */
#include "manager/provider_native.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "manager/hosts.h"
#include "manager/manager.h"
#include "manager/store.h"

#define KIND		PROVIDER_DEFAULT_KIND
#define GLOBAL		PROVIDER_DEFAULT_GLOBAL
#define SCOPE_SIZE	64	/* bytes of "cluster:UUID", with room */

/* Return: 1 when there is one, 0, or what the store answers. */
static int of_scope(struct manager *m, const char *scope, char ret[UUID_TEXT_SIZE],
		    struct error *e)
{
	_cleanup_json_ json_t *chosen = NULL;
	int r = store_get(m->store, KIND, scope, &chosen, e);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	snprintf(ret, UUID_TEXT_SIZE, "%s", json_text(chosen, "provider"));
	return 1;
}

int provider_default_of(struct manager *m, const char *host, const struct host_view *view,
			char ret[UUID_TEXT_SIZE], struct error *e)
{
	char scope[SCOPE_SIZE];
	int r = 0;

	if (host) {
		snprintf(scope, sizeof(scope), "host:%.36s", host);
		r = of_scope(m, scope, ret, e);
	}
	if (r == 0 && view && view->cluster[0]) {
		snprintf(scope, sizeof(scope), "cluster:%s", view->cluster);
		r = of_scope(m, scope, ret, e);
	}
	if (r == 0)
		r = of_scope(m, GLOBAL, ret, e);
	if (r < 0)
		return r;
	return r > 0 ? 0 : error_set(e, ENOENT, EXIT_NO_KEY, 0, "There is no default key provider: make "
				     "one, or choose one (provider default)");
}

int provider_default_put(struct store *store, const char *scope, const char *id, struct error *e)
{
	_cleanup_json_ json_t *chosen = json_pack("{s:s}", "provider", id);
	int r = chosen ? store_insert(store, KIND, scope, chosen, e) : error_oom(e);

	return r == -EEXIST ? store_update(store, KIND, scope, chosen, e) : r;
}

int provider_default_set(struct manager *m, const char *scope, const char *id, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_json_ json_t *provider = NULL;
	int r = provider_get(m, id, /* type= */ NULL, &provider, e);

	return r < 0 ? r : provider_default_put(m->store, scope, id, e);
}

int provider_default_clear(struct manager *m, const char *scope, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	int r = store_delete(m->store, KIND, scope, e);

	return r == -ENOENT ? error_fail(e, ENOENT, "No default key provider was chosen for %.64s: "
					 "there is nothing to take back", scope) : r;
}

int provider_default_drop(struct store *store, const char *kind, const char *id,
			  struct error *e)
{
	char scope[SCOPE_SIZE];
	int r;

	snprintf(scope, sizeof(scope), "%.8s:%.36s", kind, id);
	r = store_delete(store, KIND, scope, NULL);
	return r == -ENOENT || r == 0 ? 0 :
	       error_fail(e, r, "Cannot take the default key provider of %s away: %s", scope,
			  error_name(r));
}

int provider_defaults(struct manager *m, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *documents = NULL, *list = json_array();
	json_t *chosen;
	size_t i;
	int r = store_list(m->store, KIND, NULL, NULL, &documents, e);

	if (r < 0)
		return r;
	json_array_foreach(documents, i, chosen)
		if (json_array_append_new(list, json_pack("{s:s, s:s}", "scope",
							  json_text(chosen, "id"), "provider",
							  json_text(chosen, "provider"))) < 0)
			return error_oom(e);
	*ret = TAKE_PTR(list);
	return *ret ? 0 : error_oom(e);
}
