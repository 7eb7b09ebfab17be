/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/certificates.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/log.h"
#include "manager/authority.h"
#include "manager/keys_watch.h"
#include "manager/manager.h"
#include "manager/permission.h"
#include "manager/record.h"
#include "manager/store.h"

#define DAY	86400

static bool ends_in(int64_t end, int64_t now, int days)
{
	return end - now < (int64_t)days * DAY;
}

static int say(json_t *list, const char *host, const char *text, struct error *e)
{
	int r = json_array_append_new(list, json_pack("{s:s?, s:o}", "host", host, "text",
						      json_string_printable(text)));

	return r < 0 ? error_oom(e) : 0;
}

static int look_at_host(json_t *list, const json_t *host, int64_t now, struct error *e)
{
	const char *until = json_text(host, "certificate_end"), *name = json_text(host, "name");
	char text[ERROR_TEXT_SIZE];
	int64_t end;

	if (time_parse(until, &end) < 0 || !ends_in(end, now, CERTIFICATES_LATE_DAYS))
		return 0;
	if (end <= now)
		snprintf(text, sizeof(text), "The certificate of host %.64s ended at %s: what runs there "
			 "goes on, but it gets no keys from here; let it join again", name, until);
	else
		snprintf(text, sizeof(text), "The certificate of host %.64s ends at %s and was not renewed: "
			 "the host needs a connection to the manager before that", name, until);
	return say(list, json_text(host, "id"), text, e);
}

static int look_at_hosts(struct manager *m, json_t *list, int64_t now, struct error *e)
{
	_cleanup_json_ json_t *hosts = NULL;
	json_t *host;
	size_t i;
	int r = store_list(m->store, "host", NULL, NULL, &hosts, e);

	json_array_foreach(hosts, i, host) {
		if (r == 0)
			r = look_at_host(list, host, now, e);
	}
	return r;
}

static int look_at_own(struct manager *m, json_t *list, int64_t now, struct error *e)
{
	char text[ERROR_TEXT_SIZE], until[TIME_TEXT_SIZE];
	int64_t authority, server;
	int r;

	authority_ends(m->authority, &authority, &server);
	if (ends_in(authority, now, CERTIFICATES_CA_DAYS)) {
		time_format(authority, until);
		snprintf(text, sizeof(text), "The certificate of the manager's authority ends at %s: no "
			 "host and no client trusts the manager after that; have a new manager, which "
			 "all hosts join, before then", until);
		r = say(list, /* host= */ NULL, text, e);
		if (r < 0)
			return r;
	}
	if (!ends_in(server, now, CERTIFICATES_LATE_DAYS))
		return 0;
	time_format(server, until);
	snprintf(text, sizeof(text), "The manager's server certificate ends at %s and was not renewed: its "
		 "journal tells why", until);
	return say(list, /* host= */ NULL, text, e);
}

int certificates_warnings(struct manager *m, int64_t now, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *list = json_array();
	int r;

	if (!list)
		return error_oom(e);
	r = look_at_own(m, list, now, e);
	if (r == 0)
		r = look_at_hosts(m, list, now, e);
	if (r == 0)
		*ret = TAKE_PTR(list);
	return r;
}

static void note(struct manager *m, const char *host, const char *text)
{
	char object[6 + UUID_TEXT_SIZE] = PERMISSION_GLOBAL;
	const struct record_event event = { .user = RECORD_USER_MANAGER,
					    .operation = "certificate.watch", .object = object,
					    .host = host };
	struct error e = ERROR_NULL;

	if (host)
		snprintf(object, sizeof(object), "host:%.36s", host);
	if (record_note(m->store, &event, text, &e) < 0)
		log_warning("Cannot record this: %s (%s)", text, e.text);
}

void certificates_watch(struct manager *m, int64_t now)
{
	char today[TIME_TEXT_SIZE], was[KEYWATCH_STATE_SIZE], name[ERROR_TEXT_SIZE + 16];
	_cleanup_json_ json_t *list = NULL;
	struct error e = ERROR_NULL;
	const json_t *warning;
	size_t i;

	if (certificates_warnings(m, now, &list, &e) < 0) {
		log_warning("Ends of certificates are not looked at: %s", e.text);
		return;
	}
	time_format(now, today);
	today[sizeof("2026-01-01") - 1] = '\0';
	json_array_foreach(list, i, warning) {
		const char *text = json_text(warning, "text");

		snprintf(name, sizeof(name), "certificate|%s", text);
		keywatch_remember(m->watch, name, today, was);
		if (strcmp(was, today) != 0)
			note(m, json_string_value(json_object_get(warning, "host")), text);
	}
}
