/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `status`, and the list of events. */
#include "host/ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/boot.h"
#include "host/client.h"
#include "host/eventfile.h"
#include "host/link.h"

/* It is renewed by itself long before. */
#define CERTIFICATE_WARN_S	(14 * 24 * 3600LL)

/* What one look at the agent has found. */
struct look {
	bool module;
	struct error module_text;
	bool tpm;
	json_t *providers;
	json_t *disks;
	json_t *boot;
	struct events_status events;
	struct link_view link;
};

static void look_done(struct look *look)
{
	json_decref(look->providers);
	json_decref(look->disks);
	json_decref(look->boot);
}

static int look_at(struct host *host, struct look *ret, struct error *e)
{
	int r;

	ret->module = nl_client_check(host->netlink, &ret->module_text) == 0;
	ret->tpm = provider_tpm_present(host->providers, NULL) == 0;
	events_get_status(host->events, &ret->events);
	link_look(host->link, &ret->link);
	r = ops_providers_json(host, &ret->providers, e);
	if (r < 0)
		return r;
	ret->boot = boot_json(host->boot);
	ret->disks = ops_disks_json(host, e);
	return ret->disks ? 0 : e->code;
}

static const json_t *default_provider(const json_t *providers)
{
	const json_t *provider;
	size_t i;

	json_array_foreach(providers, i, provider)
		if (json_is_true(json_object_get(provider, "default")))
			return provider;
	return NULL;
}

static const char *mode(const struct look *look)
{
	const json_t *provider = default_provider(look->providers);

	if (!look->module)
		return host_mode_name(MODE_INCAPABLE);
	if (look->link.joined)
		return host_mode_name(look->link.mode);
	return json_is_true(json_object_get(provider, "backed_up")) ?
	       host_mode_name(MODE_SAFE) : host_mode_name(MODE_PREPARED);
}

static json_t *disks_summary(const json_t *disks)
{
	int attached = 0, locked = 0;
	const json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk) {
		if (json_is_true(json_object_get(disk, "attached")))
			attached++;
		if (json_is_true(json_object_get(disk, "locked")))
			locked++;
	}
	return json_pack("{s:i, s:i, s:i}", "known", (int)json_array_size(disks), "attached",
			 attached, "locked", locked);
}

static void __attribute__((format(printf, 2, 3))) warn(json_t *warnings, const char *fmt, ...)
{
	char text[ERROR_TEXT_SIZE];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	json_array_append_new(warnings, json_string(text));
}

static void provider_warnings(json_t *warnings, const json_t *providers)
{
	const json_t *provider;
	const char *name;
	size_t i;

	json_array_foreach(providers, i, provider) {
		name = json_string_value(json_object_get(provider, "name"));
		if (!json_is_true(json_object_get(provider, "backed_up")))
			warn(warnings, "The provider %s is not backed up: it makes no keys before vmcryptctl provider backup",
			     name);
		if (strcmp(json_string_value(json_object_get(provider, "protection")), "unsealed") == 0)
			warn(warnings, "The key of the provider %s is not sealed to a TPM: who reads this host's disk can open its disks",
			     name);
	}
	if (!default_provider(providers))
		warn(warnings, "There is no default provider: make one with vmcryptctl provider create");
}

static void link_warnings(json_t *warnings, const struct link_view *link)
{
	char until[TIME_TEXT_SIZE];

	if (!link->joined) {
		/* What kept it from being read. */
		if (error_is_set(&link->trouble))
			warn(warnings, "%s", link->trouble.text);
		return;
	}
	if (!link->connected)
		warn(warnings, "There is no connection to the manager%s%s; what runs goes on",
		     error_is_set(&link->trouble) ? ": " : "", link->trouble.text);
	if (!link->sealed)
		warn(warnings, "The key of this host's certificate is not sealed to a TPM: who reads this host's disk can pass for it");
	if (link->certificate_end - time_now() > CERTIFICATE_WARN_S)
		return;
	time_format(link->certificate_end, until);
	warn(warnings, "The certificate of this host ends at %s and was not renewed: it needs a connection to the manager before that",
	     until);
}

static json_t *warnings_json(const struct look *look)
{
	json_t *warnings = json_array();
	json_int_t failed = json_integer_value(json_object_get(look->boot, "failed"));

	if (!look->module)
		warn(warnings, "%s", look->module_text.text);
	provider_warnings(warnings, look->providers);
	link_warnings(warnings, &look->link);
	if (!look->events.healthy)
		warn(warnings, "%s", look->events.trouble);
	if (failed)
		warn(warnings, "%lld lines of the list of disks have failed", (long long)failed);
	return warnings;
}

int op_status(struct call *call, json_t **ret_result, struct error *e)
{
	struct look look __attribute__((cleanup(look_done))) = { 0 };
	struct host *host = call->host;
	char started[TIME_TEXT_SIZE], path[PROTOCOL_PATH_MAX + sizeof("/" EVENTFILE_NAME)];
	const json_t *provider;
	int r;

	r = look_at(host, &look, e);
	if (r < 0)
		return r;
	provider = default_provider(look.providers);
	time_format(host->started, started);
	snprintf(path, sizeof(path), "%s/" EVENTFILE_NAME, host->conf.state_dir);
	*ret_result = json_pack("{s:s, s:i, s:i, s:s, s:s, s:{s:b, s:s}, s:b, s:b, s:s?, s:O, s:o, s:o, s:O, s:{s:s, s:I, s:I, s:b}, s:o}",
		"version", VMCRYPT_VERSION, "protocol", PROTOCOL_VERSION, "pid", (int)getpid(),
		"started", started, "mode", mode(&look),
		"module", "loaded", look.module,
		"text", look.module ? "loaded" : look.module_text.text,
		/* The agent does not start where its memory cannot be locked. */
		"memory_locked", true, "tpm", look.tpm,
		"default_provider", json_string_value(json_object_get(provider, "name")),
		"providers", look.providers, "manager", ops_manager_json(&look.link),
		"disks", disks_summary(look.disks),
		"boot", look.boot,
		"events", "path", path, "bytes", (json_int_t)look.events.bytes,
		"reserved", (json_int_t)look.events.reserved, "healthy", look.events.healthy,
		"warnings", warnings_json(&look));
	return 0;
}

struct event_walk {
	struct call *call;
	uint64_t count;
};

static int send_event(const char *text, size_t size, void *userdata)
{
	struct event_walk *walk = userdata;
	int r;

	r = call_event(walk->call, text, size);
	if (r == 0)
		walk->count++;
	return r;
}

int op_event_list(struct call *call, json_t **ret_result, struct error *e)
{
	struct event_walk walk = { .call = call };
	bool follow = call_flag(call, "follow");
	uint64_t seq;
	int r;

	/* From before the first line is read, so that none is missed in between. */
	if (follow && client_follow(call->client, call->id) < 0)
		return error_fail(e, EBUSY, "This connection follows the events already");
	r = events_each(call->host->events, call_number(call, "limit"), send_event, &walk, &seq, e);
	if (r < 0) {
		if (follow)
			client_follow_end(call->client);
		return r;
	}
	if (follow) {
		call->follow = true;
		client_follow_live(call->client, seq);
		return 0;
	}
	*ret_result = json_pack("{s:I}", "count", (json_int_t)walk.count);
	return 0;
}
