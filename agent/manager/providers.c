/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key servers of all standard providers, with their connections. */
#include "manager/providers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "manager/manager.h"
#include "manager/store.h"
#include "manager/vault.h"

#define CONTEXT_SIZE	256
#define WHAT		"key provider in the store"

/**
 * struct providers - all of them
 * @lock: of @sets and their references
 * @change: one administrator at a time
 */
struct providers {
	struct store *store;
	struct vault *vault;
	pthread_mutex_t lock;
	pthread_mutex_t change;
	struct provider_set *sets;
};

static void make_context(const char *id, const char *what, char ret[CONTEXT_SIZE])
{
	snprintf(ret, CONTEXT_SIZE, "provider|%s|%s", id, what);
}

int provider_seal(struct manager *m, const char *id, const char *what, const struct secret *plain,
		  json_t **ret, struct error *e)
{
	char context[CONTEXT_SIZE];

	make_context(id, what, context);
	return vault_seal(m->vault, context, plain, ret, e);
}

int provider_unseal(struct vault *vault, const char *id, const char *what, const json_t *sealed,
		    struct secret *ret, struct error *e)
{
	char context[CONTEXT_SIZE];

	make_context(id, what, context);
	return vault_open_secret(vault, context, sealed, ret, e);
}

static void set_free(struct provider_set *set)
{
	if (!set)
		return;
	kmip_servers_free(set->servers);
	free(set);
}

void providers_release(struct provider_set **held)
{
	struct provider_set *set = TAKE_PTR(*held);
	bool last;

	if (!set)
		return;
	pthread_mutex_lock(&set->owner->lock);
	last = --set->refs == 0;
	pthread_mutex_unlock(&set->owner->lock);
	/* Waits for connections that are being made: never under the lock. */
	if (last)
		set_free(set);
}

/* What is null or not there is NULL. */
static const char *text_or_null(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int put_server(struct providers *p, struct provider_set *set, const json_t *document,
		      const struct secret *key, const json_t *json, struct error *e)
{
	struct provider_server server = { .password = SECRET_NULL };
	struct kmip_server_settings settings;
	int r = provider_server_read(p->vault, set->id, json, &server, e);

	if (r < 0)
		return r;
	settings = provider_server_settings(&server);
	settings.tls.certificate = text_or_null(document, "certificate");
	settings.tls.key = key->size ? key : NULL;
	settings.vendor = text_or_null(json, "vendor");
	r = kmip_servers_put(set->servers, &settings, e);
	secret_done(&server.password);
	return r;
}

static int put_servers(struct providers *p, struct provider_set *set, const json_t *document,
		       struct error *e)
{
	const json_t *sealed = json_object_get(document, "certificate_key");
	_cleanup_secret_ struct secret key = SECRET_NULL;
	json_t *server;
	size_t i;
	int r = 0;

	if (json_is_object(sealed))
		r = provider_unseal(p->vault, set->id, "certificate_key", sealed, &key, e);
	json_array_foreach(json_object_get(document, "servers"), i, server) {
		if (r < 0)
			break;
		r = put_server(p, set, document, &key, server, e);
	}
	return r;
}

/* One that was made before check values were kept has none. */
static int read_check(struct provider_set *set, const json_t *document, struct error *e)
{
	const char *check = text_or_null(document, "probe_check");

	if (!check)
		return 0;
	if (hex_decode(check, set->probe_check, sizeof(set->probe_check)) < 0)
		return error_fail(e, EBADMSG, "The check value of its probe key in the store is damaged: "
				  "bring the manager's backup back");
	set->checked = true;
	return 0;
}

int providers_build(struct providers *p, const char *id, const json_t *document,
		    struct provider_set **ret, struct error *e)
{
	struct provider_set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return error_oom(e);
	set->owner = p;
	set->refs = 1;
	snprintf(set->id, sizeof(set->id), "%s", id);
	snprintf(set->name, sizeof(set->name), "%s", json_text(document, "name"));
	snprintf(set->wrapping_key, sizeof(set->wrapping_key), "%s",
		 json_text(document, "wrapping_key"));
	snprintf(set->probe_key, sizeof(set->probe_key), "%s", json_text(document, "probe_key"));
	r = kmip_servers_new(PROVIDERS_TIMEOUT_MS, &set->servers, e);
	if (r == 0)
		r = read_check(set, document, e);
	if (r == 0)
		r = put_servers(p, set, document, e);
	if (r < 0) {
		set_free(set);
		if (e)
			(void)error_prefix(e, "Key provider %s", json_text(document, "name"));
		return r;
	}
	*ret = set;
	return 0;
}

/* Under the lock. */
static struct provider_set **find(struct providers *p, const char *id)
{
	struct provider_set **at = &p->sets;

	while (*at && strcmp((*at)->id, id) != 0)
		at = &(*at)->next;
	return at;
}

/* Under the lock: out of the list; the list's reference is the caller's then. */
static struct provider_set *take_out(struct providers *p, const char *id)
{
	struct provider_set **at = find(p, id), *set = *at;

	if (set) {
		*at = set->next;
		set->next = NULL;
	}
	return set;
}

int providers_take_up(struct providers *p, const char *id, struct provider_set *set,
		      struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	struct provider_set *old;
	int r;

	if (!set) {
		r = store_get(p->store, PROVIDER_KIND, id, &document, e);
		if (r == 0)
			r = providers_build(p, id, document, &set, e);
		if (r < 0 || !set)
			return r;
	}
	pthread_mutex_lock(&p->lock);
	old = take_out(p, id);
	set->next = p->sets;
	p->sets = set;
	pthread_mutex_unlock(&p->lock);
	providers_release(&old);
	return 0;
}

void providers_forget(struct providers *p, const char *id)
{
	struct provider_set *old;

	pthread_mutex_lock(&p->lock);
	old = take_out(p, id);
	pthread_mutex_unlock(&p->lock);
	providers_release(&old);
}

int providers_hold(struct providers *p, const char *id, struct provider_set **ret, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&p->lock);
	struct provider_set *set = *find(p, id);

	if (!set)
		return error_set(e, ENOENT, EXIT_NO_KEY, 0, "The manager has no standard key provider "
				 "%.64s: it was deleted, or never was one", id);
	set->refs++;
	*ret = set;
	return 0;
}

struct kmip_wanted provider_wanted(const struct provider_set *set, const char *key)
{
	bool probe = set->checked && strcmp(key, set->probe_key) == 0;

	return (struct kmip_wanted){
		.id = key,
		.wrapping_id = set->wrapping_key[0] ? set->wrapping_key : NULL,
		.check = probe ? set->probe_check : NULL,
	};
}

int provider_probe(struct provider_set *set, struct kmip_server_status *ret, size_t *ret_n,
		   struct error *e)
{
	const struct kmip_wanted wanted = provider_wanted(set, set->probe_key);

	return kmip_servers_probe(set->servers, set->probe_key[0] ? &wanted : NULL, ret, ret_n, e);
}

pthread_mutex_t *providers_change_lock(struct providers *p)
{
	return mutex_lock(&p->change);
}

int providers_open(struct store *store, struct vault *vault, struct providers **ret,
		   struct error *e)
{
	_cleanup_json_ json_t *documents = NULL;
	struct providers *p = calloc(1, sizeof(*p));
	json_t *document;
	size_t i;
	int r;

	if (!p)
		return error_oom(e);
	p->store = store;
	p->vault = vault;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->change, NULL);
	r = store_list(store, PROVIDER_KIND, NULL, NULL, &documents, e);
	json_array_foreach(documents, i, document) {
		if (r == 0 && !strcmp(json_text(document, "type"), PROVIDER_STANDARD))
			r = providers_take_up(p, json_text(document, "id"), NULL, e);
	}
	if (r < 0) {
		providers_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void providers_free(struct providers *p)
{
	if (!p)
		return;
	while (p->sets) {
		_cleanup_set_ struct provider_set *set = p->sets;

		p->sets = set->next;
	}
	pthread_mutex_destroy(&p->change);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
