/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager's own certificate authority: EC P-384, its key in the vault. It signs
 * the manager's server certificate and the certificates of hosts, nothing else.
 *
 * Documents of kind "authority": id "ca" and id "server" {certificate: PEM, key:
 * sealed, created}. Whether a host's certificate still counts is the state of the
 * host's document: TLS proves who it is, authority_host_identity() says who.
 */
#ifndef VMCRYPT_MANAGER_AUTHORITY_H
#define VMCRYPT_MANAGER_AUTHORITY_H

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"

/** AUTHORITY_CA_DAYS - of the authority's own certificate */
#define AUTHORITY_CA_DAYS	3650
/** AUTHORITY_SERVER_DAYS - of the server certificate */
#define AUTHORITY_SERVER_DAYS	397
/** AUTHORITY_HOST_DAYS - of a host's certificate */
#define AUTHORITY_HOST_DAYS	90
/** AUTHORITY_RENEW_DAYS - before its end a certificate is to be renewed */
#define AUTHORITY_RENEW_DAYS	30
/** AUTHORITY_CSR_MAX - bytes of a request in PEM */
#define AUTHORITY_CSR_MAX	((size_t) 8192)
/** AUTHORITY_NAMES_MAX - DNS names and addresses of the server */
#define AUTHORITY_NAMES_MAX	16
/** AUTHORITY_FINGERPRINT_SIZE - SHA-256 in base 16, with the NUL */
#define AUTHORITY_FINGERPRINT_SIZE 65
/** AUTHORITY_SERIAL_SIZE - 128 bits in base 16, with the NUL */
#define AUTHORITY_SERIAL_SIZE	33

struct store;
struct vault;
struct authority;

/**
 * struct authority_certificate - one that was issued
 * @pem: malloc'ed
 * @serial: base 16
 * @fingerprint: SHA-256 of the DER, base 16
 * @not_before: seconds since 1970
 * @not_after: seconds since 1970
 */
struct authority_certificate {
	char *pem;
	char serial[AUTHORITY_SERIAL_SIZE];
	char fingerprint[AUTHORITY_FINGERPRINT_SIZE];
	int64_t not_before;
	int64_t not_after;
};

void authority_certificate_done(struct authority_certificate *certificate);

#define _cleanup_certificate_ __attribute__((cleanup(authority_certificate_done)))

/**
 * authority_init() - make the authority of a new manager
 * @name: of the manager, becomes part of the subject
 *
 * Return: 0; -EEXIST.
 */
int authority_init(struct store *store, struct vault *vault, const char *name, struct error *e);

/**
 * authority_load() - the authority of a store
 *
 * Return: 0; -ENOENT (no init was run), -EBADMSG (key and certificate do not belong
 * together), or what vault_open_secret() answers.
 */
int authority_load(struct store *store, struct vault *vault, struct authority **ret,
		   struct error *e);

void authority_free(struct authority *authority);

/** authority_pem() - the authority's certificate, what hosts and clients trust */
const char *authority_pem(const struct authority *authority);

/** authority_fingerprint() - SHA-256 of its DER, base 16: what people compare */
void authority_fingerprint(const struct authority *authority,
			   char ret[AUTHORITY_FINGERPRINT_SIZE]);

/** authority_ends() - of the authority's certificate and the server's, seconds since 1970 */
void authority_ends(struct authority *authority, int64_t *ret_authority, int64_t *ret_server);

/**
 * authority_issue_server() - a new key and certificate for the manager itself
 * @names: DNS names and IP addresses, "a.example,10.0.0.1"; all become SANs
 *
 * Kept in the store in place of the earlier one.
 *
 * Return: 0; -EINVAL with EXIT_USAGE for a bad name.
 */
int authority_issue_server(struct authority *authority, const char *names, struct error *e);

/**
 * authority_renew_server() - issue_server() for the same names, when it is due; recorded
 * @now: seconds since 1970
 * @ret_renewed: whether there is a new one
 */
int authority_renew_server(struct authority *authority, int64_t now, bool *ret_renewed,
			   struct error *e);

/**
 * authority_use() - give a TLS server its key and certificate, and this authority as
 * the one that clients' certificates come from
 *
 * May be called again for a context in use, in the thread that uses it: connections
 * that are open keep what they began with. Whether the server asks for client
 * certificates is left to the caller (SSL_CTX_set_verify).
 */
int authority_use(struct authority *authority, SSL_CTX *ssl, struct error *e);

/**
 * authority_server() - the same for those who want it in hand
 * @ret_pem: certificate and authority, malloc'ed; may be NULL
 * @ret_key: PKCS#8 DER; may be NULL
 */
int authority_server(struct authority *authority, char **ret_pem, struct secret *ret_key,
		     struct error *e);

/**
 * authority_issue_host() - a certificate for a host
 * @host: UUID as text
 * @csr: PEM, @csr_size bytes; its signature is checked, and nothing but its public
 *	key is taken; EC P-256 or P-384
 *
 * Return: 0; -EBADMSG with EXIT_USAGE (no request), -EKEYREJECTED with EXIT_USAGE
 * (signature, or another kind of key).
 */
int authority_issue_host(struct authority *authority, const char *host, const char *csr,
			 size_t csr_size, struct authority_certificate *ret, struct error *e);

/**
 * authority_host_identity() - which host this certificate names
 * @peer: what TLS has verified against this authority; verified here once more
 * @ret_serial: may be NULL
 *
 * Return: 0; -EKEYREJECTED with EXIT_NOT_ALLOWED: not one of ours, not a host's, or
 * outside its time.
 */
int authority_host_identity(struct authority *authority, X509 *peer,
			    char ret_host[UUID_TEXT_SIZE], char ret_serial[AUTHORITY_SERIAL_SIZE],
			    struct error *e);

/** authority_due() - whether a certificate that ends at @not_after is to be renewed */
bool authority_due(int64_t not_after, int64_t now);

#endif
