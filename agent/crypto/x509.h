/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates (RFC 5280) by OpenSSL: what the manager's authority and the client of key
 * servers both need.
 */
#ifndef VMCRYPT_CRYPTO_X509_H
#define VMCRYPT_CRYPTO_X509_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** X509_FINGERPRINT_SIZE - SHA-256 of a certificate's DER as text, with the NUL */
#define X509_FINGERPRINT_SIZE 65

static inline void x509_bio_freep(BIO **bio)
{
	BIO_free_all(*bio);
}

static inline void x509_freep(X509 **certificate)
{
	X509_free(*certificate);
}

static inline void x509_request_freep(X509_REQ **request)
{
	X509_REQ_free(*request);
}

static inline void x509_key_freep(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

/**
 * x509_no_password() - a password callback of OpenSSL that has none
 *
 * For everything in PEM: without one OpenSSL would ask the terminal when a text from
 * outside says that it is encrypted.
 */
int x509_no_password(char *buffer, int size, int writing, void *argument);

/** x509_from_pem() - the first certificate of a text; NULL: there is none */
X509 *x509_from_pem(const char *pem, size_t size);

/** x509_request_from_pem() - a request, its signature not looked at; NULL: none */
X509_REQ *x509_request_from_pem(const char *pem, size_t size);

/** x509_to_pem() - malloc'ed; NULL: out of memory */
char *x509_to_pem(X509 *certificate);

/** x509_bio_text() - what was written to a BIO in memory, malloc'ed; NULL: out of memory */
char *x509_bio_text(BIO *bio);

/** x509_fingerprint() - in lower case. Return: whether OpenSSL could */
bool x509_fingerprint(const X509 *certificate, char ret[X509_FINGERPRINT_SIZE]);

/** x509_seconds() - since 1970; 0: no time at all */
int64_t x509_seconds(const ASN1_TIME *time);

/** x509_extend() - add an extension; @value as in x509v3_config(5) */
bool x509_extend(X509 *certificate, X509 *issuer, int nid, const char *value);

/** x509_number() - set the serial number; @size bytes at @serial, most significant first */
bool x509_number(X509 *certificate, const uint8_t *serial, size_t size);

#endif
