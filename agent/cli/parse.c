// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/parse.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/manager.h"
#include "cli/rest.h"
#include "common/cleanup.h"
#include "host/protocol.h"

/* What getopt_long returns for an option: above all characters. */
enum option_value {
	GLOBAL_HELP = 0x100,
	GLOBAL_CA,
	GLOBAL_CERTIFICATE,
	GLOBAL_CERTIFICATE_KEY,
	GLOBAL_JSON,
	GLOBAL_MANAGER,
	GLOBAL_SOCKET,
	GLOBAL_TOKEN_FILE,
	GLOBAL_VERSION,
	COMMAND_OPTION = 0x200,	/* plus its index */
};

static const struct option global_options[] = {
	{ "ca",              required_argument, NULL, GLOBAL_CA },
	{ "certificate",     required_argument, NULL, GLOBAL_CERTIFICATE },
	{ "certificate-key", required_argument, NULL, GLOBAL_CERTIFICATE_KEY },
	{ "help",            no_argument,       NULL, GLOBAL_HELP },
	{ "json",            no_argument,       NULL, GLOBAL_JSON },
	{ "manager",         required_argument, NULL, GLOBAL_MANAGER },
	{ "socket",          required_argument, NULL, GLOBAL_SOCKET },
	{ "token-file",      required_argument, NULL, GLOBAL_TOKEN_FILE },
	{ "version",         no_argument,       NULL, GLOBAL_VERSION },
};

#define N_GLOBAL_OPTIONS (sizeof(global_options) / sizeof(global_options[0]))

/**
 * struct parser - the state of one cli_parse()
 * @call: what is being filled
 * @argc: arguments not yet consumed, with one before them
 * @argv: these arguments; argv[0] is a consumed one
 * @seen: bit per option of the command that came
 * @positionals: positional arguments of the command that came; %NULL behind them
 * @n_positionals: how many
 * @e: where errors go
 */
struct parser {
	struct cli_call *call;
	int argc;
	char **argv;
	uint32_t seen;
	const char *positionals[CLI_POSITIONALS_MAX + 1];
	unsigned int n_positionals;
	struct error *e;
};

_Static_assert(CLI_OPTIONS_MAX <= 32, "parser.seen has one bit per option");

static int usage_error(const struct parser *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int usage_error(const struct parser *p, const char *format, ...)
{
	const struct cli_command *c = p->call->command;
	const char *noun = c ? c->noun : p->call->noun;
	const char *verb = c && c->verb ? c->verb : "";
	char problem[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(problem, sizeof(problem), format, ap);
	va_end(ap);
	return error_set(p->e, -EINVAL, EXIT_USAGE, /* reason= */ 0,
			 "%s. See: vmcryptctl %s%s%s%s--help", problem,
			 noun ? noun : "", noun ? " " : "",
			 verb, *verb ? " " : "");
}

static bool is_choice(const char *choices, const char *value)
{
	size_t length = strlen(value);

	for (const char *at = choices; at; at = strchr(at, '|')) {
		at += *at == '|';
		if (strcspn(at, "|") == length && memcmp(at, value, length) == 0)
			return true;
	}
	return false;
}

static json_t *number_value(const char *value)
{
	char *end = NULL;
	unsigned long number;

	if (*value == '\0' || value[strspn(value, "0123456789")] != '\0')
		return NULL;
	errno = 0;
	number = strtoul(value, &end, 10);
	if (errno != 0 || number > INT32_MAX)
		return NULL;
	return json_integer((json_int_t)number);
}

static json_t *list_value(const char *value)
{
	_cleanup_json_ json_t *list = json_array();
	size_t length;

	for (const char *at = value; list; at += length + 1) {
		length = strcspn(at, ",");
		if (length == 0 || json_array_append_new(list, json_stringn(at, length)) < 0)
			return NULL;
		if (at[length] == '\0')
			break;
	}
	return TAKE_PTR(list);
}

static json_t *path_value(const char *value)
{
	_cleanup_free_ char *cwd = NULL;

	if (*value == '/')
		return json_string(value);
	cwd = getcwd(NULL, 0);
	if (!cwd || *cwd != '/')
		return NULL;
	return json_sprintf("%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, value);
}

static json_t *json_value(const struct cli_param *param, const char *value)
{
	switch (param->kind) {
	case CLI_FLAG:
		return json_true();
	case CLI_NOT:
		return json_false();
	case CLI_NONE:
		return json_null();
	case CLI_LIST:
		return list_value(value);
	case CLI_NUMBER:
	case CLI_COUNT:
		return number_value(value);
	case CLI_PATH:
		return path_value(value);
	case CLI_OBJECT:
		return strchr(value, '/') ? path_value(value) : json_string(value);
	default:
		return json_string(value);
	}
}

static bool too_long(const struct cli_param *param, const char *value)
{
	bool path = param->kind != CLI_TEXT && param->kind != CLI_REFERENCE &&
		    (param->kind != CLI_OBJECT || strchr(value, '/'));

	/* Each word of a list is held to its bound by who takes it. */
	if (param->kind == CLI_LIST)
		return strlen(value) > PROTOCOL_PATH_MAX;
	return strlen(value) > (path ? PROTOCOL_PATH_MAX : PROTOCOL_NAME_MAX);
}

static int set_member(struct parser *p, const struct cli_param *param,
		      const char *value)
{
	const char *name = param->member ? param->member : param->name;
	char key[32];
	size_t i;
	json_t *json;

	for (i = 0; name[i] && i < sizeof(key) - 1; i++)
		key[i] = name[i] == '-' ? '_' : name[i];
	key[i] = '\0';

	json = json_value(param, value);
	/* Where 0 has no meaning it is a slip. */
	if (param->kind == CLI_NUMBER && json_integer_value(json) == 0) {
		json_decref(json);
		json = NULL;
	}
	if (!json)
		return usage_error(p, param->kind == CLI_NUMBER ?
				   "%s must be a number from 1 to 2147483647, not \"%s\"" :
				   param->kind == CLI_COUNT ?
				   "%s must be a number from 0 to 2147483647, not \"%s\"" :
				   "%s must be UTF-8, and a relative path needs a working directory: \"%s\"",
				   param->value, value);
	if (json_object_set_new(p->call->args, key, json) < 0)
		return error_oom(p->e);
	return 0;
}

static int set_secret_fd(struct parser *p, const char *value)
{
	_cleanup_json_ json_t *number = number_value(value);

	if (!number)
		return usage_error(p, "--password-fd wants the number of a file descriptor, not \"%s\"",
				   value);
	p->call->secret_fd = (int)json_integer_value(number);
	return 0;
}

/* value is NULL for a flag. */
static int set_param(struct parser *p, const struct cli_param *param,
		     const char *value)
{
	struct cli_call *call = p->call;

	if (value && *value == '\0')
		return usage_error(p, "%s must not be empty", param->value);
	if (value && too_long(param, value))
		return usage_error(p, "%s is too long", param->value);
	if (value && param->choices && !is_choice(param->choices, value))
		return usage_error(p, "%s must be one of %s, not \"%s\"",
				   param->name, param->choices, value);

	switch (param->kind) {
	case CLI_IN_FILE:
		call->in_file = value;
		return 0;
	case CLI_OUT_FILE:
		call->out_file = value;
		return 0;
	case CLI_SECRET_FILE:
		call->secret_file = value;
		return 0;
	case CLI_NEW_SECRET_FILE:
		call->new_secret_file = value;
		return 0;
	case CLI_SECRET_FD:
		return set_secret_fd(p, value);
	default:
		return set_member(p, param, value);
	}
}

static int set_option(struct parser *p, unsigned int index, const char *value)
{
	const struct cli_command *c = p->call->command;
	const struct cli_param *option = &c->options[index];

	if (p->seen & (UINT32_C(1) << index))
		return usage_error(p, "option --%s came twice", option->name);
	p->seen |= UINT32_C(1) << index;

	for (unsigned int i = 0; option->excludes && c->options[i].name; i++)
		if ((p->seen & (UINT32_C(1) << i)) &&
		    strcmp(c->options[i].name, option->excludes) == 0)
			return usage_error(p, "--%s and --%s may not come together",
					   option->excludes, option->name);
	return set_param(p, option, value);
}

static unsigned int count_positionals(const struct cli_command *c)
{
	unsigned int n = 0;

	while (c->positionals[n].name)
		n++;
	return n;
}

/* Which word is which is known when all are there. */
static int keep_positional(struct parser *p, const char *value)
{
	if (p->n_positionals == count_positionals(p->call->command))
		return usage_error(p, "one argument too many: \"%s\"", value);
	p->positionals[p->n_positionals++] = value;
	return 0;
}

static bool seen_option(const struct parser *p, const char *name)
{
	const struct cli_command *c = p->call->command;

	for (unsigned int i = 0; c->options[i].name; i++)
		if (strcmp(c->options[i].name, name) == 0)
			return p->seen & (UINT32_C(1) << i);
	return false;
}

static int set_positionals(struct parser *p)
{
	const struct cli_param *param = p->call->command->positionals;
	bool instead = param->optional && seen_option(p, param->name);
	int r = 0;

	if (instead)
		param++;
	for (const char *const *word = p->positionals; r == 0 && *word; word++, param++) {
		if (!param->name && instead)
			return usage_error(p, "--%s says it already: \"%s\" is one argument too many",
					   p->call->command->positionals->name, p->positionals[0]);
		r = set_param(p, param, *word);
	}
	return r == 0 && param->name ? usage_error(p, "argument %s is missing", param->value) : r;
}

static int set_manager(struct parser *p, const char *url)
{
	if (p->call->noun)
		return usage_error(p, "--manager stands before the command");
	p->call->manager = url;
	return rest_check_url(url, p->e);
}

static int set_global(struct parser *p, int option, const char *value)
{
	switch (option) {
	case GLOBAL_CA:
		p->call->ca = value;
		break;
	case GLOBAL_CERTIFICATE:
		p->call->certificate = value;
		break;
	case GLOBAL_CERTIFICATE_KEY:
		p->call->certificate_key = value;
		break;
	case GLOBAL_HELP:
		p->call->action = CLI_HELP;
		break;
	case GLOBAL_MANAGER:
		return set_manager(p, value);
	case GLOBAL_TOKEN_FILE:
		p->call->token_file = value;
		break;
	case GLOBAL_JSON:
		p->call->json = true;
		break;
	case GLOBAL_SOCKET:
		p->call->socket = value;
		break;
	case GLOBAL_VERSION:
		p->call->action = CLI_VERSION;
		break;
	}
	return 0;
}

static void build_options(const struct cli_command *c,
			  struct option ret[static CLI_OPTIONS_MAX + N_GLOBAL_OPTIONS + 1])
{
	unsigned int n = 0;

	for (; c && c->options[n].name; n++)
		ret[n] = (struct option) {
			.name = c->options[n].name,
			.has_arg = c->options[n].value ? required_argument : no_argument,
			.val = COMMAND_OPTION + (int)n,
		};
	memcpy(&ret[n], global_options, sizeof(global_options));
	ret[n + N_GLOBAL_OPTIONS] = (struct option) { 0 };
}

/* The word that the option just taken stood in. */
static const char *option_word(const struct parser *p)
{
	bool separate = optarg && optind >= 2 && optarg == p->argv[optind - 1];

	return p->argv[optind - (separate ? 2 : 1)];
}

/* getopt_long takes an option by any unambiguous start of its name. A script
 * that relies on that breaks when an option is added, so names are whole. */
static bool is_abbreviated(const char *word, const char *name)
{
	return strncmp(word, "--", 2) == 0 &&
	       strcspn(word + 2, "=") != strlen(name);
}

static int take_option(struct parser *p, const struct option *options, int c,
		       int index)
{
	const char *word = p->argv[optind - 1];

	switch (c) {
	case ':':
		return usage_error(p, "option %s wants a value", word);
	case '?':
		return usage_error(p, optopt >= GLOBAL_HELP ?
				   "option %s takes no value" :
				   "unknown option %s", word);
	case 'h':
		return set_global(p, GLOBAL_HELP, NULL);
	case 1:
		return keep_positional(p, optarg);
	}
	word = option_word(p);
	if (is_abbreviated(word, options[index].name))
		return usage_error(p, "unknown option %s (do you mean --%s?)",
				   word, options[index].name);
	if (c >= COMMAND_OPTION)
		return set_option(p, (unsigned int)(c - COMMAND_OPTION), optarg);
	return set_global(p, c, optarg);
}

/**
 * parse_options - take options, up to the first word or to the end
 * @p: the parser
 * @short_options: ``+:h`` stops at the first word that is no option, ``-:h``
 *	takes such words as positional arguments
 */
static int parse_options(struct parser *p, const char *short_options)
{
	struct option options[CLI_OPTIONS_MAX + N_GLOBAL_OPTIONS + 1];
	int c, r, index = 0;

	build_options(p->call->command, options);
	opterr = 0;
	optind = 0;
	while ((c = getopt_long(p->argc, p->argv, short_options, options,
				&index)) != -1) {
		r = take_option(p, options, c, index);
		if (r < 0)
			return r;
	}
	p->argc -= optind - 1;
	p->argv += optind - 1;
	return 0;
}

/* Options up to the next word, then the word; NULL where there is none. */
static int next_word(struct parser *p, const char **ret)
{
	int r;

	r = parse_options(p, "+:h");
	if (r < 0)
		return r;
	*ret = p->argc > 1 ? p->argv[1] : NULL;
	if (*ret) {
		p->argc--;
		p->argv++;
	}
	return 0;
}

static const struct cli_command *find_command(const struct parser *p, const char *noun,
					      const char *verb)
{
	const struct cli_command *c;

	for (size_t i = 0; (c = cli_command_at(p->call->manager, i)); i++) {
		if (strcmp(c->noun, noun) != 0)
			continue;
		if (!verb || !c->verb || strcmp(c->verb, verb) == 0 ||
		    (c->alias && strcmp(c->alias, verb) == 0))
			return c;
	}
	return NULL;
}

/* Leaves the command NULL where help is asked for before it is named. */
static int parse_command(struct parser *p)
{
	const struct cli_command *c;
	const char *noun, *verb;
	int r;

	r = next_word(p, &noun);
	if (r < 0 || p->call->action != CLI_RUN)
		return r;
	if (!noun)
		return usage_error(p, "a command is missing");
	c = find_command(p, noun, NULL);
	if (!c)
		return usage_error(p, "unknown command \"%s\"", noun);
	p->call->noun = c->noun;
	if (!c->verb) {
		p->call->command = c;
		return 0;
	}

	r = next_word(p, &verb);
	if (r < 0 || p->call->action != CLI_RUN)
		return r;
	if (!verb)
		return usage_error(p, "%s wants one more word", noun);
	c = find_command(p, noun, verb);
	if (!c)
		return usage_error(p, "unknown command \"%s %s\"", noun, verb);
	p->call->command = c;
	return 0;
}

static int parse_arguments(struct parser *p)
{
	int r;

	r = parse_options(p, "-:h");
	for (int i = 1; r == 0 && i < p->argc; i++)
		r = keep_positional(p, p->argv[i]);
	return r;
}

static int check_complete(const struct parser *p)
{
	const struct cli_command *c = p->call->command;

	for (unsigned int i = 0; c->options[i].name; i++)
		if (c->options[i].required && !(p->seen & (UINT32_C(1) << i)))
			return usage_error(p, "option --%s is missing",
					   c->options[i].name);
	return 0;
}

int cli_parse(int argc, char **argv, struct cli_call *ret, struct error *e)
{
	_cleanup_call_ struct cli_call call = {
		.action = CLI_RUN, .socket = VMCRYPT_SOCKET_PATH, .secret_fd = -1,
	};
	struct parser p = { .call = &call, .argc = argc, .argv = argv, .e = e };
	int r;

	call.args = json_object();
	if (!call.args)
		return error_oom(e);
	r = parse_command(&p);
	if (r == 0 && call.command)
		r = parse_arguments(&p);
	if (r == 0 && call.command && call.action == CLI_RUN)
		r = set_positionals(&p);
	if (r == 0 && call.command && call.action == CLI_RUN)
		r = check_complete(&p);
	if (r < 0)
		return r;
	*ret = call;
	call.args = NULL;
	return 0;
}

void cli_call_done(struct cli_call *call)
{
	json_decref(call->args);
	call->args = NULL;
}
