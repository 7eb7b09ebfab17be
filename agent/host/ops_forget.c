/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that are known and are no more. */
#include "host/ops.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "disk/header.h"
#include "host/retry.h"

int ops_disk_look(const char *dek, const json_t *record, struct error *e)
{
	const char *device = json_string_value(json_object_get(record, "device"));
	const char *header = json_string_value(json_object_get(record, "header"));
	_cleanup_header_ struct disk_header *h = NULL;
	struct error own = ERROR_NULL;
	char found[UUID_TEXT_SIZE];
	int r;

	r = header_open(device, header, 0, &h, &own);
	/* The device is there, and no header on it. */
	if (r == -ENOMSG)
		return 0;
	if (r < 0) {
		if (e)
			*e = own;
		return r;
	}
	uuid_format(h->token.dek, found);
	return !strcmp(found, dek);
}

/* What is gone with its storage is no disk any more; what cannot be read may be one. */
static bool is_gone(int r)
{
	return r == 0 || r == -ENOENT || r == -ENODEV || r == -ENXIO;
}

static int check_gone(struct host *host, const char *dek, struct error *e)
{
	_cleanup_json_ json_t *record = state_get(host->state, dek), *disk = NULL;
	const char *device = json_text(record, "device");
	uint8_t uuid[UUID_SIZE];
	struct error why = ERROR_NULL;
	int r;

	r = uuid_parse_text(dek, uuid);
	if (r == 0)
		r = ops_disk_json(host, uuid, &disk, e);
	if (r < 0)
		return r;
	if (json_is_true(json_object_get(disk, "attached")))
		return error_fail(e, EBUSY, "It is attached as %s: detach it first", json_text(disk, "name"));
	r = ops_disk_look(dek, record, &why);
	if (r == 1)
		return error_fail(e, EBUSY, "It is there on %s: remove the device, or overwrite its header",
				  device);
	return is_gone(r) ? 0 : error_fail(e, r, "Whether it is on %s cannot be seen: %s", device, why.text);
}

int op_disk_forget(struct call *call, json_t **ret_result, struct error *e)
{
	const char *what = call_text(call, "name");
	struct event_record record = EVENT_RECORD_NULL;
	char dek[UUID_TEXT_SIZE];
	int r;

	r = state_find(call->host->state, what, dek, e);
	if (r < 0)
		return r;
	r = check_gone(call->host, dek, e);
	if (r == 0)
		r = ops_disk_begin(call, what, dek, &record, e);
	if (r == 0)
		r = state_forget(call->host->state, dek, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, "Cannot forget disk %s", what);
	*ret_result = json_pack("{s:s}", "dek", dek);
	return *ret_result ? 0 : error_oom(e);
}
