// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/keystate.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"
#include "kmip/kmip.h"

static const struct {
	const char *name;
	const char *text;
} states[] = {
	[KEYSTATE_AVAILABLE] = { "", "available" },
	[KEYSTATE_MISSING_IN_CACHE] = {
		"KeyStateMissingInCache", "nobody holds the key, and its ID names no provider",
	},
	[KEYSTATE_PROVIDER_INVALID] = { "KeyStateClusterInvalid", "the key provider is not valid" },
	[KEYSTATE_PROVIDER_UNREACHABLE] = {
		"KeyStateClusterUnreachable", "the key provider cannot be reached",
	},
	[KEYSTATE_MISSING] = { "KeyStateMissingInKMS", "the key server has no such key" },
	[KEYSTATE_NOT_ACTIVE] = { "KeyStateNotActiveOrEnabled", "the key is not active" },
	[KEYSTATE_TRUST_AUTHORITY] = {
		"KeyStateManagedByTrustAuthority", "the key belongs to a trust authority",
	},
	[KEYSTATE_NATIVE] = { "KeyStateManagedByNKP", "the key belongs to a native provider" },
	[KEYSTATE_NO_PERMISSION] = {
		"NoPermissionToAccessKeyProvider", "the key provider does not allow access to the key",
	},
	[KEYSTATE_WRAPPING_MISSING] = {
		"WrappingKeyMissingInKMS", "the key server has no such wrapping key",
	},
	[KEYSTATE_WRAPPING_NOT_ACTIVE] = {
		"WrappingKeyNotActiveOrEnabled", "the wrapping key is not active",
	},
};

const char *keystate_name(enum keystate state)
{
	return state < ARRAY_SIZE(states) ? states[state].name : "";
}

const char *keystate_text(enum keystate state)
{
	return state < ARRAY_SIZE(states) ? states[state].text : "";
}

int keystate_named(const char *name, enum keystate *ret)
{
	size_t i;

	for (i = KEYSTATE_MISSING_IN_CACHE; i < ARRAY_SIZE(states); i++)
		if (strcmp(states[i].name, name) == 0) {
			*ret = (enum keystate) i;
			return 0;
		}
	return -EINVAL;
}

enum keystate keystate_of_error(int code, bool wrapping)
{
	switch (code) {
	case 0:
		return KEYSTATE_AVAILABLE;
	case -ENOKEY:
		return wrapping ? KEYSTATE_WRAPPING_MISSING : KEYSTATE_MISSING;
	case -EKEYREJECTED:
		return wrapping ? KEYSTATE_WRAPPING_NOT_ACTIVE : KEYSTATE_NOT_ACTIVE;
	case -EACCES:
		return KEYSTATE_NO_PERMISSION;
	case -EINVAL:
	case -ENOENT:
		return KEYSTATE_PROVIDER_INVALID;
	default:
		return KEYSTATE_PROVIDER_UNREACHABLE;
	}
}

enum keystate keystate_of_kmip(uint32_t state, bool wrapping)
{
	switch (state) {
	case KMIP_ACTIVE:
		return KEYSTATE_AVAILABLE;
	case KMIP_DESTROYED:
	case KMIP_DESTROYED_COMPROMISED:
		return keystate_of_error(-ENOKEY, wrapping);
	default:
		return keystate_of_error(-EKEYREJECTED, wrapping);
	}
}
