/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Operations of the control socket on behalf of the manager's users. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/wakeup.h"
#include "host/call.h"
#include "host/callstart.h"
#include "host/linkstate.h"

/* One that is under way in a worker of the host's. */
struct run {
	struct link *link;
	struct link_order *order;
	const struct op *op;
};

static void fail(struct link *link, struct link_order *order, const struct error *e)
{
	link_answer(link, order, NULL, &(struct channel_failure){ .error = *e });
}

static void run_done(json_t *result, const struct error *e, void *userdata)
{
	struct run *run = userdata;

	if (error_is_set(e))
		fail(run->link, run->order, e);
	else if (run->op->privilege == PRIVILEGE_CHANGE)
		link_answer_reported(run->link, run->order, result);
	else
		link_answer(run->link, run->order, result, NULL);
	free(run);
}

static int parse(const struct link_order *order, struct request *ret, struct error *e)
{
	const json_t *args = order->frame.body;

	ret->op = op_find(json_text(args, "op"));
	ret->args = json_object_get(args, "args");
	if (!ret->op || !ret->op->remote)
		return error_fail(e, EOPNOTSUPP, "A manager cannot run \"%.64s\" on a host",
				  json_text(args, "op"));
	return request_check_args(ret->op, ret->args, e);
}

/* One that the host left meanwhile has no say any more. */
static int check_stands(struct link *link, const struct link_order *order, struct error *e)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	if (link_stands(link, order->connection))
		return 0;
	return error_fail(e, ECONNRESET, "The connection that the order came over has ended");
}

/* In the main loop, which is where work is handed to workers. */
static void start(struct link *link, struct link_order *order)
{
	struct request request = { .id = -1 };
	struct run *run = calloc(1, sizeof(*run));
	struct error e = ERROR_NULL;
	char user[CALL_USER_MAX];
	int r;

	r = run ? check_stands(link, order, &e) : error_oom(&e);
	if (r == 0)
		r = parse(order, &request, &e);
	if (r == 0) {
		*run = (struct run){ .link = link, .order = order, .op = request.op };
		snprintf(user, sizeof(user), "%.100s@manager",
			 json_text(order->frame.body, "user"));
		r = call_start_remote(link->host, &request, user, run_done, run, &e);
	}
	if (r < 0) {
		free(run);
		fail(link, order, &e);
	}
}

static struct link_order *next_run(struct link *link)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);
	struct link_order *order = STAILQ_FIRST(&link->runs);

	if (order)
		STAILQ_REMOVE_HEAD(&link->runs, entry);
	return order;
}

static int on_run(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct link *link = userdata;
	struct link_order *order;
	int r = wakeup_clear(fd);

	(void)source;
	(void)revents;
	if (r < 0)
		return r;
	while ((order = next_run(link)))
		start(link, order);
	return 0;
}

void link_run(struct link *link, struct link_order *order)
{
	_cleanup_unlock_ pthread_mutex_t *lock = mutex_lock(&link->lock);

	STAILQ_INSERT_TAIL(&link->runs, order, entry);
	wakeup_set(link->run_fd);
}

int link_run_init(struct link *link)
{
	int r;

	link->run_fd = wakeup_new();
	if (link->run_fd < 0)
		return link->run_fd;
	if (!link->host->event)
		return 0;
	r = sd_event_add_io(link->host->event, &link->run_source, link->run_fd, EPOLLIN, on_run,
			    link);
	return r < 0 ? r : 0;
}

void link_run_done(struct link *link)
{
	struct link_order *order;

	sd_event_source_disable_unref(link->run_source);
	link->run_fd = close_fd(link->run_fd);
	while ((order = next_run(link)))
		link_answer(link, order, NULL, NULL);
	link_answer_ended(link, &link->ended);
}
