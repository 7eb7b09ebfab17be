/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates of all sorts, and a TLS server in a thread that behaves or not.
 */
#ifndef VMCRYPT_TESTS_TLS_FIXTURE_H
#define VMCRYPT_TESTS_TLS_FIXTURE_H

#include "unit.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>

#define DAY (24L * 3600)

/* A key and its certificate */
struct party {
	EVP_PKEY *key;
	X509 *certificate;
	char *pem;
	struct secret der;
};

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static char *pem_of(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL, *pem;
	long size;

	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	size = BIO_get_mem_data(bio, &data);
	pem = strndup(data, (size_t) size);
	BIO_free(bio);
	return pem;
}

static struct secret der_of(const EVP_PKEY *key)
{
	struct secret der = SECRET_NULL;
	unsigned char *data = NULL;
	int size = i2d_PrivateKey(key, &data);

	assert_true(size > 0);
	assert_int_equal(secret_copy(data, (size_t) size, &der), 0);
	OPENSSL_free(data);
	return der;
}

/* @ca NULL: a CA by itself, others are called kms.example; @san NULL: none; valid between the two, seconds from now */
static struct party party_new(const struct party *ca, const char *type, const char *san, long from,
			      long to)
{
	static long serial;
	bool rsa = strcmp(type, "RSA") == 0;
	EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	char common[32];

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	snprintf(common, sizeof(common), ca ? "kms.example" : "test CA %ld", serial);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *) common, -1, -1, 0);
	X509_gmtime_adj(X509_getm_notBefore(x), from);
	X509_gmtime_adj(X509_getm_notAfter(x), to);
	X509_set_pubkey(x, key);
	if (!ca)
		add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
	if (san)
		add_extension(x, NID_subject_alt_name, san);
	X509_set_issuer_name(x, ca ? X509_get_subject_name(ca->certificate) : name);
	assert_true(X509_sign(x, ca ? ca->key : key, EVP_sha256()) > 0);
	return (struct party) { .key = key, .certificate = x, .pem = pem_of(x), .der = der_of(key) };
}

static void party_done(struct party *p)
{
	EVP_PKEY_free(p->key);
	X509_free(p->certificate);
	free(p->pem);
	secret_done(&p->der);
}

static inline void pin_of(const struct party *p, char ret[65])
{
	uint8_t digest[32];

	assert_int_equal(X509_digest(p->certificate, EVP_sha256(), digest, NULL), 1);
	hex_encode(digest, sizeof(digest), ret);
}

enum manners { ECHO, SHUT, GARBAGE, STALL };

/*
 * Serves one connection.
 * @clients: whose clients it takes; NULL: anybody's
 * @tickets: session tickets that ECHO sends before anything else
 * @ready: when they are sent
 */
struct tls_server {
	const struct party *party;
	const struct party *clients;
	const char *suites;
	int version;
	enum manners manners;
	unsigned int tickets;
	sem_t ready;
	int listener;
	uint16_t port;
	pthread_t thread;
};

static void echo(SSL *ssl)
{
	uint8_t data[3000];
	int n;

	while ((n = SSL_read(ssl, data, sizeof(data))) > 0)
		if (SSL_write(ssl, data, n) != n)
			break;
}

/* Beside those of the handshake. */
static bool send_tickets(SSL *ssl, unsigned int n)
{
	while (n-- > 0)
		if (SSL_new_session_ticket(ssl) != 1 || SSL_do_handshake(ssl) != 1)
			return false;
	return true;
}

static void serve_tls(struct tls_server *s, int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *ssl;

	SSL_CTX_use_certificate(context, s->party->certificate);
	SSL_CTX_use_PrivateKey(context, s->party->key);
	SSL_CTX_set_min_proto_version(context, s->version);
	SSL_CTX_set_max_proto_version(context, s->version);
	if (s->suites)
		SSL_CTX_set_cipher_list(context, s->suites);
	if (s->clients) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(context), s->clients->certificate);
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	ssl = SSL_new(context);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		bool sent = send_tickets(ssl, s->tickets);

		sem_post(&s->ready);
		if (s->manners == ECHO && sent)
			echo(ssl);
		SSL_shutdown(ssl);
	}
	ERR_clear_error();
	SSL_free(ssl);
	SSL_CTX_free(context);
}

static void *serve(void *argument)
{
	static const char garbage[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct tls_server *s = argument;
	uint8_t byte[512];
	int fd = accept(s->listener, NULL, NULL);

	if (fd < 0)
		return NULL;
	if (s->manners == GARBAGE)
		(void) send(fd, garbage, sizeof(garbage) - 1, MSG_NOSIGNAL);
	else if (s->manners != STALL)
		serve_tls(s, fd);
	if (s->manners != STALL)
		shutdown(fd, SHUT_WR);
	/* What is unread at close() would make a reset of what was said last. */
	while (recv(fd, byte, sizeof(byte), 0) > 0)
		;
	close(fd);
	return NULL;
}

static void server_start(struct tls_server *s)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);

	sem_init(&s->ready, 0, 0);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *) &address, size), 0);
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *) &address, &size), 0);
	s->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

/* One that nobody has come to yet is let go too. */
static void server_stop(struct tls_server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	close(s->listener);
}

#endif
