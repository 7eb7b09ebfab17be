/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of providers while nobody looks: changes, and ends that come near, are recorded. */
#include "manager/providers.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "kmip/certificate.h"
#include "manager/keys_material.h"
#include "manager/keys_watch.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/store.h"

#define UNREACHABLE	"com.vmware.vc.kms.crypto.Unreachable"
#define NOT_BACKED_UP	"com.vmware.vc.kms.crypto.NotBackedUp"
#define CLIENT_END	"com.vmware.vc.vecs.KMSClientCertExpirationEvent"
#define SERVER_END	"com.vmware.vc.vecs.KMSServerCertExpirationEvent"

struct look {
	struct manager *m;
	const json_t *document;
	const char *id;
	int64_t now;
};

/* @text is what the administrator reads. */
static void note(const struct look *look, const char *type, const char *server, const char *text)
{
	_cleanup_json_ json_t *data = json_pack("{s:s, s:s, s:s?}", "provider", look->id,
						"provider_name", json_text(look->document, "name"),
						"server", server);
	char object[9 + UUID_TEXT_SIZE];
	const struct record_event event = { .user = RECORD_USER_MANAGER,
					    .operation = "provider.watch", .type = type,
					    .object = object, .data = data };
	struct error e = ERROR_NULL;

	snprintf(object, sizeof(object), "provider:%.36s", look->id);
	if (record_note(look->m->store, &event, text, &e) < 0)
		log_warning("Cannot record how provider %s is: %s", json_text(look->document, "name"),
			    e.text);
}

/* Whether @state is another one than the last time; @was: what that was. */
static bool changed(const struct look *look, const char *what, const char *state,
		    char was[KEYWATCH_STATE_SIZE])
{
	char name[KMIP_SERVER_NAME_SIZE + UUID_TEXT_SIZE + 24];

	snprintf(name, sizeof(name), "%s|%s", look->id, what);
	keywatch_remember(look->m->watch, name, state, was);
	return strcmp(was, state) != 0;
}

/* Once a day, as long as it lasts. */
static void note_daily(const struct look *look, const char *what, const char *type,
		       const char *server, const char *text)
{
	char today[TIME_TEXT_SIZE], was[KEYWATCH_STATE_SIZE];

	time_format(look->now, today);
	today[10] = '\0';
	if (changed(look, what, today, was))
		note(look, type, server, text);
}

static void look_at_end(const struct look *look, const char *server, int64_t end)
{
	char what[KMIP_SERVER_NAME_SIZE + 16], text[256], when[TIME_TEXT_SIZE];

	if (!provider_certificate_due(end, look->now))
		return;
	time_format(end, when);
	snprintf(what, sizeof(what), "end|%.128s", server ? server : "");
	if (server)
		snprintf(text, sizeof(text), "The certificate of key server %.128s ends at %s", server, when);
	else
		snprintf(text, sizeof(text), "The manager's certificate for this provider ends at %s: "
			 "renew it", when);
	note_daily(look, what, server ? SERVER_END : CLIENT_END, server, text);
}

/* One that answers and does not hold the key is reached all the same. */
static const char *server_event(const struct kmip_server_status *found)
{
	const struct key_failure failure = { .why = found->why };

	return found->why == KEYSTATE_PROVIDER_UNREACHABLE ? UNREACHABLE : key_failure_event(&failure);
}

static void look_at_server(const struct look *look, const struct kmip_server_status *found)
{
	const char *state = found->code == 0 ? "ok" : keystate_name(found->why);
	char what[KMIP_SERVER_NAME_SIZE + 16], was[KEYWATCH_STATE_SIZE], text[ERROR_TEXT_SIZE + 80];

	snprintf(what, sizeof(what), "server|%.128s", found->name);
	look_at_end(look, found->name, found->certificate_end);
	if (!changed(look, what, state, was))
		return;
	if (found->code < 0) {
		snprintf(text, sizeof(text), "Key server %.128s gives no key (%.40s): %s", found->name, state,
			 found->text);
		note(look, server_event(found), found->name, text);
	} else if (was[0]) {
		snprintf(text, sizeof(text), "Key server %.128s gives keys again", found->name);
		note(look, NULL, found->name, text);
	}
}

/* The provider as a whole: "up" while one of its servers is. */
static void look_at_whole(const struct look *look, bool up)
{
	char was[KEYWATCH_STATE_SIZE];

	if (!changed(look, "whole", up ? "up" : "down", was))
		return;
	if (!up)
		note(look, UNREACHABLE, NULL, "No key server of the provider gives keys: keys that no host "
		     "holds cannot be had");
	else if (was[0])
		note(look, NULL, NULL, "The provider gives keys again");
}

/* Of one that was made before they were kept. */
static void learn_check(const struct look *look)
{
	struct error e = ERROR_NULL;

	if (provider_check_learn(look->m, look->id, &e) < 0)
		log_debug("Provider %s has no check value of its probe key yet: %s",
			  json_text(look->document, "name"), e.text);
}

static void look_at_standard(const struct look *look)
{
	const char *pem = json_string_value(json_object_get(look->document, "certificate"));
	struct kmip_server_status all[KMIP_SERVERS_MAX];
	_cleanup_set_ struct provider_set *set = NULL;
	struct kmip_certificate_info info;
	size_t n = 0, good = 0, i;

	if (pem && kmip_certificate_read(pem, &info, NULL) == 0)
		look_at_end(look, /* server= */ NULL, info.not_after);
	if (json_is_string(json_object_get(look->document, "probe_key")) &&
	    !json_is_string(json_object_get(look->document, "probe_check")))
		learn_check(look);
	if (providers_hold(look->m->providers, look->id, &set, NULL) < 0 ||
	    provider_probe(set, all, &n, NULL) < 0)
		return;
	for (i = 0; i < n; i++) {
		look_at_server(look, &all[i]);
		good += all[i].code == 0;
	}
	/* Without any it is still being set up. */
	if (n)
		look_at_whole(look, good > 0);
}

static void look_at_native(const struct look *look)
{
	if (!json_is_string(json_object_get(look->document, "backed_up")))
		note_daily(look, "backup", NOT_BACKED_UP, NULL, "The native provider is not backed up: it "
			   "is not used before that");
}

void provider_watch(struct manager *m, int64_t now)
{
	_cleanup_json_ json_t *documents = NULL;
	struct look look = { .m = m, .now = now };
	struct error e = ERROR_NULL;
	json_t *document;
	size_t i;

	if (store_list(m->store, PROVIDER_KIND, NULL, NULL, &documents, &e) < 0) {
		log_warning("Key providers are not looked at: %s", e.text);
		return;
	}
	json_array_foreach(documents, i, document) {
		look.document = document;
		look.id = json_text(document, "id");
		if (strcmp(json_text(document, "type"), PROVIDER_NATIVE) == 0)
			look_at_native(&look);
		else if (strcmp(json_text(document, "type"), PROVIDER_STANDARD) == 0)
			look_at_standard(&look);
	}
}
