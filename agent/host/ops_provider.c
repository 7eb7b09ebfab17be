/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations on key providers. */
#include "host/ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "host/retry.h"

/* Whether a disk's record has a wrap by this key: NULL: by any of the provider's. */
static bool has_key(const json_t *record, const char *provider, const char *key_id)
{
	const json_t *key;
	const char *slash;
	size_t i;

	json_array_foreach(json_object_get(record, "keys"), i, key) {
		if (strcmp(json_text(key, "provider"), provider) != 0)
			continue;
		slash = strchr(json_text(key, "locator"), '/');
		if (!key_id || (slash && !strcmp(slash + 1, key_id)))
			return true;
	}
	return false;
}

/* How many disks that the agent knows have a wrap of a provider, or of one key of it. */
static unsigned int count_disks(const json_t *all, const char *provider, const char *key_id,
				const json_t **ret_one, const char **ret_dek)
{
	unsigned int count = 0;
	const json_t *record;
	const char *dek;

	json_object_foreach((json_t *)all, dek, record) {
		if (!has_key(record, provider, key_id))
			continue;
		count++;
		*ret_one = record;
		*ret_dek = dek;
	}
	return count;
}

static const char *protection(enum provider_sealing sealing)
{
	return sealing == SEALING_TPM ? "tpm" : sealing == SEALING_NONE ? "unsealed" : "key-server";
}

static json_t *provider_json(const struct provider_info *info, const json_t *all_disks)
{
	char uuid[UUID_TEXT_SIZE], created[TIME_TEXT_SIZE], backup[TIME_TEXT_SIZE];
	const char *dek;
	const json_t *one;

	uuid_format(info->id, uuid);
	time_format(info->created, created);
	time_format(info->backed_up, backup);
	return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:b, s:b, s:b, s:s?, s:i}",
			 "name", info->name, "uuid", uuid, "type", info->type,
			 "created", info->created ? created : NULL,
			 "protection", protection(info->sealing),
			 "default", info->is_default, "managed", info->managed,
			 "backed_up", info->usable,
			 "backup_time", info->backed_up ? backup : NULL,
			 "disks", (int)count_disks(all_disks, uuid, NULL, &one, &dek));
}

json_t *ops_provider_json(struct host *host, const struct provider_info *info)
{
	_cleanup_json_ json_t *all = state_all(host->state);

	return provider_json(info, all);
}

int ops_providers_json(struct host *host, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *all = state_all(host->state);
	_cleanup_free_ struct provider_info *list = NULL;
	json_t *providers;
	size_t n, i;
	int r;

	r = provider_list(host->providers, &list, &n, e);
	if (r < 0)
		return r;
	providers = json_array();
	for (i = 0; i < n; i++)
		json_array_append_new(providers, provider_json(&list[i], all));
	*ret = providers;
	return providers ? 0 : error_oom(e);
}

static int in_use(struct host *host, const uint8_t provider[UUID_SIZE], const char *key_id,
		  char *ret_what, size_t what_size, struct error *e)
{
	char uuid[UUID_TEXT_SIZE];
	int r = 0;

	uuid_format(provider, uuid);
	for (;;) {
		_cleanup_json_ json_t *all = state_all(host->state);
		const char *dek = NULL;
		const json_t *record = NULL;

		if (!count_disks(all, uuid, key_id, &record, &dek))
			return 0;
		/* What cannot be told is taken for use. */
		if (ops_disk_look(dek, record, NULL) != 0) {
			snprintf(ret_what, what_size, "disk %s of VM %s",
				 json_string_value(json_object_get(record, "device")),
				 json_string_value(json_object_get(record, "vm")));
			return 1;
		}
		r = state_forget(host->state, dek, e);
		if (r < 0)
			return r;
	}
}

int ops_provider_in_use(void *userdata, const uint8_t provider[UUID_SIZE], char *ret_what,
			size_t what_size, struct error *e)
{
	return in_use(userdata, provider, /* key_id= */ NULL, ret_what, what_size, e);
}

int ops_key_in_use(void *userdata, const uint8_t provider[UUID_SIZE], const char *key_id,
		   char *ret_what, size_t what_size, struct error *e)
{
	return in_use(userdata, provider, key_id, ret_what, what_size, e);
}

int ops_provider_attached(void *userdata, const uint8_t provider[UUID_SIZE], char *ret_what,
			  size_t what_size, struct error *e)
{
	struct host *host = userdata;
	_cleanup_json_ json_t *disks = ops_disks_json(host, e), *all = state_all(host->state);
	char uuid[UUID_TEXT_SIZE];
	const json_t *disk;
	size_t i;

	if (!disks || !all)
		return disks ? error_oom(e) : e->code;
	uuid_format(provider, uuid);
	json_array_foreach(disks, i, disk) {
		const json_t *record = json_object_get(all, json_text(disk, "dek"));

		if (!json_is_true(json_object_get(disk, "attached")) ||
		    !has_key(record, uuid, /* key_id= */ NULL))
			continue;
		snprintf(ret_what, what_size, "disk %s of VM %s", json_text(disk, "name"),
			 json_text(disk, "vm"));
		return 1;
	}
	return 0;
}

/* Between intent and outcome; returns the provider as it is afterwards. */
static int recorded(struct call *call, const char *name,
		    int (*effect)(struct call *call, const char *name, struct error *e),
		    struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	int r;

	r = events_begin(call->host->events,
			 &(struct event){ .user = call->user, .operation = call->op->name,
					  .object = name },
			 &record, e);
	if (r == 0)
		r = effect(call, name, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	return r;
}

static int show(struct call *call, const char *name, json_t **ret, struct error *e)
{
	struct provider_info info;
	int r;

	r = provider_show(call->host->providers, name, &info, e);
	if (r < 0)
		return r;
	*ret = ops_provider_json(call->host, &info);
	return 0;
}

static int read_sealing(const struct call *call, enum provider_sealing *ret, struct error *e)
{
	bool tpm = call_flag(call, "require_tpm"), none = call_flag(call, "allow_unsealed");

	if (tpm && none)
		return error_usage(e, "require_tpm and allow_unsealed contradict each other");
	*ret = tpm ? SEALING_TPM : none ? SEALING_NONE : SEALING_AUTO;
	return 0;
}

static int do_create(struct call *call, const char *name, struct error *e)
{
	enum provider_sealing sealing;
	int r;

	r = read_sealing(call, &sealing, e);
	if (r < 0)
		return r;
	return provider_create_native(call->host->providers, name, sealing, NULL, e);
}

int op_provider_create(struct call *call, json_t **ret_result, struct error *e)
{
	const char *name = call_text(call, "name"), *type = call_text(call, "type");
	int r;

	if (strcmp(type, "native") != 0)
		return error_usage(e, "There is no provider type \"%s\": the only one is native",
				   type);
	r = recorded(call, name, do_create, e);
	return r < 0 ? r : show(call, name, ret_result, e);
}

int op_provider_list(struct call *call, json_t **ret_result, struct error *e)
{
	json_t *providers;
	int r;

	r = ops_providers_json(call->host, &providers, e);
	if (r < 0)
		return r;
	*ret_result = json_pack("{s:o}", "providers", providers);
	return 0;
}

int op_provider_show(struct call *call, json_t **ret_result, struct error *e)
{
	return show(call, call_text(call, "name"), ret_result, e);
}

static int do_default(struct call *call, const char *name, struct error *e)
{
	return provider_set_default(call->host->providers, name, e);
}

int op_provider_default(struct call *call, json_t **ret_result, struct error *e)
{
	const char *name = call_text(call, "name");
	int r;

	r = recorded(call, name, do_default, e);
	return r < 0 ? r : show(call, name, ret_result, e);
}

static json_t *check_json(const char *check, bool ok, const char *text)
{
	return json_pack("{s:s, s:b, s:s}", "check", check, "ok", ok, "text", text);
}

/* What a provider that keeps its key on this host needs beside. */
static void check_local(const struct provider_info *info, json_t *checks)
{
	if (info->sealing == SEALING_KEY_SERVER)
		return;
	json_array_append_new(checks, check_json("backup", info->usable, info->managed ?
			      "the manager keeps its key, too" : info->backed_up ?
			      "it is backed up" :
			      "it is not backed up: run vmcryptctl provider backup"));
	json_array_append_new(checks, check_json("protection", info->sealing == SEALING_TPM,
			      info->sealing == SEALING_TPM ? "its key is sealed to the TPM" :
			      "its key stands in a file that only root can read"));
}

int op_provider_check(struct call *call, json_t **ret_result, struct error *e)
{
	const char *name = call_text(call, "name");
	struct event_record record = EVENT_RECORD_NULL;
	struct provider_info info;
	struct error trouble = ERROR_NULL;
	json_t *checks;
	int r;

	r = provider_show(call->host->providers, name, &info, e);
	if (r == 0)
		r = events_begin(call->host->events,
				 &(struct event){ .user = call->user, .operation = call->op->name,
						  .object = info.name },
				 &record, e);
	if (r < 0)
		return r;
	r = provider_check(call->host->providers, name, &trouble);
	events_end(call->host->events, &record, &trouble);
	checks = json_array();
	json_array_append_new(checks, check_json("key", r == 0, r < 0 ? trouble.text :
			      info.sealing == SEALING_KEY_SERVER ?
			      "a key was fetched anew and is the same" :
			      "a key was made and came back the same"));
	check_local(&info, checks);
	*ret_result = json_pack("{s:s, s:b, s:o}", "name", info.name, "ok",
				r == 0 && info.usable, "checks", checks);
	return 0;
}

static int do_delete(struct call *call, const char *name, struct error *e)
{
	return provider_delete(call->host->providers, name, e);
}

int op_provider_delete(struct call *call, json_t **ret_result, struct error *e)
{
	const char *name = call_text(call, "name");
	int r;

	r = recorded(call, name, do_delete, e);
	if (r == 0)
		*ret_result = json_pack("{s:s}", "name", name);
	return r;
}

static int do_backup(struct call *call, const char *name, struct error *e)
{
	_cleanup_secret_ struct secret password = SECRET_NULL;
	int r;

	r = file_read_password(call->fds[1], "the password", &password, e);
	if (r < 0)
		return r;
	return provider_backup(call->host->providers, name, &password, call->fds[0], e);
}

int op_provider_backup(struct call *call, json_t **ret_result, struct error *e)
{
	const char *name = call_text(call, "name");
	char uuid[UUID_TEXT_SIZE], when[TIME_TEXT_SIZE];
	struct provider_info info = {0};
	struct stat st;
	int r;

	r = recorded(call, name, do_backup, e);
	if (r == 0)
		r = provider_show(call->host->providers, name, &info, e);
	if (r < 0)
		return r;
	if (fstat(call->fds[0], &st) < 0)
		return error_fail(e, errno, "Cannot look at the backup: %s", strerror(errno));
	uuid_format(info.id, uuid);
	time_format(info.backed_up, when);
	*ret_result = json_pack("{s:s, s:s, s:I, s:s}", "name", info.name, "uuid", uuid,
				"bytes", (json_int_t)st.st_size, "backup_time", when);
	return 0;
}

static int restore(struct call *call, struct provider_restore_plan *ret, struct error *e)
{
	_cleanup_secret_ struct secret password = SECRET_NULL;
	enum provider_sealing sealing;
	int r;

	r = read_sealing(call, &sealing, e);
	/* A dry run seals nothing: a backup can be tried where there is no TPM. */
	if (r == 0 && call_flag(call, "dry_run") && sealing == SEALING_AUTO)
		sealing = SEALING_NONE;
	if (r == 0)
		r = file_read_password(call->fds[1], "the password", &password, e);
	if (r < 0)
		return r;
	return provider_restore(call->host->providers, call->fds[0], &password, sealing,
				call_flag(call, "dry_run"), ret, e);
}

int op_provider_restore(struct call *call, json_t **ret_result, struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	bool dry_run = call_flag(call, "dry_run");
	char uuid[UUID_TEXT_SIZE], created[TIME_TEXT_SIZE];
	struct provider_restore_plan plan = {0};
	int r;

	r = events_begin(call->host->events,
			 &(struct event){ .user = call->user, .operation = call->op->name,
					  .object = dry_run ? "a backup (dry run)" : "a backup" },
			 &record, e);
	if (r == 0)
		r = restore(call, &plan, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return r;
	if (!dry_run)
		retry_all_soon(call->host);
	uuid_format(plan.info.id, uuid);
	time_format(plan.info.created, created);
	*ret_result = json_pack("{s:s, s:s, s:s, s:b, s:s}", "name", plan.info.name,
				"uuid", uuid, "created", created, "dry_run", dry_run,
				"state", plan.exists ? "same" : "new");
	return 0;
}
