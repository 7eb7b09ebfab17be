// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/manager_table.h"

/* In the order in which help lists them. */
static const struct manager_table *const tables[] = {
	&manager_access,
	&manager_inventory,
	&manager_providers,
	&manager_servers,
	&manager_events,
};

const struct cli_command *manager_command(size_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		if (index < tables[i]->n_commands)
			return &tables[i]->commands[index];
		index -= tables[i]->n_commands;
	}
	return NULL;
}
