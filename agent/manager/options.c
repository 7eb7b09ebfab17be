/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "common/cleanup.h"

static const char help_text[] =
"Usage: vmcrypt-manager init --name NAME[,NAME]... --admin USER --password-file FILE\n"
"                            [--tpm|--key-file] [--dir DIR] [--tcti TCTI]\n"
"       vmcrypt-manager serve [--dir DIR] [--listen ADDRESS] [--port PORT]\n"
"                             [--threads N] [--per-address N] [--keep-days N]\n"
"                             [--keep-events N] [--tcti TCTI] [--debug]\n"
"       vmcrypt-manager backup --out FILE [--dir DIR]\n"
"       vmcrypt-manager restore --from FILE [--dir DIR] [--tcti TCTI]\n"
"The manager of encrypted VMs: keys from key servers for many hosts.\n"
"\n"
"init makes a folder, an authority of its own and the first administrator:\n"
"  --name NAMES          DNS names and addresses by which it is reached\n"
"  --admin USER          name of the first administrator\n"
"  --password-file FILE  their password, one line; - reads it from standard input\n"
"  --tpm                 seal the key of its secrets to this machine's TPM\n"
"  --key-file            keep that key in a file; default: the systemd credential\n"
"                        " VAULT_CREDENTIAL "\n"
"serve answers, in the foreground:\n"
"  --listen ADDRESS      default: all of this machine\n"
"  --port PORT           default 8443; 0: any that is free\n"
"  --threads N           that answer requests, 1 to 64, default 8\n"
"  --per-address N       connections of one client address, 1 to 1024, default 128\n"
"  --keep-days N         cut away events that are older; default: none\n"
"  --keep-events N       cut away all but the newest N, 1000 or more; default: none\n"
"  --debug               say more\n"
"backup writes a copy of the database, of a manager that serves or not:\n"
"  --out FILE            a new file; the key of the secrets is not in it\n"
"restore makes a manager out of one, in a folder that has the key of its secrets:\n"
"  --from FILE           that backup has written\n"
"all:\n"
"  --dir DIR             default " MANAGER_DIR "\n"
"  --tcti TCTI           the TPM, as in tss2-tctildr(7)\n"
"  --help, --version\n"
"See vmcrypt-manager(8).\n";

enum option_id {
	OPT_DIR = 256, OPT_TCTI, OPT_NAME, OPT_ADMIN, OPT_PASSWORD_FILE, OPT_TPM, OPT_KEY_FILE,
	OPT_LISTEN, OPT_PORT, OPT_THREADS, OPT_PER_ADDRESS, OPT_KEEP_DAYS, OPT_KEEP_EVENTS, OPT_OUT, OPT_FROM,
	OPT_DEBUG, OPT_HELP, OPT_VERSION,
};

static const struct option options[] = {
	{ "dir", required_argument, NULL, OPT_DIR },
	{ "tcti", required_argument, NULL, OPT_TCTI },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "admin", required_argument, NULL, OPT_ADMIN },
	{ "password-file", required_argument, NULL, OPT_PASSWORD_FILE },
	{ "tpm", no_argument, NULL, OPT_TPM },
	{ "key-file", no_argument, NULL, OPT_KEY_FILE },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "port", required_argument, NULL, OPT_PORT },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "per-address", required_argument, NULL, OPT_PER_ADDRESS },
	{ "keep-days", required_argument, NULL, OPT_KEEP_DAYS },
	{ "keep-events", required_argument, NULL, OPT_KEEP_EVENTS },
	{ "out", required_argument, NULL, OPT_OUT },
	{ "from", required_argument, NULL, OPT_FROM },
	{ "debug", no_argument, NULL, OPT_DEBUG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

/* @missing: what is said when an option is not there that it must have */
static const struct command {
	const char *name;
	enum options_command command;
	const char *missing;
} commands[] = {
	{ "init", OPTIONS_INIT, "init wants --name, --admin and --password-file" },
	{ "serve", OPTIONS_SERVE, NULL },
	{ "backup", OPTIONS_BACKUP, "backup wants --out" },
	{ "restore", OPTIONS_RESTORE, "restore wants --from" },
};

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; name && i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int number(const char *name, const char *text, unsigned long min, unsigned long max,
		  unsigned long *ret, struct error *e)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || *ret < min || *ret > max)
		return error_usage(e, "%s wants a number from %lu to %lu, not \"%.32s\"", name, min,
				   max, text);
	return 0;
}

static int say(const char *text)
{
	fputs(text, stdout);
	return OPTIONS_EXIT;
}

/* Options of the one command only. */
static int for_command(int option, struct options *o, struct error *e)
{
	unsigned long n = 0;
	int r = 0;

	switch (option) {
	case OPT_NAME:
		o->names = optarg;
		break;
	case OPT_ADMIN:
		o->admin = optarg;
		break;
	case OPT_PASSWORD_FILE:
		o->password_file = optarg;
		break;
	case OPT_TPM:
		o->source = VAULT_FROM_TPM;
		break;
	case OPT_KEY_FILE:
		o->source = VAULT_FROM_KEY_FILE;
		break;
	case OPT_LISTEN:
		o->listen = optarg;
		break;
	case OPT_PORT:
		r = number("--port", optarg, 0, UINT16_MAX, &n, e);
		o->port = (uint16_t)n;
		break;
	case OPT_THREADS:
		r = number("--threads", optarg, 1, 64, &n, e);
		o->threads = (unsigned int)n;
		break;
	case OPT_PER_ADDRESS:
		r = number("--per-address", optarg, 1, 1024, &n, e);
		o->per_address = (unsigned int)n;
		break;
	case OPT_KEEP_DAYS:
		r = number("--keep-days", optarg, 1, 36500, &n, e);
		o->keep.days = (unsigned int)n;
		break;
	case OPT_KEEP_EVENTS:
		r = number("--keep-events", optarg, 1000, INT32_MAX, &n, e);
		o->keep.rows = n;
		break;
	case OPT_OUT:
	case OPT_FROM:
		o->file = optarg;
		break;
	default:
		return error_usage(e, "There is no option \"%.64s\", or it lacks its value: see vmcrypt-manager --help",
				   o->word);
	}
	return r;
}

/* Those of one command only. */
static enum options_command command_of(int option)
{
	if (option <= OPT_KEY_FILE)
		return OPTIONS_INIT;
	if (option == OPT_OUT)
		return OPTIONS_BACKUP;
	return option == OPT_FROM ? OPTIONS_RESTORE : OPTIONS_SERVE;
}

static int one(int option, struct options *o, struct error *e)
{
	int r;

	switch (option) {
	case OPT_DIR:
		if (optarg[0] != '/')
			return error_usage(e, "--dir wants an absolute path, not \"%.64s\"", optarg);
		o->dir = optarg;
		return 0;
	case OPT_TCTI:
		o->tcti = optarg;
		return 0;
	case OPT_DEBUG:
		o->log_level = LOG_DEBUG;
		return 0;
	case OPT_HELP:
		return say(help_text);
	case OPT_VERSION:
		return say("vmcrypt-manager " VMCRYPT_VERSION "\n");
	default:
		r = for_command(option, o, e);
	}
	if (r == 0 && o->command != command_of(option))
		return error_usage(e, "--%s is no option of this command: see vmcrypt-manager --help",
				   options[option - OPT_DIR].name);
	return r;
}

static bool is_complete(const struct options *o)
{
	switch (o->command) {
	case OPTIONS_INIT:
		return o->names && o->admin && o->password_file;
	case OPTIONS_SERVE:
		return true;
	case OPTIONS_BACKUP:
	case OPTIONS_RESTORE:
		return o->file;
	}
	return false;
}

int options_read(int argc, char *argv[], struct options *ret, struct error *e)
{
	const char *name = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
	const struct command *command = find_command(name);
	struct options o = { .dir = MANAGER_DIR, .port = MANAGER_PORT, .threads = 8, .per_address = MANAGER_PER_ADDRESS,
			     .log_level = LOG_INFO, .source = VAULT_FROM_CREDENTIAL };
	int option, r = 0;

	o.command = command ? command->command : 0;
	optind = name ? 2 : 1;
	opterr = 0;	/* one message, ours */
	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		o.word = argv[optind - 1];
		r = one(option, &o, e);
	}
	if (r)
		return r;
	if (!command || optind < argc)
		return error_usage(e, "Want init, serve, backup or restore: see vmcrypt-manager --help");
	if (!is_complete(&o))
		return error_usage(e, "%s", command->missing);
	*ret = o;
	return 0;
}
