// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/client.h"

#include <string.h>

#include "common/cleanup.h"

#define KEK_BITS 256
#define FIRST_SIZE 2048	/* what most answers fit into */

/* Best first: one set of 1.x that all servers share, then the second generation. */
static const struct kmip_version preferred[] = {
	{ 1, 4 }, { 1, 3 }, { 1, 2 }, { 1, 1 }, { 1, 0 }, { 2, 1 }, { 2, 0 },
};

void kmip_answer_done(struct kmip_answer *answer)
{
	secret_done(&answer->message);
	*answer = KMIP_ANSWER_NULL;
}

static int send_all(const struct kmip_stream *stream, const struct secret *message,
		    int64_t deadline, struct error *e)
{
	size_t done = 0;
	ssize_t n;

	while (done < message->size) {
		n = stream->write(stream->context, message->data + done, message->size - done, deadline, e);
		if (n <= 0)
			return n < 0 ? (int) n : error_fail(e, EPIPE, "Writing to the key server: it closed the connection; look into its log");
		done += (size_t) n;
	}
	return 0;
}

static int read_all(const struct kmip_stream *stream, uint8_t *data, size_t size, int64_t deadline,
		    struct error *e)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = stream->read(stream->context, data + done, size - done, deadline, e);
		if (n <= 0)
			return n < 0 ? (int) n : error_set(e, ECONNRESET, EXIT_NO_KEY, 0, "Reading from the key server: it closed the connection; look into its log");
		done += (size_t) n;
	}
	return 0;
}

/* The secure heap is for the whole process: what is announced counts for nothing, only
 * what has come gets room, and as much again. */
static int read_body(const struct kmip_stream *stream, int64_t deadline, struct secret *message,
		     size_t size, struct error *e)
{
	size_t done = TTLV_HEADER_SIZE;
	int r;

	while (done < size) {
		if (done == message->size &&
		    secret_grow(message, 2 * done < size ? 2 * done : size) < 0)
			return error_oom(e);
		r = read_all(stream, message->data + done, message->size - done, deadline, e);
		if (r < 0)
			return r;
		done = message->size;
	}
	return 0;
}

/* The size is checked before anything is allocated. */
static int read_message(const struct kmip_stream *stream, int64_t deadline, struct secret *ret,
			struct error *e)
{
	_cleanup_secret_ struct secret message = SECRET_NULL;
	uint8_t header[TTLV_HEADER_SIZE];
	size_t size = 0;
	int r;

	r = read_all(stream, header, sizeof(header), deadline, e);
	if (r == 0)
		r = ttlv_message_size(header, KMIP_TAG_RESPONSE_MESSAGE, KMIP_ANSWER_MAX, &size, e);
	if (r < 0)
		return r;
	size += sizeof(header);
	if (secret_new(size < FIRST_SIZE ? size : FIRST_SIZE, &message) < 0)
		return error_oom(e);
	memcpy(message.data, header, sizeof(header));
	r = read_body(stream, deadline, &message, size, e);
	if (r == 0)
		*ret = secret_take(&message);
	return r;
}

static int breaks(struct kmip_client *client, int r)
{
	client->broken = true;
	client->why = r;
	return r;
}

static int exchange(struct kmip_client *client, const struct kmip_options *options,
		    const struct kmip_request *requests, size_t n, struct kmip_answer *ret,
		    struct error *e)
{
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	_cleanup_secret_ struct secret message = SECRET_NULL;
	int64_t deadline = kmip_deadline(client->timeout);
	int r;

	if (client->broken)
		return error_set(e, ENOTCONN, EXIT_NO_KEY, 0,
				 "The connection to the key server broke before: a new one is needed");
	if (client->deadline && kmip_deadline(0) >= client->deadline)
		return error_set(e, ETIMEDOUT, EXIT_NO_KEY, 0,
				 "Asking the key server for %s: what came before has taken all the time; look into its load, and the network to it",
				 kmip_operation_name(requests[0].operation));
	r = kmip_encode(options, requests, n, &message, e);
	if (r < 0)
		return r;
	r = send_all(&client->stream, &message, deadline, e);
	if (r == 0)
		r = read_message(&client->stream, deadline, &answer.message, e);
	if (r == 0)
		r = kmip_decode(&answer.message, requests, n, n > 1, &answer.response, e);
	if (r < 0)
		return breaks(client, r);
	*ret = answer;
	answer.message = SECRET_NULL;
	return 0;
}

int kmip_call(struct kmip_client *client, const struct kmip_request *requests, size_t n,
	      bool ordered, struct kmip_answer *ret, struct error *e)
{
	const struct kmip_options options = {
		.version = client->version,
		.user = client->user,
		.password = client->password,
		.ordered = ordered,
	};

	return exchange(client, &options, requests, n, ret, e);
}

/* An answer about another key is one to another question: nobody knows to which. */
static int check_id(struct kmip_client *client, const struct kmip_request *request,
		    const struct kmip_answer *answer, struct error *e)
{
	char id[KMIP_ID_SIZE];
	int r;

	if (!request->id)
		return 0;
	r = kmip_get_id(&answer->response, 0, id, e);
	if (r == 0 && strcmp(id, request->id) != 0)
		r = error_fail(e, EBADMSG, "Asking the key server for %s of key %s: it answers for key %s; look into its log",
			       kmip_operation_name(request->operation), request->id, id);
	return r < 0 ? breaks(client, r) : 0;
}

/* One operation that has to succeed. */
static int call_one(struct kmip_client *client, const struct kmip_request *request,
		    struct kmip_answer *ret, struct error *e)
{
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	int r;

	r = kmip_call(client, request, 1, /* ordered= */ false, &answer, e);
	if (r == 0)
		r = kmip_succeeded(&answer.response.results[0], request->operation, e);
	if (r == 0)
		r = check_id(client, request, &answer, e);
	if (r < 0)
		return r;
	*ret = answer;
	answer.message = SECRET_NULL;
	return 0;
}

/* Which of the preferred versions the server has, as bits. */
static int versions_of(const struct kmip_result *result, unsigned int *ret, struct error *e)
{
	struct ttlv_reader r = result->payload;
	struct kmip_version version;
	unsigned int found = 0;
	size_t i;
	int rc;

	while ((rc = kmip_next_version(&r, &version, e)) > 0)
		for (i = 0; i < ARRAY_SIZE(preferred); i++)
			if (preferred[i].major == version.major && preferred[i].minor == version.minor)
				found |= 1U << i;
	if (rc == 0)
		*ret = found;
	return rc;
}

static int choose(struct kmip_client *client, unsigned int found, struct error *e)
{
	const struct kmip_version *pinned = &client->version;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(preferred); i++) {
		bool is_pinned = pinned->major == preferred[i].major && pinned->minor == preferred[i].minor;

		if (found & 1U << i && (is_pinned || !pinned->major)) {
			client->version = preferred[i];
			return 0;
		}
	}
	if (pinned->major)
		return error_fail(e, EPROTONOSUPPORT, "The key server does not speak KMIP %d.%d, to which it is pinned; look at what changed there, or have a version agreed on anew (\"server change\" with --kmip-version auto)",
				  pinned->major, pinned->minor);
	return error_fail(e, EPROTONOSUPPORT, "The key server speaks no version of KMIP that vmcrypt knows: 1.0 to 1.4, 2.0, 2.1");
}

int kmip_negotiate(struct kmip_client *client, struct error *e)
{
	const struct kmip_request request = {
		.operation = KMIP_DISCOVER_VERSIONS,
		.versions = preferred,
		.n_versions = ARRAY_SIZE(preferred),
	};
	const struct kmip_options options = {
		.version = { 1, 1 }, .user = client->user, .password = client->password,
	};
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	unsigned int found = 0;
	int r;

	r = exchange(client, &options, &request, 1, &answer, e);
	if (r < 0)
		return r;
	r = kmip_succeeded(&answer.response.results[0], request.operation, e);
	if (r == -EOPNOTSUPP || r == -EPROTO) {
		if (e)
			*e = ERROR_NULL;
		found = 1U << 4;
	} else if (r == 0) {
		r = versions_of(&answer.response.results[0], &found, e);
		if (r < 0)
			return r;
	} else {
		return r;
	}
	return choose(client, found, e);
}

int kmip_create_key(struct kmip_client *client, char ret_id[KMIP_ID_SIZE], struct error *e)
{
	const struct kmip_attribute attributes[] = {
		{ .tag = KMIP_TAG_ALGORITHM, .kind = KMIP_KIND_ENUMERATION, .number = KMIP_AES },
		{ .tag = KMIP_TAG_USAGE_MASK, .kind = KMIP_KIND_INTEGER,
		  .number = KMIP_USAGE_ENCRYPT | KMIP_USAGE_DECRYPT },
		{ .tag = KMIP_TAG_LENGTH, .kind = KMIP_KIND_INTEGER, .number = KEK_BITS },
	};
	const struct kmip_request request = {
		.operation = KMIP_CREATE,
		.object_type = KMIP_SYMMETRIC_KEY,
		.attributes = attributes,
		.n_attributes = ARRAY_SIZE(attributes),
	};
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	int r;

	r = call_one(client, &request, &answer, e);
	return r < 0 ? r : kmip_get_id(&answer.response, 0, ret_id, e);
}

int kmip_key_state(struct kmip_client *client, const char *id, uint32_t *ret, struct error *e)
{
	const struct kmip_attribute state = { .tag = KMIP_TAG_STATE, .kind = KMIP_KIND_ENUMERATION };
	const struct kmip_request request = {
		.operation = KMIP_GET_ATTRIBUTES, .id = id, .attributes = &state, .n_attributes = 1,
	};
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	struct kmip_attribute found;
	int r;

	r = call_one(client, &request, &answer, e);
	if (r < 0)
		return r;
	r = kmip_find_attribute(&answer.response.results[0].payload, &answer.response.version, &state,
				&found, e);
	if (r < 0)
		return r;
	if (r == 0)
		return error_fail(e, EBADMSG, "The key server does not tell the state of key %s; check the client's rights to it",
				  id);
	*ret = (uint32_t) found.number;
	return 0;
}

static int on_key(struct kmip_client *client, const struct kmip_request *request, struct error *e)
{
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;

	return call_one(client, request, &answer, e);
}

int kmip_activate_key(struct kmip_client *client, const char *id, struct error *e)
{
	const struct kmip_request request = { .operation = KMIP_ACTIVATE, .id = id };
	uint32_t state = 0;
	int r;

	r = kmip_key_state(client, id, &state, e);
	if (r < 0 || state == KMIP_ACTIVE)
		return r;
	r = on_key(client, &request, e);
	if (r == 0 || client->broken)
		return r;
	/* Somebody else may have come first, and an active key is not made active. */
	if (kmip_key_state(client, id, &state, NULL) < 0 || state != KMIP_ACTIVE)
		return r;
	if (e)
		*e = ERROR_NULL;
	return 0;
}

int kmip_revoke_key(struct kmip_client *client, const char *id, struct error *e)
{
	const struct kmip_request request = {
		.operation = KMIP_REVOKE, .id = id, .revocation = KMIP_CESSATION_OF_OPERATION,
	};

	return on_key(client, &request, e);
}

int kmip_destroy_key(struct kmip_client *client, const char *id, struct error *e)
{
	const struct kmip_request request = { .operation = KMIP_DESTROY, .id = id };

	return on_key(client, &request, e);
}

int kmip_fetch_key(struct kmip_client *client, const char *id, const struct kmip_wrapping *wrapping,
		   const struct secret *wrapping_key, struct secret *ret, struct error *e)
{
	const struct kmip_request request = { .operation = KMIP_GET, .id = id, .wrapping = wrapping };
	_cleanup_kmip_answer_ struct kmip_answer answer = KMIP_ANSWER_NULL;
	_cleanup_kmip_key_ struct kmip_key key = { .material = SECRET_NULL };
	_cleanup_secret_ struct secret plain = SECRET_NULL;
	int r;

	r = call_one(client, &request, &answer, e);
	if (r == 0)
		r = kmip_get_key(&answer.response.results[0].payload, &key, e);
	if (r < 0)
		return r;
	if (key.wrapped != (wrapping != NULL))
		return error_fail(e, EBADMSG, "Getting key %s: the key server sent it %s, which was not asked for",
				  id, key.wrapped ? "wrapped" : "unwrapped");
	if (key.wrapped)
		r = kmip_unwrap(wrapping_key, &key, &plain, e);
	else
		plain = secret_take(&key.material);
	/* Which says nothing of the key, but that this server does not wrap as it was asked to. */
	if (r == -EKEYREJECTED)
		return error_set(e, EBADMSG, EXIT_NO_KEY, 0,
				 "Getting key %s: what the key server sent does not open with wrapping key %s; look into its log, and whether its copies of both keys are the right ones",
				 id, wrapping->key_id);
	if (r < 0)
		return r;
	if (key.algorithm != KMIP_AES || plain.size * 8 != KEK_BITS)
		return error_set(e, ENOKEY, EXIT_NO_KEY, 0,
				 "Getting key %s: what the key server holds under this ID is no AES key of %d bits (algorithm %u, %zu bits), so it is not the one; check the key ID, and that all servers of the provider hold the same keys",
				 id, KEK_BITS, key.algorithm, plain.size * 8);
	*ret = secret_take(&plain);
	return 0;
}
