/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The token that a host joins a manager with. This text is normative for both
 * sides.
 *
 *   token   "vmj1." BASE64URL
 *
 * BASE64URL is base64 with the alphabet of RFC 4648 section 5 and without padding, of
 *
 *   32 bytes   SHA-256 of the DER of the manager's CA certificate
 *   32 bytes   secret, random
 *
 * so that a token has JOINTOKEN_TEXT_SIZE characters. In a file one line feed may follow.
 *
 * A token is good for one host, and for some time. The manager keeps the SHA-256 of
 * the secret and nothing else of it.
 *
 * Joining
 * =======
 *
 * The host makes its key pair (EC P-256 or P-384) and connects to the manager by TLS 1.3.
 * The manager sends its CA's certificate as the last one of its chain. The host goes on only
 * if the SHA-256 of that is the token's, the chain verifies with that one as the only anchor,
 * and the server's certificate is for the name or the address that was dialled: nobody else
 * gets to see the secret. Then
 *
 *   POST /api/v1/hosts/join
 *   {"token":SECRET, "csr":pem, "name":text}
 *   -> 201 {"host":uuid, "certificate":pem, "ca":pem}
 *
 * SECRET is the 32 bytes in base 16, lower case. Of the request (PKCS#10) nothing but the
 * public key is taken. name is how the host is to be listed, 1 to 64 bytes and unique:
 * printable ASCII without spaces and slashes. certificate names the host by its UUID and is
 * what the channel (common/channel.h) is dialled with; ca is the one that was pinned.
 *
 * What fails is answered as everywhere in the REST interface: 403 for a token that is unknown,
 * used or expired (one answer for the three), 409 for a name that is taken, 400 for a
 * request of another form, 429 for who has tried too often. The token is used up in the same
 * transaction in which the host comes to be, and only then.
 */
#ifndef VMCRYPT_COMMON_JOINTOKEN_H
#define VMCRYPT_COMMON_JOINTOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"
#include "common/secret.h"

#define JOINTOKEN_PREFIX		"vmj1."
/** JOINTOKEN_TEXT_SIZE - characters of a token, without a NUL */
#define JOINTOKEN_TEXT_SIZE		91
#define JOINTOKEN_FINGERPRINT_SIZE	32	/* bytes */
#define JOINTOKEN_SECRET_SIZE		32	/* bytes */
/** JOINTOKEN_NAME_MAX - bytes of a host's name */
#define JOINTOKEN_NAME_MAX		64
#define JOINTOKEN_PATH			"/api/v1/hosts/join"

/**
 * struct jointoken - a token, taken apart
 * @fingerprint: SHA-256 of the DER of the manager's CA certificate
 * @secret: JOINTOKEN_SECRET_SIZE bytes
 */
struct jointoken {
	uint8_t fingerprint[JOINTOKEN_FINGERPRINT_SIZE];
	struct secret secret;
};

#define JOINTOKEN_NULL ((struct jointoken) { .secret = SECRET_NULL })

/** jointoken_done() - erase */
void jointoken_done(struct jointoken *token);

#define _cleanup_jointoken_ __attribute__((cleanup(jointoken_done)))

/**
 * jointoken_new() - a token of random bytes
 * @ret: written only on success
 *
 * Return: 0; what getrandom(2) and secret_new() answer.
 */
int jointoken_new(const uint8_t fingerprint[JOINTOKEN_FINGERPRINT_SIZE], struct jointoken *ret,
		  struct error *e);

/**
 * jointoken_parse() - read one
 * @text: @size bytes, need not end in NUL; one line feed at the end is cut
 * @ret: written only on success
 *
 * Return: 0; -EBADMSG with EXIT_USAGE: not one, or one that was cut off; -ENOMEM.
 */
int jointoken_parse(const char *text, size_t size, struct jointoken *ret, struct error *e);

/**
 * jointoken_format() - write one
 * @ret: JOINTOKEN_TEXT_SIZE bytes without a NUL; written only on success
 */
int jointoken_format(const struct jointoken *token, struct secret *ret, struct error *e);

/** jointoken_name_valid() - whether a host can be called so */
bool jointoken_name_valid(const char *name);

#endif
