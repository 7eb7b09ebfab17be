/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One key server of a set: its settings, and the connections to it that are not
 * in use just now. For kmip/servers.c, which has the lock.
 */
#ifndef VMCRYPT_KMIP_SERVER_H
#define VMCRYPT_KMIP_SERVER_H

#include "kmip/client.h"
#include "kmip/tls.h"

/** KMIP_SERVER_NAME_SIZE - bytes of a server's name in its set, with the NUL */
#define KMIP_SERVER_NAME_SIZE 129
/** KMIP_SERVER_IDLE_MAX - connections that are kept for each server */
#define KMIP_SERVER_IDLE_MAX 4

/**
 * struct kmip_server_settings - of one server
 * @name: in its set
 * @tls: how to reach it
 * @version: pinned; {0, 0}: agree on one at each connection
 * @user: NULL: the client certificate says who we are
 * @password: of @user
 * @vendor: as it said when it was added; NULL or "": not known
 */
struct kmip_server_settings {
	const char *name;
	struct kmip_tls_settings tls;
	struct kmip_version version;
	const char *user;
	const struct secret *password;
	const char *vendor;
};

/**
 * struct kmip_connection - a connection, with the version agreed on
 */
struct kmip_connection {
	struct kmip_server *server;
	struct kmip_tls *tls;
	struct kmip_client client;
	bool reused;
};

/**
 * struct kmip_server - a server
 * @settings: copies
 * @refs: the set, connections, and who tries to connect
 * @failed: when it last failed, ms of CLOCK_MONOTONIC; 0: it is healthy
 * @idle: connections not in use
 */
struct kmip_server {
	struct kmip_server_settings settings;
	unsigned int refs;
	bool removed;
	int64_t failed;
	char vendor[KMIP_TEXT_SIZE];
	struct kmip_connection *idle[KMIP_SERVER_IDLE_MAX];
	size_t n_idle;
	struct secret key;
	struct secret password;
};

/**
 * kmip_server_new() - copy settings; one reference is the caller's
 */
int kmip_server_new(const struct kmip_server_settings *settings, struct kmip_server **ret,
		    struct error *e);

/**
 * kmip_server_free() - free it with what is idle; nobody else may hold a reference
 */
void kmip_server_free(struct kmip_server *server);

/**
 * kmip_server_connect() - connect, and agree on a version
 * @timeout: of each later message, ms
 *
 * Touches nothing of @server but its settings, so that no lock is needed.
 */
int kmip_server_connect(struct kmip_server *server, int64_t deadline, unsigned int timeout,
			struct kmip_connection **ret, struct error *e);

/**
 * kmip_server_failed() - note down that it did not answer as it should
 *
 * What is idle is closed: a server that is gone takes all its connections along, and
 * to find that out on each of them again would cost a time-out each.
 */
void kmip_server_failed(struct kmip_server *server);

/**
 * kmip_connection_close() - NULL is left alone
 */
void kmip_connection_close(struct kmip_connection *connection);

/**
 * kmip_vendor() - who made the server at the other end; "" when it does not say
 */
int kmip_vendor(struct kmip_client *client, char ret[KMIP_TEXT_SIZE], struct error *e);

#endif
