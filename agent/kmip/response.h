/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers of a key server (KMIP 1.4 sections 4 and 7, 2.1 sections 6 and 8).
 */
#ifndef VMCRYPT_KMIP_RESPONSE_H
#define VMCRYPT_KMIP_RESPONSE_H

#include "kmip/request.h"

/**
 * struct kmip_result - the answer to one operation
 * @answered: the server said something about it; when it stopped at a failure it
 *	says nothing of the operations behind
 * @status: enum kmip_result_status
 * @operation: enum kmip_operation; 0: a refusal of the whole message
 * @reason: of a failure; 0: none given
 * @message: the server's words, cut to what fits
 * @payload: of a success, in the message's buffer; may be empty
 */
struct kmip_result {
	bool answered;
	uint32_t operation;
	uint32_t status;
	uint32_t reason;
	char message[KMIP_TEXT_SIZE];
	struct ttlv_reader payload;
};

/**
 * struct kmip_response - the answer to a message
 * @version: that it is written in
 * @results: one for each request, in the order of the requests
 */
struct kmip_response {
	struct kmip_version version;
	struct kmip_result results[KMIP_BATCH_MAX];
};

/**
 * kmip_decode() - read the answer to @n requests
 * @message: has to live as long as @ret, whose payloads point into it
 * @with_ids: that the requests were numbered
 *
 * One item without an operation is the refusal of the whole message, in
 * whatever version it comes; it becomes the result of every request.
 *
 * Return: 0, the results say how each operation went; -EBADMSG (damaged, or not
 * the answer to these requests).
 */
int kmip_decode(const struct secret *message, const struct kmip_request *requests, size_t n,
		bool with_ids, struct kmip_response *ret, struct error *e);

/**
 * kmip_succeeded() - make an error out of a result that is no success
 * @operation: of the request
 *
 * Return: 0, or as kmip_refused().
 */
int kmip_succeeded(const struct kmip_result *result, enum kmip_operation operation,
		   struct error *e);

/**
 * kmip_get_id() - the unique identifier that result @i tells
 *
 * 2.x may refer to an identifier that stands before it in the same answer (2.1
 * section 4.58), by its place or by the operation that gave it.
 *
 * Return: 0; -EBADMSG (none, or a reference to something that is not there),
 * -EMSGSIZE.
 */
int kmip_get_id(const struct kmip_response *response, size_t i, char ret[KMIP_ID_SIZE],
		struct error *e);

/**
 * kmip_next_id() - one after the other of Locate's identifiers
 * @r: begins as the payload
 *
 * Return: 1; 0 (the end); -EBADMSG, -EMSGSIZE.
 */
int kmip_next_id(struct ttlv_reader *r, char ret[KMIP_ID_SIZE], struct error *e);

/**
 * kmip_next_version() - one after the other of Discover Versions's answer
 */
int kmip_next_version(struct ttlv_reader *r, struct kmip_version *ret, struct error *e);

/**
 * kmip_next_operation() - one after the other of the operations that Query tells
 */
int kmip_next_operation(struct ttlv_reader *r, uint32_t *ret, struct error *e);

/**
 * kmip_get_vendor() - the vendor that Query tells; "" when it tells none
 */
int kmip_get_vendor(const struct ttlv_reader *payload, char ret[KMIP_TEXT_SIZE], struct error *e);

/**
 * struct kmip_key - a key that came
 * @material: the raw key, or the wrapped bytes
 * @algorithm: enum kmip_algorithm; 0: not said
 * @length: bits of the key; 0: not said
 * @wrapped: that it is wrapped, as @wrapping says
 */
struct kmip_key {
	struct secret material;
	uint32_t algorithm;
	int32_t length;
	bool wrapped;
	struct kmip_wrapping wrapping;
};

/**
 * kmip_get_key() - the symmetric key in the payload of Get
 * @ret: written only on success; the caller owns it
 *
 * Return: 0; -EBADMSG (damaged, no symmetric key, not raw, of a length other
 * than it says), -ENOMEM.
 */
int kmip_get_key(const struct ttlv_reader *payload, struct kmip_key *ret, struct error *e);

/**
 * kmip_key_done() - erase and free; the key becomes empty
 */
void kmip_key_done(struct kmip_key *key);

#define _cleanup_kmip_key_ __attribute__((cleanup(kmip_key_done)))

/**
 * kmip_unwrap() - NIST key wrap undone (RFC 3394 without padding, RFC 5649 with)
 * @kek: 16, 24 or 32 bytes
 * @key: wrapped; in the encoding TTLV its Key Value is taken apart
 * @ret: the raw key; written only on success; the caller owns it
 *
 * Return: 0; -EINVAL (not wrapped, a mode that is not known, size of @kek);
 * -EKEYREJECTED (another KEK, or damaged); -EBADMSG, -ENOMEM.
 */
int kmip_unwrap(const struct secret *kek, const struct kmip_key *key, struct secret *ret,
		struct error *e);

#endif
