/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations that show disks and keys: the state's records with what the kernel says. */
#include "host/ops.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "vmcrypt.h"

/* What the kernel has; empty without the module. */
struct kernel_view {
	struct nl_disk *disks;
	size_t n_disks;
	struct nl_key *keys;
	size_t n_keys;
};

static void kernel_view_done(struct kernel_view *view)
{
	free(view->disks);
	free(view->keys);
}

#define _cleanup_view_ __attribute__((cleanup(kernel_view_done)))

static int kernel_view(struct host *host, struct kernel_view *ret, struct error *e)
{
	int r;

	*ret = (struct kernel_view){ 0 };
	if (nl_client_check(host->netlink, NULL) < 0)
		return 0;
	r = nl_client_disk_list(host->netlink, &ret->disks, &ret->n_disks, e);
	if (r == 0)
		r = nl_client_key_list(host->netlink, &ret->keys, &ret->n_keys, e);
	return r;
}

static const struct nl_disk *view_disk(const struct kernel_view *view, const uint8_t *dek)
{
	size_t i;

	for (i = 0; i < view->n_disks; i++)
		if (!memcmp(view->disks[i].dek, dek, UUID_SIZE))
			return &view->disks[i];
	return NULL;
}

static const struct nl_key *view_key(const struct kernel_view *view, const uint8_t *dek)
{
	size_t i;

	for (i = 0; i < view->n_keys; i++)
		if (!memcmp(view->keys[i].dek, dek, UUID_SIZE))
			return &view->keys[i];
	return NULL;
}

static const char *key_state_name(uint32_t state)
{
	static const char *const names[] = {
		[VMCRYPT_KEY_ABSENT] = "absent",
		[VMCRYPT_KEY_LOADED] = "loaded",
		[VMCRYPT_KEY_WIPING] = "wiping",
		[VMCRYPT_KEY_LOCKED] = "locked",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "absent";
}

static json_t *counters_json(const struct nl_disk *disk)
{
	if (!disk)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "inflight", (json_int_t)disk->inflight,
			 "queued", (json_int_t)disk->queued, "reads", (json_int_t)disk->reads,
			 "writes", (json_int_t)disk->writes, "errors", (json_int_t)disk->errors);
}

static json_t *locators_json(const json_t *record)
{
	json_t *locators = json_array();
	const json_t *key;
	size_t i;

	json_array_foreach(json_object_get(record, "keys"), i, key)
		json_array_append(locators, json_object_get(key, "locator"));
	return locators;
}

static const char *text_of(const json_t *record, const char *name)
{
	return json_string_value(json_object_get(record, name));
}

static json_int_t number_of(const json_t *record, const char *name, json_int_t otherwise)
{
	const json_t *value = json_object_get(record, name);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

/* A disk that the state does not know has only what the kernel says of it. */
static json_t *disk_json(const uint8_t *dek, const json_t *record,
			 const struct kernel_view *view)
{
	const struct nl_disk *disk = view_disk(view, dek);
	const struct nl_key *key = view_key(view, dek);
	const char *name = disk ? disk->name : text_of(record, "name");
	char dek_text[UUID_TEXT_SIZE], path[sizeof("/dev/mapper/") + VMCRYPT_NAME_MAX];

	uuid_format(dek, dek_text);
	snprintf(path, sizeof(path), "/dev/mapper/%s", disk ? disk->name : "");
	return json_pack("{s:s?, s:s?, s:s?, s:s?, s:s, s:I, s:I, s:I, s:s?, s:s?, s:s?, s:o, s:s, s:b, s:b, s:o}",
			 "name", name, "path", disk ? path : NULL,
			 "device", text_of(record, "device"), "header", text_of(record, "header"),
			 "dek", dek_text,
			 "key_bits", number_of(record, "key_bits", key ? key->key_bits : 0),
			 "sector_size",
			 number_of(record, "sector_size", disk ? disk->sector_size : 0),
			 "size", number_of(record, "size",
					   disk ? (json_int_t)disk->sectors * 512 : 0),
			 "vm", text_of(record, "vm"),
			 "disk", text_of(record, "disk"),
			 "created", text_of(record, "created"),
			 "keys", locators_json(record),
			 "state", key_state_name(key ? key->state : VMCRYPT_KEY_ABSENT),
			 "attached", disk != NULL,
			 "locked", json_is_true(json_object_get(record, "locked")),
			 "counters", counters_json(disk));
}

int ops_disk_json(struct host *host, const uint8_t dek[UUID_SIZE], json_t **ret, struct error *e)
{
	_cleanup_view_ struct kernel_view view = { 0 };
	_cleanup_json_ json_t *record = NULL;
	char text[UUID_TEXT_SIZE];
	int r;

	r = kernel_view(host, &view, e);
	if (r < 0)
		return r;
	uuid_format(dek, text);
	record = state_get(host->state, text);
	*ret = disk_json(dek, record, &view);
	return *ret ? 0 : error_oom(e);
}

json_t *ops_disks_json(struct host *host, struct error *e)
{
	_cleanup_json_ json_t *all = state_all(host->state);
	_cleanup_view_ struct kernel_view view = { 0 };
	json_t *disks = json_array(), *record;
	char text[UUID_TEXT_SIZE];
	uint8_t dek[UUID_SIZE];
	const char *name;
	size_t i;

	if (kernel_view(host, &view, e) < 0) {
		json_decref(disks);
		return NULL;
	}
	json_object_foreach(all, name, record)
		if (uuid_parse_text(name, dek) == 0)
			json_array_append_new(disks, disk_json(dek, record, &view));
	for (i = 0; i < view.n_disks; i++) {
		uuid_format(view.disks[i].dek, text);
		if (json_object_get(all, text))
			continue;
		json_array_append_new(disks, disk_json(view.disks[i].dek, NULL, &view));
		json_object_set_new(all, text, json_true());	/* several targets, one disk */
	}
	if (!disks)
		error_oom(e);
	return disks;
}

int op_disk_list(struct call *call, json_t **ret_result, struct error *e)
{
	json_t *disks = ops_disks_json(call->host, e);

	if (!disks)
		return e->code;
	*ret_result = json_pack("{s:o}", "disks", disks);
	return 0;
}

/* A mapped device first: what is attached has the name now. */
static int find_disk(struct host *host, const char *what, uint8_t ret_dek[UUID_SIZE],
		     struct error *e)
{
	char dek[UUID_TEXT_SIZE];
	struct nl_disk disk;
	int r;

	if (nl_client_check(host->netlink, NULL) == 0 && strlen(what) <= VMCRYPT_NAME_MAX &&
	    nl_client_disk_get(host->netlink, what, &disk, NULL) == 0) {
		memcpy(ret_dek, disk.dek, UUID_SIZE);
		return 0;
	}
	r = state_find(host->state, what, dek, e);
	return r < 0 ? r : uuid_parse_text(dek, ret_dek);
}

int op_disk_show(struct call *call, json_t **ret_result, struct error *e)
{
	uint8_t dek[UUID_SIZE];
	int r;

	r = find_disk(call->host, call_text(call, "name"), dek, e);
	return r < 0 ? r : ops_disk_json(call->host, dek, ret_result, e);
}

static json_t *key_disks(const struct kernel_view *view, const struct nl_key *key)
{
	json_t *names = json_array();
	const char *last = "";
	size_t i;

	for (i = 0; i < view->n_disks; i++) {
		/* Targets of one mapped device stand together. */
		if (memcmp(view->disks[i].dek, key->dek, UUID_SIZE) != 0 ||
		    !strcmp(last, view->disks[i].name))
			continue;
		last = view->disks[i].name;
		json_array_append_new(names, json_string(last));
	}
	return names;
}

int op_key_list(struct call *call, json_t **ret_result, struct error *e)
{
	_cleanup_json_ json_t *all = state_all(call->host->state);
	_cleanup_view_ struct kernel_view view = { 0 };
	json_t *keys, *record;
	char dek[UUID_TEXT_SIZE];
	size_t i;
	int r;

	r = nl_client_check(call->host->netlink, e);
	if (r == 0)
		r = kernel_view(call->host, &view, e);
	if (r < 0)
		return r;
	keys = json_array();
	for (i = 0; i < view.n_keys; i++) {
		uuid_format(view.keys[i].dek, dek);
		record = json_object_get(all, dek);
		json_array_append_new(keys,
			json_pack("{s:s, s:i, s:s, s:i, s:o, s:o, s:b}", "dek", dek,
				  "key_bits", (int)view.keys[i].key_bits,
				  "state", key_state_name(view.keys[i].state),
				  "targets", (int)view.keys[i].targets,
				  "disks", key_disks(&view, &view.keys[i]),
				  "keys", locators_json(record),
				  "locked", json_is_true(json_object_get(record, "locked"))));
	}
	*ret_result = json_pack("{s:o}", "keys", keys);
	return 0;
}
