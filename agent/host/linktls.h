/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS to the manager: 1.3 only, no tickets, and one authority that is trusted.
 */
#ifndef HOST_LINKTLS_H
#define HOST_LINKTLS_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/jointoken.h"
#include "host/address.h"
#include "host/identity.h"

/**
 * struct link_tls - what a connection is checked against
 * @context: for the client library
 * @pin: SHA-256 of the DER of the authority's certificate; used where @pinned
 * @pinned: the authority is the certificate in the server's chain that has @pin
 * @ca: PEM of the authority that was found by its pin, malloc'ed, or NULL
 * @why: that the server is not trusted, in words; "": it is, or was not asked
 */
struct link_tls {
	SSL_CTX *context;
	uint8_t pin[JOINTOKEN_FINGERPRINT_SIZE];
	bool pinned;
	char *ca;
	char why[160];
};

/**
 * link_tls_join() - for a host that has only a token
 * @ret: has to stay where it is, for @context points to it
 */
int link_tls_join(const struct address *address, const uint8_t pin[JOINTOKEN_FINGERPRINT_SIZE],
		  struct link_tls *ret, struct error *e);

/** link_tls_channel() - for a host that has joined; @identity's key is open */
int link_tls_channel(const struct address *address, const struct identity *identity,
		     struct link_tls *ret, struct error *e);

/** link_tls_good() - whether what stands was verified, and is TLS 1.3 */
bool link_tls_good(SSL *ssl);

/** link_tls_done() - one that is all zero is left alone */
void link_tls_done(struct link_tls *tls);

#define _cleanup_link_tls_ __attribute__((cleanup(link_tls_done)))

#endif /* HOST_LINKTLS_H */
