/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Client certificates for key servers, made in one of vCenter's four ways:
 *
 * - self-signed: kmip_certificate_self_signed(), and the server is told to trust it;
 * - signed by the key server: kmip_certificate_request(), what comes back is checked
 *   by kmip_certificate_check();
 * - made elsewhere: kmip_certificate_key() reads the key, then the same check;
 * - signed by a CA of our own that the server trusts: kmip_certificate_authority()
 *   once, then kmip_certificate_request() and kmip_certificate_sign().
 *
 * Keys are RSA of 3072 bits, since not all key servers take others, and in DER.
 */
#ifndef VMCRYPT_KMIP_CERTIFICATE_H
#define VMCRYPT_KMIP_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"

/** KMIP_CERTIFICATE_MAX - bytes of PEM that are read */
#define KMIP_CERTIFICATE_MAX ((size_t) 32 * 1024)
/** KMIP_CERTIFICATE_NAME_SIZE - bytes of a subject or issuer, with the NUL */
#define KMIP_CERTIFICATE_NAME_SIZE 256
/** KMIP_SERIAL_SIZE - 20 bytes in base 16, with the NUL */
#define KMIP_SERIAL_SIZE 41

/**
 * struct kmip_certificate_info - what people ask of a certificate
 * @subject: "CN=name,O=organisation", as RFC 2253; cut when longer
 * @issuer: the same
 * @serial: base 16
 * @fingerprint: SHA-256 of the DER, base 16
 * @not_before: seconds since 1970
 * @not_after: seconds since 1970
 */
struct kmip_certificate_info {
	char subject[KMIP_CERTIFICATE_NAME_SIZE];
	char issuer[KMIP_CERTIFICATE_NAME_SIZE];
	char serial[KMIP_SERIAL_SIZE];
	char fingerprint[65];
	int64_t not_before;
	int64_t not_after;
};

/**
 * kmip_certificate_read() - the first certificate of a PEM text
 *
 * Return: 0; -EBADMSG with EXIT_USAGE (no certificate).
 */
int kmip_certificate_read(const char *pem, struct kmip_certificate_info *ret, struct error *e);

/**
 * kmip_certificate_left() - seconds from @now to its end, negative: behind it
 */
int64_t kmip_certificate_left(const struct kmip_certificate_info *info, int64_t now);

/**
 * kmip_certificate_self_signed() - a new key, and a certificate by itself
 * @name: common name: who the client is to the key server
 * @days: how long it is valid
 * @ret_pem: malloc'ed
 * @ret_key: the caller owns it
 *
 * Return: 0; -EINVAL with EXIT_USAGE (name: 1..64 bytes; days: 1..3650).
 */
int kmip_certificate_self_signed(const char *name, unsigned int days, char **ret_pem,
				 struct secret *ret_key, struct error *e);

/**
 * kmip_certificate_authority() - the same for a CA that signs nothing but clients
 */
int kmip_certificate_authority(const char *name, unsigned int days, char **ret_pem,
			       struct secret *ret_key, struct error *e);

/**
 * kmip_certificate_request() - a new key, and a request (PKCS #10) for a certificate
 * @ret_pem: malloc'ed
 */
int kmip_certificate_request(const char *name, char **ret_pem, struct secret *ret_key,
			     struct error *e);

/**
 * kmip_certificate_sign() - a client certificate by our own CA
 * @request: PEM; its own signature is checked; key and subject are taken from it
 *
 * Never longer than the CA itself is valid.
 *
 * Return: 0; -EBADMSG with EXIT_USAGE (no request, or its signature is wrong);
 * -EINVAL with EXIT_USAGE (CA, days).
 */
int kmip_certificate_sign(const char *ca_pem, const struct secret *ca_key, const char *request,
			  unsigned int days, char **ret_pem, struct error *e);

/**
 * kmip_certificate_key() - a private key that was made elsewhere
 * @text: PEM or DER, without a password
 * @ret: DER; the caller owns it
 *
 * Return: 0; -EBADMSG with EXIT_USAGE.
 */
int kmip_certificate_key(const struct secret *text, struct secret *ret, struct error *e);

/**
 * kmip_certificate_check() - whether a certificate serves as a client's with a key
 * @now: seconds since 1970
 *
 * Return: 0; -EBADMSG (no certificate), -EKEYREJECTED (of another key), -EKEYEXPIRED
 * (not valid now), -EINVAL (not for clients), all with EXIT_USAGE.
 */
int kmip_certificate_check(const char *pem, const struct secret *key, int64_t now,
			   struct error *e);

#endif
