// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/server.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static int copy_text(const char *text, const char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

static int copy_secret(const struct secret *from, struct secret *to, const struct secret **ret)
{
	*ret = from ? to : NULL;
	return from && from->size ? secret_copy(from->data, from->size, to) : 0;
}

static void free_text(const char *text)
{
	free((char *) text);
}

static void close_idle(struct kmip_server *server)
{
	while (server->n_idle)
		kmip_connection_close(server->idle[--server->n_idle]);
}

void kmip_server_failed(struct kmip_server *server)
{
	server->failed = kmip_deadline(0);
	close_idle(server);
}

void kmip_server_free(struct kmip_server *server)
{
	struct kmip_server_settings *s;

	if (!server)
		return;
	close_idle(server);
	s = &server->settings;
	free_text(s->name);
	free_text(s->user);
	free_text(s->tls.host);
	free_text(s->tls.pin);
	free_text(s->tls.ca);
	free_text(s->tls.name);
	free_text(s->tls.certificate);
	secret_done(&server->key);
	secret_done(&server->password);
	free(server);
}

int kmip_server_new(const struct kmip_server_settings *from, struct kmip_server **ret,
		    struct error *e)
{
	struct kmip_server *server;
	struct kmip_server_settings *to;

	if (!from->name || !*from->name || strlen(from->name) >= KMIP_SERVER_NAME_SIZE)
		return error_usage(e, "A key server needs a name of 1 to %d bytes", KMIP_SERVER_NAME_SIZE - 1);
	server = calloc(1, sizeof(*server));
	if (!server)
		return error_oom(e);
	to = &server->settings;
	server->refs = 1;
	to->version = from->version;
	to->tls.port = from->tls.port;
	to->tls.legacy = from->tls.legacy;
	if (from->vendor)
		snprintf(server->vendor, sizeof(server->vendor), "%s", from->vendor);
	if (copy_text(from->name, &to->name) < 0 || copy_text(from->user, &to->user) < 0 ||
	    copy_text(from->tls.host, &to->tls.host) < 0 || copy_text(from->tls.pin, &to->tls.pin) < 0 ||
	    copy_text(from->tls.ca, &to->tls.ca) < 0 || copy_text(from->tls.name, &to->tls.name) < 0 ||
	    copy_text(from->tls.certificate, &to->tls.certificate) < 0 ||
	    copy_secret(from->tls.key, &server->key, &to->tls.key) < 0 ||
	    copy_secret(from->password, &server->password, &to->password) < 0) {
		kmip_server_free(server);
		return error_oom(e);
	}
	*ret = server;
	return 0;
}

void kmip_connection_close(struct kmip_connection *connection)
{
	if (!connection)
		return;
	kmip_tls_close(connection->tls);
	free(connection);
}

int kmip_server_connect(struct kmip_server *server, int64_t deadline, unsigned int timeout,
			struct kmip_connection **ret, struct error *e)
{
	const struct kmip_server_settings *s = &server->settings;
	struct kmip_connection *connection = calloc(1, sizeof(*connection));
	int64_t left;
	int r;

	if (!connection)
		return error_oom(e);
	connection->server = server;
	r = kmip_tls_connect(&s->tls, deadline, &connection->tls, e);
	if (r < 0) {
		kmip_connection_close(connection);
		return r;
	}
	left = deadline - kmip_deadline(0);
	connection->client = (struct kmip_client) {
		.stream = kmip_tls_stream(connection->tls), .version = s->version, .user = s->user,
		.password = s->password, .timeout = left > 0 ? (unsigned int) left : 0,
	};
	r = kmip_negotiate(&connection->client, e);
	if (r < 0) {
		kmip_connection_close(connection);
		return r;
	}
	connection->client.timeout = timeout;
	*ret = connection;
	return 0;
}

int kmip_vendor(struct kmip_client *client, char ret[KMIP_TEXT_SIZE], struct error *e)
{
	static const uint32_t query = KMIP_QUERY_SERVER_INFORMATION;
	const struct kmip_request request = { .operation = KMIP_QUERY, .queries = &query, .n_queries = 1 };
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	int r;

	r = kmip_call(client, &request, 1, /* ordered= */ false, &answer, e);
	if (r == 0)
		r = kmip_succeeded(&answer.response.results[0], request.operation, e);
	return r < 0 ? r : kmip_get_vendor(&answer.response.results[0].payload, ret, e);
}
