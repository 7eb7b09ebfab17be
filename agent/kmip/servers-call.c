// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Calls: a connection to whichever server of a set can be had, and what is done
 * when one breaks down.
 */
#include "kmip/servers-internal.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/lock.h"

/* A server that has not answered for so long gets company. */
#define PATIENCE 500

/* That no server could be had is told for so long without asking again, ms: who waits in a
 * row behind a call that has run into its time-out need not run into it one by one. */
#define DOWN 2000

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

void servers_unref(struct kmip_server *server)
{
	if (--server->refs == 0)
		kmip_server_free(server);
}

static void unref_hunt(struct hunt *hunt)
{
	if (--hunt->refs == 0)
		free(hunt);
}

void servers_keep(struct kmip_connection *connection)
{
	struct kmip_server *server = connection->server;

	if (!server->removed && server->n_idle < KMIP_SERVER_IDLE_MAX)
		server->idle[server->n_idle++] = connection;
	else
		kmip_connection_close(connection);
	servers_unref(server);
}

/* Under the lock. */
static void hand_over(struct hunt *hunt, struct kmip_connection *connection)
{
	connection->server->failed = 0;
	if (hunt->over || hunt->won)
		servers_keep(connection);
	else
		hunt->won = connection;
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
	a->hunt->pending--;
	if (r < 0) {
		kmip_server_failed(a->server);
		a->hunt->failure = e;
		servers_unref(a->server);
	} else {
		hand_over(a->hunt, connection);
	}
	unref_hunt(a->hunt);
	/* Who waits for the last thread may end the process, and OpenSSL with it. */
	OPENSSL_thread_stop();
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

/* Under the lock. Those who are still silent at the end of a hunt, whose threads are about to
 * say so; a server that was removed meanwhile is none of ours. */
static void give_up(struct kmip_servers *set, struct kmip_server *const *tried, size_t n)
{
	size_t i, k;

	for (i = 0; i < set->n; i++)
		for (k = 0; k < n; k++)
			if (tried[k] == set->servers[i] && !tried[k]->failed)
				kmip_server_failed(tried[k]);
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
	if (!hunt->won)
		give_up(set, tried + round->n, n - round->n);
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
		/* The analyzer does not know that a failure has a code. */
		r = hunt->failure.code < 0 ? hunt->failure.code : -EIO;
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
		if (r == 0)
			server->failed = 0;
		servers_keep(connection);
		return r == -EAGAIN || r == -ENOKEY;
	}
	/* One that was kept may have been closed for its age: the same server once more.
	 * But who stays silent on one connection is not waited for on the next. */
	if (connection->reused && connection->client.why != -ETIMEDOUT)
		servers_unref(round->used[--round->n]);
	else
		kmip_server_failed(server);
	kmip_connection_close(connection);
	servers_unref(server);
	return true;
}

static bool all_failed(const struct kmip_servers *set)
{
	size_t i;

	for (i = 0; i < set->n; i++)
		if (!set->servers[i]->failed)
			return false;
	return true;
}

/* Any success since has made one of them healthy. */
static bool still_down(const struct kmip_servers *set)
{
	return kmip_deadline(0) < set->down_until && all_failed(set);
}

static void keep_failure(struct kmip_servers *set, const struct error *failure)
{
	if (!all_failed(set))
		return;
	set->down = *failure;
	set->down_until = kmip_deadline(DOWN);
}

/* Under the lock, which is given up meanwhile. */
static int work_with(struct kmip_servers *set, struct kmip_connection *connection, int64_t deadline,
		     int (*work)(struct kmip_client *client, void *userdata, struct error *e),
		     void *userdata, struct error *e)
{
	int r;

	connection->client.deadline = deadline;
	pthread_mutex_unlock(&set->lock);
	r = work(&connection->client, userdata, e);
	pthread_mutex_lock(&set->lock);
	connection->client.deadline = 0;
	return r;
}

static int call_all(struct kmip_servers *set, struct round *round, int64_t deadline,
		    int (*work)(struct kmip_client *client, void *userdata, struct error *e),
		    void *userdata, struct error *e)
{
	struct error failure = ERROR_NULL, missing = ERROR_NULL;
	struct kmip_connection *connection;
	bool again;
	int r;

	do {
		failure = ERROR_NULL;
		r = get_connection(set, round, &connection, &failure);
		if (r < 0)
			break;
		r = work_with(set, connection, deadline, work, userdata, &failure);
		if (r == -ENOKEY)
			missing = failure;
		again = settle(round, connection, r) && r < 0;
	} while (again && next_server(set, round->used, round->n) && kmip_deadline(0) < deadline);
	if (r < 0 && error_is_set(&missing)) {
		failure = missing;
		r = -ENOKEY;
	}
	if (r < 0)
		keep_failure(set, &failure);
	if (r < 0 && e)
		*e = failure;
	return r;
}

static int tell_down(const struct kmip_servers *set, struct error *e)
{
	if (e)
		*e = set->down;
	return set->down.code;
}

int servers_call(struct kmip_servers *set, int64_t deadline, bool insist,
		 int (*work)(struct kmip_client *client, void *userdata, struct error *e),
		 void *userdata, struct error *e)
{
	struct round round = { .n = 0 };
	int r;

	pthread_mutex_lock(&set->lock);
	if (!set->n)
		r = error_set(e, ENOENT, EXIT_NO_KEY, 0, "The key provider has no key server: add one");
	else if (!insist && still_down(set))
		r = tell_down(set, e);
	else if (kmip_deadline(0) >= deadline)
		r = error_set(e, ETIMEDOUT, EXIT_NO_KEY, 0,
			      "The key servers of the provider take too long: look into their load, and the network to them");
	else
		r = call_all(set, &round, deadline, work, userdata, e);
	while (round.n)
		servers_unref(round.used[--round.n]);
	pthread_mutex_unlock(&set->lock);
	return r;
}

int kmip_servers_call(struct kmip_servers *set, int64_t deadline,
		      int (*work)(struct kmip_client *client, void *userdata, struct error *e),
		      void *userdata, struct error *e)
{
	return servers_call(set, deadline, /* insist= */ false, work, userdata, e);
}
