// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/resolve.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/lock.h"

#define STACK_SIZE (512 * 1024)	/* name service modules are other people's code */

/* Threads belong to the process, whoever started them: so does their number. */
static atomic_uint lookups;

/**
 * struct lookup - one look-up, of the thread and the one who waits for it
 * @done: the thread's work is in @result and @addresses
 * @given_up: nobody waits any more: the thread frees it
 */
struct lookup {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	bool given_up;
	int result;
	struct addrinfo *addresses;
	char service[sizeof("65535")];
	char host[];
};

static int ask(const char *host, const char *service, int more, struct addrinfo **ret)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | more };

	return getaddrinfo(host, service, &hints, ret);
}

static void lookup_free(struct lookup *lookup)
{
	if (lookup->addresses)
		freeaddrinfo(lookup->addresses);
	pthread_cond_destroy(&lookup->changed);
	pthread_mutex_destroy(&lookup->lock);
	free(lookup);
}

static void *lookup_thread(void *arg)
{
	struct lookup *lookup = arg;
	struct addrinfo *addresses = NULL;
	int result = ask(lookup->host, lookup->service, 0, &addresses);
	bool given_up;

	atomic_fetch_sub(&lookups, 1);
	pthread_mutex_lock(&lookup->lock);
	lookup->result = result;
	lookup->addresses = result == 0 ? addresses : NULL;
	lookup->done = true;
	given_up = lookup->given_up;
	pthread_cond_signal(&lookup->changed);
	pthread_mutex_unlock(&lookup->lock);
	if (given_up)
		lookup_free(lookup);
	return NULL;
}

static struct lookup *lookup_new(const char *host, const char *service)
{
	size_t size = strlen(host) + 1;
	struct lookup *lookup = calloc(1, sizeof(*lookup) + size);

	if (!lookup)
		return NULL;
	memcpy(lookup->host, host, size);
	snprintf(lookup->service, sizeof(lookup->service), "%s", service);
	pthread_mutex_init(&lookup->lock, NULL);
	pthread_cond_init(&lookup->changed, NULL);
	return lookup;
}

/* Return: 0 or -errno. */
static int start_thread(struct lookup *lookup)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, lookup_thread, lookup);
	pthread_attr_destroy(&attr);
	return -r;
}

static int start(const char *host, const char *service, struct lookup **ret, struct error *e)
{
	struct lookup *lookup;
	int r;

	if (atomic_fetch_add(&lookups, 1) >= KMIP_LOOKUPS_MAX) {
		atomic_fetch_sub(&lookups, 1);
		return error_set(e, EAGAIN, EXIT_NO_KEY, 0,
				 "Looking up key server %s: %d look-ups before it have not ended; check the name service of this host, or name key servers by their addresses",
				 host, KMIP_LOOKUPS_MAX);
	}
	lookup = lookup_new(host, service);
	r = lookup ? start_thread(lookup) : -ENOMEM;
	if (r == 0) {
		*ret = lookup;
		return 0;
	}
	atomic_fetch_sub(&lookups, 1);
	if (lookup)
		lookup_free(lookup);
	return error_set(e, r, EXIT_NO_KEY, 0, "Looking up key server %s: %s", host, strerror(-r));
}

/* Return: whether it ended in time. Else the thread has it from now on. */
static bool wait_done(struct lookup *lookup, int64_t deadline)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&lookup->lock);

	while (!lookup->done)
		if (!cond_wait_until(&lookup->changed, &lookup->lock, deadline))
			break;
	lookup->given_up = !lookup->done;
	return lookup->done;
}

int kmip_resolve(const char *host, uint16_t port, int64_t deadline, struct addrinfo **ret,
		 struct error *e)
{
	char service[sizeof("65535")];
	struct lookup *lookup;
	int r;

	snprintf(service, sizeof(service), "%u", port);
	/* An address needs no name service, nor a thread. */
	if (ask(host, service, AI_NUMERICHOST, ret) == 0)
		return 0;
	r = start(host, service, &lookup, e);
	if (r < 0)
		return r;
	if (!wait_done(lookup, deadline))
		return error_set(e, ETIMEDOUT, EXIT_NO_KEY, 0,
				 "Looking up key server %s: the name service did not answer in time; check the name service of this host, or name the key server by its address",
				 host);
	r = lookup->result;
	if (r == 0)
		*ret = TAKE_PTR(lookup->addresses);
	lookup_free(lookup);
	return r == 0 ? 0 : error_set(e, EHOSTUNREACH, EXIT_NO_KEY, 0,
				      "Looking up key server %s: %s; check the name, and the name service of this host",
				      host, gai_strerror(r));
}
