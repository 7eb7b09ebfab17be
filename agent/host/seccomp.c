/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/seccomp.h"

#include <stddef.h>

#include "common/harden.h"

static const char *const also[] = {
	/* device-mapper's nodes */
	"mknod", "mknodat",
	/* udev's cookies */
	"semctl", "semget", "semop", "semtimedop",
	NULL,
};

int host_seccomp(struct error *e)
{
	return harden_seccomp_daemon(also, e);
}
