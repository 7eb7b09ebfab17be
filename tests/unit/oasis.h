/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hands of test_kmip_oasis.py: requests made out of descriptions in JSON, and
 * answers said in JSON.
 */
#ifndef VMCRYPT_TESTS_OASIS_H
#define VMCRYPT_TESTS_OASIS_H

#include "unit.h"

#include <jansson.h>

#include "kmip/response.h"

struct described {
	struct kmip_request requests[KMIP_BATCH_MAX];
	struct kmip_attribute attributes[KMIP_BATCH_MAX][32];
	struct kmip_wrapping wrappings[KMIP_BATCH_MAX];
	struct secret keys[KMIP_BATCH_MAX];
};

static uint32_t number_in(const json_t *json, const char *name)
{
	return (uint32_t) json_integer_value(json_object_get(json, name));
}

static inline void describe_attribute(const json_t *json, struct kmip_attribute *ret)
{
	const char *text = json_string_value(json_object_get(json, "text"));

	assert_int_equal(kmip_attribute_named(json_string_value(json_object_get(json, "name")), ret, NULL), 0);
	if (json_is_true(json_object_get(json, "named")))
		ret->kind = KMIP_KIND_NAME;
	ret->number = json_integer_value(json_object_get(json, "number"));
	snprintf(ret->text, sizeof(ret->text), "%s", text ? text : "");
}

static inline void describe(const json_t *json, struct described *d, size_t i)
{
	const json_t *wrapping = json_object_get(json, "wrapping");
	const json_t *attributes = json_object_get(json, "attributes");
	const char *key = json_string_value(json_object_get(json, "key"));
	size_t n = json_array_size(attributes), k;

	assert_true(n <= ARRAY_SIZE(d->attributes[i]));
	for (k = 0; k < n; k++)
		describe_attribute(json_array_get(attributes, k), &d->attributes[i][k]);
	if (key)
		d->keys[i] = unit_secret_hex(key);
	if (wrapping) {
		snprintf(d->wrappings[i].key_id, KMIP_ID_SIZE, "%s",
			 json_string_value(json_object_get(wrapping, "id")));
		d->wrappings[i].mode = number_in(wrapping, "mode");
		d->wrappings[i].encoding = number_in(wrapping, "encoding");
	}
	d->requests[i] = (struct kmip_request) {
		.operation = number_in(json, "operation"),
		.id = json_string_value(json_object_get(json, "id")),
		.reference = number_in(json, "reference"),
		.object_type = number_in(json, "object_type"),
		.attributes = d->attributes[i],
		.n_attributes = n,
		.key = key ? &d->keys[i] : NULL,
		.algorithm = number_in(json, "algorithm"),
		.length = (int32_t) number_in(json, "length"),
		.wrapping = wrapping ? &d->wrappings[i] : NULL,
		.key_format = number_in(json, "key_format"),
		.wrap_type = number_in(json, "wrap_type"),
		.maximum_items = (int32_t) number_in(json, "maximum_items"),
		.revocation = number_in(json, "revocation"),
		.compromised = json_integer_value(json_object_get(json, "compromised")),
	};
}

static inline void described_done(struct described *d)
{
	size_t i;

	for (i = 0; i < KMIP_BATCH_MAX; i++)
		secret_done(&d->keys[i]);
}

static json_t *attribute_json(const struct kmip_attribute *a)
{
	json_t *json = json_object();

	if (a->tag)
		json_object_set_new(json, "tag", json_integer(a->tag));
	else
		json_object_set_new(json, "name", json_string(a->name));
	if (a->kind == KMIP_KIND_TEXT || a->kind == KMIP_KIND_NAME)
		json_object_set_new(json, "text", json_string(a->text));
	else if (a->kind != KMIP_KIND_OTHER)
		json_object_set_new(json, "number", json_integer(a->number));
	return json;
}

static int add_attributes(const struct kmip_response *response, struct ttlv_reader payload,
			  uint32_t operation, json_t *json, struct error *e)
{
	struct ttlv_reader r = payload;
	json_t *found = json_array();
	struct kmip_attribute a;
	int rc;

	json_object_set_new(json, "attributes", found);
	if (response->version.major >= 2 && operation != KMIP_GET_ATTRIBUTE_LIST) {
		if (operation != KMIP_GET_ATTRIBUTES || payload.left == 0)
			return 0;
		rc = kmip_attributes(&payload, &response->version, &r, e);
		if (rc < 0)
			return rc;
	}
	while ((rc = operation == KMIP_GET_ATTRIBUTE_LIST ?
			kmip_next_reference(&r, &response->version, &a, e) :
			kmip_next_attribute(&r, &response->version, &a, e)) > 0) {
		if (operation == KMIP_GET_ATTRIBUTE_LIST)
			a.kind = KMIP_KIND_OTHER;
		json_array_append_new(found, attribute_json(&a));
	}
	return rc;
}

/* Locate alone tells none or several. */
static int add_ids(const struct kmip_response *response, size_t i, uint32_t operation, json_t *json,
		   struct error *e)
{
	struct ttlv_reader payload = response->results[i].payload;
	json_t *found = json_array();
	char id[KMIP_ID_SIZE];
	int rc;

	json_object_set_new(json, "ids", found);
	if (operation != KMIP_LOCATE && payload.left) {
		rc = kmip_get_id(response, i, id, e);
		if (rc == 0)
			json_array_append_new(found, json_string(id));
		return rc;
	}
	while ((rc = kmip_next_id(&payload, id, e)) > 0)
		json_array_append_new(found, json_string(id));
	return rc;
}

static int add_key(struct ttlv_reader payload, json_t *json, struct error *e)
{
	_cleanup_kmip_key_ struct kmip_key key = { .material = SECRET_NULL };
	char hex[513];
	int r;

	r = kmip_get_key(&payload, &key, e);
	if (r < 0)
		return r;
	assert_true(key.material.size <= 256);
	hex_encode(key.material.data, key.material.size, hex);
	json_object_set_new(json, "key", json_pack("{s:s, s:i, s:i, s:b}", "material", hex, "algorithm",
						   (int) key.algorithm, "length", (int) key.length,
						   "wrapped", key.wrapped));
	if (key.wrapped)
		json_object_set_new(json, "wrapping", json_pack("{s:s, s:i, s:i}", "id", key.wrapping.key_id,
								"mode", (int) key.wrapping.mode, "encoding",
								(int) key.wrapping.encoding));
	return 0;
}

static inline int add_result(const struct kmip_response *response, size_t i, uint32_t operation,
		      json_t *results, struct error *e)
{
	const struct kmip_result *result = &response->results[i];
	json_t *json = json_pack("{s:i, s:i, s:s}", "status", (int) result->status, "reason",
				 (int) result->reason, "message", result->message);
	int r;

	json_array_append_new(results, json);
	r = add_ids(response, i, operation, json, e);
	if (r == 0)
		r = add_attributes(response, result->payload, operation, json, e);
	if (r == 0 && operation == KMIP_GET && result->status == KMIP_SUCCESS)
		r = add_key(result->payload, json, e);
	return r;
}

/* One description after the other from a file. */
static inline int each(FILE *from, int (*one)(const json_t *json))
{
	json_t *json;
	int r = secret_init();

	while (r == 0 && (json = json_loadf(from, JSON_DISABLE_EOF_CHECK, NULL))) {
		r = one(json);
		json_decref(json);
	}
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
