// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/help.h"

#include <string.h>

#include "cli/manager.h"

static const char global_help[] =
	"Options of every command:\n"
	"      --json         print JSON; its fields are described in schema.json\n"
	"      --socket PATH  the agent's control socket\n"
	"  -h, --help         print help on everything, a noun, or a command\n"
	"      --version      print the version\n"
	"      --manager URL  ask a manager, not this host's agent; stands before the command\n"
	"      --ca FILE      certificates that the manager's is signed by\n"
	"      --token-file FILE  where the session's token is kept\n"
	"      --certificate FILE  with the manager: a certificate in the place of a session\n"
	"      --certificate-key FILE  its key\n";

static const char status_help[] =
	"Exit status:\n"
	"  0 done, 1 failed, 2 wrong usage, 3 the key cannot be had now, 4 not allowed\n";

static void print_param(FILE *out, const struct cli_param *param, bool option)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%s%s%s", option ? "--" : "",
		 option ? param->name : param->value,
		 option && param->value ? " " : "",
		 option && param->value ? param->value : "");
	fprintf(out, "  %-24s %s%s\n", name, param->help,
		param->required ? " (required)" : "");
}

static void print_usage(FILE *out, const struct cli_command *c)
{
	fprintf(out, "Usage: vmcryptctl %s", c->noun);
	if (c->verb)
		fprintf(out, " %s", c->verb);
	for (const struct cli_param *p = c->positionals; p->name; p++)
		fprintf(out, p->optional ? " [%s]" : " %s", p->value);
	for (const struct cli_param *p = c->options; p->name; p++)
		fprintf(out, " %s--%s%s%s%s", p->required ? "" : "[", p->name,
			p->value ? " " : "", p->value ? p->value : "",
			p->required ? "" : "]");
	fputc('\n', out);
}

static void help_command(FILE *out, const struct cli_command *c)
{
	print_usage(out, c);
	fprintf(out, "\nvmcryptctl %s%s%s: %s.\n", c->noun, c->verb ? " " : "",
		c->verb ? c->verb : "", c->summary);
	if (c->details)
		fprintf(out, "\n%s", c->details);
	if (c->alias)
		fprintf(out, "\nAlso: vmcryptctl %s %s\n", c->noun, c->alias);
	if (c->positionals[0].name)
		fputs("\nArguments:\n", out);
	for (const struct cli_param *p = c->positionals; p->name; p++)
		print_param(out, p, /* option= */ false);
	if (c->options[0].name)
		fputs("\nOptions:\n", out);
	for (const struct cli_param *p = c->options; p->name; p++)
		print_param(out, p, /* option= */ true);
	fprintf(out, "\n%s", global_help);
}

static void help_list(FILE *out, const char *noun, bool manager)
{
	const struct cli_command *c;

	for (size_t i = 0; (c = cli_command_at(manager, i)); i++) {
		char name[64];

		if (noun && strcmp(c->noun, noun) != 0)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", c->noun,
			 c->verb ? " " : "", c->verb ? c->verb : "");
		fprintf(out, "  %-22s %s\n", name, c->summary);
	}
}

void cli_help(FILE *out, const char *noun, const struct cli_command *command, bool manager)
{
	if (command) {
		help_command(out, command);
		return;
	}
	if (noun)
		fprintf(out, "Usage: vmcryptctl %s VERB [ARGUMENTS]\n\nCommands:\n",
			noun);
	else if (manager)
		fputs("Usage: vmcryptctl --manager URL NOUN VERB [ARGUMENTS]\n\n"
		      "vmcryptctl asks vmcrypt-manager, which keeps the hosts, their key\n"
		      "providers, and who may do what.\n\nCommands:\n", out);
	else
		fputs("Usage: vmcryptctl NOUN VERB [ARGUMENTS]\n\n"
		      "vmcryptctl asks vmcryptd, the key agent of this host, to manage\n"
		      "key providers and encrypted VM disks.\n\nCommands:\n", out);
	help_list(out, noun, manager);
	fprintf(out, "\n%s\n%s", global_help, status_help);
}
