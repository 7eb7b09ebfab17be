// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/connection.h"
#include "cli/progress.h"
#include "cli/secret_source.h"
#include "common/cleanup.h"
#include "common/fileio.h"
#include "host/protocol.h"

/* The longest step of the agent waits for storage or for another process. */
#define SILENCE_MAX_MS (5 * 60 * 1000)

/* jansson leaves characters above 0x7e as they are; a terminal might obey. */
#define JSON_SAFE JSON_ENSURE_ASCII

/**
 * struct exchange - one request on its way
 * @call: what was asked for
 * @fds: descriptors that go with the request, in the protocol's order; owned
 * @n_fds: how many
 * @out: where results go
 * @progress: where progress goes
 * @output: the file that the agent writes, one of @fds; -1: none was made
 * @sent: the agent may have got the request
 * @answered: the agent said whether the operation took place
 */
struct exchange {
	const struct cli_call *call;
	int fds[PROTOCOL_FDS_MAX];
	size_t n_fds;
	FILE *out;
	struct cli_progress progress;
	int output;
	bool sent;
	bool answered;
};

static void exchange_done(struct exchange *x)
{
	while (x->n_fds > 0)
		close_fd(x->fds[--x->n_fds]);
}

#define _cleanup_exchange_ __attribute__((cleanup(exchange_done)))

static int open_input(const char *path, int *ret_fd, struct error *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return error_fail(e, errno, "Cannot open %s: %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* The name is on stable storage before the agent counts on the file. */
int cli_create_output(const char *path, int *ret_fd, struct error *e)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return error_fail(e, EEXIST, "%s exists already. Name another file; a file with keys is never written over",
				  path);
	if (fd < 0)
		return error_fail(e, errno, "Cannot make %s: %s", path, strerror(errno));
	r = file_sync_parent(path, e);
	if (r < 0) {
		unlink(path);
		return r;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int collect_fds(struct exchange *x, struct error *e)
{
	const struct cli_call *call = x->call;
	int secret = -1, r = 0;

	/* The password first in time: a mistyped one leaves no file behind. */
	if (call->command->secret != CLI_SECRET_NONE)
		r = cli_secret_open(call, &secret, e);
	if (r == 0 && call->in_file) {
		r = open_input(call->in_file, &x->fds[x->n_fds], e);
		x->n_fds += r == 0;
	}
	if (r == 0 && call->out_file) {
		r = cli_create_output(call->out_file, &x->output, e);
		if (r == 0)
			x->fds[x->n_fds++] = x->output;
	}
	if (secret >= 0)
		x->fds[x->n_fds++] = secret;
	return r;
}

static void print_json(FILE *out, const json_t *value, size_t flags)
{
	json_dumpf(value, out, flags | JSON_SAFE);
	fputc('\n', out);
	fflush(out);
}

static int take_event(struct exchange *x, const json_t *event, struct error *e)
{
	const struct cli_command *c = x->call->command;

	if (!c->show_event)
		return error_fail(e, EPROTO, "The agent sent an event that %s %s does not ask for",
				  c->noun, c->verb ? c->verb : "");
	if (x->call->json) {
		print_json(x->out, event, JSON_COMPACT);
	} else {
		c->show_event(x->out, event);
		fflush(x->out);
	}
	if (ferror(x->out))
		return error_fail(e, EIO, "The events could not be written");
	return 0;
}

int cli_verdict(const struct cli_command *c, const json_t *result)
{
	const json_t *verdict = c->verdict ? json_object_get(result, c->verdict) : NULL;
	const char *word = json_string_value(verdict);

	return json_is_false(verdict) || (word && strcmp(word, "red") == 0) ? EXIT_FAILED : EXIT_DONE;
}

static int take_result(struct exchange *x, const json_t *result)
{
	const struct cli_command *c = x->call->command;

	if (!x->call->json)
		c->show(x->out, result);
	else if (!c->show_event)
		print_json(x->out, result, JSON_INDENT(2));
	return cli_verdict(c, result);
}

static int take_error(struct exchange *x, const struct wire_message *m,
		      struct error *e)
{
	_cleanup_json_ json_t *document = NULL;

	error_set(e, EREMOTEIO, (enum exit_status)wire_status(m), /* reason= */ 0,
		  "%s", json_string_value(json_object_get(m->body, "text")));
	document = x->call->json ? json_pack("{s:O}", "error", m->body) : NULL;
	if (document)
		print_json(x->out, document, JSON_INDENT(2));
	return (int)e->status;
}

/* Until the request is answered; events that are followed never end. */
static int converse(struct exchange *x, int fd, struct error *e)
{
	_cleanup_buffer_ struct wire_buffer buffer = { 0 };
	bool follow = json_is_true(json_object_get(x->call->args, "follow"));
	int r;

	for (;;) {
		_cleanup_message_ struct wire_message m = { 0 };

		r = cli_receive(fd, &buffer, follow ? -1 : SILENCE_MAX_MS, &m, e);
		if (r < 0)
			return r;
		if (m.type == WIRE_PROGRESS) {
			cli_progress_show(&x->progress, m.body);
			continue;
		}
		cli_progress_end(&x->progress);
		if (m.type == WIRE_EVENT) {
			r = take_event(x, m.body, e);
			if (r < 0)
				return r;
			continue;
		}
		x->answered = true;
		return m.type == WIRE_DONE ? take_result(x, m.body) :
					     take_error(x, &m, e);
	}
}

static int check_output(const struct cli_call *call, int fd, struct error *e)
{
	struct stat st;

	if (fsync(fd) < 0 || fstat(fd, &st) < 0)
		return error_fail(e, errno, "Cannot write %s to stable storage: %s",
				  call->out_file, strerror(errno));
	if (st.st_size == 0)
		return error_fail(e, EIO, "The agent said that it wrote %s, but the file is empty",
				  call->out_file);
	return 0;
}

/* A file whose fate is unknown stays: it may be the backup that counts. */
static int settle_output(const struct exchange *x, int status, struct error *e)
{
	const char *path = x->call->out_file;

	if (x->output < 0)
		return status;
	if (status == EXIT_DONE)
		return check_output(x->call, x->output, e) < 0 ? EXIT_FAILED : status;
	if (x->sent && !x->answered)
		error_prefix(e, "%s was left as it is", path);
	else if (unlink(path) < 0)
		error_prefix(e, "%s was left behind (%s)", path, strerror(errno));
	return status;
}

static int run_request(struct exchange *x, struct error *e)
{
	_cleanup_close_ int fd = -1;
	int r;

	r = cli_connect(x->call->socket, &fd, e);
	if (r == 0)
		r = collect_fds(x, e);
	if (r < 0)
		return r;
	x->sent = true;
	r = cli_send(fd, x->call->command->op, x->call->args, x->fds, x->n_fds, e);
	return r < 0 ? r : converse(x, fd, e);
}

int cli_run(const struct cli_call *call, FILE *out, FILE *err, struct error *e)
{
	_cleanup_exchange_ struct exchange x = {
		.call = call,
		.out = out,
		.output = -1,
		.progress = { .out = err, .terminal = isatty(fileno(err)) == 1 },
	};
	int status, r;

	r = run_request(&x, e);
	cli_progress_end(&x.progress);
	status = r < 0 ? (int)e->status : r;
	if (r < 0 && call->json)
		cli_print_error(out, e);
	status = settle_output(&x, status, e);
	if ((fflush(out) != 0 || ferror(out)) && status == EXIT_DONE) {
		error_fail(e, EIO, "The result could not be written: %s", strerror(errno));
		status = EXIT_FAILED;
	}
	return status;
}

void cli_print_error(FILE *out, const struct error *e)
{
	_cleanup_json_ json_t *document = NULL;

	document = json_pack("{s:{s:i, s:s, s:n, s:s}}", "error",
			     "status", (int)e->status,
			     "errno", error_name(e->code),
			     "reason",
			     "text", e->text);
	if (document)
		print_json(out, document, JSON_INDENT(2));
}
