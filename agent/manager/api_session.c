/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is there, and who one is. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "common/secret.h"
#include "manager/api.h"
#include "manager/authority.h"
#include "manager/certificates.h"
#include "manager/manager.h"
#include "manager/privilege.h"
#include "manager/record.h"
#include "manager/store.h"
#include "manager/user.h"
#include "manager/vault.h"

static int give(json_t *value, json_t **ret, struct error *e)
{
	if (!value)
		return error_oom(e);
	*ret = value;
	return 0;
}

int api_about(struct api_call *call, json_t **ret, struct error *e)
{
	char fingerprint[AUTHORITY_FINGERPRINT_SIZE];

	authority_fingerprint(call->manager->authority, fingerprint);
	return give(json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "name", "vmcrypt-manager",
			      "version", VMCRYPT_VERSION, "api", "v1", "authority",
			      "fingerprint", fingerprint, "certificate",
			      authority_pem(call->manager->authority)), ret, e);
}

/* Texts for people. */
static int warnings(struct manager *m, json_t *ret, struct error *e)
{
	_cleanup_json_ json_t *certificates = NULL;
	const json_t *warning;
	size_t i;
	int r = certificates_warnings(m, time_now(), &certificates, e);

	json_array_foreach(certificates, i, warning)
		if (json_array_append(ret, json_object_get(warning, "text")) < 0)
			return error_oom(e);
	return r;
}

int api_status(struct api_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *list = json_array();
	struct manager *m = call->manager;
	char started[TIME_TEXT_SIZE];
	struct store_status store;
	int r = warnings(m, list, e);

	if (r < 0)
		return r;
	store_get_status(m->store, &store);
	time_format(m->started, started);
	return give(json_pack("{s:s, s:s, s:I, s:O, s:{s:b, s:I, s:s}}", "started", started,
			      "vault", vault_source_name(vault_source(m->vault)),
			      "sessions", (json_int_t)sessions_count(m->sessions), "warnings",
			      list, "store",
			      "healthy", (int)store.healthy,
			      "reserve", (json_int_t)store.reserve, "trouble", store.trouble),
		    ret, e);
}

static void note_login(struct api_call *call, const char *user, const char *type,
		       const char *operation, const char *result, uint64_t unrecorded)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "peer", call->rq->peer);
	const struct record_event event = { .user = user, .operation = operation, .type = type,
					    .data = data };

	if (unrecorded && data)
		json_object_set_new(data, "unrecorded_before", json_integer((json_int_t)unrecorded));
	if (record_note(call->manager->store, &event, result, NULL) < 0)
		log_warning("Cannot record %s of %s", operation, user);
}

static void note_refusal(struct api_call *call, const char *user)
{
	uint64_t unrecorded;

	if (user_refusal_counts(call->manager->users, &unrecorded))
		note_login(call, user_name_valid(user) ? user : "-", "BadUsernameSessionEvent",
			   "session.new", "refused", unrecorded);
}

/* By password when there is one, else by the certificate that TLS was shown. */
static int prove(struct api_call *call, char user[USER_NAME_MAX + 1], struct error *e)
{
	struct secret password _cleanup_secret_ = SECRET_NULL;
	const char *name;
	int r;

	r = api_string_or_null(call, "name", USER_NAME_MAX, &name, e);
	if (r == 0)
		r = api_password(call, "password", &password, e);
	if (r < 0)
		return r;
	if (!name != !password.size)
		return error_usage(e, "A login wants both \"name\" and \"password\", or a client "
				   "certificate and neither");
	if (name) {
		/* An unknown name may be a password in the wrong place: user_authenticate()
		 * refuses it, and it is recorded only as far as names go. */
		memcpy(user, name, strlen(name) + 1);
		return user_authenticate(call->manager->users, name, &password, call->rq->peer, e);
	}
	return user_by_certificate(call->manager->users, call->rq->certificate, call->rq->peer, user,
				   e);
}

/*
 * A password that was changed while it was being looked at has ended the user's
 * sessions before there was this one.
 */
static int open_session(struct api_call *call, const char *user, uint64_t epoch,
			char token[SESSION_TOKEN_SIZE], struct error *e)
{
	struct sessions *sessions = call->manager->sessions;
	int r = session_new(sessions, user, token, e);

	if (r < 0 || sessions_epoch(sessions) == epoch)
		return r;
	session_end(sessions, token, NULL);
	erase(token, SESSION_TOKEN_SIZE);
	call->status = 503;
	return error_fail(e, EAGAIN, "A user was changed while \"%s\" logged in: log in again", user);
}

static int open_and_tell(struct api_call *call, const char *user, uint64_t epoch, json_t **ret,
			 struct error *e)
{
	char token[SESSION_TOKEN_SIZE], expires[TIME_TEXT_SIZE];
	int r = open_session(call, user, epoch, token, e);

	if (r < 0)
		return r;
	r = session_check(call->manager->sessions, token, &call->session, e);
	if (r == 0) {
		time_format(call->session.expires, expires);
		r = give(json_pack("{s:s, s:s, s:s}", "token", token, "user", user, "expires",
				   expires), ret, e);
	}
	erase(token, sizeof(token));
	return r;
}

/* Nobody is logged in who is not in the record. */
static int open_recorded(struct api_call *call, const char *user, uint64_t epoch, json_t **ret,
			 struct error *e)
{
	_cleanup_json_ json_t *data = json_pack("{s:s}", "peer", call->rq->peer);
	char object[8 + USER_NAME_MAX], id[UUID_TEXT_SIZE];
	const struct record_event event = { .user = user, .operation = "session.new",
					    .type = "UserLoginSessionEvent", .object = object,
					    .data = data };
	int r;

	snprintf(object, sizeof(object), "user:%s", user);
	r = record_begin(call->manager->store, &event, id, e);
	if (r < 0)
		return r;
	r = open_and_tell(call, user, epoch, ret, e);
	(void)record_end(call->manager->store, id, &event, r < 0 ? e : NULL);
	return r;
}

int api_session_new(struct api_call *call, json_t **ret, struct error *e)
{
	char user[USER_NAME_MAX + 1] = "";
	uint64_t epoch = sessions_epoch(call->manager->sessions);
	int r = prove(call, user, e);

	if (r == -EACCES || r == -EAGAIN) {
		call->status = r == -EAGAIN ? 429 : 401;
		/* What has to wait was not tried; recording it would fill the disk. */
		if (r == -EACCES)
			note_refusal(call, user);
		return r;
	}
	return r < 0 ? r : open_recorded(call, user, epoch, ret, e);
}

int api_session_get(struct api_call *call, json_t **ret, struct error *e)
{
	char started[TIME_TEXT_SIZE], expires[TIME_TEXT_SIZE];

	time_format(call->session.started, started);
	time_format(call->session.expires, expires);
	return give(json_pack("{s:s, s:s, s:s}", "user", call->user, "started", started,
			      "expires", expires), ret, e);
}

int api_session_end(struct api_call *call, json_t **ret, struct error *e)
{
	int r = session_end(call->manager->sessions, call->rq->token, e);

	(void)ret;
	if (r == 0)
		note_login(call, call->user, "UserLogoutSessionEvent", "session.end", "ok", 0);
	return r;
}

/* Also who is logged in knows the password before another takes its place. */
int api_session_prove(struct api_call *call, struct error *e)
{
	struct secret password _cleanup_secret_ = SECRET_NULL;
	int r = api_password(call, "password", &password, e);

	if (r < 0)
		return r;
	if (!password.size || !json_has(call->body, "new_password"))
		return error_usage(e, "A new password wants \"password\" and \"new_password\"");
	api_set_object(call, "user", call->user);
	r = user_authenticate(call->manager->users, call->user, &password, call->rq->peer, e);
	if (r == -EAGAIN)
		call->status = 429;
	if (r == -EACCES)
		api_note_refusal(call, /* privilege= */ NULL, call->object);
	return r;
}

int api_session_password(struct api_call *call, json_t **ret, struct error *e)
{
	struct secret password _cleanup_secret_ = SECRET_NULL;
	int r = api_password(call, "new_password", &password, e);

	(void)ret;
	return r < 0 ? r : user_set_password(call->manager->users, call->user, call->user,
					     &password, e);
}

int api_session_privileges(struct api_call *call, json_t **ret, struct error *e)
{
	const char *object = http_query(call->rq, "object");
	privilege_set set;
	int r;

	if (object && !permission_object_valid(object))
		return error_usage(e, "\"%.64s\" is no object: want global, cluster:UUID, "
				   "host:UUID or vm:UUID", object);
	r = privilege_effective(call->manager->store, call->user,
				object ? object : PERMISSION_GLOBAL, &set, e);
	if (r < 0)
		return r;
	return give(json_pack("{s:s, s:o?}", "object", object ? object : PERMISSION_GLOBAL,
			      "privileges", privilege_names(set)), ret, e);
}
