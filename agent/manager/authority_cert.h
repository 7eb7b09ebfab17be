/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates as the manager's authority makes them: RFC 5280 by OpenSSL.
 */
#ifndef VMCRYPT_MANAGER_AUTHORITY_CERT_H
#define VMCRYPT_MANAGER_AUTHORITY_CERT_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"
#include "manager/authority.h"

#define CERT_DAY 86400

/** cert_key_new() - a new EC key; @curve: "P-256", "P-384" */
int cert_key_new(const char *curve, EVP_PKEY **ret, struct error *e);

/** cert_key_to_der() - PKCS#8 in clear, into the secure heap */
int cert_key_to_der(EVP_PKEY *key, struct secret *ret, struct error *e);

/** cert_key_from_der() - the reverse; an EC key alone */
int cert_key_from_der(const struct secret *der, EVP_PKEY **ret, struct error *e);

/** cert_new_ca() - a certificate of an authority, signed by itself, that signs no
 * other authorities; @name: ends its subject */
int cert_new_ca(const char *name, EVP_PKEY *key, X509 **ret, struct error *e);

/** cert_new_server() - @names: DNS names and addresses with commas between */
int cert_new_server(const char *names, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, X509 **ret,
		    struct error *e);

/** cert_new_host() - for TLS clients alone; OU "host", CN @host */
int cert_new_host(const char *host, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, X509 **ret,
		  struct error *e);

/** cert_csr_key() - the public key of a request in PEM whose signature is right */
int cert_csr_key(const char *csr, size_t size, EVP_PKEY **ret, struct error *e);

/** cert_verify() - signed by @ca, for @purpose (X509_PURPOSE_*), now */
int cert_verify(X509 *certificate, X509 *ca, int purpose, struct error *e);

/** cert_host_name() - the UUID in a host's subject, which holds nothing else */
int cert_host_name(X509 *certificate, char ret[UUID_TEXT_SIZE], struct error *e);

void cert_serial(const X509 *certificate, char ret[AUTHORITY_SERIAL_SIZE]);

#endif
