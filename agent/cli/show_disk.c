// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/show.h"

#include <stdbool.h>
#include <string.h>

#include "cli/fields.h"
#include "cli/text.h"
#include "common/cleanup.h"

/* The kernel's state of the key, and the administrator's lock. */
static char *field_state(const json_t *value, const json_t *object)
{
	bool attached = json_is_true(json_object_get(object, "attached"));
	bool locked = json_is_true(json_object_get(object, "locked"));
	const char *state = attached ? json_string_value(value) : "detached";
	char *text;

	if (asprintf(&text, "%s%s", state ? state : "-",
		     locked ? " (by an administrator)" : "") < 0)
		return NULL;
	return text;
}

static const struct field disk_fields[] = {
	{ "Name",        "name",        field_text },
	{ "Path",        "path",        field_text },
	{ "Device",      "device",      field_text },
	{ "Header",      "header",      field_text },
	{ "VM",          "vm",          field_text },
	{ "Disk",        "disk",        field_text },
	{ "State",       "state",       field_state },
	{ "Size",        "size",        field_size },
	{ "Sector size", "sector_size", field_number },
	{ "DEK",         "dek",         field_text },
	{ "Key bits",    "key_bits",    field_number },
	{ "KEK",         "keys",        field_list },
	{ "Created",     "created",     field_text },
};

static const struct field disk_columns[] = {
	{ "NAME",   "name",   field_text },
	{ "VM",     "vm",     field_text },
	{ "DISK",   "disk",   field_text },
	{ "SIZE",   "size",   field_size },
	{ "STATE",  "state",  field_state },
	{ "DEVICE", "device", field_text },
	{ "DEK",    "dek",    field_text },
	{ "KEK",    "keys",   field_list },
};

static const struct field counter_fields[] = {
	{ "In flight",       "inflight", field_number },
	{ "Waiting for key", "queued",   field_number },
	{ "Reads",           "reads",    field_number },
	{ "Writes",          "writes",   field_number },
	{ "Errors",          "errors",   field_number },
};

static void say(FILE *out, const char *before, const json_t *result,
		const char *key, const char *after)
{
	_cleanup_free_ char *text = fields_string(result, key);

	fprintf(out, "%s%s%s", before, text ? text : "-", after);
}

void show_disk(FILE *out, const json_t *result)
{
	const json_t *counters = json_object_get(result, "counters");

	fields_print_object(out, disk_fields, ARRAY_SIZE(disk_fields), result);
	if (!json_is_object(counters))
		return;
	fputc('\n', out);
	fields_print_object(out, counter_fields, ARRAY_SIZE(counter_fields),
			    counters);
}

void show_disk_created(FILE *out, const json_t *result)
{
	show_disk(out, result);
	say(out, "\nAttach it: vmcryptctl disk attach ", result, "device", " NAME\n");
}

void show_disk_attached(FILE *out, const json_t *result)
{
	say(out, "Attached ", result, "device", "");
	say(out, " as ", result, "path", ".\n");
}

void show_disk_detached(FILE *out, const json_t *result)
{
	say(out, "Detached ", result, "name", ".\n");
}

/* A disk that is not attached has no name, but always a DEK. */
static void say_disk(FILE *out, const char *before, const json_t *result,
		     const char *after)
{
	bool named = json_is_string(json_object_get(result, "name"));

	say(out, before, result, named ? "name" : "dek", after);
}

void show_disk_locked(FILE *out, const json_t *result)
{
	say_disk(out, "Locked ", result,
		 ": its key stays away until vmcryptctl disk unlock.\n");
}

void show_disk_unlocked(FILE *out, const json_t *result)
{
	say_disk(out, "Unlocked ", result, ".\n");
}

void show_disk_forgotten(FILE *out, const json_t *result)
{
	say(out, "Forgot the disk with DEK ", result, "dek", ".\n");
}

void show_disk_table(FILE *out, const json_t *result)
{
	say(out, "", result, "table", "\n");
}

void show_disk_list(FILE *out, const json_t *result)
{
	fields_print_list(out, disk_columns, ARRAY_SIZE(disk_columns),
			  json_object_get(result, "disks"), "No disks.");
}

void show_disk_export(FILE *out, const json_t *result)
{
	char command[128];

	snprintf(command, sizeof(command),
		 ". Open the disk with:\n  cryptsetup open --key-size %lld --volume-key-file FILE DEVICE NAME\n",
		 (long long)json_integer_value(json_object_get(result, "key_bits")));
	say(out, "Exported the key ", result, "dek", command);
}
