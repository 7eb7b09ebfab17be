// SPDX-License-Identifier: LGPL-2.1-or-later
/* vmcryptctl: asks the agent of this host, and prints what it answers. */
#include <stdio.h>

#include "cli/help.h"
#include "cli/manager.h"
#include "cli/parse.h"
#include "cli/run.h"
#include "cli/text.h"
#include "common/harden.h"

static void print_error(const struct error *e)
{
	char *text = text_safe(e->text);

	fprintf(stderr, "vmcryptctl: %s\n", text ? text : e->text);
	free(text);
}

static int run(const struct cli_call *call, struct error *e)
{
	/*
	 * Only a command that handles a password or a token has something to hide.
	 * The manager's are any user's, who may not lock all of this process.
	 */
	if ((call->command->secret != CLI_SECRET_NONE || call->manager) &&
	    harden_process(/* lock_memory= */ !call->manager, e) < 0)
		return (int)e->status;
	return call->manager ? manager_run(call, stdout, stderr, e) :
			       cli_run(call, stdout, stderr, e);
}

int main(int argc, char **argv)
{
	_cleanup_call_ struct cli_call call = { .secret_fd = -1 };
	struct error e = ERROR_NULL;
	int status = EXIT_DONE;

	text_init();
	if (cli_parse(argc, argv, &call, &e) < 0)
		status = (int)e.status;
	else if (call.action == CLI_HELP)
		cli_help(stdout, call.noun, call.command, call.manager);
	else if (call.action == CLI_VERSION)
		printf("vmcryptctl %s\n", VMCRYPT_VERSION);
	else
		status = run(&call, &e);
	if (error_is_set(&e))
		print_error(&e);
	return status;
}
