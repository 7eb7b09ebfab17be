// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/request.h"

#include <string.h>

#include "common/cleanup.h"

static const struct kmip_version versions[] = {
	{ 1, 0 }, { 1, 1 }, { 1, 2 }, { 1, 3 }, { 1, 4 }, { 2, 0 }, { 2, 1 },
};

bool kmip_version_known(const struct kmip_version *version)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i].major == version->major && versions[i].minor == version->minor)
			return true;
	return false;
}

void kmip_batch_id(size_t i, uint8_t ret[KMIP_BATCH_ID_SIZE])
{
	const uint8_t id[KMIP_BATCH_ID_SIZE] = { 'v', 'm', (uint8_t) (i >> 8), (uint8_t) i };

	memcpy(ret, id, sizeof(id));
}

static void put_version(struct ttlv_writer *w, const struct kmip_version *version)
{
	ttlv_begin(w, KMIP_TAG_PROTOCOL_VERSION);
	ttlv_put_integer(w, KMIP_TAG_VERSION_MAJOR, version->major);
	ttlv_put_integer(w, KMIP_TAG_VERSION_MINOR, version->minor);
	ttlv_end(w);
}

static void put_credential(struct ttlv_writer *w, const struct kmip_options *options)
{
	ttlv_begin(w, KMIP_TAG_AUTHENTICATION);
	ttlv_begin(w, KMIP_TAG_CREDENTIAL);
	ttlv_put_enumeration(w, KMIP_TAG_CREDENTIAL_TYPE, KMIP_USERNAME_AND_PASSWORD);
	ttlv_begin(w, KMIP_TAG_CREDENTIAL_VALUE);
	ttlv_put_text(w, KMIP_TAG_USERNAME, options->user);
	if (options->password)
		ttlv_put_secret_text(w, KMIP_TAG_PASSWORD, options->password);
	ttlv_end(w);
	ttlv_end(w);
	ttlv_end(w);
}

/* No time stamp: servers refuse one that differs from their own clock. */
static void put_header(struct ttlv_writer *w, const struct kmip_options *options, size_t n)
{
	ttlv_begin(w, KMIP_TAG_REQUEST_HEADER);
	put_version(w, &options->version);
	if (options->maximum_response)
		ttlv_put_integer(w, KMIP_TAG_MAXIMUM_RESPONSE_SIZE, options->maximum_response);
	if (options->user)
		put_credential(w, options);
	if (options->ordered)
		ttlv_put_boolean(w, KMIP_TAG_BATCH_ORDER_OPTION, true);
	ttlv_put_integer(w, KMIP_TAG_BATCH_COUNT, (int32_t) n);
	ttlv_end(w);
}

static void put_id(struct ttlv_writer *w, const struct kmip_request *request)
{
	if (request->id)
		ttlv_put_text(w, KMIP_TAG_UNIQUE_IDENTIFIER, request->id);
	else if (request->reference)
		ttlv_put_enumeration(w, KMIP_TAG_UNIQUE_IDENTIFIER, request->reference);
	else if (request->nth)
		ttlv_put_integer(w, KMIP_TAG_UNIQUE_IDENTIFIER, *request->nth);
}

/* KMIP 1.4 sections 2.1.5 and 2.1.6: the same items under two tags. */
static void put_wrapping(struct ttlv_writer *w, uint32_t tag, const struct kmip_wrapping *wrapping)
{
	ttlv_begin(w, tag);
	ttlv_put_enumeration(w, KMIP_TAG_WRAPPING_METHOD, KMIP_WRAP_ENCRYPT);
	ttlv_begin(w, KMIP_TAG_ENCRYPTION_KEY_INFORMATION);
	ttlv_put_text(w, KMIP_TAG_UNIQUE_IDENTIFIER, wrapping->key_id);
	ttlv_begin(w, KMIP_TAG_PARAMETERS);
	ttlv_put_enumeration(w, KMIP_TAG_BLOCK_CIPHER_MODE, wrapping->mode);
	ttlv_end(w);
	ttlv_end(w);
	if (wrapping->encoding)
		ttlv_put_enumeration(w, KMIP_TAG_ENCODING_OPTION, wrapping->encoding);
	ttlv_end(w);
}

static void put_key(struct ttlv_writer *w, const struct kmip_request *request)
{
	ttlv_begin(w, KMIP_TAG_SYMMETRIC_KEY);
	ttlv_begin(w, KMIP_TAG_KEY_BLOCK);
	ttlv_put_enumeration(w, KMIP_TAG_KEY_FORMAT_TYPE, KMIP_RAW);
	if (request->wrapping && request->wrapping->encoding != KMIP_NO_ENCODING) {
		ttlv_put_bytes(w, KMIP_TAG_KEY_VALUE, request->key->data, request->key->size);
	} else {
		ttlv_begin(w, KMIP_TAG_KEY_VALUE);
		ttlv_put_bytes(w, KMIP_TAG_KEY_MATERIAL, request->key->data, request->key->size);
		ttlv_end(w);
	}
	if (request->algorithm)
		ttlv_put_enumeration(w, KMIP_TAG_ALGORITHM, request->algorithm);
	if (request->length)
		ttlv_put_integer(w, KMIP_TAG_LENGTH, request->length);
	if (request->wrapping)
		put_wrapping(w, KMIP_TAG_KEY_WRAPPING_DATA, request->wrapping);
	ttlv_end(w);
	ttlv_end(w);
}

static void put_discover(struct ttlv_writer *w, const struct kmip_version *version,
			 const struct kmip_request *request)
{
	size_t i;

	(void) version;
	for (i = 0; i < request->n_versions; i++)
		put_version(w, &request->versions[i]);
}

static void put_query(struct ttlv_writer *w, const struct kmip_version *version,
		      const struct kmip_request *request)
{
	size_t i;

	(void) version;
	for (i = 0; i < request->n_queries; i++)
		ttlv_put_enumeration(w, KMIP_TAG_QUERY_FUNCTION, request->queries[i]);
}

static void put_create(struct ttlv_writer *w, const struct kmip_version *version,
		       const struct kmip_request *request)
{
	ttlv_put_enumeration(w, KMIP_TAG_OBJECT_TYPE, request->object_type);
	kmip_put_attributes(w, version, request->attributes, request->n_attributes);
}

static void put_register(struct ttlv_writer *w, const struct kmip_version *version,
			 const struct kmip_request *request)
{
	put_create(w, version, request);
	put_key(w, request);
}

static void put_rekey(struct ttlv_writer *w, const struct kmip_version *version,
		      const struct kmip_request *request)
{
	put_id(w, request);
	if (request->n_attributes)
		kmip_put_attributes(w, version, request->attributes, request->n_attributes);
}

/* 1.x has the attributes in the payload itself. */
static void put_locate(struct ttlv_writer *w, const struct kmip_version *version,
		       const struct kmip_request *request)
{
	size_t i;

	if (request->maximum_items)
		ttlv_put_integer(w, KMIP_TAG_MAXIMUM_ITEMS, request->maximum_items);
	if (version->major >= 2) {
		kmip_put_attributes(w, version, request->attributes, request->n_attributes);
		return;
	}
	for (i = 0; i < request->n_attributes; i++)
		kmip_put_attribute(w, version, &request->attributes[i]);
}

static void put_get(struct ttlv_writer *w, const struct kmip_version *version,
		    const struct kmip_request *request)
{
	(void) version;
	put_id(w, request);
	if (request->key_format)
		ttlv_put_enumeration(w, KMIP_TAG_KEY_FORMAT_TYPE, request->key_format);
	if (request->wrap_type)
		ttlv_put_enumeration(w, KMIP_TAG_KEY_WRAP_TYPE, request->wrap_type);
	if (request->wrapping)
		put_wrapping(w, KMIP_TAG_KEY_WRAPPING_SPECIFICATION, request->wrapping);
}

static void put_references(struct ttlv_writer *w, const struct kmip_version *version,
			   const struct kmip_request *request)
{
	size_t i;

	put_id(w, request);
	for (i = 0; i < request->n_attributes; i++)
		kmip_put_reference(w, version, &request->attributes[i]);
}

/* Add and Modify: 2.x puts its new value into a structure, KMIP 2.1 section 6.1.2. */
static void put_attribute(struct ttlv_writer *w, const struct kmip_version *version,
			  const struct kmip_request *request)
{
	put_id(w, request);
	if (version->major >= 2)
		ttlv_begin(w, KMIP_TAG_NEW_ATTRIBUTE);
	kmip_put_attribute(w, version, &request->attributes[0]);
	if (version->major >= 2)
		ttlv_end(w);
}

static void put_revoke(struct ttlv_writer *w, const struct kmip_version *version,
		       const struct kmip_request *request)
{
	(void) version;
	put_id(w, request);
	ttlv_begin(w, KMIP_TAG_REVOCATION_REASON);
	ttlv_put_enumeration(w, KMIP_TAG_REVOCATION_CODE, request->revocation);
	if (request->message)
		ttlv_put_text(w, KMIP_TAG_REVOCATION_MESSAGE, request->message);
	ttlv_end(w);
	if (request->compromised)
		ttlv_put_date(w, KMIP_TAG_COMPROMISE_OCCURRENCE_DATE, request->compromised);
}

static void put_id_only(struct ttlv_writer *w, const struct kmip_version *version,
			const struct kmip_request *request)
{
	(void) version;
	put_id(w, request);
}

enum need {
	NEED_OBJECT_TYPE	= 1 << 0,
	NEED_KEY		= 1 << 1,
	NEED_ONE_ATTRIBUTE	= 1 << 2,
	NEED_REVOCATION		= 1 << 3,
	NEED_QUERY		= 1 << 4,
};

static const struct operation {
	const char *name;
	void (*put)(struct ttlv_writer *w, const struct kmip_version *version,
		    const struct kmip_request *request);
	uint32_t operation;
	unsigned int needs;
} operations[] = {
	{ "Create", put_create, KMIP_CREATE, NEED_OBJECT_TYPE },
	{ "Register", put_register, KMIP_REGISTER, NEED_OBJECT_TYPE | NEED_KEY },
	{ "Re-key", put_rekey, KMIP_REKEY, 0 },
	{ "Locate", put_locate, KMIP_LOCATE, 0 },
	{ "Get", put_get, KMIP_GET, 0 },
	{ "Get Attributes", put_references, KMIP_GET_ATTRIBUTES, 0 },
	{ "Get Attribute List", put_id_only, KMIP_GET_ATTRIBUTE_LIST, 0 },
	{ "Add Attribute", put_attribute, KMIP_ADD_ATTRIBUTE, NEED_ONE_ATTRIBUTE },
	{ "Modify Attribute", put_attribute, KMIP_MODIFY_ATTRIBUTE, NEED_ONE_ATTRIBUTE },
	{ "Delete Attribute", put_references, KMIP_DELETE_ATTRIBUTE, NEED_ONE_ATTRIBUTE },
	{ "Activate", put_id_only, KMIP_ACTIVATE, 0 },
	{ "Revoke", put_revoke, KMIP_REVOKE, NEED_REVOCATION },
	{ "Destroy", put_id_only, KMIP_DESTROY, 0 },
	{ "Query", put_query, KMIP_QUERY, NEED_QUERY },
	{ "Discover Versions", put_discover, KMIP_DISCOVER_VERSIONS, 0 },
};

static const struct operation *find_operation(uint32_t operation)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(operations); i++)
		if (operations[i].operation == operation)
			return &operations[i];
	return NULL;
}

const char *kmip_operation_name(uint32_t operation)
{
	const struct operation *found = find_operation(operation);

	return found ? found->name : "operation ?";
}

static bool needs_met(unsigned int needs, const struct kmip_request *request)
{
	return !((needs & NEED_OBJECT_TYPE && !request->object_type) ||
		 (needs & NEED_KEY && (!request->key || !request->key->size)) ||
		 (needs & NEED_ONE_ATTRIBUTE && request->n_attributes != 1) ||
		 (needs & NEED_REVOCATION && !request->revocation) ||
		 (needs & NEED_QUERY && !request->n_queries));
}

/* KMIP 2.1 section 4.58: text, enumeration or integer; before 2.0 text alone. */
static bool id_fits(const struct kmip_version *version, const struct kmip_request *request)
{
	int ways = !!request->id + !!request->reference + !!request->nth;

	return ways <= 1 && (version->major >= 2 || ways == !!request->id);
}

static int put_item(struct ttlv_writer *w, const struct kmip_options *options,
		    const struct kmip_request *request, size_t i, bool with_id, struct error *e)
{
	const struct operation *operation = find_operation(request->operation);
	uint8_t id[KMIP_BATCH_ID_SIZE];

	if (!operation || !needs_met(operation->needs, request))
		return error_usage(e, "Writing a KMIP request: something is missing that %s must have",
				   kmip_operation_name(request->operation));
	if (!id_fits(&options->version, request))
		return error_usage(e, "Writing a KMIP request: a key for %s is named in a way that version %d.%d does not have",
				   operation->name, options->version.major, options->version.minor);
	ttlv_begin(w, KMIP_TAG_BATCH_ITEM);
	ttlv_put_enumeration(w, KMIP_TAG_OPERATION, request->operation);
	if (with_id) {
		kmip_batch_id(i, id);
		ttlv_put_bytes(w, KMIP_TAG_BATCH_ITEM_ID, id, sizeof(id));
	}
	ttlv_begin(w, KMIP_TAG_REQUEST_PAYLOAD);
	operation->put(w, &options->version, request);
	ttlv_end(w);
	ttlv_end(w);
	return 0;
}

int kmip_encode(const struct kmip_options *options, const struct kmip_request *requests, size_t n,
		struct secret *ret, struct error *e)
{
	_cleanup_ttlv_writer_ struct ttlv_writer w = TTLV_WRITER_NULL;
	size_t i;
	int r;

	if (!kmip_version_known(&options->version))
		return error_usage(e, "Writing a KMIP request: version %d.%d is not known; 1.0 to 1.4, 2.0 and 2.1 are",
				   options->version.major, options->version.minor);
	if (n == 0 || n > KMIP_BATCH_MAX)
		return error_usage(e, "Writing a KMIP request: it would hold %zu operations; it may hold 1 to %d",
				   n, KMIP_BATCH_MAX);

	ttlv_begin(&w, KMIP_TAG_REQUEST_MESSAGE);
	put_header(&w, options, n);
	for (i = 0; i < n; i++) {
		r = put_item(&w, options, &requests[i], i, options->with_ids || n > 1, e);
		if (r < 0)
			return r;
	}
	ttlv_end(&w);
	return ttlv_finish(&w, ret, e);
}
