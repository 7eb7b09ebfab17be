/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/host_change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/jointoken.h"
#include "manager/hosts_internal.h"
#include "manager/keys_withdraw.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/permission_move.h"
#include "manager/store.h"

struct change {
	struct manager *m;
	const char *host;
	const struct host_changes *changes;
	bool moved;
	char left[UUID_TEXT_SIZE];
};

static int check_unattached(struct store *store, const char *host, struct error *e)
{
	_cleanup_json_ json_t *disk = NULL;
	int r = host_disk_attached(store, host, &disk, e);

	if (r <= 0)
		return r;
	return error_fail(e, EBUSY, "Disk %s is attached on host %s, whose next cluster may not have its "
			  "keys: stop or move its VM first", json_text(disk, "id"), host);
}

static int move(struct store *store, struct change *change, json_t *document, struct error *e)
{
	const char *cluster = change->changes->cluster;
	_cleanup_json_ json_t *found = NULL;
	int r;

	if (strcmp(json_text(document, "cluster"), cluster) == 0)
		return 0;
	r = *cluster ? store_get(store, "cluster", cluster, &found, e) : 0;
	if (r == 0)
		r = check_unattached(store, change->host, e);
	snprintf(change->left, sizeof(change->left), "%s", json_text(document, "cluster"));
	if (r == 0)
		r = host_set_string(document, "cluster", *cluster ? cluster : NULL, e);
	change->moved = r == 0;
	return r;
}

/* Written down, and nobody has risen by it. */
static int keep(struct store *store, struct change *change, const json_t *document,
		struct error *e)
{
	const char *actor = change->changes->actor;
	_cleanup_json_ json_t *before = NULL;
	int r = permission_before_move(store, actor, "host", change->host, &before, e);

	if (r == 0)
		r = store_update(store, "host", change->host, document, e);
	return r < 0 ? r : permission_after_move(store, actor, before, e);
}

static int apply(struct store *store, void *userdata, struct error *e)
{
	struct change *change = userdata;
	_cleanup_json_ json_t *document = NULL;
	int r = host_get(store, change->host, &document, e);

	if (r == 0 && change->changes->cluster)
		r = move(store, change, document, e);
	if (r == 0 && change->changes->name)
		r = host_set_string(document, "name", change->changes->name, e);
	if (r == 0)
		r = keep(store, change, document, e);
	if (r == 0 && change->moved)
		r = keys_withdraw_cluster(change->m, change->host, change->left, e);
	return r;
}

int host_change(struct manager *m, const char *host, const struct host_changes *changes,
		struct error *e)
{
	struct change change = { .m = m, .host = host, .changes = changes };
	int r;

	if (changes->name && !jointoken_name_valid(changes->name))
		return error_usage(e, "A host's name has 1 to %d printable characters without space "
				   "and slash", JOINTOKEN_NAME_MAX);
	r = store_write(m->store, apply, &change, e);
	/* A host that is away learns of it when it connects. */
	if (r < 0 || !change.moved || !link_connected(m, host))
		return r;
	keys_withdraw(m, host, /* all= */ true);
	link_look_after(m, host);
	return 0;
}
