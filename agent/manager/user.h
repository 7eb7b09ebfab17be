/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users: documents of kind "user" {name, password: {n, r, p, salt, hash} | null,
 * certificate: SHA-256 | null, disabled, created}.
 *
 * Where a function takes @actor, that is who asks, and NULL is the manager itself.
 * An actor may change only users whose every right they hold themselves: who
 * resets a password owns that user's rights. Recording is the caller's.
 */
#ifndef VMCRYPT_MANAGER_USER_H
#define VMCRYPT_MANAGER_USER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"

/** USER_NAME_MAX - bytes of a user's name, without the NUL */
#define USER_NAME_MAX		64
/** USER_PASSWORD_MIN - bytes */
#define USER_PASSWORD_MIN	8
/** USER_CERTIFICATE_SIZE - SHA-256 of a certificate in base 16, with the NUL */
#define USER_CERTIFICATE_SIZE	65

struct store;
struct sessions;
struct users;

/** user_name_valid() - 1..64 of letters, digits, '.', '_', '-', '@', the first one a
 * letter or a digit */
bool user_name_valid(const char *name);

/**
 * users_new() - the users of a store
 * @sessions: which password change, disabling and deletion end; NULL: none
 * @clock: for throttling, seconds that never go backwards; NULL: CLOCK_BOOTTIME
 */
int users_new(struct store *store, struct sessions *sessions, int64_t (*clock)(void),
	      struct users **ret, struct error *e);

void users_free(struct users *users);

/**
 * user_create() - a user without any right; permission_set() gives some
 * @password: NULL: logs in by certificate alone
 * @certificate: SHA-256 of a client certificate, base 16; NULL: none
 *
 * Return: 0; -EEXIST, -EINVAL with EXIT_USAGE (name, password, certificate).
 */
int user_create(struct users *users, const char *name, const struct secret *password,
		const char *certificate, struct error *e);

/**
 * user_set_password() - ends all sessions of the user
 * @actor: may be the user
 *
 * Return: 0; -ENOENT, -EINVAL, -EACCES with EXIT_NOT_ALLOWED.
 */
int user_set_password(struct users *users, const char *actor, const char *name,
		      const struct secret *password, struct error *e);

/**
 * struct user_changes - what of a user becomes different
 * @password: NULL: it stays
 * @certificate: NULL takes it away, where @set_certificate
 * @disabled: where @set_disabled
 */
struct user_changes {
	const struct secret *password;
	bool set_certificate;
	const char *certificate;
	bool set_disabled;
	bool disabled;
};

/**
 * user_change() - all of them or none; ends all sessions of the user
 *
 * Return: as user_set_password() and user_set_disabled().
 */
int user_change(struct users *users, const char *actor, const char *name,
		const struct user_changes *changes, struct error *e);

/** user_set_certificate() - NULL takes it away; ends all sessions of the user */
int user_set_certificate(struct users *users, const char *actor, const char *name,
			 const char *certificate, struct error *e);

/**
 * user_set_disabled() - a disabled user cannot log in and has no rights
 *
 * Return: as above; -EBUSY when no administrator would be left.
 */
int user_set_disabled(struct users *users, const char *actor, const char *name, bool disabled,
		      struct error *e);

/** user_delete() - with all permissions of the user. Return: as user_set_disabled(). */
int user_delete(struct users *users, const char *actor, const char *name, struct error *e);

/** user_get() - {name, has_password, certificate, disabled, created}. -ENOENT. */
int user_get(struct users *users, const char *name, json_t **ret, struct error *e);

/** user_list() - an array of those, by name */
int user_list(struct users *users, json_t **ret, struct error *e);

/**
 * user_authenticate() - whether this is the user's password
 * @name: as it came, any text
 * @address: of the peer, IPv4 or IPv6 as text
 *
 * A user that is unknown, disabled or without a password takes the same time and
 * gets the same answer as a wrong password. After a few failures of a name, and of
 * an address, further attempts have to wait, longer each time. From where a user has
 * logged in before only their own failures there count, so that nobody keeps them out
 * by guessing at their name from elsewhere.
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED (HTTP 401), -EAGAIN with
 * EXIT_NOT_ALLOWED (has to wait; the text says how long; HTTP 429).
 */
int user_authenticate(struct users *users, const char *name, const struct secret *password,
		      const char *address, struct error *e);

/**
 * user_by_certificate() - whose client certificate this is
 * @certificate: SHA-256 of the certificate that TLS has verified, base 16; "": none
 * @address: of the peer, which has to wait after failures
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED: nobody's, or a disabled user's; -EAGAIN
 * as user_authenticate().
 */
int user_by_certificate(struct users *users, const char *certificate, const char *address,
			char ret_name[USER_NAME_MAX + 1], struct error *e);

/**
 * user_refusal_counts() - whether one more refused login is to be recorded
 * @ret_unrecorded: how many were not since the last one that was
 *
 * Whoever has many addresses could fill the record otherwise: 100 at once, then one
 * every 10 seconds.
 */
bool user_refusal_counts(struct users *users, uint64_t *ret_unrecorded);

/** user_refusals_take() - how many were not since then; they count no more */
uint64_t user_refusals_take(struct users *users);

#endif
