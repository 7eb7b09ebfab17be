/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key providers as the manager knows them: standard ones, whose keys are at key servers
 * that only the manager has credentials for, and native ones, whose KDK it makes and
 * gives to the hosts.
 *
 * Documents of kind "provider": {name, type: "standard"|"native", created}, and
 *
 *	standard  {servers: [{name, address, port, server_name, pin, ca, user, password,
 *		  legacy, version, vendor}], certificate, certificate_key, request, request_key,
 *		  authority, authority_key, probe_key, probe_check, wrapping_key}
 *	native    {kdk, allow_unsealed, backed_up: RFC 3339|null}
 *
 * where password, kdk and all …_key but probe_key and wrapping_key are sealed by the
 * vault, in the context "provider|UUID|MEMBER" ("provider|UUID|password|SERVER"), and
 * probe_check is kdf_key_check() of the probe key, in base 16. What is not there is null.
 * Documents of kind "default" say who uses which: id "global", "cluster:UUID" or
 * "host:UUID", {provider}. Which hosts have which KDK: provider_hosts.h.
 *
 * May be called from any thread but that of the connections.
 */
#ifndef MANAGER_PROVIDERS_H
#define MANAGER_PROVIDERS_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"
#include "crypto/backup.h"
#include "crypto/kdf.h"
#include "kmip/servers.h"

#define PROVIDER_KIND		"provider"
#define PROVIDER_DEFAULT_KIND	"default"
#define PROVIDER_DEFAULT_GLOBAL	"global"
#define PROVIDER_STANDARD	"standard"
#define PROVIDER_NATIVE		"native"
/** PROVIDER_TRUSTED - whose keys hosts get by attestation, not from the manager */
#define PROVIDER_TRUSTED	"trusted"

/** PROVIDERS_TIMEOUT_MS - for finding a key server, and again for each message */
#define PROVIDERS_TIMEOUT_MS	5000
/** PROVIDERS_LIST_MAX - providers of one manager: what provider.set can carry */
#define PROVIDERS_LIST_MAX	64
/** PROVIDER_WARN_DAYS - before a certificate's end */
#define PROVIDER_WARN_DAYS	30

struct host_view;
struct manager;
struct store;
struct vault;

struct providers;

/**
 * struct provider_set - the key servers of a standard provider, held
 * @id: UUID of the provider
 * @name: as it was when the set was made
 * @servers: with connections that are kept
 * @wrapping_key: that the servers wrap keys with on their way; "": with none
 * @probe_key: that tells whether keys can be had; "": none yet
 * @probe_check: its check value
 * @checked: there is one
 */
struct provider_set {
	char id[UUID_TEXT_SIZE];
	char name[65];
	struct kmip_servers *servers;
	char wrapping_key[KMIP_ID_SIZE];
	char probe_key[KMIP_ID_SIZE];
	uint8_t probe_check[KEY_CHECK_SIZE];
	bool checked;
	struct providers *owner;
	struct provider_set *next;
	unsigned int refs;
};

/** providers_open() - take up the key servers of all standard providers; nobody is asked yet */
int providers_open(struct store *store, struct vault *vault, struct providers **ret,
		   struct error *e);

/** providers_free() - no other thread may be in a call; NULL is left alone */
void providers_free(struct providers *providers);

/**
 * providers_hold() - the key servers of a provider
 * @ret: stays as it is until providers_release(), whatever is changed meanwhile
 *
 * Return: 0; -ENOENT (no such provider, or none with key servers) with EXIT_NO_KEY.
 */
int providers_hold(struct providers *providers, const char *id, struct provider_set **ret,
		   struct error *e);

/** providers_release() - NULL is left alone, the variable becomes NULL */
void providers_release(struct provider_set **set);

#define _cleanup_set_ __attribute__((cleanup(providers_release)))

/** provider_wanted() - a key of a set, as one asks its servers for it; points into both */
struct kmip_wanted provider_wanted(const struct provider_set *set, const char *key);

/**
 * provider_probe() - ask all servers of a set, whose probe key each has to give
 *
 * As kmip_servers_probe().
 */
int provider_probe(struct provider_set *set, struct kmip_server_status *ret, size_t *ret_n,
		   struct error *e);

/** providers_build() - a set of a document, which nobody else knows; refs is 1 */
int providers_build(struct providers *providers, const char *id, const json_t *document,
		    struct provider_set **ret, struct error *e);

/**
 * providers_change_lock() - for the rest of a change: one at a time
 *
 * Changes read a document, ask key servers, and write it: none may come in between.
 */
pthread_mutex_t *providers_change_lock(struct providers *providers);

/**
 * providers_take_up() - use the provider's document as it is now
 * @set: made of it, whose reference is taken; NULL: make one
 */
int providers_take_up(struct providers *providers, const char *id, struct provider_set *set,
		      struct error *e);

/** providers_forget() - a provider that is deleted */
void providers_forget(struct providers *providers, const char *id);

/* What is sealed in a provider's document: "provider|ID|WHAT". */
int provider_seal(struct manager *m, const char *id, const char *what, const struct secret *plain,
		  json_t **ret, struct error *e);
int provider_unseal(struct vault *vault, const char *id, const char *what, const json_t *sealed,
		    struct secret *ret, struct error *e);

/** provider_get() - a document. @type: that it has to be of; NULL: any. Return: 0; -ENOENT */
int provider_get(struct manager *m, const char *id, const char *type, json_t **ret,
		 struct error *e);

/** provider_view() - of a document, what people may see; NULL: out of memory */
json_t *provider_view(struct manager *m, const json_t *document);

/**
 * provider_create() - a provider that is not ready yet
 * @wrapping_key: of a standard one, id of the key that its servers wrap keys with; or NULL
 * @allow_unsealed: of a native one: hosts without a TPM may have its KDK, too, in a file
 *
 * The first one becomes the global default. A native provider is used once it was
 * backed up, a standard one when it has a certificate and a server.
 *
 * Return: 0; -EEXIST; -EINVAL with EXIT_USAGE; -E2BIG.
 */
int provider_create(struct manager *m, const char *name, const char *type,
		    const char *wrapping_key, bool allow_unsealed, char ret_id[UUID_TEXT_SIZE],
		    struct error *e);

/**
 * provider_remove() - forget a provider, and the ids of its keys
 *
 * Return: 0; -EBUSY (keys in use, or a default while there are others), -ENOENT.
 */
int provider_remove(struct manager *m, const char *id, struct error *e);

/* Default providers. */

/**
 * provider_default_of() - which provider is the default for a host
 * @view: as host_view() has it; NULL: the global one
 * @ret: UUID
 *
 * The one of the host, else of its cluster, else the global one.
 *
 * Return: 0; -ENOENT with EXIT_NO_KEY.
 */
int provider_default_of(struct manager *m, const char *host, const struct host_view *view,
			char ret[UUID_TEXT_SIZE], struct error *e);

/** provider_default_set() - @scope: "global", "cluster:UUID", "host:UUID" */
int provider_default_set(struct manager *m, const char *scope, const char *id, struct error *e);

/** provider_default_clear() - Return: 0; -ENOENT (there is none for this scope) */
int provider_default_clear(struct manager *m, const char *scope, struct error *e);

/** provider_defaults() - all of them: [{scope, provider}...] */
int provider_defaults(struct manager *m, json_t **ret, struct error *e);

/* Key servers. */

/**
 * struct provider_server - what an administrator says about a key server
 * @name: as of a provider
 * @password: of @user, empty: none
 * @version: {0, 0}: agree on one when it is taken in or changed
 *
 * Otherwise as in struct kmip_server_settings.
 */
struct provider_server {
	const char *name;
	const char *address;
	uint16_t port;
	const char *server_name;
	const char *pin;
	const char *ca;
	const char *user;
	struct secret password;
	bool legacy;
	struct kmip_version version;
};

/**
 * enum provider_server_member - what is said of a server when it is changed
 * @SERVER_TRUST: pin and CA, of which one takes the place of both
 * @SERVER_USER: with the password, for another user has another one or none
 */
enum provider_server_member {
	SERVER_ADDRESS	= 1 << 0,
	SERVER_PORT	= 1 << 1,
	SERVER_TLS_NAME	= 1 << 2,
	SERVER_LEGACY	= 1 << 3,
	SERVER_TRUST	= 1 << 4,
	SERVER_USER	= 1 << 5,
	SERVER_PASSWORD	= 1 << 6,
	SERVER_VERSION	= 1 << 7,
};

/** provider_version_parse() - "1.4"; "auto" and NULL: {0, 0}. Return: 0; -EINVAL */
int provider_version_parse(const char *text, struct kmip_version *ret, struct error *e);

/**
 * provider_server_read() - a server as it is kept in a document
 * @ret: points into @json, but for the password, which is the caller's
 */
int provider_server_read(struct vault *vault, const char *id, const json_t *json,
			 struct provider_server *ret, struct error *e);

/** provider_server_settings() - the same as agent/kmip has it; points into @server */
struct kmip_server_settings provider_server_settings(const struct provider_server *server);

/**
 * provider_server_look() - the certificate that a server shows, for a person to compare
 * @ret: {subject, issuer, serial, fingerprint, not_before, not_after, certificate}
 */
int provider_server_look(const struct provider_server *server, json_t **ret, struct error *e);

/**
 * provider_server_add() - take in a key server
 *
 * It has to be of the vendor of the others, and to give the provider's probe key and no
 * other one under its id; the first one makes that key. As kmip_servers_add().
 */
int provider_server_add(struct manager *m, const char *id, const struct provider_server *server,
			const char *user, struct error *e);

/**
 * provider_server_change() - change what was said of a server
 * @change: what is not @named in it stays as it is
 * @named: of enum provider_server_member, or'ed
 *
 * What comes of it is tried as a new server is, before it is kept. Return: 0; -ENOENT; as
 * provider_server_add().
 */
int provider_server_change(struct manager *m, const char *id, const char *name,
			   const struct provider_server *change, unsigned int named,
			   const char *user, struct error *e);

/** provider_check_learn() - keep the check value of a probe key that was made without one */
int provider_check_learn(struct manager *m, const char *id, struct error *e);

/** provider_server_remove() - Return: 0; -ENOENT */
int provider_server_remove(struct manager *m, const char *id, const char *name, struct error *e);

/* The certificate that the manager shows to key servers, vCenter's four ways. */

/** provider_certificate_self_signed() - the servers have to be told to trust it */
int provider_certificate_self_signed(struct manager *m, const char *id, const char *name,
				     unsigned int days, struct error *e);

/** provider_certificate_request() - a request (PKCS #10) for the key server to sign */
int provider_certificate_request(struct manager *m, const char *id, const char *name,
				 struct error *e);

/**
 * provider_certificate_upload() - one that was signed or made elsewhere
 * @key: PEM or DER; empty: that of the request
 */
int provider_certificate_upload(struct manager *m, const char *id, const char *pem,
				const struct secret *key, struct error *e);

/** provider_certificate_signed() - by a CA of the provider's own, which the servers trust */
int provider_certificate_signed(struct manager *m, const char *id, const char *name,
				unsigned int days, struct error *e);

/* Native providers. */

/**
 * provider_backup() - the KDK in PKCS#12; from then on the provider is used
 * @ret: malloc'ed, no secret without the password
 */
int provider_backup_file(struct manager *m, const char *id, const struct secret *password,
			 uint8_t **ret, size_t *ret_size, struct error *e);

/**
 * provider_restore_backup() - a provider of a backup
 * @content: what backup_read() found; stays the caller's
 * @dry_run: do everything but keep it
 * @ret: {id, name, created, state: "new"|"same", dry_run}
 *
 * Return: 0; -EEXIST (another with the name, or another KDK under this UUID).
 */
int provider_restore_backup(struct manager *m, const struct backup_content *content,
			    bool allow_unsealed, bool dry_run, json_t **ret, struct error *e);

/** provider_kdk() - of a native one. @ret: the caller owns it */
int provider_kdk(struct manager *m, const char *id, const json_t *document, struct secret *ret,
		 struct error *e);

/** provider_allows_unsealed() - whether a host without a TPM may have a native one's KDK */
bool provider_allows_unsealed(const json_t *document);

/* Status. */

/**
 * provider_status() - try everything: a key through each server, a wrap on each safe host
 * @user: who asks, for the record, and the hosts' own: that hosts are given the probe key
 *	is recorded once a minute of each user and provider
 * @ret: as openapi.yaml has ProviderStatus
 */
int provider_status(struct manager *m, const char *id, const char *user, json_t **ret,
		    struct error *e);

/** provider_certificate_info() - of a PEM, as openapi.yaml has CertificateInfo */
int provider_certificate_info(const char *pem, json_t **ret, struct error *e);

/** provider_certificate_warning() - whether a certificate's end is near. @end: 0: not known */
bool provider_certificate_due(int64_t end, int64_t now);

/**
 * provider_watch() - look at all providers; what has changed since last is recorded
 *
 * For the thread that does this each minute, and for tests.
 */
void provider_watch(struct manager *m, int64_t now);

#endif
