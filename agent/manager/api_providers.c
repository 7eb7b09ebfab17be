/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key providers, their servers and certificates, and which of them is the default. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "common/log.h"
#include "crypto/backup.h"
#include "crypto/locator.h"
#include "kmip/certificate.h"
#include "manager/api.h"
#include "manager/keys.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/providers.h"
#include "manager/store.h"

#define WHAT		"request"
#define TYPE_MAX	16
#define ADDRESS_MAX	255
#define DAYS_MAX	3650
#define DAYS_USUAL	365

/* What vSphere calls it when a key server is of another vendor than the others. */
static void name_failure(struct api_call *call, int r)
{
	if (r == -EXDEV)
		call->failed_type = "com.vmware.vc.kms.crypto.Vendor";
}

static int show(struct api_call *call, const char *id, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = provider_get(call->manager, id, /* type= */ NULL, &document, e);

	if (r < 0)
		return r;
	*ret = provider_view(call->manager, document);
	return *ret ? 0 : error_oom(e);
}

int api_providers_list(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *documents = NULL, *list = json_array();
	json_t *document;
	size_t i;
	int r = store_list(call->manager->store, PROVIDER_KIND, NULL, NULL, &documents, e);

	if (r < 0)
		return r;
	json_array_foreach(documents, i, document)
		if (json_array_append_new(list, provider_view(call->manager, document)) < 0)
			return error_oom(e);
	*ret = json_pack("{s:O}", "providers", list);
	return *ret ? 0 : error_oom(e);
}

/* As with a host's own: sealed to a TPM, unless the other was asked for. */
static int read_sealing(const struct api_call *call, bool *ret_allow_unsealed, struct error *e)
{
	bool require_tpm = false;
	int r = api_bool(call, "require_tpm", &require_tpm, e);

	if (r == 0)
		r = api_bool(call, "allow_unsealed", ret_allow_unsealed, e);
	if (r == 0 && require_tpm && *ret_allow_unsealed)
		return error_usage(e, "require_tpm and allow_unsealed contradict each other");
	return r;
}

int api_providers_create(struct api_call *call, json_t **ret, struct error *e)
{
	const char *name = NULL, *type = NULL, *wrapping_key = NULL;
	bool allow_unsealed = false;
	char id[UUID_TEXT_SIZE];
	int r = api_string(call, "name", PROVIDER_NAME_MAX, &name, e);

	if (r == 0)
		r = api_string(call, "type", TYPE_MAX, &type, e);
	if (r == 0)
		r = api_string_or_null(call, "wrapping_key", KEY_ID_MAX, &wrapping_key, e);
	if (r == 0)
		r = read_sealing(call, &allow_unsealed, e);
	if (r == 0)
		r = provider_create(call->manager, name, type, wrapping_key, allow_unsealed, id, e);
	if (r < 0)
		return r;
	api_set_object(call, "provider", id);
	keys_provision_all(call->manager, /* cluster= */ NULL);
	return show(call, id, ret, e);
}

int api_providers_get(struct api_call *call, json_t **ret, struct error *e)
{
	return show(call, call->params[0], ret, e);
}

int api_providers_delete(struct api_call *call, json_t **ret, struct error *e)
{
	int r = provider_remove(call->manager, call->params[0], e);

	(void)ret;
	if (r == 0)
		keys_provision_all(call->manager, /* cluster= */ NULL);
	return r;
}

int api_providers_status(struct api_call *call, json_t **ret, struct error *e)
{
	return provider_status(call->manager, call->params[0], call->user, ret, e);
}

static int number(const struct api_call *call, const char *key, unsigned int usual,
		  unsigned int max, unsigned int *ret, struct error *e)
{
	uint64_t value = usual;

	if (json_has(call->body, key) &&
	    json_get_uint(call->body, WHAT, key, max, &value, e) < 0)
		return error_usage(e, "Member \"%s\" of the request is a number up to %u", key, max);
	*ret = (unsigned int)value;
	return 0;
}

/* How a server is reached. */
static int read_reach(const struct api_call *call, struct provider_server *ret, struct error *e)
{
	unsigned int port = KMIP_PORT;
	int r = api_string_or_null(call, "address", ADDRESS_MAX, &ret->address, e);

	if (r == 0)
		r = number(call, "port", KMIP_PORT, UINT16_MAX, &port, e);
	if (r == 0)
		r = api_string_or_null(call, "server_name", ADDRESS_MAX, &ret->server_name, e);
	if (r == 0)
		r = api_bool(call, "legacy", &ret->legacy, e);
	ret->port = (uint16_t)port;
	return r;
}

/* All that one may say of a server but its name. @ret_password: that @ret points to */
static int read_server(const struct api_call *call, struct provider_server *ret,
		       struct secret *ret_password, struct error *e)
{
	const char *version = NULL;
	int r = read_reach(call, ret, e);

	if (r == 0)
		r = api_string_or_null(call, "pin", KMIP_PIN_SIZE - 1, &ret->pin, e);
	if (r == 0)
		r = api_string_or_null(call, "ca", KMIP_CERTIFICATE_MAX, &ret->ca, e);
	if (r == 0)
		r = api_string_or_null(call, "user", KMIP_TEXT_SIZE - 1, &ret->user, e);
	if (r == 0)
		r = api_string_or_null(call, "version", TYPE_MAX, &version, e);
	if (r == 0)
		r = provider_version_parse(version, &ret->version, e);
	if (r == 0)
		r = api_password(call, "password", ret_password, e);
	ret->password = *ret_password;
	return r;
}

static int need_address(const struct provider_server *server, struct error *e)
{
	return server->address ? 0 : error_usage(e, "The request has no \"address\" of the key server");
}

int api_providers_look(struct api_call *call, json_t **ret, struct error *e)
{
	struct provider_server server = { .name = "", .password = SECRET_NULL };
	int r = read_reach(call, &server, e);

	if (r == 0)
		r = need_address(&server, e);
	return r < 0 ? r : provider_server_look(&server, ret, e);
}

int api_providers_server_add(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_secret_ struct secret password = SECRET_NULL;
	struct provider_server server = { .password = SECRET_NULL };
	const char *id = call->params[0];
	int r = api_string(call, "name", PROVIDER_NAME_MAX, &server.name, e);

	if (r == 0)
		r = read_server(call, &server, &password, e);
	if (r == 0)
		r = need_address(&server, e);
	if (r == 0)
		r = provider_server_add(call->manager, id, &server, call->user, e);
	name_failure(call, r);
	return r < 0 ? r : show(call, id, ret, e);
}

static int read_named(const struct api_call *call, unsigned int *ret, struct error *e)
{
	static const struct {
		const char *member;
		enum provider_server_member named;
	} members[] = {
		{ "address", SERVER_ADDRESS }, { "port", SERVER_PORT },
		{ "server_name", SERVER_TLS_NAME }, { "legacy", SERVER_LEGACY },
		{ "pin", SERVER_TRUST }, { "ca", SERVER_TRUST }, { "user", SERVER_USER },
		{ "password", SERVER_PASSWORD }, { "version", SERVER_VERSION },
	};
	size_t i;

	*ret = 0;
	for (i = 0; i < ARRAY_SIZE(members); i++)
		if (json_has(call->body, members[i].member))
			*ret |= members[i].named;
	return *ret ? 0 : error_usage(e, "The request does not say what is to be changed of the key server");
}

int api_providers_server_change(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_secret_ struct secret password = SECRET_NULL;
	struct provider_server change = { .password = SECRET_NULL };
	const char *id = call->params[0];
	unsigned int named = 0;
	int r = read_named(call, &named, e);

	if (r == 0)
		r = read_server(call, &change, &password, e);
	if (r == 0 && named & SERVER_ADDRESS)
		r = need_address(&change, e);
	if (r == 0)
		r = provider_server_change(call->manager, id, call->params[1], &change, named, call->user,
					   e);
	name_failure(call, r);
	return r < 0 ? r : show(call, id, ret, e);
}

int api_providers_server_remove(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return provider_server_remove(call->manager, call->params[0], call->params[1], e);
}

/* A certificate in the document, as CertificateInfo; null where there is none. */
static int add_certificate(json_t *view, const json_t *document, const char *member,
			   struct error *e)
{
	const char *pem = json_string_value(json_object_get(document, member));
	json_t *info = NULL;
	int r = pem ? provider_certificate_info(pem, &info, e) : 0;

	if (r < 0)
		return r;
	return json_object_set_new(view, member, pem ? info : json_null()) < 0 ? error_oom(e) : 0;
}

static int show_certificate(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL, *view = json_object();
	int r = provider_get(call->manager, call->params[0], PROVIDER_STANDARD, &document, e);

	if (r == 0)
		r = add_certificate(view, document, "certificate", e);
	if (r == 0)
		r = add_certificate(view, document, "authority", e);
	if (r < 0)
		return r;
	if (json_object_set(view, "request", json_object_get(document, "request")) < 0)
		return error_oom(e);
	*ret = TAKE_PTR(view);
	return 0;
}

int api_providers_certificate_get(struct api_call *call, json_t **ret, struct error *e)
{
	return show_certificate(call, ret, e);
}

static int upload(struct api_call *call, const char *id, struct error *e)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	const char *pem = NULL, *text = NULL;
	int r = api_string(call, "certificate", KMIP_CERTIFICATE_MAX, &pem, e);

	if (r == 0)
		r = api_string_or_null(call, "private_key", KMIP_CERTIFICATE_MAX, &text, e);
	if (r == 0 && text && secret_copy(text, strlen(text), &key) < 0)
		r = error_oom(e);
	return r < 0 ? r : provider_certificate_upload(call->manager, id, pem, &key, e);
}

static int make_certificate(struct api_call *call, const char *id, const char *way,
			    struct error *e)
{
	struct manager *m = call->manager;
	const char *name = NULL;
	unsigned int days = DAYS_USUAL;
	int r = api_string_or_null(call, "name", PROVIDER_NAME_MAX, &name, e);

	if (r == 0)
		r = number(call, "days", DAYS_USUAL, DAYS_MAX, &days, e);
	if (r < 0)
		return r;
	if (!name)
		name = "vmcrypt-manager";
	if (strcmp(way, "self-signed") == 0)
		return provider_certificate_self_signed(m, id, name, days, e);
	if (strcmp(way, "request") == 0)
		return provider_certificate_request(m, id, name, e);
	if (strcmp(way, "authority") == 0)
		return provider_certificate_signed(m, id, name, days, e);
	return error_usage(e, "\"%s\" is no way to a certificate: want self-signed, request, upload or "
			   "authority", way);
}

int api_providers_certificate_set(struct api_call *call, json_t **ret, struct error *e)
{
	const char *id = call->params[0], *way = NULL;
	int r = api_string(call, "way", TYPE_MAX, &way, e);

	if (r == 0)
		r = strcmp(way, "upload") == 0 ? upload(call, id, e) :
						 make_certificate(call, id, way, e);
	return r < 0 ? r : show_certificate(call, ret, e);
}

static int need_password(const struct api_call *call, struct secret *ret, struct error *e)
{
	int r = api_password(call, "password", ret, e);

	if (r == 0 && ret->size == 0)
		return error_usage(e, "A backup has a password: who has the file and no password must not "
				   "have the keys");
	return r;
}

int api_providers_backup(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_secret_ struct secret password = SECRET_NULL;
	_cleanup_free_ uint8_t *data = NULL;
	_cleanup_free_ char *text = NULL;
	const char *id = call->params[0];
	size_t size = 0;
	int r = need_password(call, &password, e);

	if (r == 0)
		r = provider_backup_file(call->manager, id, &password, &data, &size, e);
	if (r < 0)
		return r;
	text = malloc(BASE64_SIZE(size));
	if (!text)
		return error_oom(e);
	base64_encode(data, size, text);
	*ret = json_pack("{s:s, s:s}", "provider", id, "file", text);
	keys_provision_all(call->manager, /* cluster= */ NULL);
	return *ret ? 0 : error_oom(e);
}

int api_providers_restore(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_backup_ struct backup_content content = { .kdk = SECRET_NULL };
	_cleanup_secret_ struct secret password = SECRET_NULL;
	bool dry_run = false, allow_unsealed = false;
	uint8_t data[BACKUP_SIZE_MAX];
	const char *file = NULL;
	size_t size = 0;
	int r = need_password(call, &password, e);

	if (r == 0)
		r = api_string(call, "file", BASE64_SIZE(BACKUP_SIZE_MAX), &file, e);
	if (r == 0)
		r = api_bool(call, "dry_run", &dry_run, e);
	if (r == 0)
		r = read_sealing(call, &allow_unsealed, e);
	if (r < 0 || !file)
		return r;
	if (base64_decode(file, strlen(file), data, sizeof(data), &size) < 0)
		return error_usage(e, "Member \"file\" of the request is no base64 of a backup");
	r = backup_read(data, size, &password, &content, e);
	/* The file and its password came with the request. */
	if (r == -EKEYREJECTED || r == -EBADMSG)
		call->status = 400;
	if (r == 0)
		r = provider_restore_backup(call->manager, &content, allow_unsealed, dry_run, ret, e);
	if (r < 0)
		return r;
	api_set_object(call, "provider", json_text(*ret, "id"));
	if (!dry_run)
		keys_provision_all(call->manager, /* cluster= */ NULL);
	return 0;
}

int api_defaults_list(struct api_call *call, json_t **ret, struct error *e)
{
	json_t *list = NULL;
	int r = provider_defaults(call->manager, &list, e);

	if (r < 0)
		return r;
	*ret = json_pack("{s:o}", "defaults", list);
	return *ret ? 0 : error_oom(e);
}

/* The scope is the object of the call; global has none of its own. */
static int change_default(struct api_call *call, const char *provider, struct error *e)
{
	const char *scope = call->object[0] ? call->object : PERMISSION_GLOBAL;
	const char *kind = call->route->kind ? call->route->kind : "";
	_cleanup_json_ json_t *object = NULL;
	struct error later = ERROR_NULL;
	int r = *kind ? store_get(call->manager->store, kind, call->params[0], &object, e) : 0;

	if (r == 0)
		r = provider ? provider_default_set(call->manager, scope, provider, e) :
			       provider_default_clear(call->manager, scope, e);
	if (r < 0)
		return r;
	if (strcmp(kind, "host") != 0)
		keys_provision_all(call->manager, *kind ? call->params[0] : NULL);
	/* A host that is away learns of it when it connects. */
	else if (link_connected(call->manager, call->params[0]) &&
		 keys_provision(call->manager, call->params[0], &later) < 0)
		log_warning("Host %s has not got all that it may have: %s", call->params[0], later.text);
	return 0;
}

int api_defaults_set(struct api_call *call, json_t **ret, struct error *e)
{
	const char *provider = NULL;
	int r = api_string(call, "provider", UUID_TEXT_SIZE - 1, &provider, e);

	if (r == 0)
		r = change_default(call, provider, e);
	if (r < 0)
		return r;
	*ret = json_pack("{s:s, s:s}", "scope", call->object[0] ? call->object : PERMISSION_GLOBAL, "provider",
			 provider);
	return *ret ? 0 : error_oom(e);
}

int api_defaults_clear(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return change_default(call, /* provider= */ NULL, e);
}
