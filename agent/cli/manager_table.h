/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tables of the manager's commands share. */
#ifndef CLI_MANAGER_TABLE_H
#define CLI_MANAGER_TABLE_H

#include "cli/manager.h"
#include "common/cleanup.h"

/**
 * struct manager_table - the commands of some nouns
 * @commands: the rows; all those of a noun stand in one table
 * @n_commands: how many
 */
struct manager_table {
	const struct cli_command *commands;
	size_t n_commands;
};

extern const struct manager_table manager_access;
extern const struct manager_table manager_inventory;
extern const struct manager_table manager_providers;
extern const struct manager_table manager_servers;
extern const struct manager_table manager_events;

#define OBJECT(noun, word, how) \
	{ .name = noun, .value = word, .kind = how, .help = "which " noun }
#define NAME(noun) \
	{ .name = "name", .value = "NAME", .kind = CLI_TEXT, .help = "name of the " noun }
#define DISK \
	{ .name = "disk", .value = "DEK", .kind = CLI_TEXT, .help = "UUID of the disk's DEK" }
#define DEVICE \
	{ .name = "device", .value = "DEVICE", .kind = CLI_TEXT, .help = "path on the host" }
#define ON_HOST \
	{ .name = "host", .value = "HOST", .kind = CLI_REFERENCE, .required = true, \
	  .help = "the host that is to do it" }
#define COLUMNS(c) .columns = c, .n_columns = ARRAY_SIZE(c)

#endif
