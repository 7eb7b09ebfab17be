// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Client certificates in the four ways, looked at by OpenSSL itself.
 */
#include "tls_fixture.h"

#include "kmip/certificate.h"
#include "kmip/tls.h"

#define HOURS(n) ((int64_t) (n) * 3600)

/* Made once, for big primes take their time: by itself, by a CA of ours, a request */
static struct secret self_key, ca_key, request_key;
static char *self, *ca, *request;

static int make_all(void **state)
{
	struct error e = ERROR_NULL;

	(void) state;
	if (secret_init() < 0 || kmip_certificate_self_signed("vmcrypt manager", 30, &self, &self_key, &e) < 0 ||
	    kmip_certificate_authority("vmcrypt clients", 10, &ca, &ca_key, &e) < 0)
		return -1;
	return kmip_certificate_request("manager", &request, &request_key, &e);
}

static int free_all(void **state)
{
	(void) state;
	secret_done(&self_key);
	secret_done(&ca_key);
	secret_done(&request_key);
	free(self);
	free(ca);
	free(request);
	return 0;
}

static X509 *certificate_of(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	assert_non_null(certificate);
	return certificate;
}

static bool signed_by(const char *pem, const char *by)
{
	X509 *certificate = certificate_of(pem), *root = certificate_of(by);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	bool good;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(context, store, certificate, NULL);
	X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT);
	good = X509_verify_cert(context) == 1;
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	X509_free(certificate);
	X509_free(root);
	ERR_clear_error();
	return good;
}

static void self_signed(void **state)
{
	struct kmip_certificate_info info;
	struct error e = ERROR_NULL;
	int64_t now = time_now();

	(void) state;
	assert_int_equal(kmip_certificate_read(self, &info, &e), 0);
	assert_string_equal(info.subject, "CN=vmcrypt manager");
	assert_string_equal(info.issuer, info.subject);
	assert_int_equal(strlen(info.serial), 32);
	assert_true(kmip_certificate_left(&info, now) > HOURS(24 * 30) - 600);
	assert_true(kmip_certificate_left(&info, now) <= HOURS(24 * 30) + 60);
	assert_true(info.not_before <= now);
	assert_true(signed_by(self, self));
	assert_int_equal(kmip_certificate_check(self, &self_key, now, &e), 0);
	assert_int_equal(kmip_certificate_check(self, &self_key, now + HOURS(24 * 31), &e), -EKEYEXPIRED);
	assert_int_equal(kmip_certificate_check(self, &self_key, now - HOURS(24), &e), -EKEYEXPIRED);
	assert_int_equal(kmip_certificate_check(self, &request_key, now, &e), -EKEYREJECTED);
	assert_int_equal(e.status, EXIT_USAGE);
}

static void signed_by_our_authority(void **state)
{
	_cleanup_free_ char *pem = NULL, *longer = NULL;
	struct kmip_certificate_info info, ca_info;
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(kmip_certificate_sign(ca, &ca_key, request, 5, &pem, &e), 0);
	assert_true(signed_by(pem, ca));
	assert_int_equal(kmip_certificate_check(pem, &request_key, time_now(), &e), 0);
	assert_int_equal(kmip_certificate_check(ca, &ca_key, time_now(), &e), -EINVAL);
	assert_int_equal(kmip_certificate_read(pem, &info, &e), 0);
	assert_string_equal(info.subject, "CN=manager");
	assert_string_equal(info.issuer, "CN=vmcrypt clients");
	assert_int_equal(kmip_certificate_sign(ca, &ca_key, request, 3650, &longer, &e), 0);
	assert_int_equal(kmip_certificate_read(longer, &info, &e), 0);
	assert_int_equal(kmip_certificate_read(ca, &ca_info, &e), 0);
	assert_int_equal(info.not_after, ca_info.not_after);
}

static void what_is_not_signed(void **state)
{
	_cleanup_free_ char *pem = NULL, *bad = strdup(request);
	struct error e = ERROR_NULL;
	char *middle;

	(void) state;
	assert_int_equal(kmip_certificate_sign(ca, &request_key, request, 5, &pem, &e), -EINVAL);
	assert_int_equal(kmip_certificate_sign(self, &self_key, request, 5, &pem, &e), -EINVAL);
	assert_int_equal(kmip_certificate_sign(ca, &ca_key, request, 0, &pem, &e), -EINVAL);
	assert_int_equal(kmip_certificate_sign(ca, &ca_key, ca, 5, &pem, &e), -EBADMSG);
	/* One character of the public key, so that its signature is not that of its key */
	middle = bad + strlen(bad) / 3;
	*middle = *middle == 'A' ? 'B' : 'A';
	assert_int_equal(kmip_certificate_sign(ca, &ca_key, bad, 5, &pem, &e), -EBADMSG);
	assert_int_equal(e.status, EXIT_USAGE);
	assert_null(pem);
}

static struct secret pem_key_of(EVP_PKEY *key, const char *password)
{
	struct secret text = SECRET_NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;
	long size;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, password ? EVP_aes_128_cbc() : NULL, password,
						       password ? (int) strlen(password) : 0, NULL, NULL), 1);
	size = BIO_get_mem_data(bio, &data);
	assert_int_equal(secret_copy(data, (size_t) size, &text), 0);
	BIO_free(bio);
	return text;
}

static void made_elsewhere(void **state)
{
	struct party root = party_new(NULL, "EC", NULL, -DAY, DAY);
	struct party client = party_new(&root, "RSA", NULL, -DAY, DAY);
	_cleanup_secret_ struct secret pem = pem_key_of(client.key, NULL), locked = pem_key_of(client.key, "secret");
	_cleanup_secret_ struct secret from_pem = SECRET_NULL, from_der = SECRET_NULL, none = SECRET_NULL;
	struct error e = ERROR_NULL;

	(void) state;
	assert_int_equal(kmip_certificate_key(&pem, &from_pem, &e), 0);
	assert_int_equal(kmip_certificate_key(&client.der, &from_der, &e), 0);
	assert_true(secret_equal(&from_pem, &from_der));
	assert_int_equal(kmip_certificate_check(client.pem, &from_pem, time_now(), &e), 0);
	assert_int_equal(kmip_certificate_key(&locked, &none, &e), -EBADMSG);
	secret_shrink(&pem, pem.size / 2);
	assert_int_equal(kmip_certificate_key(&pem, &none, &e), -EBADMSG);
	assert_int_equal(kmip_certificate_key(&SECRET_NULL, &none, &e), -EBADMSG);
	assert_int_equal(none.size, 0);
	party_done(&client);
	party_done(&root);
}

static void wrong_wishes(void **state)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	struct kmip_certificate_info info;
	_cleanup_free_ char *pem = NULL;
	struct error e = ERROR_NULL;
	char name[66];

	(void) state;
	memset(name, 'a', 65);
	name[65] = '\0';
	assert_int_equal(kmip_certificate_self_signed("", 30, &pem, &key, &e), -EINVAL);
	assert_int_equal(kmip_certificate_self_signed(name, 30, &pem, &key, &e), -EINVAL);
	assert_int_equal(kmip_certificate_self_signed("a", 0, &pem, &key, &e), -EINVAL);
	assert_int_equal(kmip_certificate_self_signed("a", 3651, &pem, &key, &e), -EINVAL);
	assert_int_equal(kmip_certificate_request("", &pem, &key, &e), -EINVAL);
	assert_int_equal(e.status, EXIT_USAGE);
	assert_int_equal(kmip_certificate_read("no certificate", &info, &e), -EBADMSG);
	assert_int_equal(kmip_certificate_check("", &key, 0, &e), -EBADMSG);
	assert_null(pem);
}

/* A server that trusts the self-signed certificate takes the client. */
static void goes_with_tls(void **state)
{
	struct party root = party_new(NULL, "EC", NULL, -DAY, DAY);
	struct party server = party_new(&root, "EC", "IP:127.0.0.1", -DAY, DAY);
	struct party clients = { .key = NULL };
	struct tls_server s = { .party = &server, .clients = &clients, .version = TLS1_2_VERSION };
	struct kmip_tls_settings settings;
	struct error e = ERROR_NULL;
	struct kmip_tls *tls = NULL;

	(void) state;
	clients.certificate = certificate_of(self);
	server_start(&s);
	settings = (struct kmip_tls_settings) {
		.host = "127.0.0.1", .port = s.port, .ca = root.pem, .certificate = self, .key = &self_key,
	};
	assert_int_equal(kmip_tls_connect(&settings, kmip_deadline(30000), &tls, &e), 0);
	kmip_tls_close(tls);
	server_stop(&s);
	X509_free(clients.certificate);
	party_done(&server);
	party_done(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(self_signed),
		cmocka_unit_test(signed_by_our_authority),
		cmocka_unit_test(what_is_not_signed),
		cmocka_unit_test(made_elsewhere),
		cmocka_unit_test(wrong_wishes),
		cmocka_unit_test(goes_with_tls),
	};

	return cmocka_run_group_tests(tests, make_all, free_all);
}
