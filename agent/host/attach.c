/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/attach.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "host/unlock.h"

static int check_given_up(const struct attach *a, struct error *e)
{
	if (!a->given_up || !a->given_up(a->userdata))
		return 0;
	return error_fail(e, ETIMEDOUT, "it took too long, and was given up");
}

/* Unlock, load, create: what the event is about. */
static int do_attach(struct host *host, const struct attach *a, struct disk_header *h,
		     struct event_record *record, struct error *e)
{
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	char locator[LOCATOR_TEXT_SIZE];
	struct key_locator used;
	int r;

	r = host_check_lock(host, h->token.dek, e);
	if (r == 0)
		r = host_unlock(host, h, &dek, &used, e);
	if (r < 0)
		return r;
	locator_format(&used, locator);
	events_learn(record, locator, NULL);
	r = check_given_up(a, e);
	if (r == 0)
		r = host_key_load(host, h->token.dek, &dek, e);
	if (r < 0)
		return r;
	secret_done(&dek);
	r = dm_disk_create(h, a->name, &a->options, e);
	/* Refused by the kernel where another disk uses the key. */
	if (r < 0)
		(void)nl_client_key_wipe(host->netlink, h->token.dek, /* force= */ false, NULL);
	return r;
}

static int attach_header(struct host *host, const struct attach *a, struct disk_header *h,
			 struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	char locator[LOCATOR_TEXT_SIZE];
	int r;

	r = check_given_up(a, e);
	if (r < 0)
		return r;
	host_first_locator(h, locator);
	r = events_begin(host->events,
			 &(struct event){ .user = a->user, .operation = "disk.attach",
					  .object = a->name, .key = locator, .vm = h->token.vm },
			 &record, e);
	if (r < 0)
		return r;
	r = do_attach(host, a, h, &record, e);
	events_end(host->events, &record, r < 0 ? e : NULL);
	return r;
}

/*
 * An agent that dies while it attaches leaves a device of ours without a table.
 * dm_disk_remove() touches no device of others, and none that is open.
 */
static bool clear_leftover(const char *name)
{
	if (dm_disk_remove(name, 0, NULL) < 0)
		return false;
	log_notice("%s was left over from an attach that was cut short; it is taken away", name);
	return true;
}

static int check_name(const struct attach *a, struct error *e)
{
	struct dm_disk there;
	int r;

	r = dm_name_check(a->name, e);
	if (r < 0)
		return r;
	r = dm_disk_get(a->name, &there, NULL);
	if (r == -ENOTBLK && clear_leftover(a->name))
		return 0;
	if (r == 0 || r == -ENOTBLK)
		return error_fail(e, EEXIST, "a mapped device of that name is there already; detach it or take another name");
	return 0;
}

/* What the header says here, the key authenticates later. */
static int check_dek(const struct attach *a, const struct disk_header *h, struct error *e)
{
	char dek[UUID_TEXT_SIZE];

	uuid_format(h->token.dek, dek);
	if (!a->dek || !strcmp(a->dek, dek))
		return 0;
	return error_fail(e, ESTALE, "the disk there has DEK %s, not %.64s: it is another one", dek,
			  a->dek);
}

int attach_disk(struct host *host, const struct attach *a, uint8_t ret_dek[UUID_SIZE],
		struct error *e)
{
	_cleanup_header_ struct disk_header *h = NULL;
	struct error trouble = ERROR_NULL;
	struct state_disk remember;
	int r;

	r = nl_client_check(host->netlink, e);
	if (r == 0)
		r = check_name(a, e);
	if (r == 0)
		r = host_open_header(host, a->device, a->header, HEADER_REPAIR, &h, e);
	if (r == 0)
		r = check_dek(a, h, e);
	if (r == 0)
		r = attach_header(host, a, h, e);
	if (r < 0)
		return error_prefix(e, "Cannot attach %s as %s", a->device, a->name);
	assert(h);
	remember = (struct state_disk){ .h = h, .name = a->name };
	if (state_remember(host->state, &remember, &trouble) < 0)
		log_warning("%s is attached, but the agent will not know it after a restart: %s",
			    a->name, trouble.text);
	memcpy(ret_dek, h->token.dek, UUID_SIZE);
	return 0;
}
