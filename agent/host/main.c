/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmcryptd: the key agent of a KVM host. */
#include <stdlib.h>

#include "common/harden.h"
#include "common/log.h"
#include "host/conf.h"
#include "host/host.h"
#include "host/loop.h"
#include "host/seccomp.h"

static int fail(const struct error *e)
{
	log_error("%s", e->text);
	return e->status == EXIT_DONE ? EXIT_FAILED : (int)e->status;
}

int main(int argc, char *argv[])
{
	struct error e = ERROR_NULL;
	struct host_conf conf;
	struct host host;
	int r;

	log_init("vmcryptd");
	r = host_conf_read(argc, argv, &conf, &e);
	if (r == CONF_EXIT)
		return EXIT_SUCCESS;
	if (r < 0)
		return fail(&e);
	log_set_level(conf.log_level);
	if (harden_process(/* lock_memory= */ true, &e) < 0 || host_seccomp(&e) < 0)
		return fail(&e);
	r = host_start(&conf, &host, &e);
	if (r == 0)
		r = loop_run(&host, &e);
	host_done(&host);
	return r < 0 ? fail(&e) : EXIT_SUCCESS;
}
