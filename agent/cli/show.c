// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/show.h"

#include <stdbool.h>
#include <string.h>

#include "cli/fields.h"
#include "common/cleanup.h"

static const struct field provider_fields[] = {
	{ "Name",       "name",        field_text },
	{ "UUID",       "uuid",        field_text },
	{ "Type",       "type",        field_text },
	{ "Created",    "created",     field_text },
	{ "Protection", "protection",  field_text },
	{ "Default",    "default",     field_yes_no },
	{ "Managed",    "managed",     field_yes_no },
	{ "Backed up",  "backed_up",   field_yes_no },
	{ "Last backup", "backup_time", field_text },
	{ "Disks",      "disks",       field_number },
};

static const struct field provider_columns[] = {
	{ "NAME",       "name",       field_text },
	{ "TYPE",       "type",       field_text },
	{ "PROTECTION", "protection", field_text },
	{ "DEFAULT",    "default",    field_yes_no },
	{ "BACKED UP",  "backed_up",  field_yes_no },
	{ "DISKS",      "disks",      field_number },
	{ "CREATED",    "created",    field_text },
};

static const struct field check_columns[] = {
	{ "CHECK", "check", field_text },
	{ "OK",    "ok",    field_yes_no },
	{ "TEXT",  "text",  field_text },
};

static const struct field key_columns[] = {
	{ "DEK",     "dek",      field_text },
	{ "BITS",    "key_bits", field_number },
	{ "STATE",   "state",    field_text },
	{ "LOCKED",  "locked",   field_yes_no },
	{ "TARGETS", "targets",  field_number },
	{ "DISKS",   "disks",    field_list },
	{ "KEK",     "keys",     field_list },
};

static const struct field boot_columns[] = {
	{ "LINE",   "line",   field_number },
	{ "NAME",   "name",   field_text },
	{ "DEVICE", "device", field_text },
	{ "STATE",  "state",  field_text },
	{ "ERROR",  "error",  field_text },
};

static const struct field status_fields[] = {
	{ "Mode",             "mode",             field_text },
	{ "Agent",            "version",          field_text },
	{ "Running since",    "started",          field_text },
	{ "Memory locked",    "memory_locked",    field_yes_no },
	{ "TPM",              "tpm",              field_yes_no },
	{ "Default provider", "default_provider", field_text },
};

static const struct field manager_fields[] = {
	{ "Manager",         "url",             field_text },
	{ "Host",            "host",            field_text },
	{ "Name",            "name",            field_text },
	{ "Mode",            "mode",            field_text },
	{ "Connected",       "connected",       field_yes_no },
	{ "Connected since", "connected_since", field_text },
	{ "Trouble",         "trouble",         field_text },
	{ "Certificate ends", "certificate_end", field_text },
	{ "Protection",      "protection",      field_text },
};

/* "text" with one member of the result in it. */
static void say(FILE *out, const char *before, const json_t *result,
		const char *key, const char *after)
{
	_cleanup_free_ char *text = fields_string(result, key);

	fprintf(out, "%s%s%s\n", before, text ? text : "-", after);
}

static long long number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static void show_warnings(FILE *out, const json_t *warnings)
{
	json_t *warning;
	size_t i;

	json_array_foreach(warnings, i, warning) {
		_cleanup_free_ char *text = field_text(warning, NULL);

		fprintf(out, "%sWarning: %s\n", i == 0 ? "\n" : "",
			text ? text : "-");
	}
}

static void show_manager(FILE *out, const json_t *manager)
{
	_cleanup_free_ char *url = fields_string(manager, "url");

	if (json_is_object(manager))
		fprintf(out, "Manager: %s, %sconnected\n", url ? url : "-",
			json_is_true(json_object_get(manager, "connected")) ? "" : "not ");
}

static void show_counts(FILE *out, const json_t *result)
{
	const json_t *disks = json_object_get(result, "disks");
	const json_t *boot = json_object_get(result, "boot");
	const json_t *events = json_object_get(result, "events");

	fprintf(out, "Disks: %lld known, %lld attached, %lld locked\n",
		number(disks, "known"), number(disks, "attached"),
		number(disks, "locked"));
	fprintf(out, "/etc/vmcrypt/disks: %lld attached, %lld failed, %lld waiting\n",
		number(boot, "attached"), number(boot, "failed"),
		number(boot, "waiting"));
	if (!json_is_true(json_object_get(events, "healthy")))
		say(out, "Events cannot be written to ", events, "path",
		    ": operations on keys are refused");
}

void show_status(FILE *out, const json_t *result)
{
	const json_t *boot = json_object_get(result, "boot");
	const json_t *lines = json_object_get(boot, "lines");

	fields_print_object(out, status_fields, ARRAY_SIZE(status_fields), result);
	say(out, "\nModule: ", json_object_get(result, "module"), "text", "");
	show_manager(out, json_object_get(result, "manager"));
	show_counts(out, result);
	fputc('\n', out);
	fields_print_list(out, provider_columns, ARRAY_SIZE(provider_columns),
			  json_object_get(result, "providers"),
			  "No key provider; make one: vmcryptctl provider create native NAME");
	if (json_array_size(lines) > 0) {
		fputc('\n', out);
		fields_print_list(out, boot_columns, ARRAY_SIZE(boot_columns),
				  lines, "");
	}
	show_warnings(out, json_object_get(result, "warnings"));
}

void show_provider(FILE *out, const json_t *result)
{
	fields_print_object(out, provider_fields, ARRAY_SIZE(provider_fields),
			    result);
}

void show_provider_created(FILE *out, const json_t *result)
{
	show_provider(out, result);
	say(out, "\nBack it up before the first disk is made:\n  vmcryptctl provider backup ",
	    result, "name", " --out FILE");
}

void show_provider_list(FILE *out, const json_t *result)
{
	fields_print_list(out, provider_columns, ARRAY_SIZE(provider_columns),
			  json_object_get(result, "providers"),
			  "No key provider.");
}

void show_provider_default(FILE *out, const json_t *result)
{
	say(out, "New disks use the key provider ", result, "name", ".");
}

void show_provider_check(FILE *out, const json_t *result)
{
	fields_print_list(out, check_columns, ARRAY_SIZE(check_columns),
			  json_object_get(result, "checks"), "No checks.");
}

void show_provider_deleted(FILE *out, const json_t *result)
{
	say(out, "Deleted the key provider ", result, "name", ".");
}

void show_provider_backup(FILE *out, const json_t *result)
{
	say(out, "Backed up the key provider ", result, "name",
	    ". Keep the file and its password apart, and off this host.");
}

void show_provider_restore(FILE *out, const json_t *result)
{
	const char *state = json_string_value(json_object_get(result, "state"));
	bool dry = json_is_true(json_object_get(result, "dry_run"));
	bool same = state && strcmp(state, "same") == 0;

	say(out, "Provider  ", result, "name", "");
	say(out, "UUID      ", result, "uuid", "");
	say(out, "Created   ", result, "created", "");
	if (same)
		fputs("It is on this host already, with the same key.\n", out);
	else if (dry)
		fputs("It is not on this host. Nothing was changed.\n", out);
	else
		fputs("It was restored.\n", out);
}

void show_host(FILE *out, const json_t *result)
{
	const json_t *manager = json_object_get(result, "manager");

	if (json_is_object(manager))
		fields_print_object(out, manager_fields, ARRAY_SIZE(manager_fields), manager);
	else
		fputs("This host has joined no manager.\n", out);
}

void show_host_left(FILE *out, const json_t *result)
{
	say(out, "Left the manager ", result, "url", ", and forgot its keys.");
	say(out, "Remove the host there, too: ", result, "host", "");
}

void show_key_list(FILE *out, const json_t *result)
{
	fields_print_list(out, key_columns, ARRAY_SIZE(key_columns),
			  json_object_get(result, "keys"), "No keys.");
}

/* One line, grown from the left: what is always there comes first. */
void show_event(FILE *out, const json_t *event)
{
	static const char *const keys[] = {
		"time", "phase", "user", "operation", "object", "vm", "key",
		"result",
	};
	static const int widths[] = { 20, 7, 8, 19, 20, 0, 0, 0 };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		_cleanup_free_ char *text = fields_string(event, keys[i]);

		fprintf(out, "%s%-*s", i > 0 ? "  " : "", widths[i],
			text ? text : "-");
	}
	fputc('\n', out);
}

void show_event_end(FILE *out, const json_t *result)
{
	if (number(result, "count") == 0)
		fputs("No events.\n", out);
}
