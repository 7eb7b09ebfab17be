// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/servers-internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

int kmip_servers_new(unsigned int timeout, struct kmip_servers **ret, struct error *e)
{
	struct kmip_servers *set = calloc(1, sizeof(*set));

	if (!set)
		return error_oom(e);
	set->timeout = timeout;
	pthread_mutex_init(&set->lock, NULL);
	pthread_cond_init(&set->changed, NULL);
	*ret = set;
	return 0;
}

void kmip_servers_free(struct kmip_servers *set)
{
	if (!set)
		return;
	pthread_mutex_lock(&set->lock);
	while (set->running)
		pthread_cond_wait(&set->changed, &set->lock);
	while (set->n)
		servers_unref(set->servers[--set->n]);
	pthread_mutex_unlock(&set->lock);
	pthread_cond_destroy(&set->changed);
	pthread_mutex_destroy(&set->lock);
	free(set);
}

static ssize_t find(const struct kmip_servers *set, const char *name)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (strcmp(set->servers[i]->settings.name, name) == 0)
			return (ssize_t) i;
	return -1;
}

/* Under the lock. Takes the reference on success. */
static int take_in(struct kmip_servers *set, struct kmip_server *server, struct error *e)
{
	if (find(set, server->settings.name) >= 0)
		return error_set(e, EEXIST, EXIT_USAGE, 0, "The provider has a key server %s already", server->settings.name);
	if (set->n == KMIP_SERVERS_MAX)
		return error_set(e, ENOSPC, EXIT_USAGE, 0, "A provider has at most %d key servers", KMIP_SERVERS_MAX);
	set->servers[set->n++] = server;
	return 0;
}

int kmip_servers_put(struct kmip_servers *set, const struct kmip_server_settings *settings,
		     struct error *e)
{
	struct kmip_server *server = NULL;
	int r;

	r = kmip_server_new(settings, &server, e);
	if (r < 0)
		return r;
	pthread_mutex_lock(&set->lock);
	r = take_in(set, server, e);
	pthread_mutex_unlock(&set->lock);
	if (r < 0)
		kmip_server_free(server);
	return r;
}

int kmip_servers_remove(struct kmip_servers *set, const char *name, struct error *e)
{
	struct kmip_server *server = NULL;
	ssize_t i;
	size_t at;

	pthread_mutex_lock(&set->lock);
	i = find(set, name);
	if (i >= 0) {
		server = set->servers[i];
		set->n--;
		for (at = (size_t) i; at < set->n; at++)
			set->servers[at] = set->servers[at + 1];
		server->removed = true;
		while (server->n_idle)
			kmip_connection_close(server->idle[--server->n_idle]);
		servers_unref(server);
	}
	pthread_mutex_unlock(&set->lock);
	return i < 0 ? error_usage(e, "The provider has no key server %s", name) : 0;
}

static int ask_vendor(struct kmip_client *client, void *userdata, struct error *e)
{
	return kmip_vendor(client, userdata, e);
}

/* The vendor of the servers that are there; @ret stays "" when there are none, or they do
 * not say. */
static int vendor_of(struct kmip_servers *set, char ret[KMIP_TEXT_SIZE], struct error *e)
{
	size_t i, n;

	pthread_mutex_lock(&set->lock);
	n = set->n;
	for (i = 0; i < n && !ret[0]; i++)
		memcpy(ret, set->servers[i]->vendor, KMIP_TEXT_SIZE);
	pthread_mutex_unlock(&set->lock);
	return n && !ret[0] ? kmip_servers_call(set, kmip_deadline(3 * set->timeout), ask_vendor, ret, e) : 0;
}

/* Up to the first digit, for servers are not updated all at once. */
static bool same_vendor(const char *a, const char *b)
{
	size_t size = strcspn(a, "0123456789");

	return size == strcspn(b, "0123456789") && strncmp(a, b, size) == 0;
}

static int read_through(struct kmip_client *client, const struct kmip_wanted *probe,
			bool *wrapping, struct error *e)
{
	_cleanup_secret_ struct secret material = SECRET_NULL;

	return kmip_servers_read(client, probe, &material, wrapping, e);
}

static int fits(struct kmip_servers *set, struct kmip_connection *connection,
		const struct kmip_wanted *probe, struct error *e)
{
	struct kmip_server *server = connection->server;
	char others[KMIP_TEXT_SIZE] = "";
	bool wrapping = false;
	int r;

	r = kmip_vendor(&connection->client, server->vendor, e);
	if (r == 0)
		r = vendor_of(set, others, e);
	if (r < 0)
		return r;
	if (others[0] && !same_vendor(others, server->vendor))
		return error_set(e, EXDEV, EXIT_USAGE, 0,
				 "Key server %s is of vendor \"%s\", the provider's others of \"%s\": one provider has one vendor's servers; make another provider for it",
				 server->settings.name, server->vendor, others);
	if (!probe)
		return 0;
	r = read_through(&connection->client, probe, &wrapping, e);
	if (r < 0)
		(void) error_prefix(e, "Key server %s does not give key %s, which the provider uses: its servers have to replicate their keys",
				    server->settings.name, probe->id);
	return r;
}

int kmip_servers_add(struct kmip_servers *set, const struct kmip_server_settings *settings,
		     const struct kmip_wanted *probe, struct kmip_server_found *ret, struct error *e)
{
	struct kmip_connection *connection = NULL;
	struct kmip_server *server = NULL;
	int r;

	r = kmip_server_new(settings, &server, e);
	if (r < 0)
		return r;
	r = kmip_server_connect(server, kmip_deadline(set->timeout), set->timeout, &connection, e);
	if (r == 0)
		r = fits(set, connection, probe, e);
	pthread_mutex_lock(&set->lock);
	if (r == 0)
		r = take_in(set, server, e);
	if (r == 0) {
		server->settings.version = connection->client.version;
		ret->version = connection->client.version;
		memcpy(ret->vendor, server->vendor, KMIP_TEXT_SIZE);
		server->refs++;
		servers_keep(TAKE_PTR(connection));
	}
	pthread_mutex_unlock(&set->lock);
	if (r < 0) {
		kmip_connection_close(connection);
		kmip_server_free(server);
	}
	return r;
}

struct probe {
	struct kmip_server *server;
	const struct kmip_wanted *wanted;
	struct kmip_server_status *status;
	pthread_t thread;
	unsigned int timeout;
	bool started;
};

static void *run_probe(void *argument)
{
	const struct probe *p = argument;
	struct kmip_server_status *status = p->status;
	struct kmip_connection *connection = NULL;
	struct error e = ERROR_NULL;
	int64_t begin = kmip_deadline(0);
	bool wrapping = false;
	int r;

	r = kmip_server_connect(p->server, kmip_deadline(p->timeout), p->timeout, &connection, &e);
	if (r == 0) {
		status->version = connection->client.version;
		status->certificate_end = kmip_tls_server_end(connection->tls);
		r = kmip_vendor(&connection->client, status->vendor, &e);
	}
	if (r == 0 && p->wanted)
		r = read_through(&connection->client, p->wanted, &wrapping, &e);
	kmip_connection_close(connection);
	status->took = kmip_deadline(0) - begin;
	status->code = r;
	status->why = keystate_of_error(r, wrapping);
	memcpy(status->text, e.text, sizeof(status->text));
	return NULL;
}

int kmip_servers_probe(struct kmip_servers *set, const struct kmip_wanted *wanted,
		       struct kmip_server_status *ret, size_t *ret_n, struct error *e)
{
	struct probe probes[KMIP_SERVERS_MAX];
	size_t i, n;
	int r = 0;

	pthread_mutex_lock(&set->lock);
	n = set->n;
	for (i = 0; i < n; i++) {
		ret[i] = (struct kmip_server_status) { .code = 0 };
		snprintf(ret[i].name, sizeof(ret[i].name), "%s", set->servers[i]->settings.name);
		probes[i] = (struct probe) {
			.server = set->servers[i], .wanted = wanted, .timeout = set->timeout, .status = &ret[i],
		};
		probes[i].server->refs++;
	}
	pthread_mutex_unlock(&set->lock);
	for (i = 0; i < n; i++)
		probes[i].started = pthread_create(&probes[i].thread, NULL, run_probe, &probes[i]) == 0;
	for (i = 0; i < n; i++)
		if (!probes[i].started)
			r = error_oom(e);
		else
			pthread_join(probes[i].thread, NULL);
	pthread_mutex_lock(&set->lock);
	for (i = 0; i < n; i++) {
		if (probes[i].started)
			probes[i].server->failed = ret[i].code < 0 ? kmip_deadline(0) : 0;
		servers_unref(probes[i].server);
	}
	pthread_mutex_unlock(&set->lock);
	if (r == 0)
		*ret_n = n;
	return r;
}
