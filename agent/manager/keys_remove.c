/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys that are given up: by the hosts, here, and at the key server. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/lock.h"
#include "manager/hosts.h"
#include "manager/keys_material.h"
#include "manager/keys_push.h"
#include "manager/keys_use.h"
#include "manager/keys_watch.h"
#include "manager/keys_withdraw.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/store.h"

/* Seconds: longer than a disk takes to be made. */
#define SETTLE_S (15 * 60)

/**
 * struct removal - a key that hosts are to forget
 * @hosts: UUIDs of those that may have it
 * @lock: of @done and @failure
 * @done: those that do not have it any more, as members
 * @destroy: at the key server, too
 */
struct removal {
	struct manager *m;
	const json_t *document;
	const char *provider;
	const char *key;
	json_t *hosts;
	pthread_mutex_t lock;
	json_t *done;
	struct error failure;
	bool destroy;
};

static void removal_done(struct removal *removal)
{
	pthread_mutex_destroy(&removal->lock);
	json_decref(removal->hosts);
	json_decref(removal->done);
}

/* A host that is away is asked when it is back, unless that would be too late. */
static bool may_wait(const struct removal *removal, int r)
{
	return !removal->destroy && (r == -ENOTCONN || r == -ECONNRESET);
}

static void remove_from(struct manager *m, const char *host, void *userdata)
{
	/* Behind a key that was on its way when the removal began. */
	_cleanup_unlock_ pthread_mutex_t *lock = keywatch_host_lock(m->watch, host);
	struct removal *removal = userdata;
	struct error e = ERROR_NULL;
	int r = keys_ask_host(m, host, "key.remove",
			      json_pack("{s:s, s:s}", "provider", removal->provider, "key",
					removal->key), LINK_ASK_MS, NULL, &e);

	pthread_mutex_lock(&removal->lock);
	/* A host of another mode or version holds none. */
	if (r == 0 || r == -ENOENT || r == -EINVAL) {
		json_object_set_new(removal->done, host, json_true());
	} else if (!may_wait(removal, r) && !error_is_set(&removal->failure)) {
		removal->failure = e;
		(void)error_prefix(&removal->failure, "Host %s", host);
	}
	pthread_mutex_unlock(&removal->lock);
}

static int read_hosts(struct removal *removal, struct error *e)
{
	const char *vm = json_text(removal->document, "vm");
	int r = 0;

	removal->done = json_object();
	if (*vm)
		r = hosts_of_vm(removal->m, vm, &removal->hosts, NULL);
	else
		removal->hosts = json_pack("[s]", json_text(removal->document, "host"));
	if (r < 0 && r != -ENOENT)
		return error_fail(e, r, "Cannot see which hosts have the key: %s", error_name(r));
	return removal->done ? 0 : error_oom(e);
}

/* The disk that a key was made for may be in the making: nobody knows of it before it is told. */
static int check_made(const json_t *key, const json_t *host, struct error *e)
{
	int64_t created;

	if (strcmp(json_text(key, "made_on"), json_text(host, "id")) != 0)
		return 0;
	if (time_parse(json_text(key, "created"), &created) == 0 && time_now() - created >= SETTLE_S)
		return 0;
	return error_fail(e, EBUSY, "Key %.128s was made just now for host %.64s, which may be making a disk "
			  "with it: try again in %d minutes", json_text(key, "key"), json_text(host, "name"),
			  SETTLE_S / 60);
}

/* What is destroyed is lost: all that can have a disk with it have to have told of their disks. */
static int check_told(const struct removal *removal, const char *id, struct error *e)
{
	_cleanup_json_ json_t *host = NULL;
	int r = store_get(removal->m->store, "host", id, &host, e);

	/* One that was removed has no disks of this manager's. */
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (link_connected(removal->m, id) && *json_text(host, "reported"))
		return check_made(removal->document, host, e);
	return error_fail(e, EBUSY, "Key %.128s is not destroyed, for host %.64s is away or has not told of its "
			  "disks yet, and one of them may need it: bring it back, or remove the host (host "
			  "remove). Without --destroy the key is removed here and stays at the key server",
			  removal->key, json_text(host, "name"));
}

static int check_each(const struct removal *removal, const json_t *hosts, struct error *e)
{
	const json_t *host;
	size_t i;
	int r = 0;

	json_array_foreach(hosts, i, host) {
		r = check_told(removal, json_string_value(host), e);
		if (r < 0)
			break;
	}
	return r;
}

static int check_hosts_told(const struct removal *removal, struct error *e)
{
	_cleanup_json_ json_t *before = NULL;
	int r = check_each(removal, removal->hosts, e);

	/* Those that could have it before its VM moved. */
	if (r == 0)
		r = keys_withdraw_hosts(removal->m->store, removal->provider, removal->key, &before, e);
	return r < 0 ? r : check_each(removal, before, e);
}

static int remove_from_hosts(struct removal *removal, struct error *e)
{
	int r;

	keys_each_host(removal->m, removal->hosts, remove_from, removal);
	r = removal->failure.code;
	if (r < 0 && e)
		*e = removal->failure;
	/* Those that are not connected were not asked. */
	if (r == 0 && removal->destroy && json_object_size(removal->done) < json_array_size(removal->hosts))
		r = check_hosts_told(removal, e);
	return r;
}

static int destroy(struct manager *m, const char *provider, const char *key, struct error *e)
{
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	_cleanup_set_ struct provider_set *set = NULL;
	int r = key_set(m, provider, &set, &why);

	if (r == 0)
		return key_destroy(set, key, e);
	if (e)
		*e = why.error;
	return r;
}

static int take_off_list(struct store *store, void *userdata, struct error *e)
{
	const struct removal *removal = userdata;
	/* What is destroyed was looked at before that. */
	int r = removal->destroy ? 0 : keys_check_unused(store, removal->provider, removal->key, e);

	if (r == 0)
		r = store_delete(store, KEY_KIND, json_text(removal->document, "id"), e);
	return r < 0 ? r : keys_withdraw_key(removal->m, removal->document, removal->hosts,
					     removal->done, e);
}

static int remove_key(struct manager *m, const char *provider, const char *key, bool with_destroy,
		      struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	_cleanup_(removal_done) struct removal removal = {
		.m = m, .provider = provider, .key = key, .lock = PTHREAD_MUTEX_INITIALIZER,
		.destroy = with_destroy,
	};
	int r = keys_get(m, provider, key, &document, e);

	removal.document = document;
	if (r == 0)
		r = keys_check_unused(m->store, provider, key, e);
	if (r == 0)
		r = read_hosts(&removal, e);
	if (r == 0 && with_destroy)
		r = check_hosts_told(&removal, e);
	if (r == 0)
		r = remove_from_hosts(&removal, e);
	/* Once more, for what was reported meanwhile. */
	if (r == 0 && with_destroy)
		r = keys_check_unused(m->store, provider, key, e);
	if (r == 0 && with_destroy)
		r = destroy(m, provider, key, e);
	return r < 0 ? r : store_write(m->store, take_off_list, &removal, e);
}

int keys_remove(struct manager *m, const char *provider, const char *key, bool with_destroy,
		struct error *e)
{
	char id[KEY_DOCUMENT_SIZE];
	int r;

	key_document_id(provider, key, id);
	/* From here on no host gets it, so that one that has forgotten it stays so. */
	r = keywatch_remove_begin(m->watch, id, e);
	if (r < 0)
		return r;
	r = remove_key(m, provider, key, with_destroy, e);
	keywatch_remove_end(m->watch, id);
	return r;
}
