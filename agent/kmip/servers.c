// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/servers.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/lock.h"

/* A server that has not answered for so long gets company. */
#define PATIENCE 500

/**
 * struct kmip_servers - a set
 * @lock: of everything here and in the servers but their settings
 * @changed: a connection was made or not, on CLOCK_MONOTONIC
 * @running: threads that make connections
 */
struct kmip_servers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int timeout;
	unsigned int running;
	struct kmip_server *servers[KMIP_SERVERS_MAX];
	size_t n;
};

/**
 * struct hunt - one call that waits for a connection
 * @refs: the call and the threads
 * @over: it waits no more
 */
struct hunt {
	unsigned int refs;
	unsigned int pending;
	bool over;
	int64_t deadline;
	struct kmip_connection *won;
	struct error failure;
};

struct attempt {
	struct kmip_servers *set;
	struct hunt *hunt;
	struct kmip_server *server;
};

/* Under the lock. */
static void unref_server(struct kmip_server *server)
{
	if (--server->refs == 0)
		kmip_server_free(server);
}

static void unref_hunt(struct hunt *hunt)
{
	if (--hunt->refs == 0)
		free(hunt);
}

/* Under the lock. The connection has no reference to its server while it is idle. */
static void keep(struct kmip_connection *connection)
{
	struct kmip_server *server = connection->server;

	if (!server->removed && server->n_idle < KMIP_SERVER_IDLE_MAX)
		server->idle[server->n_idle++] = connection;
	else
		kmip_connection_close(connection);
	unref_server(server);
}

static void *run_attempt(void *argument)
{
	struct attempt *a = argument;
	struct kmip_servers *set = a->set;
	struct kmip_connection *connection = NULL;
	struct error e = ERROR_NULL;
	int r;

	r = kmip_server_connect(a->server, a->hunt->deadline, set->timeout, &connection, &e);
	pthread_mutex_lock(&set->lock);
	a->server->failed = r < 0 ? kmip_deadline(0) : 0;
	a->hunt->pending--;
	if (r < 0) {
		a->hunt->failure = e;
		unref_server(a->server);
	} else if (a->hunt->over || a->hunt->won) {
		keep(connection);
	} else {
		a->hunt->won = connection;
	}
	unref_hunt(a->hunt);
	set->running--;
	free(a);
	pthread_cond_broadcast(&set->changed);
	pthread_mutex_unlock(&set->lock);
	return NULL;
}

/* Under the lock. */
static int start_attempt(struct kmip_servers *set, struct hunt *hunt, struct kmip_server *server)
{
	struct attempt *a = malloc(sizeof(*a));
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!a)
		return -ENOMEM;
	*a = (struct attempt) { .set = set, .hunt = hunt, .server = server };
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = -pthread_create(&thread, &attr, run_attempt, a);
	pthread_attr_destroy(&attr);
	if (r < 0) {
		free(a);
		return r;
	}
	server->refs++;
	hunt->refs++;
	hunt->pending++;
	set->running++;
	return 0;
}

/* Under the lock. Return: whether something has changed before the deadline. */
static bool wait_changed(struct kmip_servers *set, int64_t deadline)
{
	return cond_wait_until(&set->changed, &set->lock, deadline);
}

static void wait_for_one(struct kmip_servers *set, const struct hunt *hunt, int64_t deadline)
{
	unsigned int before = hunt->pending;

	while (!hunt->won && hunt->pending == before && wait_changed(set, deadline))
		;
}

/* Healthy ones first, then those whose failure is longest ago; NULL: all were tried. */
static struct kmip_server *next_server(const struct kmip_servers *set,
				       struct kmip_server *const *tried, size_t n_tried)
{
	struct kmip_server *best = NULL;
	size_t i, k;

	for (i = 0; i < set->n; i++) {
		for (k = 0; k < n_tried && tried[k] != set->servers[i]; k++)
			;
		if (k == n_tried && (!best || set->servers[i]->failed < best->failed))
			best = set->servers[i];
	}
	return best;
}

/**
 * struct round - the servers that one call has been with
 * @used: as many references
 */
struct round {
	struct kmip_server *used[KMIP_SERVERS_MAX];
	size_t n;
};

/* Under the lock. */
static void use(struct round *round, struct kmip_server *server)
{
	size_t i;

	for (i = 0; i < round->n; i++)
		if (round->used[i] == server)
			return;
	if (round->n < KMIP_SERVERS_MAX) {
		server->refs++;
		round->used[round->n++] = server;
	}
}

/* Under the lock. A connection that is kept, of a healthy server; the reference to the
 * server is new. */
static struct kmip_connection *take_idle(struct kmip_servers *set, const struct round *round)
{
	struct kmip_server *server = next_server(set, round->used, round->n);
	struct kmip_connection *connection;

	while (server && !server->failed && server->n_idle) {
		connection = server->idle[--server->n_idle];
		if (kmip_tls_usable(connection->tls)) {
			connection->reused = true;
			server->refs++;
			return connection;
		}
		kmip_connection_close(connection);
	}
	return NULL;
}

/* Under the lock, which is given up while waiting. */
static void hunt_down(struct kmip_servers *set, struct hunt *hunt, const struct round *round)
{
	struct kmip_server *tried[2 * KMIP_SERVERS_MAX], *next;
	size_t n = round->n;
	int64_t until;

	memcpy(tried, round->used, sizeof(round->used));
	while (!hunt->won) {
		next = n < ARRAY_SIZE(tried) ? next_server(set, tried, n) : NULL;
		if (next) {
			tried[n++] = next;
			if (start_attempt(set, hunt, next) < 0)
				(void) error_oom(&hunt->failure);
		} else if (!hunt->pending) {
			break;
		}
		until = next ? kmip_deadline(PATIENCE) : hunt->deadline;
		if (hunt->pending)
			wait_for_one(set, hunt, until < hunt->deadline ? until : hunt->deadline);
		if (kmip_deadline(0) >= hunt->deadline)
			break;
	}
	hunt->over = true;
}

/* Under the lock, which is given up while waiting. */
static int get_connection(struct kmip_servers *set, struct round *round,
			  struct kmip_connection **ret, struct error *e)
{
	struct hunt *hunt;
	int r = 0;

	*ret = take_idle(set, round);
	if (*ret) {
		use(round, (*ret)->server);
		return 0;
	}
	hunt = calloc(1, sizeof(*hunt));
	if (!hunt)
		return error_oom(e);
	*hunt = (struct hunt) { .refs = 1, .deadline = kmip_deadline(set->timeout) };
	hunt_down(set, hunt, round);
	*ret = hunt->won;
	if (*ret) {
		use(round, (*ret)->server);
	} else if (error_is_set(&hunt->failure)) {
		r = hunt->failure.code;
		if (e)
			*e = hunt->failure;
	} else {
		r = error_set(e, ETIMEDOUT, EXIT_NO_KEY, 0,
			      "No key server of the provider answered in time; check that they run and can be reached");
	}
	unref_hunt(hunt);
	return r;
}

/* Under the lock. Whether the next server may know better. */
static bool settle(struct round *round, struct kmip_connection *connection, int r)
{
	struct kmip_server *server = connection->server;
	bool broken = connection->client.broken;

	if (!broken) {
		keep(connection);
		return r == -EAGAIN || r == -ENOKEY;
	}
	/* One that was kept may have been closed for its age: the same server once more. */
	if (connection->reused)
		unref_server(round->used[--round->n]);
	else
		server->failed = kmip_deadline(0);
	kmip_connection_close(connection);
	unref_server(server);
	return true;
}

static int call_all(struct kmip_servers *set, struct round *round,
		    int (*work)(struct kmip_client *client, void *userdata, struct error *e),
		    void *userdata, struct error *e)
{
	struct error failure = ERROR_NULL, missing = ERROR_NULL;
	struct kmip_connection *connection;
	bool again = true;
	int r = 0;

	while (again) {
		if (round->n && !next_server(set, round->used, round->n))
			break;
		failure = ERROR_NULL;
		r = get_connection(set, round, &connection, &failure);
		if (r < 0)
			break;
		pthread_mutex_unlock(&set->lock);
		r = work(&connection->client, userdata, &failure);
		pthread_mutex_lock(&set->lock);
		if (r == -ENOKEY)
			missing = failure;
		again = settle(round, connection, r) && r < 0;
	}
	if (r < 0 && error_is_set(&missing)) {
		failure = missing;
		r = -ENOKEY;
	}
	if (r < 0 && e)
		*e = failure;
	return r;
}

int kmip_servers_call(struct kmip_servers *set,
		      int (*work)(struct kmip_client *client, void *userdata, struct error *e),
		      void *userdata, struct error *e)
{
	struct round round = { .n = 0 };
	int r;

	pthread_mutex_lock(&set->lock);
	if (set->n)
		r = call_all(set, &round, work, userdata, e);
	else
		r = error_set(e, ENOENT, EXIT_NO_KEY, 0, "The key provider has no key server: add one");
	while (round.n)
		unref_server(round.used[--round.n]);
	pthread_mutex_unlock(&set->lock);
	return r;
}

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
		unref_server(set->servers[--set->n]);
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
		unref_server(server);
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
	return n && !ret[0] ? kmip_servers_call(set, ask_vendor, ret, e) : 0;
}

/* Up to the first digit, for servers are not updated all at once. */
static bool same_vendor(const char *a, const char *b)
{
	size_t size = strcspn(a, "0123456789");

	return size == strcspn(b, "0123456789") && strncmp(a, b, size) == 0;
}

static int read_through(struct kmip_client *client, const char *key, struct error *e)
{
	_cleanup_secret_ struct secret material = SECRET_NULL;

	return kmip_fetch_key(client, key, /* wrapping= */ NULL, /* wrapping_key= */ NULL, &material, e);
}

static int fits(struct kmip_servers *set, struct kmip_connection *connection, const char *key,
		struct error *e)
{
	struct kmip_server *server = connection->server;
	char others[KMIP_TEXT_SIZE] = "";
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
	if (!key)
		return 0;
	r = read_through(&connection->client, key, e);
	if (r < 0)
		(void) error_prefix(e, "Key server %s does not give key %s, which the provider uses: its servers have to replicate their keys",
				    server->settings.name, key);
	return r;
}

int kmip_servers_add(struct kmip_servers *set, const struct kmip_server_settings *settings,
		     const char *key, char ret_vendor[KMIP_TEXT_SIZE], struct error *e)
{
	struct kmip_connection *connection = NULL;
	struct kmip_server *server = NULL;
	int r;

	r = kmip_server_new(settings, &server, e);
	if (r < 0)
		return r;
	r = kmip_server_connect(server, kmip_deadline(set->timeout), set->timeout, &connection, e);
	if (r == 0)
		r = fits(set, connection, key, e);
	pthread_mutex_lock(&set->lock);
	if (r == 0)
		r = take_in(set, server, e);
	if (r == 0) {
		memcpy(ret_vendor, server->vendor, KMIP_TEXT_SIZE);
		server->refs++;
		keep(TAKE_PTR(connection));
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
	const char *key;
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
	int r;

	r = kmip_server_connect(p->server, kmip_deadline(p->timeout), p->timeout, &connection, &e);
	if (r == 0) {
		status->version = connection->client.version;
		status->certificate_end = kmip_tls_server_end(connection->tls);
		r = kmip_vendor(&connection->client, status->vendor, &e);
	}
	if (r == 0 && p->key)
		r = read_through(&connection->client, p->key, &e);
	kmip_connection_close(connection);
	status->took = kmip_deadline(0) - begin;
	status->code = r;
	status->why = keystate_of_error(r, /* wrapping= */ false);
	memcpy(status->text, e.text, sizeof(status->text));
	return NULL;
}

int kmip_servers_probe(struct kmip_servers *set, const char *key, struct kmip_server_status *ret,
		       size_t *ret_n, struct error *e)
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
			.server = set->servers[i], .key = key, .timeout = set->timeout, .status = &ret[i],
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
		unref_server(probes[i].server);
	}
	pthread_mutex_unlock(&set->lock);
	if (r == 0)
		*ret_n = n;
	return r;
}
