/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system calls of vmcryptd. */
#ifndef HOST_SECCOMP_H
#define HOST_SECCOMP_H

#include "common/errors.h"

/* From here on only what the agent needs; other calls fail with EPERM. */
int host_seccomp(struct error *e);

#endif /* HOST_SECCOMP_H */
