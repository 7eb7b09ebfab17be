/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Roles: named sets of privileges. Three are built in and never change; others are
 * documents of kind "role" {name, privileges: [name]}.
 */
#ifndef VMCRYPT_MANAGER_ROLE_H
#define VMCRYPT_MANAGER_ROLE_H

#include <jansson.h>

#include "common/errors.h"
#include "manager/privilege.h"

/** ROLE_NAME_MAX - bytes of a role's name, without the NUL */
#define ROLE_NAME_MAX		64
#define ROLE_ADMINISTRATOR	"Administrator"
/** ROLE_NO_CRYPTO - vSphere's "No cryptography administrator": all but what leads to
 * key material */
#define ROLE_NO_CRYPTO		"NoCryptoAdmin"
#define ROLE_READ_ONLY		"ReadOnly"

/**
 * role_privileges() - what a role holds
 *
 * A privilege in the document that this version does not know is left out.
 *
 * Return: 0; -ENOENT.
 */
int role_privileges(struct store *store, const char *role, privilege_set *ret, struct error *e);

/** role_get() - {name, builtin, summary, privileges}. -ENOENT. */
int role_get(struct store *store, const char *role, json_t **ret, struct error *e);

/** role_list() - an array of those, the built-in ones first */
int role_list(struct store *store, json_t **ret, struct error *e);

/**
 * role_create() - a role of one's own
 * @actor: who asks: has to hold, globally, each privilege they put in; NULL: the manager
 * @privileges: array of names
 *
 * Return: 0; -EEXIST, -EINVAL with EXIT_USAGE, -EACCES with EXIT_NOT_ALLOWED.
 */
int role_create(struct store *store, const char *actor, const char *role,
		const json_t *privileges, struct error *e);

/** role_update() - replace its privileges; those that come new need to be the actor's.
 * Return: as role_create(); -ENOENT; -EPERM with EXIT_NOT_ALLOWED for a built-in one. */
int role_update(struct store *store, const char *actor, const char *role,
		const json_t *privileges, struct error *e);

/** role_delete() - Return: 0; -ENOENT, -EPERM (built in), -EBUSY (a permission has it) */
int role_delete(struct store *store, const char *role, struct error *e);

#endif
