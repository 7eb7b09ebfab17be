/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of vmcrypt-manager. */
#ifndef MANAGER_OPTIONS_H
#define MANAGER_OPTIONS_H

#include <stdint.h>

#include "common/errors.h"
#include "manager/record.h"
#include "manager/vault.h"

#define MANAGER_DIR	"/var/lib/vmcrypt-manager"
#define MANAGER_PORT	8443
/** MANAGER_PER_ADDRESS - connections that one client address may have */
#define MANAGER_PER_ADDRESS 128
/** OPTIONS_EXIT - of options_read(): all is said, exit with success */
#define OPTIONS_EXIT	1

enum options_command {
	OPTIONS_INIT	= 1 << 0,
	OPTIONS_SERVE	= 1 << 1,
	OPTIONS_BACKUP	= 1 << 2,
	OPTIONS_RESTORE	= 1 << 3,
};

/**
 * struct options - what was asked for; all texts belong to argv
 * @file: of backup and restore
 * @word: the option that was looked at last, for what is wrong with it
 */
struct options {
	enum options_command command;
	const char *word;
	const char *dir;
	const char *tcti;
	const char *listen;
	uint16_t port;
	unsigned int threads;
	unsigned int per_address;
	struct record_keep keep;
	int log_level;
	const char *names;
	const char *admin;
	const char *password_file;
	const char *file;
	enum vault_source source;
};

/** options_read() - Return: 0, OPTIONS_EXIT, or -EINVAL with EXIT_USAGE */
int options_read(int argc, char *argv[], struct options *ret, struct error *e);

#endif
