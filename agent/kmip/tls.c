// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "crypto/x509.h"
#include "kmip/socket.h"

#define RECORD_SIZE 4096
#define WHY_SIZE 192

/* All that has a reason to come on an idle connection are new session tickets, of one or
 * two KiB each with a client's certificate inside. */
#define IDLE_READS_MAX 4

/* TLS 1.3 has none but good ones. */
#define SUITES "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
#define SUITES_LEGACY SUITES ":ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES"

/**
 * struct kmip_tls - a connection
 * @from: ciphertext that has come, @to: that is to go. Memory, so that all waiting
 *	and sending is the socket's stream's
 * @look: keep the server's certificate in @seen and go no further
 * @why: that the server is not trusted, in words; "": it is, or was not asked
 */
struct kmip_tls {
	SSL_CTX *context;
	SSL *ssl;
	BIO *from;
	BIO *to;
	int fd;
	struct kmip_stream socket;
	const struct kmip_tls_settings *settings;
	bool look;
	X509 *seen;
	int64_t server_end;
	char why[WHY_SIZE];
};

/* What to go on with until it is done; with neither, the handshake. */
struct step {
	void *read;
	const void *write;
	size_t size;
};

static bool pinned(X509 *certificate, const char *pin)
{
	char text[X509_FINGERPRINT_SIZE];
	uint8_t digest[32], wanted[32];

	return x509_fingerprint(certificate, text) && strlen(pin) == 2 * sizeof(wanted) &&
	       hex_decode(text, digest, sizeof(digest)) == 0 &&
	       hex_decode(pin, wanted, sizeof(wanted)) == 0 &&
	       CRYPTO_memcmp(digest, wanted, sizeof(wanted)) == 0;
}

static int distrust(struct kmip_tls *tls, X509_STORE_CTX *store, int error, const char *why)
{
	snprintf(tls->why, sizeof(tls->why), "%s", why);
	X509_STORE_CTX_set_error(store, error);
	return 0;
}

/* Return: 1: trusted; 0: not. */
static int verify(X509_STORE_CTX *store, void *argument)
{
	struct kmip_tls *tls = argument;
	const struct kmip_tls_settings *s = tls->settings;
	X509 *certificate = X509_STORE_CTX_get0_cert(store);

	if (tls->look) {
		if (X509_up_ref(certificate))
			tls->seen = certificate;
		return distrust(tls, store, X509_V_ERR_APPLICATION_VERIFICATION, "only looked at");
	}
	if (s->pin && !pinned(certificate, s->pin))
		return distrust(tls, store, X509_V_ERR_CERT_UNTRUSTED,
				"its fingerprint is not the one that is trusted");
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		return distrust(tls, store, X509_V_ERR_CERT_HAS_EXPIRED, "it has expired");
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		return distrust(tls, store, X509_V_ERR_CERT_NOT_YET_VALID, "it is not valid yet");
	if (s->ca && X509_verify_cert(store) != 1)
		return distrust(tls, store, X509_STORE_CTX_get_error(store),
				X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
	tls->server_end = x509_seconds(X509_get0_notAfter(certificate));
	return 1;
}

static bool about_our_certificate(int reason)
{
	switch (reason) {
	case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

static int tls_failed(const struct kmip_tls *tls, struct error *e)
{
	unsigned long code = ERR_peek_last_error();
	const char *words = ERR_reason_error_string(code);

	ERR_clear_error();
	if (tls->why[0])
		return error_set(e, EBADE, EXIT_NO_KEY, 0,
				 "The certificate of key server %s is not trusted: %s; compare it with what the server's administrator says",
				 tls->settings->host, tls->why);
	if (ERR_GET_LIB(code) == ERR_LIB_SSL && about_our_certificate(ERR_GET_REASON(code)))
		return error_set(e, EPERM, EXIT_NO_KEY, 0,
				 "Key server %s does not accept the client certificate (%s): have it trust that certificate, or renew it",
				 tls->settings->host, words ? words : "no reason given");
	return error_set(e, EPROTO, EXIT_NO_KEY, 0,
			 "TLS with key server %s failed: %s; check that a KMIP server listens there, and which TLS versions and suites it has",
			 tls->settings->host, words ? words : "protocol error");
}

static int flush(struct kmip_tls *tls, int64_t deadline, struct error *e)
{
	uint8_t data[RECORD_SIZE];
	ssize_t n;
	int size, done;

	while ((size = BIO_read(tls->to, data, sizeof(data))) > 0)
		for (done = 0; done < size; done += (int) n) {
			n = tls->socket.write(tls->socket.context, data + done, (size_t) (size - done), deadline, e);
			if (n < 0)
				return (int) n;
		}
	return 0;
}

/* Return: 1; 0: the server has closed; -errno. */
static int feed(struct kmip_tls *tls, int64_t deadline, struct error *e)
{
	uint8_t data[RECORD_SIZE];
	ssize_t n;

	n = tls->socket.read(tls->socket.context, data, sizeof(data), deadline, e);
	if (n <= 0)
		return (int) n;
	return BIO_write(tls->from, data, (int) n) == n ? 1 : error_oom(e);
}

static int step_once(struct kmip_tls *tls, const struct step *step, size_t *done)
{
	if (step->read)
		return SSL_read_ex(tls->ssl, step->read, step->size, done);
	if (step->write)
		return SSL_write_ex(tls->ssl, step->write, step->size, done);
	*done = 1;
	return SSL_do_handshake(tls->ssl);
}

/* Return: bytes; 1 for the handshake; 0: the server has closed; -errno. */
static ssize_t drive(struct kmip_tls *tls, const struct step *step, int64_t deadline,
		     struct error *e)
{
	size_t done = 0;
	int r, failure;

	for (;;) {
		ERR_clear_error();
		r = step_once(tls, step, &done);
		failure = SSL_get_error(tls->ssl, r);
		if (r != 1 && failure == SSL_ERROR_ZERO_RETURN)
			return 0;
		if (r != 1 && failure != SSL_ERROR_WANT_READ) {
			int failed = tls_failed(tls, e);

			/* The alert, for the other side's log: whether it goes is all one. */
			(void) flush(tls, deadline, NULL);
			return failed;
		}
		failure = flush(tls, deadline, e);
		if (failure < 0)
			return failure;
		if (r == 1)
			return (ssize_t) done;
		r = feed(tls, deadline, e);
		if (r <= 0)
			return r;
	}
}

static ssize_t tls_read(void *context, void *data, size_t size, int64_t deadline, struct error *e)
{
	return drive(context, &(struct step) { .read = data, .size = size }, deadline, e);
}

static ssize_t tls_write(void *context, const void *data, size_t size, int64_t deadline,
			 struct error *e)
{
	return drive(context, &(struct step) { .write = data, .size = size }, deadline, e);
}

struct kmip_stream kmip_tls_stream(struct kmip_tls *tls)
{
	return (struct kmip_stream) { .read = tls_read, .write = tls_write, .context = tls };
}

static int trust_ca(SSL_CTX *context, const char *pem, struct error *e)
{
	_cleanup_(x509_bio_freep) BIO *bio = BIO_new_mem_buf(pem, -1);
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	unsigned int n = 0;

	for (;;) {
		_cleanup_(x509_freep) X509 *ca = bio ? PEM_read_bio_X509(bio, NULL, x509_no_password, NULL) : NULL;

		if (!ca)
			break;
		if (X509_STORE_add_cert(store, ca) != 1)
			return error_oom(e);
		n++;
	}
	ERR_clear_error();
	if (n == 0)
		return error_usage(e, "The key server's CA is no certificate in PEM: give one");
	/* What was pinned may be a CA below another one. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

static int use_certificate(SSL_CTX *context, const struct kmip_tls_settings *s, struct error *e)
{
	_cleanup_(x509_bio_freep) BIO *bio = BIO_new_mem_buf(s->certificate, -1);
	_cleanup_(x509_freep) X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, x509_no_password, NULL) : NULL;
	const unsigned char *at = s->key->data;
	_cleanup_(x509_key_freep) EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long) s->key->size);
	X509 *more;

	erase_stack();
	if (!leaf || !key || SSL_CTX_use_certificate(context, leaf) != 1 ||
	    SSL_CTX_use_PrivateKey(context, key) != 1) {
		ERR_clear_error();
		return error_usage(e, "The client certificate for key server %s, or its key, is not usable: they do not belong together or are damaged",
				   s->host);
	}
	while ((more = PEM_read_bio_X509(bio, NULL, x509_no_password, NULL)) != NULL)
		if (SSL_CTX_add_extra_chain_cert(context, more) != 1) {
			X509_free(more);
			return error_oom(e);
		}
	ERR_clear_error();
	return 0;
}

static int make_context(struct kmip_tls *tls, struct error *e)
{
	const struct kmip_tls_settings *s = tls->settings;
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int r = 0;

	tls->context = context;
	if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(context, s->legacy ? SUITES_LEGACY : SUITES) != 1)
		return error_oom(e);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			    SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(context, verify, tls);
	if (tls->look)
		return 0;
	if (s->ca)
		r = trust_ca(context, s->ca, e);
	return r < 0 ? r : use_certificate(context, s, e);
}

/* An address is looked for among the certificate's addresses, any other name among
 * its DNS names; the common name is no name. */
static bool expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
					X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
		return true;
	ERR_clear_error();
	return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, name) == 1;
}

static int make_ssl(struct kmip_tls *tls, struct error *e)
{
	const struct kmip_tls_settings *s = tls->settings;

	tls->ssl = SSL_new(tls->context);
	tls->from = BIO_new(BIO_s_mem());
	tls->to = BIO_new(BIO_s_mem());
	if (!tls->ssl || !tls->from || !tls->to) {
		BIO_free(tls->from);
		BIO_free(tls->to);
		return error_oom(e);
	}
	SSL_set_bio(tls->ssl, tls->from, tls->to);
	SSL_set_connect_state(tls->ssl);
	if (!expect_name(tls->ssl, s->name ? s->name : s->host))
		return error_usage(e, "Key server %s: that is no name that a certificate could bear", s->host);
	return 0;
}

void kmip_tls_close(struct kmip_tls *tls)
{
	if (!tls)
		return;
	if (tls->ssl && SSL_is_init_finished(tls->ssl)) {
		(void) SSL_shutdown(tls->ssl);
		(void) flush(tls, kmip_deadline(1), NULL);
	}
	ERR_clear_error();
	SSL_free(tls->ssl);
	SSL_CTX_free(tls->context);
	X509_free(tls->seen);
	close_fd(tls->fd);
	free(tls);
}

static void cleanup_tls(struct kmip_tls **tls)
{
	kmip_tls_close(*tls);
}

static int check_settings(const struct kmip_tls_settings *s, bool look, struct error *e)
{
	if (!s->host || !*s->host || !s->port)
		return error_usage(e, "A key server needs a name or address, and a port");
	if (look)
		return 0;
	if (!s->pin && !s->ca)
		return error_usage(e, "Key server %s: neither its certificate nor its CA is trusted yet; do that first", s->host);
	if (!s->certificate || !s->key || !s->key->size)
		return error_usage(e, "Key server %s: there is no client certificate for it yet; make or upload one first", s->host);
	return 0;
}

static int tls_open(const struct kmip_tls_settings *settings, bool look, int64_t deadline,
		    struct kmip_tls **ret, struct error *e)
{
	struct kmip_tls *tls;
	int r;

	r = check_settings(settings, look, e);
	if (r < 0)
		return r;
	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return error_oom(e);
	*tls = (struct kmip_tls) { .fd = -1, .settings = settings, .look = look };
	r = make_context(tls, e);
	if (r == 0)
		r = make_ssl(tls, e);
	if (r == 0)
		r = kmip_socket_connect(settings->host, settings->port, deadline, &tls->fd, e);
	if (r < 0) {
		kmip_tls_close(tls);
		return r;
	}
	tls->socket = kmip_stream_fd(&tls->fd);
	*ret = tls;
	return 0;
}

int kmip_tls_connect(const struct kmip_tls_settings *settings, int64_t deadline,
		     struct kmip_tls **ret, struct error *e)
{
	_cleanup_(cleanup_tls) struct kmip_tls *tls = NULL;
	ssize_t n;
	int r;

	r = tls_open(settings, /* look= */ false, deadline, &tls, e);
	if (r < 0)
		return r;
	n = drive(tls, &(struct step) { .size = 0 }, deadline, e);
	if (n < 0)
		return (int) n;
	if (n == 0)
		return error_set(e, ECONNRESET, EXIT_NO_KEY, 0,
				 "Key server %s closed the connection in the TLS handshake: look into its log",
				 settings->host);
	*ret = TAKE_PTR(tls);
	return 0;
}

int kmip_tls_look(const struct kmip_tls_settings *settings, int64_t deadline, char **ret_pem,
		  struct error *e)
{
	_cleanup_(cleanup_tls) struct kmip_tls *tls = NULL;
	char *pem;
	ssize_t n;
	int r;

	r = tls_open(settings, /* look= */ true, deadline, &tls, e);
	if (r < 0)
		return r;
	n = drive(tls, &(struct step) { .size = 0 }, deadline, e);
	if (!tls->seen)
		return n < 0 ? (int) n : error_set(e, ECONNRESET, EXIT_NO_KEY, 0,
						   "Key server %s showed no certificate: look into its log",
						   settings->host);
	if (e)
		*e = ERROR_NULL;
	pem = x509_to_pem(tls->seen);
	if (!pem)
		return error_oom(e);
	*ret_pem = pem;
	return 0;
}

bool kmip_tls_usable(struct kmip_tls *tls)
{
	uint8_t byte;
	size_t n = 0;
	int i, r;

	for (i = 0; kmip_socket_readable(tls->fd); i++)
		if (i == IDLE_READS_MAX || feed(tls, kmip_deadline(1), NULL) <= 0)
			return false;
	ERR_clear_error();
	r = SSL_peek_ex(tls->ssl, &byte, sizeof(byte), &n);
	return r != 1 && SSL_get_error(tls->ssl, r) == SSL_ERROR_WANT_READ;
}

int64_t kmip_tls_server_end(const struct kmip_tls *tls)
{
	return tls->server_end;
}
