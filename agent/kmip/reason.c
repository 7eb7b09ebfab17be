// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/reason.h"

#include "common/cleanup.h"
#include "vmcrypt.h"

static const struct reason {
	const char *name;
	uint32_t reason;
	enum kmip_class class;
} reasons[] = {
	{ "Item Not Found", 0x01, KMIP_NOT_FOUND },
	{ "Response Too Large", 0x02, KMIP_PROTOCOL },
	{ "Authentication Not Successful", 0x03, KMIP_DENIED },
	{ "Invalid Message", 0x04, KMIP_PROTOCOL },
	{ "Operation Not Supported", 0x05, KMIP_UNSUPPORTED },
	{ "Missing Data", 0x06, KMIP_PROTOCOL },
	{ "Invalid Field", 0x07, KMIP_PROTOCOL },
	{ "Feature Not Supported", 0x08, KMIP_UNSUPPORTED },
	{ "Operation Canceled By Requester", 0x09, KMIP_TRANSIENT },
	{ "Cryptographic Failure", 0x0a, KMIP_PROTOCOL },
	{ "Illegal Operation", 0x0b, KMIP_PROTOCOL },
	{ "Permission Denied", 0x0c, KMIP_DENIED },
	{ "Object Archived", 0x0d, KMIP_BAD_STATE },
	{ "Index Out Of Bounds", 0x0e, KMIP_PROTOCOL },
	{ "Application Namespace Not Supported", 0x0f, KMIP_UNSUPPORTED },
	{ "Key Format Type Not Supported", 0x10, KMIP_UNSUPPORTED },
	{ "Key Compression Type Not Supported", 0x11, KMIP_UNSUPPORTED },
	{ "Encoding Option Error", 0x12, KMIP_UNSUPPORTED },
	{ "Key Value Not Present", 0x13, KMIP_NOT_FOUND },
	{ "Attestation Required", 0x14, KMIP_DENIED },
	{ "Attestation Failed", 0x15, KMIP_DENIED },
	{ "Sensitive", 0x16, KMIP_DENIED },
	{ "Not Extractable", 0x17, KMIP_DENIED },
	{ "Object Already Exists", 0x18, KMIP_BAD_STATE },
	{ "Invalid Ticket", 0x19, KMIP_DENIED },
	{ "Usage Limit Exceeded", 0x1a, KMIP_BAD_STATE },
	{ "Invalid Data Type", 0x1c, KMIP_PROTOCOL },
	{ "Unsupported Attribute", 0x1f, KMIP_UNSUPPORTED },
	{ "Attribute Instance Not Found", 0x20, KMIP_NOT_FOUND },
	{ "Attribute Not Found", 0x21, KMIP_NOT_FOUND },
	{ "Attribute Read Only", 0x22, KMIP_DENIED },
	{ "Bad Password", 0x25, KMIP_DENIED },
	{ "Codec Error", 0x26, KMIP_PROTOCOL },
	{ "Incompatible Cryptographic Usage Mask", 0x29, KMIP_BAD_STATE },
	{ "Internal Server Error", 0x2a, KMIP_TRANSIENT },
	{ "Key Wrap Type Not Supported", 0x32, KMIP_UNSUPPORTED },
	{ "Object Destroyed", 0x36, KMIP_NOT_FOUND },
	{ "Object Not Found", 0x37, KMIP_NOT_FOUND },
	{ "Not Authorised", 0x39, KMIP_DENIED },
	{ "Server Limit Exceeded", 0x3a, KMIP_TRANSIENT },
	{ "Unknown Enumeration", 0x3b, KMIP_PROTOCOL },
	{ "Unknown Tag", 0x3d, KMIP_PROTOCOL },
	{ "Unsupported Cryptographic Parameters", 0x3e, KMIP_UNSUPPORTED },
	{ "Unsupported Protocol Version", 0x3f, KMIP_UNSUPPORTED },
	{ "Wrapping Object Archived", 0x40, KMIP_BAD_STATE },
	{ "Wrapping Object Destroyed", 0x41, KMIP_NOT_FOUND },
	{ "Wrapping Object Not Found", 0x42, KMIP_NOT_FOUND },
	{ "Wrong Key Lifecycle State", 0x43, KMIP_BAD_STATE },
	{ "Constraint Violation", 0x4b, KMIP_BAD_STATE },
	{ "General Failure", 0x100, KMIP_TRANSIENT },
};

static const struct {
	const char *advice;
	int code;
	enum exit_status status;
	uint32_t reason;
} classes[] = {
	[KMIP_NOT_FOUND] = {
		"check the key ID, and that all servers of the provider hold the same keys",
		ENOKEY, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
	},
	[KMIP_DENIED] = {
		"check the rights that the key server gives to this client",
		EACCES, EXIT_NOT_ALLOWED, VMCRYPT_REASON_NOT_ALLOWED,
	},
	[KMIP_BAD_STATE] = {
		"look at the key's state on the key server",
		EKEYREJECTED, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
	},
	[KMIP_UNSUPPORTED] = {
		"the key server cannot do this; see its documentation",
		EOPNOTSUPP, EXIT_FAILED, 0,
	},
	[KMIP_TRANSIENT] = {
		"try again, and look into the key server's log",
		EAGAIN, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
	},
	[KMIP_PROTOCOL] = {
		"look into the key server's log",
		EPROTO, EXIT_FAILED, 0,
	},
};

static const struct reason *find_reason(uint32_t reason)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++)
		if (reasons[i].reason == reason)
			return &reasons[i];
	return NULL;
}

enum kmip_class kmip_reason_class(uint32_t reason)
{
	const struct reason *found = find_reason(reason);

	return found ? found->class : KMIP_PROTOCOL;
}

const char *kmip_reason_name(uint32_t reason)
{
	const struct reason *found = find_reason(reason);

	return found ? found->name : "unknown reason";
}

int kmip_refused(const char *operation, uint32_t reason, const char *message, struct error *e)
{
	enum kmip_class class = kmip_reason_class(reason);

	return error_set(e, classes[class].code, classes[class].status, classes[class].reason,
			 "The key server refused %s: %s (%x)%s%s; %s", operation,
			 kmip_reason_name(reason), reason, message[0] ? ", it says: " : "", message,
			 classes[class].advice);
}
