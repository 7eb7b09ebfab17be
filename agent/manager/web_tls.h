/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What TLS is allowed to do on the server's side. */
#ifndef MANAGER_WEB_TLS_H
#define MANAGER_WEB_TLS_H

#include <openssl/ssl.h>

#include "manager/http.h"

/**
 * web_tls_setup() - set up a context for clients with and without certificates
 *
 * TLS 1.2 with AEAD and forward secrecy, or 1.3; no tickets and no resumption,
 * for both outlive what a certificate is checked against; no renegotiation.
 *
 * A client's certificate may be of whatever issuer, but has to be valid now.
 *
 * Return: 0; -EINVAL when OpenSSL refuses.
 */
int web_tls_setup(SSL_CTX *ctx);

/** web_tls_fingerprint() - SHA-256 of the client's certificate, "" without one */
void web_tls_fingerprint(SSL *ssl, char ret[HTTP_FINGERPRINT_SIZE]);

#endif
