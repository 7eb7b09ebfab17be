// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/event_pages.h"
#include "cli/manager_files.h"
#include "cli/rest.h"
#include "cli/run.h"
#include "cli/secret_source.h"
#include "common/cleanup.h"
#include "common/encode.h"
#include "common/fileio.h"

#define TOKEN_MAX	4096U	/* bytes */

static bool has_body(const char *route)
{
	return strncmp(route, "GET ", 4) != 0 && strncmp(route, "DELETE ", 7) != 0;
}

/* What a member is in a path or a query. */
static char *word_of(const json_t *value)
{
	_cleanup_free_ char *text = NULL;

	if (json_is_string(value))
		return rest_escape(json_string_value(value));
	text = json_dumps(value, JSON_ENCODE_ANY);
	return text ? rest_escape(text) : NULL;
}

static int print_member(FILE *out, json_t *args, const char *name, size_t size)
{
	char key[64];
	_cleanup_free_ char *word = NULL;

	if (size >= sizeof(key))
		return -EINVAL;
	memcpy(key, name, size);
	key[size] = '\0';
	word = word_of(json_object_get(args, key));
	if (!word)
		return -ENOMEM;
	fputs(word, out);
	json_object_del(args, key);
	return 0;
}

static int print_path(FILE *out, const char *path, json_t *args)
{
	int r = 0;

	while (r == 0 && *path) {
		size_t size = strcspn(path, "{");

		fwrite(path, 1, size, out);
		path += size;
		if (*path != '{')
			break;
		size = strcspn(++path, "}");
		r = print_member(out, args, path, size);
		path += size + 1;
	}
	return r;
}

static int print_query(FILE *out, json_t *args)
{
	const char *key, *before = "?";
	json_t *value;

	json_object_foreach(args, key, value) {
		_cleanup_free_ char *word = word_of(value);

		if (!word)
			return -ENOMEM;
		fprintf(out, "%s%s=%s", before, key, word);
		before = "&";
	}
	return 0;
}

int manager_path(const char *route, json_t *args, char **ret, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r;

	if (!out)
		return error_oom(e);
	r = print_path(out, strchr(route, ' ') + 1, args);
	if (r == 0 && !has_body(route))
		r = print_query(out, args);
	if (fclose(out) != 0 || r < 0)
		return error_oom(e);
	*ret = TAKE_PTR(text);
	return 0;
}

static int token_path(const struct cli_call *call, char **ret, struct error *e)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char *path = NULL;
	int r;

	if (call->token_file)
		r = asprintf(&path, "%s", call->token_file);
	else if (dir && *dir == '/')
		r = asprintf(&path, "%s/vmcrypt-session", dir);
	else
		return error_usage(e, "There is no XDG_RUNTIME_DIR to keep the session's token in: name a file by --token-file");
	if (r < 0)
		return error_oom(e);
	*ret = path;
	return 0;
}

/* A session's token, or none where a certificate says who asks. */
int manager_read_token(const struct cli_call *call, struct secret *ret, struct error *e)
{
	_cleanup_free_ char *path = NULL;
	int r;

	r = token_path(call, &path, e);
	if (r == 0 && path && access(path, F_OK) < 0 && errno == ENOENT)
		r = call->certificate || call->command->open ? 0 :
			error_set(e, ENOENT, EXIT_NOT_ALLOWED, /* reason= */ 0,
				  "There is no session (%s): log in by \"vmcryptctl --manager %s session create USER\"",
				  path, call->manager);
	else if (r == 0)
		r = file_read_secret_path(path, TOKEN_MAX, ret, e);
	else if (call->certificate || call->command->open)
		r = 0;
	while (r == 0 && ret->size > 0 && ret->data[ret->size - 1] == '\n')
		secret_shrink(ret, ret->size - 1);
	return r;
}

static int keep_token(const struct cli_call *call, json_t *answer, struct error *e)
{
	const char *token = json_string_value(json_object_get(answer, "token"));
	_cleanup_free_ char *path = NULL;
	int r;

	if (!token || strlen(token) > TOKEN_MAX)
		return error_fail(e, EPROTO, "The manager at %s answered without a token", call->manager);
	r = token_path(call, &path, e);
	if (r == 0)
		r = file_write_atomic(path, token, strlen(token), 0600, e);
	/* From here on the file has it; the answer is printed. */
	json_object_del(answer, "token");
	return r;
}

static int add_from(int fd, const char *key, json_t *body, struct error *e)
{
	_cleanup_secret_ struct secret password = SECRET_NULL;
	json_t *text;
	int r;

	r = file_read_password(fd, "the password", &password, e);
	if (r < 0)
		return r;
	/* freed memory is erased in this program */
	text = json_stringn((const char *)password.data, password.size);
	if (!text)
		return error_usage(e, "The password must be UTF-8");
	return json_object_set_new(body, key, text) < 0 ? error_oom(e) : 0;
}

static int add_password(const struct cli_call *call, json_t *body, struct error *e)
{
	enum cli_secret secret = call->command->secret;
	_cleanup_close_ int fd = -1, new_fd = -1;
	int r;

	if (secret == CLI_SECRET_NONE)
		return 0;
	if (secret == CLI_SECRET_USER && !json_is_string(json_object_get(body, "user")))
		return call->secret_file || call->secret_fd >= 0 ?
			error_usage(e, "The password is a user's: name the user by --user") : 0;
	if (secret == CLI_SECRET_NEW_OR_CERTIFICATE && json_object_get(body, "certificate") &&
	    !call->secret_file && call->secret_fd < 0)
		return 0;
	r = cli_secret_open(call, &fd, e);
	if (r == 0)
		r = add_from(fd, "password", body, e);
	if (r < 0 || secret != CLI_SECRET_CHANGE)
		return r;
	r = cli_secret_open_new(call, &new_fd, e);
	return r < 0 ? r : add_from(new_fd, "new_password", body, e);
}

/* The UUID of the object that has this name. */
static int look_up(const struct rest_target *target, const char *kind, const char *name,
		   json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *answer = NULL;
	char path[66], plural[64];
	json_t *object;
	size_t i;
	int r;

	snprintf(plural, sizeof(plural), "%ss", kind);
	snprintf(path, sizeof(path), "/%s", plural);
	r = rest_call(target, "GET", path, /* body= */ NULL, &answer, e);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(answer, plural), i, object) {
		const char *its = json_string_value(json_object_get(object, "name"));

		if (its && strcmp(its, name) == 0) {
			*ret = json_incref(json_object_get(object, "id"));
			return *ret ? 0 : error_fail(e, EPROTO, "The manager's %s has no id", kind);
		}
	}
	return error_fail(e, ENOENT, "There is no %s \"%s\" that you may see: \"%s list\" has them",
			  kind, name, kind);
}

static int resolve(const struct rest_target *target, const struct cli_param *params,
		   json_t *args, struct error *e)
{
	int r = 0;

	for (const struct cli_param *p = params; r == 0 && p->name; p++) {
		const char *word = json_string_value(json_object_get(args, p->name));
		_cleanup_json_ json_t *id = NULL;
		uint8_t uuid[UUID_SIZE];

		if (p->kind != CLI_REFERENCE || !word || uuid_parse_text(word, uuid) == 0)
			continue;
		r = look_up(target, p->name, word, &id, e);
		if (r == 0 && json_object_set(args, p->name, id) < 0)
			r = error_oom(e);
	}
	return r;
}

const char *manager_route(const struct cli_call *call)
{
	/* None of these options has a member of another name. */
	for (const struct cli_param *p = call->command->options; p->name; p++)
		if (p->route && json_object_get(call->args, p->name))
			return p->route;
	return call->command->route;
}

static struct rest_target target_of(const struct cli_call *call)
{
	return (struct rest_target) {
		.url = call->manager,
		.ca = call->ca,
		.certificate = call->certificate,
		.certificate_key = call->certificate_key ? call->certificate_key : call->certificate,
	};
}

/* The session, and the objects that names stand for. */
static int prepare(const struct cli_call *call, struct rest_target *target, struct error *e)
{
	int r = call->command->keeps_token ? 0 : manager_read_token(call, &target->token, e);

	if (r == 0)
		r = resolve(target, call->command->positionals, call->args, e);
	if (r == 0)
		r = resolve(target, call->command->options, call->args, e);
	return r;
}

static int request(const struct cli_call *call, json_t **ret, struct error *e)
{
	const char *route = manager_route(call);
	struct rest_target target = target_of(call);
	_cleanup_free_ char *path = NULL, *method = strndup(route, strcspn(route, " "));
	int r;

	if (!method)
		return error_oom(e);
	r = prepare(call, &target, e);
	if (r == 0)
		r = manager_read_files(call, e);
	if (r == 0)
		r = manager_path(route, call->args, &path, e);
	if (r == 0)
		r = add_password(call, call->args, e);
	if (r == 0)
		r = rest_call(&target, method, path, has_body(route) ? call->args : NULL, ret, e);
	secret_done(&target.token);
	return r;
}

static int run_pages(const struct cli_call *call, FILE *out, FILE *err, struct error *e)
{
	struct rest_target target = target_of(call);
	int r = prepare(call, &target, e);

	if (r == 0)
		r = event_pages_run(call, &target, out, err, e);
	secret_done(&target.token);
	return r;
}

static void show(const struct cli_command *c, FILE *out, const json_t *answer)
{
	if (c->show)
		c->show(out, answer);
	else if (c->member)
		fields_print_list(out, c->columns, c->n_columns,
				  json_object_get(answer, c->member), "There is none.");
	else if (c->n_columns > 0)
		fields_print_object(out, c->columns, c->n_columns, answer);
	else
		fputs("Done.\n", out);
}

static int take_answer(const struct cli_call *call, FILE *out, json_t *answer, struct error *e)
{
	const struct cli_command *c = call->command;
	int r = c->keeps_token ? keep_token(call, answer, e) : 0;

	if (r < 0)
		return r;
	if (!call->json) {
		show(c, out, answer);
	} else {
		json_dumpf(answer ? answer : json_null(), out,
			   JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
		fputc('\n', out);
	}
	if (fflush(out) != 0 || ferror(out))
		return error_fail(e, EIO, "The result could not be written: %s", strerror(errno));
	return cli_verdict(c, answer);
}

/* The file comes first: one that cannot be made costs no token and no backup. */
static int request_to_file(const struct cli_call *call, json_t **ret, struct error *e)
{
	_cleanup_json_ json_t *answer = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (!call->out_file)
		return request(call, ret, e);
	r = cli_create_output(call->out_file, &fd, e);
	if (r < 0)
		return r;
	r = request(call, &answer, e);
	if (r == 0)
		r = manager_save(call, fd, answer, e);
	if (r < 0) {
		unlink(call->out_file);
		return r;
	}
	*ret = TAKE_PTR(answer);
	return 0;
}

static int run_once(const struct cli_call *call, FILE *out, struct error *e)
{
	_cleanup_json_ json_t *answer = NULL;
	int r = request_to_file(call, &answer, e);

	return r < 0 ? r : take_answer(call, out, answer, e);
}

int manager_run(const struct cli_call *call, FILE *out, FILE *err, struct error *e)
{
	int r = call->command->paged ? run_pages(call, out, err, e) : run_once(call, out, e);

	if (r >= 0)
		return r;
	if (call->json)
		cli_print_error(out, e);
	return (int)e->status;
}
