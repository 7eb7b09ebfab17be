/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions of people: bearer tokens, in memory alone, of which only the hash is
 * kept. A manager that restarts has no sessions.
 */
#ifndef VMCRYPT_MANAGER_SESSION_H
#define VMCRYPT_MANAGER_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "manager/user.h"

/** SESSION_TOKEN_SIZE - 32 random bytes in base 16, with the NUL */
#define SESSION_TOKEN_SIZE	65
/** SESSION_IDLE - seconds without a request after which a session ends */
#define SESSION_IDLE		(30 * 60)
/** SESSION_LIFE - seconds after which it ends in any case */
#define SESSION_LIFE		(8 * 60 * 60)
/** SESSIONS_MAX - sessions at a time */
#define SESSIONS_MAX		1024
/** SESSIONS_PER_USER - of one user; one more ends the one that was idle longest */
#define SESSIONS_PER_USER	32

struct sessions;

/**
 * struct session - what a request may know of its session
 * @user: name
 * @started: seconds since 1970
 * @expires: seconds since 1970 at which it ends at the latest
 */
struct session {
	char user[USER_NAME_MAX + 1];
	int64_t started;
	int64_t expires;
};

/**
 * sessions_new() - an empty table
 * @clock: seconds that never go backwards; NULL: CLOCK_BOOTTIME
 */
int sessions_new(int64_t (*clock)(void), struct sessions **ret, struct error *e);

void sessions_free(struct sessions *sessions);

/**
 * session_new() - begin a session of a user who has proved who they are
 * @ret_token: to be erased by the caller when the answer is out
 *
 * Return: 0; -EUSERS (SESSIONS_MAX are open).
 */
int session_new(struct sessions *sessions, const char *user, char ret_token[SESSION_TOKEN_SIZE],
		struct error *e);

/**
 * session_check() - who sends this token; begins the idle time anew
 * @token: as it came, any text or NULL
 * @ret: may be NULL
 *
 * Return: 0; -EKEYEXPIRED with EXIT_NOT_ALLOWED: no such session, or it is over;
 * the text is the same for both. HTTP 401.
 */
int session_check(struct sessions *sessions, const char *token, struct session *ret,
		  struct error *e);

/** session_end() - log out; a token of no session is -EKEYEXPIRED */
int session_end(struct sessions *sessions, const char *token, struct error *e);

/** sessions_end_user() - end all sessions of a user. Return: how many. */
size_t sessions_end_user(struct sessions *sessions, const char *user);

/**
 * sessions_epoch() - changes with each sessions_end_user()
 *
 * Who takes it before a password is looked at, and again after session_new(),
 * knows whether the password may have been changed in between: then the new
 * session has to end.
 */
uint64_t sessions_epoch(struct sessions *sessions);

/** sessions_count() - that are open now */
size_t sessions_count(struct sessions *sessions);

#endif
