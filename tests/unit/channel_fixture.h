/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A manager that serves the hosts' channel, and hosts that dial it: TLS by OpenSSL, the
 * WebSocket written out by hand, so that it can be written wrong. What manager/keys.h has is
 * played here.
 */
#ifndef VMCRYPT_TESTS_CHANNEL_FIXTURE_H
#define VMCRYPT_TESTS_CHANNEL_FIXTURE_H

#include "manager_fixture.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "common/channel.h"
#include "common/json.h"
#include "common/lock.h"
#include "crypto/x509.h"
#include "manager/authority.h"
#include "manager/host_requests.h"
#include "manager/hosts.h"
#include "manager/keys.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/record.h"
#include "manager/vault.h"
#include "manager/web.h"

/* That something takes at most; nothing is that slow, however busy the machine. */
#define PATIENCE_S 15

#define BOOT_1 "11111111-1111-4111-8111-111111111111"
#define BOOT_2 "22222222-2222-4222-8222-222222222222"

#define OP_CONTINUE	0x0
#define OP_TEXT		0x1
#define OP_BINARY	0x2
#define OP_CLOSE	0x8
#define OP_PING		0x9
#define OP_PONG		0xa
#define FIN		0x80

static struct manager manager;
static struct web *web;
static pthread_t web_thread;

/* A host with its certificate. */
struct host {
	char id[UUID_TEXT_SIZE];
	EVP_PKEY *key;
	X509 *certificate;
};

/* One connection. @pings, @close: what came beside messages. @mute: pings get no answer */
struct client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	int status;
	unsigned int pings;
	int close;
	bool mute;
};

static int fixture_tls(SSL_CTX *ctx, void *user)
{
	const struct manager *m = user;

	return authority_use(m->authority, ctx, NULL);
}

static void fixture_serve(const struct http_request *rq, struct http_answer *an, void *user)
{
	(void) rq;
	(void) user;
	http_answer_json(an, 200, NULL);
}

static void *fixture_run(void *arg)
{
	(void) arg;
	assert_int_equal(web_run(web, NULL), 0);
	return NULL;
}

static void channel_start(unsigned int ping_ms, unsigned int dead_ms)
{
	struct web_settings settings = {
		.listen = "127.0.0.1", .threads = 2, .tls = fixture_tls, .serve = fixture_serve,
		.user = &manager, .ping_ms = ping_ms, .dead_ms = dead_ms,
	};

	must(links_new(&manager, &manager.links, &e));
	settings.links = manager.links;
	must(web_new(&settings, &web, &e));
	assert_int_equal(pthread_create(&web_thread, NULL, fixture_run, NULL), 0);
}

static void channel_stop(void)
{
	web_stop(web);
	pthread_join(web_thread, NULL);
	links_stop(manager.links);
	web_free(web);
	links_free(TAKE_PTR(manager.links));
}

static int channel_setup(void **state)
{
	const struct vault_settings settings = { .dir = dir };

	signal(SIGPIPE, SIG_IGN);
	fixture_setup(state);
	memset(&manager, 0, sizeof(manager));
	manager.store = store;
	must(vault_create(&settings, VAULT_FROM_KEY_FILE, &e));
	must(vault_open(&settings, &manager.vault, &e));
	must(authority_init(store, manager.vault, "manager.example", &e));
	must(authority_load(store, manager.vault, &manager.authority, &e));
	must(authority_issue_server(manager.authority, "127.0.0.1", &e));
	must(hosts_new(&manager.hosts, &e));
	channel_start(0, 0);
	return 0;
}

static int channel_teardown(void **state)
{
	channel_stop();
	hosts_free(manager.hosts);
	authority_free(manager.authority);
	vault_free(manager.vault);
	return fixture_teardown(state);
}

#define channel_test(f) cmocka_unit_test_setup_teardown(f, channel_setup, channel_teardown)

static inline char *csr_of(EVP_PKEY *key)
{
	X509_REQ *csr = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;

	assert_int_equal(X509_REQ_set_pubkey(csr, key), 1);
	assert_true(X509_REQ_sign(csr, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509_REQ(bio, csr), 1);
	text = x509_bio_text(bio);
	BIO_free(bio);
	X509_REQ_free(csr);
	return text;
}

static inline void insert_host(const char *id, const char *name, const char *serial,
			       const char *mode, const char *cluster)
{
	_cleanup_json_ json_t *document = NULL;

	document = json_pack("{s:s, s:s?, s:s, s:n, s:s, s:s, s:n, s:s, s:s, s:s, s:n, s:n, s:n, s:n, "
			     "s:n}", "name", name, "cluster", cluster, "mode", mode, "host_key",
			     "state", "active", "serial", serial, "old_serial", "fingerprint", "",
			     "certificate_end", "2030-01-01T00:00:00Z", "joined",
			     "2026-01-01T00:00:00Z", "last_seen", "version", "module", "tpm", "boot_id");
	assert_non_null(document);
	must(store_insert(store, "host", id, document, &e));
}

static inline struct host host_new(const char *name, const char *mode, const char *cluster)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	struct host host = { .key = EVP_EC_gen("P-256") };
	_cleanup_free_ char *csr = csr_of(host.key);

	must(uuid_random_text(host.id));
	must(authority_issue_host(manager.authority, host.id, csr, strlen(csr), &issued, &e));
	host.certificate = x509_from_pem(issued.pem, strlen(issued.pem));
	insert_host(host.id, name, issued.serial, mode, cluster);
	return host;
}

static inline void host_done(struct host *host)
{
	EVP_PKEY_free(host->key);
	X509_free(host->certificate);
}

/* A member of the host's document. */
static inline json_t *host_document(const char *id)
{
	json_t *document;

	must(store_get(store, "host", id, &document, &e));
	return document;
}

static inline void host_member_is(const char *id, const char *member, const char *wanted)
{
	_cleanup_json_ json_t *document = host_document(id);

	assert_string_equal(json_text(document, member), wanted);
}

static inline void host_set(const char *id, const char *member, const char *value)
{
	_cleanup_json_ json_t *document = host_document(id);

	json_object_set_new(document, member, json_string(value));
	must(store_update(store, "host", id, document, &e));
}

/*
 * The client.
 */

static inline int tcp_dial(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(web_port(web)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}

static inline void read_all(struct client *c, void *data, size_t size, bool *ret_end)
{
	uint8_t *at = data;

	while (size > 0) {
		int n = SSL_read(c->ssl, at, (int) size);

		if (n <= 0) {
			int why = SSL_get_error(c->ssl, n);

			/* SO_RCVTIMEO has passed. */
			assert_true(why != SSL_ERROR_WANT_READ);
			*ret_end = true;
			return;
		}
		at += n;
		size -= (size_t) n;
	}
}

/* @version 0: the newest; @certificate NULL: none */
static inline bool client_connect(struct client *c, EVP_PKEY *key, X509 *certificate, int version)
{
	memset(c, 0, sizeof(*c));
	c->fd = tcp_dial();
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (version)
		SSL_CTX_set_max_proto_version(c->ctx, version);
	if (certificate) {
		assert_int_equal(SSL_CTX_use_certificate(c->ctx, certificate), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(c->ctx, key), 1);
	}
	c->ssl = SSL_new(c->ctx);
	SSL_set_fd(c->ssl, c->fd);
	return SSL_connect(c->ssl) == 1;
}

static inline void client_close(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	if (c->fd >= 0)
		close(c->fd);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

/* Headers of an answer, byte by byte: what follows is the WebSocket's. */
static inline int read_status(struct client *c)
{
	char text[4096] = "";
	size_t n = 0;
	bool end = false;
	int status = 0;

	while (n < sizeof(text) - 1 && !strstr(text, "\r\n\r\n")) {
		read_all(c, text + n, 1, &end);
		if (end)
			return 0;
		text[++n] = '\0';
	}
	return sscanf(text, "HTTP/1.%*d %d", &status) == 1 ? status : 0;
}

static inline int client_upgrade(struct client *c, const char *path, const char *protocol)
{
	char text[512];
	int n;

	n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: manager\r\nConnection: Upgrade\r\n"
		     "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		     "Sec-WebSocket-Version: 13\r\n%s%s%s\r\n", path,
		     protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
		     protocol ? "\r\n" : "");
	if (SSL_write(c->ssl, text, n) != n)
		return 0;
	return read_status(c);
}

static inline int client_dial(struct client *c, const struct host *host)
{
	c->status = 0;
	if (client_connect(c, host->key, host->certificate, 0))
		c->status = client_upgrade(c, CHANNEL_PATH, CHANNEL_PROTOCOL);
	return c->status;
}

/* One frame; the mask may be any, and so it is zero. */
static inline bool send_frame(struct client *c, uint8_t first, const void *data, size_t size)
{
	uint8_t *frame = calloc(1, size + 14);
	size_t n = 0;
	int r;

	frame[n++] = first;
	if (size < 126) {
		frame[n++] = (uint8_t) (0x80 | size);
	} else if (size < 65536) {
		frame[n++] = 0x80 | 126;
		frame[n++] = (uint8_t) (size >> 8);
		frame[n++] = (uint8_t) size;
	} else {
		frame[n++] = 0x80 | 127;
		for (int i = 7; i >= 0; i--)
			frame[n++] = (uint8_t) (size >> 8 * i);
	}
	n += 4;
	if (size)
		memcpy(frame + n, data, size);
	r = SSL_write(c->ssl, frame, (int) (n + size));
	free(frame);
	return r == (int) (n + size);
}

static inline void send_text(struct client *c, const char *text)
{
	assert_true(send_frame(c, FIN | OP_TEXT, text, strlen(text)));
}

/* The next frame of whatever kind, ended by NUL; NULL: the connection is at its end. */
static inline char *read_frame(struct client *c, uint8_t *ret_op, size_t *ret_size)
{
	uint8_t head[2], more[8];
	uint64_t size;
	bool end = false;
	char *data;
	int i, n;

	read_all(c, head, 2, &end);
	if (end)
		return NULL;
	size = head[1];
	n = size == 126 ? 2 : size == 127 ? 8 : 0;
	if (n) {
		read_all(c, more, (size_t) n, &end);
		for (i = 0, size = 0; i < n; i++)
			size = size << 8 | more[i];
	}
	assert_true(size <= CHANNEL_FRAME_MAX);
	data = calloc(1, size + 1);
	read_all(c, data, size, &end);
	if (end) {
		free(data);
		return NULL;
	}
	*ret_op = head[0] & 0xf;
	*ret_size = size;
	return data;
}

/* The next message; pings are answered on the way. NULL: closed. */
static inline json_t *receive(struct client *c)
{
	for (;;) {
		uint8_t op = 0;
		size_t size = 0;
		_cleanup_free_ char *data = read_frame(c, &op, &size);

		if (!data)
			return NULL;
		if (op == OP_TEXT) {
			json_t *json = json_loadb(data, size, 0, NULL);

			assert_non_null(json);
			return json;
		}
		if (op == OP_PING) {
			c->pings++;
			if (!c->mute)
				send_frame(c, FIN | OP_PONG, data, size);
		}
		if (op == OP_CLOSE && size >= 2)
			c->close = (uint8_t) data[0] << 8 | (uint8_t) data[1];
	}
}

/* Nothing but the end comes. Return: the close's status, 0: none */
static inline int closes(struct client *c)
{
	json_t *json;

	while ((json = receive(c)))
		json_decref(json);
	return c->close;
}

static inline void send_request(struct client *c, int id, const char *op, const char *args)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"id\":%d,\"op\":\"%s\",\"args\":%s}", id, op, args);
	send_text(c, text);
}

/* The answer to a request, which is the next message. */
static inline json_t *request(struct client *c, int id, const char *op, const char *args)
{
	json_t *answer;

	send_request(c, id, op, args);
	answer = receive(c);
	assert_non_null(answer);
	assert_int_equal(json_integer_value(json_object_get(answer, "id")), id);
	return answer;
}

static inline bool succeeded(const json_t *answer)
{
	return json_is_true(json_object_get(answer, "ok"));
}

static inline void fails_with(json_t *answer, const char *code)
{
	const json_t *error = json_object_get(answer, "error");

	assert_non_null(answer);
	assert_string_equal(json_text(error, "errno"), code);
	assert_true(strlen(json_text(error, "text")) > 10);
	json_decref(answer);
}

static const char hello_1[] = "{\"version\":\"0.1.0\",\"name\":\"here\",\"boot_id\":\"" BOOT_1 "\","
	"\"module\":null,\"tpm\":false,\"public_key\":"
	"\"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\"}";

/* Answers a question of the manager's. */
static inline void answer_ask(struct client *c, const json_t *ask, const char *result)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"id\":%lld,\"ok\":true,\"result\":%s}",
		 (long long) json_integer_value(json_object_get(ask, "id")), result);
	send_text(c, text);
}

/* Waits for the mode, which the manager tells after a hello, and takes it. */
static inline void takes_mode(struct client *c, const char *mode)
{
	_cleanup_json_ json_t *ask = receive(c);

	assert_non_null(ask);
	assert_string_equal(json_text(ask, "op"), "mode.set");
	assert_string_equal(json_text(json_object_get(ask, "args"), "mode"), mode);
	answer_ask(c, ask, "{}");
}

static inline void says_hello(struct client *c, const char *args, const char *mode)
{
	_cleanup_json_ json_t *answer = request(c, 1, "hello", args);

	assert_true(succeeded(answer));
	takes_mode(c, mode);
}

/* Dials, says hello, and is told its mode. */
static inline void joins_in(struct client *c, const struct host *host, const char *mode)
{
	assert_int_equal(client_dial(c, host), 101);
	says_hello(c, hello_1, mode);
}

/* Until it is so, or patience ends. */
#define await(condition)						\
	do {								\
		int left_ = PATIENCE_S * 100;				\
		while (!(condition) && left_-- > 0)			\
			usleep(10000);					\
		assert_true(condition);					\
	} while (0)

static int count_row(const json_t *row, void *userdata)
{
	unsigned int *n = userdata;

	(void) row;
	(*n)++;
	return 0;
}

static inline unsigned int count_rows(const char *operation, const char *type, const char *host)
{
	const struct record_filter filter = { .operation = operation, .type = type, .host = host };
	unsigned int n = 0;

	must(record_each(store, &filter, count_row, &n, &e));
	return n;
}

/* A key server that answers when the gate is open. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
/* What a handler has until its answer is on its way: who did not let it go stops the next one. */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

int keys_serve_new(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		   struct channel_failure *why)
{
	(void) m;
	(void) args;
	(void) ret;
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	peer->order = mutex_lock(&order);
	snprintf(why->key_reason, sizeof(why->key_reason), "KeyStateClusterUnreachable");
	return error_set(&why->error, EHOSTUNREACH, EXIT_NO_KEY, 0, "No server of the provider answers");
}

int keys_serve_get(struct manager *m, struct host_peer *peer, const json_t *args, json_t **ret,
		   struct channel_failure *why)
{
	return keys_serve_new(m, peer, args, ret, why);
}

int keys_make_host_key(struct manager *m, const char *host, const char *user, json_t **ret,
		       struct error *err)
{
	(void) m;
	(void) host;
	(void) user;
	(void) ret;
	return error_set(err, ENOENT, EXIT_NO_KEY, 0, "There is no default provider");
}

int keys_provision(struct manager *m, const char *host, struct error *err)
{
	(void) m;
	(void) host;
	(void) err;
	return 0;
}

void keys_share_vm(struct manager *m, const char *vm)
{
	(void) m;
	(void) vm;
}

void keys_provision_all(struct manager *m, const char *cluster)
{
	(void) m;
	(void) cluster;
}

#endif
