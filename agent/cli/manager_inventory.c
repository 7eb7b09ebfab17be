// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager_table.h"
#include "common/encode.h"

/* A host renews its certificate 30 days before its end: this late it has not. */
#define CERTIFICATE_WARN_S	(14 * 24 * 3600)

static const struct field named_fields[] = {
	{ "NAME", "name", field_text },
	{ "UUID", "id",   field_text },
};

static const struct field cluster_fields[] = {
	{ "Name",        "name",        field_text },
	{ "UUID",        "id",          field_text },
	{ "Created",     "created",     field_text },
	{ "Crypto mode", "crypto_mode", field_text },
};

static const struct field token_columns[] = {
	{ "ID",      "id",      field_text },
	{ "CLUSTER", "cluster", field_text },
	{ "USER",    "user",    field_text },
	{ "EXPIRES", "expires", field_text },
};

static const struct field token_fields[] = {
	{ "Expires", "expires", field_text },
};

static const struct field vm_fields[] = {
	{ "NAME",    "name",    field_text },
	{ "UUID",    "id",      field_text },
	{ "CLUSTER", "cluster", field_text },
	{ "HOST",    "host",    field_text },
};

/* Until when, and whether it should have been renewed by now. */
static char *field_certificate(const json_t *value, const json_t *object)
{
	const char *until = json_string_value(value);
	int64_t end, now = time_now();
	char *text;

	if (!until || time_parse(until, &end) < 0 || end - now > CERTIFICATE_WARN_S)
		return field_text(value, object);
	return asprintf(&text, "%s (%s)", until, end > now ? "ends soon" : "has ended") < 0 ? NULL : text;
}

static const struct field host_fields[] = {
	{ "NAME",              "name",            field_text },
	{ "UUID",              "id",              field_text },
	{ "CLUSTER",           "cluster",         field_text },
	{ "MODE",              "mode",            field_text },
	{ "CERTIFICATE UNTIL", "certificate_end", field_certificate },
};

/* Of the keys that a host has to forget, what stands in the way. */
static char *field_to_forget(const json_t *value, const json_t *object)
{
	_cleanup_json_ json_t *lines = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach(value, i, item) {
		const char *key = json_string_value(json_object_get(item, "key"));
		const char *refused = json_string_value(json_object_get(item, "refused"));

		json_array_append_new(lines, json_sprintf("%s (%s)", key ? key : "?",
							  refused ? refused : "the host is asked"));
	}
	return field_list(lines, object);
}

/* How the host keeps a provider's key, and what stands in the way of its forgetting. */
static json_t *native_line(const json_t *item)
{
	const char *name = json_string_value(json_object_get(item, "provider_name"));
	const char *refused = json_string_value(json_object_get(item, "refused"));
	const json_t *sealed = json_object_get(item, "sealed");

	if (refused)
		return json_sprintf("%s (to be forgotten: %s)", name ? name : "?", refused);
	return json_sprintf("%s (%s)", name ? name : "?",
			    json_is_true(sealed) ? "sealed by the TPM" :
			    json_is_false(sealed) ? "UNSEALED, in a file" : "the host is asked");
}

static char *field_native(const json_t *value, const json_t *object)
{
	_cleanup_json_ json_t *lines = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach(value, i, item)
		json_array_append_new(lines, native_line(item));
	return field_list(lines, object);
}

static const struct field one_host_fields[] = {
	{ "Name",              "name",            field_text },
	{ "UUID",              "id",              field_text },
	{ "Cluster",           "cluster",         field_text },
	{ "Mode",              "mode",            field_text },
	{ "Connected",         "connected",       field_yes_no },
	{ "Joined",            "joined",          field_text },
	{ "Last seen",         "last_seen",       field_text },
	{ "Agent",             "version",         field_text },
	{ "Module",            "module",          field_text },
	{ "TPM",               "tpm",             field_yes_no },
	{ "Fingerprint",       "fingerprint",     field_text },
	{ "Certificate until", "certificate_end", field_certificate },
	{ "Keys to forget",    "keys_to_forget",  field_to_forget },
	{ "Native providers",  "native_providers", field_native },
};

static const struct field disk_fields[] = {
	{ "DEK",      "id",        field_text },
	{ "VM",       "vm_name",   field_text },
	{ "DISK",     "disk",      field_text },
	{ "HOST",     "host_name", field_text },
	{ "STATE",    "state",     field_text },
	{ "ATTACHED", "attached",  field_yes_no },
};

/* As the host that was asked has it. */
static const struct field host_disk_fields[] = {
	{ "DEK",      "dek",      field_text },
	{ "Name",     "name",     field_text },
	{ "Device",   "device",   field_text },
	{ "VM",       "vm",       field_text },
	{ "Disk",     "disk",     field_text },
	{ "Keys",     "keys",     field_list },
	{ "State",    "state",    field_text },
	{ "Attached", "attached", field_yes_no },
};

static const struct cli_command commands[] = {
	{
		.noun = "cluster", .verb = "list", .route = "GET /clusters", .member = "clusters",
		COLUMNS(named_fields),
		.summary = "list the clusters",
	},
	{
		.noun = "cluster", .verb = "show", .route = "GET /clusters/{cluster}",
		COLUMNS(cluster_fields),
		.summary = "show one cluster",
		.positionals = { OBJECT("cluster", "CLUSTER", CLI_REFERENCE) },
	},
	{
		.noun = "cluster", .verb = "create", .route = "POST /clusters", COLUMNS(named_fields),
		.summary = "make a cluster, whose hosts share keys",
		.positionals = { NAME("cluster") },
	},
	{
		.noun = "cluster", .verb = "rename", .route = "PATCH /clusters/{cluster}",
		COLUMNS(cluster_fields),
		.summary = "rename a cluster",
		.positionals = { OBJECT("cluster", "CLUSTER", CLI_REFERENCE), NAME("cluster") },
	},
	{
		.noun = "cluster", .verb = "crypto-mode", .route = "PATCH /clusters/{cluster}",
		COLUMNS(cluster_fields),
		.summary = "choose when the hosts of a cluster are enabled",
		.positionals = {
			OBJECT("cluster", "CLUSTER", CLI_REFERENCE),
			{ .name = "crypto-mode", .value = "onDemand|forceEnable", .kind = CLI_TEXT,
			  .choices = "onDemand|forceEnable",
			  .help = "when a VM with encrypted disks wants it, or always" },
		},
	},
	{
		.noun = "cluster", .verb = "delete", .route = "DELETE /clusters/{cluster}",
		.summary = "delete a cluster without hosts and VMs",
		.positionals = { OBJECT("cluster", "CLUSTER", CLI_REFERENCE) },
	},
	{
		.noun = "host", .verb = "list", .route = "GET /hosts", .member = "hosts",
		COLUMNS(host_fields),
		.summary = "list the hosts",
	},
	{
		.noun = "host", .verb = "show", .route = "GET /hosts/{host}",
		COLUMNS(one_host_fields),
		.summary = "show one host",
		.positionals = { OBJECT("host", "HOST", CLI_REFERENCE) },
	},
	{
		.noun = "host", .verb = "rename", .route = "PATCH /hosts/{host}",
		COLUMNS(host_fields),
		.summary = "rename a host",
		.positionals = { OBJECT("host", "HOST", CLI_REFERENCE), NAME("host") },
	},
	{
		.noun = "host", .verb = "move", .route = "PATCH /hosts/{host}",
		COLUMNS(host_fields),
		.summary = "move a host to another cluster, or out of its own",
		.positionals = { OBJECT("host", "HOST", CLI_REFERENCE) },
		.options = {
			{ .name = "cluster", .value = "CLUSTER", .kind = CLI_REFERENCE,
			  .excludes = "no-cluster", .help = "into this cluster" },
			{ .name = "no-cluster", .kind = CLI_NONE, .excludes = "cluster",
			  .member = "cluster", .help = "into none" },
		},
	},
	{
		.noun = "host", .verb = "tokens", .route = "GET /hosts/tokens",
		.member = "tokens", COLUMNS(token_columns),
		.summary = "list the tokens that no host has used yet",
	},
	{
		.noun = "host", .verb = "revoke-token", .route = "DELETE /hosts/tokens/{id}",
		.summary = "take a token back, which no host joins with then",
		.positionals = {
			{ .name = "id", .value = "ID", .kind = CLI_TEXT,
			  .help = "of the token, as \"host tokens\" lists it" },
		},
	},
	{
		.noun = "host", .verb = "token", .route = "POST /hosts/tokens", .saved = "token",
		COLUMNS(token_fields),
		.summary = "make a token that one host joins with",
		.details =
"Whoever has it can have one machine join: give it to the host's administrator\n"
"alone. On the host: vmcryptctl host join URL --token-file FILE\n",
		.options = {
			{ .name = "out", .value = "FILE", .kind = CLI_OUT_FILE, .required = true,
			  .help = "file to make for the token" },
			{ .name = "cluster", .value = "CLUSTER", .kind = CLI_REFERENCE,
			  .help = "the cluster that the host joins; default: none" },
			{ .name = "hours", .value = "N", .kind = CLI_NUMBER,
			  .help = "that the token is good for; default 24" },
		},
	},
	{
		.noun = "host", .verb = "enable", .route = "POST /hosts/{host}/enable",
		COLUMNS(host_fields),
		.summary = "enable encryption: from then on the host gets keys",
		.positionals = { OBJECT("host", "HOST", CLI_REFERENCE) },
	},
	{
		.noun = "host", .verb = "disable", .route = "POST /hosts/{host}/disable",
		COLUMNS(host_fields),
		.summary = "disable encryption; what the host has, it has until its reboot",
		.positionals = { OBJECT("host", "HOST", CLI_REFERENCE) },
	},
	{
		.noun = "host", .verb = "remove", .route = "DELETE /hosts/{host}",
		.summary = "remove a host, whose certificate counts no more",
		.details =
"The host forgets all keys and native providers that it has from the manager, at\n"
"once when it is connected. Disks that are attached there go on, for the kernel\n"
"has their DEKs, but nothing attaches, and nothing that was locked unlocks, until\n"
"the host has joined again: move or stop its VMs first (\"disk list\" tells what is\n"
"attached there), and \"vm move\" those that are registered to this host alone.\n"
"No data is lost: the keys stay at the key server and with the manager, and other\n"
"hosts of the cluster attach the disks.\n",
		.positionals = { OBJECT("host", "HOST", CLI_REFERENCE) },
	},
	{
		.noun = "vm", .verb = "list", .route = "GET /vms", .member = "vms",
		COLUMNS(vm_fields),
		.summary = "list the VMs",
	},
	{
		.noun = "vm", .verb = "show", .route = "GET /vms/{vm}", COLUMNS(vm_fields),
		.summary = "show one VM",
		.positionals = { OBJECT("vm", "VM", CLI_REFERENCE) },
	},
	{
		.noun = "vm", .verb = "move", .route = "PATCH /vms/{vm}", COLUMNS(vm_fields),
		.summary = "register a VM to another cluster or host",
		.positionals = { OBJECT("vm", "VM", CLI_REFERENCE) },
		.options = {
			{ .name = "cluster", .value = "CLUSTER", .kind = CLI_REFERENCE,
			  .excludes = "host", .help = "whose hosts may hold its keys from then on" },
			{ .name = "host", .value = "HOST", .kind = CLI_REFERENCE,
			  .excludes = "cluster", .help = "the one host that may" },
		},
	},
	{
		.noun = "vm", .verb = "register", .route = "POST /vms", COLUMNS(vm_fields),
		.summary = "let a cluster's hosts, or one host, hold a VM's keys",
		.positionals = { NAME("VM") },
		.options = {
			{ .name = "cluster", .value = "CLUSTER", .kind = CLI_REFERENCE, .excludes = "host",
			  .help = "the cluster whose hosts may hold them" },
			{ .name = "host", .value = "HOST", .kind = CLI_REFERENCE, .excludes = "cluster",
			  .help = "the one host that may" },
			{ .name = "id", .value = "UUID", .kind = CLI_TEXT,
			  .help = "the VM's UUID, as libvirt has it; default: a new one" },
		},
	},
	{
		.noun = "vm", .verb = "unregister", .route = "DELETE /vms/{vm}",
		.summary = "let no host hold a VM's keys",
		.positionals = { OBJECT("vm", "VM", CLI_REFERENCE) },
	},
	{
		.noun = "disk", .verb = "list", .route = "GET /disks", .member = "disks",
		COLUMNS(disk_fields),
		.summary = "list the disks that hosts know",
	},
	{
		.noun = "disk", .verb = "show", .route = "GET /disks/{disk}", COLUMNS(disk_fields),
		.summary = "show one disk",
		.positionals = { DISK },
	},
	{
		.noun = "disk", .verb = "create", .route = "POST /disks",
		COLUMNS(host_disk_fields),
		.summary = "make an encrypted disk on a host; destroys what is on the device",
		.positionals = { DEVICE },
		.options = {
			ON_HOST,
			{ .name = "vm", .value = "VM", .kind = CLI_REFERENCE, .required = true,
			  .help = "the VM that it is for" },
			{ .name = "disk", .value = "LABEL", .kind = CLI_TEXT,
			  .help = "name of the disk within the VM" },
			{ .name = "provider", .value = "NAME", .kind = CLI_TEXT,
			  .help = "key provider, when not the default one" },
			{ .name = "sector-size", .value = "N", .kind = CLI_NUMBER,
			  .help = "bytes, 512 to 4096" },
			{ .name = "key-bits", .value = "N", .kind = CLI_NUMBER, .help = "256 or 512" },
			{ .name = "header", .value = "FILE", .kind = CLI_TEXT,
			  .help = "path on the host of a detached header to be made" },
		},
	},
	{
		.noun = "disk", .verb = "attach", .route = "POST /disks/{disk}/attach",
		COLUMNS(host_disk_fields),
		.summary = "attach a disk on a host",
		.details =
"The host looks whether the device holds the disk with this DEK, and attaches\n"
"nothing else.\n",
		.positionals = {
			DISK, DEVICE,
			{ .name = "name", .value = "NAME", .kind = CLI_TEXT,
			  .help = "name of the mapped device there" },
		},
		.options = {
			ON_HOST,
			{ .name = "header", .value = "FILE", .kind = CLI_TEXT,
			  .help = "path on the host of a detached header" },
			{ .name = "discard", .kind = CLI_FLAG, .help = "let discards through" },
			{ .name = "key-loss", .value = "queue|error", .kind = CLI_TEXT,
			  .choices = "queue|error", .help = "what I/O does while the key is missing" },
			{ .name = "read-only", .kind = CLI_FLAG, .help = "allow no writes" },
		},
	},
	{
		.noun = "disk", .verb = "detach", .route = "POST /disks/{disk}/detach",
		.summary = "detach a disk that nobody has open",
		.positionals = { DISK },
		.options = { ON_HOST },
	},
	{
		.noun = "disk", .verb = "forget", .route = "DELETE /disks/{disk}",
		.summary = "forget a disk that is gone, so that its keys are unused",
		.details =
"Hosts that know it forget it, too. It is refused while it is attached, or a host\n"
"finds its header on the device. A host that is away and still knows it reports\n"
"it again when it is back.\n",
		.positionals = { DISK },
	},
	{
		.noun = "disk", .verb = "lock", .route = "POST /disks/{disk}/lock",
		COLUMNS(host_disk_fields),
		.summary = "take a disk's key from a host and refuse it until it is unlocked",
		.positionals = { DISK },
		.options = { ON_HOST },
	},
	{
		.noun = "disk", .verb = "unlock", .route = "POST /disks/{disk}/unlock",
		COLUMNS(host_disk_fields),
		.summary = "let a host have a disk's key again",
		.positionals = { DISK },
		.options = { ON_HOST },
	},
};

const struct manager_table manager_inventory = { commands, ARRAY_SIZE(commands) };
