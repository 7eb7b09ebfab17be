/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host with its link, and a manager that the test itself plays: certificates by the
 * real authority, TLS by OpenSSL, HTTP and the WebSocket written out by hand, so that
 * they can be written wrong.
 */
#ifndef VMCRYPT_TESTS_LINK_FIXTURE_H
#define VMCRYPT_TESTS_LINK_FIXTURE_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "common/channel.h"
#include "common/json.h"
#include "common/jointoken.h"
#include "common/log.h"
#include "crypto/box.h"
#include "host/host.h"
#include "host/join.h"
#include "host/link.h"
#include "host/ops.h"
#include "manager/authority.h"
#include "manager/store.h"
#include "manager/vault.h"

/* That something takes at most; nothing is that slow, however busy the machine. */
#define PATIENCE_S 60

#define OP_TEXT		0x1
#define OP_BINARY	0x2
#define OP_CLOSE	0x8
#define OP_PING		0x9
#define OP_PONG		0xa
#define FIN		0x80

#define HOST_1 "11111111-1111-4111-8111-111111111111"

static struct error e;
static char dir[64];
static struct store *store;
static struct vault *vault;
static struct authority *authority;
static SSL_CTX *server_ctx;
static int listener;
static char url[64];
static char host_dir[64];
static struct host host;

/* A connection that a host has made. */
struct peer {
	SSL *ssl;
	int fd;
};

static const struct link_times quick = {
	.retry_ms = 20, .retry_max_ms = 100, .ping_ms = 200, .dead_ms = 1000000, .report_ms = 20,
};

static inline SSL_CTX *new_server_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	assert_non_null(ctx);
	assert_int_equal(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION), 1);
	return ctx;
}

static inline int make_listener(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	snprintf(url, sizeof(url), "https://127.0.0.1:%u", ntohs(address.sin_port));
	return 0;
}

static inline int fixture_make(void *userdata, const uint8_t provider[UUID_SIZE],
			       const struct key_use *use, uint64_t deadline_ms, char *ret_key_id,
			       struct secret *ret_kek, struct channel_failure *ret_why)
{
	const struct host *h = userdata;

	return link_key_new(h->link, provider, use, deadline_ms, ret_key_id, ret_kek, ret_why);
}

static inline int fixture_fetch(void *userdata, const uint8_t provider[UUID_SIZE],
				const char *key_id, const struct key_use *use, uint64_t deadline_ms,
				struct secret *ret_kek, struct channel_failure *ret_why)
{
	const struct host *h = userdata;

	return link_key_get(h->link, provider, key_id, use, deadline_ms, ret_kek, ret_why);
}

/* All but the link's beginning. */
static inline void host_make(const struct link_times *times)
{
	struct provider_settings settings = {
		.dir = unit_path(host_dir, "providers"), .tcti = "swtpm:path=/nonexistent/socket",
		.in_use = ops_provider_in_use, .attached = ops_provider_attached, .key_in_use = ops_key_in_use,
		.make = fixture_make, .fetch = fixture_fetch, .userdata = &host,
	};

	host = (struct host){ .started = 0 };
	host.conf.state_dir = strdup(host_dir);
	must(events_open(host_dir, EVENTS_SIZE_MIN, &host.events, &e));
	must(state_open(host_dir, &host.state, &e));
	must(nl_client_new(&host.netlink, &e));
	must(provider_registry_open(&settings, &host.providers, &e));
	must(uplink_new(&host, times ? times : &quick, &host.link, &e));
}

static inline void host_open(const struct link_times *times)
{
	host_make(times);
	must(link_start(host.link, &e));
}

static inline void host_close(void)
{
	assert_true(link_free(host.link, PATIENCE_S));
	provider_registry_free(host.providers);
	nl_client_free(host.netlink);
	state_free(host.state);
	events_free(host.events);
	sd_event_unref(host.event);
	free(host.conf.state_dir);
}

static inline int link_setup(void **state)
{
	const struct vault_settings settings = { .dir = dir };

	signal(SIGPIPE, SIG_IGN);
	(void)state;
	e = ERROR_NULL;
	unit_make_dir(dir);
	unit_make_dir(host_dir);
	must(store_open(dir, &store, &e));
	must(vault_create(&settings, VAULT_FROM_KEY_FILE, &e));
	must(vault_open(&settings, &vault, &e));
	must(authority_init(store, vault, "manager.example", &e));
	must(authority_load(store, vault, &authority, &e));
	must(authority_issue_server(authority, "127.0.0.1", &e));
	server_ctx = new_server_ctx();
	must(authority_use(authority, server_ctx, &e));
	make_listener();
	host_open(NULL);
	return 0;
}

static inline int link_teardown(void **state)
{
	host_close();
	SSL_CTX_free(server_ctx);
	if (listener >= 0)
		close(listener);
	authority_free(authority);
	vault_free(vault);
	unit_remove_dir(unit_path(host_dir, "manager"));
	unit_remove_dir(unit_path(host_dir, "providers"));
	unit_remove_dir(host_dir);
	store_free(store);
	unit_remove_dir(dir);
	(void)state;
	return 0;
}

#define link_test(f) cmocka_unit_test_setup_teardown(f, link_setup, link_teardown)

/* What the server does. */

static inline struct peer *peer_accept_tcp(void)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct peer *peer = calloc(1, sizeof(*peer));

	assert_int_equal(poll(&p, 1, PATIENCE_S * 1000), 1);
	peer->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer->fd >= 0);
	setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(peer->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return peer;
}

/* Return: whether the host went on. */
static inline bool peer_tls(struct peer *peer, bool certificate)
{
	peer->ssl = SSL_new(server_ctx);
	if (certificate)
		SSL_set_verify(peer->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_set_fd(peer->ssl, peer->fd);
	return SSL_accept(peer->ssl) == 1;
}

static inline void peer_close(struct peer *peer)
{
	if (!peer)
		return;
	SSL_free(peer->ssl);
	close(peer->fd);
	free(peer);
}

static inline bool peer_read(struct peer *peer, void *data, size_t size)
{
	uint8_t *p = data;
	int n;

	for (; size; p += n, size -= (size_t)n) {
		n = SSL_read(peer->ssl, p, (int)size);
		if (n <= 0)
			return false;
	}
	return true;
}

static inline void peer_write(struct peer *peer, const void *data, size_t size)
{
	if (size)
		assert_int_equal(SSL_write(peer->ssl, data, (int)size), (int)size);
}

/* Up to the empty line; "" at the end of the connection. */
static inline void peer_headers(struct peer *peer, char *ret, size_t size)
{
	size_t n = 0;

	ret[0] = '\0';
	while (!strstr(ret, "\r\n\r\n")) {
		assert_true(n + 1 < size);
		if (!peer_read(peer, ret + n, 1)) {
			ret[0] = '\0';
			return;
		}
		ret[++n] = '\0';
	}
}

/* The WebSocket's answer to its key (RFC 6455 section 4.2.2). */
static inline void accept_key(const char *headers, char ret[64])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char *key = strcasestr(headers, "Sec-WebSocket-Key: ");
	char text[128];
	uint8_t hash[20];

	assert_non_null(key);
	key += strlen("Sec-WebSocket-Key: ");
	snprintf(text, sizeof(text), "%.*s%s", (int)strcspn(key, "\r"), key, guid);
	assert_int_equal(EVP_Digest(text, strlen(text), hash, NULL, EVP_sha1(), NULL), 1);
	base64_encode(hash, sizeof(hash), ret);
}

static inline struct peer *peer_accept(void)
{
	struct peer *peer = peer_accept_tcp();
	char headers[4096], key[64], answer[512];

	assert_true(peer_tls(peer, /* certificate= */ true));
	assert_int_equal(SSL_version(peer->ssl), TLS1_3_VERSION);
	peer_headers(peer, headers, sizeof(headers));
	assert_memory_equal(headers, "GET " CHANNEL_PATH " ", strlen("GET " CHANNEL_PATH " "));
	assert_non_null(strcasestr(headers, "Sec-WebSocket-Protocol: " CHANNEL_PROTOCOL "\r\n"));
	accept_key(headers, key);
	snprintf(answer, sizeof(answer), "HTTP/1.1 101 Switching Protocols\r\n"
		 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
		 "Sec-WebSocket-Protocol: " CHANNEL_PROTOCOL "\r\n\r\n", key);
	peer_write(peer, answer, strlen(answer));
	return peer;
}

static inline void send_frame(struct peer *peer, uint8_t first, const void *data, size_t size)
{
	uint8_t head[10] = { first };
	size_t n = 2, i;

	if (size < 126) {
		head[1] = (uint8_t)size;
	} else if (size <= UINT16_MAX) {
		head[1] = 126;
		head[2] = (uint8_t)(size >> 8);
		head[3] = (uint8_t)size;
		n = 4;
	} else {
		head[1] = 127;
		for (i = 0; i < 8; i++)
			head[2 + i] = (uint8_t)(size >> (56 - 8 * i));
		n = 10;
	}
	peer_write(peer, head, n);
	peer_write(peer, data, size);
}

static inline void send_text(struct peer *peer, const char *text)
{
	send_frame(peer, FIN | OP_TEXT, text, strlen(text));
}

/* The next frame, unmasked. Return: its first byte; -1: the connection has ended. */
static inline int read_frame(struct peer *peer, char **ret, size_t *ret_size)
{
	uint8_t head[2], more[8], mask[4];
	uint64_t size;
	size_t i, n;
	char *data;

	if (!peer_read(peer, head, 2))
		return -1;
	size = head[1] & 0x7f;
	n = size == 126 ? 2 : size == 127 ? 8 : 0;
	if (n && !peer_read(peer, more, n))
		return -1;
	for (i = 0, size = n ? 0 : size; i < n; i++)
		size = size << 8 | more[i];
	assert_true(head[1] & 0x80);
	assert_true(size <= CHANNEL_FRAME_MAX);
	data = calloc(1, size + 1);
	if (!peer_read(peer, mask, 4) || !peer_read(peer, data, size)) {
		free(data);
		return -1;
	}
	for (i = 0; i < size; i++)
		data[i] = (char)((uint8_t)data[i] ^ mask[i % 4]);
	*ret = data;
	*ret_size = size;
	return head[0];
}

/* The next message; pings are answered meanwhile. NULL: the connection has ended. */
static inline json_t *read_message(struct peer *peer)
{
	for (;;) {
		_cleanup_free_ char *data = NULL;
		size_t size = 0;
		int first = read_frame(peer, &data, &size);
		json_t *json;

		if (first < 0 || first == (FIN | OP_CLOSE))
			return NULL;
		if (first == (FIN | OP_PING)) {
			send_frame(peer, FIN | OP_PONG, data, size);
			continue;
		}
		if (first == (FIN | OP_PONG))
			continue;
		assert_int_equal(first, FIN | OP_TEXT);
		must(json_parse(data, size, CHANNEL_FRAME_MAX, "message", &json, &e));
		return json;
	}
}

static inline void send_json(struct peer *peer, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	assert_non_null(text);
	send_text(peer, text);
	free(text);
	json_decref(json);
}

/* A request of the host's that it is to make now; reports of disks are answered by the way. */
static inline json_t *expect(struct peer *peer, const char *op)
{
	for (;;) {
		json_t *message = read_message(peer);

		assert_non_null(message);
		if (!strcmp(json_text(message, "op"), op)) {
			must(channel_check_args(CHANNEL_HOST, op, json_object_get(message, "args"),
						&e));
			return message;
		}
		if (strcmp(json_text(message, "op"), "disk.report") != 0)
			fail_msg("%s was asked, not %s", json_text(message, "op"), op);
		send_json(peer, json_pack("{s:O, s:b, s:{}}", "id", json_object_get(message, "id"),
					  "ok", 1, "result"));
		json_decref(message);
	}
}

static inline void answer(struct peer *peer, const json_t *request, json_t *result)
{
	send_json(peer, json_pack("{s:O, s:b, s:o}", "id", json_object_get(request, "id"), "ok", 1,
				  "result", result));
}

static inline void answer_failure(struct peer *peer, const json_t *request, int status,
				  const char *error, const char *key_reason, const char *text)
{
	send_json(peer, json_pack("{s:O, s:b, s:{s:i, s:s, s:n, s:s?, s:s}}", "id",
				  json_object_get(request, "id"), "ok", 0, "error", "status", status,
				  "errno", error, "reason", "key_reason", key_reason, "text", text));
}

/* Ask the host; what it reports meanwhile is answered. The answer, to be released. */
static inline json_t *ask(struct peer *peer, const char *op, json_t *args)
{
	static int id;

	send_json(peer, json_pack("{s:i, s:s, s:o}", "id", ++id, "op", op, "args", args));
	for (;;) {
		json_t *message = read_message(peer);

		assert_non_null(message);
		if (json_has(message, "ok") &&
		    json_integer_value(json_object_get(message, "id")) == id)
			return message;
		assert_string_equal(json_text(message, "op"), "disk.report");
		answer(peer, message, json_object());
		json_decref(message);
	}
}

static inline void ask_well(struct peer *peer, const char *op, json_t *args)
{
	_cleanup_json_ json_t *reply = ask(peer, op, args);

	if (!json_is_true(json_object_get(reply, "ok")))
		fail_msg("%s: %s", op, json_text(json_object_get(reply, "error"), "text"));
	must(channel_check_result(CHANNEL_MANAGER, op, json_object_get(reply, "result"), &e));
}

static inline void ask_badly(struct peer *peer, const char *op, json_t *args, const char *error)
{
	_cleanup_json_ json_t *reply = ask(peer, op, args);

	assert_true(json_is_false(json_object_get(reply, "ok")));
	assert_string_equal(json_text(json_object_get(reply, "error"), "errno"), error);
}

/* Joining: the host waits in a thread of its own. */

struct joining {
	pthread_t thread;
	struct jointoken token;
	int r;
	struct error e;
};

static inline void *joining_main(void *arg)
{
	struct joining *j = arg;

	j->r = link_join(host.link, url, "host-1", &j->token, &j->e);
	return NULL;
}

/* @flip: of the first byte that the token pins the authority with; 0: it is the right one */
static inline void join_begin(struct joining *j, uint8_t flip)
{
	char text[AUTHORITY_FINGERPRINT_SIZE];
	uint8_t pin[JOINTOKEN_FINGERPRINT_SIZE];

	*j = (struct joining){ .r = 1 };
	authority_fingerprint(authority, text);
	assert_int_equal(hex_decode(text, pin, sizeof(pin)), 0);
	pin[0] ^= flip;
	must(jointoken_new(pin, &j->token, &e));
	assert_int_equal(pthread_create(&j->thread, NULL, joining_main, j), 0);
}

static inline int join_end(struct joining *j)
{
	pthread_join(j->thread, NULL);
	jointoken_done(&j->token);
	return j->r;
}

/* The request of joining, checked; NULL: the host has hung up. */
static inline json_t *read_join(struct peer *peer)
{
	char headers[4096], *length, body[8192];
	size_t size;
	json_t *json;

	peer_headers(peer, headers, sizeof(headers));
	if (!*headers)
		return NULL;
	assert_memory_equal(headers, "POST " JOINTOKEN_PATH " ", strlen("POST " JOINTOKEN_PATH " "));
	length = strcasestr(headers, "\r\nContent-Length: ");
	assert_non_null(length);
	size = strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
	assert_true(size < sizeof(body));
	if (!peer_read(peer, body, size))
		return NULL;
	must(json_parse(body, size, sizeof(body), "body", &json, &e));
	return json;
}

static inline void send_answer(struct peer *peer, unsigned int status, const char *body)
{
	char head[256];

	snprintf(head, sizeof(head), "HTTP/1.1 %u Whatever\r\nContent-Type: application/json\r\n"
		 "Content-Length: %zu\r\n\r\n", status, strlen(body));
	peer_write(peer, head, strlen(head));
	peer_write(peer, body, strlen(body));
}

static inline void send_certificate(struct peer *peer, const json_t *request, const char *id)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	const char *csr = json_text(request, "csr");
	_cleanup_json_ json_t *json = NULL;
	char *body;

	must(authority_issue_host(authority, id, csr, strlen(csr), &issued, &e));
	json = json_pack("{s:s, s:s, s:s}", "host", id, "certificate", issued.pem, "ca",
			 authority_pem(authority));
	body = json_dumps(json, 0);
	send_answer(peer, 201, body);
	free(body);
}

static inline void join_well(void)
{
	struct joining j;
	struct peer *peer;
	json_t *request;

	join_begin(&j, /* flip= */ 0);
	peer = peer_accept_tcp();
	assert_true(peer_tls(peer, /* certificate= */ false));
	request = read_join(peer);
	assert_non_null(request);
	send_certificate(peer, request, HOST_1);
	json_decref(request);
	if (join_end(&j) < 0)
		fail_msg("%s", j.e.text);
	peer_close(peer);
}

/* The public key that the host said hello with. */
static uint8_t host_public[BOX_KEY_SIZE];

static inline struct peer *hello_well(void)
{
	struct peer *peer = peer_accept();
	_cleanup_json_ json_t *hello = expect(peer, "hello");

	must(json_get_base64(json_object_get(hello, "args"), "hello", "public_key", host_public,
			     BOX_KEY_SIZE, &e));
	answer(peer, hello, json_pack("{s:s, s:s}", "host", HOST_1, "name", "host-1"));
	return peer;
}

static inline void wait_connected(bool connected)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	struct link_view view;
	int i;

	for (i = 0; i < PATIENCE_S * 200; i++) {
		link_look(host.link, &view);
		if (view.connected == connected)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("The host is %sconnected: %s", connected ? "not " : "", view.trouble.text);
}

#endif
