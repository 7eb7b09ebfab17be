/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key servers of a standard provider: looked at, taken in, changed, removed. */
#include "manager/providers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "crypto/locator.h"
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

int provider_version_parse(const char *text, struct kmip_version *ret, struct error *e)
{
	static const char known[][4] = { "1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1" };
	size_t i;

	*ret = (struct kmip_version){ .major = 0 };
	if (!text || strcmp(text, "auto") == 0)
		return 0;
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(text, known[i]) == 0) {
			*ret = (struct kmip_version){ text[0] - '0', text[2] - '0' };
			return 0;
		}
	}
	return error_usage(e, "\"%.16s\" is no version of KMIP that vmcrypt speaks: want 1.0 to 1.4, "
			   "2.0, 2.1, or auto for one that the key server speaks", text);
}

/* What is null or not there is NULL. */
static const char *text_or_null(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void password_context(const char *server, char ret[KMIP_SERVER_NAME_SIZE + 16])
{
	snprintf(ret, KMIP_SERVER_NAME_SIZE + 16, "password|%s", server);
}

int provider_server_read(struct vault *vault, const char *id, const json_t *json,
			 struct provider_server *ret, struct error *e)
{
	const json_t *sealed = json_object_get(json, "password");
	char what[KMIP_SERVER_NAME_SIZE + 16];
	struct provider_server server = {
		.name = json_text(json, "name"),
		.address = json_text(json, "address"),
		.port = (uint16_t)json_integer_value(json_object_get(json, "port")),
		.server_name = text_or_null(json, "server_name"),
		.pin = text_or_null(json, "pin"),
		.ca = text_or_null(json, "ca"),
		.user = text_or_null(json, "user"),
		.password = SECRET_NULL,
		.legacy = json_is_true(json_object_get(json, "legacy")),
	};
	int r = provider_version_parse(text_or_null(json, "version"), &server.version, e);

	password_context(server.name, what);
	if (r == 0 && json_is_object(sealed))
		r = provider_unseal(vault, id, what, sealed, &server.password, e);
	if (r == 0)
		*ret = server;
	return r;
}

struct kmip_server_settings provider_server_settings(const struct provider_server *server)
{
	return (struct kmip_server_settings){
		.name = server->name,
		.tls = {
			.host = server->address, .port = server->port, .pin = server->pin,
			.ca = server->ca, .name = server->server_name, .legacy = server->legacy,
		},
		.user = server->user,
		.password = server->password.size ? &server->password : NULL,
		.version = server->version,
	};
}

int provider_server_look(const struct provider_server *server, json_t **ret, struct error *e)
{
	const struct kmip_server_settings settings = provider_server_settings(server);
	_cleanup_free_ char *pem = NULL;
	int r = kmip_tls_look(&settings.tls, kmip_deadline(PROVIDERS_TIMEOUT_MS), &pem, e);

	return r < 0 ? r : provider_certificate_info(pem, ret, e);
}

static int check_server(const struct provider_server *server, struct error *e)
{
	const char *pin = server->pin, *ca = server->ca;
	uint8_t digest[32];

	if (server->password.size && !server->user)
		return error_usage(e, "The password for the key server is a user's: name the \"user\"");
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

/* As it is kept. */
static int server_document(struct manager *m, const char *id, const struct provider_server *server,
			   const struct kmip_server_found *found, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *sealed = json_null();
	char what[KMIP_SERVER_NAME_SIZE + 16], version[8];
	int r = 0;

	password_context(server->name, what);
	if (server->password.size)
		r = provider_seal(m, id, what, &server->password, &sealed, e);
	if (r < 0)
		return r;
	snprintf(version, sizeof(version), "%d.%d", found->version.major, found->version.minor);
	*ret = json_pack("{s:s, s:s, s:i, s:s?, s:s?, s:s?, s:s?, s:O, s:b, s:s, s:o}", "name",
			 server->name, "address", server->address, "port", (int)server->port,
			 "server_name", server->server_name, "pin", server->pin, "ca", server->ca,
			 "user", server->user, "password", sealed, "legacy", (int)server->legacy,
			 "version", version, "vendor", json_string_printable(found->vendor));
	return *ret ? 0 : error_oom(e);
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

/*
 * The first one of a provider makes the probe key.
 * @ret: as it is kept
 */
static int take_in(struct manager *m, struct provider_set *set, json_t *document,
		   const struct provider_server *server, const char *user, json_t **ret,
		   struct error *e)
{
	struct kmip_server_settings settings = provider_server_settings(server);
	const struct kmip_wanted probe = provider_wanted(set, set->probe_key);
	_cleanup_secret_ struct secret key = SECRET_NULL;
	struct kmip_server_found found;
	bool first = !set->probe_key[0];
	int r = own_certificate(m, set->id, document, &settings, &key, e);

	if (r == 0)
		r = kmip_servers_add(set->servers, &settings, first ? NULL : &probe, &found, e);
	if (r == 0 && first)
		r = make_probe_key(m, set, user, e);
	if (r == 0)
		r = put_probe_key(document, set, e);
	return r < 0 ? r : server_document(m, set->id, server, &found, ret, e);
}

static int check_name(const char *name, struct error *e)
{
	if (provider_name_valid(name))
		return 0;
	return error_usage(e, "\"%.64s\" is no name of a key server: 1 to %d letters, digits, '.', '_', "
			   "'-', the first one a letter or a digit", name, PROVIDER_NAME_MAX);
}

int provider_server_add(struct manager *m, const char *id, const struct provider_server *server,
			const char *user, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	_cleanup_json_ json_t *document = NULL, *json = NULL;
	_cleanup_set_ struct provider_set *set = NULL;
	int r = check_name(server->name, e);

	if (r == 0)
		r = check_server(server, e);
	if (r == 0)
		r = provider_get(m, id, PROVIDER_STANDARD, &document, e);
	if (r == 0)
		r = providers_build(m->providers, id, document, &set, e);
	if (r == 0)
		r = renew_probe_key(m, document, set, user, e);
	if (r == 0)
		r = take_in(m, set, document, server, user, &json, e);
	if (r < 0)
		return r;
	if (json_array_append(json_object_get(document, "servers"), json) < 0)
		return error_oom(e);
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
	if (r < 0 || !set || set->checked || !set->probe_key[0])
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

static void overlay(struct provider_server *server, const struct provider_server *change,
		    unsigned int named)
{
	if (named & SERVER_ADDRESS)
		server->address = change->address;
	if (named & SERVER_PORT)
		server->port = change->port;
	if (named & SERVER_TLS_NAME)
		server->server_name = change->server_name;
	if (named & SERVER_LEGACY)
		server->legacy = change->legacy;
	if (named & SERVER_TRUST) {
		server->pin = change->pin;
		server->ca = change->ca;
	}
	if (named & SERVER_USER)
		server->user = change->user;
	if (named & (SERVER_USER | SERVER_PASSWORD))
		server->password = change->password;
	if (named & SERVER_VERSION)
		server->version = change->version;
}

/* In the place of the one before it, among the others. */
static int take_in_anew(struct manager *m, struct provider_set *set, json_t *document, size_t at,
			const struct provider_server *server, const char *user, struct error *e)
{
	_cleanup_json_ json_t *json = NULL;
	int r = check_server(server, e);

	if (r == 0)
		r = renew_probe_key(m, document, set, user, e);
	if (r == 0)
		r = kmip_servers_remove(set->servers, server->name, e);
	if (r == 0)
		r = take_in(m, set, document, server, user, &json, e);
	if (r == 0 && json_array_set(json_object_get(document, "servers"), at, json) < 0)
		r = error_oom(e);
	return r;
}

int provider_server_change(struct manager *m, const char *id, const char *name,
			   const struct provider_server *change, unsigned int named,
			   const char *user, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = providers_change_lock(m->providers);
	struct provider_server kept = { .password = SECRET_NULL }, server;
	_cleanup_json_ json_t *document = NULL, *json = NULL;
	_cleanup_set_ struct provider_set *set = NULL;
	size_t at;
	int r = provider_get(m, id, PROVIDER_STANDARD, &document, e);

	if (r < 0)
		return r;
	json = json_incref(find_server(document, name, &at));
	if (!json)
		return no_server(document, name, e);
	r = provider_server_read(m->vault, id, json, &kept, e);
	if (r < 0)
		return r;
	server = kept;
	overlay(&server, change, named);
	r = providers_build(m->providers, id, document, &set, e);
	if (r == 0)
		r = take_in_anew(m, set, document, at, &server, user, e);
	secret_done(&kept.password);
	if (r == 0)
		r = store_update(m->store, PROVIDER_KIND, id, document, e);
	return r < 0 ? r : providers_take_up(m->providers, id, /* set= */ NULL, e);
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
