/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager's HTTPS in a thread, and clients of it. Who includes this has a struct
 * manager called manager.
 */
#ifndef VMCRYPT_TESTS_WEB_FIXTURE_H
#define VMCRYPT_TESTS_WEB_FIXTURE_H

#include "unit.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>

#include "manager/authority.h"
#include "manager/init.h"
#include "manager/manager.h"
#include "manager/web.h"

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
	unsigned int per_address;
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
		.listen = "127.0.0.1", .port = 0, .per_address = served.per_address, .tls = use, .threads = 1, .serve = answer,
	};

	(void) arg;
	if (web_new(&settings, &served.web, NULL) < 0)
		served.web = NULL;
	sem_post(&served.ready);
	if (served.web)
		web_run(served.web, NULL);
	return NULL;
}

static void start_web(unsigned int per_address)
{
	served.per_address = per_address;
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

/* @from: IPv4 address of this machine. Return: whether it came to TLS. */
static bool try_dial(struct connection *c, const char *from)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	c->ctx = SSL_CTX_new(TLS_client_method());
	c->ssl = SSL_new(c->ctx);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(inet_pton(AF_INET, from, &address.sin_addr), 1);
	assert_int_equal(bind(c->fd, (const struct sockaddr *) &address, sizeof(address)), 0);
	address.sin_port = htons(web_port(served.web));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(c->fd, (const struct sockaddr *) &address, sizeof(address)), 0);
	SSL_set_fd(c->ssl, c->fd);
	return SSL_connect(c->ssl) == 1;
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

#endif
