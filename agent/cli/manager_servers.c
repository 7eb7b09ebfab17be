// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager_table.h"

#define PROVIDER OBJECT("provider", "PROVIDER", CLI_REFERENCE)
#define ADDRESS \
	{ .name = "address", .value = "ADDRESS", .kind = CLI_TEXT, \
	  .help = "name or IP address of the key server" }
#define PORT \
	{ .name = "port", .value = "N", .kind = CLI_NUMBER, .help = "TCP port; default 5696" }
#define SERVER_NAME \
	{ .name = "server-name", .value = "NAME", .kind = CLI_TEXT, \
	  .help = "that its certificate bears, when not the address" }
#define LEGACY \
	{ .name = "legacy", .kind = CLI_FLAG, .help = "allow old TLS suites too" }
#define PIN \
	{ .name = "pin", .value = "SHA256", .kind = CLI_TEXT, \
	  .help = "fingerprint that its certificate must have" }
#define SERVER_CA \
	{ .name = "server-ca", .value = "FILE", .kind = CLI_TEXT_FILE, .member = "ca", \
	  .help = "PEM of the CA that its certificate must be signed by" }

#define KMIP_VERSION \
	{ .name = "kmip-version", .value = "N.N", .kind = CLI_TEXT, .member = "version", \
	  .choices = "auto|1.0|1.1|1.2|1.3|1.4|2.0|2.1", \
	  .help = "that is spoken; auto: one that the server speaks" }

static const struct field server_columns[] = {
	{ "NAME",    "name",    field_text },
	{ "ADDRESS", "address", field_text },
	{ "PORT",    "port",    field_number },
	{ "VENDOR",  "vendor",  field_text },
	{ "KMIP",    "version", field_text },
	{ "USER",    "user",    field_text },
	{ "PIN",     "pin",     field_text },
};

static const struct field certificate_fields[] = {
	{ "Subject",     "subject",     field_text },
	{ "Issuer",      "issuer",      field_text },
	{ "Serial",      "serial",      field_text },
	{ "Fingerprint", "fingerprint", field_text },
	{ "Valid from",  "not_before",  field_text },
	{ "Until",       "not_after",   field_text },
};

static void print_pem(FILE *out, const json_t *value)
{
	const char *text = json_string_value(value);

	/* Base64 between dashes; nothing else reaches the terminal. */
	for (; text && *text; text++)
		if (*text == '\n' || (*text >= ' ' && *text <= '~'))
			fputc(*text, out);
}

static void print_certificate(FILE *out, const char *title, const json_t *certificate)
{
	if (!json_is_object(certificate))
		return;
	fprintf(out, "%s:\n", title);
	fields_print_object(out, certificate_fields, ARRAY_SIZE(certificate_fields), certificate);
	print_pem(out, json_object_get(certificate, "certificate"));
}

static void show_looked(FILE *out, const json_t *certificate)
{
	print_certificate(out, "The key server's certificate", certificate);
}

static void show_certificates(FILE *out, const json_t *answer)
{
	const json_t *certificate = json_object_get(answer, "certificate");
	const json_t *request = json_object_get(answer, "request");

	if (!json_is_object(certificate))
		fputs("The manager has no certificate for the key servers.\n", out);
	print_certificate(out, "The manager's certificate for the key servers", certificate);
	print_certificate(out, "The CA that the key servers are to trust",
			  json_object_get(answer, "authority"));
	if (json_is_string(request))
		fputs("The request, for the key servers' CA to sign:\n", out);
	print_pem(out, request);
}

static const struct cli_command commands[] = {
	{
		.noun = "server", .verb = "list", .route = "GET /providers/{provider}",
		.member = "servers", COLUMNS(server_columns),
		.summary = "list the key servers of a provider",
		.positionals = { PROVIDER },
	},
	{
		.noun = "server", .verb = "look", .route = "POST /providers/look",
		.show = show_looked,
		.summary = "see the certificate that a key server shows, before trusting it",
		.positionals = { ADDRESS },
		.options = { PORT, SERVER_NAME, LEGACY },
	},
	{
		.noun = "server", .verb = "add", .route = "POST /providers/{provider}/servers",
		.member = "servers", COLUMNS(server_columns),
		.summary = "take in a key server that gives the provider's keys",
		.details =
"Compare the fingerprint that \"server look\" shows with what the key server's\n"
"administrator says, and give it as --pin, or give the CA as --server-ca.\n"
"The version of KMIP that both agree on is kept, and only that is spoken later.\n"
"With --user the user's password is asked for, or read as the options say.\n",
		.secret = CLI_SECRET_USER,
		.positionals = {
			PROVIDER,
			{ .name = "name", .value = "NAME", .kind = CLI_TEXT,
			  .help = "name of the key server here" },
			ADDRESS,
		},
		.options = {
			PORT, SERVER_NAME, LEGACY, PIN, SERVER_CA, KMIP_VERSION,
			{ .name = "user", .value = "USER", .kind = CLI_TEXT,
			  .help = "that the manager is at the key server" },
			CLI_PASSWORD_FILE, CLI_PASSWORD_FD,
		},
	},
	{
		.noun = "server", .verb = "change",
		.route = "PATCH /providers/{provider}/servers/{server}",
		.member = "servers", COLUMNS(server_columns),
		.summary = "change how a key server is reached, trusted or spoken to",
		.details =
"What no option names stays as it is. The server is tried as a new one is before\n"
"anything is kept. --pin and --server-ca take the place of all that was trusted:\n"
"--pin alone takes a CA back, --server-ca alone a fingerprint. --user asks for the\n"
"password, or reads it as the options say; the same user may have another one.\n",
		.secret = CLI_SECRET_USER,
		.positionals = { PROVIDER, OBJECT("server", "SERVER", CLI_TEXT) },
		.options = {
			{ .name = "address", .value = "ADDRESS", .kind = CLI_TEXT,
			  .help = "name or IP address of the key server" },
			PORT,
			{ .name = "server-name", .value = "NAME", .kind = CLI_TEXT,
			  .excludes = "no-server-name",
			  .help = "that its certificate bears, when not the address" },
			{ .name = "no-server-name", .kind = CLI_NONE, .member = "server_name",
			  .excludes = "server-name", .help = "its certificate bears the address" },
			{ .name = "legacy", .kind = CLI_FLAG, .excludes = "no-legacy",
			  .help = "allow old TLS suites too" },
			{ .name = "no-legacy", .kind = CLI_NOT, .member = "legacy",
			  .excludes = "legacy", .help = "allow none but the good TLS suites" },
			PIN, SERVER_CA, KMIP_VERSION,
			{ .name = "user", .value = "USER", .kind = CLI_TEXT, .excludes = "no-user",
			  .help = "that the manager is at the key server" },
			{ .name = "no-user", .kind = CLI_NONE, .member = "user", .excludes = "user",
			  .help = "the certificate alone says who the manager is" },
			CLI_PASSWORD_FILE, CLI_PASSWORD_FD,
		},
	},
	{
		.noun = "server", .verb = "remove",
		.route = "DELETE /providers/{provider}/servers/{server}",
		.summary = "remove a key server; not the last one while keys are in use",
		.positionals = { PROVIDER, OBJECT("server", "SERVER", CLI_TEXT) },
	},
	{
		.noun = "certificate", .verb = "show",
		.route = "GET /providers/{provider}/certificate", .show = show_certificates,
		.summary = "show the certificate that the manager shows to key servers",
		.positionals = { PROVIDER },
	},
	{
		.noun = "certificate", .verb = "set",
		.route = "POST /providers/{provider}/certificate", .show = show_certificates,
		.summary = "make, request or upload that certificate",
		.details =
"self-signed: the key servers trust the certificate itself. authority: they\n"
"trust a CA that the manager makes for them. request: their CA signs the request\n"
"that is printed, and the result comes back with upload. upload: take in the\n"
"certificate in --file, with its key in --key-file where the request is not the\n"
"manager's.\n",
		.positionals = {
			PROVIDER,
			{ .name = "way", .value = "self-signed|request|upload|authority",
			  .kind = CLI_TEXT, .choices = "self-signed|request|upload|authority",
			  .help = "how it is had" },
		},
		.options = {
			{ .name = "name", .value = "NAME", .kind = CLI_TEXT,
			  .help = "of the manager in it" },
			{ .name = "days", .value = "N", .kind = CLI_NUMBER,
			  .help = "that it is valid for; default 365" },
			{ .name = "file", .value = "FILE", .kind = CLI_TEXT_FILE,
			  .member = "certificate", .help = "upload: the certificate, PEM" },
			{ .name = "key-file", .value = "FILE", .kind = CLI_TEXT_FILE,
			  .member = "private_key", .help = "upload: its private key, PEM" },
		},
	},
};

const struct manager_table manager_servers = { commands, ARRAY_SIZE(commands) };
