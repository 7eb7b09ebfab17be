/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/user.h"

#include <string.h>

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

bool user_name_valid(const char *name)
{
	size_t n = strnlen(name, USER_NAME_MAX + 1);

	return n > 0 && n <= USER_NAME_MAX && strspn(name, ALNUM) > 0 &&
	       strspn(name, ALNUM "._-@") == n;
}
