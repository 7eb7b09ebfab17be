/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/permission.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "manager/privilege.h"
#include "manager/role.h"
#include "manager/store.h"
#include "manager/user.h"

#define KIND "permission"

bool permission_object_valid(const char *object)
{
	static const char *const kinds[] = { "cluster:", "host:", "vm:" };
	uint8_t uuid[UUID_SIZE];
	size_t i, n;

	if (strcmp(object, PERMISSION_GLOBAL) == 0)
		return true;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		n = strlen(kinds[i]);
		if (strncmp(object, kinds[i], n) == 0)
			return uuid_parse_text(object + n, uuid) == 0;
	}
	return false;
}

/* One at most of a user on an object: the store keeps names unique within a kind. */
static void make_name(const char *user, const char *object,
		      char ret[USER_NAME_MAX + PERMISSION_OBJECT_SIZE + 8])
{
	snprintf(ret, USER_NAME_MAX + PERMISSION_OBJECT_SIZE + 8, "%s on %s", user, object);
}

/* @where: "", or words before the object. */
static int check_held(const char *actor, privilege_set held, privilege_set set, const char *what,
		      const char *where, const char *object, struct error *e)
{
	_cleanup_json_ json_t *names = NULL;

	if ((set & ~held) == 0)
		return 0;
	names = privilege_names(set & ~held);
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0,
			 "User \"%s\" cannot %s without holding %s on %s%s: ask an administrator",
			 actor, what, names ? json_string_value(json_array_get(names, 0)) : "all of it",
			 where, object);
}

static int holds_here(struct store *store, const char *actor, const char *object,
		      privilege_set set, const char *what, struct error *e)
{
	privilege_set held;
	int r;

	if (!actor || !set)
		return 0;
	r = privilege_effective(store, actor, object, &held, e);
	return r < 0 ? r : check_held(actor, held, set, what, "", object, e);
}

/* Not only what reaches down counts: where a permission of the actor's own gives them less,
 * they have less. */
static int holds_below(struct store *store, const char *actor, const char *object,
		       privilege_set set, const char *what, struct error *e)
{
	_cleanup_json_ json_t *own = NULL;
	struct privilege_rights rights;
	const json_t *permission;
	bool within = false;
	size_t i;
	int r;

	if (!actor || !set)
		return 0;
	r = privilege_rights(store, actor, object, &rights, e);
	if (r == 0)
		r = check_held(actor, rights.below, set, what, "all that is within ", object, e);
	if (r == 0)
		r = store_list(store, KIND, "user", actor, &own, e);
	if (r < 0)
		return r;
	json_array_foreach(own, i, permission) {
		const char *on = json_text(permission, "object");

		r = privilege_within(store, on, object, &within, e);
		if (r == 0 && within)
			r = holds_here(store, actor, on, set, what, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Nothing is within a VM. */
static bool has_below(const char *object)
{
	return strncmp(object, "vm:", 3) != 0;
}

int permission_holds(struct store *store, const char *actor, const char *object,
		     privilege_set set, const char *what, struct error *e)
{
	int r = holds_here(store, actor, object, set, what, e);

	return r < 0 || !has_below(object) ? r : holds_below(store, actor, object, set, what, e);
}

int permission_keep_administrator(struct store *store, struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *permission;
	size_t i;
	int r;

	r = store_list(store, KIND, "object", PERMISSION_GLOBAL, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, permission) {
		_cleanup_json_ json_t *user = NULL;

		if (strcmp(json_text(permission, "role"), ROLE_ADMINISTRATOR) != 0 ||
		    !json_is_true(json_object_get(permission, "propagate")))
			continue;
		r = store_find(store, "user", "name", json_text(permission, "user"), &user, e);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0 && json_is_false(json_object_get(user, "disabled")))
			return 0;
	}
	return error_fail(e, EBUSY, "This would leave nobody with the role " ROLE_ADMINISTRATOR
			  " on everything: give it to somebody else first");
}

static int check_exists(struct store *store, const char *user, const char *object, struct error *e)
{
	_cleanup_json_ json_t *found = NULL, *thing = NULL;
	const char *colon = strchr(object, ':');
	char kind[16];
	int r;

	r = user_name_valid(user) ? store_find(store, "user", "name", user, &found, e) : -ENOENT;
	if (r == -ENOENT)
		return error_fail(e, r, "There is no user \"%.64s\": create it first", user);
	if (r < 0 || !colon)
		return r;
	snprintf(kind, sizeof(kind), "%.*s", (int) (colon - object), object);
	r = store_get(store, kind, colon + 1, &thing, e);
	if (r == -ENOENT)
		return error_fail(e, r, "There is no %s %s to give a permission on", kind, colon + 1);
	return r;
}

/**
 * struct rights_change - what becomes of a user's rights
 * @here, @below: as in struct privilege_rights, afterwards
 * @what: that is done, for the error
 */
struct rights_change {
	const char *actor;
	const char *object;
	privilege_set here;
	privilege_set below;
	const char *what;
};

#define TAKES "change the role of one with more rights"

/*
 * Neither more than the actor holds may be given, nor what is above them be taken; and
 * what is given or taken below the object counts as much as on it: a permission that does
 * not propagate, in the place of one that does, gives what that one kept away.
 */
static int check_change(struct store *store, const struct rights_change *change,
			const struct privilege_rights *before, struct error *e)
{
	const char *actor = change->actor, *object = change->object;
	int r = holds_here(store, actor, object, change->here, change->what, e);

	if (r == 0)
		r = holds_here(store, actor, object, before->here, TAKES, e);
	if (r < 0 || !has_below(object) || change->below == before->below)
		return r;
	r = holds_below(store, actor, object, change->below, change->what, e);
	return r < 0 ? r : holds_below(store, actor, object, before->below, TAKES, e);
}

static int write_permission(struct store *store, const json_t *document, char ret_id[UUID_TEXT_SIZE],
			    struct error *e)
{
	_cleanup_json_ json_t *old = NULL;
	const char *old_id;
	int r;

	r = store_find(store, KIND, "name", json_text(document, "name"), &old, e);
	if (r == 0) {
		old_id = json_text(old, "id");
		snprintf(ret_id, UUID_TEXT_SIZE, "%s", old_id);
		return store_update(store, KIND, old_id, document, e);
	}
	if (r != -ENOENT)
		return r;
	r = uuid_random_text(ret_id);
	if (r < 0)
		return error_fail(e, r, "Cannot name a permission: %s", strerror(-r));
	return store_insert(store, KIND, ret_id, document, e);
}

/* A permission to be given. */
struct gift {
	const char *actor;
	const json_t *document;
	char id[UUID_TEXT_SIZE];
};

static int set(struct store *store, void *userdata, struct error *e)
{
	struct gift *gift = userdata;
	const json_t *document = gift->document;
	const char *user = json_text(document, "user"), *object = json_text(document, "object");
	struct rights_change change = { .actor = gift->actor, .object = object,
					.what = "give a role" };
	struct privilege_rights before = { .here = 0 };
	int r;

	r = check_exists(store, user, object, e);
	if (r == 0)
		r = role_privileges(store, json_text(document, "role"), &change.here, e);
	if (r == 0)
		r = privilege_granted(store, user, object, &before, e);
	if (r < 0)
		return r;
	change.below = json_is_true(json_object_get(document, "propagate")) ? change.here :
									      before.inherited;
	r = check_change(store, &change, &before, e);
	if (r == 0)
		r = write_permission(store, document, gift->id, e);
	if (r == 0 && strcmp(object, PERMISSION_GLOBAL) == 0)
		r = permission_keep_administrator(store, e);
	return r;
}

int permission_set(struct store *store, const char *actor, const char *user, const char *role,
		   const char *object, bool propagate, char ret_id[UUID_TEXT_SIZE],
		   struct error *e)
{
	char name[USER_NAME_MAX + PERMISSION_OBJECT_SIZE + 8];
	_cleanup_json_ json_t *document = NULL;
	struct gift gift = { .actor = actor };
	int r;

	if (!permission_object_valid(object))
		return error_usage(e, "\"%.64s\" is no object: write global, cluster:UUID, host:UUID or "
				   "vm:UUID", object);
	if (!user_name_valid(user))
		return error_fail(e, ENOENT, "There is no user \"%.64s\": create it first", user);
	make_name(user, object, name);
	document = json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", name, "user", user, "role", role,
			     "object", object, "propagate", (int) propagate);
	if (!document)
		return error_oom(e);
	gift.document = document;
	r = store_write(store, set, &gift, e);
	if (r == 0 && ret_id)
		memcpy(ret_id, gift.id, sizeof(gift.id));
	return r;
}

static int get(struct store *store, const char *id, json_t **ret, struct error *e)
{
	uint8_t uuid[UUID_SIZE];
	int r;

	r = uuid_parse_text(id, uuid) == 0 ? store_get(store, KIND, id, ret, e) : -ENOENT;
	if (r == -ENOENT)
		return error_fail(e, r, "There is no permission %.36s: see the list of permissions", id);
	return r;
}

/* Permissions to be taken away: one by its @id, or those of @user or on @object, NULL: any. */
struct removal {
	const char *actor;
	const char *id;
	const char *user;
	const char *object;
};

static int remove_one(struct store *store, void *userdata, struct error *e)
{
	const struct removal *removal = userdata;
	struct rights_change change = { .actor = removal->actor, .what = "lift a restriction" };
	_cleanup_json_ json_t *permission = NULL;
	struct privilege_rights before = { .here = 0 };
	const char *object;
	int r;

	r = get(store, removal->id, &permission, e);
	if (r < 0)
		return r;
	change.object = object = json_text(permission, "object");
	r = privilege_granted(store, json_text(permission, "user"), object, &before, e);
	if (r < 0)
		return r;
	change.here = change.below = before.inherited;
	r = check_change(store, &change, &before, e);
	if (r == 0)
		r = store_delete(store, KIND, removal->id, e);
	if (r == 0 && strcmp(object, PERMISSION_GLOBAL) == 0)
		r = permission_keep_administrator(store, e);
	return r;
}

int permission_remove(struct store *store, const char *actor, const char *id, struct error *e)
{
	return store_write(store, remove_one, &(struct removal){ .actor = actor, .id = id }, e);
}

int permission_get(struct store *store, const char *id, json_t **ret, struct error *e)
{
	int r;

	r = get(store, id, ret, e);
	if (r == 0)
		json_object_del(*ret, "name");
	return r;
}

int permission_list(struct store *store, const char *user, json_t **ret, struct error *e)
{
	json_t *permission;
	size_t i;
	int r;

	r = store_list(store, KIND, user ? "user" : NULL, user, ret, e);
	if (r < 0)
		return r;
	json_array_foreach(*ret, i, permission)
		json_object_del(permission, "name");
	return 0;
}

static int remove_matching(struct store *store, void *userdata, struct error *e)
{
	const struct removal *removal = userdata;
	const char *user = removal->user, *object = removal->object;
	_cleanup_json_ json_t *list = NULL;
	const json_t *permission;
	size_t i;
	int r;

	if (user)
		r = store_list(store, KIND, "user", user, &list, e);
	else
		r = store_list(store, KIND, object ? "object" : NULL, object, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, permission) {
		if (object && strcmp(json_text(permission, "object"), object) != 0)
			continue;
		r = store_delete(store, KIND, json_text(permission, "id"), e);
		if (r < 0)
			return r;
	}
	return 0;
}

int permission_remove_all(struct store *store, const char *user, const char *object,
			  struct error *e)
{
	return store_write(store, remove_matching,
			   &(struct removal){ .user = user, .object = object }, e);
}

static int covers(struct store *store, const char *actor, const json_t *permission,
		  privilege_set role, struct error *e)
{
	static const char what[] = "act on one with more rights";
	const char *object = json_text(permission, "object");

	if (!json_is_true(json_object_get(permission, "propagate")))
		return holds_here(store, actor, object, role, what, e);
	return permission_holds(store, actor, object, role, what, e);
}

int permission_covers(struct store *store, const char *actor, const char *user,
		      struct error *e)
{
	_cleanup_json_ json_t *list = NULL;
	const json_t *permission;
	privilege_set role;
	size_t i;
	int r;

	if (!actor)
		return 0;
	r = store_list(store, KIND, "user", user, &list, e);
	if (r < 0)
		return r;
	json_array_foreach(list, i, permission) {
		r = role_privileges(store, json_text(permission, "role"), &role, e);
		if (r == -ENOENT)
			continue;
		if (r == 0)
			r = covers(store, actor, permission, role, e);
		if (r < 0)
			return r;
	}
	return 0;
}
