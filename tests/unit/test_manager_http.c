/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HTTPS server as clients see it: libcurl, and sockets that misbehave. */
#include "unit.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "manager/web.h"

struct fixture {
	struct web *web;
	pthread_t thread;
	EVP_PKEY *key;
	X509 *certificate;
	char url[64];
	pthread_mutex_t gate;
};

static X509 *certificate_new(EVP_PKEY *key, const char *name, long seconds)
{
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_gmtime_adj(X509_getm_notBefore(x), -7200);
	X509_gmtime_adj(X509_getm_notAfter(x), seconds);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	return x;
}

/* Says what it saw; "/slow" waits at the gate, "/large" answers much. */
static void serve(const struct http_request *rq, struct http_answer *an, void *user)
{
	struct fixture *f = user;
	_cleanup_json_ json_t *value = NULL;
	const char *q = http_query(rq, "q");

	if (!strcmp(rq->path, "/slow")) {
		pthread_mutex_lock(&f->gate);
		pthread_mutex_unlock(&f->gate);
	}
	if (!strcmp(rq->path, "/large")) {
		an->status = 200;
		an->type = "application/json";
		an->size = 3000000;
		an->body = malloc(an->size);
		memset(an->body, 'x', an->size);
		return;
	}
	value = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s%, s:s}", "method", rq->method, "path",
			  rq->path, "token", rq->token, "peer", rq->peer, "certificate",
			  rq->certificate, "body", rq->body ? rq->body : "", rq->body_size, "q",
			  q ? q : "");
	http_answer_json(an, 200, value);
}

static int tls(SSL_CTX *ctx, void *user)
{
	struct fixture *f = user;

	return SSL_CTX_use_certificate(ctx, f->certificate) == 1 &&
	       SSL_CTX_use_PrivateKey(ctx, f->key) == 1 ? 0 : -EINVAL;
}

static void *run(void *arg)
{
	struct fixture *f = arg;

	assert_int_equal(web_run(f->web, NULL), 0);
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error e = ERROR_NULL;
	struct web_settings s = { .listen = "127.0.0.1", .threads = 4, .tls = tls, .serve = serve,
				  .user = f };

	pthread_mutex_init(&f->gate, NULL);
	f->key = EVP_EC_gen("P-256");
	f->certificate = certificate_new(f->key, "localhost", 3600);
	if (web_new(&s, &f->web, &e) < 0)
		fail_msg("%s", e.text);
	snprintf(f->url, sizeof(f->url), "https://127.0.0.1:%u", web_port(f->web));
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	web_stop(f->web);
	pthread_join(f->thread, NULL);
	web_free(f->web);
	EVP_PKEY_free(f->key);
	X509_free(f->certificate);
	free(f);
	return 0;
}

struct reply {
	long status;
	size_t size;
	char text[4096];
	json_t *json;
};

static size_t take(char *data, size_t one, size_t size, void *user)
{
	struct reply *reply = user;

	(void)one;
	if (reply->size + size < sizeof(reply->text))
		memcpy(reply->text + reply->size, data, size);
	reply->size += size;
	return size;
}

static CURL *client_new(const struct fixture *f, const char *method, const char *path)
{
	CURL *c = curl_easy_init();
	char url[256];

	snprintf(url, sizeof(url), "%s%s", f->url, path);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 30L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	return c;
}

static CURLcode perform(CURL *c, struct reply *reply)
{
	CURLcode r;

	memset(reply, 0, sizeof(*reply));
	curl_easy_setopt(c, CURLOPT_WRITEDATA, reply);
	r = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &reply->status);
	if (reply->size < sizeof(reply->text))
		reply->json = json_loads(reply->text, 0, NULL);
	return r;
}

static const char *seen(const struct reply *reply, const char *name)
{
	const char *value = json_string_value(json_object_get(reply->json, name));

	assert_non_null(value);
	return value;
}

static void test_get(void **state)
{
	CURL *c = client_new(*state, "GET", "/a/b%20c?x=1&q=a%26b%3Dc");
	struct curl_slist *headers = curl_slist_append(NULL, "Authorization: Bearer 0123abc");
	struct reply reply;
	int i;

	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	/* More than once: on the same connection. */
	for (i = 0; i < 3; i++) {
		long connects = 0;

		assert_int_equal(perform(c, &reply), CURLE_OK);
		assert_int_equal(reply.status, 200);
		assert_string_equal(seen(&reply, "method"), "GET");
		assert_string_equal(seen(&reply, "path"), "/a/b c");
		assert_string_equal(seen(&reply, "q"), "a&b=c");
		assert_string_equal(seen(&reply, "token"), "0123abc");
		assert_string_equal(seen(&reply, "peer"), "127.0.0.1");
		assert_string_equal(seen(&reply, "certificate"), "");
		curl_easy_getinfo(c, CURLINFO_NUM_CONNECTS, &connects);
		assert_int_equal(connects, i == 0);
		json_decref(reply.json);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
}

static void test_methods_and_bodies(void **state)
{
	static const char *const methods[] = { "POST", "PUT", "PATCH" };
	CURL *c = client_new(*state, "DELETE", "/x");
	struct reply reply;
	char body[65536 + 1];
	size_t i;

	assert_int_equal(perform(c, &reply), CURLE_OK);
	assert_string_equal(seen(&reply, "method"), "DELETE");
	json_decref(reply.json);
	for (i = 0; i < ARRAY_SIZE(methods); i++) {
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, methods[i]);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, "{\"a\":1}");
		assert_int_equal(perform(c, &reply), CURLE_OK);
		assert_int_equal(reply.status, 200);
		assert_string_equal(seen(&reply, "method"), methods[i]);
		assert_string_equal(seen(&reply, "body"), "{\"a\":1}");
		json_decref(reply.json);
	}
	for (i = 0; i < ARRAY_SIZE(methods); i++) {
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, methods[i]);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, "");
		assert_int_equal(perform(c, &reply), CURLE_OK);
		assert_int_equal(reply.status, 200);
		json_decref(reply.json);
	}
	memset(body, 'y', sizeof(body));
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, 65536L);
	assert_int_equal(perform(c, &reply), CURLE_OK);
	assert_int_equal(reply.status, 200);
	assert_true(reply.size > 65536);
	json_decref(reply.json);
	curl_easy_cleanup(c);
}

static void test_body_too_large(void **state)
{
	CURL *c = client_new(*state, "POST", "/x");
	char body[65536 + 1];
	struct reply reply;

	memset(body, 'y', sizeof(body));
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, 65537L);
	assert_int_equal(perform(c, &reply), CURLE_OK);
	assert_int_equal(reply.status, 413);
	json_decref(reply.json);
	curl_easy_cleanup(c);
}

static void test_large_answer(void **state)
{
	CURL *c = client_new(*state, "GET", "/large");
	struct reply reply;

	assert_int_equal(perform(c, &reply), CURLE_OK);
	assert_int_equal(reply.status, 200);
	assert_int_equal(reply.size, 3000000);
	curl_easy_cleanup(c);
}

static char *pem_of(EVP_PKEY *key, X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *copy;
	long size;

	if (certificate)
		PEM_write_bio_X509(bio, certificate);
	else
		PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	size = BIO_get_mem_data(bio, &data);
	copy = strndup(data, (size_t)size);
	BIO_free(bio);
	return copy;
}

static CURLcode with_certificate(const struct fixture *f, long seconds, struct reply *reply,
				 char fingerprint[HTTP_FINGERPRINT_SIZE])
{
	CURL *c = client_new(f, "GET", "/x");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = certificate_new(key, "user", seconds);
	_cleanup_free_ char *key_pem = pem_of(key, NULL), *pem = pem_of(NULL, x);
	struct curl_blob key_blob = { key_pem, strlen(key_pem), CURL_BLOB_COPY };
	struct curl_blob blob = { pem, strlen(pem), CURL_BLOB_COPY };
	uint8_t digest[32];
	CURLcode r;

	X509_digest(x, EVP_sha256(), digest, NULL);
	hex_encode(digest, sizeof(digest), fingerprint);
	curl_easy_setopt(c, CURLOPT_SSLCERT_BLOB, &blob);
	curl_easy_setopt(c, CURLOPT_SSLKEY_BLOB, &key_blob);
	r = perform(c, reply);
	curl_easy_cleanup(c);
	X509_free(x);
	EVP_PKEY_free(key);
	return r;
}

static void test_client_certificate(void **state)
{
	char fingerprint[HTTP_FINGERPRINT_SIZE];
	struct reply reply;

	assert_int_equal(with_certificate(*state, 3600, &reply, fingerprint), CURLE_OK);
	assert_string_equal(seen(&reply, "certificate"), fingerprint);
	json_decref(reply.json);
	assert_int_not_equal(with_certificate(*state, -3600, &reply, fingerprint), CURLE_OK);
	assert_int_equal(reply.size, 0);
}

static void test_versions(void **state)
{
	static const struct {
		long version;
		bool works;
	} versions[] = {
		{ CURL_SSLVERSION_TLSv1_0 | CURL_SSLVERSION_MAX_TLSv1_0, false },
		{ CURL_SSLVERSION_TLSv1_1 | CURL_SSLVERSION_MAX_TLSv1_1, false },
		{ CURL_SSLVERSION_TLSv1_2 | CURL_SSLVERSION_MAX_TLSv1_2, true },
		{ CURL_SSLVERSION_TLSv1_3 | CURL_SSLVERSION_MAX_TLSv1_3, true },
	};
	struct reply reply;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		CURL *c = client_new(*state, "GET", "/x");

		curl_easy_setopt(c, CURLOPT_SSLVERSION, versions[i].version);
		curl_easy_setopt(c, CURLOPT_SSL_CIPHER_LIST, "DEFAULT@SECLEVEL=0");
		assert_int_equal(perform(c, &reply) == CURLE_OK, versions[i].works);
		json_decref(reply.json);
		curl_easy_cleanup(c);
	}
}

static int dial(const struct fixture *f)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(web_port(f->web)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Connections that say nothing, and threads that are busy, do not keep others out. */
static void test_others_wait_for_nobody(void **state)
{
	struct fixture *f = *state;
	CURL *slow[3], *c = client_new(f, "GET", "/quick");
	CURLM *multi = curl_multi_init();
	struct reply reply, replies[3];
	int silent[100], left;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(silent); i++)
		silent[i] = dial(f);
	pthread_mutex_lock(&f->gate);
	for (i = 0; i < ARRAY_SIZE(slow); i++) {
		slow[i] = client_new(f, "GET", "/slow");
		memset(&replies[i], 0, sizeof(replies[i]));
		curl_easy_setopt(slow[i], CURLOPT_WRITEDATA, &replies[i]);
		curl_multi_add_handle(multi, slow[i]);
	}
	curl_multi_perform(multi, &left);
	assert_int_equal(perform(c, &reply), CURLE_OK);
	assert_int_equal(reply.status, 200);
	json_decref(reply.json);
	for (i = 0; i < 20; i++) {
		curl_multi_perform(multi, &left);
		curl_multi_wait(multi, NULL, 0, 10, NULL);
	}
	/* One gives up: its answer must find nobody. */
	curl_multi_remove_handle(multi, slow[0]);
	curl_easy_cleanup(slow[0]);
	pthread_mutex_unlock(&f->gate);
	do {
		curl_multi_perform(multi, &left);
		curl_multi_wait(multi, NULL, 0, 100, NULL);
	} while (left);
	for (i = 1; i < ARRAY_SIZE(slow); i++) {
		long status;

		curl_easy_getinfo(slow[i], CURLINFO_RESPONSE_CODE, &status);
		assert_int_equal(status, 200);
		curl_multi_remove_handle(multi, slow[i]);
		curl_easy_cleanup(slow[i]);
	}
	curl_multi_cleanup(multi);
	curl_easy_cleanup(c);
	for (i = 0; i < ARRAY_SIZE(silent); i++)
		close(silent[i]);
}

struct tls_client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

static struct tls_client tls_client_new(const struct fixture *f)
{
	struct tls_client c = { .ctx = SSL_CTX_new(TLS_client_method()), .fd = dial(f) };

	c.ssl = SSL_new(c.ctx);
	SSL_set_fd(c.ssl, c.fd);
	assert_int_equal(SSL_connect(c.ssl), 1);
	return c;
}

static void tls_client_free(struct tls_client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
}

/* Text in, status out: what no well-behaved client sends. */
static int raw_status(const struct fixture *f, const char *text)
{
	struct tls_client c = tls_client_new(f);
	char answer[4096] = "";
	int n, status = 0;

	SSL_write(c.ssl, text, (int)strlen(text));
	n = SSL_read(c.ssl, answer, sizeof(answer) - 1);
	if (n > 0 && sscanf(answer, "HTTP/1.1 %d", &status) != 1)
		status = 0;
	tls_client_free(&c);
	return status;
}

static void test_malformed(void **state)
{
	assert_int_equal(raw_status(*state, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
	assert_int_equal(raw_status(*state, "POST /x HTTP/1.1\r\nHost: a\r\n\r\n"), 411);
	assert_int_equal(raw_status(*state, "POST /x HTTP/1.1\r\nHost: a\r\n"
				    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 411);
	assert_int_equal(raw_status(*state, "POST /x HTTP/1.1\r\nHost: a\r\n"
				    "Content-Length: -1\r\n\r\n"), 411);
	assert_int_equal(raw_status(*state, "POST /x HTTP/1.1\r\nHost: a\r\n"
				    "Content-Length: 99999999999999999999\r\n\r\n"), 413);
	assert_int_not_equal(raw_status(*state, "\x16\x03\x01 nonsense\r\n\r\n"), 200);
	assert_int_not_equal(raw_status(*state, "GET /channel HTTP/1.1\r\nHost: a\r\n"
					"Connection: Upgrade\r\nUpgrade: websocket\r\n"
					"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
					"Sec-WebSocket-Version: 13\r\n\r\n"), 101);
	assert_int_equal(raw_status(*state, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
}

/* Send a head with a body that is too large, and read the whole answer. */
static void be_refused(const struct tls_client *c)
{
	static const char head[] = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
	char answer[4096] = "";
	size_t size = 0;
	int n;

	assert_int_equal(SSL_write(c->ssl, head, sizeof(head) - 1), sizeof(head) - 1);
	while (size + 1 < sizeof(answer) && !strstr(answer, "64 KiB\"")) {
		n = SSL_read(c->ssl, answer + size, (int)(sizeof(answer) - 1 - size));
		assert_true(n > 0);
		size += (size_t)n;
	}
	assert_memory_equal(answer, "HTTP/1.1 413", 12);
	assert_non_null(strcasestr(answer, "\r\nconnection: close\r\n"));
}

/* Return: how much of it was taken. */
static size_t send_rest(const struct tls_client *c, size_t size)
{
	static const char part[4096];
	size_t sent = 0;

	while (sent < size && SSL_write(c->ssl, part, sizeof(part)) == (int)sizeof(part))
		sent += sizeof(part);
	return sent;
}

/* Who is refused and still sends is not hung up on with a reset, which may overtake the
 * answer; nor may it send for ever. */
static void test_refused_while_sending(void **state)
{
	struct tls_client c = tls_client_new(*state);
	struct pollfd hung_up = { .fd = c.fd, .events = POLLIN };

	be_refused(&c);
	assert_int_equal(poll(&hung_up, 1, 100), 0);
	assert_int_equal(send_rest(&c, 512 * 1024), 512 * 1024);
	assert_true(send_rest(&c, 64 * 1024 * 1024) < 64 * 1024 * 1024);
	tls_client_free(&c);
}

/* Nor may it keep its place with a byte now and then. */
static void test_refused_and_slow(void **state)
{
	struct tls_client c = tls_client_new(*state);
	int i;

	be_refused(&c);
	for (i = 0; i < 300 && SSL_write(c.ssl, "y", 1) == 1; i++)
		usleep(100 * 1000);
	assert_true(i < 300);
	tls_client_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_methods_and_bodies),
		cmocka_unit_test(test_body_too_large),
		cmocka_unit_test(test_large_answer),
		cmocka_unit_test(test_client_certificate),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_others_wait_for_nobody),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_refused_while_sending),
		cmocka_unit_test(test_refused_and_slow),
	};

	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	return cmocka_run_group_tests(tests, setup, teardown);
}
