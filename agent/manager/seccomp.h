/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANAGER_SECCOMP_H
#define MANAGER_SECCOMP_H

#include "common/errors.h"

/** manager_seccomp() - from here on only the system calls that the manager needs */
int manager_seccomp(struct error *e);

#endif
