/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attributes of objects on a key server, which 1.x writes as structures with a
 * name and 2.x as items with tags of their own.
 */
#ifndef VMCRYPT_KMIP_ATTRIBUTE_H
#define VMCRYPT_KMIP_ATTRIBUTE_H

#include "kmip/kmip.h"
#include "kmip/ttlv.h"

/**
 * enum kmip_kind - what a value is
 * @KMIP_KIND_OTHER: something that is known by its name only
 * @KMIP_KIND_NAME: a structure of text and type "uninterpreted text"
 * @KMIP_KIND_MODE: cryptographic parameters, of which the block cipher mode is
 *	kept
 */
enum kmip_kind {
	KMIP_KIND_OTHER,
	KMIP_KIND_TEXT,
	KMIP_KIND_NAME,
	KMIP_KIND_INTEGER,
	KMIP_KIND_ENUMERATION,
	KMIP_KIND_DATE,
	KMIP_KIND_MODE,
};

/**
 * struct kmip_attribute - one attribute, or the name of one
 * @tag: KMIP_TAG_*; 0: a custom one
 * @name: of a custom one, as 1.x has it: "x-Product"
 * @kind: of the value; for one with a tag, the tag's own, except that 2.x may have
 *	ENUMERATION or INTEGER, a reference, for the unique identifier
 * @number: INTEGER, ENUMERATION, DATE (seconds since 1970), MODE
 * @text: TEXT, NAME
 */
struct kmip_attribute {
	uint32_t tag;
	char name[KMIP_TEXT_SIZE];
	enum kmip_kind kind;
	int64_t number;
	char text[KMIP_TEXT_SIZE];
};

/**
 * kmip_attribute_named() - an attribute without a value
 * @name: of a standard ("State") or custom ("x-Product") one
 *
 * Return: 0; -EINVAL: neither.
 */
int kmip_attribute_named(const char *name, struct kmip_attribute *ret, struct error *e);

/**
 * kmip_put_attribute() - write it as @version has it
 */
void kmip_put_attribute(struct ttlv_writer *w, const struct kmip_version *version,
			const struct kmip_attribute *attribute);

/**
 * kmip_put_attributes() - a Template-Attribute (1.x) or Attributes (2.x)
 */
void kmip_put_attributes(struct ttlv_writer *w, const struct kmip_version *version,
			 const struct kmip_attribute *attributes, size_t n);

/**
 * kmip_put_reference() - the name of an attribute
 */
void kmip_put_reference(struct ttlv_writer *w, const struct kmip_version *version,
			const struct kmip_attribute *attribute);

/**
 * kmip_attributes() - where the attributes of an answer begin
 * @payload: of Get Attributes
 * @ret: for kmip_next_attribute()
 */
int kmip_attributes(const struct ttlv_reader *payload, const struct kmip_version *version,
		    struct ttlv_reader *ret, struct error *e);

/**
 * kmip_next_attribute() - step over one attribute
 *
 * What is no attribute is skipped, an attribute or value that vmcrypt does not
 * know comes as KMIP_KIND_OTHER, with a name where 1.x gave one.
 *
 * Return: 1; 0 (the end); -EBADMSG, -EMSGSIZE.
 */
int kmip_next_attribute(struct ttlv_reader *r, const struct kmip_version *version,
			struct kmip_attribute *ret, struct error *e);

/**
 * kmip_find_attribute() - the first attribute with a tag or a custom name
 * @wanted: as from kmip_attribute_named()
 *
 * Return: 1; 0 (none); -EBADMSG, -EMSGSIZE.
 */
int kmip_find_attribute(const struct ttlv_reader *payload, const struct kmip_version *version,
			const struct kmip_attribute *wanted, struct kmip_attribute *ret,
			struct error *e);

/**
 * kmip_next_reference() - step over one of the names that Get Attribute List tells
 * @r: begins as the payload
 * @ret: an attribute without a value; one that vmcrypt does not know has a name
 *	(1.x) or a tag (2.x)
 *
 * Return: 1; 0 (the end); -EBADMSG, -EMSGSIZE.
 */
int kmip_next_reference(struct ttlv_reader *r, const struct kmip_version *version,
			struct kmip_attribute *ret, struct error *e);

#endif
