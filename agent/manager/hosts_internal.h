/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files about hosts share. */
#ifndef MANAGER_HOSTS_INTERNAL_H
#define MANAGER_HOSTS_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "manager/hosts.h"

struct store;
struct throttle;

#define MODE_INCAPABLE	"incapable"
#define MODE_PREPARED	"prepared"
#define MODE_SAFE	"safe"
#define MODE_PENDING	"pending-incapable"

/** struct host_change - a host whose mode is being changed */
struct host_change {
	char host[UUID_TEXT_SIZE];
	LIST_ENTRY(host_change) entry;
};

/**
 * struct hosts - all under @lock
 * @joins: who tries to join, by address
 * @words: what hosts make of the record by their own word
 * @changing: hosts whose mode is being changed
 */
struct hosts {
	pthread_mutex_t lock;
	struct throttle *joins;
	struct throttle *words;
	LIST_HEAD(, host_change) changing;
};

/**
 * hosts_admit() - whether a row goes into the record that a host alone causes
 * @what: sort of row, "vm" and so on
 *
 * HOST_WORDS of a sort go at once, further ones less and less often, down to one a
 * minute: else a host that lies fills it.
 */
bool hosts_admit(struct hosts *hosts, const char *what, const char *host);

#define HOST_WORDS 1024U

/**
 * host_disks_absent() - what a host has told of its disks does not hold any more
 * @reported: an object whose members are the ids of those that stay; NULL: none
 *
 * In a transaction of the caller's.
 */
int host_disks_absent(struct store *store, const char *host, const json_t *reported,
		      struct error *e);

/**
 * host_disk_attached() - a disk that is attached on a host
 * @ret: its document; the caller owns it
 *
 * Return: 1; 0: there is none, and *ret stays as it was.
 */
int host_disk_attached(struct store *store, const char *host, json_t **ret, struct error *e);

/** host_get() - the document of a host that was not removed. -ENOENT */
int host_get(struct store *store, const char *host, json_t **ret, struct error *e);

/** host_set_string() - a member of a document; NULL: null. Return: 0 or -ENOMEM */
int host_set_string(json_t *document, const char *key, const char *value, struct error *e);

/** host_set_now() - the time as a member. Return: 0 or -ENOMEM */
int host_set_now(json_t *document, const char *key, struct error *e);

#endif
