/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rights on a VM come of where it is: who moves it, or the host that it belongs to, does
 * not rise by that.
 *
 * Both in the transaction that moves it.
 */
#ifndef VMCRYPT_MANAGER_PERMISSION_MOVE_H
#define VMCRYPT_MANAGER_PERMISSION_MOVE_H

#include <jansson.h>

#include "common/errors.h"

struct store;

/**
 * permission_before_move() - what @actor may do to the VM, or the VMs of the host, that moves
 * @actor: NULL, the manager itself, never rises
 * @kind: "host" or "vm"
 * @ret: for permission_after_move(); the caller owns it
 */
int permission_before_move(struct store *store, const char *actor, const char *kind,
			   const char *id, json_t **ret, struct error *e);

/**
 * permission_after_move() - whether @actor may do no more to any of them than before
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED.
 */
int permission_after_move(struct store *store, const char *actor, const json_t *before,
			  struct error *e);

#endif
