/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/web_tls.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "crypto/x509.h"

static const char ciphers[] =
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256";

/* Judges one certificate of a client's chain: whoever issued it is not asked here,
 * but it has to be valid now. */
static int verify(int preverify_ok, X509_STORE_CTX *store)
{
	if (preverify_ok)
		return 1;
	switch (X509_STORE_CTX_get_error(store)) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return 1;
	default:
		return 0;
	}
}

int web_tls_setup(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
			    SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
			    SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, verify);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
		return -EINVAL;
	return 0;
}

_Static_assert(HTTP_FINGERPRINT_SIZE == X509_FINGERPRINT_SIZE, "both are a SHA-256 in hex");

void web_tls_fingerprint(SSL *ssl, char ret[HTTP_FINGERPRINT_SIZE])
{
	X509 *certificate = ssl ? SSL_get1_peer_certificate(ssl) : NULL;

	if (!certificate || !x509_fingerprint(certificate, ret))
		ret[0] = '\0';
	X509_free(certificate);
}
