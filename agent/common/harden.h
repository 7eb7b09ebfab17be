/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process that holds keys denies itself.
 */
#ifndef VMCRYPT_COMMON_HARDEN_H
#define VMCRYPT_COMMON_HARDEN_H

#include <stdbool.h>

#include "common/errors.h"

/**
 * harden_process() - no dumps, no new privileges, all memory locked
 * @lock_memory: mlockall(2) of what is and what comes; a CLI that only passes
 *	descriptors on may do without
 *
 * Also sets umask 077, silences the TPM library's own log (which can print
 * buffers), and sets up the secure heap. To be called first in main(), before
 * any thread starts.
 *
 * Return: 0 or -errno; the program must not go on after an error.
 */
int harden_process(bool lock_memory, struct error *e);

/**
 * harden_seccomp() - from here on only these system calls, for all threads
 * @allowed: names, ends in NULL; names that this machine does not know are
 *	passed over
 *
 * Others fail with EPERM. exec and ptrace are never allowed, whatever the list
 * says.
 */
int harden_seccomp(const char *const *allowed, struct error *e);

/**
 * harden_seccomp_daemon() - harden_seccomp() with what each of our daemons needs:
 * files, sockets, a main loop, memory, threads, signals
 * @also: names that this one needs besides, ends in NULL; NULL: none
 */
int harden_seccomp_daemon(const char *const *also, struct error *e);

#endif
