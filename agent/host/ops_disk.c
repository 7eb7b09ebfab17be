/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations that make, attach and open disks. */
#include "host/ops.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/log.h"
#include "disk/dm.h"
#include "host/attach.h"
#include "host/create.h"
#include "host/unlock.h"

static void create_progress(void *userdata, unsigned int step, const char *phase,
			    const char *text)
{
	call_progress(userdata, step, CREATE_STEPS, phase, text);
}

int op_disk_create(struct call *call, json_t **ret_result, struct error *e)
{
	const struct create create = {
		.device = call_text(call, "device"),
		.vm = call_text(call, "vm"),
		.disk = call_text(call, "disk"),
		.provider = call_text(call, "provider"),
		.sector_size = (uint32_t)call_number(call, "sector_size"),
		.key_bits = (uint32_t)call_number(call, "key_bits"),
		.header = call_text(call, "header"),
		.force = call_flag(call, "force"),
		.user = call->user,
		.progress = create_progress,
		.userdata = call,
	};
	uint8_t dek[UUID_SIZE];
	int r;

	r = create_disk(call->host, &create, dek, e);
	return r < 0 ? r : ops_disk_json(call->host, dek, ret_result, e);
}

static int read_options(const struct call *call, struct dm_disk_options *ret, struct error *e)
{
	const char *key_loss = call_text(call, "key_loss");

	*ret = (struct dm_disk_options){
		.allow_discards = call_flag(call, "discard"),
		.read_only = call_flag(call, "read_only"),
		.key_loss = KEY_LOSS_QUEUE,
	};
	if (key_loss && key_loss_from_name(key_loss, &ret->key_loss) < 0)
		return error_usage(e, "key_loss has to be queue or error, not %s", key_loss);
	return 0;
}

static bool given_up(void *userdata)
{
	return call_given_up(userdata);
}

int op_disk_attach(struct call *call, json_t **ret_result, struct error *e)
{
	struct attach attach = {
		.device = call_text(call, "device"),
		.name = call_text(call, "name"),
		.header = call_text(call, "header"),
		.dek = call_text(call, "dek"),
		.user = call->user,
		.given_up = given_up,
		.userdata = call,
	};
	uint8_t dek[UUID_SIZE];
	int r;

	r = read_options(call, &attach.options, e);
	if (r == 0)
		r = attach_disk(call->host, &attach, dek, e);
	return r < 0 ? r : ops_disk_json(call->host, dek, ret_result, e);
}

int op_disk_detach(struct call *call, json_t **ret_result, struct error *e)
{
	const char *name = call_text(call, "name");
	unsigned int flags = DM_REMOVE_RETRY;
	struct event_record record = EVENT_RECORD_NULL;
	char dek[UUID_TEXT_SIZE];
	struct dm_disk disk;
	int r;

	if (call_flag(call, "force"))
		flags |= DM_REMOVE_FORCE | DM_REMOVE_DEFERRED;
	r = dm_disk_get(name, &disk, e);
	/* One that was detached by force while it was open has no target of ours any
	 * more; dm_disk_remove() knows it by its UUID, and leaves others' alone. */
	if (r < 0 && r != -ENOTBLK)
		return error_prefix(e, "Cannot detach %s", name);
	dek[0] = '\0';
	if (r == 0)
		uuid_format(disk.dek, dek);
	*e = ERROR_NULL;
	r = ops_disk_begin(call, name, dek, &record, e);
	if (r == 0)
		r = dm_disk_remove(name, flags, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, "Cannot detach %s", name);
	*ret_result = json_pack("{s:s}", "name", name);
	return 0;
}

/* The table line and the DEK that authenticated it. */
static int make_table(struct call *call, struct disk_header *h,
		      const struct dm_disk_options *options, struct event_record *record,
		      char **ret, struct error *e)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	char locator[LOCATOR_TEXT_SIZE];
	struct key_locator used;
	int r;

	r = host_unlock(call->host, h, &dek, &used, e);
	if (r < 0)
		return r;
	locator_format(&used, locator);
	events_learn(record, locator, NULL);
	return dm_disk_table(h, options, ret, e);
}

int op_disk_table(struct call *call, json_t **ret_result, struct error *e)
{
	const char *device = call_text(call, "device"), *header = call_text(call, "header");
	_cleanup_header_ struct disk_header *h = NULL;
	struct event_record record = EVENT_RECORD_NULL;
	_cleanup_free_ char *table = NULL;
	struct dm_disk_options options;
	char dek[UUID_TEXT_SIZE];
	int r;

	r = read_options(call, &options, e);
	if (r == 0)
		r = host_open_header(call->host, device, header, 0, &h, e);
	if (r == 0)
		r = events_begin(call->host->events,
				 &(struct event){ .user = call->user, .operation = "disk.table",
						  .object = device, .vm = h->token.vm },
				 &record, e);
	if (r < 0)
		return r;
	r = make_table(call, h, &options, &record, &table, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, "Cannot make the table line of %s", device);
	uuid_format(h->token.dek, dek);
	*ret_result = json_pack("{s:s, s:s}", "table", table, "dek", dek);
	return 0;
}

static int write_key(int fd, const struct secret *dek, struct error *e)
{
	struct stat st;
	int r;

	r = file_write_all(fd, dek->data, dek->size);
	if (r == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		return error_fail(e, r, "Cannot write the DEK: %s", strerror(-r));
	return 0;
}

static int export_key(struct call *call, struct disk_header *h, struct event_record *record,
		      size_t *ret_bytes, struct error *e)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	char locator[LOCATOR_TEXT_SIZE];
	struct key_locator used;
	int r;

	r = host_check_lock(call->host, h->token.dek, e);
	if (r == 0)
		r = host_unlock(call->host, h, &dek, &used, e);
	if (r < 0)
		return r;
	locator_format(&used, locator);
	events_learn(record, locator, NULL);
	*ret_bytes = dek.size;
	return write_key(call->fds[0], &dek, e);
}

int op_disk_export_key(struct call *call, json_t **ret_result, struct error *e)
{
	const char *device = call_text(call, "device"), *header = call_text(call, "header");
	_cleanup_header_ struct disk_header *h = NULL;
	struct event_record record = EVENT_RECORD_NULL;
	char dek[UUID_TEXT_SIZE], locator[LOCATOR_TEXT_SIZE];
	size_t bytes = 0;
	int r;

	r = host_open_header(call->host, device, header, 0, &h, e);
	if (r < 0)
		return r;
	host_first_locator(h, locator);
	r = events_begin(call->host->events,
			 &(struct event){ .user = call->user, .operation = "disk.export-key",
					  .object = device, .key = locator, .vm = h->token.vm },
			 &record, e);
	if (r < 0)
		return r;
	r = export_key(call, h, &record, &bytes, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, "Cannot export the DEK of %s", device);
	uuid_format(h->token.dek, dek);
	*ret_result = json_pack("{s:s, s:i, s:I}", "dek", dek, "key_bits", (int)h->key_bits,
				"bytes", (json_int_t)bytes);
	return 0;
}
