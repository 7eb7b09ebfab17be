/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the manager does with keys and providers by itself: keys that hosts wait for are
 * tried again, and providers are looked at.
 */
#ifndef MANAGER_KEYS_WATCH_H
#define MANAGER_KEYS_WATCH_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"

/** KEYWATCH_PROBE_S - between two looks at all providers */
#define KEYWATCH_PROBE_S	60
/** KEYWATCH_WANTED_MAX - keys that are tried again; a host asks again itself for others */
#define KEYWATCH_WANTED_MAX	4096
/* Between two tries of a key: twice as long each time, from the first to the last. */
#define KEYWATCH_FIRST_MS	1000
#define KEYWATCH_LAST_MS	30000

struct keywatch;
struct manager;

/** keywatch_new() - without its threads yet */
int keywatch_new(struct keywatch **ret, struct error *e);

/** keywatch_free() - the threads have to be stopped. NULL is left alone */
void keywatch_free(struct keywatch *watch);

/** keywatch_start() - look after @m's hosts and providers in threads */
int keywatch_start(struct keywatch *watch, struct manager *m, struct error *e);

/** keywatch_stop() - and wait for their end; without any nothing is done */
void keywatch_stop(struct keywatch *watch);

/** keywatch_want() - a host asked in vain for a key that it may have. @watch: NULL: nobody looks */
void keywatch_want(struct keywatch *watch, const char *host, const char *provider,
		   const char *key);

/** keywatch_wanted() - how many keys are waited for */
size_t keywatch_wanted(struct keywatch *watch);

/**
 * keywatch_retry() - try the wanted keys that are due
 * @now: ms of CLOCK_MONOTONIC
 *
 * Those that can be had are pushed. Who is not connected any more is forgotten: a host
 * gets its keys when it says hello. What one of the threads does.
 */
void keywatch_retry(struct keywatch *watch, struct manager *m, int64_t now);

/**
 * keywatch_host_lock() - for the rest of what a host is given or asked to forget: in order,
 * one at a time
 *
 * Nobody has those of two hosts, which may be one. @watch: NULL: there is none to have.
 */
pthread_mutex_t *keywatch_host_lock(struct keywatch *watch, const char *host);

/**
 * keywatch_host_lock_until() - the same for who cannot wait for long
 * @deadline: ms of CLOCK_MONOTONIC
 *
 * Return: NULL: the time is over, and nothing is locked.
 */
pthread_mutex_t *keywatch_host_lock_until(struct keywatch *watch, const char *host,
					  int64_t deadline);

/**
 * keywatch_remove_begin() - nobody gets a key any more, for it is being removed
 * @id: of its document
 *
 * Return: 0; -EBUSY: it is already.
 */
int keywatch_remove_begin(struct keywatch *watch, const char *id, struct error *e);

/** keywatch_remove_end() - it is gone, or stays */
void keywatch_remove_end(struct keywatch *watch, const char *id);

/** keywatch_removing() - whether it is being removed. @watch: NULL: no */
bool keywatch_removing(struct keywatch *watch, const char *id);

/**
 * keywatch_remember() - what was seen of something
 * @what: any name, as "PROVIDER/SERVER"
 * @state: of at most 63 bytes
 * @ret: what was seen before, "" for the first time; KEYWATCH_STATE_SIZE bytes
 */
void keywatch_remember(struct keywatch *watch, const char *what, const char *state, char *ret);

/** keywatch_recall() - the same, and it is left as it is */
void keywatch_recall(struct keywatch *watch, const char *what, char *ret);

#define KEYWATCH_STATE_SIZE 64

#endif
