/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/authority_cert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "crypto/x509.h"

#define SERIAL_BITS	128
/* A clock of a host may be behind ours. */
#define BACKDATE	300
#define NAME_MAX_DNS	253
#define ORGANIZATION	"vmcrypt"

/* What one kind of certificate is for. */
struct profile {
	int days;
	const char *unit;		/* OU, or NULL */
	const char *constraints;
	const char *usage;
	const char *extended;		/* or NULL */
};

static const struct profile ca_profile = {
	.days = AUTHORITY_CA_DAYS,
	.constraints = "critical,CA:TRUE,pathlen:0",
	.usage = "critical,keyCertSign,cRLSign",
};

static const struct profile server_profile = {
	.days = AUTHORITY_SERVER_DAYS,
	.unit = "manager",
	.constraints = "critical,CA:FALSE",
	.usage = "critical,digitalSignature",
	.extended = "serverAuth",
};

static const struct profile host_profile = {
	.days = AUTHORITY_HOST_DAYS,
	.unit = "host",
	.constraints = "critical,CA:FALSE",
	.usage = "critical,digitalSignature",
	.extended = "clientAuth",
};

/* The newest error of OpenSSL, in words. */
static const char *ssl_text(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return text ? text : "no reason given";
}

/* 128 random bits, with the first one set so that all are as long. */
static bool set_serial(X509 *certificate)
{
	uint8_t raw[SERIAL_BITS / 8];

	if (getrandom_full(raw, sizeof(raw)) < 0)
		return false;
	raw[0] |= 0x80;
	return x509_number(certificate, raw, sizeof(raw));
}

static bool add_part(X509_NAME *name, const char *part, const char *value)
{
	return X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, (const uint8_t *) value, -1, -1,
					  0) == 1;
}

static bool set_subject(X509 *certificate, const struct profile *profile, const char *common)
{
	X509_NAME *name = X509_get_subject_name(certificate);

	return add_part(name, "O", ORGANIZATION) &&
	       (!profile->unit || add_part(name, "OU", profile->unit)) &&
	       add_part(name, "CN", common);
}

static bool add_extensions(X509 *certificate, X509 *issuer, const struct profile *profile)
{
	return x509_extend(certificate, issuer, NID_basic_constraints, profile->constraints) &&
	       x509_extend(certificate, issuer, NID_key_usage, profile->usage) &&
	       (!profile->extended ||
		x509_extend(certificate, issuer, NID_ext_key_usage, profile->extended)) &&
	       x509_extend(certificate, issuer, NID_subject_key_identifier, "hash") &&
	       x509_extend(certificate, issuer, NID_authority_key_identifier, "keyid:always");
}

/* @ca: NULL: signs itself. Never beyond the end of its authority. */
static bool set_times(X509 *certificate, X509 *ca, int days)
{
	time_t now = time(NULL), end = now + (time_t) days * CERT_DAY;

	if (ca && x509_seconds(X509_get0_notAfter(ca)) < end)
		end = x509_seconds(X509_get0_notAfter(ca));
	return ASN1_TIME_set(X509_getm_notBefore(certificate), now - BACKDATE) &&
	       ASN1_TIME_set(X509_getm_notAfter(certificate), end);
}

static X509 *make(const struct profile *profile, const char *common, EVP_PKEY *key, X509 *ca,
		  GENERAL_NAMES *names, EVP_PKEY *signer)
{
	X509 *certificate = X509_new();

	if (certificate && X509_set_version(certificate, X509_VERSION_3) == 1 &&
	    set_serial(certificate) && set_subject(certificate, profile, common) &&
	    X509_set_issuer_name(certificate,
				 X509_get_subject_name(ca ? ca : certificate)) == 1 &&
	    X509_set_pubkey(certificate, key) == 1 && set_times(certificate, ca, profile->days) &&
	    add_extensions(certificate, ca ? ca : certificate, profile) &&
	    (!names || X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1) &&
	    X509_sign(certificate, signer, EVP_sha384()) > 0)
		return certificate;
	X509_free(certificate);
	return NULL;
}

int cert_key_new(const char *curve, EVP_PKEY **ret, struct error *e)
{
	EVP_PKEY *key = EVP_EC_gen(curve);

	erase_stack();
	if (!key)
		return error_fail(e, EIO, "Cannot make a key of curve %s: %s", curve, ssl_text());
	*ret = key;
	return 0;
}

int cert_key_to_der(EVP_PKEY *key, struct secret *ret, struct error *e)
{
	_cleanup_secret_ struct secret der = SECRET_NULL;
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1, r = 0;
	uint8_t *p;

	if (size <= 0)
		r = error_fail(e, EIO, "Cannot write a private key: %s", ssl_text());
	else if (secret_new((size_t) size, &der) < 0)
		r = error_fail(e, ENOMEM, "Cannot write a private key: no secure memory left");
	p = der.data;
	if (r == 0 && i2d_PKCS8_PRIV_KEY_INFO(info, &p) != size)
		r = error_fail(e, EIO, "Cannot write a private key: %s", ssl_text());
	PKCS8_PRIV_KEY_INFO_free(info);
	erase_stack();
	if (r < 0)
		return r;
	*ret = secret_take(&der);
	return 0;
}

int cert_key_from_der(const struct secret *der, EVP_PKEY **ret, struct error *e)
{
	const uint8_t *p = der->data;
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long) der->size);

	erase_stack();
	if (!key || p != der->data + der->size || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) {
		EVP_PKEY_free(key);
		return error_fail(e, EBADMSG, "The private key in the vault is no EC key: %s", ssl_text());
	}
	*ret = key;
	return 0;
}

static int issue(const struct profile *profile, const char *common, EVP_PKEY *key, X509 *ca,
		 GENERAL_NAMES *names, EVP_PKEY *signer, X509 **ret, struct error *e)
{
	X509 *certificate = make(profile, common, key, ca, names, signer);

	erase_stack();
	if (!certificate)
		return error_fail(e, EIO, "Cannot make the certificate of \"%s\": %s", common, ssl_text());
	*ret = certificate;
	return 0;
}

int cert_new_ca(const char *name, EVP_PKEY *key, X509 **ret, struct error *e)
{
	char common[64];	/* ub-common-name of RFC 5280 */

	snprintf(common, sizeof(common), "vmcrypt CA %.48s", name);
	return issue(&ca_profile, common, key, NULL, NULL, key, ret, e);
}

int cert_new_host(const char *host, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, X509 **ret,
		  struct error *e)
{
	return issue(&host_profile, host, key, ca, NULL, ca_key, ret, e);
}

/* Letters, digits, '-' and '.', a label of 1..63, as hosts are called (RFC 1123). */
static bool dns_valid(const char *name)
{
	size_t n = strlen(name), label = 0, i;

	if (n == 0 || n > NAME_MAX_DNS ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-") != n)
		return false;
	for (i = 0; i <= n; i++) {
		if (name[i] != '.' && name[i] != '\0') {
			label++;
			continue;
		}
		if (label == 0 || label > 63 || name[i - label] == '-' || name[i - 1] == '-')
			return false;
		label = 0;
	}
	return true;
}

static bool push_name(GENERAL_NAMES *names, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OCTET_STRING *address = a2i_IPADDRESS(text);
	ASN1_IA5STRING *dns = address ? NULL : ASN1_IA5STRING_new();

	if (name && address)
		GENERAL_NAME_set0_value(name, GEN_IPADD, address);
	else if (name && dns && ASN1_STRING_set(dns, text, -1) == 1)
		GENERAL_NAME_set0_value(name, GEN_DNS, dns);
	else
		goto failed;
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
failed:
	GENERAL_NAME_free(name);
	ASN1_OCTET_STRING_free(address);
	ASN1_IA5STRING_free(dns);
	return false;
}

static bool is_address(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static int parse_names(char *list, GENERAL_NAMES *names, struct error *e)
{
	char *rest = list, *name;

	while ((name = strsep(&rest, ","))) {
		if (!is_address(name) && !dns_valid(name))
			return error_usage(e, "\"%.64s\" is no DNS name and no IP address: write them with "
					   "commas between and without spaces", name);
		if (sk_GENERAL_NAME_num(names) >= AUTHORITY_NAMES_MAX)
			return error_usage(e, "The server has more than %d names", AUTHORITY_NAMES_MAX);
		if (!push_name(names, name))
			return error_oom(e);
	}
	return 0;
}

int cert_new_server(const char *names, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, X509 **ret,
		    struct error *e)
{
	_cleanup_free_ char *list = strdup(names);
	GENERAL_NAMES *alternatives = GENERAL_NAMES_new();
	char common[64];
	int r;

	if (!list || !alternatives) {
		GENERAL_NAMES_free(alternatives);
		return error_oom(e);
	}
	r = parse_names(list, alternatives, e);
	/* strsep() has ended the first name. The SANs count; this is for people. */
	snprintf(common, sizeof(common), "%.63s", list);
	if (r == 0)
		r = issue(&server_profile, common, key, ca, alternatives, ca_key, ret, e);
	GENERAL_NAMES_free(alternatives);
	return r;
}

/* EC on one of two curves. */
static bool key_acceptable(EVP_PKEY *key)
{
	char curve[32];
	size_t n;

	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
	    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
					   &n) != 1)
		return false;
	return strcmp(curve, "prime256v1") == 0 || strcmp(curve, "secp384r1") == 0;
}

static int check_csr(X509_REQ *csr, EVP_PKEY **ret, struct error *e)
{
	EVP_PKEY *key = csr ? X509_REQ_get0_pubkey(csr) : NULL;

	if (!csr)
		return error_set(e, EBADMSG, EXIT_USAGE, 0,
				 "This is no certificate request in PEM: %s", ssl_text());
	if (!key_acceptable(key))
		return error_set(e, EKEYREJECTED, EXIT_USAGE, 0,
				 "The key of the certificate request is not EC on P-256 or P-384: make such "
				 "a one");
	if (X509_REQ_verify(csr, key) != 1)
		return error_set(e, EKEYREJECTED, EXIT_USAGE, 0,
				 "The signature of the certificate request is wrong: its sender does not "
				 "hold the key, or it was altered");
	if (EVP_PKEY_up_ref(key) != 1)
		return error_oom(e);
	*ret = key;
	return 0;
}

int cert_csr_key(const char *csr, size_t size, EVP_PKEY **ret, struct error *e)
{
	_cleanup_(x509_request_freep) X509_REQ *request = NULL;
	int r;

	if (size > AUTHORITY_CSR_MAX)
		return error_set(e, EBADMSG, EXIT_USAGE, 0,
				 "A certificate request has at most %zu bytes", AUTHORITY_CSR_MAX);
	request = x509_request_from_pem(csr, size);
	r = check_csr(request, ret, e);
	ERR_clear_error();
	return r;
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

int cert_verify(X509 *certificate, X509 *ca, int purpose, struct error *e)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	const char *why = "out of memory";
	bool ok = false;

	if (store && ctx && X509_STORE_add_cert(store, ca) == 1 &&
	    X509_STORE_CTX_init(ctx, store, certificate, NULL) == 1 &&
	    X509_STORE_CTX_set_purpose(ctx, purpose) == 1) {
		ok = X509_verify_cert(ctx) == 1;
		why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	if (!ok)
		return error_set(e, EKEYREJECTED, EXIT_NOT_ALLOWED, 0,
				 "The certificate is not one that this manager gave out for this use: %s", why);
	return 0;
}

/* The only entry of its kind in a subject. */
static bool name_part(X509 *certificate, int nid, char *ret, int size)
{
	X509_NAME *name = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(name, nid, -1);

	return at >= 0 && X509_NAME_get_index_by_NID(name, nid, at) < 0 &&
	       X509_NAME_get_text_by_NID(name, nid, ret, size) == (int) strlen(ret);
}

int cert_host_name(X509 *certificate, char ret[UUID_TEXT_SIZE], struct error *e)
{
	char unit[16], common[64];
	uint8_t uuid[UUID_SIZE];

	if (!name_part(certificate, NID_organizationalUnitName, unit, sizeof(unit)) ||
	    strcmp(unit, host_profile.unit) != 0 ||
	    !name_part(certificate, NID_commonName, common, sizeof(common)) ||
	    uuid_parse_text(common, uuid) < 0)
		return error_set(e, EKEYREJECTED, EXIT_NOT_ALLOWED, 0,
				 "The certificate is no host's: join this host to the manager");
	uuid_format(uuid, ret);
	return 0;
}
