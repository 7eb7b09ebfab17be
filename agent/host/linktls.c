/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/linktls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "crypto/x509.h"

void link_tls_done(struct link_tls *tls)
{
	SSL_CTX_free(tls->context);
	free(tls->ca);
	*tls = (struct link_tls){ 0 };
}

/* The authority among what the server has sent; borrowed. */
static X509 *find_pinned(const struct link_tls *tls, X509_STORE_CTX *ctx)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(ctx);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int size;
	int i;

	for (i = 0; i < sk_X509_num(chain); i++) {
		X509 *certificate = sk_X509_value(chain, i);

		if (X509_digest(certificate, EVP_sha256(), digest, &size) == 1 &&
		    size == sizeof(tls->pin) && !memcmp(digest, tls->pin, size))
			return certificate;
	}
	return NULL;
}

static int verify_with(struct link_tls *tls, X509_STORE_CTX *ctx)
{
	if (X509_verify_cert(ctx) == 1)
		return 1;
	snprintf(tls->why, sizeof(tls->why), "%s",
		 X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	return 0;
}

static int verify_pinned(struct link_tls *tls, X509_STORE_CTX *ctx)
{
	X509 *ca = find_pinned(tls, ctx);
	STACK_OF(X509) *trusted = ca ? sk_X509_new_null() : NULL;
	int good = 0;

	if (!ca) {
		snprintf(tls->why, sizeof(tls->why),
			 "its authority is not the one of the token: is it another manager's, or is somebody in between?");
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
		return 0;
	}
	if (trusted && sk_X509_push(trusted, ca) > 0) {
		X509_STORE_CTX_set0_trusted_stack(ctx, trusted);
		good = verify_with(tls, ctx);
	}
	sk_X509_free(trusted);
	if (!good)
		return 0;
	free(tls->ca);
	tls->ca = x509_to_pem(ca);
	return tls->ca != NULL;
}

static int verify(X509_STORE_CTX *ctx, void *userdata)
{
	struct link_tls *tls = userdata;

	tls->why[0] = '\0';
	return tls->pinned ? verify_pinned(tls, ctx) : verify_with(tls, ctx);
}

static bool set_name(SSL_CTX *context, const struct address *address)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);

	if (address->numeric)
		return X509_VERIFY_PARAM_set1_ip_asc(param, address->name) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, address->name, 0) == 1;
}

static int make(const struct address *address, struct link_tls *tls, struct error *e)
{
	tls->context = SSL_CTX_new(TLS_client_method());
	if (!tls->context || SSL_CTX_set_min_proto_version(tls->context, TLS1_3_VERSION) != 1 ||
	    !set_name(tls->context, address)) {
		ERR_clear_error();
		return error_fail(e, EIO, "Cannot prepare TLS to the manager");
	}
	SSL_CTX_set_options(tls->context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_purpose(tls->context, X509_PURPOSE_SSL_SERVER);
	SSL_CTX_set_cert_verify_callback(tls->context, verify, tls);
	return 0;
}

int link_tls_join(const struct address *address, const uint8_t pin[JOINTOKEN_FINGERPRINT_SIZE],
		  struct link_tls *ret, struct error *e)
{
	int r;

	*ret = (struct link_tls){ .pinned = true };
	memcpy(ret->pin, pin, sizeof(ret->pin));
	r = make(address, ret, e);
	if (r < 0)
		link_tls_done(ret);
	return r;
}

static bool use_identity(SSL_CTX *context, const struct identity *identity)
{
	_cleanup_(x509_freep) X509 *ca = x509_from_pem(identity->ca, strlen(identity->ca));
	_cleanup_(x509_freep) X509 *own = x509_from_pem(identity->certificate,
							strlen(identity->certificate));
	const unsigned char *p = identity->key.data;
	_cleanup_(x509_key_freep) EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p,
								     (long)identity->key.size);

	return ca && own && key && SSL_CTX_use_certificate(context, own) == 1 &&
	       SSL_CTX_use_PrivateKey(context, key) == 1 &&
	       SSL_CTX_check_private_key(context) == 1 &&
	       X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca) == 1;
}

int link_tls_channel(const struct address *address, const struct identity *identity,
		     struct link_tls *ret, struct error *e)
{
	int r;

	*ret = (struct link_tls){ 0 };
	r = make(address, ret, e);
	if (r == 0 && !use_identity(ret->context, identity)) {
		ERR_clear_error();
		r = error_fail(e, EBADMSG, "The certificate of this host and its key cannot be used: leave the manager and join it again (vmcryptctl host leave)");
	}
	if (r < 0)
		link_tls_done(ret);
	return r;
}

bool link_tls_good(SSL *ssl)
{
	return ssl && SSL_version(ssl) == TLS1_3_VERSION && SSL_get0_peer_certificate(ssl) &&
	       SSL_get_verify_result(ssl) == X509_V_OK;
}
