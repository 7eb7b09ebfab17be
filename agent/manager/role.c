/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/role.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/json.h"
#include "manager/permission.h"
#include "manager/store.h"

#define KIND "role"

struct builtin {
	const char *name;
	const char *summary;
	bool (*holds)(const struct privilege *privilege);
};

static bool holds_all(const struct privilege *privilege)
{
	(void) privilege;
	return true;
}

static bool holds_no_crypto(const struct privilege *privilege)
{
	return !privilege->crypto;
}

static bool holds_read(const struct privilege *privilege)
{
	return privilege->read;
}

static const struct builtin builtins[] = {
	{ ROLE_ADMINISTRATOR, "everything", holds_all },
	{ ROLE_NO_CRYPTO, "everything but what leads to key material", holds_no_crypto },
	{ ROLE_READ_ONLY, "looks at everything, changes nothing", holds_read },
};

static const struct builtin *builtin_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(builtins); i++)
		if (strcmp(builtins[i].name, name) == 0)
			return &builtins[i];
	return NULL;
}

static privilege_set builtin_set(const struct builtin *builtin)
{
	const struct privilege *table;
	privilege_set set = 0;
	size_t n, i;

	table = privilege_table(&n);
	for (i = 0; i < n; i++)
		if (builtin->holds(&table[i]))
			set |= (privilege_set) 1 << i;
	return set;
}

static bool name_valid(const char *name)
{
	size_t n = strnlen(name, ROLE_NAME_MAX + 1);

	if (n == 0 || n > ROLE_NAME_MAX || name[0] == ' ' || name[n - 1] == ' ')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._-") == n;
}

static int no_role(const char *role, struct error *e)
{
	return error_fail(e, ENOENT, "There is no role \"%.*s\": see the list of roles",
			  ROLE_NAME_MAX, role);
}

static int find(struct store *store, const char *role, json_t **ret, struct error *e)
{
	int r;

	if (!name_valid(role))
		return no_role(role, e);
	r = store_find(store, KIND, "name", role, ret, e);
	return r == -ENOENT ? no_role(role, e) : r;
}

static privilege_set document_set(const json_t *document)
{
	privilege_set set = 0;
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(document, "privileges"), i, item)
		if (json_is_string(item))
			set |= privilege_bit(json_string_value(item));
	return set;
}

int role_privileges(struct store *store, const char *role, privilege_set *ret, struct error *e)
{
	const struct builtin *builtin = builtin_find(role);
	_cleanup_json_ json_t *document = NULL;
	int r;

	if (builtin) {
		*ret = builtin_set(builtin);
		return 0;
	}
	r = find(store, role, &document, e);
	if (r < 0)
		return r;
	*ret = document_set(document);
	return 0;
}

static json_t *describe(const char *name, bool is_builtin, const char *summary, privilege_set set)
{
	return json_pack("{s:s, s:b, s:s, s:o}", "name", name, "builtin", (int) is_builtin,
			 "summary", summary, "privileges", privilege_names(set));
}

static json_t *describe_builtin(const struct builtin *builtin)
{
	return describe(builtin->name, /* is_builtin= */ true, builtin->summary,
			builtin_set(builtin));
}

static json_t *describe_document(const json_t *document)
{
	const char *name = json_string_value(json_object_get(document, "name"));

	return describe(name ? name : "", /* is_builtin= */ false, "", document_set(document));
}

int role_get(struct store *store, const char *role, json_t **ret, struct error *e)
{
	const struct builtin *builtin = builtin_find(role);
	_cleanup_json_ json_t *document = NULL;
	json_t *answer;
	int r;

	if (!builtin) {
		r = find(store, role, &document, e);
		if (r < 0)
			return r;
	}
	answer = builtin ? describe_builtin(builtin) : describe_document(document);
	if (!answer)
		return error_oom(e);
	*ret = answer;
	return 0;
}

int role_list(struct store *store, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *documents = NULL, *list = json_array();
	const json_t *document;
	size_t i;
	int r;

	r = store_list(store, KIND, NULL, NULL, &documents, e);
	if (r < 0)
		return r;
	for (i = 0; i < ARRAY_SIZE(builtins); i++)
		if (json_array_append_new(list, describe_builtin(&builtins[i])) < 0)
			return error_oom(e);
	json_array_foreach(documents, i, document)
		if (json_array_append_new(list, describe_document(document)) < 0)
			return error_oom(e);
	*ret = TAKE_PTR(list);
	return 0;
}

static int parse(const char *role, const json_t *privileges, privilege_set *ret, struct error *e)
{
	privilege_set set = 0, bit;
	const json_t *item;
	size_t i;

	if (!name_valid(role))
		return error_usage(e, "A role's name is 1 to %d letters, digits, spaces, '.', '_' or "
				   "'-', with no space at either end", ROLE_NAME_MAX);
	if (!json_is_array(privileges))
		return error_usage(e, "The privileges of role \"%s\" are not a list of names", role);
	json_array_foreach(privileges, i, item) {
		bit = json_is_string(item) ? privilege_bit(json_string_value(item)) : 0;
		if (!bit)
			return error_usage(e, "Role \"%s\" cannot hold \"%.64s\": there is no such "
					   "privilege; see the list of privileges", role,
					   json_is_string(item) ? json_string_value(item) : "");
		set |= bit;
	}
	*ret = set;
	return 0;
}

/* Whoever could hand out more than they hold would soon hold it themselves; and what
 * they do not hold they do not take from others. */
static int check_actor(struct store *store, const char *actor, privilege_set changed,
		       struct error *e)
{
	return permission_holds(store, actor, PERMISSION_GLOBAL, changed, "change what a role holds", e);
}

static json_t *document_new(const char *role, privilege_set set)
{
	return json_pack("{s:s, s:o}", "name", role, "privileges", privilege_names(set));
}

/* One change of a role, in one transaction with its checks. */
struct change {
	const char *actor;
	const char *role;
	privilege_set set;
};

static int create(struct store *store, void *userdata, struct error *e)
{
	const struct change *change = userdata;
	const char *role = change->role;
	_cleanup_json_ json_t *document = document_new(role, change->set);
	char id[UUID_TEXT_SIZE];
	int r;

	r = check_actor(store, change->actor, change->set, e);
	if (r < 0)
		return r;
	r = uuid_random_text(id);
	if (r < 0)
		return error_fail(e, r, "Cannot name role \"%s\": %s", role, strerror(-r));
	if (!document)
		return error_oom(e);
	r = store_insert(store, KIND, id, document, e);
	if (r == -EEXIST)
		return error_fail(e, r, "There is a role \"%s\" already: choose another name", role);
	return r;
}

int role_create(struct store *store, const char *actor, const char *role,
		const json_t *privileges, struct error *e)
{
	struct change change = { .actor = actor, .role = role };
	int r;

	r = parse(role, privileges, &change.set, e);
	if (r < 0)
		return r;
	if (builtin_find(role))
		return error_fail(e, EEXIST, "Role \"%s\" is built in: choose another name", role);
	return store_write(store, create, &change, e);
}

static int built_in(const char *role, struct error *e)
{
	return error_set(e, EPERM, EXIT_NOT_ALLOWED, 0, "Role \"%s\" is built in and never changes: "
			 "create one of your own", role);
}

static int update(struct store *store, void *userdata, struct error *e)
{
	const struct change *change = userdata;
	_cleanup_json_ json_t *old = NULL, *document = document_new(change->role, change->set);
	int r;

	r = find(store, change->role, &old, e);
	if (r < 0)
		return r;
	r = check_actor(store, change->actor, change->set ^ document_set(old), e);
	if (r < 0)
		return r;
	if (!document)
		return error_oom(e);
	return store_update(store, KIND, json_string_value(json_object_get(old, "id")), document, e);
}

int role_update(struct store *store, const char *actor, const char *role,
		const json_t *privileges, struct error *e)
{
	struct change change = { .actor = actor, .role = role };
	int r;

	if (builtin_find(role))
		return built_in(role, e);
	r = parse(role, privileges, &change.set, e);
	return r < 0 ? r : store_write(store, update, &change, e);
}

static int delete(struct store *store, void *userdata, struct error *e)
{
	const char *role = ((const struct change *) userdata)->role;
	_cleanup_json_ json_t *document = NULL, *used = NULL;
	int r;

	r = find(store, role, &document, e);
	if (r < 0)
		return r;
	r = store_list(store, "permission", "role", role, &used, e);
	if (r < 0)
		return r;
	if (json_array_size(used) > 0)
		return error_fail(e, EBUSY, "Role \"%s\" is in %zu permissions: remove those first",
				  role, json_array_size(used));
	return store_delete(store, KIND, json_string_value(json_object_get(document, "id")), e);
}

int role_delete(struct store *store, const char *role, struct error *e)
{
	struct change change = { .role = role };

	if (builtin_find(role))
		return built_in(role, e);
	return store_write(store, delete, &change, e);
}
