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

static int change_certificate(struct api_call *call, struct error *e)
{
	const char *certificate = NULL;
	int r;

	if (!json_has(call->body, "certificate"))
		return 0;
	r = api_string_or_null(call, "certificate", USER_CERTIFICATE_SIZE - 1, &certificate, e);
	return r < 0 ? r : user_set_certificate(call->manager->users, call->user,
						call->params[0], certificate, e);
}

static int change_disabled(struct api_call *call, struct error *e)
{
	bool disabled = false;
	int r;

	if (!json_has(call->body, "disabled"))
		return 0;
	r = api_bool(call, "disabled", &disabled, e);
	return r < 0 ? r : user_set_disabled(call->manager->users, call->user, call->params[0],
					     disabled, e);
}

int api_users_change(struct api_call *call, json_t **ret, struct error *e)
{
	struct secret password _cleanup_secret_ = SECRET_NULL;
	int r = api_password(call, "password", &password, e);

	if (r == 0 && password.size)
		r = user_set_password(call->manager->users, call->user, call->params[0], &password,
				      e);
	if (r == 0)
		r = change_certificate(call, e);
	if (r == 0)
		r = change_disabled(call, e);
	return r < 0 ? r : user_get(call->manager->users, call->params[0], ret, e);
}

int api_users_delete(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return user_delete(call->manager->users, call->user, call->params[0], e);
}
