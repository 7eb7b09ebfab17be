/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/seccomp.h"

#include <stddef.h>

#include "common/harden.h"

static const char *const allowed[] = {
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

int manager_seccomp(struct error *e)
{
	return harden_seccomp(allowed, e);
}
