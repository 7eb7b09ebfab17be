/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "host/httpclient.h"

#define WHAT	"answer of the manager"
#define CREATED	201

int join_default_name(char ret[JOINTOKEN_NAME_MAX + 1])
{
	char name[256];

	if (gethostname(name, sizeof(name)) < 0)
		return -errno;
	name[sizeof(name) - 1] = '\0';
	if (strlen(name) > JOINTOKEN_NAME_MAX)
		name[strcspn(name, ".")] = '\0';
	if (!jointoken_name_valid(name))
		return -EINVAL;
	memcpy(ret, name, strlen(name) + 1);
	return 0;
}

static int make_body(const struct jointoken *token, const char *name, const char *csr,
		     struct secret *ret, struct error *e)
{
	_cleanup_json_ json_t *json = NULL;
	char text[2 * JOINTOKEN_SECRET_SIZE + 1];

	hex_encode(token->secret.data, token->secret.size, text);
	json = json_pack("{s:s, s:s, s:s}", "token", text, "csr", csr, "name", name);
	erase(text, sizeof(text));
	if (!json)
		return error_oom(e);
	return json_format_secret(json, ret, e);
}

static int refused(unsigned int status, const char *text, size_t size, struct error *e)
{
	_cleanup_json_ json_t *json = NULL;
	const char *why = "";
	json_t *error;

	if (json_parse(text, size, HTTP_ANSWER_MAX, WHAT, &json, NULL) == 0 &&
	    json_get_object(json, WHAT, "error", &error, NULL) == 0)
		(void)json_get_string(error, WHAT, "text", ERROR_TEXT_SIZE - 1, &why, NULL);
	switch (status) {
	case 403:
		return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0, "The manager does not take the token: %s",
				 *why ? why : "it is unknown, used or too old; have a new one made");
	case 409:
		return error_fail(e, EEXIST, "The manager refuses: %s", *why ? why :
				  "it has a host of this name already; say another one with --name");
	case 429:
		return error_fail(e, EAGAIN, "The manager refuses for now: %s", *why ? why :
				  "too many attempts; try again later");
	default:
		return error_fail(e, EPROTO, "The manager refuses with status %u%s%s", status,
				  *why ? ": " : "", why);
	}
}

int join_read_answer(unsigned int status, const char *text, size_t size,
		     struct identity *identity, struct error *e)
{
	_cleanup_json_ json_t *json = NULL;
	const char *certificate = NULL;
	uint8_t uuid[UUID_SIZE];
	int r;

	if (status != CREATED)
		return refused(status, text, size, e);
	r = json_parse(text, size, HTTP_ANSWER_MAX, WHAT, &json, e);
	if (r == 0)
		r = json_get_uuid(json, WHAT, "host", uuid, e);
	if (r == 0)
		r = json_get_string(json, WHAT, "certificate", IDENTITY_PEM_MAX, &certificate, e);
	if (r < 0)
		return r;
	/* "ca" is the one that the token has pinned, and not looked at again. */
	uuid_format(uuid, identity->host);
	return identity_certify(identity, certificate, time_now(), e);
}

static int exchange(const struct address *address, const char *name,
		    const struct jointoken *token, struct identity *identity, struct error *e)
{
	_cleanup_link_tls_ struct link_tls tls = { 0 };
	_cleanup_secret_ struct secret body = SECRET_NULL;
	_cleanup_free_ char *csr = NULL, *answer = NULL;
	unsigned int status = 0;
	size_t size = 0;
	int r;

	r = identity_new_key(&identity->key, &csr, e);
	if (r == 0)
		r = link_tls_join(address, token->fingerprint, &tls, e);
	if (r == 0)
		r = make_body(token, name, csr, &body, e);
	if (r == 0)
		r = http_post(address, &tls, JOINTOKEN_PATH, &body, JOIN_S, &status, &answer, &size,
			      e);
	if (r < 0)
		return r;
	identity->ca = TAKE_PTR(tls.ca);
	if (!identity->ca)
		return error_fail(e, EHOSTUNREACH, "The manager's authority is not known");
	return join_read_answer(status, answer, size, identity, e);
}

int join_manager(const char *url, const char *name, const struct jointoken *token,
		 struct identity *ret, struct error *e)
{
	_cleanup_identity_ struct identity identity = IDENTITY_NULL;
	struct address address;
	int r;

	r = address_parse(url, &address, e);
	if (r < 0)
		return r;
	if (!jointoken_name_valid(name))
		return error_usage(e, "A host cannot be called \"%.80s\": 1 to %d printable ASCII characters without spaces and slashes",
				   name, JOINTOKEN_NAME_MAX);
	identity.url = strdup(url);
	if (!identity.url)
		return error_oom(e);
	r = exchange(&address, name, token, &identity, e);
	if (r < 0)
		return r;
	*ret = identity_take(&identity);
	return 0;
}
