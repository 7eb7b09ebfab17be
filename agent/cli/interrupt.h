/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ctrl-C for a command that has something to finish first. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>

#include "common/errors.h"

/**
 * struct interrupt - SIGINT and SIGTERM, which are held back and asked for
 * @fd: readable once one of them has come
 */
struct interrupt {
	int fd;
};

/**
 * interrupt_begin() - from now on these signals do not end the process
 * @ret: for interrupt_done(), which leaves the signals blocked; written only on success
 *
 * Call it before there are threads.
 */
int interrupt_begin(struct interrupt *ret, struct error *e);
void interrupt_done(struct interrupt *i);

/**
 * interrupt_wait() - wait for one of them
 * @ms: so long at most; 0: only look
 *
 * Return: whether one has come.
 */
bool interrupt_wait(const struct interrupt *i, int ms);

#define _cleanup_interrupt_ __attribute__((cleanup(interrupt_done)))

#endif
