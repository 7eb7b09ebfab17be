/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the agent is told: its command line, and /etc/vmcrypt/vmcryptd.conf.
 */
#ifndef HOST_CONF_H
#define HOST_CONF_H

#include <stdbool.h>

#include "common/errors.h"

#define HOST_CONF_PATH		"/etc/vmcrypt/vmcryptd.conf"
#define HOST_STATE_DIR		"/var/lib/vmcrypt"

/**
 * struct host_conf - settings; strings are its own
 * @conf_path: the file
 * @conf_named: it was named on the command line, so it has to be there
 * @state_dir: state folder
 * @socket: control socket
 * @disks: list of disks attached at start
 * @tcti: how the TPM is reached, as tss2-tctildr(7) has it; NULL: the default
 * @key_deadline_s: for a key request; below the kernel's request_timeout_ms, so
 *	that the exact reason comes before the time-out
 * @boot_wait_s: how long READY waits for devices
 * @workers: threads for operations, and as many for key requests
 * @events_kib: bound of one event file
 * @log_level: LOG_* of syslog(3)
 */
struct host_conf {
	char *conf_path;
	bool conf_named;
	char *state_dir;
	char *socket;
	char *disks;
	char *tcti;
	unsigned int key_deadline_s;
	unsigned int boot_wait_s;
	unsigned int workers;
	unsigned int events_kib;
	int log_level;
};

/* enum conf_outcome - what the command line asked for beside running */
enum conf_outcome {
	CONF_RUN,
	CONF_EXIT,		/* --help, --version: printed */
};

/**
 * host_conf_read() - command line first, then the file, then the command line
 * again over it
 *
 * Return: enum conf_outcome, or -errno.
 */
int host_conf_read(int argc, char *argv[], struct host_conf *ret, struct error *e);

/* The file again, over what stands: only what can change in a running agent. */
int host_conf_reload(struct host_conf *conf, struct error *e);

void host_conf_done(struct host_conf *conf);

#endif /* HOST_CONF_H */
