/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a host comes and goes (common/jointoken.h). Tokens: documents of kind
 * "host-token", the id is the SHA-256 of the secret in base 16: {cluster: UUID|null,
 * user: who made it, created, expires}.
 */
#ifndef MANAGER_HOST_JOIN_H
#define MANAGER_HOST_JOIN_H

#include "common/encode.h"
#include "common/errors.h"
#include "common/secret.h"

#define HOST_TOKEN_KIND		"host-token"
/** HOST_TOKEN_HOURS - that a token is good for, when nobody says how long */
#define HOST_TOKEN_HOURS	24
#define HOST_TOKEN_HOURS_MAX	720

struct manager;

/**
 * host_token_new() - a token for one host
 * @cluster: UUID, where the host will be; NULL: in none
 * @user: who makes it
 * @hours: 1..HOST_TOKEN_HOURS_MAX
 * @ret: its text; the caller owns it
 * @ret_expires: RFC 3339
 *
 * Tokens that have expired are cleared away on the way. Return: 0; -ENOENT (cluster).
 */
int host_token_new(struct manager *m, const char *cluster, const char *user, unsigned int hours,
		   struct secret *ret, char ret_expires[TIME_TEXT_SIZE], struct error *e);

/**
 * struct host_join - what a host says that wants to join
 * @token: secret of the token, base 16
 * @csr: PEM
 * @name: how it is to be called
 * @peer: address that it came from
 */
struct host_join {
	const char *token;
	const char *csr;
	const char *name;
	const char *peer;
};

/**
 * host_join() - make it one of the manager's hosts, recorded
 * @ret_host: its UUID
 * @ret_pem: its certificate, malloc'ed
 *
 * Return: 0; -EAGAIN (has tried too often), -EACCES with EXIT_NOT_ALLOWED (no such token,
 * used or expired), -EEXIST (name), -EINVAL and others with EXIT_USAGE (name, request).
 */
int host_join(struct manager *m, const struct host_join *join, char ret_host[UUID_TEXT_SIZE],
	      char **ret_pem, struct error *e);

/**
 * host_remove() - forget a host: its certificate counts no more, it gets no key
 *
 * It is told to forget its keys when it is there, and hung up on. What it reported stays,
 * for other hosts may have its disks.
 *
 * Return: 0; -EBUSY (VMs are registered to it), -ENOENT.
 */
int host_remove(struct manager *m, const char *host, struct error *e);

#endif
