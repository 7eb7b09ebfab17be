/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/state.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"

#define STATE_VERSION	1

struct state {
	pthread_mutex_t lock;
	char *path;
	json_t *disks;		/* an object by DEK */
};

static const char *text_of(const json_t *record, const char *name)
{
	return json_string_value(json_object_get(record, name));
}

static bool flag_of(const json_t *record, const char *name)
{
	return json_is_true(json_object_get(record, name));
}

/* Two paths of one device, or the same path. */
static bool same_device(const char *a, const char *b)
{
	struct stat one, other;

	if (!strcmp(a, b))
		return true;
	return stat(a, &one) == 0 && stat(b, &other) == 0 && S_ISBLK(one.st_mode) &&
	       S_ISBLK(other.st_mode) && one.st_rdev == other.st_rdev;
}

static bool record_valid(const char *dek, const json_t *record)
{
	uint8_t uuid[UUID_SIZE];
	const char *device = text_of(record, "device");

	return uuid_parse_text(dek, uuid) == 0 && json_is_object(record) && device &&
	       *device == '/' && (json_is_boolean(json_object_get(record, "locked")) ||
				  flag_of(record, "pending"));
}

static int state_check(const json_t *root, json_t **ret_disks, const char *path, struct error *e)
{
	json_t *disks = json_object_get(root, "disks"), *record;
	const char *dek;

	if (json_integer_value(json_object_get(root, "version")) != STATE_VERSION ||
	    !json_is_object(disks))
		return error_fail(e, EBADMSG, "Cannot understand %s: it is no disk state of version %d; bring it back from a copy of the state folder",
				  path, STATE_VERSION);
	json_object_foreach(disks, dek, record)
		if (!record_valid(dek, record))
			return error_fail(e, EBADMSG, "Cannot understand %s: the record of disk %.40s is damaged; bring it back from a copy of the state folder",
					  path, dek);
	*ret_disks = json_incref(disks);
	return 0;
}

static int state_load(struct state *state, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *root = NULL;
	size_t size;
	int r;

	r = file_read_bounded(state->path, STATE_SIZE_MAX, &text, &size, e);
	if (r == -ENOENT) {
		if (e)
			*e = ERROR_NULL;
		state->disks = json_object();
		return state->disks ? 0 : error_oom(e);
	}
	if (r < 0)
		return r;
	r = json_parse(text, size, STATE_SIZE_MAX, state->path, &root, e);
	if (r < 0)
		return r;
	return state_check(root, &state->disks, state->path, e);
}

int state_open(const char *dir, struct state **ret, struct error *e)
{
	struct state *state = calloc(1, sizeof(*state));
	int r;

	if (!state)
		return error_oom(e);
	pthread_mutex_init(&state->lock, NULL);
	if (asprintf(&state->path, "%s/" STATE_FILE, dir) < 0) {
		state->path = NULL;
		r = error_oom(e);
	} else {
		r = state_load(state, e);
	}
	if (r < 0) {
		state_free(state);
		return r;
	}
	*ret = state;
	return 0;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	json_decref(state->disks);
	free(state->path);
	pthread_mutex_destroy(&state->lock);
	free(state);
}

/* Under the lock: make @disks the state, on disk first. Takes the reference. */
static int commit(struct state *state, json_t *disks, struct error *e)
{
	_cleanup_json_ json_t *fresh = disks;
	_cleanup_json_ json_t *root = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	root = json_pack("{s:i, s:O}", "version", STATE_VERSION, "disks", fresh);
	if (!root)
		return error_oom(e);
	r = json_format(root, &text, &size, e);
	if (r == 0)
		r = file_write_atomic(state->path, text, size, 0600, e);
	if (r < 0)
		return r;
	json_decref(state->disks);
	state->disks = TAKE_PTR(fresh);
	return 0;
}

static json_t *wraps_json(const struct token *token)
{
	json_t *keys = json_array();
	char locator[LOCATOR_TEXT_SIZE], provider[UUID_TEXT_SIZE];
	size_t i;

	for (i = 0; i < token->n_wraps; i++) {
		locator_format(&token->wraps[i].locator, locator);
		uuid_format(token->wraps[i].locator.provider, provider);
		json_array_append_new(keys, json_pack("{s:s, s:s}", "provider", provider,
						      "locator", locator));
	}
	return keys;
}

static json_t *record_new(const struct state_disk *disk, const json_t *old)
{
	const struct disk_header *h = disk->h;
	const char *name = disk->name ? disk->name : text_of(old, "name");
	uint64_t size = 0;

	if (header_data_size(h, &size, NULL) < 0)
		size = (uint64_t)json_integer_value(json_object_get(old, "size"));
	return json_pack("{s:s, s:s?, s:s?, s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:b}",
			 "device", h->device, "header", h->header, "name", name,
			 "vm", h->token.vm, "disk", h->token.disk, "created", h->token.created,
			 "key_bits", (json_int_t)h->key_bits,
			 "sector_size", (json_int_t)h->segment.sector_size,
			 "size", (json_int_t)size, "keys", wraps_json(&h->token),
			 "locked", flag_of(old, "locked"));
}

/* A device has one header: a record with another DEK is of one that is gone. */
static void drop_replaced(json_t *disks, const char *dek, const struct disk_header *h)
{
	const char *other, *device;
	json_t *record;
	void *next;

	if (h->header)
		return;
	json_object_foreach_safe(disks, next, other, record) {
		device = text_of(record, "device");
		if (strcmp(other, dek) != 0 && same_device(device, h->device) &&
		    !text_of(record, "header"))
			json_object_del(disks, other);
	}
}

int state_remember(struct state *state, const struct state_disk *disk, struct error *e)
{
	_cleanup_json_ json_t *record = NULL;
	char dek[UUID_TEXT_SIZE];
	json_t *disks;
	int r = 0;

	uuid_format(disk->h->token.dek, dek);
	pthread_mutex_lock(&state->lock);
	record = record_new(disk, json_object_get(state->disks, dek));
	disks = json_copy(state->disks);
	if (!record || !disks || json_object_set(disks, dek, record) < 0) {
		json_decref(disks);
		r = error_oom(e);
	} else {
		drop_replaced(disks, dek, disk->h);
		if (json_equal(disks, state->disks))
			json_decref(disks);
		else if (json_object_size(disks) > STATE_DISKS_MAX)
			r = (json_decref(disks), error_fail(e, ENOSPC, "Cannot remember disk %s: the agent knows %d disks already",
							    disk->h->device, STATE_DISKS_MAX));
		else
			r = commit(state, disks, e);
	}
	pthread_mutex_unlock(&state->lock);
	return r;
}

/* Set a record, or take it out when @record is NULL. Takes the reference. */
static int change(struct state *state, const char *dek, json_t *record, struct error *e)
{
	json_t *disks = json_copy(state->disks);
	int r = 0;

	if (!disks) {
		json_decref(record);
		return error_oom(e);
	}
	r = record ? json_object_set_new(disks, dek, record) : json_object_del(disks, dek);
	if (r < 0) {
		json_decref(disks);
		return record ? error_oom(e) : 0;
	}
	return commit(state, disks, e);
}

int state_begin_create(struct state *state, const char *dek, const char *device,
		       const char *header, struct error *e)
{
	json_t *record = json_pack("{s:s, s:s?, s:b}", "device", device, "header", header,
				   "pending", 1);
	int r;

	if (!record)
		return error_oom(e);
	pthread_mutex_lock(&state->lock);
	r = change(state, dek, record, e);
	pthread_mutex_unlock(&state->lock);
	return r;
}

json_t *state_pending(struct state *state)
{
	json_t *pending = json_array(), *record;
	const char *dek;

	pthread_mutex_lock(&state->lock);
	json_object_foreach(state->disks, dek, record)
		if (flag_of(record, "pending"))
			json_array_append_new(pending,
					      json_pack("[s, s, s?]", dek, text_of(record, "device"),
							text_of(record, "header")));
	pthread_mutex_unlock(&state->lock);
	return pending;
}

int state_forget(struct state *state, const char *dek, struct error *e)
{
	int r;

	pthread_mutex_lock(&state->lock);
	r = change(state, dek, NULL, e);
	pthread_mutex_unlock(&state->lock);
	return r;
}

int state_set_locked(struct state *state, const char *dek, bool locked, struct error *e)
{
	json_t *record;
	int r = 0;

	pthread_mutex_lock(&state->lock);
	record = json_object_get(state->disks, dek);
	if (!record || flag_of(record, "pending")) {
		r = error_fail(e, ENOENT, "The agent knows no disk with the DEK %s", dek);
	} else if (flag_of(record, "locked") != locked) {
		record = json_copy(record);
		if (!record || json_object_set_new(record, "locked", json_boolean(locked)) < 0) {
			json_decref(record);
			r = error_oom(e);
		} else {
			r = change(state, dek, record, e);
		}
	}
	pthread_mutex_unlock(&state->lock);
	return r;
}

bool state_is_locked(struct state *state, const char *dek)
{
	bool locked;

	pthread_mutex_lock(&state->lock);
	locked = flag_of(json_object_get(state->disks, dek), "locked");
	pthread_mutex_unlock(&state->lock);
	return locked;
}

char *state_header_of_dek(struct state *state, const char *dek)
{
	const char *header;
	char *copy;

	pthread_mutex_lock(&state->lock);
	header = text_of(json_object_get(state->disks, dek), "header");
	copy = header ? strdup(header) : NULL;
	pthread_mutex_unlock(&state->lock);
	return copy;
}

char *state_header_of_device(struct state *state, const char *device)
{
	const char *dek, *header, *newest = "", *created;
	char *copy = NULL;
	json_t *record;

	pthread_mutex_lock(&state->lock);
	json_object_foreach(state->disks, dek, record) {
		header = text_of(record, "header");
		created = text_of(record, "created");
		if (!header || !created || !same_device(text_of(record, "device"), device) ||
		    strcmp(created, newest) < 0)
			continue;
		free(copy);
		copy = strdup(header);
		newest = created;
	}
	pthread_mutex_unlock(&state->lock);
	return copy;
}

static bool same_text(const char *a, const char *b)
{
	return !strcmp(a, b);
}

/* Under the lock: how many disks @what is the name or the device of. */
static unsigned int matches(struct state *state, const char *what,
			    char ret_dek[UUID_TEXT_SIZE])
{
	bool path = *what == '/';
	const char *member = path ? "device" : "name";
	bool (*same)(const char *a, const char *b) = path ? same_device : same_text;
	unsigned int found = 0;
	const char *dek, *value;
	json_t *record;

	json_object_foreach(state->disks, dek, record) {
		value = text_of(record, member);
		if (!value || !same(value, what))
			continue;
		snprintf(ret_dek, UUID_TEXT_SIZE, "%s", dek);
		found++;
	}
	return found;
}

int state_find(struct state *state, const char *what, char ret_dek[UUID_TEXT_SIZE],
	       struct error *e)
{
	unsigned int found;

	pthread_mutex_lock(&state->lock);
	if (json_object_get(state->disks, what)) {
		snprintf(ret_dek, UUID_TEXT_SIZE, "%s", what);
		found = 1;
	} else {
		found = matches(state, what, ret_dek);
	}
	pthread_mutex_unlock(&state->lock);
	if (found == 1)
		return 0;
	if (found)
		return error_fail(e, ENOTUNIQ, "%u disks had the name %s: name the DEK's UUID (see disk list)",
				  found, what);
	return error_fail(e, ENOENT, "The agent knows no disk %s: see disk list, or attach it first",
			  what);
}

json_t *state_get(struct state *state, const char *dek)
{
	json_t *record;

	pthread_mutex_lock(&state->lock);
	record = json_deep_copy(json_object_get(state->disks, dek));
	pthread_mutex_unlock(&state->lock);
	return record;
}

json_t *state_all(struct state *state)
{
	json_t *all;

	pthread_mutex_lock(&state->lock);
	all = json_deep_copy(state->disks);
	pthread_mutex_unlock(&state->lock);
	return all;
}
