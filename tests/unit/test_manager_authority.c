// SPDX-License-Identifier: LGPL-2.1-or-later
/* The authority's certificates, held against OpenSSL's own verification. */
#include "manager_fixture.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/json.h"
#include "crypto/x509.h"
#include "manager/authority.h"
#include "manager/authority_cert.h"
#include "manager/certificates.h"
#include "manager/keys_watch.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/vault.h"

#define HOST "0b7d3a5e-1111-4222-8333-444455556666"

static struct vault *vault;
static struct authority *authority;

static int setup(void **state)
{
	const struct vault_settings settings = { .dir = dir };

	fixture_setup(state);
	must(vault_create(&settings, VAULT_FROM_KEY_FILE, &e));
	must(vault_open(&settings, &vault, &e));
	must(authority_init(store, vault, "manager.example", &e));
	must(authority_load(store, vault, &authority, &e));
	must(authority_issue_server(authority, "manager.example,10.1.2.3,fd00::1", &e));
	return 0;
}

static int teardown(void **state)
{
	authority_free(authority);
	vault_free(vault);
	return fixture_teardown(state);
}

#define authority_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static X509 *read_pem(const char *pem)
{
	X509 *certificate = x509_from_pem(pem, strlen(pem));

	assert_non_null(certificate);
	return certificate;
}

static X509 *server_certificate(void)
{
	_cleanup_free_ char *pem = NULL;

	must(authority_server(authority, &pem, NULL, &e));
	return read_pem(pem);
}

/* A request of @key, as a host would write it, for a subject it would like. */
static char *make_csr(EVP_PKEY *key, EVP_PKEY *signer)
{
	X509_REQ *csr = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *data;
	long size;

	assert_int_equal(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(csr), "CN", MBSTRING_UTF8,
						    (const uint8_t *) "administrator", -1, -1, 0), 1);
	assert_int_equal(X509_REQ_set_pubkey(csr, key), 1);
	assert_true(X509_REQ_sign(csr, signer, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509_REQ(bio, csr), 1);
	size = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t) size);
	BIO_free(bio);
	X509_REQ_free(csr);
	return text;
}

static X509 *issue(EVP_PKEY *key, const char *host)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	_cleanup_free_ char *csr = make_csr(key, key);

	must(authority_issue_host(authority, host, csr, strlen(csr), &issued, &e));
	return read_pem(issued.pem);
}

/* OpenSSL's own verdict, by a store that knows the authority alone. */
static int verify(X509 *certificate, const char *ca_pem, int purpose, const char *name,
		  const char *address, int64_t at)
{
	X509 *ca = read_pem(ca_pem);
	X509_STORE *trusted = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	int result;

	assert_int_equal(X509_STORE_add_cert(trusted, ca), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, trusted, certificate, NULL), 1);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_purpose(param, purpose);
	if (name)
		X509_VERIFY_PARAM_set1_host(param, name, 0);
	if (address)
		X509_VERIFY_PARAM_set1_ip_asc(param, address);
	if (at)
		X509_VERIFY_PARAM_set_time(param, at);
	X509_verify_cert(ctx);
	result = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(trusted);
	X509_free(ca);
	return result;
}

static int verify_server(X509 *server, const char *name, const char *address)
{
	return verify(server, authority_pem(authority), X509_PURPOSE_SSL_SERVER, name, address, 0);
}

static void the_servers_names(void **state)
{
	X509 *server = server_certificate();

	(void) state;
	assert_int_equal(verify_server(server, "manager.example", NULL), X509_V_OK);
	assert_int_equal(verify_server(server, NULL, "10.1.2.3"), X509_V_OK);
	assert_int_equal(verify_server(server, NULL, "fd00::1"), X509_V_OK);
	assert_int_equal(verify_server(server, "other.example", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(verify_server(server, NULL, "10.1.2.4"), X509_V_ERR_IP_ADDRESS_MISMATCH);
	assert_int_equal(verify(server, authority_pem(authority), X509_PURPOSE_SSL_CLIENT, NULL, NULL, 0),
			 X509_V_ERR_INVALID_PURPOSE);
	X509_free(server);
}

static void names_that_are_none(void **state)
{
	static const char *const bad[] = {
		"", "a,", ",a", "a b", "a, b", "-a", "a-", "a..b", "DNS:a", "a\nb", "*.example",
		"10.1.2.3/8", "fd00::1::2", "a=b",
	};
	char many[17 * 3];
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		must_fail(authority_issue_server(authority, bad[i], &e), -EINVAL, "no DNS name");
	for (i = 0; i < 17; i++)
		snprintf(many + 2 * i, 3, "%s", i < 16 ? "a," : "a");
	must_fail(authority_issue_server(authority, many, &e), -EINVAL, "more than 16");
	assert_int_equal(e.status, EXIT_USAGE);
}

static void a_hosts_certificate(void **state)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_free_ char *csr = make_csr(key, key);
	char host[UUID_TEXT_SIZE], serial[AUTHORITY_SERIAL_SIZE], fingerprint[65], subject[256];
	X509 *certificate;

	(void) state;
	must(authority_issue_host(authority, HOST, csr, strlen(csr), &issued, &e));
	certificate = read_pem(issued.pem);
	assert_int_equal(verify(certificate, authority_pem(authority), X509_PURPOSE_SSL_CLIENT, NULL, NULL,
				0), X509_V_OK);
	assert_int_equal(verify(certificate, authority_pem(authority), X509_PURPOSE_SSL_SERVER, NULL, NULL,
				0), X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(verify(certificate, authority_pem(authority), X509_PURPOSE_SSL_CLIENT, NULL, NULL,
				issued.not_after + 1), X509_V_ERR_CERT_HAS_EXPIRED);
	/* The key of the request and nothing else of it. */
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), key), 1);
	X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof(subject));
	assert_string_equal(subject, "/O=vmcrypt/OU=host/CN=" HOST);
	assert_int_equal(X509_check_ca(certificate), 0);
	must(authority_host_identity(authority, certificate, host, serial, &e));
	assert_string_equal(host, HOST);
	assert_string_equal(serial, issued.serial);
	assert_true(x509_fingerprint(certificate, fingerprint));
	assert_string_equal(fingerprint, issued.fingerprint);
	assert_int_equal(strlen(serial), 32);
	assert_true(issued.not_after - time_now() <= 90 * 86400);
	assert_true(issued.not_after - time_now() > 90 * 86400 - 600);
	assert_true(issued.not_before <= time_now());
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void serials_differ(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char one[AUTHORITY_SERIAL_SIZE], two[AUTHORITY_SERIAL_SIZE];
	X509 *first = issue(key, HOST), *second = issue(key, HOST);

	(void) state;
	cert_serial(first, one);
	cert_serial(second, two);
	assert_string_not_equal(one, two);
	X509_free(first);
	X509_free(second);
	EVP_PKEY_free(key);
}

static void when_to_renew(void **state)
{
	int64_t end = 1000000000, day = 86400;

	(void) state;
	assert_false(authority_due(end, end - 30 * day - 1));
	assert_true(authority_due(end, end - 30 * day));
	assert_true(authority_due(end, end + 1));
}

static void refuse_csr(const char *csr, size_t size, int code, const char *part)
{
	struct authority_certificate issued = { .pem = NULL };

	must_fail(authority_issue_host(authority, HOST, csr, size, &issued, &e), code, part);
	assert_int_equal(e.status, EXIT_USAGE);
	assert_null(issued.pem);
}

static void requests_that_are_refused(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *large = EVP_EC_gen("P-521");
	_cleanup_free_ char *good = make_csr(key, key), *foreign = make_csr(key, other);
	_cleanup_free_ char *with_rsa = make_csr(rsa, rsa), *with_521 = make_csr(large, large);
	_cleanup_free_ char *long_one = calloc(1, AUTHORITY_CSR_MAX + 2);
	struct authority_certificate issued = { .pem = NULL };

	(void) state;
	refuse_csr(foreign, strlen(foreign), -EKEYREJECTED, "signature");
	refuse_csr(with_rsa, strlen(with_rsa), -EKEYREJECTED, "P-256");
	refuse_csr(with_521, strlen(with_521), -EKEYREJECTED, "P-256");
	refuse_csr("", 0, -EBADMSG, "no certificate request");
	refuse_csr(good, strlen(good) / 2, -EBADMSG, "no certificate request");
	memset(long_one, 'a', AUTHORITY_CSR_MAX + 1);
	refuse_csr(long_one, AUTHORITY_CSR_MAX + 1, -EBADMSG, "at most");
	must_fail(authority_issue_host(authority, "host", good, strlen(good), &issued, &e), -EINVAL,
		  "UUID");
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(large);
}

static void strangers_are_no_hosts(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *fake_key = EVP_EC_gen("P-384");
	X509 *fake_ca, *fake, *server = server_certificate(), *odd;
	char host[UUID_TEXT_SIZE];

	(void) state;
	/* An authority of the same name with another key. */
	must(cert_new_ca("manager.example", fake_key, &fake_ca, &e));
	must(cert_new_host(HOST, key, fake_ca, fake_key, &fake, &e));
	must_fail(authority_host_identity(authority, fake, host, NULL, &e), -EKEYREJECTED,
		  "not one that this manager gave out");
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
	must_fail(authority_host_identity(authority, server, host, NULL, &e), -EKEYREJECTED,
		  "for this use");
	must(cert_new_host("not-a-uuid", key, fake_ca, fake_key, &odd, &e));
	must_fail(cert_host_name(odd, host, &e), -EKEYREJECTED, "no host's");
	X509_free(odd);
	X509_free(server);
	X509_free(fake);
	X509_free(fake_ca);
	EVP_PKEY_free(fake_key);
	EVP_PKEY_free(key);
}

static void loaded_again(void **state)
{
	const struct vault_settings settings = { .dir = dir };
	char before[65], after[65];
	X509 *one, *two;
	bool renewed;

	(void) state;
	must_fail(authority_init(store, vault, "again", &e), -EEXIST, "already");
	authority_fingerprint(authority, before);
	one = server_certificate();
	authority_free(authority);
	authority = NULL;
	vault_free(vault);
	must(vault_open(&settings, &vault, &e));
	must(authority_load(store, vault, &authority, &e));
	authority_fingerprint(authority, after);
	assert_string_equal(before, after);
	two = server_certificate();
	assert_int_equal(X509_cmp(one, two), 0);
	X509_free(two);
	/* Renewed when it is due, for the same names. */
	must(authority_renew_server(authority, time_now(), &renewed, &e));
	assert_false(renewed);
	must(authority_renew_server(authority, time_now() + (int64_t) 370 * 86400, &renewed, &e));
	assert_true(renewed);
	two = server_certificate();
	assert_int_not_equal(X509_cmp(one, two), 0);
	assert_int_equal(verify_server(two, NULL, "fd00::1"), X509_V_OK);
	X509_free(one);
	X509_free(two);
}

static void a_foreign_key_is_refused(void **state)
{
	_cleanup_json_ json_t *ca = NULL, *sealed = NULL;
	_cleanup_secret_ struct secret der = SECRET_NULL;
	EVP_PKEY *key = EVP_EC_gen("P-384");
	struct authority *second = NULL;

	(void) state;
	must(cert_key_to_der(key, &der, &e));
	must(vault_seal(vault, "authority|ca|key", &der, &sealed, &e));
	must(store_get(store, "authority", "ca", &ca, &e));
	json_object_set(ca, "key", sealed);
	must(store_update(store, "authority", "ca", ca, &e));
	must_fail(authority_load(store, vault, &second, &e), -EBADMSG, "belong together");
	/* A key that was sealed for another place does not open in this one. */
	json_decref(sealed);
	sealed = NULL;
	must(vault_seal(vault, "authority|server|key", &der, &sealed, &e));
	json_object_set(ca, "key", sealed);
	must(store_update(store, "authority", "ca", ca, &e));
	must_fail(authority_load(store, vault, &second, &e), -EBADMSG, "another place");
	assert_null(second);
	EVP_PKEY_free(key);
}

/* A handshake in memory: TLS 1.3, both sides with the authority's certificates. */
static int shake(SSL_CTX *server_ctx, SSL_CTX *client_ctx, X509 **ret_peer)
{
	SSL *server = SSL_new(server_ctx), *client = SSL_new(client_ctx);
	BIO *a, *b;
	int i, s = 0, c = 0;

	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	for (i = 0; i < 20 && (s != 1 || c != 1); i++) {
		c = SSL_do_handshake(client);
		s = SSL_do_handshake(server);
	}
	*ret_peer = s == 1 ? SSL_get1_peer_certificate(server) : NULL;
	SSL_free(server);
	SSL_free(client);
	ERR_clear_error();
	return s == 1 && c == 1 ? 0 : -EPROTO;
}

static SSL_CTX *client_context(X509 *certificate, EVP_PKEY *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	X509 *ca = read_pem(authority_pem(authority));

	X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca);
	X509_free(ca);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	assert_int_equal(X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(ctx), "manager.example", 0), 1);
	assert_int_equal(SSL_CTX_use_certificate(ctx, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	return ctx;
}

static void both_ends_of_tls(void **state)
{
	SSL_CTX *server = SSL_CTX_new(TLS_server_method()), *client;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *fake_key = EVP_EC_gen("P-384");
	X509 *certificate = issue(key, HOST), *peer, *fake_ca, *fake;
	char host[UUID_TEXT_SIZE];

	(void) state;
	must(authority_use(authority, server, &e));
	SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_min_proto_version(server, TLS1_3_VERSION);
	client = client_context(certificate, key);
	assert_int_equal(shake(server, client, &peer), 0);
	must(authority_host_identity(authority, peer, host, NULL, &e));
	assert_string_equal(host, HOST);
	X509_free(peer);
	SSL_CTX_free(client);

	must(cert_new_ca("manager.example", fake_key, &fake_ca, &e));
	must(cert_new_host(HOST, key, fake_ca, fake_key, &fake, &e));
	client = client_context(fake, key);
	assert_int_equal(shake(server, client, &peer), -EPROTO);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	X509_free(fake);
	X509_free(fake_ca);
	X509_free(certificate);
	EVP_PKEY_free(key);
	EVP_PKEY_free(fake_key);
}

/* What lies on the disk shows no private key. */
static void no_key_in_the_store(void **state)
{
	_cleanup_secret_ struct secret der = SECRET_NULL;
	_cleanup_json_ json_t *list = NULL;
	_cleanup_free_ char *text = NULL, *base64 = NULL;

	(void) state;
	must(authority_server(authority, NULL, &der, &e));
	must(store_list(store, "authority", NULL, NULL, &list, &e));
	assert_int_equal(json_array_size(list), 2);
	text = json_dumps(list, 0);
	assert_null(strstr(text, "PRIVATE"));
	base64 = malloc(BASE64_SIZE(der.size));
	base64_encode(der.data, der.size, base64);
	base64[24] = '\0';
	assert_null(strstr(text, base64));
}

static void add_host(const char *id, const char *name, int64_t end)
{
	char until[TIME_TEXT_SIZE];
	_cleanup_json_ json_t *host = NULL;

	time_format(end, until);
	host = json_pack("{s:s, s:s}", "name", name, "certificate_end", until);
	must(store_insert(store, "host", id, host, &e));
}

static int take_row(const json_t *row, void *userdata)
{
	return json_array_append((json_t *) userdata, (json_t *) row);
}

static size_t warnings_at(struct manager *m, int64_t now)
{
	_cleanup_json_ json_t *list = NULL;

	must(certificates_warnings(m, now, &list, &e));
	return json_array_size(list);
}

/* Hosts renew theirs a month before, the manager its own, and nobody the authority's. */
static void ends_are_told(void **state)
{
	const struct record_filter f = { .operation = "certificate.watch" };
	struct manager m = { .store = store, .authority = authority };
	_cleanup_json_ json_t *rows = json_array();
	const int64_t day = 86400, now = time_now();

	(void) state;
	must(keywatch_new(&m.watch, &e));
	assert_int_equal(warnings_at(&m, now), 0);
	add_host("0b7d3a5e-1111-4222-8333-444455556601", "fine", now + 15 * day);
	add_host("0b7d3a5e-1111-4222-8333-444455556602", "late", now + 13 * day);
	add_host("0b7d3a5e-1111-4222-8333-444455556603", "lost", now - 1);
	certificates_watch(&m, now);
	certificates_watch(&m, now + 1);
	must(record_each(store, &f, take_row, rows, &e));
	assert_int_equal(json_array_size(rows), 2);
	assert_string_equal(json_text(json_array_get(rows, 0), "host"), "0b7d3a5e-1111-4222-8333-444455556602");
	assert_non_null(strstr(json_text(json_array_get(rows, 0), "result"), "late ends at"));
	assert_string_equal(json_text(json_array_get(rows, 1), "object"),
			    "host:0b7d3a5e-1111-4222-8333-444455556603");
	assert_non_null(strstr(json_text(json_array_get(rows, 1), "result"), "join again"));
	certificates_watch(&m, now + day);
	json_array_clear(rows);
	must(record_each(store, &f, take_row, rows, &e));
	assert_int_equal(json_array_size(rows), 4);
	assert_int_equal(warnings_at(&m, now + (AUTHORITY_SERVER_DAYS - 15) * day), 3);
	assert_int_equal(warnings_at(&m, now + (AUTHORITY_SERVER_DAYS - 13) * day), 4);
	assert_int_equal(warnings_at(&m, now + (AUTHORITY_CA_DAYS - 181) * day), 4);
	assert_int_equal(warnings_at(&m, now + (AUTHORITY_CA_DAYS - 179) * day), 5);
	keywatch_free(m.watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		authority_test(the_servers_names),
		authority_test(names_that_are_none),
		authority_test(a_hosts_certificate),
		authority_test(serials_differ),
		authority_test(when_to_renew),
		authority_test(requests_that_are_refused),
		authority_test(strangers_are_no_hosts),
		authority_test(loaded_again),
		authority_test(a_foreign_key_is_refused),
		authority_test(both_ends_of_tls),
		authority_test(no_key_in_the_store),
		authority_test(ends_are_told),
	};

	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
