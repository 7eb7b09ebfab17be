/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/host_mode.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "common/log.h"
#include "kmip/keystate.h"
#include "manager/hosts_internal.h"
#include "manager/keys.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/store.h"

#define REQ_ENABLE "com.vmware.vc.host.Crypto.ReqEnable."

static bool mode_is(const json_t *document, const char *mode)
{
	return strcmp(json_text(document, "mode"), mode) == 0;
}

/* Return: 0; -EBUSY. */
static int begin_change(struct hosts *hosts, struct host_change *change, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&hosts->lock);
	const struct host_change *other;

	LIST_FOREACH(other, &hosts->changing, entry)
		if (strcmp(other->host, change->host) == 0)
			return error_fail(e, EBUSY, "The encryption mode of host %s is being changed right "
					  "now: try again later", change->host);
	LIST_INSERT_HEAD(&hosts->changing, change, entry);
	return 0;
}

static void end_change(struct hosts *hosts, struct host_change *change)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&hosts->lock);

	LIST_REMOVE(change, entry);
}

struct setting {
	const char *host;
	const char *mode;
	json_t *host_key;
};

static int set_mode(struct store *store, void *userdata, struct error *e)
{
	const struct setting *setting = userdata;
	_cleanup_json_ json_t *document = NULL;
	json_t *key = setting->host_key ? setting->host_key : json_null();
	int r = host_get(store, setting->host, &document, e);

	if (r < 0)
		return r;
	if (json_object_set(document, "host_key", key) < 0)
		return error_oom(e);
	r = host_set_string(document, "mode", setting->mode, e);
	return r < 0 ? r : store_update(store, "host", setting->host, document, e);
}

static int enable(struct manager *m, const char *host, const char *user, struct error *e)
{
	_cleanup_json_ json_t *document = NULL, *key = NULL;
	struct setting setting = { .host = host, .mode = MODE_SAFE };
	int r = host_get(m->store, host, &document, e);

	if (r < 0 || mode_is(document, MODE_SAFE))
		return r;
	if (mode_is(document, MODE_PENDING))
		return error_fail(e, EBUSY, "Host %s was disabled and has keys in memory still: reboot it "
				  "before it is enabled again", json_text(document, "name"));
	r = keys_make_host_key(m, host, user, &key, e);
	if (r < 0)
		return r;
	setting.host_key = key;
	return store_write(m->store, set_mode, &setting, e);
}

/* What does not reach the host now does so when it connects. */
static void inform(struct manager *m, const char *host)
{
	struct error e = ERROR_NULL;

	if (host_mode_tell(m, host, &e) < 0)
		log_warning("Host %s: %s", host, e.text);
	e = ERROR_NULL;
	if (link_connected(m, host) && keys_provision(m, host, &e) < 0)
		log_warning("Host %s did not get all that it may have: %s", host, e.text);
}

static int check_unattached(struct store *store, const char *host, struct error *e)
{
	_cleanup_json_ json_t *disk = NULL;
	int r = host_disk_attached(store, host, &disk, e);

	if (r <= 0)
		return r;
	return error_fail(e, EBUSY, "Disk %s of VM %s is attached on host %s: stop or move its encrypted VMs "
			  "first", json_text(disk, "id"), json_text(disk, "vm"), host);
}

static int disable(struct store *store, void *userdata, struct error *e)
{
	const char *host = userdata;
	_cleanup_json_ json_t *document = NULL;
	const char *mode = MODE_INCAPABLE;
	int r = host_get(store, host, &document, e);

	if (r == 0)
		r = check_unattached(store, host, e);
	if (r < 0)
		return r;
	if (mode_is(document, MODE_SAFE) || mode_is(document, MODE_PENDING))
		mode = MODE_PENDING;
	r = host_set_string(document, "mode", mode, e);
	return r < 0 ? r : store_update(store, "host", host, document, e);
}

/* @user: who enables it; NULL: it is disabled */
static int change_mode(struct manager *m, const char *host, const char *user, struct error *e)
{
	struct host_change change = { .host = "" };
	int r;

	snprintf(change.host, sizeof(change.host), "%s", host);
	r = begin_change(m->hosts, &change, e);
	if (r < 0)
		return r;
	r = user ? enable(m, host, user, e) : store_write(m->store, disable, change.host, e);
	end_change(m->hosts, &change);
	if (r == 0)
		inform(m, host);
	return r;
}

int host_mode_enable(struct manager *m, const char *host, const char *user, struct error *e)
{
	return change_mode(m, host, user, e);
}

int host_mode_disable(struct manager *m, const char *host, struct error *e)
{
	return change_mode(m, host, /* user= */ NULL, e);
}

const char *host_mode_failed_event(const struct error *e)
{
	if (e->status != EXIT_NO_KEY)
		return NULL;
	switch (keystate_of_error(e->code, /* wrapping= */ false)) {
	case KEYSTATE_MISSING:
	case KEYSTATE_NOT_ACTIVE:
		return REQ_ENABLE "KeyMissingOnKMS";
	default:
		return REQ_ENABLE "KMSClusterError";
	}
}

static int enable_recorded(struct manager *m, const char *host, const char *user, const char *why,
			   struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "policy", why);
	char object[8 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	struct record_event event = {
		.user = user, .operation = "host.enable", .type = HOST_ENABLED_EVENT,
		.object = object, .host = host, .data = data,
	};
	struct error own = ERROR_NULL;
	int r;

	snprintf(object, sizeof(object), "host:%s", host);
	r = record_begin(m->store, &event, id, &own);
	if (r == 0) {
		r = host_mode_enable(m, host, user, &own);
		event.failed_type = host_mode_failed_event(&own);
		(void) record_end(m->store, id, &event, r < 0 ? &own : NULL);
	}
	if (r < 0 && e) {
		*e = own;
		return error_prefix(e, "Host %s is prepared for encryption, and cannot be enabled", host);
	}
	return r;
}

int host_mode_prepared(struct manager *m, const char *host, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = host_get(m->store, host, &document, e);

	return r < 0 ? r : mode_is(document, MODE_PREPARED);
}

int host_mode_on_demand(struct manager *m, const char *host, const char *user, struct error *e)
{
	return enable_recorded(m, host, user, HOST_ON_DEMAND, e);
}

int host_mode_forced(struct manager *m, const char *host, struct error *e)
{
	_cleanup_json_ json_t *document = NULL, *cluster = NULL;
	int r = host_get(m->store, host, &document, e);

	if (r < 0 || !mode_is(document, MODE_PREPARED) || !*json_text(document, "cluster"))
		return r;
	r = store_get(m->store, "cluster", json_text(document, "cluster"), &cluster, e);
	if (r < 0 || strcmp(json_text(cluster, "crypto_mode"), HOST_FORCE_ENABLE) != 0)
		return r;
	r = enable_recorded(m, host, RECORD_USER_MANAGER, HOST_FORCE_ENABLE, e);
	return r < 0 ? r : 1;
}

static int force_cluster(struct manager *m, const json_t *cluster, struct error *e)
{
	_cleanup_json_ json_t *hosts = NULL;
	const json_t *host;
	size_t i;
	int r = 0;

	if (strcmp(json_text(cluster, "crypto_mode"), HOST_FORCE_ENABLE) == 0)
		r = store_list(m->store, "host", "cluster", json_text(cluster, "id"), &hosts, e);
	json_array_foreach(hosts, i, host)
		if (mode_is(host, MODE_PREPARED))
			link_look_after(m, json_text(host, "id"));
	return r;
}

void host_mode_force_all(struct manager *m, const char *cluster)
{
	_cleanup_json_ json_t *clusters = NULL;
	const json_t *document;
	struct error e = ERROR_NULL;
	size_t i;
	int r = store_list(m->store, "cluster", NULL, NULL, &clusters, &e);

	json_array_foreach(clusters, i, document)
		if (r == 0 && (!cluster || strcmp(json_text(document, "id"), cluster) == 0))
			r = force_cluster(m, document, &e);
	if (r < 0)
		log_warning("Hosts are not enabled as the policies of their clusters want it: %s", e.text);
}

int host_mode_tell(struct manager *m, const char *host, struct error *e)
{
	/* In order with what depends on the mode: no key may come behind the end of its right. */
	_cleanup_unlock_ pthread_mutex_t *lock = keywatch_host_lock(m->watch, host);
	_cleanup_json_ json_t *document = NULL, *args = NULL;
	struct channel_failure why = { .key_reason = "" };
	int r = host_get(m->store, host, &document, e);

	if (r < 0)
		return r;
	args = json_pack("{s:s}", "mode", json_text(document, "mode"));
	if (!args)
		return error_oom(e);
	r = link_ask(m, host, "mode.set", args, LINK_ASK_MS, NULL, &why);
	if (r < 0 && r != -ENOTCONN && e)
		*e = why.error;
	return r == -ENOTCONN ? 0 : r;
}

int host_mode_rebooted(json_t *document, struct error *e)
{
	if (!mode_is(document, MODE_PENDING))
		return 0;
	if (json_object_set_new(document, "host_key", json_null()) < 0)
		return error_oom(e);
	return host_set_string(document, "mode", MODE_INCAPABLE, e);
}
