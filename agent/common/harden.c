// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/harden.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/secret.h"

static const char *const never_allowed[] = {
	"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev",
};

static int no_dumps(struct error *e)
{
	const struct rlimit none = { .rlim_cur = 0, .rlim_max = 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return error_fail(e, errno, "Cannot forbid core dumps: %s", strerror(errno));
	/* Also closes /proc/PID/mem and ptrace to other processes of this user. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_fail(e, errno, "Cannot make the process undumpable: %s", strerror(errno));
	return 0;
}

int harden_process(bool lock_memory, struct error *e)
{
	int r;

	umask(077);
	r = no_dumps(e);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_fail(e, errno, "Cannot give up new privileges: %s", strerror(errno));
	if (setenv("TSS2_LOG", "all+NONE", /* overwrite= */ 1) < 0)
		return error_oom(e);

	/* ONFAULT: the unused part of each thread's stack need not be in memory. */
	if (lock_memory && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		return error_fail(e, errno, "Cannot lock the process in memory: %s; it needs "
				  "CAP_IPC_LOCK or LimitMEMLOCK=infinity", strerror(errno));
	r = secret_init();
	if (r < 0)
		return error_fail(e, r, "Cannot lock 1 MiB of memory for secrets: "
				  "raise the limit on locked memory (ulimit -l)");
	return 0;
}

static bool is_never_allowed(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(never_allowed); i++)
		if (strcmp(never_allowed[i], name) == 0)
			return true;
	return false;
}

static int add_rules(scmp_filter_ctx filter, const char *const *allowed)
{
	int r;

	for (; *allowed; allowed++) {
		int number = seccomp_syscall_resolve_name(*allowed);

		if (number == __NR_SCMP_ERROR || is_never_allowed(*allowed))
			continue;
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
		/* -EDOM: a system call that this architecture has not. */
		if (r < 0 && r != -EDOM)
			return r;
	}
	return 0;
}

int harden_seccomp(const char *const *allowed, struct error *e)
{
	scmp_filter_ctx filter;
	int r;

	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return error_oom(e);
	r = add_rules(filter, allowed);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	if (r < 0)
		return error_fail(e, r, "Cannot restrict system calls: %s", strerror(-r));
	return 0;
}
