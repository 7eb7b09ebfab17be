/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a provider is: found out by doing what it is for. Each server gives a key, each
 * safe host wraps with it and the manager unwraps.
 */
#include "manager/providers.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/channel.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "crypto/gcm.h"
#include "kmip/certificate.h"
#include "manager/hosts.h"
#include "manager/keys_material.h"
#include "manager/keys_push.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/provider_hosts.h"
#include "manager/record.h"
#include "manager/store.h"

#define DAY		86400
#define PROBE_MS	8000

/**
 * struct status - what was found
 * @lock: of the lists, which many threads write
 * @good: of servers, or of hosts of a native provider
 */
struct status {
	struct manager *m;
	const char *user;
	const json_t *document;
	const char *id;
	const char *name;
	struct provider_set *set;
	struct secret material;
	pthread_mutex_t lock;
	json_t *servers;
	json_t *hosts;
	json_t *warnings;
	size_t good;
	size_t bad;
};

static void status_done(struct status *s)
{
	providers_release(&s->set);
	secret_done(&s->material);
	json_decref(s->servers);
	json_decref(s->hosts);
	json_decref(s->warnings);
	pthread_mutex_destroy(&s->lock);
}

static json_t *time_or_null(int64_t time)
{
	char text[TIME_TEXT_SIZE];

	if (!time)
		return json_null();
	time_format(time, text);
	return json_string(text);
}

bool provider_certificate_due(int64_t end, int64_t now)
{
	return end && end - now < (int64_t)PROVIDER_WARN_DAYS * DAY;
}

static void warn(struct status *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void warn(struct status *s, const char *fmt, ...)
{
	char text[ERROR_TEXT_SIZE];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	json_array_append_new(s->warnings, json_string_printable(text));
}

static void warn_end(struct status *s, const char *whose, int64_t end, int64_t now)
{
	long days = (long)((end - now) / DAY);

	if (!provider_certificate_due(end, now))
		return;
	if (end <= now)
		warn(s, "The certificate of %s has ended: keys cannot be had with it", whose);
	else
		warn(s, "The certificate of %s ends in %ld days: renew it", whose, days);
}

static int add_server(struct status *s, const struct kmip_server_status *found)
{
	char version[24], whose[KMIP_SERVER_NAME_SIZE + 16];
	bool ok = found->code == 0;

	snprintf(version, sizeof(version), "%d.%d", found->version.major, found->version.minor);
	snprintf(whose, sizeof(whose), "key server %s", found->name);
	warn_end(s, whose, found->certificate_end, time_now());
	*(ok ? &s->good : &s->bad) += 1;
	return json_array_append_new(s->servers, json_pack(
		"{s:s, s:b, s:o, s:s?, s:s?, s:o, s:I, s:o}", "name", found->name, "ok", (int)ok,
		"vendor", json_string_printable(found->vendor), "version",
		found->version.major ? version : NULL, "reason", ok ? NULL :
		keystate_name(found->why), "text", ok ? json_null() :
		json_string_printable(found->text), "took_ms", (json_int_t)found->took,
		"certificate_end", time_or_null(found->certificate_end)));
}

static int probe_servers(struct status *s, struct error *e)
{
	struct kmip_server_status all[KMIP_SERVERS_MAX];
	size_t n = 0, i;
	int r = provider_probe(s->set, all, &n, e);

	for (i = 0; r == 0 && i < n; i++)
		if (add_server(s, &all[i]) < 0)
			return error_oom(e);
	if (r == 0 && n == 0)
		warn(s, "The provider has no key server: add one");
	return r;
}

static int64_t own_certificate_end(const json_t *document)
{
	const char *pem = json_string_value(json_object_get(document, "certificate"));
	struct kmip_certificate_info info;

	return pem && kmip_certificate_read(pem, &info, NULL) == 0 ? info.not_after : 0;
}

/* What the host has encrypted under the key is what it was given. */
static int check_probe(const struct status *s, const char *host, const uint8_t *nonce,
		       const json_t *answer, struct error *e)
{
	uint8_t iv[GCM_IV_SIZE], tag[GCM_TAG_SIZE], data[CHANNEL_NONCE_SIZE];
	_cleanup_secret_ struct secret plain = SECRET_NULL;
	char aad[sizeof(CHANNEL_PROBE_LABEL) + UUID_TEXT_SIZE];
	int r = json_get_base64(answer, "answer to key.probe", "iv", iv, sizeof(iv), e);

	if (r == 0)
		r = json_get_base64(answer, "answer to key.probe", "tag", tag, sizeof(tag), e);
	if (r == 0)
		r = json_get_base64(answer, "answer to key.probe", "ciphertext", data, sizeof(data), e);
	if (r < 0)
		return r;
	snprintf(aad, sizeof(aad), CHANNEL_PROBE_LABEL "|%s", host);
	r = gcm_open(&s->material, iv, aad, strlen(aad), data, sizeof(data), tag, &plain);
	if (r < 0 || memcmp(plain.data, nonce, sizeof(data)) != 0)
		return error_fail(e, EIO, "The host has wrapped with another key than it was given: do not "
				  "trust that machine");
	return 0;
}

static int probe_standard(struct status *s, const char *host, struct error *e)
{
	_cleanup_json_ json_t *key = NULL, *args = NULL, *answer = NULL;
	uint8_t provider[UUID_SIZE], nonce[CHANNEL_NONCE_SIZE];
	int r = uuid_parse_text(s->id, provider);

	if (r == 0)
		r = getrandom_full(nonce, sizeof(nonce));
	if (r < 0)
		return error_fail(e, r, "Cannot make a probe: %s", strerror(-r));
	r = link_seal_kek(s->m, host, provider, s->name, s->set->probe_key, &s->material, &key, e);
	if (r < 0)
		return r;
	args = json_pack("{s:O}", "key", key);
	if (!args || json_set_base64(args, "nonce", nonce, sizeof(nonce)) < 0)
		return error_oom(e);
	r = keys_ask_host(s->m, host, "key.probe", TAKE_PTR(args), PROBE_MS, &answer, e);
	return r < 0 ? r : check_probe(s, host, nonce, answer, e);
}

/* A native provider's keys are made by the host: it makes one and gets it again. */
static int probe_native(struct status *s, const char *host, struct error *e)
{
	_cleanup_json_ json_t *answer = NULL;
	int r = keys_ask_host(s->m, host, "run",
			      json_pack("{s:s, s:{s:s}, s:s}", "op", "provider.check", "args",
					"name", s->id, "user", s->user), PROBE_MS, &answer, e);

	if (r < 0)
		return r;
	if (!json_is_true(json_object_get(answer, "ok")))
		return error_fail(e, EREMOTEIO, "The host cannot make keys of it: look at \"vmcryptctl "
				  "provider check %s\" there", s->name);
	return 0;
}

static void add_host(struct status *s, const char *host, const char *name, const char *text,
		     bool ok)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&s->lock);

	json_array_append_new(s->hosts, json_pack("{s:s, s:s, s:b, s:o}", "host", host, "name", name,
						  "ok", (int)ok, "text", ok ? json_null() :
						  json_string_printable(text)));
	if (!s->set)
		*(ok ? &s->good : &s->bad) += 1;
}

static void probe_host(struct manager *m, const char *host, void *userdata)
{
	struct status *s = userdata;
	struct error e = ERROR_NULL;
	struct host_view view;
	int r;

	if (host_view(m, host, &view, NULL) < 0)
		return;
	if (!view.safe)
		r = error_fail(&e, EACCES, "Encryption is not enabled on the host: it gets no keys");
	else if (s->set)
		r = probe_standard(s, host, &e);
	else
		r = probe_native(s, host, &e);
	add_host(s, host, view.name, e.text, r == 0);
}

/* Of a native provider, whether the host is to be tried; what is to be said of one that is not is. */
static bool try_native(struct status *s, const char *host, const char *name)
{
	_cleanup_json_ json_t *given = NULL;
	char chosen[UUID_TEXT_SIZE] = "";
	struct error e = ERROR_NULL;
	struct host_view view;

	if (provider_hosts_find(s->m->store, host, s->id, &given, NULL) == 0) {
		if (json_is_false(json_object_get(given, "sealed")))
			warn(s, "Host %s keeps the provider's key in a file, not sealed by a TPM: who reads "
			     "that host's disk has it", name);
		return true;
	}
	if (host_view(s->m, host, &view, NULL) < 0 || !view.safe ||
	    provider_default_of(s->m, host, &view, chosen, NULL) < 0 || strcmp(chosen, s->id) != 0)
		return false;
	if (provider_hosts_check_tpm(&view, s->document, &e) == 0)
		return true;
	add_host(s, host, name, e.text, false);
	return false;
}

static int probe_hosts(struct status *s, struct error *e)
{
	_cleanup_json_ json_t *documents = NULL, *hosts = json_array();
	json_t *document;
	size_t i;
	int r = store_list(s->m->store, "host", NULL, NULL, &documents, e);

	if (r < 0)
		return r;
	json_array_foreach(documents, i, document) {
		const char *id = json_text(document, "id"), *name = json_text(document, "name");

		if (!s->set && !try_native(s, id, name))
			continue;
		if (link_connected(s->m, id))
			json_array_append_new(hosts, json_string(id));
		else
			add_host(s, id, name, "The host is not connected", false);
	}
	keys_each_host(s->m, hosts, probe_host, s);
	return 0;
}

/*
 * In the first try of a minute by this user the intent is recorded, and it stands for those
 * that follow: who asks again and again is not to fill the record.
 * @ret_id: of the intent; "": there is one of this minute
 */
static int begin(const struct status *s, const struct record_event *event,
		 char ret_id[UUID_TEXT_SIZE], struct error *e)
{
	char name[sizeof("status||") + UUID_TEXT_SIZE + 64], minute[TIME_TEXT_SIZE];
	char was[KEYWATCH_STATE_SIZE];
	int r;

	snprintf(name, sizeof(name), "status|%s|%.64s", s->id, s->user);
	time_format(time_now(), minute);
	minute[sizeof("2026-01-01T00:00") - 1] = '\0';
	keywatch_recall(s->m->watch, name, was);
	ret_id[0] = '\0';
	if (strcmp(was, minute) == 0)
		return 0;
	r = record_begin(s->m->store, event, ret_id, e);
	/* Not before it is on stable storage: another call may be here, too. */
	if (r == 0)
		keywatch_remember(s->m->watch, name, minute, was);
	return r;
}

static int try_key(struct status *s, struct key_failure *why, struct error *e)
{
	int r = key_fetch(s->set, s->set->probe_key, &s->material, why);

	if (r < 0) {
		warn(s, "%s", why->error.text);
		return 0;
	}
	return probe_hosts(s, e);
}

/* Each host is given the probe key to wrap with. */
static int try_hosts(struct status *s, struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "provider", s->id);
	char object[9 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	struct record_event event = { .user = s->user, .operation = "provider.status",
				      .type = RECORD_TYPE_OPERATION, .object = object,
				      .key = s->set->probe_key, .data = data };
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	struct error failure = ERROR_NULL;
	int r;

	snprintf(object, sizeof(object), "provider:%.36s", s->id);
	if (begin(s, &event, id, &failure) < 0) {
		warn(s, "No host was tried, for it cannot be recorded: %s", failure.text);
		return 0;
	}
	r = try_key(s, &why, e);
	event.failed_type = key_failure_event(&why);
	if (id[0])
		(void)record_end(s->m->store, id, &event, r < 0 ? e : &why.error);
	return r;
}

static int look_at_standard(struct status *s, struct error *e)
{
	int r = providers_hold(s->m->providers, s->id, &s->set, e);

	if (r == 0)
		r = probe_servers(s, e);
	if (r < 0)
		return r;
	warn_end(s, "the manager for this provider", own_certificate_end(s->document), time_now());
	if (!json_is_string(json_object_get(s->document, "certificate")))
		warn(s, "The manager has no certificate to show to the key servers: make one");
	if (s->good == 0 || !s->set->probe_key[0])
		return 0;
	return try_hosts(s, e);
}

static int look_at_native(struct status *s, struct error *e)
{
	if (json_is_string(json_object_get(s->document, "backed_up")))
		return probe_hosts(s, e);
	warn(s, "The provider is not backed up: it is not used before that");
	return 0;
}

/* vSphere's colours: gray is what there is nothing to say of. */
static const char *colour(const struct status *s)
{
	json_t *host;
	size_t i;

	if (s->good == 0)
		return s->bad ? "red" : "gray";
	if (s->bad || json_array_size(s->warnings))
		return "yellow";
	json_array_foreach(s->hosts, i, host)
		if (!json_is_true(json_object_get(host, "ok")))
			return "yellow";
	return "green";
}

static int report(struct status *s, json_t **ret, struct error *e)
{
	*ret = json_pack("{s:s, s:s, s:s, s:s, s:O, s:O, s:O, s:o}", "id", s->id, "name", s->name, "type",
			 json_text(s->document, "type"), "state", colour(s), "servers", s->servers,
			 "hosts", s->hosts, "warnings", s->warnings, "certificate_end",
			 time_or_null(own_certificate_end(s->document)));
	return *ret ? 0 : error_oom(e);
}

int provider_status(struct manager *m, const char *id, const char *user, json_t **ret,
		    struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	_cleanup_(status_done) struct status s = {
		.m = m, .user = user, .id = id, .lock = PTHREAD_MUTEX_INITIALIZER,
		.servers = json_array(), .hosts = json_array(), .warnings = json_array(),
	};
	int r = provider_get(m, id, /* type= */ NULL, &document, e);

	if (r < 0)
		return r;
	s.document = document;
	s.name = json_text(document, "name");
	if (strcmp(json_text(document, "type"), PROVIDER_NATIVE) == 0)
		r = look_at_native(&s, e);
	else
		r = look_at_standard(&s, e);
	return r < 0 ? r : report(&s, ret, e);
}
