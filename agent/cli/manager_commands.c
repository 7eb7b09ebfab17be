// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager.h"

#include "common/cleanup.h"

#define OBJECT(noun, word, how) \
	{ .name = noun, .value = word, .kind = how, .help = "which " noun }
#define NAME(noun) \
	{ .name = "name", .value = "NAME", .kind = CLI_TEXT, .help = "name of the " noun }
#define DISK \
	{ .name = "disk", .value = "DEK", .kind = CLI_TEXT, .help = "UUID of the disk's DEK" }
#define DEVICE \
	{ .name = "device", .value = "DEVICE", .kind = CLI_TEXT, .help = "path on the host" }
#define ON_HOST \
	{ .name = "host", .value = "HOST", .kind = CLI_REFERENCE, .required = true, \
	  .help = "the host that is to do it" }
#define COLUMNS(c) .columns = c, .n_columns = ARRAY_SIZE(c)

/* So that an administrator can compare it with what "vmcrypt-manager init" said. */
static char *field_fingerprint(const json_t *value, const json_t *object)
{
	(void)object;
	return fields_string(value, "fingerprint");
}

static const struct field about_fields[] = {
	{ "Version", "version", field_text },
	{ "API",     "api",     field_text },
	{ "CA's fingerprint", "authority", field_fingerprint },
};

static const struct field session_fields[] = {
	{ "User",    "user",    field_text },
	{ "Expires", "expires", field_text },
};

static const struct field user_fields[] = {
	{ "NAME",     "name",     field_text },
	{ "DISABLED", "disabled", field_yes_no },
	{ "CREATED",  "created",  field_text },
};

static const struct field role_fields[] = {
	{ "NAME",       "name",       field_text },
	{ "BUILT IN",   "builtin",    field_yes_no },
	{ "PRIVILEGES", "privileges", field_list },
};

static const struct field privilege_fields[] = {
	{ "PRIVILEGE", "name",    field_text },
	{ "CRYPTO",    "crypto",  field_yes_no },
	{ "MEANING",   "summary", field_text },
};

static const struct field permission_fields[] = {
	{ "ID",        "id",        field_text },
	{ "USER",      "user",      field_text },
	{ "ROLE",      "role",      field_text },
	{ "OBJECT",    "object",    field_text },
	{ "PROPAGATE", "propagate", field_yes_no },
};

static const struct field named_fields[] = {
	{ "NAME", "name", field_text },
	{ "UUID", "id",   field_text },
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

static const struct field host_fields[] = {
	{ "NAME",    "name",    field_text },
	{ "UUID",    "id",      field_text },
	{ "CLUSTER", "cluster", field_text },
	{ "MODE",    "mode",    field_text },
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

static const struct field event_fields[] = {
	{ "SEQ",       "seq",       field_number },
	{ "TIME",      "time",      field_text },
	{ "USER",      "user",      field_text },
	{ "OPERATION", "operation", field_text },
	{ "OBJECT",    "object",    field_text },
	{ "PHASE",     "phase",     field_text },
	{ "RESULT",    "result",    field_text },
};

static const struct field verify_fields[] = {
	{ "Intact", "intact", field_yes_no },
	{ "Rows",   "rows",   field_number },
	{ "Cut to", "cut",    field_number },
	{ "Head",   "head",   field_text },
	{ "Why",    "text",   field_text },
};

const struct cli_command manager_commands[] = {
	{
		.noun = "about", .route = "GET /about", COLUMNS(about_fields), .open = true,
		.summary = "version of the manager",
	},
	{
		.noun = "session", .verb = "create", .route = "POST /session",
		COLUMNS(session_fields), .keeps_token = true,
		.summary = "log in",
		.details =
"The session's token is kept in a file that only you can read:\n"
"$XDG_RUNTIME_DIR/vmcrypt-session, or what --token-file names.\n",
		.secret = CLI_SECRET_KNOWN,
		.positionals = {
			{ .name = "name", .value = "USER", .kind = CLI_TEXT, .help = "name of the user" },
		},
		.options = { CLI_PASSWORD_FILE, CLI_PASSWORD_FD },
	},
	{
		.noun = "session", .verb = "show", .route = "GET /session", COLUMNS(session_fields),
		.summary = "who is logged in",
	},
	{
		.noun = "session", .verb = "end", .route = "DELETE /session",
		.summary = "log out",
	},
	{
		.noun = "user", .verb = "list", .route = "GET /users", .member = "users",
		COLUMNS(user_fields),
		.summary = "list the users",
	},
	{
		.noun = "user", .verb = "create", .route = "POST /users", COLUMNS(user_fields),
		.summary = "make a user, who may do nothing before a permission is given",
		.secret = CLI_SECRET_NEW,
		.positionals = { NAME("user") },
		.options = { CLI_PASSWORD_FILE, CLI_PASSWORD_FD },
	},
	{
		.noun = "user", .verb = "password", .route = "PATCH /users/{user}",
		COLUMNS(user_fields),
		.summary = "change a user's password; all sessions of the user end",
		.secret = CLI_SECRET_NEW,
		.positionals = { OBJECT("user", "USER", CLI_TEXT) },
		.options = { CLI_PASSWORD_FILE, CLI_PASSWORD_FD },
	},
	{
		.noun = "user", .verb = "delete", .route = "DELETE /users/{user}",
		.summary = "delete a user",
		.positionals = { OBJECT("user", "USER", CLI_TEXT) },
	},
	{
		.noun = "privilege", .verb = "list", .route = "GET /privileges",
		.member = "privileges", COLUMNS(privilege_fields),
		.summary = "list all privileges",
	},
	{
		.noun = "role", .verb = "list", .route = "GET /roles", .member = "roles",
		COLUMNS(role_fields),
		.summary = "list the roles",
	},
	{
		.noun = "role", .verb = "create", .route = "POST /roles", COLUMNS(role_fields),
		.summary = "make a role of privileges",
		.positionals = {
			NAME("role"),
			{ .name = "privileges", .value = "PRIVILEGE[,...]", .kind = CLI_LIST,
			  .help = "what it allows" },
		},
	},
	{
		.noun = "role", .verb = "delete", .route = "DELETE /roles/{role}",
		.summary = "delete a role that no permission names",
		.positionals = { OBJECT("role", "ROLE", CLI_TEXT) },
	},
	{
		.noun = "permission", .verb = "list", .route = "GET /permissions",
		.member = "permissions", COLUMNS(permission_fields),
		.summary = "list who has which role on what",
	},
	{
		.noun = "permission", .verb = "create", .route = "POST /permissions",
		COLUMNS(permission_fields),
		.summary = "give a user a role on an object and what is below it",
		.positionals = {
			{ .name = "user", .value = "USER", .kind = CLI_TEXT, .help = "who" },
			{ .name = "role", .value = "ROLE", .kind = CLI_TEXT, .help = "may do what" },
			{ .name = "object", .value = "OBJECT", .kind = CLI_TEXT,
			  .help = "where: global, cluster:UUID, host:UUID or vm:UUID" },
		},
	},
	{
		.noun = "permission", .verb = "delete", .route = "DELETE /permissions/{permission}",
		.summary = "take a permission away",
		.positionals = {
			{ .name = "permission", .value = "ID", .kind = CLI_TEXT,
			  .help = "UUID of the permission" },
		},
	},
	{
		.noun = "cluster", .verb = "list", .route = "GET /clusters", .member = "clusters",
		COLUMNS(named_fields),
		.summary = "list the clusters",
	},
	{
		.noun = "cluster", .verb = "create", .route = "POST /clusters", COLUMNS(named_fields),
		.summary = "make a cluster, whose hosts share keys",
		.positionals = { NAME("cluster") },
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
		.noun = "host", .verb = "token", .route = "POST /hosts/tokens",
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
		.positionals = { OBJECT("host", "HOST", CLI_REFERENCE) },
	},
	{
		.noun = "vm", .verb = "list", .route = "GET /vms", .member = "vms",
		COLUMNS(vm_fields),
		.summary = "list the VMs",
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
	{
		.noun = "event", .verb = "list", .route = "GET /events", .member = "events",
		COLUMNS(event_fields),
		.summary = "list what was done, newest last",
		.options = {
			{ .name = "since", .value = "SEQ", .kind = CLI_NUMBER,
			  .help = "only those behind this one" },
			{ .name = "limit", .value = "N", .kind = CLI_NUMBER, .help = "at most so many" },
			{ .name = "user", .value = "USER", .kind = CLI_TEXT, .help = "only this user's" },
			{ .name = "vm", .value = "VM", .kind = CLI_REFERENCE, .help = "only on this VM" },
		},
	},
	{
		.noun = "event", .verb = "verify", .route = "GET /events/verify",
		COLUMNS(verify_fields), .verdict = "intact",
		.summary = "see whether an event was removed or altered",
		.details =
"Each event carries a hash over itself and the one before. Write the head down\n"
"elsewhere: it shows later that none of today's was changed. \"Cut to\" is the\n"
"number of the newest event that the manager's settings have cut away. The exit\n"
"status is 1 when an event was removed otherwise, or altered.\n",
	},
};

const size_t manager_n_commands = ARRAY_SIZE(manager_commands);
