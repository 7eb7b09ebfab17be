/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key servers of a standard provider: looked at, taken in, trusted, removed. */
#include "manager/providers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "kmip/certificate.h"
#include "manager/keys_material.h"
#include "manager/keys_use.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/store.h"

int provider_certificate_info(const char *pem, json_t **ret, struct error *e)
{
	char not_before[TIME_TEXT_SIZE], not_after[TIME_TEXT_SIZE];
	struct kmip_certificate_info info;
	int r = kmip_certificate_read(pem, &info, e);

	if (r < 0)
		return r;
	time_format(info.not_before, not_before);
	time_format(info.not_after, not_after);
	*ret = json_pack("{s:o, s:o, s:s, s:s, s:s, s:s, s:s}", "subject",
			 json_string_printable(info.subject), "issuer",
			 json_string_printable(info.issuer), "serial", info.serial, "fingerprint",
			 info.fingerprint, "not_before", not_before, "not_after", not_after,
			 "certificate", pem);
	return *ret ? 0 : error_oom(e);
}

static struct kmip_server_settings settings_of(const struct provider_server *server)
{
	return (struct kmip_server_settings){
		.name = server->name,
		.tls = {
			.host = server->address, .port = server->port, .pin = server->pin,
			.ca = server->ca, .name = server->server_name, .legacy = server->legacy,
		},
		.user = server->user,
		.password = server->password.size ? &server->password : NULL,
	};
}

int provider_server_look(const struct provider_server *server, json_t **ret, struct error *e)
{
	const struct kmip_server_settings settings = settings_of(server);
	_cleanup_free_ char *pem = NULL;
	int r = kmip_tls_look(&settings.tls, kmip_deadline(PROVIDERS_TIMEOUT_MS), &pem, e);

	return r < 0 ? r : provider_certificate_info(pem, ret, e);
}

static int check_trust(const char *pin, const char *ca, struct error *e)
{
	uint8_t digest[32];

	if (!pin && !ca)
		return error_usage(e, "Say how the key server is known: by the \"pin\" of its certificate "
				   "(look at it first), or by the \"ca\" that has signed it");
	if (pin && (strlen(pin) != 64 || hex_decode(pin, digest, sizeof(digest)) < 0 ||
		    strspn(pin, "0123456789abcdef") != 64))
		return error_usage(e, "A pin is the SHA-256 of the server's certificate: 64 digits of "
				   "base 16, in lower case");
	return 0;
}

static json_t *find_server(const json_t *document, const char *name, size_t *ret_at)
{
	json_t *server;
	size_t i;

	json_array_foreach(json_object_get(document, "servers"), i, server)
		if (strcmp(json_text(server, "name"), name) == 0) {
			*ret_at = i;
			return server;
		}
	return NULL;
}

static int no_server(const json_t *document, const char *name, struct error *e)
{
	return error_fail(e, ENOENT, "Provider %s has no key server \"%.64s\"",
			  json_text(document, "name"), name);
}

/* The certificate by which the servers know the manager. */
static int own_certificate(struct manager *m, const char *id, const json_t *document,
			   struct kmip_server_settings *settings, struct secret *key,
			   struct error *e)
{
	const json_t *sealed = json_object_get(document, "certificate_key");
	int r;

	if (!json_is_object(sealed))
		return error_usage(e, "Provider %s has no certificate to show to key servers yet: make or "
				   "upload one first", json_text(document, "name"));
	r = provider_unseal(m->vault, id, "certificate_key", sealed, key, e);
	settings->tls.certificate = json_text(document, "certificate");
	settings->tls.key = key;
	return r;
}

static int add_to_document(struct manager *m, const char *id, json_t *document,
			   const struct provider_server *server, const char *vendor,
			   struct error *e)
{
	_cleanup_json_ json_t *sealed = json_null();
	char what[KMIP_SERVER_NAME_SIZE + 16];
	int r = 0;

	snprintf(what, sizeof(what), "password|%s", server->name);
	if (server->password.size)
		r = provider_seal(m, id, what, &server->password, &sealed, e);
	if (r < 0)
		return r;
	r = json_array_append_new(json_object_get(document, "servers"), json_pack(
		"{s:s, s:s, s:i, s:s?, s:s?, s:s?, s:s?, s:O, s:b, s:o}", "name", server->name,
		"address", server->address, "port", (int)server->port, "server_name",
		server->server_name, "pin", server->pin, "ca", server->ca, "user", server->user,
		"password", sealed, "legacy", (int)server->legacy, "vendor",
		json_string_printable(vendor)));
	return r < 0 ? error_oom(e) : 0;
}

/* Whether the probe key is of use no more: then another one is made. */
static bool probe_key_lost(struct provider_set *set)
{
	uint32_t state = 0;
	int r;

	if (!set->probe_key[0])
		return true;
	r = kmip_servers_state(set->servers, set->probe_key, &state, NULL);
	return r == -ENOKEY || (r == 0 && keystate_of_kmip(state, false) != KEYSTATE_AVAILABLE);
}

static int make_probe_key(struct manager *m, struct provider_set *set, const char *user,
			  struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "provider", set->id);
	char object[9 + UUID_TEXT_SIZE];
	struct record_event event = { .user = user, .operation = "provider.probe-key",
				      .type = RECORD_TYPE_OPERATION,
				      .failed_type = "com.vmware.vc.kms.crypto.KeyGenerateFail",
				      .object = object, .data = data };
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	char id[UUID_TEXT_SIZE];
	int r;

	snprintf(object, sizeof(object), "provider:%.36s", set->id);
	r = record_begin(m->store, &event, id, e);
	if (r < 0)
		return r;
	r = key_make_probe(m, set, &why);
	event.key = r < 0 ? NULL : set->probe_key;
	(void)record_end(m->store, id, &event, r < 0 ? &why.error : NULL);
	if (r < 0 && e)
		*e = why.error;
	return r;
}

static int put_probe_key(json_t *document, const struct provider_set *set, struct error *e)
{
	char check[2 * KEY_CHECK_SIZE + 1];

	hex_encode(set->probe_check, sizeof(set->probe_check), check);
	if (json_object_set_new(document, "probe_key", json_string(set->probe_key)) < 0 ||
	    json_object_set_new(document, "probe_check",
				set->checked ? json_string(check) : json_null()) < 0)
		return error_oom(e);
	return 0;
}

static bool has_servers(const json_t *document)
{
	return json_array_size(json_object_get(document, "servers")) > 0;
}

/* Of servers that have lost it: before a new one is compared with them. */
static int renew_probe_key(struct manager *m, json_t *document, struct provider_set *set,
			   const char *user, struct error *e)
{
	int r;

	if (!has_servers(document) || !probe_key_lost(set))
		return 0;
	r = make_probe_key(m, set, user, e);
	if (r == 0)
		r = put_probe_key(document, set, e);
	if (r == 0)
		r = store_update(m->store, PROVIDER_KIND, set->id, document, e);
	return r < 0 ? r : providers_take_up(m->providers, set->id, /* set= */ NULL, e);
}

/* The first one of a provider makes the probe key. */
static int take_in(struct manager *m, struct provider_set *set, const json_t *document,
		   const struct provider_server *server, char vendor[KMIP_TEXT_SIZE],
		   const char *user, struct error *e)
{
	struct kmip_server_settings settings = settings_of(server);
	const struct kmip_wanted probe = provider_wanted(set, set->probe_key);
	_cleanup_secret_ struct secret key = SECRET_NULL;
	bool first = !set->probe_key[0];
	int r = own_certificate(m, set->id, document, &settings, &key, e);

	if (r == 0)
		r = kmip_servers_add(set->servers, &settings, first ? NULL : &probe, vendor, e);
	if (r == 0 && first)
		r = make_probe_key(m, set, user, e);
	return r;
}

int provider_server_add(struct manager *m, const char *id, const struct provider_server *server,
			const char *user, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_set_ struct provider_set *set = NULL;
	_cleanup_json_ json_t *document = NULL;
	char vendor[KMIP_TEXT_SIZE] = "";
	int r = check_trust(server->pin, server->ca, e);

	if (r == 0)
		r = provider_get(m, id, PROVIDER_STANDARD, &document, e);
	if (r == 0)
		r = providers_build(m->providers, id, document, &set, e);
	if (r == 0)
		r = renew_probe_key(m, document, set, user, e);
	if (r == 0)
		r = take_in(m, set, document, server, vendor, user, e);
	if (r == 0)
		r = add_to_document(m, id, document, server, vendor, e);
	if (r == 0)
		r = put_probe_key(document, set, e);
	if (r == 0)
		r = store_update(m->store, PROVIDER_KIND, id, document, e);
	/* Its connections are those that were just tried. */
	return r < 0 ? r : providers_take_up(m->providers, id, TAKE_PTR(set), e);
}

int provider_check_learn(struct manager *m, const char *id, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	struct key_failure why = { .why = KEYSTATE_AVAILABLE };
	_cleanup_secret_ struct secret key = SECRET_NULL;
	_cleanup_set_ struct provider_set *set = NULL;
	_cleanup_json_ json_t *document = NULL;
	int r = provider_get(m, id, PROVIDER_STANDARD, &document, e);

	if (r == 0)
		r = providers_build(m->providers, id, document, &set, e);
	if (r < 0 || set->checked || !set->probe_key[0])
		return r;
	r = key_fetch(set, set->probe_key, &key, &why);
	if (r < 0)
		return error_fail(e, r, "%s", why.error.text);
	r = kdf_key_check(&key, set->probe_check, e);
	set->checked = r == 0;
	if (r == 0)
		r = put_probe_key(document, set, e);
	if (r == 0)
		r = store_update(m->store, PROVIDER_KIND, id, document, e);
	return r < 0 ? r : providers_take_up(m->providers, id, TAKE_PTR(set), e);
}

/* Whether one server of a set does what it should. */
static int try_server(struct provider_set *set, const char *name, struct error *e)
{
	struct kmip_server_status all[KMIP_SERVERS_MAX];
	size_t n = 0, i;
	int r = provider_probe(set, all, &n, e);

	for (i = 0; r == 0 && i < n; i++)
		if (strcmp(all[i].name, name) == 0 && all[i].code < 0)
			return error_fail(e, all[i].code, "%s", all[i].text);
	return r;
}

int provider_server_trust(struct manager *m, const char *id, const char *name, const char *pin,
			  const char *ca, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_set_ struct provider_set *set = NULL;
	_cleanup_json_ json_t *document = NULL;
	json_t *server;
	size_t at;
	int r = check_trust(pin, ca, e);

	if (r == 0)
		r = provider_get(m, id, PROVIDER_STANDARD, &document, e);
	if (r < 0)
		return r;
	server = find_server(document, name, &at);
	if (!server)
		return no_server(document, name, e);
	if (json_object_set_new(server, "pin", pin ? json_string(pin) : json_null()) < 0 ||
	    json_object_set_new(server, "ca", ca ? json_string(ca) : json_null()) < 0)
		return error_oom(e);
	r = providers_build(m->providers, id, document, &set, e);
	if (r == 0)
		r = try_server(set, name, e);
	if (r == 0)
		r = store_update(m->store, PROVIDER_KIND, id, document, e);
	return r < 0 ? r : providers_take_up(m->providers, id, TAKE_PTR(set), e);
}

int provider_server_remove(struct manager *m, const char *id, const char *name, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_json_ json_t *document = NULL;
	size_t at;
	int r = provider_get(m, id, PROVIDER_STANDARD, &document, e);

	if (r < 0)
		return r;
	if (!find_server(document, name, &at))
		return no_server(document, name, e);
	/* Without any server nobody could have the keys. */
	if (json_array_size(json_object_get(document, "servers")) == 1)
		r = keys_check_provider_unused(m->store, id, json_text(document, "name"), e);
	if (r < 0)
		return r;
	json_array_remove(json_object_get(document, "servers"), at);
	r = store_update(m->store, PROVIDER_KIND, id, document, e);
	return r < 0 ? r : providers_take_up(m->providers, id, /* set= */ NULL, e);
}
