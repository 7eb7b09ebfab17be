// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager_table.h"

#define PROVIDER OBJECT("provider", "PROVIDER", CLI_REFERENCE)
#define KEY \
	{ .name = "key", .value = "KEY", .kind = CLI_TEXT, \
	  .help = "the key server's name for the key" }

/* Of the members that are objects with a name, the names. */
static char *field_names(const json_t *value, const json_t *object)
{
	_cleanup_json_ json_t *names = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach(value, i, item)
		json_array_append(names, json_object_get(item, "name"));
	return field_list(names, object);
}

static const struct field provider_columns[] = {
	{ "NAME",    "name",    field_text },
	{ "UUID",    "id",      field_text },
	{ "TYPE",    "type",    field_text },
	{ "DEFAULT", "default", field_yes_no },
	{ "SERVERS", "servers", field_names },
};

static const struct field provider_fields[] = {
	{ "Name",         "name",         field_text },
	{ "UUID",         "id",           field_text },
	{ "Type",         "type",         field_text },
	{ "Created",      "created",      field_text },
	{ "Default",      "default",      field_yes_no },
	{ "Servers",      "servers",      field_names },
	{ "Certificate",  "certificate",  field_yes_no },
	{ "Wrapping key", "wrapping_key", field_text },
	{ "Unsealed",     "allow_unsealed", field_yes_no },
	{ "Backed up",    "backed_up",    field_text },
};

static const struct field status_fields[] = {
	{ "Name",              "name",            field_text },
	{ "Type",              "type",            field_text },
	{ "State",             "state",           field_text },
	{ "Certificate until", "certificate_end", field_text },
	{ "Warnings",          "warnings",        field_list },
};

static const struct field server_status_columns[] = {
	{ "SERVER",            "name",            field_text },
	{ "OK",                "ok",              field_yes_no },
	{ "MS",                "took_ms",         field_number },
	{ "CERTIFICATE UNTIL", "certificate_end", field_text },
	{ "WHY",               "text",            field_text },
};

static const struct field host_status_columns[] = {
	{ "HOST", "name", field_text },
	{ "OK",   "ok",   field_yes_no },
	{ "WHY",  "text", field_text },
};

static const struct field default_columns[] = {
	{ "WHERE",    "scope",    field_text },
	{ "PROVIDER", "provider", field_text },
};

static const struct field default_fields[] = {
	{ "Where",    "scope",    field_text },
	{ "Provider", "provider", field_text },
};

static const struct field restored_fields[] = {
	{ "Name",    "name",    field_text },
	{ "UUID",    "id",      field_text },
	{ "Created", "created", field_text },
	{ "State",   "state",   field_text },
	{ "Dry run", "dry_run", field_yes_no },
};

static const struct field key_columns[] = {
	{ "KEY",      "key",      field_text },
	{ "PROVIDER", "provider", field_text },
	{ "VM",       "vm",       field_text },
	{ "STATE",    "state",    field_text },
	{ "DISKS",    "disks",    field_list },
};

static const struct field key_fields[] = {
	{ "Key",         "key",      field_text },
	{ "Provider",    "provider", field_text },
	{ "Made for VM", "vm",       field_text },
	{ "or host",     "host",     field_text },
	{ "Disk",        "disk",     field_text },
	{ "Created",     "created",  field_text },
	{ "State",       "state",    field_text },
	{ "Why",         "reason",   field_text },
	{ "Used by",     "disks",    field_list },
	{ "Hosts",       "hosts",    field_list },
};

static void show_status(FILE *out, const json_t *status)
{
	const json_t *servers = json_object_get(status, "servers");
	const json_t *hosts = json_object_get(status, "hosts");

	fields_print_object(out, status_fields, ARRAY_SIZE(status_fields), status);
	if (json_array_size(servers) > 0) {
		fputc('\n', out);
		fields_print_list(out, server_status_columns, ARRAY_SIZE(server_status_columns),
				  servers, "");
	}
	if (json_array_size(hosts) > 0) {
		fputc('\n', out);
		fields_print_list(out, host_status_columns, ARRAY_SIZE(host_status_columns),
				  hosts, "");
	}
}

static const struct cli_command commands[] = {
	{
		.noun = "provider", .verb = "list", .route = "GET /providers",
		.member = "providers", COLUMNS(provider_columns),
		.summary = "list the key providers",
	},
	{
		.noun = "provider", .verb = "show", .route = "GET /providers/{provider}",
		COLUMNS(provider_fields),
		.summary = "show one key provider",
		.positionals = { PROVIDER },
	},
	{
		.noun = "provider", .verb = "status",
		.route = "GET /providers/{provider}/status", .show = show_status,
		.summary = "try a key provider, at its servers and on the hosts",
		.positionals = { PROVIDER },
	},
	{
		.noun = "provider", .verb = "check",
		.route = "GET /providers/{provider}/status", .show = show_status,
		.verdict = "state",
		.summary = "the same; exit status 1 where nothing can be had of it",
		.positionals = { PROVIDER },
	},
	{
		.noun = "provider", .verb = "create", .route = "POST /providers",
		COLUMNS(provider_fields),
		.summary = "make a key provider; the first one is the default",
		.positionals = {
			{ .name = "type", .value = "standard|native", .kind = CLI_TEXT,
			  .optional = true, .choices = "standard|native",
			  .help = "keys of key servers, or derived from a key of the manager" },
			NAME("provider"),
		},
		.options = {
			{ .name = "type", .value = "standard|native", .kind = CLI_TEXT,
			  .choices = "standard|native", .help = "the same as an option" },
			{ .name = "wrapping-key", .value = "KEY", .kind = CLI_TEXT,
			  .help = "standard: key of servers that give keys only wrapped with it" },
			{ .name = "require-tpm", .kind = CLI_FLAG, .excludes = "allow-unsealed",
			  .help = "native: no host without a TPM gets the key (the default)" },
			{ .name = "allow-unsealed", .kind = CLI_FLAG, .excludes = "require-tpm",
			  .help = "native: hosts without a TPM keep the key in a file" },
		},
	},
	{
		.noun = "provider", .verb = "backup",
		.route = "POST /providers/{provider}/backup",
		.saved = "file", .saved_base64 = true,
		.summary = "back a native provider up; from then on it is used",
		.details =
"Keep the file and its password apart, and outside of what the provider encrypts:\n"
"both together bring all of its keys back.\n",
		.secret = CLI_SECRET_NEW,
		.positionals = { PROVIDER },
		.options = {
			{ .name = "out", .value = "FILE", .kind = CLI_OUT_FILE, .required = true,
			  .help = "file to make for the backup" },
			CLI_PASSWORD_FILE, CLI_PASSWORD_FD,
		},
	},
	{
		.noun = "provider", .verb = "restore", .route = "POST /providers/restore",
		COLUMNS(restored_fields),
		.summary = "bring a native provider back from its backup",
		.secret = CLI_SECRET_KNOWN,
		.positionals = {
			{ .name = "file", .value = "FILE", .kind = CLI_BASE64_FILE,
			  .help = "the backup" },
		},
		.options = {
			{ .name = "dry-run", .kind = CLI_FLAG,
			  .help = "change nothing; see whether the backup is good" },
			{ .name = "require-tpm", .kind = CLI_FLAG, .excludes = "allow-unsealed",
			  .help = "no host without a TPM gets the key (the default)" },
			{ .name = "allow-unsealed", .kind = CLI_FLAG, .excludes = "require-tpm",
			  .help = "hosts without a TPM keep the key in a file" },
			CLI_PASSWORD_FILE, CLI_PASSWORD_FD,
		},
	},
	{
		.noun = "provider", .verb = "delete", .route = "DELETE /providers/{provider}",
		.summary = "delete a provider whose keys nobody uses",
		.positionals = { PROVIDER },
	},
	{
		.noun = "provider", .verb = "defaults", .route = "GET /defaults",
		.member = "defaults", COLUMNS(default_columns),
		.summary = "list which provider is the default where",
	},
	{
		.noun = "provider", .verb = "default", .route = "PUT /defaults/global",
		COLUMNS(default_fields),
		.summary = "choose the default provider, everywhere or in one place",
		.positionals = { PROVIDER },
		.options = {
			{ .name = "cluster", .value = "CLUSTER", .kind = CLI_REFERENCE,
			  .excludes = "host", .route = "PUT /defaults/clusters/{cluster}",
			  .help = "only in this cluster" },
			{ .name = "host", .value = "HOST", .kind = CLI_REFERENCE,
			  .excludes = "cluster", .route = "PUT /defaults/hosts/{host}",
			  .help = "only on this host" },
		},
	},
	{
		.noun = "provider", .verb = "reset-default", .route = "DELETE /defaults/global",
		.summary = "take the choice of a default provider back",
		.options = {
			{ .name = "cluster", .value = "CLUSTER", .kind = CLI_REFERENCE,
			  .excludes = "host", .route = "DELETE /defaults/clusters/{cluster}",
			  .help = "that of this cluster" },
			{ .name = "host", .value = "HOST", .kind = CLI_REFERENCE,
			  .excludes = "cluster", .route = "DELETE /defaults/hosts/{host}",
			  .help = "that of this host" },
		},
	},
	{
		.noun = "key", .verb = "list", .route = "GET /keys", .member = "keys",
		COLUMNS(key_columns),
		.summary = "list the keys, with their state at the key server",
		.options = {
			{ .name = "provider", .value = "PROVIDER", .kind = CLI_REFERENCE,
			  .help = "only those of this provider" },
			{ .name = "vm", .value = "VM", .kind = CLI_REFERENCE,
			  .help = "only those of this VM" },
		},
	},
	{
		.noun = "key", .verb = "show", .route = "GET /keys/{provider}/{key}",
		COLUMNS(key_fields),
		.summary = "show one key, and who uses it",
		.positionals = { PROVIDER, KEY },
	},
	{
		.noun = "key", .verb = "add", .route = "POST /keys", COLUMNS(key_fields),
		.summary = "take in a key that the key server has, for a VM",
		.positionals = { PROVIDER, KEY, OBJECT("vm", "VM", CLI_REFERENCE) },
	},
	{
		.noun = "key", .verb = "remove", .route = "DELETE /keys/{provider}/{key}",
		.summary = "forget a key that nobody uses, here and on the hosts",
		.positionals = { PROVIDER, KEY },
		.options = {
			{ .name = "destroy", .kind = CLI_FLAG,
			  .help = "and have the key server destroy it, for ever; not while a host of its "
				  "VM is away" },
		},
	},
};

const struct manager_table manager_providers = { commands, ARRAY_SIZE(commands) };
