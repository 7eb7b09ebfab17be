// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the manager does now and then while it serves: a new certificate for the
 * connections to come, and old events cut away.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>

#include "common/encode.h"
#include "manager/init.h"
#include "manager/manager.h"
#include "manager/upkeep.h"
#include "manager/web.h"

#define DAY_S 86400

static char dir[64];
static struct error e;
static struct manager manager;

static int make_manager(void **state)
{
	struct secret password _cleanup_secret_ = SECRET_NULL;
	const struct vault_settings vault = { .dir = dir };
	const struct manager_init init = {
		.vault = vault, .source = VAULT_FROM_KEY_FILE, .names = "127.0.0.1", .admin = "root",
		.password = &password,
	};
	char fingerprint[AUTHORITY_FINGERPRINT_SIZE];

	(void) state;
	assert_int_equal(secret_init(), 0);
	password = unit_password("Correct-horse-1");
	unit_make_dir(dir);
	if (manager_init(&init, fingerprint, &e) < 0 || manager_open(&vault, &manager, &e) < 0)
		fail_msg("%s", e.text);
	return 0;
}

static int free_manager(void **state)
{
	(void) state;
	manager_close(&manager);
	unit_remove_dir(dir);
	return 0;
}

/* The web side in a thread of its own, for it wants to be made where it runs. */
static struct {
	struct web *web;
	sem_t ready;
	pthread_t thread;
} served;

static int use(SSL_CTX *ssl, void *user)
{
	(void) user;
	return authority_use(manager.authority, ssl, NULL);
}

static void answer(const struct http_request *rq, struct http_answer *an, void *user)
{
	(void) rq;
	(void) user;
	http_answer_json(an, 204, NULL);
}

static void *serve(void *arg)
{
	const struct web_settings settings = {
		.listen = "127.0.0.1", .port = 0, .tls = use, .threads = 1, .serve = answer,
	};

	(void) arg;
	if (web_new(&settings, &served.web, NULL) < 0)
		served.web = NULL;
	sem_post(&served.ready);
	if (served.web)
		web_run(served.web, NULL);
	return NULL;
}

static void start_web(void)
{
	sem_init(&served.ready, 0, 0);
	assert_int_equal(pthread_create(&served.thread, NULL, serve, NULL), 0);
	sem_wait(&served.ready);
	assert_non_null(served.web);
}

static void stop_web(void)
{
	web_stop(served.web);
	pthread_join(served.thread, NULL);
	web_free(served.web);
}

struct connection {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

static void dial(struct connection *c)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(web_port(served.web)),
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};

	c->ctx = SSL_CTX_new(TLS_client_method());
	c->ssl = SSL_new(c->ctx);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(c->fd, (const struct sockaddr *) &address, sizeof(address)), 0);
	SSL_set_fd(c->ssl, c->fd);
	assert_int_equal(SSL_connect(c->ssl), 1);
}

static void hang_up(struct connection *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
}

static void ask(struct connection *c)
{
	static const char request[] = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char reply[1024] = "";

	assert_int_equal(SSL_write(c->ssl, request, sizeof(request) - 1), sizeof(request) - 1);
	assert_true(SSL_read(c->ssl, reply, sizeof(reply) - 1) > 0);
	assert_non_null(strstr(reply, "204"));
}

static bool same_certificate(struct connection *a, struct connection *b)
{
	X509 *one = SSL_get1_peer_certificate(a->ssl), *two = SSL_get1_peer_certificate(b->ssl);
	bool same = X509_cmp(one, two) == 0;

	X509_free(one);
	X509_free(two);
	return same;
}

/* The thread that serves takes it up when it comes to it. */
static void dial_until_other(struct connection *old, struct connection *ret)
{
	int64_t end = time_monotonic_ms() + 30000;

	for (;;) {
		dial(ret);
		if (!same_certificate(old, ret))
			return;
		hang_up(ret);
		assert_true(time_monotonic_ms() < end);
	}
}

static void renewed(void *user)
{
	int *times = user;

	(*times)++;
	web_renew(served.web);
}

static int count(const json_t *row, void *n)
{
	(void) row;
	(*(size_t *) n)++;
	return 0;
}

static size_t count_rows(const char *operation)
{
	const struct record_filter f = { .operation = operation };
	size_t n = 0;

	assert_int_equal(record_each(manager.store, &f, count, &n, &e), 0);
	return n;
}

/* Twice, as over two years; who is connected stays so. */
static void new_certificate_while_serving(void **state)
{
	int times = 0;
	const struct upkeep_settings settings = {
		.store = manager.store, .authority = manager.authority, .renewed = renewed, .user = &times,
	};
	struct connection old, same, next;
	int i;

	(void) state;
	start_web();
	for (i = 1; i <= 2; i++) {
		dial(&old);
		upkeep_round(&settings, time_now() + DAY_S);
		assert_int_equal(times, i - 1);
		dial(&same);
		assert_true(same_certificate(&old, &same));
		hang_up(&same);
		upkeep_round(&settings, time_now() + (AUTHORITY_SERVER_DAYS - 10) * DAY_S);
		assert_int_equal(times, i);
		dial_until_other(&old, &next);
		ask(&next);
		ask(&old);
		hang_up(&next);
		hang_up(&old);
	}
	stop_web();
	assert_int_equal(count_rows("manager.renew"), 4);
}

static void old_events_go(void **state)
{
	int times = 0;
	const struct upkeep_settings settings = {
		.store = manager.store, .authority = manager.authority, .keep = { .days = 1 },
		.renewed = renewed, .user = &times,
	};
	const struct record_event event = { .user = "u", .operation = "o" };
	uint64_t anchor = 0;
	int i;

	(void) state;
	for (i = 0; i < 300; i++)
		assert_int_equal(record_note(manager.store, &event, "ok", &e), 0);
	upkeep_round(&settings, time_now());
	assert_int_equal(record_anchor(manager.store, &anchor, &e), 0);
	assert_int_equal(anchor, 0);
	upkeep_round(&settings, time_now() + 2 * DAY_S);
	assert_int_equal(record_anchor(manager.store, &anchor, &e), 0);
	assert_true(anchor >= 200);
	assert_int_equal(record_verify(manager.store, NULL, NULL, NULL, &e), 0);
}

/* The thread does its first round at once, and ends when it is told. */
static void thread_starts_and_ends(void **state)
{
	const struct upkeep_settings settings = {
		.store = manager.store, .authority = manager.authority, .keep = { .rows = 100 },
		.renewed = renewed,
	};
	const struct record_event event = { .user = "u", .operation = "o" };
	struct upkeep *upkeep;
	uint64_t before = 0, anchor = 0;
	int i;

	(void) state;
	assert_int_equal(record_anchor(manager.store, &before, &e), 0);
	for (i = 0; i < 300; i++)
		assert_int_equal(record_note(manager.store, &event, "ok", &e), 0);
	assert_int_equal(upkeep_start(&settings, &upkeep, &e), 0);
	upkeep_stop(upkeep);
	assert_int_equal(record_anchor(manager.store, &anchor, &e), 0);
	assert_true(anchor >= before + 300);
	upkeep_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_certificate_while_serving),
		cmocka_unit_test(old_events_go),
		cmocka_unit_test(thread_starts_and_ends),
	};

	return cmocka_run_group_tests(tests, make_manager, free_manager);
}
