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

static const char *const daemon_allowed[] = {
	/* files */
	"access", "faccessat", "faccessat2", "chdir", "fchdir", "chmod", "fchmod", "fchmodat",
	"chown", "fchown", "fchownat", "lchown", "close", "close_range", "dup", "dup2", "dup3",
	"fadvise64", "fallocate", "fcntl", "fdatasync", "fgetxattr", "flock", "fstat", "fstatfs",
	"fsync", "ftruncate", "getcwd", "getdents", "getdents64", "getxattr", "ioctl", "lgetxattr",
	"link", "linkat", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat",
	"open", "openat", "pread64", "preadv", "pwrite64", "pwritev", "read", "readahead",
	"readlink", "readlinkat", "readv", "rename", "renameat", "renameat2", "rmdir", "stat",
	"statfs", "statx", "symlink", "symlinkat", "sync_file_range", "truncate", "umask",
	"unlink", "unlinkat", "utimensat", "write", "writev",
	/* sockets; address families are the unit's business */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt",
	"listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto",
	"setsockopt", "shutdown", "socket", "socketpair",
	/* the main loop */
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2",
	"inotify_add_watch", "inotify_init1", "inotify_rm_watch", "pidfd_open", "pidfd_send_signal",
	"poll", "ppoll", "pselect6", "select", "signalfd4", "timerfd_create", "timerfd_gettime",
	"timerfd_settime", "memfd_create", "pipe", "pipe2",
	/* memory and threads */
	"brk", "clone", "clone3", "futex", "futex_waitv", "get_robust_list", "madvise", "membarrier",
	"mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap", "msync", "munlock",
	"munlockall", "munmap", "rseq", "sched_getaffinity", "sched_yield", "sched_getparam",
	"sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min",
	"set_robust_list", "set_tid_address", "arch_prctl", "getpriority", "setpriority",
	/* signals and the end */
	"exit", "exit_group", "kill", "tgkill", "restart_syscall", "rt_sigaction",
	"rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "sigaltstack",
	/* who and when */
	"capget", "clock_getres", "clock_gettime", "clock_nanosleep", "getegid", "geteuid",
	"getgid", "getgroups", "getpgrp", "getpid", "getppid", "getrandom", "getresgid",
	"getresuid", "getrlimit", "getrusage", "getsid", "gettid", "gettimeofday", "getuid",
	"nanosleep", "prctl", "prlimit64", "sysinfo", "time", "times", "uname",
	NULL,
};

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

/* @also: may be NULL */
static int install_filter(const char *const *allowed, const char *const *also, struct error *e)
{
	scmp_filter_ctx filter;
	int r;

	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return error_oom(e);
	r = add_rules(filter, allowed);
	if (r == 0 && also)
		r = add_rules(filter, also);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	if (r < 0)
		return error_fail(e, r, "Cannot restrict system calls: %s", strerror(-r));
	return 0;
}

int harden_seccomp(const char *const *allowed, struct error *e)
{
	return install_filter(allowed, /* also= */ NULL, e);
}

int harden_seccomp_daemon(const char *const *also, struct error *e)
{
	return install_filter(daemon_allowed, also, e);
}
