/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The certificate that the manager shows to a provider's key servers. */
#include "manager/providers.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/lock.h"
#include "kmip/certificate.h"
#include "manager/manager.h"
#include "manager/store.h"

#define AUTHORITY_DAYS	3650U

/**
 * struct edit - a change of one provider's certificate under way
 */
struct edit {
	struct manager *m;
	const char *id;
	json_t *document;
	pthread_mutex_t *lock;
};

static void edit_done(struct edit *edit)
{
	json_decref(edit->document);
	mutex_unlock(&edit->lock);
}

static int edit_begin(struct edit *edit, struct manager *m, const char *id, struct error *e)
{
	*edit = (struct edit){ .m = m, .id = id, .lock = providers_change_lock(m->providers) };
	return provider_get(m, id, PROVIDER_STANDARD, &edit->document, e);
}

/* A text in clear, and the key that belongs to it. */
static int set_pair(struct edit *edit, const char *member, const char *pem, const char *key_member,
		    const struct secret *key, struct error *e)
{
	_cleanup_json_ json_t *sealed = NULL;
	int r = provider_seal(edit->m, edit->id, key_member, key, &sealed, e);

	if (r < 0)
		return r;
	if (json_object_set_new(edit->document, member, json_string(pem)) < 0 ||
	    json_object_set(edit->document, key_member, sealed) < 0)
		return error_oom(e);
	return 0;
}

static int keep(struct edit *edit, struct error *e)
{
	int r = store_update(edit->m->store, PROVIDER_KIND, edit->id, edit->document, e);

	return r < 0 ? r : providers_take_up(edit->m->providers, edit->id, /* set= */ NULL, e);
}

static int keep_certificate(struct edit *edit, const char *pem, const struct secret *key,
			    struct error *e)
{
	int r = set_pair(edit, "certificate", pem, "certificate_key", key, e);

	if (r < 0)
		return r;
	json_object_set_new(edit->document, "request", json_null());
	json_object_set_new(edit->document, "request_key", json_null());
	return keep(edit, e);
}

int provider_certificate_self_signed(struct manager *m, const char *id, const char *name,
				     unsigned int days, struct error *e)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	_cleanup_(edit_done) struct edit edit = { .m = m };
	_cleanup_free_ char *pem = NULL;
	int r = edit_begin(&edit, m, id, e);

	if (r == 0)
		r = kmip_certificate_self_signed(name, days, &pem, &key, e);
	return r < 0 ? r : keep_certificate(&edit, pem, &key, e);
}

int provider_certificate_request(struct manager *m, const char *id, const char *name,
				 struct error *e)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	_cleanup_(edit_done) struct edit edit = { .m = m };
	_cleanup_free_ char *pem = NULL;
	int r = edit_begin(&edit, m, id, e);

	if (r == 0)
		r = kmip_certificate_request(name, &pem, &key, e);
	if (r == 0)
		r = set_pair(&edit, "request", pem, "request_key", &key, e);
	return r < 0 ? r : keep(&edit, e);
}

static int request_key(const struct edit *edit, struct secret *ret, struct error *e)
{
	const json_t *sealed = json_object_get(edit->document, "request_key");

	if (!json_is_object(sealed))
		return error_usage(e, "There is no request that the certificate could be for: send its key, "
				   "or make a request first");
	return provider_unseal(edit->m->vault, edit->id, "request_key", sealed, ret, e);
}

int provider_certificate_upload(struct manager *m, const char *id, const char *pem,
				const struct secret *text, struct error *e)
{
	_cleanup_secret_ struct secret key = SECRET_NULL;
	_cleanup_(edit_done) struct edit edit = { .m = m };
	int r = edit_begin(&edit, m, id, e);

	if (r == 0)
		r = text->size ? kmip_certificate_key(text, &key, e) : request_key(&edit, &key, e);
	if (r == 0)
		r = kmip_certificate_check(pem, &key, time_now(), e);
	return r < 0 ? r : keep_certificate(&edit, pem, &key, e);
}

/* Made once: the servers trust it, and so all certificates that follow. */
static int authority(struct edit *edit, const char *name, struct secret *ret, struct error *e)
{
	const json_t *sealed = json_object_get(edit->document, "authority_key");
	_cleanup_free_ char *pem = NULL;
	int r;

	if (json_is_object(sealed))
		return provider_unseal(edit->m->vault, edit->id, "authority_key", sealed, ret, e);
	r = kmip_certificate_authority(name, AUTHORITY_DAYS, &pem, ret, e);
	return r < 0 ? r : set_pair(edit, "authority", pem, "authority_key", ret, e);
}

int provider_certificate_signed(struct manager *m, const char *id, const char *name,
				unsigned int days, struct error *e)
{
	_cleanup_secret_ struct secret key = SECRET_NULL, ca_key = SECRET_NULL;
	_cleanup_free_ char *request = NULL, *pem = NULL;
	_cleanup_(edit_done) struct edit edit = { .m = m };
	int r = edit_begin(&edit, m, id, e);

	if (r == 0)
		r = authority(&edit, "vmcrypt key provider CA", &ca_key, e);
	if (r == 0)
		r = kmip_certificate_request(name, &request, &key, e);
	if (r == 0)
		r = kmip_certificate_sign(json_text(edit.document, "authority"), &ca_key, request, days,
					  &pem, e);
	return r < 0 ? r : keep_certificate(&edit, pem, &key, e);
}
