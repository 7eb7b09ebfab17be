/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * free() and realloc() that erase, for the whole process.
 */
#ifndef VMCRYPT_COMMON_CLEANSE_H
#define VMCRYPT_COMMON_CLEANSE_H

#include <stdbool.h>

/**
 * cleanse_active() - whether freed memory is erased in this program
 *
 * secret_init() refers to it, which is what draws the allocator into each
 * program that handles secrets. False in builds with a sanitizer.
 */
bool cleanse_active(void);

#endif
