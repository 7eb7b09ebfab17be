/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may have which key. What counts is what a key was made for, not what a header says.
 *
 * The answer holds for as long as nobody changes anything. Who sends a key has
 * keywatch_host_lock() from the question until the key is on its way: what takes the right
 * away is written down first, and asks the host to forget the key under the same lock.
 */
#ifndef MANAGER_KEYS_RIGHT_H
#define MANAGER_KEYS_RIGHT_H

#include "manager/hosts.h"

/**
 * struct key_right - a host and a key
 * @view: the host
 * @vm: UUID of the VM that the key was made for, "": for none
 */
struct key_right {
	struct host_view view;
	char vm[UUID_TEXT_SIZE];
};

/**
 * key_right() - whether a host may be given a key now
 * @ret: filled as far as it is known, also when it may not
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED (mode, or the key is for others), -ENOKEY with
 * EXIT_NO_KEY (not on the list, or being removed), -ENOENT (no such host).
 */
int key_right(struct manager *m, const char *host, const char *provider, const char *key,
	      struct key_right *ret, struct error *e);

/**
 * key_is_for() - whether a key is for a host or one of its VMs, whatever the host's mode
 *
 * Return: 1, 0; -ENOKEY.
 */
int key_is_for(struct manager *m, const char *host, const char *provider, const char *key,
	       struct error *e);

/** host_may_have_keys() - Return: 0; -EACCES with EXIT_NOT_ALLOWED: not in mode safe */
int host_may_have_keys(const struct host_view *view, struct error *e);

#endif
