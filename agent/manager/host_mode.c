/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/host_mode.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "manager/hosts_internal.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/store.h"

static bool mode_is(const json_t *document, const char *mode)
{
	return strcmp(json_text(document, "mode"), mode) == 0;
}

int host_mode_tell(struct manager *m, const char *host, struct error *e)
{
	_cleanup_json_ json_t *document = NULL, *args = NULL;
	struct channel_failure why = { .key_reason = "" };
	int r = host_get(m->store, host, &document, e);

	if (r < 0)
		return r;
	args = json_pack("{s:s}", "mode", json_text(document, "mode"));
	if (!args)
		return error_oom(e);
	r = link_ask(m, host, "mode.set", args, LINK_ASK_MS, NULL, &why);
	if (r < 0 && r != -ENOTCONN && e)
		*e = why.error;
	return r == -ENOTCONN ? 0 : r;
}

int host_mode_rebooted(json_t *document, struct error *e)
{
	if (!mode_is(document, MODE_PENDING))
		return 0;
	if (json_object_set_new(document, "host_key", json_null()) < 0)
		return error_oom(e);
	return host_set_string(document, "mode", MODE_INCAPABLE, e);
}
