// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "crypto/x509.h"

#define KEY_BITS 3072
#define KEY_MAX ((size_t) 16 * 1024)
#define SERIAL_SIZE 16
#define NAME_MAX_LENGTH 64
#define DAYS_MAX 3650
#define DAY ((int64_t) 24 * 3600)
/* Clocks differ: a new certificate is valid from a little before. */
#define CLOCKS_DIFFER ((int64_t) 3600)

static int crypto_failed(struct error *e, const char *what)
{
	ERR_clear_error();
	return error_fail(e, EIO, "%s: the cryptographic library failed; check its configuration", what);
}

static X509 *parse_certificate(const char *pem, struct error *e)
{
	size_t size = strnlen(pem, KMIP_CERTIFICATE_MAX + 1);
	X509 *certificate = size <= KMIP_CERTIFICATE_MAX ? x509_from_pem(pem, size) : NULL;

	if (!certificate)
		(void) error_set(e, EBADMSG, EXIT_USAGE, 0,
				 "Reading a certificate: there is none in PEM, or it is damaged; give one that begins with -----BEGIN CERTIFICATE-----");
	return certificate;
}

static EVP_PKEY *parse_key(const struct secret *der)
{
	const unsigned char *at = der->data;
	EVP_PKEY *key = der->size ? d2i_AutoPrivateKey(NULL, &at, (long) der->size) : NULL;

	erase_stack();
	ERR_clear_error();
	return key;
}

static int key_to_secret(const EVP_PKEY *key, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret der = SECRET_NULL;
	int size = i2d_PrivateKey(key, NULL);
	unsigned char *at;

	if (size <= 0 || (size_t) size > KEY_MAX)
		return crypto_failed(e, "Writing a private key");
	if (secret_new((size_t) size, &der) < 0)
		return error_oom(e);
	at = der.data;
	size = i2d_PrivateKey(key, &at);
	erase_stack();
	if (size <= 0 || (size_t) size > der.size)
		return crypto_failed(e, "Writing a private key");
	secret_shrink(&der, (size_t) size);
	*ret = secret_take(&der);
	return 0;
}

static int write_name(const X509_NAME *name, char ret[KMIP_CERTIFICATE_NAME_SIZE])
{
	_cleanup_(x509_bio_freep) BIO *bio = BIO_new(BIO_s_mem());
	int n;

	if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
		return -ENOMEM;
	n = BIO_read(bio, ret, KMIP_CERTIFICATE_NAME_SIZE - 1);
	ret[n > 0 ? n : 0] = '\0';
	return 0;
}

int kmip_certificate_read(const char *pem, struct kmip_certificate_info *ret, struct error *e)
{
	_cleanup_(x509_freep) X509 *certificate = parse_certificate(pem, e);
	struct kmip_certificate_info info = { .serial = "" };
	const ASN1_INTEGER *serial;

	if (!certificate)
		return -EBADMSG;
	serial = X509_get0_serialNumber(certificate);
	if (ASN1_STRING_length(serial) * 2 < KMIP_SERIAL_SIZE)
		hex_encode(ASN1_STRING_get0_data(serial), (size_t) ASN1_STRING_length(serial), info.serial);
	if (!x509_fingerprint(certificate, info.fingerprint))
		return crypto_failed(e, "Reading a certificate");
	if (write_name(X509_get_subject_name(certificate), info.subject) < 0 ||
	    write_name(X509_get_issuer_name(certificate), info.issuer) < 0)
		return error_oom(e);
	info.not_before = x509_seconds(X509_get0_notBefore(certificate));
	info.not_after = x509_seconds(X509_get0_notAfter(certificate));
	*ret = info;
	return 0;
}

int64_t kmip_certificate_left(const struct kmip_certificate_info *info, int64_t now)
{
	return info->not_after - now;
}

static int check_wishes(const char *name, unsigned int days, struct error *e)
{
	size_t size = strnlen(name, NAME_MAX_LENGTH + 1);

	if (size == 0 || size > NAME_MAX_LENGTH)
		return error_usage(e, "A client certificate needs a name of 1 to %d bytes", NAME_MAX_LENGTH);
	if (days == 0 || days > DAYS_MAX)
		return error_usage(e, "A client certificate is valid for 1 to %d days", DAYS_MAX);
	return 0;
}

static EVP_PKEY *new_key(struct error *e)
{
	EVP_PKEY *key = EVP_RSA_gen(KEY_BITS);

	erase_stack();
	if (!key)
		(void) crypto_failed(e, "Making a private key");
	return key;
}

static bool name_it(X509_NAME *name, const char *common)
{
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *) common, -1, -1, 0) == 1;
}

static bool extend_all(X509 *certificate, X509 *issuer, bool authority)
{
	if (authority)
		return x509_extend(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		       x509_extend(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		       x509_extend(certificate, issuer, NID_subject_key_identifier, "hash");
	return x509_extend(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
	       x509_extend(certificate, issuer, NID_key_usage, "critical,digitalSignature,keyEncipherment") &&
	       x509_extend(certificate, issuer, NID_ext_key_usage, "clientAuth") &&
	       x509_extend(certificate, issuer, NID_subject_key_identifier, "hash");
}

/* Positive, and never shorter than it should be. */
static bool number_it(X509 *certificate)
{
	uint8_t serial[SERIAL_SIZE];

	if (getrandom_full(serial, sizeof(serial)) < 0)
		return false;
	serial[0] = (uint8_t) ((serial[0] & 0x7f) | 0x40);
	return x509_number(certificate, serial, sizeof(serial));
}

/* Return: 0 or -ENOMEM. */
static int give_pem(char *pem, char **ret, struct error *e)
{
	if (!pem)
		return error_oom(e);
	*ret = pem;
	return 0;
}

/**
 * struct issue - a certificate to be made
 * @issuer: NULL: itself
 * @signer: the key of @issuer
 * @end: the latest that it may end, seconds since 1970
 */
struct issue {
	X509 *issuer;
	EVP_PKEY *signer;
	EVP_PKEY *key;
	const X509_NAME *subject;
	unsigned int days;
	int64_t end;
	bool authority;
};

static X509 *issue(const struct issue *wanted, struct error *e)
{
	_cleanup_(x509_freep) X509 *x = X509_new();
	X509 *issuer = wanted->issuer ? wanted->issuer : x;
	int64_t now = time_now(), end = now + wanted->days * DAY;

	if (end > wanted->end)
		end = wanted->end;
	if (!x || !X509_set_version(x, X509_VERSION_3) || !number_it(x) ||
	    !ASN1_TIME_set(X509_getm_notBefore(x), (time_t) (now - CLOCKS_DIFFER)) ||
	    !ASN1_TIME_set(X509_getm_notAfter(x), (time_t) end) ||
	    !X509_set_subject_name(x, wanted->subject) ||
	    !X509_set_issuer_name(x, X509_get_subject_name(issuer)) ||
	    !X509_set_pubkey(x, wanted->key) || !extend_all(x, issuer, wanted->authority) ||
	    (wanted->issuer && !x509_extend(x, issuer, NID_authority_key_identifier, "keyid")) ||
	    X509_sign(x, wanted->signer, EVP_sha256()) <= 0) {
		(void) crypto_failed(e, "Making a certificate");
		return NULL;
	}
	return TAKE_PTR(x);
}

static void cleanup_name(X509_NAME **name)
{
	X509_NAME_free(*name);
}

static int by_itself(const char *name, unsigned int days, bool authority, char **ret_pem,
		     struct secret *ret_key, struct error *e)
{
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	_cleanup_(x509_freep) X509 *certificate = NULL;
	_cleanup_(cleanup_name) X509_NAME *subject = NULL;
	_cleanup_secret_ struct secret der = SECRET_NULL;
	int r;

	r = check_wishes(name, days, e);
	if (r < 0)
		return r;
	key = new_key(e);
	if (!key)
		return -EIO;
	subject = X509_NAME_new();
	if (!subject || !name_it(subject, name))
		return error_usage(e, "A client certificate's name has to be UTF-8");
	certificate = issue(&(struct issue) { .signer = key, .key = key, .subject = subject, .days = days,
					      .end = INT64_MAX, .authority = authority }, e);
	if (!certificate)
		return -EIO;
	r = key_to_secret(key, &der, e);
	if (r == 0)
		r = give_pem(x509_to_pem(certificate), ret_pem, e);
	if (r == 0)
		*ret_key = secret_take(&der);
	return r;
}

int kmip_certificate_self_signed(const char *name, unsigned int days, char **ret_pem,
				 struct secret *ret_key, struct error *e)
{
	return by_itself(name, days, /* authority= */ false, ret_pem, ret_key, e);
}

int kmip_certificate_authority(const char *name, unsigned int days, char **ret_pem,
			       struct secret *ret_key, struct error *e)
{
	return by_itself(name, days, /* authority= */ true, ret_pem, ret_key, e);
}

int kmip_certificate_request(const char *name, char **ret_pem, struct secret *ret_key,
			     struct error *e)
{
	_cleanup_(x509_request_freep) X509_REQ *request = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;
	_cleanup_(x509_bio_freep) BIO *bio = NULL;
	_cleanup_secret_ struct secret der = SECRET_NULL;
	int r;

	r = check_wishes(name, /* days= */ 1, e);
	if (r < 0)
		return r;
	key = new_key(e);
	if (!key)
		return -EIO;
	request = X509_REQ_new();
	bio = BIO_new(BIO_s_mem());
	if (!request || !bio)
		return error_oom(e);
	if (!name_it(X509_REQ_get_subject_name(request), name))
		return error_usage(e, "A client certificate's name has to be UTF-8");
	if (!X509_REQ_set_version(request, X509_REQ_VERSION_1) || !X509_REQ_set_pubkey(request, key) ||
	    X509_REQ_sign(request, key, EVP_sha256()) <= 0 || PEM_write_bio_X509_REQ(bio, request) != 1)
		return crypto_failed(e, "Making a request for a certificate");
	r = key_to_secret(key, &der, e);
	if (r == 0)
		r = give_pem(x509_bio_text(bio), ret_pem, e);
	if (r == 0)
		*ret_key = secret_take(&der);
	return r;
}

static X509_REQ *parse_request(const char *pem, struct error *e)
{
	size_t size = strnlen(pem, KMIP_CERTIFICATE_MAX + 1);
	_cleanup_(x509_request_freep) X509_REQ *request = NULL;

	if (size <= KMIP_CERTIFICATE_MAX)
		request = x509_request_from_pem(pem, size);
	if (request && X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1)
		return TAKE_PTR(request);
	ERR_clear_error();
	(void) error_set(e, EBADMSG, EXIT_USAGE, 0,
			 "Signing a client certificate: there is no request in PEM, it is damaged, or not signed by its own key");
	return NULL;
}

int kmip_certificate_sign(const char *ca_pem, const struct secret *ca_key, const char *request,
			  unsigned int days, char **ret_pem, struct error *e)
{
	_cleanup_(x509_request_freep) X509_REQ *req = NULL;
	_cleanup_(x509_freep) X509 *ca = NULL, *certificate = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *signer = NULL;
	int64_t end;

	if (days == 0 || days > DAYS_MAX)
		return error_usage(e, "A client certificate is valid for 1 to %d days", DAYS_MAX);
	req = parse_request(request, e);
	if (!req)
		return -EBADMSG;
	ca = parse_certificate(ca_pem, e);
	if (!ca)
		return -EBADMSG;
	signer = parse_key(ca_key);
	end = x509_seconds(X509_get0_notAfter(ca));
	if (!signer || X509_check_private_key(ca, signer) != 1 || X509_check_ca(ca) != 1 || end <= time_now()) {
		ERR_clear_error();
		return error_usage(e, "Signing a client certificate: the CA is none, has expired, or its key is another one; make a new CA");
	}
	certificate = issue(&(struct issue) { .issuer = ca, .signer = signer, .key = X509_REQ_get0_pubkey(req),
					      .subject = X509_REQ_get_subject_name(req), .days = days,
					      .end = end }, e);
	return certificate ? give_pem(x509_to_pem(certificate), ret_pem, e) : -EIO;
}

int kmip_certificate_key(const struct secret *text, struct secret *ret, struct error *e)
{
	_cleanup_(x509_bio_freep) BIO *bio = NULL;
	_cleanup_(x509_key_freep) EVP_PKEY *key = NULL;

	if (text->size && text->size <= KEY_MAX) {
		key = parse_key(text);
		bio = key ? NULL : BIO_new_mem_buf(text->data, (int) text->size);
		if (bio)
			key = PEM_read_bio_PrivateKey_ex(bio, NULL, x509_no_password, NULL, NULL, NULL);
		erase_stack();
	}
	ERR_clear_error();
	if (!key)
		return error_set(e, EBADMSG, EXIT_USAGE, 0,
				 "Reading a private key: there is none in PEM or DER, it is damaged, or it has a password; give one without");
	return key_to_secret(key, ret, e);
}

int kmip_certificate_check(const char *pem, const struct secret *key, int64_t now,
			   struct error *e)
{
	_cleanup_(x509_freep) X509 *certificate = parse_certificate(pem, e);
	_cleanup_(x509_key_freep) EVP_PKEY *ours = NULL;
	char since[TIME_TEXT_SIZE], until[TIME_TEXT_SIZE];
	int64_t begin, end;

	if (!certificate)
		return -EBADMSG;
	ours = parse_key(key);
	if (!ours || X509_check_private_key(certificate, ours) != 1) {
		ERR_clear_error();
		return error_set(e, EKEYREJECTED, EXIT_USAGE, 0,
				 "The certificate belongs to another key than the one that is kept here: have it made from the last request");
	}
	begin = x509_seconds(X509_get0_notBefore(certificate));
	end = x509_seconds(X509_get0_notAfter(certificate));
	time_format(begin, since);
	time_format(end, until);
	if (now < begin || now > end)
		return error_set(e, EKEYEXPIRED, EXIT_USAGE, 0,
				 "The certificate is valid from %s to %s, which is not now; give another one",
				 since, until);
	if (X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, /* ca= */ 0) != 1)
		return error_usage(e, "The certificate is not meant for TLS clients (extended key usage): have one made that is");
	return 0;
}
