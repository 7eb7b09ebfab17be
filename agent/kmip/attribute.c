// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kmip/attribute.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define CUSTOM "x-"

/* KMIP 1.4 section 3; the names are what 1.x sends. */
static const struct known {
	uint32_t tag;
	enum kmip_kind kind;
	const char *name;
} known[] = {
	{ KMIP_TAG_ACTIVATION_DATE, KMIP_KIND_DATE, "Activation Date" },
	{ KMIP_TAG_ALGORITHM, KMIP_KIND_ENUMERATION, "Cryptographic Algorithm" },
	{ KMIP_TAG_ALWAYS_SENSITIVE, KMIP_KIND_OTHER, "Always Sensitive" },
	{ KMIP_TAG_COMPROMISE_DATE, KMIP_KIND_DATE, "Compromise Date" },
	{ KMIP_TAG_COMPROMISE_OCCURRENCE_DATE, KMIP_KIND_DATE, "Compromise Occurrence Date" },
	{ KMIP_TAG_CONTACT_INFORMATION, KMIP_KIND_TEXT, "Contact Information" },
	{ KMIP_TAG_DEACTIVATION_DATE, KMIP_KIND_DATE, "Deactivation Date" },
	{ KMIP_TAG_DESTROY_DATE, KMIP_KIND_DATE, "Destroy Date" },
	{ KMIP_TAG_DIGEST, KMIP_KIND_OTHER, "Digest" },
	{ KMIP_TAG_EXTRACTABLE, KMIP_KIND_OTHER, "Extractable" },
	{ KMIP_TAG_FRESH, KMIP_KIND_OTHER, "Fresh" },
	{ KMIP_TAG_INITIAL_DATE, KMIP_KIND_DATE, "Initial Date" },
	{ KMIP_TAG_LAST_CHANGE_DATE, KMIP_KIND_DATE, "Last Change Date" },
	{ KMIP_TAG_LEASE_TIME, KMIP_KIND_OTHER, "Lease Time" },
	{ KMIP_TAG_LENGTH, KMIP_KIND_INTEGER, "Cryptographic Length" },
	{ KMIP_TAG_LINK, KMIP_KIND_OTHER, "Link" },
	{ KMIP_TAG_NAME, KMIP_KIND_NAME, "Name" },
	{ KMIP_TAG_NEVER_EXTRACTABLE, KMIP_KIND_OTHER, "Never Extractable" },
	{ KMIP_TAG_OBJECT_GROUP, KMIP_KIND_TEXT, "Object Group" },
	{ KMIP_TAG_OBJECT_TYPE, KMIP_KIND_ENUMERATION, "Object Type" },
	{ KMIP_TAG_ORIGINAL_CREATION_DATE, KMIP_KIND_DATE, "Original Creation Date" },
	{ KMIP_TAG_PARAMETERS, KMIP_KIND_MODE, "Cryptographic Parameters" },
	{ KMIP_TAG_PROCESS_START_DATE, KMIP_KIND_DATE, "Process Start Date" },
	{ KMIP_TAG_PROTECT_STOP_DATE, KMIP_KIND_DATE, "Protect Stop Date" },
	{ KMIP_TAG_RANDOM_NUMBER_GENERATOR, KMIP_KIND_OTHER, "Random Number Generator" },
	{ KMIP_TAG_REVOCATION_REASON, KMIP_KIND_OTHER, "Revocation Reason" },
	{ KMIP_TAG_SENSITIVE, KMIP_KIND_OTHER, "Sensitive" },
	{ KMIP_TAG_STATE, KMIP_KIND_ENUMERATION, "State" },
	{ KMIP_TAG_UNIQUE_IDENTIFIER, KMIP_KIND_TEXT, "Unique Identifier" },
	{ KMIP_TAG_USAGE_MASK, KMIP_KIND_INTEGER, "Cryptographic Usage Mask" },
};

static const struct known *find_tag(uint32_t tag)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].tag == tag)
			return &known[i];
	return NULL;
}

static const struct known *find_name(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

int kmip_attribute_named(const char *name, struct kmip_attribute *ret, struct error *e)
{
	const struct known *one = find_name(name);
	struct kmip_attribute attribute = { .tag = 0 };

	if (!one && (strncmp(name, CUSTOM, 2) != 0 || !name[2] || strlen(name) >= KMIP_TEXT_SIZE))
		return error_usage(e, "There is no attribute \"%s\" of keys; custom ones begin with \"" CUSTOM "\"",
				   name);
	if (one) {
		attribute.tag = one->tag;
		attribute.kind = one->kind;
	} else {
		snprintf(attribute.name, sizeof(attribute.name), "%s", name);
		attribute.kind = KMIP_KIND_TEXT;
	}
	*ret = attribute;
	return 0;
}

static void put_value(struct ttlv_writer *w, uint32_t tag, const struct kmip_attribute *a)
{
	switch (a->kind) {
	case KMIP_KIND_TEXT:
		ttlv_put_text(w, tag, a->text);
		return;
	case KMIP_KIND_NAME:
		ttlv_begin(w, tag);
		ttlv_put_text(w, KMIP_TAG_NAME_VALUE, a->text);
		ttlv_put_enumeration(w, KMIP_TAG_NAME_TYPE, KMIP_UNINTERPRETED_TEXT);
		ttlv_end(w);
		return;
	case KMIP_KIND_INTEGER:
		ttlv_put_integer(w, tag, (int32_t) a->number);
		return;
	case KMIP_KIND_ENUMERATION:
		ttlv_put_enumeration(w, tag, (uint32_t) a->number);
		return;
	case KMIP_KIND_DATE:
		ttlv_put_date(w, tag, a->number);
		return;
	case KMIP_KIND_MODE:
		ttlv_begin(w, tag);
		ttlv_put_enumeration(w, KMIP_TAG_BLOCK_CIPHER_MODE, (uint32_t) a->number);
		ttlv_end(w);
		return;
	case KMIP_KIND_OTHER:
		/* Known by name only: nobody has a value to write. */
		w->error = w->error ? w->error : -EINVAL;
		return;
	}
}

/* In 2.x the "x" of "x-Name" is the vendor: KMIP 2.1 section 4.57. */
static void put_custom_name(struct ttlv_writer *w, const char *name)
{
	ttlv_put_text(w, KMIP_TAG_VENDOR_IDENTIFICATION, "x");
	ttlv_put_text(w, KMIP_TAG_ATTRIBUTE_NAME, name + strlen(CUSTOM));
}

static const char *name_of(const struct kmip_attribute *a)
{
	const struct known *one = find_tag(a->tag);

	return one ? one->name : a->name;
}

void kmip_put_attribute(struct ttlv_writer *w, const struct kmip_version *version,
			const struct kmip_attribute *a)
{
	if (version->major >= 2 && a->tag) {
		put_value(w, a->tag, a);
		return;
	}
	ttlv_begin(w, KMIP_TAG_ATTRIBUTE);
	if (version->major >= 2)
		put_custom_name(w, a->name);
	else
		ttlv_put_text(w, KMIP_TAG_ATTRIBUTE_NAME, name_of(a));
	put_value(w, KMIP_TAG_ATTRIBUTE_VALUE, a);
	ttlv_end(w);
}

void kmip_put_attributes(struct ttlv_writer *w, const struct kmip_version *version,
			 const struct kmip_attribute *attributes, size_t n)
{
	size_t i;

	ttlv_begin(w, version->major >= 2 ? KMIP_TAG_ATTRIBUTES : KMIP_TAG_TEMPLATE_ATTRIBUTE);
	for (i = 0; i < n; i++)
		kmip_put_attribute(w, version, &attributes[i]);
	ttlv_end(w);
}

void kmip_put_reference(struct ttlv_writer *w, const struct kmip_version *version,
			const struct kmip_attribute *a)
{
	if (version->major < 2) {
		ttlv_put_text(w, KMIP_TAG_ATTRIBUTE_NAME, name_of(a));
	} else if (a->tag) {
		ttlv_put_enumeration(w, KMIP_TAG_ATTRIBUTE_REFERENCE, a->tag);
	} else {
		ttlv_begin(w, KMIP_TAG_ATTRIBUTE_REFERENCE);
		put_custom_name(w, a->name);
		ttlv_end(w);
	}
}

int kmip_attributes(const struct ttlv_reader *payload, const struct kmip_version *version,
		    struct ttlv_reader *ret, struct error *e)
{
	struct ttlv_item item;
	int r;

	if (version->major < 2) {
		*ret = *payload;
		return 0;
	}
	r = ttlv_need(payload, KMIP_TAG_ATTRIBUTES, "Attributes", &item, e);
	return r < 0 ? r : ttlv_enter(&item, ret, e);
}

static int get_name_value(const struct ttlv_item *value, struct kmip_attribute *a, struct error *e)
{
	struct ttlv_reader inside;
	struct ttlv_item item;
	int r;

	r = ttlv_enter(value, &inside, e);
	if (r < 0)
		return r;
	r = ttlv_need(&inside, KMIP_TAG_NAME_VALUE, "Name Value", &item, e);
	return r < 0 ? r : ttlv_text(&item, a->text, sizeof(a->text), e);
}

static int get_mode(const struct ttlv_item *value, struct kmip_attribute *a, struct error *e)
{
	struct ttlv_reader inside;
	struct ttlv_item item;
	uint32_t word = 0;
	int r;

	r = ttlv_enter(value, &inside, e);
	if (r < 0)
		return r;
	r = ttlv_find(&inside, KMIP_TAG_BLOCK_CIPHER_MODE, &item, e);
	if (r > 0)
		r = ttlv_enumeration(&item, &word, e);
	a->number = word;
	return r;
}

static int get_value(const struct ttlv_item *value, struct kmip_attribute *a, struct error *e)
{
	uint32_t word = 0;
	int32_t number = 0;
	int r;

	switch (a->kind) {
	case KMIP_KIND_TEXT:
		return ttlv_text(value, a->text, sizeof(a->text), e);
	case KMIP_KIND_NAME:
		return get_name_value(value, a, e);
	case KMIP_KIND_MODE:
		return get_mode(value, a, e);
	case KMIP_KIND_DATE:
		return ttlv_date(value, &a->number, e);
	case KMIP_KIND_ENUMERATION:
		r = ttlv_enumeration(value, &word, e);
		a->number = word;
		return r;
	case KMIP_KIND_INTEGER:
		r = ttlv_integer(value, &number, e);
		a->number = number;
		return r;
	case KMIP_KIND_OTHER:
		break;
	}
	return 0;
}

/* A custom attribute's kind is what came; one that is not text is left alone. */
static int get_custom(const struct ttlv_item *value, struct kmip_attribute *a, struct error *e)
{
	struct ttlv_reader inside;
	struct ttlv_item item;
	int r;

	if (value->type == TTLV_TEXT) {
		a->kind = KMIP_KIND_TEXT;
	} else if (value->type == TTLV_STRUCTURE) {
		r = ttlv_enter(value, &inside, e);
		if (r == 0)
			r = ttlv_find(&inside, KMIP_TAG_NAME_VALUE, &item, e);
		if (r < 0)
			return r;
		a->kind = r > 0 ? KMIP_KIND_NAME : KMIP_KIND_OTHER;
	}
	return get_value(value, a, e);
}

static void set_tag(uint32_t tag, struct kmip_attribute *a)
{
	const struct known *one = find_tag(tag);

	a->tag = tag;
	a->kind = one ? one->kind : KMIP_KIND_OTHER;
}

/* KMIP 2.1 section 4.58: an identifier may be a reference to another one. */
static void set_reference(const struct ttlv_item *item, struct kmip_attribute *a)
{
	if (a->tag != KMIP_TAG_UNIQUE_IDENTIFIER)
		return;
	if (item->type == TTLV_ENUMERATION)
		a->kind = KMIP_KIND_ENUMERATION;
	else if (item->type == TTLV_INTEGER)
		a->kind = KMIP_KIND_INTEGER;
}

static int set_name(const struct kmip_version *version, const char *vendor, const char *name,
		    struct kmip_attribute *a, struct error *e)
{
	const struct known *one = version->major < 2 ? find_name(name) : NULL;

	if (one) {
		set_tag(one->tag, a);
		return 0;
	}
	if (snprintf(a->name, sizeof(a->name), "%s%s%s", vendor, vendor[0] ? "-" : "", name) >=
	    (int) sizeof(a->name))
		return error_fail(e, EMSGSIZE, "Reading a KMIP message: the name of an attribute is of more than %zu bytes",
				  sizeof(a->name) - 1);
	return 0;
}

/* The name in a structure; 2.x says the vendor of a custom one. */
static int get_name(const struct ttlv_reader *inside, const struct kmip_version *version,
		    struct kmip_attribute *a, struct error *e)
{
	char name[KMIP_TEXT_SIZE] = "", vendor[KMIP_TEXT_SIZE] = "";
	struct ttlv_item item;
	int r;

	r = ttlv_need(inside, KMIP_TAG_ATTRIBUTE_NAME, "Attribute Name", &item, e);
	if (r == 0)
		r = ttlv_text(&item, name, sizeof(name), e);
	if (r == 0)
		r = ttlv_find(inside, KMIP_TAG_VENDOR_IDENTIFICATION, &item, e);
	if (r > 0)
		r = ttlv_text(&item, vendor, sizeof(vendor), e);
	return r < 0 ? r : set_name(version, vendor, name, a, e);
}

/* Attribute of 1.x; in 2.x the same structure with a vendor holds custom ones. */
static int get_structure(const struct ttlv_item *from, const struct kmip_version *version,
			 struct kmip_attribute *a, struct error *e)
{
	struct ttlv_reader inside;
	struct ttlv_item item;
	int r;

	r = ttlv_enter(from, &inside, e);
	if (r == 0)
		r = get_name(&inside, version, a, e);
	if (r < 0)
		return r;
	r = ttlv_find(&inside, KMIP_TAG_ATTRIBUTE_VALUE, &item, e);
	if (r <= 0)
		return r;
	return a->tag ? get_value(&item, a, e) : get_custom(&item, a, e);
}

int kmip_next_attribute(struct ttlv_reader *r, const struct kmip_version *version,
			struct kmip_attribute *ret, struct error *e)
{
	struct kmip_attribute a = { .tag = 0 };
	struct ttlv_item item;
	int rc;

	while ((rc = ttlv_next(r, &item, e)) > 0)
		if (version->major >= 2 || item.tag == KMIP_TAG_ATTRIBUTE)
			break;
	if (rc <= 0)
		return rc;

	if (item.tag == KMIP_TAG_ATTRIBUTE) {
		rc = get_structure(&item, version, &a, e);
	} else {
		set_tag(item.tag, &a);
		set_reference(&item, &a);
		rc = get_value(&item, &a, e);
	}
	if (rc < 0)
		return rc;
	*ret = a;
	return 1;
}

int kmip_find_attribute(const struct ttlv_reader *payload, const struct kmip_version *version,
			const struct kmip_attribute *wanted, struct kmip_attribute *ret,
			struct error *e)
{
	struct kmip_attribute a;
	struct ttlv_reader r;
	int rc;

	rc = kmip_attributes(payload, version, &r, e);
	if (rc < 0)
		return rc;
	while ((rc = kmip_next_attribute(&r, version, &a, e)) > 0)
		if (a.tag == wanted->tag && (a.tag || strcmp(a.name, wanted->name) == 0)) {
			*ret = a;
			return 1;
		}
	return rc;
}

/* KMIP 2.1 section 7.3: a tag, or the structure of a custom name. */
static int get_reference(const struct ttlv_item *from, const struct kmip_version *version,
			 struct kmip_attribute *a, struct error *e)
{
	char name[KMIP_TEXT_SIZE] = "";
	struct ttlv_reader inside;
	uint32_t tag = 0;
	int r;

	if (version->major < 2) {
		r = ttlv_text(from, name, sizeof(name), e);
		return r < 0 ? r : set_name(version, "", name, a, e);
	}
	if (from->type == TTLV_STRUCTURE) {
		r = ttlv_enter(from, &inside, e);
		return r < 0 ? r : get_name(&inside, version, a, e);
	}
	r = ttlv_enumeration(from, &tag, e);
	if (r == 0)
		set_tag(tag, a);
	return r;
}

int kmip_next_reference(struct ttlv_reader *r, const struct kmip_version *version,
			struct kmip_attribute *ret, struct error *e)
{
	const uint32_t tag = version->major < 2 ? KMIP_TAG_ATTRIBUTE_NAME : KMIP_TAG_ATTRIBUTE_REFERENCE;
	struct kmip_attribute a = { .tag = 0 };
	struct ttlv_item item;
	int rc;

	while ((rc = ttlv_next(r, &item, e)) > 0)
		if (item.tag == tag)
			break;
	if (rc <= 0)
		return rc;
	rc = get_reference(&item, version, &a, e);
	if (rc < 0)
		return rc;
	*ret = a;
	return 1;
}
