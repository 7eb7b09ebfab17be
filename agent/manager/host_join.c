/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/host_join.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/jointoken.h"
#include "common/lock.h"
#include "common/log.h"
#include "manager/authority.h"
#include "manager/hosts_internal.h"
#include "manager/keys_watch.h"
#include "manager/keys_withdraw.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/permission.h"
#include "manager/provider_hosts.h"
#include "manager/provider_native.h"
#include "manager/record.h"
#include "manager/store.h"
#include "manager/user.h"
#include "manager/user_throttle.h"

#define TOKEN_ID_SIZE	(2 * SHA256_DIGEST_LENGTH + 1)
#define HOUR_S		3600

static void token_id(const struct secret *secret, char ret[TOKEN_ID_SIZE])
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256(secret->data, secret->size, hash);
	hex_encode(hash, sizeof(hash), ret);
}

static bool is_over(const json_t *token)
{
	int64_t expires;

	return time_parse(json_text(token, "expires"), &expires) < 0 || expires <= time_now();
}

static int clear_old(struct store *store, struct error *e)
{
	_cleanup_json_ json_t *tokens = NULL;
	const json_t *token;
	size_t i;
	int r = store_list(store, HOST_TOKEN_KIND, NULL, NULL, &tokens, e);

	if (r < 0)
		return r;
	json_array_foreach(tokens, i, token)
		if (r == 0 && is_over(token))
			r = store_delete(store, HOST_TOKEN_KIND, json_text(token, "id"), e);
	return r;
}

struct new_token {
	const char *id;
	const char *cluster;
	json_t *document;
};

static int keep_token(struct store *store, void *userdata, struct error *e)
{
	const struct new_token *token = userdata;
	_cleanup_json_ json_t *cluster = NULL;
	int r = clear_old(store, e);

	if (r == 0 && token->cluster)
		r = store_get(store, "cluster", token->cluster, &cluster, e);
	return r < 0 ? r : store_insert(store, HOST_TOKEN_KIND, token->id, token->document, e);
}

static int make_token(struct manager *m, struct jointoken *ret, struct error *e)
{
	uint8_t fingerprint[JOINTOKEN_FINGERPRINT_SIZE];
	char text[AUTHORITY_FINGERPRINT_SIZE];

	authority_fingerprint(m->authority, text);
	if (hex_decode(text, fingerprint, sizeof(fingerprint)) < 0)
		return error_fail(e, EBADMSG, "The authority's fingerprint is none");
	return jointoken_new(fingerprint, ret, e);
}

int host_token_new(struct manager *m, const char *cluster, const char *user, unsigned int hours,
		   struct secret *ret, char ret_expires[TIME_TEXT_SIZE], struct error *e)
{
	_cleanup_jointoken_ struct jointoken token = JOINTOKEN_NULL;
	_cleanup_json_ json_t *document = NULL;
	char id[TOKEN_ID_SIZE], created[TIME_TEXT_SIZE], expires[TIME_TEXT_SIZE];
	struct new_token new = { .id = id, .cluster = cluster };
	int r = make_token(m, &token, e);

	if (r < 0)
		return r;
	token_id(&token.secret, id);
	time_format(time_now(), created);
	time_format(time_now() + (int64_t) hours * HOUR_S, expires);
	document = json_pack("{s:s?, s:s, s:s, s:s}", "cluster", cluster, "user", user, "created",
			     created, "expires", expires);
	if (!document)
		return error_oom(e);
	new.document = document;
	r = store_write(m->store, keep_token, &new, e);
	if (r == 0)
		r = jointoken_format(&token, ret, e);
	if (r == 0)
		memcpy(ret_expires, expires, sizeof(expires));
	return r;
}

/**
 * struct joining - a host on its way in
 * @id: of the token
 * @host: UUID that it gets
 */
struct joining {
	const struct host_join *join;
	const struct authority_certificate *issued;
	char id[TOKEN_ID_SIZE];
	char host[UUID_TEXT_SIZE];
};

static int throttled(struct manager *m, const struct host_join *join, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&m->hosts->lock);
	char key[THROTTLE_ADDRESS_SIZE];
	unsigned int wait;

	throttle_address(join->peer, key);
	wait = throttle_wait(m->hosts->joins, key, time_since_boot());
	if (wait > 0)
		return error_fail(e, EAGAIN, "Too many attempts to join from %.64s: try again in %u s",
				  join->peer, wait);
	throttle_count(m->hosts->joins, key, time_since_boot());
	return 0;
}

static void forgive(struct manager *m, const struct host_join *join)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&m->hosts->lock);
	char key[THROTTLE_ADDRESS_SIZE];

	throttle_address(join->peer, key);
	throttle_forgive(m->hosts->joins, key);
}

/* One answer for all three, so that nobody learns which tokens there were. */
static int no_token(struct error *e)
{
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "This token is unknown, used or too old: "
			 "have a new one made (host token)");
}

static int read_token_id(const struct host_join *join, char ret[TOKEN_ID_SIZE], struct error *e)
{
	_cleanup_secret_ struct secret secret = SECRET_NULL;
	int r = secret_new(JOINTOKEN_SECRET_SIZE, &secret);

	if (r < 0)
		return error_fail(e, r, "Cannot keep the token in locked memory: %s", error_name(r));
	if (strlen(join->token) != 2 * JOINTOKEN_SECRET_SIZE ||
	    hex_decode(join->token, secret.data, secret.size) < 0)
		return no_token(e);
	token_id(&secret, ret);
	return 0;
}

static int get_token(struct store *store, const char *id, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *token = NULL;
	int r = store_get(store, HOST_TOKEN_KIND, id, &token, NULL);

	if (r == -ENOENT || (r == 0 && is_over(token)))
		return no_token(e);
	if (r < 0)
		return error_fail(e, r, "Cannot look for the token: %s", error_name(r));
	*ret = TAKE_PTR(token);
	return 0;
}

static json_t *make_host(const struct joining *j, const json_t *token)
{
	char now[TIME_TEXT_SIZE], end[TIME_TEXT_SIZE];

	time_format(time_now(), now);
	time_format(j->issued->not_after, end);
	return json_pack("{s:s, s:O, s:s, s:n, s:s, s:s, s:n, s:s, s:s, s:s, s:n, s:n, s:n, s:n, s:n, "
			 "s:n}",
			 "name", j->join->name, "cluster", json_object_get(token, "cluster"),
			 "mode", MODE_PREPARED, "host_key", "state", "active",
			 "serial", j->issued->serial, "old_serial",
			 "fingerprint", j->issued->fingerprint, "certificate_end", end,
			 "joined", now, "last_seen", "reported", "version", "module", "tpm",
			 "boot_id");
}

/* The token is used up with the host's coming, or not at all. */
static int take_in(struct store *store, void *userdata, struct error *e)
{
	const struct joining *j = userdata;
	_cleanup_json_ json_t *token = NULL, *host = NULL, *cluster = NULL;
	const char *place;
	int r = get_token(store, j->id, &token, e);

	if (r < 0)
		return r;
	place = json_text(token, "cluster");
	if (*place)
		r = store_get(store, "cluster", place, &cluster, e);
	if (r == 0)
		r = store_delete(store, HOST_TOKEN_KIND, j->id, e);
	if (r < 0)
		return r;
	host = make_host(j, token);
	return host ? store_insert(store, "host", j->host, host, e) : error_oom(e);
}

static int join_recorded(struct manager *m, struct joining *j, const char *user, struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s, s:s, s:s}", "name", j->join->name, "peer",
						j->join->peer, "fingerprint",
						j->issued->fingerprint);
	char object[6 + UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	const struct record_event event = { .user = user, .operation = "host.join",
					    .type = "HostAddedEvent", .object = object,
					    .host = j->host, .data = data };
	int r;

	snprintf(object, sizeof(object), "host:%.36s", j->host);
	r = record_begin(m->store, &event, id, e);
	if (r < 0)
		return error_prefix(e, "No host joins, for it cannot be recorded");
	r = store_write(m->store, take_in, j, e);
	(void)record_end(m->store, id, &event, r < 0 ? e : NULL);
	return r;
}

/* A guess is worth a row, as a refused login is; who has many addresses gets no more. */
static void note_refusal(struct manager *m, const struct host_join *join)
{
	_cleanup_json_ json_t *data = NULL;
	struct record_event event = { .user = "", .operation = "host.join" };
	struct error e = ERROR_NULL;
	uint64_t unrecorded;

	if (!user_refusal_counts(m->users, &unrecorded))
		return;
	data = json_pack("{s:s, s:I}", "peer", join->peer, "unrecorded_before",
			 (json_int_t)unrecorded);
	event.data = data;
	if (record_note(m->store, &event, "refused", &e) < 0)
		log_warning("A refused host cannot be recorded: %s", e.text);
}

int host_join(struct manager *m, const struct host_join *join, char ret_host[UUID_TEXT_SIZE],
	      char **ret_pem, struct error *e)
{
	_cleanup_certificate_ struct authority_certificate issued = { .pem = NULL };
	struct joining j = { .join = join, .issued = &issued };
	_cleanup_json_ json_t *token = NULL;
	int r = throttled(m, join, e);

	if (r < 0)
		return r;
	r = read_token_id(join, j.id, e);
	if (r == 0)
		r = get_token(m->store, j.id, &token, e);
	if (r == -EACCES)
		note_refusal(m, join);
	if (r < 0)
		return r;
	if (!jointoken_name_valid(join->name))
		return error_usage(e, "A host cannot be called so: 1 to %d printable ASCII characters "
				   "without spaces and slashes", JOINTOKEN_NAME_MAX);
	r = uuid_random_text(j.host);
	if (r < 0)
		return error_fail(e, r, "Cannot make an id for the host: %s", error_name(r));
	r = authority_issue_host(m->authority, j.host, join->csr, strlen(join->csr), &issued, e);
	if (r == 0)
		r = join_recorded(m, &j, json_text(token, "user"), e);
	if (r < 0)
		return r;
	forgive(m, join);
	memcpy(ret_host, j.host, sizeof(j.host));
	*ret_pem = TAKE_PTR(issued.pem);
	return 0;
}

static int remove_host(struct store *store, void *userdata, struct error *e)
{
	const char *host = userdata;
	_cleanup_json_ json_t *vm = NULL;
	char object[PERMISSION_OBJECT_SIZE];
	int r = store_find(store, "vm", "host", host, &vm, NULL);

	if (r == 0)
		return error_fail(e, EBUSY, "VM %s is registered to host %s alone: register it elsewhere "
				  "first", json_text(vm, "name"), host);
	if (r != -ENOENT)
		return error_fail(e, r, "Cannot see whether host %s has VMs: %s", host, error_name(r));
	snprintf(object, sizeof(object), "host:%.36s", host);
	r = host_disks_absent(store, host, /* reported= */ NULL, e);
	if (r == 0)
		r = keys_withdraw_drop(store, host, e);
	if (r == 0)
		r = provider_hosts_drop(store, host, e);
	if (r == 0)
		r = store_delete(store, "host", host, e);
	if (r == 0)
		r = provider_default_drop(store, "host", host, e);
	return r < 0 ? r : permission_remove_all(store, /* user= */ NULL, object, e);
}

int host_remove(struct manager *m, const char *host, struct error *e)
{
	_cleanup_json_ json_t *args = json_object();
	_cleanup_unlock_ pthread_mutex_t *lock = NULL;
	struct channel_failure why = { .key_reason = "" };
	int r = store_write(m->store, remove_host, (void *) host, e);

	if (r < 0)
		return r;
	/* It gets no key any more, whether it hears of this or not; one on its way is ahead of this. */
	lock = keywatch_host_lock(m->watch, host);
	if (args && link_ask(m, host, "host.removed", args, LINK_ASK_MS, NULL, &why) < 0)
		log_notice("Host %s was removed and could not be told: %s", host, why.error.text);
	link_close(m, host);
	return 0;
}
