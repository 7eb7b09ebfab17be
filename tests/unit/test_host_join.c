/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Joining a manager that the test plays, rightly or wrongly. */
#include "link_fixture.h"

#include "host/httpclient.h"

static void joins_and_says_hello(void **state)
{
	struct link_view view;
	struct peer *peer;

	(void)state;
	link_look(host.link, &view);
	assert_false(view.joined);
	join_well();
	peer = hello_well();
	wait_connected(true);
	link_look(host.link, &view);
	assert_true(view.joined);
	assert_string_equal(view.url, url);
	assert_string_equal(view.host, HOST_1);
	assert_string_equal(view.name, "host-1");
	assert_int_equal(view.mode, MODE_INCAPABLE);
	assert_false(view.sealed);
	peer_close(peer);
}

/* Nothing of a token is said to a server that is not the one. */
static void joins_nobody_else(void **state)
{
	struct joining j;
	struct peer *peer;

	(void)state;
	join_begin(&j, /* flip= */ 1);
	peer = peer_accept_tcp();
	/* The client hangs up within the handshake, or right behind it. */
	assert_true(!peer_tls(peer, false) || !read_join(peer));
	assert_int_equal(join_end(&j), -EHOSTUNREACH);
	unit_speaks(&j.e, "authority");
	peer_close(peer);

	/* The authority is right, the name is another one. */
	must(authority_issue_server(authority, "manager.example", &e));
	must(authority_use(authority, server_ctx, &e));
	join_begin(&j, /* flip= */ 0);
	peer = peer_accept_tcp();
	assert_true(!peer_tls(peer, false) || !read_join(peer));
	assert_int_equal(join_end(&j), -EHOSTUNREACH);
	unit_speaks(&j.e, "mismatch");
	peer_close(peer);
}

/* One answer to a request of joining, and how the host takes it. */
static void join_badly(unsigned int status, const char *body, int code, const char *part)
{
	struct link_view view;
	struct joining j;
	struct peer *peer;
	json_t *request;

	join_begin(&j, /* flip= */ 0);
	peer = peer_accept_tcp();
	assert_true(peer_tls(peer, false));
	request = read_join(peer);
	assert_non_null(request);
	json_decref(request);
	if (status)
		send_answer(peer, status, body);
	else if (body)
		peer_write(peer, body, strlen(body));
	peer_close(peer);
	assert_int_equal(join_end(&j), code);
	unit_speaks(&j.e, part);
	link_look(host.link, &view);
	assert_false(view.joined);
	assert_int_equal(access(unit_path(host_dir, "manager/identity.json"), F_OK), -1);
}

static void join_is_refused(void **state)
{
	static const char why[] = "{\"error\":{\"text\":\"no such token\"}}";
	char *large;

	(void)state;
	join_badly(403, why, -EACCES, "no such token");
	join_badly(403, "nothing", -EACCES, "token");
	join_badly(409, "{}", -EEXIST, "--name");
	join_badly(429, "{}", -EAGAIN, "later");
	join_badly(500, "", -EPROTO, "500");
	join_badly(200, "{}", -EPROTO, "200");
	join_badly(201, "no json", -EBADMSG, "answer");
	join_badly(201, "{\"host\":\"" HOST_1 "\",\"certificate\":\"x\",\"ca\":\"x\"}",
		   -EKEYREJECTED, "none");
	join_badly(0, "HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{\"host\"", -EHOSTUNREACH,
		   "closed");
	join_badly(0, "\x16\x03garbage\r\n\r\n", -EHOSTUNREACH, "127.0.0.1");
	join_badly(0, NULL, -EHOSTUNREACH, "127.0.0.1");
	large = malloc(HTTP_ANSWER_MAX + 2);
	memset(large, ' ', HTTP_ANSWER_MAX + 1);
	large[HTTP_ANSWER_MAX + 1] = '\0';
	join_badly(201, large, -EFBIG, "bytes");
	free(large);
	/* After all this it still works. */
	join_well();
}

/* A certificate for another key. */
static void join_checks_the_certificate(void **state)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	_cleanup_free_ char *csr = NULL, *body = NULL;
	_cleanup_json_ json_t *json = NULL;

	(void)state;
	must(identity_new_key(&key, &csr, &e));
	must(authority_issue_host(authority, HOST_1, csr, strlen(csr), &issued, &e));
	json = json_pack("{s:s, s:s, s:s}", "host", HOST_1, "certificate", issued.pem, "ca", "x");
	body = json_dumps(json, 0);
	join_badly(201, body, -EKEYREJECTED, "another key");
}

/* What the manager gives for this key, on the first day or later. */
static int certify(struct identity *identity, struct authority *by, const char *id,
		   const char *csr, int64_t now)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };

	must(authority_issue_host(by, id, csr, strlen(csr), &issued, &e));
	e = ERROR_NULL;
	return identity_certify(identity, issued.pem, now, &e);
}

/* By the pinned authority, for now, and for this host. */
static void certificates_are_checked(void **state)
{
	_cleanup_identity_ struct identity identity = IDENTITY_NULL;
	_cleanup_free_ char *csr = NULL;
	struct authority *another;
	struct store *another_store;
	char another_dir[64];

	(void)state;
	unit_make_dir(another_dir);
	must(store_open(another_dir, &another_store, &e));
	must(authority_init(another_store, vault, "manager.example", &e));
	must(authority_load(another_store, vault, &another, &e));
	must(identity_new_key(&identity.key, &csr, &e));
	identity.ca = strdup(authority_pem(authority));

	assert_int_equal(certify(&identity, another, HOST_1, csr, time_now()), -EKEYREJECTED);
	unit_speaks(&e, "authority");
	assert_int_equal(certify(&identity, authority, HOST_1, csr,
				 time_now() + 100LL * 365 * 24 * 3600), -EKEYREJECTED);
	unit_speaks(&e, "clocks");
	assert_null(identity.certificate);
	must(certify(&identity, authority, HOST_1, csr, time_now()));
	assert_string_equal(identity.host, HOST_1);
	assert_true(identity.certificate_end > time_now());
	assert_int_equal(certify(&identity, authority, "22222222-2222-4222-8222-222222222222", csr,
				 time_now()), -EKEYREJECTED);
	unit_speaks(&e, "another host");
	assert_string_equal(identity.host, HOST_1);

	authority_free(another);
	store_free(another_store);
	unit_remove_dir(another_dir);
}

static void joined_once(void **state)
{
	struct jointoken token = JOINTOKEN_NULL;

	(void)state;
	join_well();
	assert_int_equal(link_join(host.link, url, "a", &token, &e), -EEXIST);
	unit_speaks(&e, "leave");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		link_test(joins_and_says_hello),
		link_test(joins_nobody_else),
		link_test(join_is_refused),
		link_test(join_checks_the_certificate),
		link_test(certificates_are_checked),
		link_test(joined_once),
	};

	log_set_level(getenv("LINK_LOG") ? LOG_DEBUG : LOG_CRIT);
	return cmocka_run_group_tests(tests, unit_setup, NULL);
}
