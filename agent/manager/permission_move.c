/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/permission_move.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "manager/permission.h"
#include "manager/privilege.h"
#include "manager/store.h"

static int add(struct store *store, const char *actor, const char *vm, json_t *list,
	       struct error *e)
{
	char object[PERMISSION_OBJECT_SIZE];
	privilege_set held;
	int r;

	snprintf(object, sizeof(object), "vm:%.36s", vm);
	r = privilege_effective(store, actor, object, &held, e);
	if (r < 0)
		return r;
	return json_object_set_new(list, object, json_integer((json_int_t) held)) < 0 ?
	       error_oom(e) : 0;
}

static int add_vms_of(struct store *store, const char *actor, const char *host, json_t *list,
		      struct error *e)
{
	_cleanup_json_ json_t *vms = NULL;
	const json_t *vm;
	size_t i;
	int r = store_list(store, "vm", "host", host, &vms, e);

	json_array_foreach(vms, i, vm)
		if (r == 0)
			r = add(store, actor, json_text(vm, "id"), list, e);
	return r;
}

int permission_before_move(struct store *store, const char *actor, const char *kind,
			   const char *id, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *list = json_object();
	int r = 0;

	if (actor)
		r = strcmp(kind, "vm") == 0 ? add(store, actor, id, list, e) :
					      add_vms_of(store, actor, id, list, e);
	if (r == 0)
		*ret = TAKE_PTR(list);
	return r;
}

static int rises(const char *actor, const char *object, privilege_set gained, struct error *e)
{
	_cleanup_json_ json_t *names = privilege_names(gained);

	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0,
			 "User \"%.64s\" would have %s on %s there, which they do not have where it is: "
			 "let somebody move it who has", actor,
			 names ? json_string_value(json_array_get(names, 0)) : "more rights", object);
}

int permission_after_move(struct store *store, const char *actor, const json_t *before,
			  struct error *e)
{
	const char *object;
	const json_t *value;
	privilege_set held;
	int r;

	json_object_foreach((json_t *) before, object, value) {
		r = privilege_effective(store, actor, object, &held, e);
		if (r < 0)
			return r;
		held &= ~(privilege_set) json_integer_value(value);
		if (held)
			return rises(actor, object, held, e);
	}
	return 0;
}
