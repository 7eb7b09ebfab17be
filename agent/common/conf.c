// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/conf.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fileio.h"

#define CONF_SIZE_MAX ((size_t) 64 * 1024)

/* Where the reader stands: for errors, and for "in which section is this". */
struct reader {
	const char *path;
	unsigned int line;
	const char *section;
	const struct conf_item *items;
	bool *seen;
};

static int refuse(const struct reader *reader, struct error *e, const char *why, const char *what)
{
	return error_fail(e, EINVAL, "%s:%u: %s%s%.128s%s", reader->path, reader->line, why,
			  what ? " \"" : "", what ? what : "", what ? "\"" : "");
}

static char *strip(char *text)
{
	size_t n;

	text += strspn(text, " \t\r");
	for (n = strlen(text); n > 0 && strchr(" \t\r", text[n - 1]); n--)
		;
	text[n] = '\0';
	return text;
}

static int enter_section(struct reader *reader, char *line, struct error *e)
{
	const struct conf_item *item;
	size_t n = strlen(line);

	if (line[n - 1] != ']')
		return refuse(reader, e, "Section without ']':", line);
	line[n - 1] = '\0';
	for (item = reader->items; item->section; item++)
		if (strcmp(item->section, line + 1) == 0)
			break;
	if (!item->section)
		return refuse(reader, e, "Unknown section", line + 1);
	reader->section = item->section;
	return 0;
}

static int assign(struct reader *reader, char *line, struct error *e)
{
	const struct conf_item *item;
	char *equals = strchr(line, '=');
	const char *key, *value;

	if (!equals)
		return refuse(reader, e, "Expected KEY=value, found", line);
	if (!reader->section)
		return refuse(reader, e, "A [section] has to come first, found", line);
	*equals = '\0';
	key = strip(line);
	value = strip(equals + 1);

	for (item = reader->items; item->section; item++)
		if (strcmp(item->section, reader->section) == 0 && strcmp(item->key, key) == 0)
			break;
	if (!item->section)
		return refuse(reader, e, "Unknown key", key);
	if (reader->seen[item - reader->items])
		return refuse(reader, e, "This key comes twice:", key);
	reader->seen[item - reader->items] = true;

	if (item->parse(value, item->target) < 0)
		return error_fail(e, EINVAL, "%s:%u: %s= expects %s, not \"%.128s\"", reader->path,
				  reader->line, key, item->expects, value);
	return 0;
}

static int read_line(struct reader *reader, char *line, struct error *e)
{
	line = strip(line);
	if (*line == '\0' || *line == '#' || *line == ';')
		return 0;
	if (*line == '[')
		return enter_section(reader, line, e);
	return assign(reader, line, e);
}

int conf_load(const char *path, const struct conf_item *items, bool optional, struct error *e)
{
	struct reader reader = { .path = path, .items = items };
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ bool *seen = NULL;
	char *line, *next;
	size_t size, n = 0;
	int r;

	r = file_read_bounded(path, CONF_SIZE_MAX, &text, &size, e);
	if (r == -ENOENT && optional) {
		if (e)
			*e = ERROR_NULL;
		return 0;
	}
	if (r < 0)
		return r;
	if (strlen(text) != size)
		return error_fail(e, EINVAL, "%s: not a text file, it holds a zero byte", path);

	while (items[n].section)
		n++;
	seen = calloc(n + 1, sizeof(*seen));
	if (!seen)
		return error_oom(e);
	reader.seen = seen;

	for (line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		reader.line++;
		r = read_line(&reader, line, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int conf_string(const char *value, void *target)
{
	char **text = target;
	char *copy;

	if (!*value)
		return -EINVAL;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

int conf_path(const char *value, void *target)
{
	if (value[0] != '/' || strlen(value) >= PATH_MAX)
		return -EINVAL;
	return conf_string(value, target);
}

int conf_bool(const char *value, void *target)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "yes", true }, { "true", true }, { "on", true }, { "1", true },
		{ "no", false }, { "false", false }, { "off", false }, { "0", false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i].word, value) == 0) {
			*(bool *) target = words[i].value;
			return 0;
		}
	return -EINVAL;
}

int conf_uint(const char *value, void *target)
{
	unsigned long n;
	char *end;

	if (*value < '0' || *value > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(value, &end, 10);
	if (*end != '\0')
		return -EINVAL;
	if (errno == ERANGE || n > UINT_MAX)
		return -ERANGE;
	*(unsigned int *) target = (unsigned int) n;
	return 0;
}
