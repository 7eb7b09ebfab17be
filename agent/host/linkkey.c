/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys that the manager gives when it is asked. */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "crypto/locator.h"
#include "host/linkstate.h"

/* What stands in an answer that is a KEY. */
static int open_answer(struct link *link, uint64_t connection, const json_t *key,
		       const uint8_t provider[UUID_SIZE], const char **ret_key_id,
		       struct secret *ret_kek, struct channel_failure *ret_why)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	uint8_t given[UUID_SIZE];
	int r;

	r = link_open_kek(link, connection, key, given, ret_key_id, &kek, &ret_why->error);
	if (r == 0 && memcmp(given, provider, UUID_SIZE) != 0)
		r = error_fail(&ret_why->error, EBADMSG,
			       "the manager gave a key of another provider");
	if (r < 0)
		return r;
	*ret_kek = secret_take(&kek);
	return 0;
}

static int no_link(struct channel_failure *ret_why)
{
	memcpy(ret_why->key_reason, CHANNEL_NO_ANSWER, sizeof(CHANNEL_NO_ANSWER));
	return error_set(&ret_why->error, ENOTCONN, EXIT_NO_KEY, 0,
			 "the agent has just begun, and no connection to its manager yet");
}

int link_key_new(struct link *link, const uint8_t provider[UUID_SIZE], const struct key_use *use,
		 uint64_t deadline_ms, char *ret_key_id, struct secret *ret_kek,
		 struct channel_failure *ret_why)
{
	_cleanup_json_ json_t *key = NULL;
	char uuid[UUID_TEXT_SIZE];
	uint64_t connection;
	const char *key_id;
	int r;

	if (!link)
		return no_link(ret_why);
	if (!use || !use->vm || !use->disk)
		return error_fail(&ret_why->error, EINVAL, "it is not said which VM and disk it is for");
	uuid_format(provider, uuid);
	r = uplink_ask(link, "key.new", json_pack("{s:s, s:s, s:s}", "provider", uuid, "vm", use->vm,
						  "disk", use->disk),
		       deadline_ms, &key, &connection, ret_why);
	if (r == 0)
		r = open_answer(link, connection, key, provider, &key_id, ret_kek, ret_why);
	if (r == 0)
		memcpy(ret_key_id, key_id, strlen(key_id) + 1);
	return r;
}

int link_key_get(struct link *link, const uint8_t provider[UUID_SIZE], const char *key_id,
		 const struct key_use *use, uint64_t deadline_ms, struct secret *ret_kek,
		 struct channel_failure *ret_why)
{
	_cleanup_secret_ struct secret kek = SECRET_NULL;
	_cleanup_json_ json_t *key = NULL;
	char uuid[UUID_TEXT_SIZE];
	uint64_t connection;
	const char *given;
	int r;

	if (!link)
		return no_link(ret_why);
	uuid_format(provider, uuid);
	r = uplink_ask(link, "key.get", json_pack("{s:s, s:s, s:s?}", "provider", uuid, "key", key_id,
						  "vm", use ? use->vm : NULL),
		       deadline_ms, &key, &connection, ret_why);
	if (r == 0)
		r = open_answer(link, connection, key, provider, &given, &kek, ret_why);
	if (r == 0 && strcmp(given, key_id) != 0)
		r = error_fail(&ret_why->error, EBADMSG, "the manager gave another key than was asked for");
	if (r == 0)
		*ret_kek = secret_take(&kek);
	return r;
}
