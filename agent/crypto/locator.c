// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto/locator.h"

#include <stdio.h>
#include <string.h>

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void locator_format(const struct key_locator *locator, char ret[LOCATOR_TEXT_SIZE])
{
	snprintf(ret, LOCATOR_TEXT_SIZE, "%s/%s", locator->provider_name, locator->key_id);
}

bool provider_name_valid(const char *name)
{
	size_t n = strlen(name), i;

	if (n == 0 || n > PROVIDER_NAME_MAX || !is_alnum(name[0]))
		return false;
	for (i = 1; i < n; i++)
		if (!is_alnum(name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

bool key_id_valid(const char *key_id)
{
	size_t n = strlen(key_id), i;

	if (n == 0 || n > KEY_ID_MAX)
		return false;
	for (i = 0; i < n; i++)
		if (key_id[i] <= ' ' || key_id[i] > '~' || strchr("/\"\\", key_id[i]))
			return false;
	return true;
}
