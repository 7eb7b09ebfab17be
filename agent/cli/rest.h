/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests to the manager's REST interface, by libcurl. */
#ifndef CLI_REST_H
#define CLI_REST_H

#include <jansson.h>

#include "cli/interrupt.h"
#include "common/errors.h"
#include "common/secret.h"

/**
 * struct rest_target - which manager, and who asks
 * @url: ``https://HOST[:PORT]``
 * @ca: file with the certificates that the manager's must be signed by; %NULL:
 *	those that the system trusts
 * @certificate: file with the caller's own certificate; %NULL: none
 * @certificate_key: file with the key of @certificate
 * @token: of a session; empty: none
 * @interrupt: ends a request that is under way; %NULL: nothing does
 *
 * All pointers stay the caller's.
 */
struct rest_target {
	const char *url;
	const char *ca;
	const char *certificate;
	const char *certificate_key;
	struct secret token;
	const struct interrupt *interrupt;
};

/**
 * rest_check_url() - whether an address can be one of a manager
 *
 * Return: 0; -EINVAL (EXIT_USAGE): not https, or with more than host and port.
 */
int rest_check_url(const char *url, struct error *e);

/**
 * rest_call() - one request and its answer
 * @method: "GET", "POST", "PATCH", "PUT" or "DELETE"
 * @path: behind ``/api/v1``, escaped, with its query
 * @body: %NULL: none
 * @ret: the object that was answered, null for none; written only on success; the
 *	caller owns it
 * @e: the manager's own words where it refused
 *
 * Never follows a redirection, speaks TLS 1.2 or newer, and goes by no proxy.
 *
 * Return: 0; -EREMOTEIO (refused; @e has the manager's status), -ECONNREFUSED
 * and others where it was not reached, -EPROTO (the answer is none), -EINTR.
 */
int rest_call(const struct rest_target *target, const char *method, const char *path,
	      json_t *body, json_t **ret, struct error *e);

/**
 * rest_escape() - a word for a path or a query (RFC 3986, section 2.1)
 *
 * Return: allocated; %NULL without memory.
 */
char *rest_escape(const char *word);

#endif
