/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/cleanup.h"
#include "common/json.h"
#include "common/secret.h"
#include "manager/api.h"
#include "manager/manager.h"
#include "manager/user.h"

static int named(struct error *e, const char *kind, json_t *list, json_t **ret)
{
	*ret = json_pack("{s:o}", kind, list);
	return *ret ? 0 : error_oom(e);
}

int api_users_list(struct api_call *call, json_t **ret, struct error *e)
{
	json_t *list;
	int r = user_list(call->manager->users, &list, e);

	return r < 0 ? r : named(e, "users", list, ret);
}

int api_users_get(struct api_call *call, json_t **ret, struct error *e)
{
	return user_get(call->manager->users, call->params[0], ret, e);
}

int api_users_name(struct api_call *call, struct error *e)
{
	const char *name = NULL;
	int r = api_string(call, "name", USER_NAME_MAX, &name, e);

	if (r == 0 && user_name_valid(name))
		api_set_object(call, "user", name);
	return r;
}

int api_users_create(struct api_call *call, json_t **ret, struct error *e)
{
	struct secret password _cleanup_secret_ = SECRET_NULL;
	const char *name = NULL, *certificate = NULL;
	int r = api_string(call, "name", USER_NAME_MAX, &name, e);

	if (r == 0)
		r = api_password(call, "password", &password, e);
	if (r == 0)
		r = api_string_or_null(call, "certificate", USER_CERTIFICATE_SIZE - 1,
				       &certificate, e);
	if (r < 0)
		return r;
	r = user_create(call->manager->users, name, password.size ? &password : NULL,
			certificate, e);
	return r < 0 ? r : user_get(call->manager->users, name, ret, e);
}

int api_users_change(struct api_call *call, json_t **ret, struct error *e)
{
	struct secret password _cleanup_secret_ = SECRET_NULL;
	struct user_changes changes = {
		.set_certificate = json_has(call->body, "certificate"),
		.set_disabled = json_has(call->body, "disabled"),
	};
	int r = api_password(call, "password", &password, e);

	if (r == 0)
		r = api_string_or_null(call, "certificate", USER_CERTIFICATE_SIZE - 1,
				       &changes.certificate, e);
	if (r == 0)
		r = api_bool(call, "disabled", &changes.disabled, e);
	if (r < 0)
		return r;
	changes.password = password.size ? &password : NULL;
	r = user_change(call->manager->users, call->user, call->params[0], &changes, e);
	return r < 0 ? r : user_get(call->manager->users, call->params[0], ret, e);
}

int api_users_delete(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return user_delete(call->manager->users, call->user, call->params[0], e);
}
