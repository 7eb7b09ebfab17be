/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/disktab.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "host/protocol.h"

#define BLANKS	" \t"

static const struct {
	const char *tag;
	const char *folder;
} device_tags[] = {
	{ "UUID=", "/dev/disk/by-uuid/" },
	{ "LABEL=", "/dev/disk/by-label/" },
	{ "PARTUUID=", "/dev/disk/by-partuuid/" },
	{ "PARTLABEL=", "/dev/disk/by-partlabel/" },
};

int disktab_device_path(const char *device, char **ret)
{
	size_t i, len;

	if (*device == '/') {
		*ret = strdup(device);
		return *ret ? 0 : -ENOMEM;
	}
	for (i = 0; i < ARRAY_SIZE(device_tags); i++) {
		len = strlen(device_tags[i].tag);
		if (strncmp(device, device_tags[i].tag, len) != 0)
			continue;
		if (!device[len] || strchr(device + len, '/'))
			return -EINVAL;
		if (asprintf(ret, "%s%s", device_tags[i].folder, device + len) < 0)
			return -ENOMEM;
		return 0;
	}
	return -EINVAL;
}

struct option_seen {
	bool header, discard, key_loss, read_only, nofail;
};

static const char *take_flag(bool *seen, bool *flag, const char *value)
{
	if (*seen)
		return "is there twice";
	if (value)
		return "takes no value";
	*seen = true;
	*flag = true;
	return NULL;
}

static const char *take_header(struct option_seen *seen, struct disktab_line *line,
			       const char *value)
{
	if (seen->header)
		return "is there twice";
	if (!value || *value != '/' || strlen(value) > PROTOCOL_PATH_MAX)
		return "wants the absolute path of a file";
	seen->header = true;
	line->header = strdup(value);
	return line->header ? NULL : "cannot be kept: out of memory";
}

static const char *take_key_loss(struct option_seen *seen, struct disktab_line *line,
				 const char *value)
{
	if (seen->key_loss)
		return "is there twice";
	if (!value || key_loss_from_name(value, &line->key_loss) < 0)
		return "wants queue or error";
	seen->key_loss = true;
	return NULL;
}

/* What is wrong with an option, or NULL. */
static const char *take_option(struct option_seen *seen, struct disktab_line *line,
			       const char *name, const char *value)
{
	if (!strcmp(name, "header"))
		return take_header(seen, line, value);
	if (!strcmp(name, "key-loss"))
		return take_key_loss(seen, line, value);
	if (!strcmp(name, "discard"))
		return take_flag(&seen->discard, &line->discard, value);
	if (!strcmp(name, "read-only"))
		return take_flag(&seen->read_only, &line->read_only, value);
	if (!strcmp(name, "nofail"))
		return take_flag(&seen->nofail, &line->nofail, value);
	return "is unknown: use header=FILE, discard, key-loss=queue|error, read-only, nofail";
}

static int __attribute__((format(printf, 2, 3)))
line_error(struct disktab_line *line, const char *fmt, ...)
{
	va_list args;
	int r;

	va_start(args, fmt);
	r = vasprintf(&line->error, fmt, args);
	va_end(args);
	if (r < 0) {
		line->error = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int parse_options(struct disktab_line *line, char *options, const char *file)
{
	struct option_seen seen = { 0 };
	const char *wrong;
	char *option, *value;

	while ((option = strsep(&options, ","))) {
		value = strchr(option, '=');
		if (value)
			*value++ = '\0';
		wrong = take_option(&seen, line, option, value);
		if (wrong)
			return line_error(line, "%s line %u: option \"%.64s\" %s", file,
					  line->line, option, wrong);
	}
	return 0;
}

static int parse_name(struct disktab_line *line, const char *name, const char *file)
{
	struct error e = ERROR_NULL;

	if (dm_name_check(name, &e) < 0)
		return line_error(line, "%s line %u: %s", file, line->line, e.text);
	line->name = strdup(name);
	return line->name ? 0 : -ENOMEM;
}

static int parse_device(struct disktab_line *line, const char *device, const char *file)
{
	int r;

	line->device = strndup(device, PROTOCOL_PATH_MAX);
	if (!line->device)
		return -ENOMEM;
	r = strlen(device) > PROTOCOL_PATH_MAX ? -EINVAL :
		disktab_device_path(device, &line->path);
	if (r == -EINVAL)
		return line_error(line, "%s line %u: \"%.64s\" is no device: write an absolute path, UUID=, LABEL=, PARTUUID= or PARTLABEL=",
				  file, line->line, device);
	return r;
}

/* Fields of a line that is not empty; @text is cut up. */
static int parse_fields(struct disktab_line *line, char *text, const char *file)
{
	char *save = NULL;
	char *name = strtok_r(text, BLANKS, &save);
	char *device = strtok_r(NULL, BLANKS, &save);
	char *options = strtok_r(NULL, BLANKS, &save);
	int r;

	r = parse_name(line, name, file);
	if (r < 0 || line->error)
		return r;
	if (!device)
		return line_error(line, "%s line %u: no device after the name %s: write NAME DEVICE [OPTIONS]",
				  file, line->line, name);
	r = parse_device(line, device, file);
	if (r < 0 || line->error)
		return r;
	if (strtok_r(NULL, BLANKS, &save))
		return line_error(line, "%s line %u: more than NAME DEVICE OPTIONS: write options with commas and no blanks between them",
				  file, line->line);
	return options ? parse_options(line, options, file) : 0;
}

static bool has_bad_bytes(const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') ||
		    (unsigned char)text[i] >= 0x7f)
			return true;
	return false;
}

static int check_doubles(struct disktab *tab, struct disktab_line *line, const char *file)
{
	size_t i;

	for (i = 0; i + 1 < tab->n_lines; i++)
		if (line->name && tab->lines[i].name && !strcmp(tab->lines[i].name, line->name))
			return line_error(line, "%s line %u: the name %s stands in line %u already",
					  file, line->line, line->name, tab->lines[i].line);
	return 0;
}

static int add_line(struct disktab *tab, unsigned int number, const char *text, size_t size,
		    const char *file, struct error *e)
{
	_cleanup_free_ char *copy = strndup(text, size);
	struct disktab_line *lines;
	int r;

	if (tab->n_lines >= DISKTAB_LINES_MAX)
		return error_fail(e, -E2BIG,
				 "Cannot read %s: it has more than %u disks; take some out",
				 file, DISKTAB_LINES_MAX);
	lines = reallocarray(tab->lines, tab->n_lines + 1, sizeof(*lines));
	if (!copy || !lines) {
		if (lines)
			tab->lines = lines;
		return error_oom(e);
	}
	tab->lines = lines;
	lines += tab->n_lines++;
	*lines = (struct disktab_line){ .line = number };
	if (has_bad_bytes(text, size))
		r = line_error(lines, "%s line %u: it has bytes that are no printable ASCII", file,
			       number);
	else
		r = parse_fields(lines, copy, file);
	if (!r && !lines->error)
		r = check_doubles(tab, lines, file);
	if (r < 0)
		return error_oom(e);
	return 0;
}

static bool is_blank(char c)
{
	return c && strchr(BLANKS, c);
}

int disktab_parse(const char *text, size_t size, const char *file, struct disktab *ret,
		  struct error *e)
{
	struct disktab tab = { 0 };
	unsigned int number = 0;
	size_t begin, end, next;
	int r;

	for (begin = 0; begin < size; begin = next + 1) {
		for (next = begin; next < size && text[next] != '\n'; next++)
			;
		number++;
		end = next;
		while (begin < end && is_blank(text[begin]))
			begin++;
		while (end > begin && (is_blank(text[end - 1]) || text[end - 1] == '\r'))
			end--;
		if (begin == end || text[begin] == '#')
			continue;
		r = add_line(&tab, number, text + begin, end - begin, file, e);
		if (r < 0) {
			disktab_done(&tab);
			return r;
		}
	}
	*ret = tab;
	return 0;
}

int disktab_load(const char *path, struct disktab *ret, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = file_read_bounded(path, DISKTAB_SIZE_MAX, &text, &size, e);
	if (r == -ENOENT) {
		*e = ERROR_NULL;
		*ret = (struct disktab){ 0 };
		return 0;
	}
	if (r < 0)
		return r;
	return disktab_parse(text, size, path, ret, e);
}

void disktab_done(struct disktab *tab)
{
	size_t i;

	for (i = 0; i < tab->n_lines; i++) {
		free(tab->lines[i].name);
		free(tab->lines[i].device);
		free(tab->lines[i].path);
		free(tab->lines[i].header);
		free(tab->lines[i].error);
	}
	free(tab->lines);
	*tab = (struct disktab){ 0 };
}
