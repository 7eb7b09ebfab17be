/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS to a key server: mutual, 1.2 or 1.3, as a stream for KMIP messages.
 *
 * The server is known by its certificate's fingerprint, by the CA that signed it,
 * or by both. An expired certificate is refused either way.
 */
#ifndef VMCRYPT_KMIP_TLS_H
#define VMCRYPT_KMIP_TLS_H

#include "common/secret.h"
#include "kmip/stream.h"

/** KMIP_PORT - what IANA gave KMIP */
#define KMIP_PORT 5696
/** KMIP_PIN_SIZE - SHA-256 of a certificate's DER in base 16, with the NUL */
#define KMIP_PIN_SIZE 65

/**
 * struct kmip_tls_settings - whom to talk to, and as whom
 * @host: DNS name or address
 * @port: TCP
 * @pin: SHA-256 of the server certificate's DER in base 16, lower case; NULL: none
 * @ca: PEM of what the server certificate must come from; NULL: none. The name in
 *	the certificate is checked too
 * @name: that the certificate has to bear; NULL: @host
 * @certificate: PEM of ours, followed by those in between up to the CA
 * @key: of @certificate, DER
 * @legacy: also suites with CBC and with RSA key exchange, for old servers
 *
 * One of @pin and @ca has to be there. All of it stays the caller's, and has to live as
 * long as the connection.
 */
struct kmip_tls_settings {
	const char *host;
	uint16_t port;
	const char *pin;
	const char *ca;
	const char *name;
	const char *certificate;
	const struct secret *key;
	bool legacy;
};

struct kmip_tls;

/**
 * kmip_tls_connect() - connect and shake hands
 * @deadline: as kmip_deadline(). Looking up a name may take longer, for the
 *	resolver has limits of its own
 * @ret: written only on success; for kmip_tls_close()
 *
 * With TLS 1.3 a server that does not accept the client certificate says so only
 * when the first answer is read.
 *
 * Return: 0; -EBADE (the server is not the one: pin, CA, name, time); -EPERM (the
 * server does not take the client certificate); -EPROTO (no TLS, or nothing in
 * common); -EINVAL (settings); -ETIMEDOUT, -ECONNREFUSED and others of the network.
 */
int kmip_tls_connect(const struct kmip_tls_settings *settings, int64_t deadline,
		     struct kmip_tls **ret, struct error *e);

/**
 * kmip_tls_look() - which certificate a server shows, for a person to compare
 * @settings: only @host, @port, @name, @legacy count
 * @ret_pem: malloc'ed
 *
 * Nothing is sent to the server but the beginning of a handshake.
 */
int kmip_tls_look(const struct kmip_tls_settings *settings, int64_t deadline, char **ret_pem,
		  struct error *e);

/**
 * kmip_tls_stream() - the stream; lives as long as the connection
 */
struct kmip_stream kmip_tls_stream(struct kmip_tls *tls);

/**
 * kmip_tls_usable() - whether an idle connection seems to stand: neither closed by
 * the server nor with something to read that nobody asked for
 *
 * Waits for nothing and reads no more than a few records, whatever the server sends,
 * so that it may be called under a lock. One that is not usable is to be closed.
 */
bool kmip_tls_usable(struct kmip_tls *tls);

/**
 * kmip_tls_server_end() - until when the server's certificate is valid, seconds
 * since 1970
 */
int64_t kmip_tls_server_end(const struct kmip_tls *tls);

/**
 * kmip_tls_close() - say goodbye without waiting, and free; NULL is left alone
 */
void kmip_tls_close(struct kmip_tls *tls);

#endif
