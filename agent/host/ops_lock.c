/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The administrator's lock: the state says that requests for the key are
 * refused, and the kernel's key is destroyed.
 */
#include "host/ops.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "disk/dm.h"
#include "host/keyrequest.h"
#include "host/retry.h"
#include "host/unlock.h"

#define WIPE_POLL_MS	20
#define WIPE_POLLS	250

/* Under which name a DEK is attached, when it is. */
static bool find_attached(struct host *host, const uint8_t dek[UUID_SIZE], struct dm_disk *ret)
{
	_cleanup_free_ struct nl_disk *disks = NULL;
	size_t n = 0, i;

	if (nl_client_check(host->netlink, NULL) < 0 ||
	    nl_client_disk_list(host->netlink, &disks, &n, NULL) < 0)
		return false;
	for (i = 0; i < n; i++)
		if (!memcmp(disks[i].dek, dek, UUID_SIZE) &&
		    dm_disk_get(disks[i].name, ret, NULL) == 0)
			return true;
	return false;
}

/* The disk's DEK; a disk that is attached but not known becomes known. */
static int find_dek(struct call *call, const char *what, uint8_t ret_dek[UUID_SIZE],
		    struct dm_disk *ret_disk, bool *ret_attached, struct error *e)
{
	char dek[UUID_TEXT_SIZE];
	int r;

	*ret_attached = strlen(what) <= VMCRYPT_NAME_MAX && *what != '/' &&
			dm_disk_get(what, ret_disk, NULL) == 0;
	if (*ret_attached) {
		memcpy(ret_dek, ret_disk->dek, UUID_SIZE);
		return 0;
	}
	if (uuid_parse_text(what, ret_dek) == 0 &&
	    find_attached(call->host, ret_dek, ret_disk)) {
		*ret_attached = true;
		return 0;
	}
	r = state_find(call->host->state, what, dek, e);
	if (r == 0)
		r = uuid_parse_text(dek, ret_dek);
	if (r == 0)
		*ret_attached = find_attached(call->host, ret_dek, ret_disk);
	return r;
}

/* Open the header of an attached disk, or of one that the state knows. */
static int open_header(struct host *host, const char *dek, const struct dm_disk *disk,
		       struct disk_header **ret, struct error *e)
{
	_cleanup_json_ json_t *record = state_get(host->state, dek);
	const char *known = json_string_value(json_object_get(record, "device"));
	_cleanup_free_ char *header = state_header_of_dek(host->state, dek);
	_cleanup_free_ char *device = NULL;
	int r = 0;

	if (known)
		device = strdup(known);
	else if (disk)
		r = device_path(disk->lower_major, disk->lower_minor, &device, e);
	if (r < 0)
		return r;
	if (!device)
		return error_fail(e, ENOENT, "The agent does not know the device of the disk");
	return header_open(device, header, HEADER_REPAIR, ret, e);
}

/* A disk has to be known before it can have a lock. */
static int make_known(struct host *host, const char *dek, const struct dm_disk *disk,
		      struct error *e)
{
	_cleanup_json_ json_t *record = state_get(host->state, dek);
	_cleanup_header_ struct disk_header *h = NULL;
	int r;

	if (json_object_get(record, "vm"))
		return 0;
	r = open_header(host, dek, disk, &h, e);
	if (r < 0)
		return r;
	return state_remember(host->state, &(struct state_disk){ .h = h, .name = disk->name }, e);
}

/* The mark is made at once; what is inside the cipher then ends soon. */
static void wait_wiped(struct host *host, const uint8_t dek[UUID_SIZE])
{
	const struct timespec pause = { .tv_nsec = WIPE_POLL_MS * 1000000L };
	struct nl_key key;
	int i;

	for (i = 0; i < WIPE_POLLS; i++) {
		if (nl_client_key_get(host->netlink, dek, &key, NULL) < 0 ||
		    key.state != VMCRYPT_KEY_WIPING)
			return;
		nanosleep(&pause, NULL);
	}
}

static int wipe(struct host *host, const uint8_t dek[UUID_SIZE], struct error *e)
{
	int r;

	if (nl_client_check(host->netlink, NULL) < 0)
		return 0;
	r = nl_client_key_wipe(host->netlink, dek, /* force= */ true, e);
	if (r == -ENOENT) {
		*e = ERROR_NULL;
		return 0;
	}
	if (r == 0)
		wait_wiped(host, dek);
	return r;
}

int ops_disk_begin(struct call *call, const char *what, const char *dek,
		   struct event_record *ret, struct error *e)
{
	_cleanup_json_ json_t *record = state_get(call->host->state, dek);

	return events_begin(call->host->events,
			    &(struct event){ .user = call->user, .operation = call->op->name,
					     .object = what,
					     .key = json_string_value(json_object_get(
						     json_array_get(json_object_get(record, "keys"), 0),
						     "locator")),
					     .vm = json_string_value(json_object_get(record, "vm")) },
			    ret, e);
}

int op_disk_lock(struct call *call, json_t **ret_result, struct error *e)
{
	const char *what = call_text(call, "name");
	struct event_record record = EVENT_RECORD_NULL;
	char dek_text[UUID_TEXT_SIZE];
	uint8_t dek[UUID_SIZE];
	struct dm_disk disk;
	bool attached;
	int r;

	r = find_dek(call, what, dek, &disk, &attached, e);
	if (r < 0)
		return r;
	uuid_format(dek, dek_text);
	r = attached ? make_known(call->host, dek_text, &disk, e) : 0;
	if (r == 0)
		r = ops_disk_begin(call, what, dek_text, &record, e);
	/* The lock first: no request may bring the key back behind the wipe. */
	if (r == 0)
		r = state_set_locked(call->host->state, dek_text, true, e);
	if (r == 0)
		r = wipe(call->host, dek, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, "Cannot lock %s", what);
	return ops_disk_json(call->host, dek, ret_result, e);
}

/* The key of an attached disk, from its header. */
static int get_key(struct host *host, const char *dek_text, const struct dm_disk *disk,
		   struct event_record *record, struct secret *ret_dek, struct error *e)
{
	_cleanup_header_ struct disk_header *h = NULL;
	char locator[LOCATOR_TEXT_SIZE];
	struct key_locator used;
	int r;

	r = open_header(host, dek_text, disk, &h, e);
	if (r == 0 && memcmp(h->token.dek, disk->dek, UUID_SIZE) != 0)
		r = error_set(e, ENOENT, EXIT_NO_KEY, VMCRYPT_REASON_NO_HEADER,
			      "The header of %s is of another DEK than the attached disk",
			      h->device);
	if (r == 0)
		r = host_unlock(host, h, ret_dek, &used, e);
	if (r < 0)
		return r;
	locator_format(&used, locator);
	events_learn(record, locator, h->token.vm);
	return 0;
}

static int end_lock(struct host *host, const char *dek_text, struct error *e)
{
	return state_is_locked(host->state, dek_text) ?
		       state_set_locked(host->state, dek_text, false, e) : 0;
}

/* What the administrator wants stays so while there is no key: the disk is then one
 * that waits for it as any other. */
static void unlock_later(struct host *host, const char *dek_text)
{
	struct error e = ERROR_NULL;

	if (end_lock(host, dek_text, &e) < 0)
		log_warning("The disk of DEK %s stays locked: %s", dek_text, e.text);
	else
		retry_soon(host->retry);
}

/* The key first: the lock stays on a disk that cannot be opened for another reason
 * than the want of its key. */
static int do_unlock(struct host *host, const char *dek_text, const struct dm_disk *disk,
		     struct event_record *record, struct error *e)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	int r = 0;

	if (disk)
		r = get_key(host, dek_text, disk, record, &dek, e);
	if (r < 0 && e->status == EXIT_NO_KEY)
		unlock_later(host, dek_text);
	if (r == 0)
		r = end_lock(host, dek_text, e);
	if (r == 0 && disk)
		r = host_key_load(host, disk->dek, &dek, e);
	return r;
}

/* A lock that an administrator has set, or sets while the key is fetched, stays. */
static int load_lost(struct host *host, const char *dek_text, const struct dm_disk *disk,
		     struct event_record *record, struct error *e)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	int r;

	r = host_check_lock(host, disk->dek, e);
	if (r == 0)
		r = get_key(host, dek_text, disk, record, &dek, e);
	return r < 0 ? r : host_key_load(host, disk->dek, &dek, e);
}

int ops_disk_load(struct host *host, const char *name, const char *user, struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	_cleanup_json_ json_t *known = NULL;
	char dek[UUID_TEXT_SIZE];
	struct dm_disk disk;
	int r;

	r = dm_disk_get(name, &disk, e);
	if (r < 0)
		return r;
	uuid_format(disk.dek, dek);
	known = state_get(host->state, dek);
	r = events_begin(host->events,
			 &(struct event){ .user = user, .operation = "key.load", .object = name,
					  .vm = json_string_value(json_object_get(known, "vm")) },
			 &record, e);
	if (r < 0)
		return r;
	r = load_lost(host, dek, &disk, &record, e);
	events_end(host->events, &record, r < 0 ? e : NULL);
	return r;
}

int op_disk_unlock(struct call *call, json_t **ret_result, struct error *e)
{
	const char *what = call_text(call, "name");
	struct event_record record = EVENT_RECORD_NULL;
	char dek_text[UUID_TEXT_SIZE];
	uint8_t dek[UUID_SIZE];
	struct dm_disk disk;
	bool attached;
	int r;

	r = find_dek(call, what, dek, &disk, &attached, e);
	if (r < 0)
		return r;
	uuid_format(dek, dek_text);
	r = ops_disk_begin(call, what, dek_text, &record, e);
	if (r == 0)
		r = do_unlock(call->host, dek_text, attached ? &disk : NULL, &record, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, e->status == EXIT_NO_KEY ?
				    "Cannot unlock %s yet, it is tried again when its key may be there" :
				    "Cannot unlock %s", what);
	return ops_disk_json(call->host, dek, ret_result, e);
}
