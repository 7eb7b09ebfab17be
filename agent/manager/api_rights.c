/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Privileges, roles, permissions. */
#include <stdio.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "manager/api.h"
#include "manager/manager.h"
#include "manager/permission.h"
#include "manager/privilege.h"
#include "manager/role.h"
#include "manager/user.h"

static int named(struct error *e, const char *kind, json_t *list, json_t **ret)
{
	*ret = json_pack("{s:o}", kind, list);
	return *ret ? 0 : error_oom(e);
}

int api_privileges_list(struct api_call *call, json_t **ret, struct error *e)
{
	const struct privilege *table;
	json_t *list = json_array();
	size_t n, i;

	(void)call;
	table = privilege_table(&n);
	for (i = 0; list && i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b, s:b}", "name", table[i].name,
						      "summary", table[i].summary, "crypto",
						      (int)table[i].crypto, "read",
						      (int)table[i].read, "asked",
						      (int)table[i].asked));
	return list ? named(e, "privileges", list, ret) : error_oom(e);
}

int api_roles_list(struct api_call *call, json_t **ret, struct error *e)
{
	json_t *list;
	int r = role_list(call->manager->store, &list, e);

	return r < 0 ? r : named(e, "roles", list, ret);
}

int api_roles_get(struct api_call *call, json_t **ret, struct error *e)
{
	return role_get(call->manager->store, call->params[0], ret, e);
}

static int read_privileges(struct api_call *call, json_t **ret, struct error *e)
{
	if (json_get_array(call->body, "request", "privileges", PRIVILEGE_MAX, ret, e) < 0) {
		e->status = EXIT_USAGE;
		return e->code;
	}
	return 0;
}

int api_roles_name(struct api_call *call, struct error *e)
{
	const char *name = NULL;
	int r = api_string(call, "name", ROLE_NAME_MAX, &name, e);

	if (r == 0)
		api_set_object(call, "role", name);
	return r;
}

int api_roles_create(struct api_call *call, json_t **ret, struct error *e)
{
	const char *name = NULL;
	json_t *privileges = NULL;
	int r = api_string(call, "name", ROLE_NAME_MAX, &name, e);

	if (r == 0)
		r = read_privileges(call, &privileges, e);
	if (r < 0)
		return r;
	r = role_create(call->manager->store, call->user, name, privileges, e);
	return r < 0 ? r : role_get(call->manager->store, name, ret, e);
}

int api_roles_replace(struct api_call *call, json_t **ret, struct error *e)
{
	json_t *privileges = NULL;
	int r = read_privileges(call, &privileges, e);

	if (r < 0)
		return r;
	r = role_update(call->manager->store, call->user, call->params[0], privileges, e);
	return r < 0 ? r : role_get(call->manager->store, call->params[0], ret, e);
}

int api_roles_delete(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return role_delete(call->manager->store, call->params[0], e);
}

int api_permissions_list(struct api_call *call, json_t **ret, struct error *e)
{
	json_t *list;
	int r = permission_list(call->manager->store, http_query(call->rq, "user"), &list, e);

	return r < 0 ? r : named(e, "permissions", list, ret);
}

int api_permissions_may_set(struct api_call *call, struct error *e)
{
	const char *object = NULL;
	int r = api_string(call, "object", PERMISSION_OBJECT_SIZE - 1, &object, e);

	if (r < 0)
		return r;
	if (!permission_object_valid(object))
		return error_usage(e, "\"%.64s\" is no object: want global, cluster:UUID, "
				   "host:UUID or vm:UUID", object);
	snprintf(call->object, sizeof(call->object), "%s", object);
	return api_require(call, "Authorization.ModifyPermissions", object, e);
}

int api_permissions_set(struct api_call *call, json_t **ret, struct error *e)
{
	const char *user = NULL, *role = NULL;
	char id[UUID_TEXT_SIZE];
	bool propagate = true;
	int r = api_string(call, "user", USER_NAME_MAX, &user, e);

	if (r == 0)
		r = api_string(call, "role", ROLE_NAME_MAX, &role, e);
	if (r == 0)
		r = api_bool(call, "propagate", &propagate, e);
	if (r == 0)
		r = permission_set(call->manager->store, call->user, user, role, call->object,
				   propagate, id, e);
	return r < 0 ? r : permission_get(call->manager->store, id, ret, e);
}

int api_permissions_may_delete(struct api_call *call, struct error *e)
{
	_cleanup_json_ json_t *permission = NULL;
	const char *object = NULL;
	int r = permission_get(call->manager->store, call->params[0], &permission, e);

	/* To those who may not change any, what is there is nothing to learn. */
	if (r == -ENOENT)
		return api_require(call, "Authorization.ModifyPermissions", PERMISSION_GLOBAL,
				   e) < 0 ? -EACCES : r;
	if (r == 0)
		r = json_get_string(permission, "permission", "object",
				    PERMISSION_OBJECT_SIZE - 1, &object, e);
	if (r < 0)
		return r;
	snprintf(call->object, sizeof(call->object), "%s", object);
	return api_require(call, "Authorization.ModifyPermissions", object, e);
}

int api_permissions_delete(struct api_call *call, json_t **ret, struct error *e)
{
	(void)ret;
	return permission_remove(call->manager->store, call->user, call->params[0], e);
}
