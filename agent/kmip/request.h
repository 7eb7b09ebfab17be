/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to a key server (KMIP 1.4 sections 4 and 7, 2.1 sections 6 and 8).
 */
#ifndef VMCRYPT_KMIP_REQUEST_H
#define VMCRYPT_KMIP_REQUEST_H

#include "kmip/attribute.h"

/**
 * struct kmip_wrapping - how a key is wrapped on its way
 * @key_id: unique identifier of the wrapping key; "" in an answer that only refers
 *	to it
 * @mode: enum kmip_cipher_mode
 * @encoding: enum kmip_encoding; 0: none said, which means KMIP_TTLV_ENCODING
 */
struct kmip_wrapping {
	char key_id[KMIP_ID_SIZE];
	uint32_t mode;
	uint32_t encoding;
};

/**
 * struct kmip_request - one operation
 * @operation: which; it decides which of the following are sent
 * @id: unique identifier; NULL: the one that the operation before gave (not for
 *	Create, Register, Locate, Query, Discover Versions, which have none)
 * @reference: in the place of @id, 2.x: enum kmip_reference; 0: none
 * @nth: in the place of @id, 2.x: which identifier of the answer, from 0 on, or with
 *	a negative number how many before this operation's; NULL: none
 * @object_type: Create, Register: enum kmip_object_type
 * @attributes: Create, Register, Re-key, Locate; one for Add and Modify
 *	Attribute; for Get Attributes and Delete Attribute only their names matter
 * @n_attributes: how many
 * @key: Register: raw key, or the wrapped one
 * @algorithm: Register: of @key; 0: not sent
 * @length: Register: bits of the key; 0: not sent
 * @wrapping: Register: how @key is wrapped; Get: how the answer shall be; NULL:
 *	not at all
 * @key_format: Get: enum kmip_key_format; 0: not sent
 * @wrap_type: Get, from 1.4 on: enum kmip_wrap_type; 0: not sent
 * @maximum_items: Locate; 0: not sent
 * @revocation: Revoke: enum kmip_revocation
 * @message: Revoke: why, in words; NULL: not sent
 * @compromised: Revoke: since when, seconds since 1970; 0: not sent
 * @queries: Query: enum kmip_query
 * @n_queries: how many
 * @versions: Discover Versions: those that are spoken, best first
 * @n_versions: how many; 0: all that the server has
 *
 * All pointers stay the caller's.
 */
struct kmip_request {
	enum kmip_operation operation;
	const char *id;
	uint32_t reference;
	const int32_t *nth;
	uint32_t object_type;
	const struct kmip_attribute *attributes;
	size_t n_attributes;
	const struct secret *key;
	uint32_t algorithm;
	int32_t length;
	const struct kmip_wrapping *wrapping;
	uint32_t key_format;
	uint32_t wrap_type;
	int32_t maximum_items;
	uint32_t revocation;
	const char *message;
	int64_t compromised;
	const uint32_t *queries;
	size_t n_queries;
	const struct kmip_version *versions;
	size_t n_versions;
};

/**
 * struct kmip_options - of a whole message
 * @version: that the message is written in
 * @user: name for a user name and password credential; NULL: no credential, the
 *	client certificate says who it is
 * @password: belongs to @user; may be empty
 * @maximum_response: largest answer that is taken, bytes; 0: not sent
 * @ordered: the operations are to be done in their order
 * @with_ids: number the operations even when there is only one
 */
struct kmip_options {
	struct kmip_version version;
	const char *user;
	const struct secret *password;
	int32_t maximum_response;
	bool ordered;
	bool with_ids;
};

/** KMIP_BATCH_ID_SIZE - bytes of the number of an operation in its message */
#define KMIP_BATCH_ID_SIZE 4

/**
 * kmip_batch_id() - the number of operation @i of a message
 */
void kmip_batch_id(size_t i, uint8_t ret[KMIP_BATCH_ID_SIZE]);

/**
 * kmip_version_known() - whether vmcrypt speaks a version
 */
bool kmip_version_known(const struct kmip_version *version);

/**
 * kmip_operation_name() - "Create"; "operation ?" for one that is not known
 */
const char *kmip_operation_name(uint32_t operation);

/**
 * kmip_encode() - write a request message
 * @n: 1..KMIP_BATCH_MAX operations
 * @ret: written only on success; the caller owns it
 *
 * Return: 0; -EINVAL (a version or an operation that is not known, something
 * missing that the operation must have, a reference that the version does not
 * know), -EMSGSIZE, -ENOMEM.
 */
int kmip_encode(const struct kmip_options *options, const struct kmip_request *requests, size_t n,
		struct secret *ret, struct error *e);

#endif
