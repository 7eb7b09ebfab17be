/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations on this host's manager. */
#include "host/ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "common/jointoken.h"
#include "host/join.h"
#include "host/link.h"

/* A token is a line of a file; what is longer is none. */
#define TOKEN_SIZE_MAX	256

static json_t *time_or_null(int64_t seconds)
{
	char text[TIME_TEXT_SIZE];

	if (!seconds)
		return json_null();
	time_format(seconds, text);
	return json_string(text);
}

json_t *ops_manager_json(const struct link_view *view)
{
	bool trouble = !view->connected && error_is_set(&view->trouble);

	if (!view->joined)
		return json_null();
	return json_pack("{s:s, s:s, s:s?, s:b, s:o, s:o, s:s, s:s, s:o}", "url", view->url,
			 "host", view->host, "name", view->name[0] ? view->name : NULL,
			 "connected", view->connected,
			 "connected_since", time_or_null(view->connected_since),
			 "certificate_end", time_or_null(view->certificate_end),
			 "mode", host_mode_name(view->mode),
			 "protection", view->sealed ? "tpm" : "unsealed",
			 "trouble", trouble ? json_string_printable(view->trouble.text) :
					      json_null());
}

int op_host_show(struct call *call, json_t **ret_result, struct error *e)
{
	struct link_view view;

	(void)e;
	link_look(call->host->link, &view);
	*ret_result = json_pack("{s:o}", "manager", ops_manager_json(&view));
	return 0;
}

static int begin(struct call *call, const char *object, struct event_record *ret, struct error *e)
{
	return events_begin(call->host->events,
			    &(struct event){ .user = call->user, .operation = call->op->name,
					     .object = object },
			    ret, e);
}

static int read_token(int fd, struct jointoken *ret, struct error *e)
{
	_cleanup_secret_ struct secret text = SECRET_NULL;
	int r;

	r = file_read_secret(fd, "the token", TOKEN_SIZE_MAX, &text, e);
	return r < 0 ? r : jointoken_parse((const char *)text.data, text.size, ret, e);
}

static int do_join(struct call *call, struct error *e)
{
	_cleanup_jointoken_ struct jointoken token = JOINTOKEN_NULL;
	const char *name = call_text(call, "name");
	char hostname[JOINTOKEN_NAME_MAX + 1];
	int r;

	if (!name && join_default_name(hostname) < 0)
		return error_usage(e, "This machine's name cannot be the host's: say one with --name");
	r = read_token(call->fds[0], &token, e);
	return r < 0 ? r : link_join(call->host->link, call_text(call, "url"),
				     name ? name : hostname, &token, e);
}

int op_host_join(struct call *call, json_t **ret_result, struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	const char *url = call_text(call, "url");
	int r;

	r = begin(call, url, &record, e);
	if (r == 0)
		r = do_join(call, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, "Cannot join the manager %s", url);
	return op_host_show(call, ret_result, e);
}

/* Disks whose key this host could not have again. */
static int check_use(struct host *host, struct error *e)
{
	_cleanup_free_ struct provider_info *list = NULL;
	char what[256] = "something";
	size_t n, i;
	int r;

	r = provider_list(host->providers, &list, &n, e);
	for (i = 0; r == 0 && i < n; i++) {
		if (!list[i].managed && list[i].sealing != SEALING_KEY_SERVER)
			continue;
		r = ops_provider_in_use(host, list[i].id, what, sizeof(what), e);
		if (r > 0)
			return error_fail(e, EBUSY, "%s uses the manager's provider \"%s\", and could not be attached here any more: move it away first, or say --force",
					  what, list[i].name);
	}
	return r;
}

int op_host_leave(struct call *call, json_t **ret_result, struct error *e)
{
	struct event_record record = EVENT_RECORD_NULL;
	struct link_view view;
	int r;

	link_look(call->host->link, &view);
	if (!view.joined)
		return error_fail(e, ENOENT, "This host has joined no manager");
	r = begin(call, view.url, &record, e);
	if (r == 0 && !call_flag(call, "force"))
		r = check_use(call->host, e);
	if (r == 0)
		r = link_leave(call->host->link, e);
	events_end(call->host->events, &record, r < 0 ? e : NULL);
	if (r < 0)
		return error_prefix(e, "Cannot leave the manager %s", view.url);
	*ret_result = json_pack("{s:s, s:s}", "url", view.url, "host", view.host);
	return 0;
}
