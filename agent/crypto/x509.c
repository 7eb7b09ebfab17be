// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto/x509.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/encode.h"

int x509_no_password(char *buffer, int size, int writing, void *argument)
{
	(void) buffer;
	(void) size;
	(void) writing;
	(void) argument;
	return -1;
}

static BIO *reader(const char *pem, size_t size)
{
	return size <= INT_MAX ? BIO_new_mem_buf(pem, (int) size) : NULL;
}

X509 *x509_from_pem(const char *pem, size_t size)
{
	_cleanup_(x509_bio_freep) BIO *bio = reader(pem, size);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, x509_no_password, NULL) : NULL;

	ERR_clear_error();
	return certificate;
}

X509_REQ *x509_request_from_pem(const char *pem, size_t size)
{
	_cleanup_(x509_bio_freep) BIO *bio = reader(pem, size);

	return bio ? PEM_read_bio_X509_REQ(bio, NULL, x509_no_password, NULL) : NULL;
}

char *x509_bio_text(BIO *bio)
{
	char *data = NULL;
	long size = BIO_get_mem_data(bio, &data);

	return size > 0 ? strndup(data, (size_t) size) : NULL;
}

char *x509_to_pem(X509 *certificate)
{
	_cleanup_(x509_bio_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_X509(bio, certificate) != 1)
		return NULL;
	return x509_bio_text(bio);
}

bool x509_fingerprint(const X509 *certificate, char ret[X509_FINGERPRINT_SIZE])
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned int size = 0;

	if (X509_digest(certificate, EVP_sha256(), hash, &size) != 1 ||
	    size != (X509_FINGERPRINT_SIZE - 1) / 2)
		return false;
	hex_encode(hash, size, ret);
	return true;
}

int64_t x509_seconds(const ASN1_TIME *time)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t) timegm(&tm) : 0;
}

bool x509_extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	bool done;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	done = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

bool x509_number(X509 *certificate, const uint8_t *serial, size_t size)
{
	BIGNUM *number = BN_bin2bn(serial, (int) size, NULL);
	bool done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));

	BN_free(number);
	return done;
}
