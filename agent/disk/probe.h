/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMCRYPT_DISK_PROBE_H
#define VMCRYPT_DISK_PROBE_H

#include "common/errors.h"

/**
 * probe_empty() - 0 when libblkid finds no signature on a device or file
 *
 * -EEXIST, with what was found in the text.
 */
int probe_empty(const char *path, struct error *e);

#endif
