/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager: what its parts are and who hands them on.
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/errors.h"
#include "manager/vault.h"

struct authority;
struct errands;
struct hosts;
struct keywatch;
struct links;
struct providers;
struct refusals;
struct sessions;
struct store;
struct users;
struct vault;

/**
 * struct manager - the one context
 * @started: seconds since 1970
 * @slow: requests under way that wait for hosts or key servers
 * @slow_max: that there may be, so that threads are left for others; 0: any number
 *
 * Each part takes calls from any thread.
 */
struct manager {
	struct store *store;
	struct vault *vault;
	struct authority *authority;
	struct sessions *sessions;
	struct users *users;
	struct refusals *refusals;
	struct errands *errands;
	struct hosts *hosts;
	struct links *links;
	struct providers *providers;
	struct keywatch *watch;
	int64_t started;
	atomic_uint slow;
	unsigned int slow_max;
};

/**
 * manager_open() - open what manager_init() has made
 *
 * Return: 0, or what the parts answer; then there is nothing to close.
 */
int manager_open(const struct vault_settings *settings, struct manager *ret, struct error *e);

void manager_close(struct manager *manager);

#endif
