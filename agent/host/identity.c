/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/identity.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "crypto/x509.h"

#define RENEW_S		(IDENTITY_RENEW_DAYS * 24LL * 3600)

static const char *const modes[] = {
	[MODE_INCAPABLE] = "incapable",
	[MODE_PREPARED] = "prepared",
	[MODE_SAFE] = "safe",
	[MODE_PENDING_INCAPABLE] = "pending-incapable",
};

const char *host_mode_name(enum host_mode mode)
{
	return modes[mode];
}

int host_mode_from_name(const char *name, enum host_mode *ret)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strcmp(modes[i], name) != 0)
			continue;
		*ret = (enum host_mode)i;
		return 0;
	}
	return -EINVAL;
}

void identity_done(struct identity *identity)
{
	if (!identity)
		return;
	free(identity->url);
	free(identity->ca);
	free(identity->certificate);
	secret_done(&identity->key);
	*identity = IDENTITY_NULL;
}

struct identity identity_take(struct identity *identity)
{
	struct identity taken = *identity;

	*identity = IDENTITY_NULL;
	return taken;
}

int identity_copy(const struct identity *identity, struct identity *ret, struct error *e)
{
	_cleanup_identity_ struct identity copy = *identity;

	copy.url = strdup(identity->url);
	copy.ca = strdup(identity->ca);
	copy.certificate = strdup(identity->certificate);
	copy.key = SECRET_NULL;
	if (!copy.url || !copy.ca || !copy.certificate ||
	    (identity->key.size &&
	     secret_copy(identity->key.data, identity->key.size, &copy.key) < 0))
		return error_oom(e);
	*ret = identity_take(&copy);
	return 0;
}

static int openssl_failed(struct error *e, const char *what)
{
	ERR_clear_error();
	return error_fail(e, EIO, "OpenSSL cannot %s", what);
}

static int key_to_der(EVP_PKEY *key, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret der = SECRET_NULL;
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
	unsigned char *p;
	int r = -EIO;

	if (size > 0 && size <= IDENTITY_KEY_MAX)
		r = secret_new((size_t)size, &der);
	if (r == 0) {
		p = der.data;
		r = i2d_PKCS8_PRIV_KEY_INFO(info, &p) == size ? 0 : -EIO;
	}
	PKCS8_PRIV_KEY_INFO_free(info);
	if (r < 0)
		return openssl_failed(e, "write a private key");
	*ret = secret_take(&der);
	return 0;
}

static EVP_PKEY *key_from_der(const struct secret *der)
{
	const unsigned char *p = der->data;

	return d2i_AutoPrivateKey(NULL, &p, (long)der->size);
}

static char *make_request(EVP_PKEY *key)
{
	_cleanup_(x509_request_freep) X509_REQ *request = X509_REQ_new();
	_cleanup_(x509_bio_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!request || !bio || X509_REQ_set_pubkey(request, key) != 1 ||
	    X509_REQ_sign(request, key, EVP_sha256()) <= 0 ||
	    PEM_write_bio_X509_REQ(bio, request) != 1)
		return NULL;
	return x509_bio_text(bio);
}

int identity_new_key(struct secret *ret_key, char **ret_csr, struct error *e)
{
	_cleanup_(x509_key_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_free_ char *csr = key ? make_request(key) : NULL;
	int r;

	if (!csr)
		return openssl_failed(e, "make a key and a request for a certificate");
	r = key_to_der(key, ret_key, e);
	if (r == 0)
		*ret_csr = TAKE_PTR(csr);
	return r;
}

static int refuse(struct error *e, const char *why)
{
	ERR_clear_error();
	return error_fail(e, EKEYREJECTED, "The certificate that the manager gave cannot be used: %s",
			  why);
}

/* By this authority and no other, for a client, at this time. */
static bool verifies(X509 *certificate, X509 *ca, int64_t now)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool good = store && ctx && X509_STORE_add_cert(store, ca) == 1 &&
		    X509_STORE_CTX_init(ctx, store, certificate, NULL) == 1 &&
		    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1;

	if (good)
		X509_STORE_CTX_set_time(ctx, 0, (time_t)now);
	good = good && X509_verify_cert(ctx) == 1;
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return good;
}

static bool names_host(X509 *certificate, char ret[UUID_TEXT_SIZE])
{
	uint8_t uuid[UUID_SIZE];

	/* Longer than fits is cut, and then no UUID. */
	return X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, ret,
					 UUID_TEXT_SIZE) == UUID_TEXT_SIZE - 1 &&
	       uuid_parse_text(ret, uuid) == 0;
}

int identity_certify(struct identity *identity, const char *pem, int64_t now, struct error *e)
{
	_cleanup_(x509_freep) X509 *certificate = x509_from_pem(pem, strlen(pem));
	_cleanup_(x509_freep) X509 *ca = x509_from_pem(identity->ca, strlen(identity->ca));
	_cleanup_(x509_key_freep) EVP_PKEY *key = key_from_der(&identity->key);
	_cleanup_free_ char *text = NULL;
	char host[UUID_TEXT_SIZE];

	if (!certificate || !ca || !key)
		return refuse(e, "it is none");
	if (X509_check_private_key(certificate, key) != 1)
		return refuse(e, "it is for another key than this host's");
	if (!verifies(certificate, ca, now))
		return refuse(e, "it does not come from the manager's authority, or is not valid now: compare the clocks");
	if (!names_host(certificate, host))
		return refuse(e, "it names no host");
	if (*identity->host && strcmp(identity->host, host) != 0)
		return refuse(e, "it names another host");
	text = x509_to_pem(certificate);
	if (!text)
		return error_oom(e);
	free(identity->certificate);
	identity->certificate = TAKE_PTR(text);
	identity->certificate_end = x509_seconds(X509_get0_notAfter(certificate));
	memcpy(identity->host, host, sizeof(host));
	return 0;
}

static int wrap(struct identity *identity, const struct secret *kek, struct error *e)
{
	int r;

	r = getrandom_full(identity->iv, sizeof(identity->iv));
	if (r == 0)
		r = gcm_seal(kek, identity->iv, NULL, 0, &identity->key, identity->box,
			     identity->tag);
	if (r < 0)
		return error_fail(e, r, "Cannot encrypt this host's key: %s", strerror(-r));
	identity->box_size = identity->key.size;
	identity->sealed = true;
	return 0;
}

int identity_seal(struct identity *identity, struct provider_registry *registry, struct error *e)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	struct error why = ERROR_NULL;
	int r;

	identity->sealed = false;
	r = secret_random(GCM_KEY_SIZE, &kek);
	if (r < 0)
		return error_oom(e);
	r = provider_tpm_seal(registry, &kek, &identity->tpm, &why);
	if (r == 0)
		return wrap(identity, &kek, e);
	log_notice("The key of this host's certificate is kept in a file that only root can read: %s",
		   why.text);
	return 0;
}

int identity_open(struct identity *identity, struct provider_registry *registry, struct error *e)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	int r;

	if (identity->key.size)
		return 0;
	r = provider_tpm_unseal(registry, &identity->tpm, &kek, e);
	if (r < 0)
		return error_prefix(e, "The key of this host's certificate cannot be had");
	r = gcm_open(&kek, identity->iv, NULL, 0, identity->box, identity->box_size,
		     identity->tag, &identity->key);
	if (r < 0)
		return error_fail(e, EKEYREJECTED, "The key of this host's certificate is damaged: leave the manager and join it again (vmcryptctl host leave)");
	return 0;
}

bool identity_due(const struct identity *identity, int64_t now)
{
	return identity->certificate_end - now < RENEW_S;
}
