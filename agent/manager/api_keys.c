/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys by their ids: there is no way to material here. */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "crypto/locator.h"
#include "manager/api.h"
#include "manager/keys_use.h"
#include "manager/manager.h"
#include "manager/store.h"

int api_keys_list(struct api_call *call, json_t **ret, struct error *e)
{
	json_t *list = NULL;
	int r = keys_list(call->manager, http_query(call->rq, "provider"),
			  http_query(call->rq, "vm"), &list, e);

	if (r < 0)
		return r;
	*ret = json_pack("{s:o}", "keys", list);
	return *ret ? 0 : error_oom(e);
}

int api_keys_get(struct api_call *call, json_t **ret, struct error *e)
{
	return keys_show(call->manager, call->params[0], call->params[1], ret, e);
}

/* Who is restricted on a VM gets at its keys by no other way either. */
int api_keys_may_register(struct api_call *call, struct error *e)
{
	const char *key = NULL, *vm = NULL;
	int r = api_string(call, "key", KEY_ID_MAX, &key, e);

	if (r == 0)
		r = api_string(call, "vm", UUID_TEXT_SIZE - 1, &vm, e);
	if (r < 0)
		return r;
	api_set_object(call, "vm", vm);
	snprintf(call->key, sizeof(call->key), "%s", key);
	return api_require(call, "Cryptographer.ManageKeys", call->object, e);
}

int api_keys_register(struct api_call *call, json_t **ret, struct error *e)
{
	const char *provider = NULL, *key = NULL, *vm = NULL;
	int r = api_string(call, "provider", UUID_TEXT_SIZE - 1, &provider, e);

	if (r == 0)
		r = api_string(call, "key", KEY_ID_MAX, &key, e);
	if (r == 0)
		r = api_string(call, "vm", UUID_TEXT_SIZE - 1, &vm, e);
	if (r < 0)
		return r;
	r = keys_register(call->manager, provider, key, vm, e);
	return r < 0 ? r : keys_show(call->manager, provider, key, ret, e);
}

static int read_flag(const struct api_call *call, const char *name, bool *ret, struct error *e)
{
	const char *text = http_query(call->rq, name);

	*ret = text && strcmp(text, "true") == 0;
	if (text && !*ret && strcmp(text, "false") != 0)
		return error_usage(e, "\"%s\" is true or false", name);
	return 0;
}

int api_keys_may_remove(struct api_call *call, struct error *e)
{
	const char *provider = call->params[0], *key = call->params[1], *vm;
	_cleanup_json_ json_t *document = NULL;
	char id[KEY_DOCUMENT_SIZE];
	int r;

	snprintf(call->object, sizeof(call->object), "key:%.36s/%.128s", provider, key);
	snprintf(call->key, sizeof(call->key), "%.*s", KEY_ID_MAX, key);
	key_document_id(provider, key, id);
	r = store_get(call->manager->store, KEY_KIND, id, &document, e);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	vm = json_string_value(json_object_get(document, "vm"));
	if (!vm)
		return 0;
	snprintf(call->vm, sizeof(call->vm), "%.36s", vm);
	return api_require_on(call, "Cryptographer.ManageKeys", "vm", vm, e);
}

int api_keys_remove(struct api_call *call, json_t **ret, struct error *e)
{
	bool destroy = false;
	int r = read_flag(call, "destroy", &destroy, e);

	(void)ret;
	return r < 0 ? r : keys_remove(call->manager, call->params[0], call->params[1], destroy, e);
}
