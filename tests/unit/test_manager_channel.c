/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hosts' channel over real TLS and WebSocket, and those who misuse it. */
#include "channel_fixture.h"

#include "crypto/box.h"

static void hello(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct client c;
	json_t *answer;

	(void) state;
	assert_int_equal(client_dial(&c, &host), 101);
	assert_false(link_connected(&manager, host.id));
	fails_with(request(&c, 7, "cert.renew", "{\"csr\":\"x\"}"), "EACCES");
	answer = request(&c, 8, "hello", hello_1);
	assert_true(succeeded(answer));
	assert_string_equal(json_text(json_object_get(answer, "result"), "host"), host.id);
	assert_string_equal(json_text(json_object_get(answer, "result"), "name"), "one");
	json_decref(answer);
	assert_true(link_connected(&manager, host.id));
	takes_mode(&c, "safe");
	fails_with(request(&c, 9, "hello", hello_1), "EALREADY");
	fails_with(request(&c, 10, "no.such", "{}"), "EOPNOTSUPP");
	fails_with(request(&c, 11, "mode.set", "{\"mode\":\"safe\"}"), "EOPNOTSUPP");
	fails_with(request(&c, 12, "key.get", "{\"key\":1}"), "EBADMSG");
	host_member_is(host.id, "version", "0.1.0");
	host_member_is(host.id, "boot_id", BOOT_1);
	assert_int_equal(count_rows("host.connect", "HostConnectedEvent", host.id), 1);
	client_close(&c);
	await(!link_connected(&manager, host.id));
	await(count_rows("host.disconnect", "HostConnectionLostEvent", host.id) == 1);
	host_done(&host);
}

static int anonymous(const char *path, const char *protocol)
{
	struct client c;
	int status;

	assert_true(client_connect(&c, NULL, NULL, 0));
	status = client_upgrade(&c, path, protocol);
	client_close(&c);
	return status;
}

static void who_may_not(void **state)
{
	struct host host = host_new("one", "safe", NULL), stranger = { .key = EVP_EC_gen("P-256") };
	struct client c;

	(void) state;
	/* No certificate, one of its own making, one that is not a host's. */
	assert_int_equal(anonymous(CHANNEL_PATH, CHANNEL_PROTOCOL), 403);
	assert_int_equal(anonymous("/api/v1/other", CHANNEL_PROTOCOL), 404);
	assert_int_equal(anonymous(CHANNEL_PATH, NULL), 400);
	assert_int_equal(anonymous(CHANNEL_PATH, "chat"), 400);

	stranger.certificate = X509_new();
	X509_set_version(stranger.certificate, X509_VERSION_3);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(stranger.certificate), "CN", MBSTRING_UTF8,
				   (const uint8_t *) host.id, -1, -1, 0);
	X509_set_issuer_name(stranger.certificate, X509_get_subject_name(stranger.certificate));
	X509_gmtime_adj(X509_getm_notBefore(stranger.certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(stranger.certificate), 3600);
	X509_set_pubkey(stranger.certificate, stranger.key);
	assert_true(X509_sign(stranger.certificate, stranger.key, EVP_sha256()) > 0);
	assert_int_equal(client_dial(&c, &stranger), 403);
	client_close(&c);
	host_done(&stranger);

	/* The right one by TLS 1.2, the right one with a serial that does not count, and of a
	 * host that was removed. */
	assert_true(client_connect(&c, host.key, host.certificate, TLS1_2_VERSION));
	assert_int_equal(client_upgrade(&c, CHANNEL_PATH, CHANNEL_PROTOCOL), 403);
	client_close(&c);
	assert_int_equal(client_dial(&c, &host), 101);
	client_close(&c);
	host_set(host.id, "state", "removed");
	assert_int_equal(client_dial(&c, &host), 403);
	client_close(&c);
	host_set(host.id, "state", "active");
	host_set(host.id, "serial", "00");
	assert_int_equal(client_dial(&c, &host), 403);
	client_close(&c);
	must(store_delete(store, "host", host.id, &e));
	assert_int_equal(client_dial(&c, &host), 403);
	client_close(&c);
	host_done(&host);
}

/* Removed between the dialling and the hello. */
static void removed_before_hello(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct client c;

	(void) state;
	assert_int_equal(client_dial(&c, &host), 101);
	host_set(host.id, "state", "removed");
	fails_with(request(&c, 1, "hello", hello_1), "EACCES");
	closes(&c);
	assert_false(link_connected(&manager, host.id));
	client_close(&c);
	host_done(&host);
}

/* A certificate counts until its successor was used, not until that was made. */
static void renewal(void **state)
{
	struct host host = host_new("one", "safe", NULL), next = { .key = EVP_EC_gen("P-384") };
	_cleanup_free_ char *csr = csr_of(next.key);
	_cleanup_json_ json_t *args = json_pack("{s:s}", "csr", csr), *answer = NULL;
	_cleanup_free_ char *text = json_dumps(args, 0);
	const char *pem;
	struct client c;

	(void) state;
	joins_in(&c, &host, "safe");
	fails_with(request(&c, 2, "cert.renew", "{\"csr\":\"no request\"}"), "EBADMSG");
	answer = request(&c, 3, "cert.renew", text);
	assert_true(succeeded(answer));
	pem = json_text(json_object_get(answer, "result"), "certificate");
	next.certificate = x509_from_pem(pem, strlen(pem));
	assert_non_null(next.certificate);
	client_close(&c);

	joins_in(&c, &host, "safe");
	client_close(&c);
	joins_in(&c, &next, "safe");
	client_close(&c);
	assert_int_equal(client_dial(&c, &host), 403);
	client_close(&c);
	joins_in(&c, &next, "safe");
	client_close(&c);
	assert_int_equal(count_rows("host.certificate", NULL, host.id), 4);
	host_done(&host);
	host_done(&next);
}

static void garbage(void **state)
{
	static const char *const messages[] = {
		"", "x", "[]", "{}", "null", "{\"id\":1}", "{\"id\":-1,\"op\":\"hello\",\"args\":{}}",
		"{\"id\":1,\"op\":\"hello\"}", "{\"id\":1,\"op\":\"hello\",\"args\":[]}",
		"{\"id\":1,\"id\":1,\"op\":\"hello\",\"args\":{}}",
		"{\"id\":1,\"op\":\"hello\",\"args\":{}} {}",
		"{\"id\":1,\"ok\":true,\"result\":{}}",
		"{\"id\":1,\"ok\":false,\"error\":{\"status\":1,\"errno\":\"EIO\",\"reason\":null,"
		"\"key_reason\":null,\"text\":\"no\"}}",
		"{\"id\":9007199254740993,\"op\":\"hello\",\"args\":{}}",
	};
	struct host host = host_new("one", "safe", NULL);
	struct client c;
	size_t i;

	(void) state;
	for (i = 0; i < ARRAY_SIZE(messages); i++) {
		joins_in(&c, &host, "safe");
		assert_true(send_frame(&c, FIN | OP_TEXT, messages[i], strlen(messages[i])));
		assert_int_equal(closes(&c), 1002);
		client_close(&c);
	}
	joins_in(&c, &host, "safe");
	assert_true(send_frame(&c, FIN | OP_BINARY, "{}", 2));
	assert_int_equal(closes(&c), 1003);
	client_close(&c);
	/* No UTF-8, a reserved operation, a continuation of nothing. */
	joins_in(&c, &host, "safe");
	send_frame(&c, FIN | OP_TEXT, "\"\xff\"", 3);
	closes(&c);
	client_close(&c);
	joins_in(&c, &host, "safe");
	send_frame(&c, FIN | 0x3, "{}", 2);
	closes(&c);
	client_close(&c);
	joins_in(&c, &host, "safe");
	send_frame(&c, FIN | OP_CONTINUE, "{}", 2);
	closes(&c);
	client_close(&c);
	/* It goes on for others. */
	joins_in(&c, &host, "safe");
	client_close(&c);
	host_done(&host);
}

static void random_frames(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	uint8_t data[300];
	struct client c;
	int i;

	(void) state;
	for (i = 0; i < 30; i++) {
		RAND_bytes(data, sizeof(data));
		assert_int_equal(client_dial(&c, &host), 101);
		(void) !SSL_write(c.ssl, data, 1 + data[0]);
		SSL_shutdown(c.ssl);
		shutdown(c.fd, SHUT_WR);
		client_close(&c);
	}
	joins_in(&c, &host, "safe");
	client_close(&c);
	host_done(&host);
}

static void sizes(void **state)
{
	static const char unknown[] = "{\"id\":5,\"op\":\"no.such\",\"args\":{}}";
	struct host host = host_new("one", "safe", NULL);
	char *large = malloc(CHANNEL_FRAME_MAX + 1);
	struct client c;
	size_t i;

	(void) state;
	memset(large, ' ', CHANNEL_FRAME_MAX + 1);
	/* The largest, in fragments, with a ping between them. */
	joins_in(&c, &host, "safe");
	memcpy(large, unknown, strlen(unknown));
	for (i = 0; i < CHANNEL_FRAME_MAX; i += 1024) {
		uint8_t first = (i == 0 ? OP_TEXT : OP_CONTINUE) |
				(i + 1024 >= CHANNEL_FRAME_MAX ? FIN : 0);

		assert_true(send_frame(&c, first, large + i, 1024));
		if (i == 2048)
			assert_true(send_frame(&c, FIN | OP_PING, "x", 1));
	}
	fails_with(receive(&c), "EOPNOTSUPP");
	client_close(&c);
	/* One byte more, in one frame and in two. */
	joins_in(&c, &host, "safe");
	send_frame(&c, FIN | OP_TEXT, large, CHANNEL_FRAME_MAX + 1);
	assert_int_equal(closes(&c), 1009);
	client_close(&c);
	joins_in(&c, &host, "safe");
	send_frame(&c, OP_TEXT, large, CHANNEL_FRAME_MAX);
	send_frame(&c, FIN | OP_CONTINUE, large, 1);
	assert_int_equal(closes(&c), 1009);
	client_close(&c);
	free(large);
	host_done(&host);
}

static void replaced(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct client a, b;

	(void) state;
	joins_in(&a, &host, "safe");
	joins_in(&b, &host, "safe");
	closes(&a);
	client_close(&a);
	assert_true(link_connected(&manager, host.id));
	fails_with(request(&b, 2, "no.such", "{}"), "EOPNOTSUPP");
	assert_int_equal(count_rows("host.disconnect", NULL, host.id), 0);
	client_close(&b);
	host_done(&host);
}

/*
 * Questions to hosts.
 */

struct question {
	const char *host;
	unsigned int ms;
	int r;
	struct channel_failure why;
	json_t *result;
	pthread_t thread;
};

static void *ask_thread(void *arg)
{
	struct question *q = arg;
	_cleanup_json_ json_t *args = json_pack("{s:s, s:s}", "provider", BOOT_1, "key", "k");

	q->r = link_ask(&manager, q->host, "key.remove", args, q->ms, &q->result, &q->why);
	return NULL;
}

static void ask(struct question *q, const char *host, unsigned int ms)
{
	*q = (struct question) { .host = host, .ms = ms };
	assert_int_equal(pthread_create(&q->thread, NULL, ask_thread, q), 0);
}

static int outcome(struct question *q)
{
	pthread_join(q->thread, NULL);
	json_decref(q->result);
	return q->r;
}

static void asking(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct question q, many[8];
	struct client c;
	json_t *asked[8];
	size_t i;

	(void) state;
	ask(&q, host.id, 1000);
	assert_int_equal(outcome(&q), -ENOTCONN);
	assert_int_equal(q.why.error.status, EXIT_NO_KEY);
	unit_speaks(&q.why.error, host.id);

	joins_in(&c, &host, "safe");
	for (i = 0; i < ARRAY_SIZE(many); i++)
		ask(&many[i], host.id, PATIENCE_S * 1000);
	for (i = 0; i < ARRAY_SIZE(many); i++) {
		asked[i] = receive(&c);
		assert_string_equal(json_text(asked[i], "op"), "key.remove");
	}
	/* In any order, and between requests of its own. */
	for (i = ARRAY_SIZE(many); i-- > 0;) {
		answer_ask(&c, asked[i], "{}");
		fails_with(request(&c, 100 + (int) i, "no.such", "{}"), "EOPNOTSUPP");
		json_decref(asked[i]);
	}
	for (i = 0; i < ARRAY_SIZE(many); i++)
		assert_int_equal(outcome(&many[i]), 0);
	client_close(&c);
	host_done(&host);
}

static void asking_in_vain(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct question q;
	struct client c;
	json_t *asked;
	char text[512];

	(void) state;
	joins_in(&c, &host, "safe");
	/* Too late, which closes nothing. */
	ask(&q, host.id, 50);
	asked = receive(&c);
	assert_int_equal(outcome(&q), -ETIMEDOUT);
	assert_int_equal(q.why.error.status, EXIT_NO_KEY);
	answer_ask(&c, asked, "{}");
	json_decref(asked);
	/* The host's own words. */
	ask(&q, host.id, PATIENCE_S * 1000);
	asked = receive(&c);
	snprintf(text, sizeof(text), "{\"id\":%lld,\"ok\":false,\"error\":{\"status\":3,\"errno\":\"EBUSY\","
		 "\"reason\":null,\"key_reason\":\"KeyStateMissingInCache\",\"text\":\"a disk needs it\"}}",
		 (long long) json_integer_value(json_object_get(asked, "id")));
	send_text(&c, text);
	json_decref(asked);
	assert_int_equal(outcome(&q), -EBUSY);
	assert_string_equal(q.why.error.text, "a disk needs it");
	assert_string_equal(q.why.key_reason, "KeyStateMissingInCache");
	assert_int_equal(q.why.error.status, EXIT_NO_KEY);
	/* An answer of another form ends it, and so does going away. */
	ask(&q, host.id, PATIENCE_S * 1000);
	asked = receive(&c);
	answer_ask(&c, asked, "{\"x\":1}");
	json_decref(asked);
	assert_int_equal(outcome(&q), -ECONNRESET);
	assert_int_equal(closes(&c), 1002);
	client_close(&c);
	joins_in(&c, &host, "safe");
	ask(&q, host.id, PATIENCE_S * 1000);
	json_decref(receive(&c));
	client_close(&c);
	assert_int_equal(outcome(&q), -ECONNRESET);
	assert_int_equal(q.why.error.status, EXIT_NO_KEY);
	host_done(&host);
}

static void asking_and_replaced(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct question q;
	struct client a, b;

	(void) state;
	joins_in(&a, &host, "safe");
	ask(&q, host.id, PATIENCE_S * 1000);
	json_decref(receive(&a));
	joins_in(&b, &host, "safe");
	assert_int_equal(outcome(&q), -ECONNRESET);
	client_close(&a);
	ask(&q, host.id, PATIENCE_S * 1000);
	json_decref(receive(&b));
	link_close(&manager, host.id);
	assert_int_equal(outcome(&q), -ECONNRESET);
	closes(&b);
	client_close(&b);
	/* It may dial again. */
	joins_in(&b, &host, "safe");
	client_close(&b);
	host_done(&host);
}

static void too_many_questions(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct question q[CHANNEL_PENDING_MAX], more;
	struct client c;
	size_t i;

	(void) state;
	joins_in(&c, &host, "safe");
	for (i = 0; i < ARRAY_SIZE(q); i++)
		ask(&q[i], host.id, i == 0 ? PATIENCE_S * 1000 : 1);
	for (i = 0; i < ARRAY_SIZE(q); i++)
		json_decref(receive(&c));
	for (i = 1; i < ARRAY_SIZE(q); i++)
		assert_int_equal(outcome(&q[i]), -ETIMEDOUT);
	ask(&more, host.id, PATIENCE_S * 1000);
	assert_int_equal(outcome(&more), -EAGAIN);
	client_close(&c);
	assert_int_equal(outcome(&q[0]), -ECONNRESET);
	host_done(&host);
}

/* Requests are worked on in their order, and nothing but keys waits for a key server. */
static void slow_keys(void **state)
{
	static const char args[] = "{\"provider\":null,\"vm\":\"v\",\"disk\":\"d\"}";
	struct host slow = host_new("slow", "safe", NULL), quick = host_new("quick", "safe", NULL);
	struct client a, b;
	json_t *answer;
	int i;

	(void) state;
	pthread_mutex_lock(&gate);
	joins_in(&a, &slow, "safe");
	for (i = 0; i < 3; i++)
		send_request(&a, 10 + i, "key.new", args);
	fails_with(request(&a, 13, "no.such", "{}"), "EOPNOTSUPP");
	answer = request(&a, 14, "disk.report", "{\"disks\":[],\"more\":false}");
	assert_true(succeeded(answer));
	json_decref(answer);
	joins_in(&b, &quick, "safe");
	for (i = 0; i < 3; i++)
		fails_with(request(&b, 20 + i, "no.such", "{}"), "EOPNOTSUPP");
	pthread_mutex_unlock(&gate);
	for (i = 0; i < 3; i++) {
		answer = receive(&a);
		assert_int_equal(json_integer_value(json_object_get(answer, "id")), 10 + i);
		assert_string_equal(json_text(json_object_get(answer, "error"), "key_reason"),
				    "KeyStateClusterUnreachable");
		fails_with(answer, "EHOSTUNREACH");
	}
	client_close(&a);
	client_close(&b);
	host_done(&slow);
	host_done(&quick);
}

static void too_many_requests(void **state)
{
	static const char args[] = "{\"provider\":null,\"vm\":\"v\",\"disk\":\"d\"}";
	struct host host = host_new("one", "safe", NULL);
	struct client c;
	int i;

	(void) state;
	pthread_mutex_lock(&gate);
	joins_in(&c, &host, "safe");
	for (i = 0; i < CHANNEL_PENDING_MAX; i++)
		send_request(&c, 10 + i, "key.new", args);
	/* So many are taken. */
	usleep(100000);
	assert_true(link_connected(&manager, host.id));
	send_request(&c, 5, "no.such", "{}");
	assert_int_equal(closes(&c), 1002);
	pthread_mutex_unlock(&gate);
	client_close(&c);
	host_done(&host);
}

static void silent_ones(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct client c;

	(void) state;
	channel_stop();
	channel_start(/* ping_ms= */ 100, /* dead_ms= */ 1500);
	/* Who answers pings stays. */
	joins_in(&c, &host, "safe");
	for (time_t end = time(NULL) + 4; time(NULL) < end;) {
		struct pollfd p = { .fd = c.fd, .events = POLLIN };
		uint8_t op;
		size_t size;

		if (poll(&p, 1, 100) > 0) {
			_cleanup_free_ char *data = read_frame(&c, &op, &size);

			assert_non_null(data);
			assert_int_equal(op, OP_PING);
			c.pings++;
			send_frame(&c, FIN | OP_PONG, data, size);
		}
	}
	assert_true(c.pings > 3);
	assert_true(link_connected(&manager, host.id));
	/* Who does not is given up. */
	c.mute = true;
	closes(&c);
	await(!link_connected(&manager, host.id));
	client_close(&c);
	host_done(&host);
}

static void sealing(void **state)
{
	_cleanup_box_key_ struct box_key key = BOX_KEY_NULL;
	_cleanup_secret_ struct secret kek = unit_counting(32), opened = SECRET_NULL;
	_cleanup_json_ json_t *sealed = NULL;
	struct host host = host_new("one", "safe", NULL);
	char args[512], public_key[BASE64_SIZE(BOX_KEY_SIZE)];
	uint8_t provider[UUID_SIZE] = { 1 }, uuid[UUID_SIZE];
	struct client c;
	struct box box;

	(void) state;
	must_fail(link_seal_kek(&manager, host.id, provider, "p", "key-1", &kek, &sealed, &e),
		  -ENOTCONN, host.id);
	must(box_key_new(&key, &e));
	base64_encode(key.public_key, BOX_KEY_SIZE, public_key);
	snprintf(args, sizeof(args), "{\"version\":\"1\",\"name\":\"h\",\"boot_id\":\"" BOOT_1 "\","
		 "\"module\":\"1.0\",\"tpm\":true,\"public_key\":\"%s\"}", public_key);
	assert_int_equal(client_dial(&c, &host), 101);
	says_hello(&c, args, "safe");
	must(link_seal_kek(&manager, host.id, provider, "p", "key-1", &kek, &sealed, &e));
	must(json_get_base64_max(sealed, "key", "sealed", box.data, sizeof(box.data), &box.size, &e));
	must(uuid_parse_text(host.id, uuid));
	must(box_open_kek(&key, provider, "key-1", uuid, &box, &opened, &e));
	assert_true(secret_equal(&kek, &opened));
	client_close(&c);
	host_done(&host);
}

/* It ends while hosts are there, questions wait and requests are worked on. */
static void the_end(void **state)
{
	struct host host = host_new("one", "safe", NULL);
	struct question q;
	struct client c, half;

	(void) state;
	joins_in(&c, &host, "safe");
	ask(&q, host.id, PATIENCE_S * 1000);
	json_decref(receive(&c));
	send_request(&c, 5, "key.new", "{\"provider\":null,\"vm\":\"v\",\"disk\":\"d\"}");
	assert_true(client_connect(&half, host.key, host.certificate, 0));
	channel_stop();
	assert_int_equal(outcome(&q), -ECONNRESET);
	client_close(&c);
	client_close(&half);
	channel_start(0, 0);
	joins_in(&c, &host, "safe");
	client_close(&c);
	host_done(&host);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		channel_test(hello), channel_test(who_may_not), channel_test(removed_before_hello),
		channel_test(renewal), channel_test(garbage), channel_test(random_frames),
		channel_test(sizes), channel_test(replaced), channel_test(asking),
		channel_test(asking_in_vain), channel_test(asking_and_replaced),
		channel_test(too_many_questions), channel_test(slow_keys),
		channel_test(too_many_requests), channel_test(silent_ones), channel_test(sealing),
		channel_test(the_end),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("channel", tests, unit_setup, NULL);
}
