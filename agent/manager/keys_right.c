/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/keys_right.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "manager/keys_use.h"
#include "manager/keys_watch.h"
#include "manager/manager.h"
#include "manager/store.h"

int host_may_have_keys(const struct host_view *view, struct error *e)
{
	if (view->safe)
		return 0;
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0,
			 "Host %s gets no keys, for encryption is not enabled on it (its mode is not "
			 "safe): enable it at the manager", view->name);
}

static int get_key(struct manager *m, const char *provider, const char *key, json_t **ret,
		   struct error *e)
{
	char id[KEY_DOCUMENT_SIZE];
	int r;

	key_document_id(provider, key, id);
	r = keywatch_removing(m->watch, id) ? -ENOENT : store_get(m->store, KEY_KIND, id, ret, e);
	return r == -ENOENT ? error_set(e, ENOKEY, EXIT_NO_KEY, 0, "Key %.128s of provider %.64s is not on "
					"the manager's list", key, provider) : r;
}

/* Return: 1, 0. A VM or a host that is gone has no keys. */
static int is_for(struct manager *m, const char *host, const json_t *document, struct error *e)
{
	const char *vm = json_text(document, "vm");
	int r;

	if (!*vm)
		return strcmp(json_text(document, "host"), host) == 0;
	r = host_may_have_vm(m, host, vm, e);
	return r == -ENOENT ? 0 : r;
}

int key_is_for(struct manager *m, const char *host, const char *provider, const char *key,
	       struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r = get_key(m, provider, key, &document, e);

	return r < 0 ? r : is_for(m, host, document, e);
}

int key_right(struct manager *m, const char *host, const char *provider, const char *key,
	      struct key_right *ret, struct error *e)
{
	_cleanup_json_ json_t *document = NULL;
	int r;

	*ret = (struct key_right) { .vm = "" };
	r = host_view(m, host, &ret->view, e);
	if (r == 0)
		r = host_may_have_keys(&ret->view, e);
	if (r == 0)
		r = get_key(m, provider, key, &document, e);
	if (r < 0)
		return r;
	snprintf(ret->vm, sizeof(ret->vm), "%s", json_text(document, "vm"));
	r = is_for(m, host, document, e);
	if (r != 0)
		return r < 0 ? r : 0;
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, 0,
			 "Key %.128s is for %s %.36s, which is not registered to host %s or its cluster: "
			 "register it there, if it is to run there", key, ret->vm[0] ? "VM" : "host",
			 ret->vm[0] ? ret->vm : json_text(document, "host"), ret->view.name);
}
