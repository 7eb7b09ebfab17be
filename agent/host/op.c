/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/op.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/jointoken.h"
#include "crypto/locator.h"
#include "crypto/wrap.h"
#include "host/identity.h"
#include "host/ops.h"

#define NAME_MAX_BYTES		PROTOCOL_NAME_MAX
#define READ_DEADLINE_S		60
#define CHANGE_DEADLINE_S	120
/* Deriving a backup's key, and a TPM, take their time. */
#define SLOW_DEADLINE_S		300

/* struct op.remote */
#define LOCAL	false
#define REMOTE	true

#define ARG_PROVIDER	{ "name", ARG_LABEL, true, PROVIDER_NAME_MAX }
#define ARG_DEVICE	{ "device", ARG_PATH, true, PROTOCOL_PATH_MAX }
#define ARG_HEADER	{ "header", ARG_PATH, false, PROTOCOL_PATH_MAX }
#define ARG_DISK_NAME	{ "name", ARG_LABEL, true, PROTOCOL_PATH_MAX }
#define ARG_DISCARD	{ "discard", ARG_FLAG, false, 0 }
#define ARG_KEY_LOSS	{ "key_loss", ARG_LABEL, false, 8 }
#define ARG_REQUIRE_TPM	{ "require_tpm", ARG_FLAG, false, 0 }
#define ARG_UNSEALED	{ "allow_unsealed", ARG_FLAG, false, 0 }

const struct op op_table[] = {
	{ "status", PRIVILEGE_READ, 0, READ_DEADLINE_S, REMOTE, op_status, { { 0 } } },

	{ "provider.create", PRIVILEGE_CHANGE, 0, SLOW_DEADLINE_S, LOCAL, op_provider_create,
	  { ARG_PROVIDER, { "type", ARG_LABEL, true, 32 }, ARG_REQUIRE_TPM, ARG_UNSEALED } },
	{ "provider.list", PRIVILEGE_READ, 0, READ_DEADLINE_S, REMOTE, op_provider_list, { { 0 } } },
	{ "provider.show", PRIVILEGE_READ, 0, READ_DEADLINE_S, REMOTE, op_provider_show,
	  { ARG_PROVIDER } },
	{ "provider.default", PRIVILEGE_CHANGE, 0, CHANGE_DEADLINE_S, LOCAL, op_provider_default,
	  { ARG_PROVIDER } },
	{ "provider.check", PRIVILEGE_READ, 0, SLOW_DEADLINE_S, REMOTE, op_provider_check,
	  { ARG_PROVIDER } },
	{ "provider.delete", PRIVILEGE_CHANGE, 0, CHANGE_DEADLINE_S, LOCAL, op_provider_delete,
	  { ARG_PROVIDER } },
	{ "provider.backup", PRIVILEGE_CHANGE, 2, SLOW_DEADLINE_S, LOCAL, op_provider_backup,
	  { ARG_PROVIDER } },
	{ "provider.restore", PRIVILEGE_CHANGE, 2, SLOW_DEADLINE_S, LOCAL, op_provider_restore,
	  { { "dry_run", ARG_FLAG, false, 0 }, ARG_REQUIRE_TPM, ARG_UNSEALED } },

	{ "disk.create", PRIVILEGE_CHANGE, 0, 0, REMOTE, op_disk_create,
	  { ARG_DEVICE, { "vm", ARG_LABEL, true, LABEL_MAX }, { "disk", ARG_LABEL, false, LABEL_MAX },
	    { "provider", ARG_LABEL, false, PROVIDER_NAME_MAX },
	    { "sector_size", ARG_NUMBER, false, 4096 }, { "key_bits", ARG_NUMBER, false, 512 },
	    ARG_HEADER, { "force", ARG_FLAG, false, 0 } } },
	{ "disk.attach", PRIVILEGE_CHANGE, 0, CHANGE_DEADLINE_S, REMOTE, op_disk_attach,
	  { ARG_DEVICE, { "name", ARG_LABEL, true, NAME_MAX_BYTES }, ARG_HEADER, ARG_DISCARD,
	    ARG_KEY_LOSS, { "read_only", ARG_FLAG, false, 0 },
	    { "dek", ARG_LABEL, false, UUID_TEXT_SIZE - 1 } } },
	{ "disk.detach", PRIVILEGE_CHANGE, 0, CHANGE_DEADLINE_S, REMOTE, op_disk_detach,
	  { { "name", ARG_LABEL, true, NAME_MAX_BYTES }, { "force", ARG_FLAG, false, 0 } } },
	{ "disk.lock", PRIVILEGE_CHANGE, 0, CHANGE_DEADLINE_S, REMOTE, op_disk_lock,
	  { ARG_DISK_NAME } },
	{ "disk.unlock", PRIVILEGE_CHANGE, 0, CHANGE_DEADLINE_S, REMOTE, op_disk_unlock,
	  { ARG_DISK_NAME } },
	{ "disk.forget", PRIVILEGE_CHANGE, 0, CHANGE_DEADLINE_S, REMOTE, op_disk_forget,
	  { ARG_DISK_NAME } },
	{ "disk.table", PRIVILEGE_READ, 0, CHANGE_DEADLINE_S, LOCAL, op_disk_table,
	  { ARG_DEVICE, ARG_HEADER, ARG_DISCARD, ARG_KEY_LOSS } },
	{ "disk.list", PRIVILEGE_READ, 0, READ_DEADLINE_S, REMOTE, op_disk_list, { { 0 } } },
	{ "disk.show", PRIVILEGE_READ, 0, READ_DEADLINE_S, REMOTE, op_disk_show, { ARG_DISK_NAME } },
	{ "disk.export-key", PRIVILEGE_CHANGE, 1, CHANGE_DEADLINE_S, LOCAL, op_disk_export_key,
	  { ARG_DEVICE, ARG_HEADER } },

	{ "host.join", PRIVILEGE_CHANGE, 1, SLOW_DEADLINE_S, LOCAL, op_host_join,
	  { { "url", ARG_LABEL, true, IDENTITY_URL_MAX },
	    { "name", ARG_LABEL, false, JOINTOKEN_NAME_MAX } } },
	{ "host.leave", PRIVILEGE_CHANGE, 0, CHANGE_DEADLINE_S, LOCAL, op_host_leave,
	  { { "force", ARG_FLAG, false, 0 } } },
	{ "host.show", PRIVILEGE_READ, 0, READ_DEADLINE_S, LOCAL, op_host_show, { { 0 } } },

	{ "key.list", PRIVILEGE_READ, 0, READ_DEADLINE_S, REMOTE, op_key_list, { { 0 } } },
	/* Sending what is kept to a slow client is bounded by call_event(). */
	{ "event.list", PRIVILEGE_READ, 0, 0, LOCAL, op_event_list,
	  { { "follow", ARG_FLAG, false, 0 }, { "limit", ARG_NUMBER, false, 1U << 30 } } },
	{ .name = NULL },
};

const struct op *op_find(const char *name)
{
	const struct op *op;

	for (op = op_table; op->name; op++)
		if (!strcmp(op->name, name))
			return op;
	return NULL;
}

static bool is_label(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static int check_text(const struct op *op, const struct op_arg *arg, const json_t *value,
		      struct error *e)
{
	const char *text = json_string_value(value);

	if (!text)
		return error_usage(e, "%s: \"%s\" has to be a string", op->name, arg->name);
	if (!*text || strlen(text) > arg->max)
		return error_usage(e, "%s: \"%s\" has to have 1 to %llu bytes", op->name, arg->name,
				   (unsigned long long)arg->max);
	if (!is_label(text))
		return error_usage(e, "%s: \"%s\" has control characters in it", op->name,
				   arg->name);
	if (arg->type == ARG_PATH && *text != '/')
		return error_usage(e, "%s: \"%s\" has to be an absolute path, not %.64s", op->name,
				   arg->name, text);
	return 0;
}

static int check_arg(const struct op *op, const struct op_arg *arg, const json_t *value,
		     struct error *e)
{
	switch (arg->type) {
	case ARG_FLAG:
		if (json_is_boolean(value))
			return 0;
		return error_usage(e, "%s: \"%s\" has to be true or false", op->name, arg->name);
	case ARG_NUMBER:
		if (json_is_integer(value) && json_integer_value(value) >= 0 &&
		    (uint64_t)json_integer_value(value) <= arg->max)
			return 0;
		return error_usage(e, "%s: \"%s\" has to be a number from 0 to %llu", op->name,
				   arg->name, (unsigned long long)arg->max);
	case ARG_LABEL:
	case ARG_PATH:
		return check_text(op, arg, value, e);
	}
	return error_usage(e, "%s: \"%s\" is not understood", op->name, arg->name);
}

static const struct op_arg *find_arg(const struct op *op, const char *name)
{
	size_t i;

	for (i = 0; i < OP_ARGS_MAX && op->args[i].name; i++)
		if (!strcmp(op->args[i].name, name))
			return &op->args[i];
	return NULL;
}

int request_check_args(const struct op *op, const json_t *args, struct error *e)
{
	const struct op_arg *arg;
	const char *name;
	json_t *value;
	size_t i;
	int r;

	json_object_foreach((json_t *)args, name, value) {
		arg = find_arg(op, name);
		if (!arg)
			return error_usage(e, "%s takes no argument \"%.64s\"", op->name, name);
		r = check_arg(op, arg, value, e);
		if (r < 0)
			return r;
	}
	for (i = 0; i < OP_ARGS_MAX && op->args[i].name; i++)
		if (op->args[i].needed && !json_object_get(args, op->args[i].name))
			return error_usage(e, "%s wants an argument \"%s\"", op->name,
					   op->args[i].name);
	return 0;
}

static int check_version(const json_t *root, struct error *e)
{
	const json_t *version = json_object_get(root, "v");

	if (!json_is_integer(version))
		return error_usage(e, "The request has no version \"v\"");
	if (json_integer_value(version) != PROTOCOL_VERSION)
		return error_usage(e, "The request is of version %lld, the agent speaks version %d: use the vmcryptctl that came with it",
				   (long long)json_integer_value(version), PROTOCOL_VERSION);
	return 0;
}

/* Members beside the id. */
static int check_request(const json_t *root, struct request *request, struct error *e)
{
	static const char *const known[] = { "v", "id", "op", "args", NULL };
	const char *name = json_string_value(json_object_get(root, "op"));
	json_t *args = json_object_get(root, "args");
	int r;

	r = check_version(root, e);
	if (r == 0 && json_check_keys(root, "request", known, e) < 0)
		return error_set(e, EINVAL, EXIT_USAGE, 0, "The request has a member that is neither v, id, op nor args");
	if (r < 0)
		return r;
	if (!name)
		return error_usage(e, "The request names no operation \"op\"");
	request->op = op_find(name);
	if (!request->op)
		return error_usage(e, "There is no operation \"%.64s\"", name);
	if (args && !json_is_object(args))
		return error_usage(e, "%s: \"args\" has to be an object", name);
	request->args = args ? json_incref(args) : json_object();
	if (!request->args)
		return error_oom(e);
	return request_check_args(request->op, request->args, e);
}

int request_parse(const char *line, size_t size, struct request *ret, struct error *e)
{
	_cleanup_json_ json_t *root = NULL;
	const json_t *id;
	int r;

	*ret = (struct request){ .id = -1 };
	r = json_parse(line, size, PROTOCOL_LINE_MAX, "request", &root, e);
	if (r < 0) {
		if (e)
			e->status = EXIT_USAGE;
		return r;
	}
	id = json_object_get(root, "id");
	if (!json_is_integer(id) || json_integer_value(id) < 0 ||
	    json_integer_value(id) > (1LL << 53))
		return error_usage(e, "The request has no id, an integer from 0 to 2^53");
	ret->id = json_integer_value(id);
	r = check_request(root, ret, e);
	if (r < 0) {
		json_decref(ret->args);
		ret->args = NULL;
	}
	return r;
}

int op_check_privilege(const struct op *op, enum privilege has, struct error *e)
{
	if (has >= op->privilege)
		return 0;
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "%s is not allowed: %s", op->name,
			 op->privilege == PRIVILEGE_READ ?
			 "only root and members of the group " VMCRYPT_GROUP " may ask the agent" :
			 "only root may change anything");
}
