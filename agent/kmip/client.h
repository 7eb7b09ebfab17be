/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client of one key server over one stream: messages there and back, the
 * version, and the operations on keys that a provider needs.
 *
 * After an error of the stream, a damaged answer or one about another key the stream
 * is of no more use, since nobody knows where the next message begins, or to which
 * question it belongs; the client is then broken and refuses to go on. A refusal by
 * the server breaks nothing.
 */
#ifndef VMCRYPT_KMIP_CLIENT_H
#define VMCRYPT_KMIP_CLIENT_H

#include "kmip/response.h"
#include "kmip/stream.h"

/**
 * struct kmip_client - one connection
 * @stream: has to live as long
 * @version: that is spoken; {0, 0} before kmip_negotiate(): choose. Otherwise it
 *	is pinned, and the server has to know it
 * @user: NULL: no credential
 * @password: of @user
 * @timeout: for one message and its answer, ms
 * @deadline: as kmip_deadline(), when no further message is begun; 0: none. What was
 *	begun before has its @timeout, so that the connection stays of use
 * @broken: see above
 * @why: what broke it, -errno
 *
 * All pointers stay the caller's.
 */
struct kmip_client {
	struct kmip_stream stream;
	struct kmip_version version;
	const char *user;
	const struct secret *password;
	unsigned int timeout;
	int64_t deadline;
	bool broken;
	int why;
};

/** KMIP_ANSWER_MAX - largest answer that is taken, bytes: 20 times the longest that is awaited */
#define KMIP_ANSWER_MAX ((size_t) 32 * 1024)

/**
 * struct kmip_answer - an answer and what it points into
 */
struct kmip_answer {
	struct secret message;
	struct kmip_response response;
};

#define KMIP_ANSWER_NULL ((struct kmip_answer) { .message = SECRET_NULL })

/**
 * kmip_answer_done() - erase and free
 */
void kmip_answer_done(struct kmip_answer *answer);

#define _cleanup_kmip_answer_ __attribute__((cleanup(kmip_answer_done)))

/**
 * kmip_call() - send requests in one message and read the answer
 * @ordered: they are to be done in their order, each on the key of the one before
 *	where it names none
 * @ret: written only on success; the caller owns it
 *
 * Return: 0: the results say how each went; as kmip_encode(), kmip_decode() and
 * the stream; -ENOTCONN (broken); -ETIMEDOUT without being broken (the deadline).
 */
int kmip_call(struct kmip_client *client, const struct kmip_request *requests, size_t n,
	      bool ordered, struct kmip_answer *ret, struct error *e);

/**
 * kmip_negotiate() - agree with the server on a version
 *
 * Asks by Discover Versions in 1.1 and takes the first of 1.4, 1.3, 1.2, 1.1,
 * 1.0, 2.1, 2.0 that both know. A server that does not know the question speaks
 * 1.0 (KMIP 1.1 section 4.26 brought it).
 *
 * Return: 0, @client->version is set; -EPROTONOSUPPORT (nothing in common, or
 * not the pinned one).
 */
int kmip_negotiate(struct kmip_client *client, struct error *e);

/**
 * kmip_create_key() - have the server make a KEK, as vCenter does
 *
 * AES-256 for encryption and decryption; it is not active yet.
 */
int kmip_create_key(struct kmip_client *client, char ret_id[KMIP_ID_SIZE], struct error *e);

/**
 * kmip_key_state() - enum kmip_state of a key
 */
int kmip_key_state(struct kmip_client *client, const char *id, uint32_t *ret, struct error *e);

/**
 * kmip_activate_key() - make a key active that is not yet; an active one stays so,
 * whoever made it active
 */
int kmip_activate_key(struct kmip_client *client, const char *id, struct error *e);

/**
 * kmip_fetch_key() - get a KEK
 * @wrapping: how the server shall wrap it, with NULL: not at all, TLS protects it
 * @wrapping_key: the key that @wrapping names; NULL without @wrapping
 * @ret: 32 bytes; written only on success; the caller owns it
 *
 * Return: 0; -ENOKEY (no such key, or no AES-256 key); -EBADMSG (wrapped although it
 * should not be, or the reverse, or otherwise; does not open).
 */
int kmip_fetch_key(struct kmip_client *client, const char *id, const struct kmip_wrapping *wrapping,
		   const struct secret *wrapping_key, struct secret *ret, struct error *e);

/**
 * kmip_revoke_key() - take an active key out of use
 */
int kmip_revoke_key(struct kmip_client *client, const char *id, struct error *e);

/**
 * kmip_destroy_key() - destroy a key that is not active
 */
int kmip_destroy_key(struct kmip_client *client, const char *id, struct error *e);

#endif
