/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why a key cannot be had: vSphere's ten reasons, by vSphere's names.
 */
#ifndef VMCRYPT_KMIP_KEYSTATE_H
#define VMCRYPT_KMIP_KEYSTATE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * enum keystate - CryptoManagerKmipCryptoKeyStatusKeyUnavailableReason
 * @KEYSTATE_AVAILABLE: it can be had
 * @KEYSTATE_MISSING_IN_CACHE: nobody holds it, and its ID names no provider
 * @KEYSTATE_PROVIDER_INVALID: no such provider, or one without a usable server
 * @KEYSTATE_PROVIDER_UNREACHABLE: no server of the provider answers as it should
 * @KEYSTATE_MISSING: the key server has no such key
 * @KEYSTATE_NOT_ACTIVE: the key is there, and not active
 * @KEYSTATE_TRUST_AUTHORITY: it belongs to a trust authority
 * @KEYSTATE_NATIVE: it belongs to a native provider
 * @KEYSTATE_NO_PERMISSION: the key server does not let us have it
 * @KEYSTATE_WRAPPING_MISSING: the key that it is wrapped with is not there
 * @KEYSTATE_WRAPPING_NOT_ACTIVE: the key that it is wrapped with is not active
 */
enum keystate {
	KEYSTATE_AVAILABLE,
	KEYSTATE_MISSING_IN_CACHE,
	KEYSTATE_PROVIDER_INVALID,
	KEYSTATE_PROVIDER_UNREACHABLE,
	KEYSTATE_MISSING,
	KEYSTATE_NOT_ACTIVE,
	KEYSTATE_TRUST_AUTHORITY,
	KEYSTATE_NATIVE,
	KEYSTATE_NO_PERMISSION,
	KEYSTATE_WRAPPING_MISSING,
	KEYSTATE_WRAPPING_NOT_ACTIVE,
};

/**
 * keystate_name() - "KeyStateMissingInKMS"; "" for KEYSTATE_AVAILABLE and no state
 */
const char *keystate_name(enum keystate state);

/**
 * keystate_text() - the same in words
 */
const char *keystate_text(enum keystate state);

/**
 * keystate_named() - the reverse of keystate_name()
 *
 * Return: 0; -EINVAL (no such name).
 */
int keystate_named(const char *name, enum keystate *ret);

/**
 * keystate_of_error() - which reason a failure of client or servers stands for
 * @code: 0 or -errno
 * @wrapping: it was about the key that the wanted one is wrapped with
 *
 * What tells nothing of the key itself means that no server was of use.
 */
enum keystate keystate_of_error(int code, bool wrapping);

/**
 * keystate_of_kmip() - whether a key in this enum kmip_state is to be had
 *
 * One that was destroyed is missing, whatever the server still knows of it.
 */
enum keystate keystate_of_kmip(uint32_t state, bool wrapping);

#endif
