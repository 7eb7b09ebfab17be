/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/call.h"

#include <errno.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/json.h"
#include "common/log.h"
#include "host/callstart.h"
#include "host/client.h"
#include "host/link.h"
#include "host/server.h"
#include "vmcrypt.h"

static struct call *from_work(struct work *work)
{
	return (struct call *)((char *)work - offsetof(struct call, work));
}

static json_t *id_json(int64_t id)
{
	return id < 0 ? json_null() : json_integer(id);
}

json_t *answer_failed(int64_t id, const struct error *e)
{
	return json_pack("{s:o, s:b, s:{s:i, s:s, s:s?, s:o}}", "id", id_json(id), "ok", 0,
			 "error", "status", e->status == EXIT_DONE ? EXIT_FAILED : e->status,
			 "errno", error_name(e->code), "reason", error_reason_word(e->reason),
			 "text", json_string_printable(e->text));
}

json_t *answer_done(int64_t id, json_t *result)
{
	return json_pack("{s:o, s:b, s:O}", "id", id_json(id), "ok", 1, "result", result);
}

const char *call_text(const struct call *call, const char *name)
{
	return json_string_value(json_object_get(call->args, name));
}

bool call_flag(const struct call *call, const char *name)
{
	return json_is_true(json_object_get(call->args, name));
}

uint64_t call_number(const struct call *call, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(call->args, name));
}

bool call_given_up(struct call *call)
{
	return work_is_expired(&call->work);
}

void call_progress(struct call *call, unsigned int step, unsigned int steps, const char *phase,
		   const char *text)
{
	if (!call->client || call_given_up(call))
		return;
	client_send(call->client,
		    json_pack("{s:I, s:{s:i, s:i, s:s, s:o}}", "id", (json_int_t)call->id,
			      "progress", "step", (int)step, "steps", (int)steps, "phase", phase,
			      "text", json_string_printable(text)));
}

int call_event(struct call *call, const char *text, size_t size)
{
	return client_send_event(call->client, call->id, text, size);
}

/* The login that a process goes back to, through su and sudo; "" when unknown. */
static void login_name(pid_t pid, uid_t uid, char *ret, size_t size)
{
	_cleanup_free_ char *text = NULL;
	struct passwd pw, *found = NULL;
	unsigned long login;
	char path[64], buffer[4096];

	ret[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/loginuid", (int)pid);
	if (file_read_bounded(path, 64, &text, NULL, NULL) < 0)
		return;
	login = strtoul(text, NULL, 10);
	if (login == UINT32_MAX || login == uid)
		return;
	if (getpwuid_r((uid_t)login, &pw, buffer, sizeof(buffer), &found) == 0 && found)
		snprintf(ret, size, " (login %.48s)", found->pw_name);
	else
		snprintf(ret, size, " (login uid %lu)", login);
}

/* In the worker: the name service may be slow. */
static void find_user(struct call *call)
{
	const struct client *client = call->client;
	struct passwd pw, *found = NULL;
	char buffer[4096], login[64];

	login_name(client->pid, client->uid, login, sizeof(login));
	if (getpwuid_r(client->uid, &pw, buffer, sizeof(buffer), &found) == 0 && found)
		snprintf(call->user, sizeof(call->user), "%.48s%s", found->pw_name, login);
	else
		snprintf(call->user, sizeof(call->user), "uid %u%s", (unsigned int)client->uid,
			 login);
}

static void run(struct work *work)
{
	struct call *call = from_work(work);
	struct error e = ERROR_NULL;
	json_t *result = NULL;

	if (call->client)
		find_user(call);
	if (call->op->run(call, &result, &e) == 0 && !result && !call->follow)
		error_oom(&e);
	if (error_is_set(&e)) {
		json_decref(result);
		call->e = e;
	} else {
		call->result = result;
	}
}

static void answer(struct call *call, json_t *result, const struct error *e)
{
	if (call->client)
		client_send(call->client, error_is_set(e) ? answer_failed(call->id, e) :
							     answer_done(call->id, result));
	else if (call->remote)
		call->remote(result, e, call->userdata);
	call->remote = NULL;
}

static void done(struct work *work)
{
	struct call *call = from_work(work);

	if (error_is_set(&call->e))
		log_notice("%s by %s failed: %s", call->op->name, call->user, call->e.text);
	if (error_is_set(&call->e) || !call->follow)
		answer(call, call->result, &call->e);
	if (call->op->privilege == PRIVILEGE_CHANGE)
		link_report_soon(call->host->link);
}

static void expired(struct work *work)
{
	struct call *call = from_work(work);
	struct error e;

	error_fail(&e, ETIMEDOUT,
		   "%s has not ended within %u s: a device or the TPM does not answer. It may still take place; see vmcryptctl event list",
		   call->op->name, call->work.deadline_s);
	log_warning("%s", e.text);
	answer(call, NULL, &e);
}

static void let_go(struct client *client)
{
	client->calls--;
	if (client->has < PRIVILEGE_CHANGE)
		client->server->others_calls--;
	client_unref(client);
}

static void release(struct work *work)
{
	struct call *call = from_work(work);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(call->fds); i++)
		close_fd(call->fds[i]);
	json_decref(call->args);
	json_decref(call->result);
	if (call->client)
		let_go(call->client);
	free(call);
}

static int check_files(const struct client *client, const struct op *op, bool last,
		       struct error *e)
{
	if (client->n_fds < op->files || (last && client->n_fds > op->files))
		return error_usage(e, "%s wants %u files with the request, not %zu", op->name,
				   op->files, client->n_fds);
	return 0;
}

static void take_files(struct call *call, struct client *client)
{
	size_t i, left;

	for (i = 0; i < ARRAY_SIZE(call->fds); i++)
		call->fds[i] = i < call->op->files ? client->fds[i] : -1;
	left = client->n_fds - call->op->files;
	for (i = 0; i < left; i++)
		client->fds[i] = client->fds[i + call->op->files];
	client->n_fds = left;
}

static int submit(struct client *client, struct call *call, struct error *e)
{
	int r;

	if (client) {
		client->calls++;
		if (client->has < PRIVILEGE_CHANGE)
			client->server->others_calls++;
		client_ref(client);
	}
	r = workers_submit(call->host->operations, &call->work);
	if (r == 0)
		return 0;
	error_fail(e, r, "%s is not begun: too much is under way (%s); try again",
			  call->op->name, strerror(-r));
	release(&call->work);
	return r;
}

/* All that the worker reads has to be there before it begins. */
static struct call *call_new(struct host *host, const struct request *request)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->host = host;
	call->op = request->op;
	call->work = (struct work){
		.deadline_s = request->op->deadline_s,
		.run = run, .done = done, .expired = expired, .release = release,
	};
	call->args = json_incref(request->args);
	return call;
}

int call_start(struct client *client, struct request *request, bool last, struct error *e)
{
	struct call *call;
	int r;

	r = op_check_privilege(request->op, client->has, e);
	if (r == 0)
		r = check_files(client, request->op, last, e);
	if (r < 0)
		return r;
	if (client->has < PRIVILEGE_CHANGE &&
	    client->server->others_calls * 2 >= client->server->host->conf.workers + 1)
		return error_fail(e, EAGAIN, "%s is not begun: too many requests of users other than root are under way; try again",
				  request->op->name);
	if (client->calls >= SERVER_CALLS_MAX)
		return error_fail(e, EAGAIN, "%s is not begun: %d requests of this client are under way",
				  request->op->name, SERVER_CALLS_MAX);
	call = call_new(client->server->host, request);
	if (!call)
		return error_oom(e);
	call->client = client;
	call->id = request->id;
	take_files(call, client);
	return submit(client, call, e);
}

int call_start_remote(struct host *host, const struct request *request, const char *user,
		      void (*remote)(json_t *result, const struct error *e, void *userdata),
		      void *userdata, struct error *e)
{
	struct call *call = call_new(host, request);
	size_t i;

	if (!call)
		return error_oom(e);
	call->remote = remote;
	call->userdata = userdata;
	snprintf(call->user, sizeof(call->user), "%s", user);
	for (i = 0; i < ARRAY_SIZE(call->fds); i++)
		call->fds[i] = -1;
	return submit(/* client= */ NULL, call, e);
}
