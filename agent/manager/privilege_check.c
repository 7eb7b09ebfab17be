/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/privilege.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "manager/permission.h"
#include "manager/role.h"
#include "manager/store.h"
#include "manager/user.h"

/* vm, host or cluster, global. */
#define PATH_MAX_STEPS 4

/* From an object up to global. */
struct path {
	char step[PATH_MAX_STEPS][PERMISSION_OBJECT_SIZE];
	size_t n;
};

static void path_add(struct path *path, const char *kind, const char *id)
{
	snprintf(path->step[path->n], sizeof(path->step[0]), "%.7s%s%.36s", kind, *id ? ":" : "", id);
	path->n++;
}

/* Goes from an object to the first of @parents that it names; @id "" for none. */
static int go_up(struct store *store, const char *const parents[], char kind[16],
		 char id[UUID_TEXT_SIZE], struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	uint8_t uuid[UUID_SIZE];
	const char *parent;
	size_t i;
	int r;

	r = store_get(store, kind, id, &document, e);
	id[0] = '\0';
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	for (i = 0; parents[i]; i++) {
		parent = json_string_value(json_object_get(document, parents[i]));
		if (!parent || uuid_parse_text(parent, uuid) < 0)
			continue;
		uuid_format(uuid, id);
		snprintf(kind, 16, "%s", parents[i]);
		return 0;
	}
	return 0;
}

static int path_find(struct store *store, const char *object, struct path *ret, struct error *e)
{
	static const char *const of_vm[] = { "cluster", "host", NULL };
	static const char *const of_host[] = { "cluster", NULL };
	char kind[16], id[UUID_TEXT_SIZE];
	const char *colon = strchr(object, ':');
	int r;

	*ret = (struct path){ .n = 0 };
	if (colon) {
		snprintf(kind, sizeof(kind), "%.*s", (int) (colon - object), object);
		snprintf(id, sizeof(id), "%s", colon + 1);
		while (id[0]) {
			path_add(ret, kind, id);
			if (strcmp(kind, "cluster") == 0)
				break;
			r = go_up(store, strcmp(kind, "vm") == 0 ? of_vm : of_host, kind, id, e);
			if (r < 0)
				return r;
		}
	}
	path_add(ret, PERMISSION_GLOBAL, "");
	return 0;
}

int privilege_within(struct store *store, const char *object, const char *around, bool *ret,
		     struct error *e)
{
	struct path path;
	size_t i;
	int r = path_find(store, object, &path, e);

	if (r < 0)
		return r;
	*ret = false;
	for (i = 1; i < path.n; i++)
		*ret = *ret || strcmp(path.step[i], around) == 0;
	return 0;
}

/* Only somebody who is there and not disabled has rights. */
static int user_active(struct store *store, const char *user, bool *ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r;

	*ret = false;
	if (!user_name_valid(user))
		return 0;
	r = store_find(store, "user", "name", user, &document, e);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	*ret = json_is_false(json_object_get(document, "disabled"));
	return 0;
}

static const json_t *permission_on(const json_t *permissions, const char *object)
{
	const json_t *permission;
	const char *on;
	size_t i;

	json_array_foreach(permissions, i, permission) {
		on = json_string_value(json_object_get(permission, "object"));
		if (on && strcmp(on, object) == 0)
			return permission;
	}
	return NULL;
}

/*
 * The nearest permission decides; from @first on, 0 being the object itself. @counts:
 * one that does not propagate does on this step, -1: on none.
 */
static int decide(struct store *store, const json_t *permissions, const struct path *path,
		  size_t first, ssize_t counts, privilege_set *ret, struct error *e)
{
	const json_t *permission;
	const char *role;
	size_t i;
	int r;

	*ret = 0;
	for (i = first; i < path->n; i++) {
		permission = permission_on(permissions, path->step[i]);
		if (!permission || ((ssize_t) i != counts &&
				    !json_is_true(json_object_get(permission, "propagate"))))
			continue;
		role = json_string_value(json_object_get(permission, "role"));
		if (!role)
			return error_fail(e, EBADMSG, "A permission on %s names no role: remove it",
					  path->step[i]);
		r = role_privileges(store, role, ret, e);
		return r == -ENOENT ? 0 : r;
	}
	return 0;
}

/**
 * struct query - whose rights on what are asked for
 * @disabled: they count, too
 */
struct query {
	const char *user;
	const char *object;
	bool disabled;
	struct privilege_rights rights;
};

static int look_up(struct store *store, struct query *query, struct error *e)
{
	_cleanup_json_ json_t *permissions = NULL;
	struct privilege_rights *rights = &query->rights;
	struct path path;
	bool counts = query->disabled;
	int r = counts ? 0 : user_active(store, query->user, &counts, e);

	*rights = (struct privilege_rights){ .here = 0 };
	if (r < 0 || !counts)
		return r;
	r = store_list(store, "permission", "user", query->user, &permissions, e);
	if (r == 0)
		r = path_find(store, query->object, &path, e);
	if (r == 0)
		r = decide(store, permissions, &path, 0, 0, &rights->here, e);
	if (r == 0)
		r = decide(store, permissions, &path, 0, -1, &rights->below, e);
	if (r == 0)
		r = decide(store, permissions, &path, 1, -1, &rights->inherited, e);
	return r;
}

static int ask(struct store *store, struct query *query, struct error *e)
{
	int r;

	if (!query->object)
		query->object = PERMISSION_GLOBAL;
	if (!permission_object_valid(query->object))
		return error_usage(e, "\"%.64s\" is no object that a privilege can be held on",
				   query->object);
	/* One state of the store for all that is read. */
	r = store_begin(store, e);
	if (r < 0)
		return r;
	r = look_up(store, query, e);
	store_rollback(store);
	return r;
}

int privilege_rights(struct store *store, const char *user, const char *object,
		     struct privilege_rights *ret, struct error *e)
{
	struct query query = { .user = user, .object = object };
	int r = ask(store, &query, e);

	if (r == 0)
		*ret = query.rights;
	return r;
}

int privilege_granted(struct store *store, const char *user, const char *object,
		      struct privilege_rights *ret, struct error *e)
{
	struct query query = { .user = user, .object = object, .disabled = true };
	int r = ask(store, &query, e);

	if (r == 0)
		*ret = query.rights;
	return r;
}

int privilege_effective(struct store *store, const char *user, const char *object,
			privilege_set *ret, struct error *e)
{
	struct privilege_rights rights;
	int r = privilege_rights(store, user, object, &rights, e);

	if (r == 0)
		*ret = rights.here;
	return r;
}

int privilege_check(struct store *store, const char *user, const char *privilege,
		    const char *object, struct error *e)
{
	privilege_set bit = privilege_bit(privilege), set = 0;
	int r;

	if (!bit)
		return error_usage(e, "There is no privilege \"%.64s\"", privilege);
	r = privilege_effective(store, user, object, &set, e);
	if (r < 0)
		return r;
	if (set & bit)
		return 0;
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0,
			 "User \"%.64s\" lacks the privilege %s on %s: somebody with "
			 "Authorization.ModifyPermissions there who holds it can grant it", user,
			 privilege, object ? object : PERMISSION_GLOBAL);
}
