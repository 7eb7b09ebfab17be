// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "common/fileio.h"

#define CONTENT_MAX	((size_t)32 * 1024)	/* bytes; a request holds at most 64 KiB */

static json_t *base64_value(const char *data, size_t size)
{
	_cleanup_free_ char *text = malloc(BASE64_SIZE(size));

	if (!text)
		return NULL;
	base64_encode(data, size, text);
	return json_string(text);
}

static int read_one(const struct cli_param *param, json_t *args, struct error *e)
{
	const char *key = param->member ? param->member : param->name;
	const char *path = json_string_value(json_object_get(args, key));
	_cleanup_free_ char *data = NULL;
	json_t *value;
	size_t size;
	int r;

	if (!path)
		return 0;
	r = file_read_bounded(path, CONTENT_MAX, &data, &size, e);
	if (r < 0)
		return r;
	/* it may be a private key: freed memory is erased in this program */
	value = param->kind == CLI_BASE64_FILE ? base64_value(data, size) :
						 json_stringn(data, size);
	if (!value)
		return error_usage(e, "Cannot send %s: it is not UTF-8 text. Name a PEM file", path);
	return json_object_set_new(args, key, value) < 0 ? error_oom(e) : 0;
}

static int read_some(const struct cli_param *params, json_t *args, struct error *e)
{
	int r = 0;

	for (const struct cli_param *p = params; r == 0 && p->name; p++)
		if (p->kind == CLI_TEXT_FILE || p->kind == CLI_BASE64_FILE)
			r = read_one(p, args, e);
	return r;
}

int manager_read_files(const struct cli_call *call, struct error *e)
{
	int r = read_some(call->command->positionals, call->args, e);

	return r < 0 ? r : read_some(call->command->options, call->args, e);
}

static int write_base64(int fd, const char *text)
{
	size_t length = strlen(text), size = 0;
	_cleanup_free_ uint8_t *data = malloc(length + 1);
	int r;

	if (!data)
		return -ENOMEM;
	r = base64_decode(text, length, data, length, &size);
	return r < 0 ? r : file_write_all(fd, data, size);
}

/* A token that lets a host in is for its file alone: a terminal remembers. */
int manager_save(const struct cli_call *call, int fd, json_t *answer, struct error *e)
{
	const struct cli_command *c = call->command;
	const char *text = json_string_value(json_object_get(answer, c->saved));
	int r;

	if (!text)
		return error_fail(e, EPROTO, "The manager at %s answered without a %s", call->manager,
				  c->saved);
	r = c->saved_base64 ? write_base64(fd, text) : file_write_all(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		return error_fail(e, r, "Cannot write %s: %s. The %s is lost, have another one made",
				  call->out_file, strerror(-r), c->saved);
	json_object_del(answer, c->saved);
	return 0;
}
