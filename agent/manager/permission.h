/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Permissions: documents of kind "permission" {user, role, object, propagate}: a user
 * has a role on an object, one at most on each.
 */
#ifndef VMCRYPT_MANAGER_PERMISSION_H
#define VMCRYPT_MANAGER_PERMISSION_H

#include <jansson.h>
#include <stdbool.h>

#include "common/encode.h"
#include "common/errors.h"
#include "manager/privilege.h"

struct store;

/** PERMISSION_OBJECT_SIZE - bytes of "cluster:UUID", with the NUL */
#define PERMISSION_OBJECT_SIZE	(8 + UUID_TEXT_SIZE)
#define PERMISSION_GLOBAL	"global"

/** permission_object_valid() - "global", or cluster, host or vm, ':' and a UUID */
bool permission_object_valid(const char *object);

/**
 * permission_set() - give a user a role on an object, instead of what they had there
 * @actor: who asks: has to hold on that object everything that the role gives and
 *	that the user had there, and the same below the object where the user's rights
 *	change there; NULL: the manager itself
 * @propagate: also on what is below the object; else what is inherited counts there
 * @ret_id: of the permission; may be NULL
 *
 * That the actor may change permissions there at all is the caller's to check.
 *
 * Return: 0; -ENOENT (user, role, object), -EINVAL with EXIT_USAGE, -EACCES with
 * EXIT_NOT_ALLOWED, -EBUSY when no administrator would be left.
 */
int permission_set(struct store *store, const char *actor, const char *user, const char *role,
		   const char *object, bool propagate, char ret_id[UUID_TEXT_SIZE],
		   struct error *e);

/**
 * permission_remove() - take one away; what is inherited counts again, so the actor
 * has to hold that too
 *
 * Return: 0; -ENOENT, -EACCES with EXIT_NOT_ALLOWED, -EBUSY when no administrator
 * would be left.
 */
int permission_remove(struct store *store, const char *actor, const char *id, struct error *e);

/** permission_get() - {id, user, role, object, propagate}. -ENOENT. */
int permission_get(struct store *store, const char *id, json_t **ret, struct error *e);

/** permission_list() - an array of those; @user: NULL: of all */
int permission_list(struct store *store, const char *user, json_t **ret, struct error *e);

/**
 * permission_remove_all() - all permissions of a user, or all on an object
 * @user: NULL: of all users
 * @object: NULL: on all objects
 *
 * For what is deleted with its user or its object. Checks nothing.
 */
int permission_remove_all(struct store *store, const char *user, const char *object,
			  struct error *e);

/**
 * permission_holds() - whether @actor holds privileges on an object and on all within it
 * @actor: NULL, the manager itself, holds all
 * @what: that is to be done, "give a role", for the error
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED.
 */
int permission_holds(struct store *store, const char *actor, const char *object,
		     privilege_set set, const char *what, struct error *e);

/**
 * permission_covers() - whether @actor holds every right of @user, each where they
 * have it: what it takes to act in that user's place
 * @actor: NULL, the manager itself, holds all
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED.
 */
int permission_covers(struct store *store, const char *actor, const char *user,
		      struct error *e);

/**
 * permission_keep_administrator() - refuse a state without an administrator
 *
 * To be called in the transaction that made the change. Return: 0; -EBUSY when no
 * user who is not disabled has Administrator globally, propagating.
 */
int permission_keep_administrator(struct store *store, struct error *e);

#endif
