// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager_table.h"

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

static char *field_healthy(const json_t *value, const json_t *object)
{
	return field_yes_no(json_object_get(value, "healthy"), object);
}

static char *field_trouble(const json_t *value, const json_t *object)
{
	(void)object;
	return fields_string(value, "trouble");
}

static const struct field status_fields[] = {
	{ "Running since",    "started",  field_text },
	{ "Vault opened by",  "vault",    field_text },
	{ "Sessions",         "sessions", field_number },
	{ "Store is healthy", "store",    field_healthy },
	{ "Trouble",          "store",    field_trouble },
	{ "Warnings",         "warnings", field_list },
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

static const struct field one_user_fields[] = {
	{ "Name",        "name",         field_text },
	{ "Password",    "has_password", field_yes_no },
	{ "Certificate", "certificate",  field_text },
	{ "Disabled",    "disabled",     field_yes_no },
	{ "Created",     "created",      field_text },
};

static const struct field effective_fields[] = {
	{ "Object",     "object",     field_text },
	{ "Privileges", "privileges", field_list },
};

static const struct field role_fields[] = {
	{ "NAME",       "name",       field_text },
	{ "BUILT IN",   "builtin",    field_yes_no },
	{ "PRIVILEGES", "privileges", field_list },
};

static const struct field privilege_fields[] = {
	{ "PRIVILEGE", "name",    field_text },
	{ "CRYPTO",    "crypto",  field_yes_no },
	{ "ASKED",     "asked",   field_yes_no },
	{ "MEANING",   "summary", field_text },
};

static const struct field permission_fields[] = {
	{ "ID",        "id",        field_text },
	{ "USER",      "user",      field_text },
	{ "ROLE",      "role",      field_text },
	{ "OBJECT",    "object",    field_text },
	{ "PROPAGATE", "propagate", field_yes_no },
};

static const struct cli_command commands[] = {
	{
		.noun = "about", .route = "GET /about", COLUMNS(about_fields), .open = true,
		.summary = "version of the manager",
	},
	{
		.noun = "status", .route = "GET /status", COLUMNS(status_fields),
		.summary = "how the manager is",
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
		.noun = "session", .verb = "password", .route = "PUT /session/password",
		.summary = "change one's own password, which ends all of one's sessions",
		.secret = CLI_SECRET_CHANGE,
		.options = {
			CLI_PASSWORD_FILE, CLI_PASSWORD_FD,
			{ .name = "new-password-file", .value = "FILE",
			  .kind = CLI_NEW_SECRET_FILE,
			  .help = "read the new password from FILE in the same way" },
		},
	},
	{
		.noun = "session", .verb = "end", .route = "DELETE /session",
		.summary = "log out",
	},
	{
		.noun = "session", .verb = "privileges", .route = "GET /session/privileges",
		COLUMNS(effective_fields),
		.summary = "what one may do to an object",
		.positionals = {
			{ .name = "object", .value = "OBJECT", .kind = CLI_TEXT,
			  .help = "global, cluster:UUID, host:UUID or vm:UUID" },
		},
	},
	{
		.noun = "user", .verb = "list", .route = "GET /users", .member = "users",
		COLUMNS(user_fields),
		.summary = "list the users",
	},
	{
		.noun = "user", .verb = "show", .route = "GET /users/{user}",
		COLUMNS(one_user_fields),
		.summary = "show one user",
		.positionals = { OBJECT("user", "USER", CLI_TEXT) },
	},
	{
		.noun = "user", .verb = "create", .route = "POST /users", COLUMNS(user_fields),
		.summary = "make a user, who may do nothing before a permission is given",
		.details =
"With --fingerprint the user logs in with that certificate, and has a password\n"
"only if --password-file or --password-fd gives one.\n",
		.secret = CLI_SECRET_NEW_OR_CERTIFICATE,
		.positionals = { NAME("user") },
		.options = {
			CLI_PASSWORD_FILE, CLI_PASSWORD_FD,
			{ .name = "fingerprint", .value = "SHA256", .kind = CLI_TEXT,
			  .member = "certificate",
			  .help = "of the certificate that the user logs in with" },
		},
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
		.noun = "user", .verb = "change", .route = "PATCH /users/{user}",
		COLUMNS(one_user_fields),
		.summary = "disable a user, or change their certificate; their sessions end",
		.positionals = { OBJECT("user", "USER", CLI_TEXT) },
		.options = {
			{ .name = "disable", .kind = CLI_FLAG, .member = "disabled",
			  .excludes = "enable", .help = "let the user log in no more" },
			{ .name = "enable", .kind = CLI_NOT, .member = "disabled",
			  .excludes = "disable", .help = "let the user log in again" },
			{ .name = "fingerprint", .value = "SHA256", .kind = CLI_TEXT,
			  .member = "certificate", .excludes = "no-certificate",
			  .help = "of the certificate that the user logs in with" },
			{ .name = "no-certificate", .kind = CLI_NONE, .member = "certificate",
			  .excludes = "fingerprint", .help = "let none log in as this user" },
		},
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
		.noun = "role", .verb = "show", .route = "GET /roles/{role}", COLUMNS(role_fields),
		.summary = "show one role",
		.positionals = { OBJECT("role", "ROLE", CLI_TEXT) },
	},
	{
		.noun = "role", .verb = "change", .route = "PUT /roles/{role}",
		COLUMNS(role_fields),
		.summary = "give a role these privileges in place of those it has",
		.positionals = {
			OBJECT("role", "ROLE", CLI_TEXT),
			{ .name = "privileges", .value = "PRIVILEGE[,...]", .kind = CLI_LIST,
			  .help = "what it allows from then on" },
		},
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
		.options = {
			{ .name = "user", .value = "USER", .kind = CLI_TEXT,
			  .help = "only this user's" },
		},
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
		.options = {
			{ .name = "no-propagate", .kind = CLI_NOT, .member = "propagate",
			  .help = "not on what is below it" },
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
};

const struct manager_table manager_access = { commands, ARRAY_SIZE(commands) };
