/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Privileges, by vSphere's names, and who holds which.
 */
#ifndef VMCRYPT_MANAGER_PRIVILEGE_H
#define VMCRYPT_MANAGER_PRIVILEGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"

struct store;

/** PRIVILEGE_MAX - privileges that a set has room for */
#define PRIVILEGE_MAX 64

/** privilege_set - one bit for each privilege, by its place in the table */
typedef uint64_t privilege_set;

/**
 * struct privilege - one privilege
 * @name: as vSphere has it
 * @summary: what it allows
 * @crypto: leads to key material: not in NoCryptoAdmin
 * @read: only looks: all that ReadOnly holds
 * @asked: an operation of this manager asks for it; the others are there so that roles
 *	are the same when it does
 */
struct privilege {
	const char *name;
	const char *summary;
	bool crypto;
	bool read;
	bool asked;
};

/** privilege_table() - all privileges, sorted by name */
const struct privilege *privilege_table(size_t *ret_count);

/** privilege_bit() - the set of one privilege; 0: there is none of that name */
privilege_set privilege_bit(const char *name);

/** privilege_names() - a set as an array of names; NULL: out of memory */
json_t *privilege_names(privilege_set set);

/**
 * privilege_check() - whether a user may do something to an object
 * @object: "global", "cluster:UUID", "host:UUID", "vm:UUID"; NULL: global
 *
 * The nearest permission decides, as in vSphere: one on the object itself, else a
 * propagating one on its parent, and so on up to global. A VM's parent is its
 * cluster, or its host when that is in none; a host's its cluster. An object that
 * is not there has global above it: who may see all learns that it is not there.
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED, the text names the privilege and who
 * can grant it; -EINVAL (no such privilege or kind of object).
 */
int privilege_check(struct store *store, const char *user, const char *privilege,
		    const char *object, struct error *e);

/**
 * privilege_effective() - everything that a user may do to an object
 *
 * Empty, not an error, for a user who is unknown, disabled or without permission.
 */
int privilege_effective(struct store *store, const char *user, const char *object,
			privilege_set *ret, struct error *e);

/**
 * privilege_within() - whether permissions on @around reach @object from above
 */
int privilege_within(struct store *store, const char *object, const char *around, bool *ret,
		     struct error *e);

/**
 * struct privilege_rights - what a user may do to an object and around it
 * @here: to the object itself
 * @below: to what is below it and has no permission of its own
 * @inherited: to either if there was no permission on the object itself
 */
struct privilege_rights {
	privilege_set here;
	privilege_set below;
	privilege_set inherited;
};

/** privilege_rights() - the same as privilege_effective(), and below the object */
int privilege_rights(struct store *store, const char *user, const char *object,
		     struct privilege_rights *ret, struct error *e);

/**
 * privilege_granted() - the same, also of a user who is disabled: what they would have again
 */
int privilege_granted(struct store *store, const char *user, const char *object,
		      struct privilege_rights *ret, struct error *e);

#endif
