/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates as text and numbers. */
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "manager/authority_cert.h"

char *cert_to_pem(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	char *data;
	long size;

	if (bio && PEM_write_bio_X509(bio, certificate) == 1) {
		size = BIO_get_mem_data(bio, &data);
		text = strndup(data, (size_t) size);
	}
	BIO_free(bio);
	return text;
}

X509 *cert_from_pem(const char *pem, size_t size)
{
	BIO *bio = BIO_new_mem_buf(pem, (int) size);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	return certificate;
}

void cert_fingerprint(const X509 *certificate, char ret[AUTHORITY_FINGERPRINT_SIZE])
{
	uint8_t hash[SHA256_DIGEST_LENGTH] = { 0 };
	unsigned int n = sizeof(hash);

	X509_digest(certificate, EVP_sha256(), hash, &n);
	hex_encode(hash, sizeof(hash), ret);
}

void cert_serial(const X509 *certificate, char ret[AUTHORITY_SERIAL_SIZE])
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
	uint8_t raw[(AUTHORITY_SERIAL_SIZE - 1) / 2] = { 0 };

	/* Those of others may be longer: they are nobody's here. */
	if (number && BN_num_bytes(number) <= (int) sizeof(raw))
		BN_bn2binpad(number, raw, sizeof(raw));
	BN_free(number);
	hex_encode(raw, sizeof(raw), ret);
}

int64_t cert_time(const ASN1_TIME *time)
{
	struct tm tm = { 0 };

	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return 0;
	return timegm(&tm);
}
