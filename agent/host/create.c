/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/create.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "crypto/dek.h"
#include "disk/header.h"
#include "host/link.h"

#define DEFAULT_KEY_BITS	512

enum create_step { STEP_KEY, STEP_NOTE, STEP_HEADER, STEP_CHECK, STEP_RECORD };

static const struct {
	const char *phase;
	const char *text;
} steps[CREATE_STEPS] = {
	[STEP_KEY] = { "key", "making the DEK and a KEK for it" },
	[STEP_NOTE] = { "note", "noting where the header will be" },
	[STEP_HEADER] = { "header", "writing the LUKS2 header" },
	[STEP_CHECK] = { "check", "reading the header back and opening it" },
	[STEP_RECORD] = { "record", "remembering the disk" },
};

static void progress(const struct create *c, enum create_step step)
{
	if (c->progress)
		c->progress(c->userdata, step + 1, steps[step].phase, steps[step].text);
}

/* What one disk is made of until its header holds it. */
struct fresh {
	struct secret dek;
	struct secret kek;
	struct key_locator locator;
	uint8_t uuid[UUID_SIZE];
	char dek_text[UUID_TEXT_SIZE];
};

static void fresh_done(struct fresh *f)
{
	secret_done(&f->dek);
	secret_done(&f->kek);
}

static const char *disk_label(const struct create *c)
{
	return c->disk ? c->disk : strrchr(c->device, '/') + 1;
}

/* Keys that the manager gives, or could give, encrypt where it allows it. */
static int check_mode(struct host *host, const struct create *c, struct error *e)
{
	struct provider_info info;
	int r;

	r = provider_show(host->providers, c->provider, &info, e);
	if (r < 0)
		return r;
	return info.managed || info.sealing == SEALING_KEY_SERVER ? link_check_safe(host->link, e) :
								    0;
}

static int make_keys(struct host *host, const struct create *c, struct fresh *f, struct error *e)
{
	const struct key_use use = { .vm = c->vm, .disk = disk_label(c) };
	int r;

	r = check_mode(host, c, e);
	if (r == 0)
		r = dek_generate(c->key_bits ? c->key_bits : DEFAULT_KEY_BITS, &f->dek, e);
	if (r == 0)
		r = provider_key_new(host->providers, c->provider, &use, &f->locator, &f->kek, e);
	if (r < 0)
		return r;
	r = dek_uuid(&f->dek, f->uuid);
	if (r < 0)
		return error_fail(e, r, "Cannot compute the UUID of the DEK: %s", strerror(-r));
	uuid_format(f->uuid, f->dek_text);
	return 0;
}

static int give_kek(const struct key_locator *locator, void *userdata, struct secret *ret_kek,
		    struct error *e)
{
	struct host *host = userdata;

	return provider_key_get(host->providers, locator, /* use= */ NULL, ret_kek, e);
}

/* The disk must open from what is on stable storage, by the provider's own word. */
static int check_header(struct host *host, const struct create *c, const struct fresh *f,
			struct disk_header **ret, struct error *e)
{
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	int r;

	r = header_open(c->device, c->header, 0, &h, e);
	if (r == 0)
		r = header_unlock(h, give_kek, host, &dek, e);
	if (r == 0 && !secret_equal(&dek, &f->dek))
		r = error_fail(e, EIO, "The header that was written holds another DEK");
	if (r < 0)
		return error_prefix(e, "The new header does not open");
	*ret = TAKE_PTR(h);
	return 0;
}

static int write_header(struct host *host, const struct create *c, struct fresh *f,
			struct error *e)
{
	const struct header_params params = {
		.device = c->device,
		.header = c->header,
		.vm = c->vm,
		.disk = disk_label(c),
		.sector_size = c->sector_size,
		.force = c->force,
	};
	_cleanup_header_ struct disk_header *written = NULL;
	_cleanup_header_ struct disk_header *h = NULL;
	struct error trouble = ERROR_NULL;
	int r;

	progress(c, STEP_HEADER);
	r = header_create(&params, &f->dek, &f->locator, &f->kek, &written, e);
	if (r < 0)
		return r;
	progress(c, STEP_CHECK);
	r = check_header(host, c, f, &h, e);
	if (r < 0)
		return r;
	progress(c, STEP_RECORD);
	/* The disk is complete: the note does, until a record can be written. */
	if (state_remember(host->state, &(struct state_disk){ .h = h }, &trouble) < 0)
		log_warning("The disk %s is made, but not in the agent's list: %s", c->device,
			    trouble.text);
	return 0;
}

/* Everything between intent and outcome. */
static int do_create(struct host *host, const struct create *c, struct fresh *f,
		     struct event_record *record, struct error *e)
{
	char locator[LOCATOR_TEXT_SIZE];
	int r;

	progress(c, STEP_KEY);
	r = make_keys(host, c, f, e);
	if (r < 0)
		return r;
	locator_format(&f->locator, locator);
	events_learn(record, locator, NULL);
	progress(c, STEP_NOTE);
	r = state_begin_create(host->state, f->dek_text, c->device, c->header, e);
	if (r < 0)
		return r;
	r = write_header(host, c, f, e);
	if (r < 0)
		(void)state_forget(host->state, f->dek_text, NULL);
	return r;
}

/* Before the intent: what can be seen to be wrong without doing anything. */
static int check_params(const struct create *c, struct error *e)
{
	if (c->key_bits && !dek_bits_valid(c->key_bits))
		return error_usage(e, "key_bits has to be 256 or 512, not %u", c->key_bits);
	if (c->sector_size && c->sector_size != 512 && c->sector_size != 1024 &&
	    c->sector_size != 2048 && c->sector_size != 4096)
		return error_usage(e, "sector_size has to be 512, 1024, 2048 or 4096, not %u",
				   c->sector_size);
	return 0;
}

int create_disk(struct host *host, const struct create *c, uint8_t ret_dek[UUID_SIZE],
		struct error *e)
{
	struct fresh f __attribute__((cleanup(fresh_done))) = { .dek = SECRET_NULL };
	struct event_record record = EVENT_RECORD_NULL;
	int r;

	r = check_params(c, e);
	if (r == 0)
		r = events_begin(host->events,
				 &(struct event){ .user = c->user, .operation = "disk.create",
						  .object = c->device, .vm = c->vm },
				 &record, e);
	if (r < 0)
		return r;
	r = do_create(host, c, &f, &record, e);
	events_end(host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, "Cannot create an encrypted disk on %s", c->device);
	memcpy(ret_dek, f.uuid, UUID_SIZE);
	return 0;
}

/* One note: is the header that it announces there? */
static void resume_one(struct host *host, const char *dek, const char *device,
		       const char *header)
{
	_cleanup_header_ struct disk_header *h = NULL;
	struct error e = ERROR_NULL;
	char found[UUID_TEXT_SIZE] = "";
	int r;

	r = header_open(device, header, HEADER_REPAIR, &h, &e);
	if (r == 0)
		uuid_format(h->token.dek, found);
	if (!strcmp(found, dek)) {
		log_notice("The disk %s (DEK %s) was complete when the agent ended; it is taken up",
			   device, dek);
		r = state_remember(host->state, &(struct state_disk){ .h = h }, &e);
	} else if (r == 0 || e.reason == VMCRYPT_REASON_NO_HEADER) {
		log_notice("The disk %s (DEK %s) was not made when the agent ended; create it again",
			   device, dek);
		r = state_forget(host->state, dek, &e);
	}
	if (r < 0)
		log_warning("It is not known yet whether the disk %s (DEK %s) was made: %s",
			    device, dek, e.text);
}

void create_resume(struct host *host)
{
	_cleanup_json_ json_t *pending = state_pending(host->state);
	json_t *note;
	size_t i;

	json_array_foreach(pending, i, note)
		resume_one(host, json_string_value(json_array_get(note, 0)),
			   json_string_value(json_array_get(note, 1)),
			   json_string_value(json_array_get(note, 2)));
}
