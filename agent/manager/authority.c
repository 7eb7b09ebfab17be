/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/authority.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "common/lock.h"
#include "crypto/x509.h"
#include "manager/authority_cert.h"
#include "manager/permission.h"
#include "manager/record.h"
#include "manager/store.h"
#include "manager/vault.h"

#define KIND		"authority"
#define ID_CA		"ca"
#define ID_SERVER	"server"
#define PEM_MAX		((size_t) 16384)

/* @lock: guards the pair of the server */
struct authority {
	struct store *store;
	struct vault *vault;
	X509 *certificate;
	EVP_PKEY *key;
	char *pem;
	pthread_mutex_t lock;
	X509 *server;
	EVP_PKEY *server_key;
};

void authority_certificate_done(struct authority_certificate *certificate)
{
	free(certificate->pem);
	*certificate = (struct authority_certificate){ .pem = NULL };
}

bool authority_due(int64_t not_after, int64_t now)
{
	return now >= not_after - (int64_t) AUTHORITY_RENEW_DAYS * CERT_DAY;
}

static void make_context(const char *id, char ret[64])
{
	snprintf(ret, 64, "authority|%.16s|key", id);
}

static json_t *document_new(X509 *certificate, const char *names, json_t *sealed)
{
	_cleanup_free_ char *pem = x509_to_pem(certificate);
	char created[TIME_TEXT_SIZE];

	time_format(time_now(), created);
	if (!pem)
		return NULL;
	return json_pack("{s:s, s:s?, s:O, s:s}", "certificate", pem, "names", names, "key", sealed,
			 "created", created);
}

/* A pair of certificate and sealed key; @insert: there must be none yet. */
static int keep(struct store *store, struct vault *vault, const char *id, X509 *certificate,
		EVP_PKEY *key, const char *names, bool insert, struct error *e)
{
	_cleanup_json_ json_t *sealed = NULL, *document = NULL;
	_cleanup_secret_ struct secret der = SECRET_NULL;
	char context[64];
	int r;

	make_context(id, context);
	r = cert_key_to_der(key, &der, e);
	if (r == 0)
		r = vault_seal(vault, context, &der, &sealed, e);
	if (r < 0)
		return r;
	document = document_new(certificate, names, sealed);
	if (!document)
		return error_oom(e);
	if (!insert) {
		r = store_update(store, KIND, id, document, e);
		if (r != -ENOENT)
			return r;
	}
	return store_insert(store, KIND, id, document, e);
}

static int fetch(struct store *store, struct vault *vault, const char *id, X509 **ret,
		 EVP_PKEY **ret_key, struct error *e)
{
	_cleanup_(x509_freep) X509 *certificate = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	_cleanup_secret_ struct secret der = SECRET_NULL;
	_cleanup_json_ json_t *document = NULL;
	const char *pem;
	char context[64];
	int r;

	r = store_get(store, KIND, id, &document, e);
	if (r < 0)
		return r;
	make_context(id, context);
	r = json_get_string(document, "certificate in the store", "certificate", PEM_MAX, &pem, e);
	if (r == 0)
		r = vault_open_secret(vault, context, json_object_get(document, "key"), &der, e);
	if (r == 0)
		r = cert_key_from_der(&der, &key, e);
	if (r < 0)
		return r;
	certificate = x509_from_pem(pem, strlen(pem));
	if (!certificate || X509_check_private_key(certificate, key) != 1)
		return error_fail(e, EBADMSG, "Key and certificate \"%s\" of the manager's authority do not "
				  "belong together: the store was altered, restore it", id);
	*ret = TAKE_PTR(certificate);
	*ret_key = TAKE_PTR(key);
	return 0;
}

int authority_init(struct store *store, struct vault *vault, const char *name, struct error *e)
{
	_cleanup_(x509_freep) X509 *certificate = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	int r;

	r = cert_key_new("P-384", &key, e);
	if (r == 0)
		r = cert_new_ca(name, key, &certificate, e);
	if (r == 0)
		r = keep(store, vault, ID_CA, certificate, key, /* names= */ NULL, /* insert= */ true, e);
	if (r == -EEXIST)
		return error_fail(e, r, "The manager has an authority already: its hosts trust that one");
	return r;
}

int authority_load(struct store *store, struct vault *vault, struct authority **ret,
		   struct error *e)
{
	struct authority *authority = calloc(1, sizeof(*authority));
	int r;

	if (!authority)
		return error_oom(e);
	authority->store = store;
	authority->vault = vault;
	pthread_mutex_init(&authority->lock, NULL);
	r = fetch(store, vault, ID_CA, &authority->certificate, &authority->key, e);
	if (r == -ENOENT)
		error_fail(e, r, "The manager has no authority: run vmcrypt-manager init first");
	if (r == 0) {
		authority->pem = x509_to_pem(authority->certificate);
		if (!authority->pem)
			r = error_oom(e);
	}
	if (r == 0) {
		r = fetch(store, vault, ID_SERVER, &authority->server, &authority->server_key, e);
		/* Only between init's two steps. */
		if (r == -ENOENT) {
			r = 0;
			if (e)
				*e = ERROR_NULL;
		}
	}
	if (r < 0) {
		authority_free(authority);
		return r;
	}
	*ret = authority;
	return 0;
}

void authority_free(struct authority *authority)
{
	if (!authority)
		return;
	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
	X509_free(authority->server);
	EVP_PKEY_free(authority->server_key);
	pthread_mutex_destroy(&authority->lock);
	free(authority->pem);
	free(authority);
}

const char *authority_pem(const struct authority *authority)
{
	return authority->pem;
}

void authority_fingerprint(const struct authority *authority,
			   char ret[AUTHORITY_FINGERPRINT_SIZE])
{
	if (!x509_fingerprint(authority->certificate, ret))
		ret[0] = '\0';
}

int authority_issue_server(struct authority *authority, const char *names, struct error *e)
{
	_cleanup_(x509_freep) X509 *certificate = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	int r;

	r = cert_key_new("P-256", &key, e);
	if (r == 0)
		r = cert_new_server(names, key, authority->certificate, authority->key, &certificate, e);
	if (r == 0)
		r = keep(authority->store, authority->vault, ID_SERVER, certificate, key, names,
			 /* insert= */ false, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&authority->lock);
	X509_free(authority->server);
	EVP_PKEY_free(authority->server_key);
	authority->server = TAKE_PTR(certificate);
	authority->server_key = TAKE_PTR(key);
	pthread_mutex_unlock(&authority->lock);
	return 0;
}

/* The server's pair, each with a reference of the caller's. */
static int take_server(struct authority *authority, X509 **ret, EVP_PKEY **ret_key,
		       struct error *e)
{
	bool ok;

	pthread_mutex_lock(&authority->lock);
	ok = authority->server && X509_up_ref(authority->server) == 1;
	if (ok) {
		EVP_PKEY_up_ref(authority->server_key);
		*ret = authority->server;
		*ret_key = authority->server_key;
	}
	pthread_mutex_unlock(&authority->lock);
	if (!ok)
		return error_fail(e, ENOENT, "The manager has no server certificate: run vmcrypt-manager "
				  "init first");
	return 0;
}

void authority_ends(struct authority *authority, int64_t *ret_authority, int64_t *ret_server)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&authority->lock);

	*ret_authority = x509_seconds(X509_get0_notAfter(authority->certificate));
	*ret_server = authority->server ? x509_seconds(X509_get0_notAfter(authority->server)) : INT64_MAX;
}

/* The names that the server's certificate was made for, malloc'ed. */
static int server_names(struct authority *authority, char **ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = store_get(authority->store, KIND, ID_SERVER, &document, e);

	if (r < 0)
		return r;
	*ret = strdup(json_text(document, "names"));
	return *ret ? 0 : error_oom(e);
}

static int renew_recorded(struct authority *authority, const char *names, struct error *e)
{
	const struct record_event event = {
		.user = RECORD_USER_MANAGER, .operation = "manager.renew", .object = PERMISSION_GLOBAL,
	};
	struct error own = ERROR_NULL;
	char id[UUID_TEXT_SIZE];
	int r = record_begin(authority->store, &event, id, e);

	if (r < 0)
		return r;
	r = authority_issue_server(authority, names, &own);
	record_end(authority->store, id, NULL, &own);
	if (r < 0 && e)
		*e = own;
	return r;
}

int authority_renew_server(struct authority *authority, int64_t now, bool *ret_renewed,
			   struct error *e)
{
	_cleanup_(x509_freep) X509 *certificate = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	_cleanup_free_ char *names = NULL;
	int r;

	r = take_server(authority, &certificate, &key, e);
	if (r < 0)
		return r;
	*ret_renewed = false;
	if (!authority_due(x509_seconds(X509_get0_notAfter(certificate)), now))
		return 0;
	r = server_names(authority, &names, e);
	if (r == 0)
		r = renew_recorded(authority, names, e);
	if (r == 0)
		*ret_renewed = true;
	return r;
}

/* All three at once, in the place of what the context had: it may be in use. */
static bool give_pair(SSL_CTX *ssl, X509 *server, EVP_PKEY *key, X509 *ca)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	bool ok = chain && sk_X509_push(chain, ca) > 0 &&
		  SSL_CTX_use_cert_and_key(ssl, server, key, chain, /* override= */ 1) == 1;

	sk_X509_free(chain);
	return ok;
}

static bool give_issuer(SSL_CTX *ssl, X509 *ca)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));

	if (!names || !name || sk_X509_NAME_push(names, name) <= 0) {
		X509_NAME_free(name);
		sk_X509_NAME_free(names);
		return false;
	}
	SSL_CTX_set_client_CA_list(ssl, names);
	return X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), ca) == 1;
}

int authority_use(struct authority *authority, SSL_CTX *ssl, struct error *e)
{
	_cleanup_(x509_freep) X509 *server = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	int r;

	r = take_server(authority, &server, &key, e);
	if (r < 0)
		return r;
	if (!give_pair(ssl, server, key, authority->certificate) ||
	    !give_issuer(ssl, authority->certificate))
		return error_fail(e, EIO, "OpenSSL does not take the server certificate: is its key of the "
				  "right kind?");
	return 0;
}

int authority_server(struct authority *authority, char **ret_pem, struct secret *ret_key,
		     struct error *e)
{
	_cleanup_(x509_freep) X509 *server = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	_cleanup_secret_ struct secret der = SECRET_NULL;
	_cleanup_free_ char *own = NULL, *both = NULL;
	int r;

	r = take_server(authority, &server, &key, e);
	if (r == 0)
		r = cert_key_to_der(key, &der, e);
	if (r < 0)
		return r;
	own = x509_to_pem(server);
	if (!own || asprintf(&both, "%s%s", own, authority->pem) < 0) {
		both = NULL;
		return error_oom(e);
	}
	if (ret_pem)
		*ret_pem = TAKE_PTR(both);
	if (ret_key)
		*ret_key = secret_take(&der);
	return 0;
}

int authority_issue_host(struct authority *authority, const char *host, const char *csr,
			 size_t csr_size, struct authority_certificate *ret, struct error *e)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	_cleanup_(x509_freep) X509 *certificate = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	uint8_t uuid[UUID_SIZE];
	int r;

	if (uuid_parse_text(host, uuid) < 0)
		return error_usage(e, "\"%.64s\" is no host's UUID", host);
	r = cert_csr_key(csr, csr_size, &key, e);
	if (r == 0)
		r = cert_new_host(host, key, authority->certificate, authority->key, &certificate, e);
	if (r < 0)
		return r;
	issued.pem = x509_to_pem(certificate);
	if (!issued.pem)
		return error_oom(e);
	cert_serial(certificate, issued.serial);
	if (!x509_fingerprint(certificate, issued.fingerprint))
		return error_oom(e);
	issued.not_before = x509_seconds(X509_get0_notBefore(certificate));
	issued.not_after = x509_seconds(X509_get0_notAfter(certificate));
	*ret = issued;
	issued.pem = NULL;
	return 0;
}

int authority_host_identity(struct authority *authority, X509 *peer,
			    char ret_host[UUID_TEXT_SIZE], char ret_serial[AUTHORITY_SERIAL_SIZE],
			    struct error *e)
{
	char host[UUID_TEXT_SIZE];
	int r;

	r = cert_verify(peer, authority->certificate, X509_PURPOSE_SSL_CLIENT, e);
	if (r == 0)
		r = cert_host_name(peer, host, e);
	if (r < 0)
		return r;
	memcpy(ret_host, host, sizeof(host));
	if (ret_serial)
		cert_serial(peer, ret_serial);
	return 0;
}
