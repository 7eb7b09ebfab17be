/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by header.c, which reads, and header-write.c, which writes. */
#ifndef VMCRYPT_DISK_INTERNAL_H
#define VMCRYPT_DISK_INTERNAL_H

#include "crypto/wrap.h"
#include "disk/header.h"

/** header_alloc() - an empty header with its paths */
int header_alloc(const char *device, const char *header, struct disk_header **ret,
		 struct error *e);

/** header_context() - what a wrap of this header authenticates */
void header_context(const struct disk_header *h, const struct key_locator *locator,
		    struct wrap_context *ret);

#endif
