/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A descriptor that one thread waits for and any other makes readable.
 */
#ifndef VMCRYPT_COMMON_WAKEUP_H
#define VMCRYPT_COMMON_WAKEUP_H

/** wakeup_new() - not readable yet. Return: the descriptor, the caller closes it; -errno */
int wakeup_new(void);

/** wakeup_set() - make it readable; it may be so already. From any thread */
void wakeup_set(int fd);

/** wakeup_clear() - it is not readable any more. Return: 0 or -errno */
int wakeup_clear(int fd);

#endif
