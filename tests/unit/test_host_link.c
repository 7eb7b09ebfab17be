/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's end of the channel, against a manager that the test plays, rightly or
 * wrongly.
 */
#include "link_orders.h"

#include "crypto/gcm.h"

static int get_key(const char *key_id, struct secret *ret, struct error *ret_e)
{
	struct key_locator locator = { .provider_name = "kms" };
	const struct key_use use = { .vm = "web1", .disk = "root" };

	uuid_parse_text(PROVIDER_1, locator.provider);
	snprintf(locator.key_id, sizeof(locator.key_id), "%s", key_id);
	*ret_e = ERROR_NULL;
	return provider_key_get(host.providers, &locator, &use, ret, ret_e);
}

static void has_key(const char *key_id, const char *bytes)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	struct error why;

	if (get_key(key_id, &kek, &why) < 0)
		fail_msg("%s", why.text);
	assert_int_equal(kek.size, KEK_SIZE);
	assert_memory_equal(kek.data, bytes, KEK_SIZE);
}

static void survives_a_restart(void **state)
{
	struct link_view view;
	struct peer *peer;

	(void)state;
	peer = ready();
	host_close();
	peer_close(peer);
	host_open(NULL);
	link_look(host.link, &view);
	assert_true(view.joined);
	assert_int_equal(view.mode, MODE_SAFE);
	peer = hello_well();
	wait_connected(true);
	peer_close(peer);
}

/* Each of these ends the connection, and the host dials anew. */
static void breaks_the_rules(void **state)
{
	static const char *const bad[] = {
		"x", "{}", "[]", "{\"id\":1}", "{\"id\":77,\"ok\":true,\"result\":{}}",
		"{\"id\":1,\"op\":\"mode.set\",\"args\":{},\"more\":1}", "\xff\xfe",
	};
	char *large = calloc(1, CHANNEL_FRAME_MAX + 2);
	struct peer *peer;
	size_t i;

	(void)state;
	memset(large, ' ', CHANNEL_FRAME_MAX + 1);
	join_well();
	for (i = 0; i < ARRAY_SIZE(bad) + 3; i++) {
		peer = hello_well();
		if (i < ARRAY_SIZE(bad))
			send_text(peer, bad[i]);
		else if (i == ARRAY_SIZE(bad))
			send_frame(peer, FIN | OP_BINARY, "{}", 2);
		else if (i == ARRAY_SIZE(bad) + 1)
			send_text(peer, large);
		/* The last one dies in the middle of a frame. */
		else
			peer_write(peer, "\x81\x7e\x10", 3);
		while (i < ARRAY_SIZE(bad) + 2) {
			json_t *message = read_message(peer);

			if (!message)
				break;
			json_decref(message);
		}
		peer_close(peer);
	}
	peer = hello_well();
	wait_connected(true);
	peer_close(peer);
	free(large);
}

static void leaves_the_channel_open(void **state)
{
	struct peer *peer;

	(void)state;
	join_well();
	peer = hello_well();
	ask_badly(peer, "no.such", json_object(), "EOPNOTSUPP");
	ask_badly(peer, "hello", json_object(), "EOPNOTSUPP");
	ask_badly(peer, "mode.set", json_pack("{s:s}", "mode", "x"), "EBADMSG");
	ask_badly(peer, "mode.set", json_object(), "EBADMSG");
	ask_badly(peer, "run", json_pack("{s:s, s:{}, s:s}", "op", "status", "args", "user", "u\n"),
		  "EBADMSG");
	ask_well(peer, "mode.set", json_pack("{s:s}", "mode", "prepared"));
	peer_close(peer);
}

static void refused_hello(void **state)
{
	struct link_view view;
	struct peer *peer;
	json_t *hello;

	(void)state;
	join_well();
	peer = peer_accept();
	hello = expect(peer, "hello");
	answer_failure(peer, hello, EXIT_NOT_ALLOWED, "EACCES", NULL, "this host was removed");
	assert_null(read_message(peer));
	json_decref(hello);
	peer_close(peer);
	/* Another host's name is no better. */
	peer = peer_accept();
	hello = expect(peer, "hello");
	answer(peer, hello, json_pack("{s:s, s:s}", "host", PROVIDER_1, "name", "x"));
	assert_null(read_message(peer));
	json_decref(hello);
	peer_close(peer);
	link_look(host.link, &view);
	assert_false(view.connected);
	assert_true(error_is_set(&view.trouble));
}

static void keys_are_pushed(void **state)
{
	_cleanup_json_ json_t *reply = NULL;
	struct peer *peer = ready();
	json_t *key, *refused;

	(void)state;
	ask_well(peer, "key.push", json_pack("{s:[o]}", "keys", sealed_key("k1", KEY_BYTES)));
	has_key("k1", KEY_BYTES);
	/* Sealed for another key: it does not open. */
	key = sealed_key("k2", KEY_BYTES);
	json_object_set_new(key, "key", json_string("k3"));
	reply = ask(peer, "key.push", json_pack("{s:[o, o]}", "keys", key,
						sealed_key("k4", KEY_BYTES)));
	refused = json_object_get(json_object_get(reply, "result"), "refused");
	assert_int_equal(json_array_size(refused), 1);
	assert_string_equal(json_text(json_array_get(refused, 0), "key"), "k3");
	has_key("k4", KEY_BYTES);
	ask_well(peer, "key.remove", json_pack("{s:s, s:s}", "provider", PROVIDER_1, "key", "k4"));
	ask_badly(peer, "key.remove", json_pack("{s:s, s:s}", "provider", PROVIDER_1, "key", "k4"),
		  "ENOENT");
	peer_close(peer);
}

/* A host that is not safe takes none, and forgets those that it had. */
static void only_a_safe_host_has_keys(void **state)
{
	const uint8_t nonce[CHANNEL_NONCE_SIZE] = { 1 };
	char text[BASE64_SIZE(CHANNEL_NONCE_SIZE)];
	_cleanup_json_ json_t *reply = NULL;
	struct peer *peer = ready();

	(void)state;
	base64_encode(nonce, sizeof(nonce), text);
	ask_well(peer, "key.push", json_pack("{s:[o]}", "keys", sealed_key("k1", KEY_BYTES)));
	assert_int_equal(provider_key_count(host.providers), 1);
	must(link_check_safe(host.link, &e));
	ask_well(peer, "mode.set", json_pack("{s:s}", "mode", "pending-incapable"));
	assert_int_equal(provider_key_count(host.providers), 0);
	assert_int_equal(link_check_safe(host.link, &e), -EACCES);
	assert_int_equal(e.status, EXIT_NOT_ALLOWED);
	reply = ask(peer, "key.push", json_pack("{s:[o]}", "keys", sealed_key("k1", KEY_BYTES)));
	assert_int_equal(json_array_size(json_object_get(json_object_get(reply, "result"),
							 "refused")), 1);
	assert_int_equal(provider_key_count(host.providers), 0);
	ask_badly(peer, "key.probe", json_pack("{s:o, s:s}", "key", sealed_key("k1", KEY_BYTES),
					       "nonce", text), "EACCES");
	ask_badly(peer, "kdk.push", sealed_kdk(/* require_tpm= */ false), "EACCES");
	peer_close(peer);
}

static void keys_are_probed(void **state)
{
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_secret_ struct secret plain = SECRET_NULL;
	uint8_t nonce[CHANNEL_NONCE_SIZE] = { 1, 2, 3 }, iv[12], tag[16], data[CHANNEL_NONCE_SIZE];
	struct secret kek = unit_secret(KEY_BYTES, KEK_SIZE);
	char text[BASE64_SIZE(CHANNEL_NONCE_SIZE)];
	const char aad[] = CHANNEL_PROBE_LABEL "|" HOST_1;
	struct peer *peer = ready();
	json_t *result;

	(void)state;
	base64_encode(nonce, sizeof(nonce), text);
	reply = ask(peer, "key.probe", json_pack("{s:o, s:s}", "key", sealed_key("k1", KEY_BYTES),
						 "nonce", text));
	result = json_object_get(reply, "result");
	must(json_get_base64(result, "probe", "iv", iv, sizeof(iv), &e));
	must(json_get_base64(result, "probe", "tag", tag, sizeof(tag), &e));
	must(json_get_base64(result, "probe", "ciphertext", data, sizeof(data), &e));
	assert_int_equal(gcm_open(&kek, iv, aad, strlen(aad), data, sizeof(data), tag, &plain), 0);
	assert_memory_equal(plain.data, nonce, sizeof(nonce));
	assert_int_equal(provider_key_count(host.providers), 0);
	secret_done(&kek);
	peer_close(peer);
}

/* A thread that wants a key. */
struct wanting {
	pthread_t thread;
	const char *key_id;
	struct secret kek;
	int r;
	struct error e;
};

static void *wanting_main(void *arg)
{
	struct wanting *w = arg;

	w->r = get_key(w->key_id, &w->kek, &w->e);
	return NULL;
}

static void want(struct wanting *w, const char *key_id)
{
	*w = (struct wanting){ .key_id = key_id };
	assert_int_equal(pthread_create(&w->thread, NULL, wanting_main, w), 0);
}

static void keys_are_fetched(void **state)
{
	struct peer *peer = ready();
	struct wanting w;
	json_t *request;

	(void)state;
	wait_connected(true);
	want(&w, "k1");
	request = expect(peer, "key.get");
	assert_string_equal(json_text(json_object_get(request, "args"), "key"), "k1");
	assert_string_equal(json_text(json_object_get(request, "args"), "vm"), "web1");
	answer(peer, request, sealed_key("k1", KEY_BYTES));
	json_decref(request);
	pthread_join(w.thread, NULL);
	if (w.r < 0)
		fail_msg("%s", w.e.text);
	assert_memory_equal(w.kek.data, KEY_BYTES, KEK_SIZE);
	secret_done(&w.kek);

	/* Not allowed: 4. */
	want(&w, "k2");
	request = expect(peer, "key.get");
	answer_failure(peer, request, EXIT_NOT_ALLOWED, "EACCES", NULL, "another host's VM");
	json_decref(request);
	pthread_join(w.thread, NULL);
	assert_int_equal(w.r, -EACCES);
	assert_int_equal(w.e.status, EXIT_NOT_ALLOWED);
	unit_speaks(&w.e, "another host's VM");

	/* Cannot be had: 3, and the reason. */
	want(&w, "k3");
	request = expect(peer, "key.get");
	answer_failure(peer, request, EXIT_NO_KEY, "ENOKEY", "KeyStateMissingInKMS", "it is gone");
	json_decref(request);
	pthread_join(w.thread, NULL);
	assert_int_equal(w.r, -ENOKEY);
	assert_int_equal(w.e.status, EXIT_NO_KEY);
	unit_speaks(&w.e, "KeyStateMissingInKMS");

	/* Another key than the one that was asked for. */
	want(&w, "k4");
	request = expect(peer, "key.get");
	answer(peer, request, sealed_key("k5", KEY_BYTES));
	json_decref(request);
	pthread_join(w.thread, NULL);
	assert_true(w.r < 0);

	/* The manager dies with the question in hand. */
	want(&w, "k6");
	json_decref(expect(peer, "key.get"));
	peer_close(peer);
	pthread_join(w.thread, NULL);
	assert_int_equal(w.r, -ENOKEY);
	assert_int_equal(w.e.status, EXIT_NO_KEY);
	unit_speaks(&w.e, "Key kms/k6 cannot be had (KeyStateClusterUnreachable)");
	/* What is here still serves. */
	has_key("k1", KEY_BYTES);
}

static void an_answer_never_comes(void **state)
{
	struct channel_failure why;
	struct peer *peer = ready();
	json_t *result, *request;
	int i;

	(void)state;
	wait_connected(true);
	for (i = 0; i < 3; i++) {
		assert_int_equal(uplink_ask(host.link, "key.get",
					    json_pack("{s:s, s:s, s:n}", "provider", PROVIDER_1,
						      "key", "k1", "vm"),
					    in_s(0) + 50, &result, NULL, &why), -ETIMEDOUT);
		assert_int_equal(why.error.status, EXIT_NO_KEY);
		assert_string_equal(why.key_reason, "KeyStateClusterUnreachable");
	}
	/* Those that come late are dropped, and the channel stays. */
	for (i = 0; i < 3; i++) {
		request = expect(peer, "key.get");
		answer(peer, request, sealed_key("k1", KEY_BYTES));
		json_decref(request);
	}
	ask_well(peer, "mode.set", json_pack("{s:s}", "mode", "safe"));
	peer_close(peer);
}

static void waits_are_bounded(void **state)
{
	struct channel_failure why;
	struct peer *peer = ready();
	json_t *result;
	int i, r = 0;

	(void)state;
	wait_connected(true);
	for (i = 0; i <= CHANNEL_PENDING_MAX && r != -EAGAIN; i++)
		r = uplink_ask(host.link, "key.get",
			       json_pack("{s:s, s:s, s:n}", "provider", PROVIDER_1, "key", "k1", "vm"),
			       in_s(0) + 1, &result, NULL, &why);
	assert_int_equal(r, -EAGAIN);
	assert_string_equal(why.key_reason, "KeyStateClusterUnreachable");
	peer_close(peer);
	why = (struct channel_failure){ .key_reason = "" };
	assert_int_equal(link_key_get(NULL, NULL, "k1", NULL, 0, NULL, &why), -ENOTCONN);
	assert_string_equal(why.key_reason, "KeyStateClusterUnreachable");
}

static unsigned int orders_open(void)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&host.link->lock);

	return host.link->n_orders;
}

static bool has_reported(void)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&host.link->lock);

	return host.link->reported;
}

/* The manager hears of a disk before the user who changed it hears that it is done. */
static void reports_before_it_answers(void **state)
{
	_cleanup_json_ json_t *result = json_object(), *report = NULL, *reply = NULL;
	struct peer *peer = ready();
	struct link_order *order;

	(void)state;
	while (!has_reported())
		ask_well(peer, "mode.set", json_pack("{s:s}", "mode", "safe"));
	order = make_order("run", json_object());
	order->frame.id = 4711;
	pthread_mutex_lock(&host.link->lock);
	json_decref(TAKE_PTR(host.link->reported));
	host.link->n_orders++;
	pthread_mutex_unlock(&host.link->lock);
	link_answer_reported(host.link, order, result);
	report = read_message(peer);
	assert_string_equal(json_text(report, "op"), "disk.report");
	usleep(150000);
	assert_int_equal(orders_open(), 1);
	answer(peer, report, json_object());
	reply = read_message(peer);
	assert_int_equal(json_integer_value(json_object_get(reply, "id")), 4711);
	assert_true(json_is_true(json_object_get(reply, "ok")));
	assert_int_equal(orders_open(), 0);
	peer_close(peer);
}

/* A manager that is silent is given up. */
static void silence(void **state)
{
	struct link_times times = quick;
	struct peer *peer;

	(void)state;
	host_close();
	times.ping_ms = 20;
	times.dead_ms = 400;
	host_open(&times);
	join_well();
	peer = hello_well();
	wait_connected(true);
	/* Nothing is read, so no ping is answered. */
	wait_connected(false);
	peer_close(peer);
	/* What was dialled since says hello as well. */
	peer = hello_well();
	peer_close(peer);
}

static void certificates_are_renewed(void **state)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	struct peer *peer = ready(), *next;
	struct wanting w;
	const char *csr;
	json_t *request;
	X509 *before, *after;

	(void)state;
	wait_connected(true);
	before = SSL_get1_peer_certificate(peer->ssl);
	/* A question that the old connection takes with it. */
	want(&w, "k1");
	json_decref(expect(peer, "key.get"));
	/* As if its end were near. */
	pthread_mutex_lock(&host.link->lock);
	host.link->identity.certificate_end = time_now() + 3600;
	host.link->renew_at = 0;
	pthread_cond_broadcast(&host.link->changed);
	pthread_mutex_unlock(&host.link->lock);
	request = expect(peer, "cert.renew");
	csr = json_text(json_object_get(request, "args"), "csr");
	must(authority_issue_host(authority, HOST_1, csr, strlen(csr), &issued, &e));
	answer(peer, request, json_pack("{s:s}", "certificate", issued.pem));
	json_decref(request);
	pthread_join(w.thread, NULL);
	assert_int_equal(w.r, -ENOKEY);
	assert_int_equal(w.e.status, EXIT_NO_KEY);
	unit_speaks(&w.e, "has ended");
	unit_speaks(&w.e, "KeyStateClusterUnreachable");
	next = hello_well();
	after = SSL_get1_peer_certificate(next->ssl);
	assert_int_not_equal(X509_cmp(before, after), 0);
	X509_free(before);
	X509_free(after);
	peer_close(peer);
	peer_close(next);
	/* The new one is what the next start dials with. */
	host_close();
	host_open(NULL);
	peer = hello_well();
	peer_close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		link_test(survives_a_restart),
		link_test(breaks_the_rules),
		link_test(leaves_the_channel_open),
		link_test(refused_hello),
		link_test(keys_are_pushed),
		link_test(only_a_safe_host_has_keys),
		link_test(keys_are_probed),
		link_test(keys_are_fetched),
		link_test(an_answer_never_comes),
		link_test(waits_are_bounded),
		link_test(reports_before_it_answers),
		link_test(silence),
		link_test(certificates_are_renewed),
	};

	log_set_level(getenv("LINK_LOG") ? LOG_DEBUG : LOG_CRIT);
	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
