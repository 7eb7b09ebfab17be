/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a key server's refusal means: the reasons of 1.x and 2.x on one small set
 * of errors.
 */
#ifndef VMCRYPT_KMIP_REASON_H
#define VMCRYPT_KMIP_REASON_H

#include <stdint.h>

#include "common/errors.h"

/**
 * enum kmip_class - kinds of refusals
 * @KMIP_NOT_FOUND: no such object or attribute: -ENOKEY
 * @KMIP_DENIED: who asks may not: -EACCES
 * @KMIP_BAD_STATE: the object's state forbids it: -EKEYREJECTED
 * @KMIP_UNSUPPORTED: the server cannot do this: -EOPNOTSUPP
 * @KMIP_TRANSIENT: it may go later, or on another server: -EAGAIN
 * @KMIP_PROTOCOL: the server does not take the request as it is: -EPROTO
 */
enum kmip_class {
	KMIP_NOT_FOUND,
	KMIP_DENIED,
	KMIP_BAD_STATE,
	KMIP_UNSUPPORTED,
	KMIP_TRANSIENT,
	KMIP_PROTOCOL,
};

/**
 * kmip_reason_class() - the class of a result reason
 *
 * KMIP 1.4 section 9.1.3.2.29, 2.1 section 11.48. What is not known there, and
 * 0 for no reason, is KMIP_PROTOCOL.
 */
enum kmip_class kmip_reason_class(uint32_t reason);

/**
 * kmip_reason_name() - "Item Not Found"; "unknown reason" for others
 */
const char *kmip_reason_name(uint32_t reason);

/**
 * kmip_refused() - set an error out of a refusal
 * @operation: what was asked, in words
 * @reason: result reason
 * @message: the server's words, may be empty
 *
 * Return: the class's -errno.
 */
int kmip_refused(const char *operation, uint32_t reason, const char *message, struct error *e);

#endif
