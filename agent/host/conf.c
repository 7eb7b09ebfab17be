/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/conf.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "common/cleanup.h"
#include "common/conf.h"
#include "host/disktab.h"
#include "host/events.h"
#include "host/protocol.h"

static const char help_text[] =
"Usage: vmcryptd [OPTION]...\n"
"The key agent of a KVM host: unwraps the keys of encrypted VM disks and loads\n"
"them into the kernel. Runs in the foreground.\n"
"\n"
"  --config FILE   settings (default " HOST_CONF_PATH ")\n"
"  --state DIR     state folder (default " HOST_STATE_DIR ")\n"
"  --socket PATH   control socket (default " VMCRYPT_SOCKET_PATH ")\n"
"  --disks FILE    disks attached at start (default " DISKTAB_PATH ")\n"
"  --help          this text\n"
"  --version       the version\n"
"\n"
"SIGHUP reads the settings and the list of disks again. SIGTERM ends the agent\n"
"and leaves attached disks attached. See vmcryptd(8).\n";

enum option_id { OPT_CONFIG = 256, OPT_STATE, OPT_SOCKET, OPT_DISKS, OPT_HELP, OPT_VERSION };

static const struct option options[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "disks", required_argument, NULL, OPT_DISKS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static int parse_level(const char *value, void *target)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = {
		{ "error", LOG_ERR }, { "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
		{ "info", LOG_INFO }, { "debug", LOG_DEBUG },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(value, levels[i].name) != 0)
			continue;
		*(int *)target = levels[i].level;
		return 0;
	}
	return -EINVAL;
}

static int parse_bounded(const char *value, unsigned int min, unsigned int max, void *target)
{
	unsigned int number;
	int r = conf_uint(value, &number);

	if (r < 0)
		return r;
	if (number < min || number > max)
		return -ERANGE;
	*(unsigned int *)target = number;
	return 0;
}

static int parse_key_deadline(const char *value, void *target)
{
	return parse_bounded(value, 1, 600, target);
}

static int parse_boot_wait(const char *value, void *target)
{
	return parse_bounded(value, 0, 600, target);
}

static int parse_workers(const char *value, void *target)
{
	return parse_bounded(value, 1, 64, target);
}

static int parse_events(const char *value, void *target)
{
	return parse_bounded(value, EVENTS_SIZE_MIN / 1024, EVENTS_SIZE_MAX / 1024, target);
}

static int conf_file(struct host_conf *c, struct error *e)
{
	const struct conf_item items[] = {
		{ "Agent", "StateDirectory", conf_path, &c->state_dir, "an absolute path" },
		{ "Agent", "Socket", conf_path, &c->socket, "an absolute path" },
		{ "Agent", "DisksFile", conf_path, &c->disks, "an absolute path" },
		{ "Agent", "Workers", parse_workers, &c->workers, "a number from 1 to 64" },
		{ "Agent", "KeyDeadlineSec", parse_key_deadline, &c->key_deadline_s,
		  "seconds from 1 to 600" },
		{ "Agent", "BootWaitSec", parse_boot_wait, &c->boot_wait_s,
		  "seconds from 0 to 600" },
		{ "Agent", "LogLevel", parse_level, &c->log_level,
		  "error, warning, notice, info or debug" },
		{ "Events", "FileSizeKiB", parse_events, &c->events_kib,
		  "KiB from 256 to 65536" },
		{ "TPM", "Tcti", conf_string, &c->tcti, "a TCTI as in tss2-tctildr(7)" },
		{ .section = NULL },
	};

	return conf_load(c->conf_path, items, /* optional= */ !c->conf_named, e);
}

static int set_path(char **target, const char *name, const char *value, struct error *e)
{
	if (conf_path(value, target) < 0)
		return error_usage(e, "%s wants an absolute path, not \"%.64s\"", name, value);
	return 0;
}

/* Over the defaults, or over the file. */
static int command_line(int argc, char *argv[], struct host_conf *c, struct error *e)
{
	int option, r = 0;

	optind = 1;
	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPT_CONFIG:
			c->conf_named = true;
			r = set_path(&c->conf_path, "--config", optarg, e);
			break;
		case OPT_STATE:
			r = set_path(&c->state_dir, "--state", optarg, e);
			break;
		case OPT_SOCKET:
			r = set_path(&c->socket, "--socket", optarg, e);
			break;
		case OPT_DISKS:
			r = set_path(&c->disks, "--disks", optarg, e);
			break;
		case OPT_HELP:
			fputs(help_text, stdout);
			return CONF_EXIT;
		case OPT_VERSION:
			puts("vmcryptd " VMCRYPT_VERSION);
			return CONF_EXIT;
		default:
			return error_usage(e, "vmcryptd: wrong option; see vmcryptd --help");
		}
	}
	if (r == 0 && optind < argc)
		return error_usage(e, "vmcryptd takes no argument \"%.64s\"; see vmcryptd --help",
				   argv[optind]);
	return r;
}

static int defaults(struct host_conf *c, struct error *e)
{
	*c = (struct host_conf){
		.conf_path = strdup(HOST_CONF_PATH),
		.state_dir = strdup(HOST_STATE_DIR),
		.socket = strdup(VMCRYPT_SOCKET_PATH),
		.disks = strdup(DISKTAB_PATH),
		.key_deadline_s = 25,
		.boot_wait_s = 30,
		.workers = 8,
		.events_kib = EVENTS_SIZE_DEFAULT / 1024,
		.log_level = LOG_INFO,
	};
	if (!c->conf_path || !c->state_dir || !c->socket || !c->disks)
		return error_oom(e);
	return 0;
}

int host_conf_read(int argc, char *argv[], struct host_conf *ret, struct error *e)
{
	struct host_conf c;
	int r;

	r = defaults(&c, e);
	if (r == 0)
		r = command_line(argc, argv, &c, e);
	if (r == 0)
		r = conf_file(&c, e);
	if (r == 0)
		r = command_line(argc, argv, &c, e);
	if (r != CONF_RUN)
		host_conf_done(&c);
	else
		*ret = c;
	return r;
}

int host_conf_reload(struct host_conf *conf, struct error *e)
{
	struct host_conf fresh;
	int r;

	r = defaults(&fresh, e);
	if (r == 0) {
		free(fresh.conf_path);
		fresh.conf_path = strdup(conf->conf_path);
		fresh.conf_named = conf->conf_named;
		r = fresh.conf_path ? conf_file(&fresh, e) : error_oom(e);
	}
	if (r == 0) {
		conf->key_deadline_s = fresh.key_deadline_s;
		conf->boot_wait_s = fresh.boot_wait_s;
		conf->log_level = fresh.log_level;
	}
	host_conf_done(&fresh);
	return r;
}

void host_conf_done(struct host_conf *conf)
{
	free(conf->conf_path);
	free(conf->state_dir);
	free(conf->socket);
	free(conf->disks);
	free(conf->tcti);
	*conf = (struct host_conf){ 0 };
}
