/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A manager with store, vault, providers and keys, and hosts that are played: they
 * are at the other end of links.h, with the real seals.
 */
#ifndef VMCRYPT_TESTS_KEYS_FIXTURE_H
#define VMCRYPT_TESTS_KEYS_FIXTURE_H

#include "unit.h"

#include <pthread.h>
#include <string.h>

#include "common/channel.h"
#include "common/json.h"
#include "crypto/box.h"
#include "crypto/gcm.h"
#include "manager/host_requests.h"
#include "manager/hosts.h"
#include "manager/keys.h"
#include "manager/keys_use.h"
#include "manager/keys_watch.h"
#include "manager/links.h"
#include "manager/manager.h"
#include "manager/providers.h"
#include "manager/record.h"
#include "manager/store.h"

#define PLAYED_MAX	8
#define SEEN_MAX	64

/* What a host does with what it is asked. */
enum play { PLAY_GOOD, PLAY_AWAY, PLAY_REFUSES, PLAY_WRONG, PLAY_DIES };

/* @asked: {op, args}, without what is sealed; @keys: ids that it holds, @kdks: providers */
struct played {
	char id[UUID_TEXT_SIZE];
	struct box_key box;
	enum play play;
	json_t *asked;
	json_t *keys;
	json_t *kdks;
};

static struct played played[PLAYED_MAX];
static size_t n_played;
static pthread_mutex_t play_lock = PTHREAD_MUTEX_INITIALIZER;
/* All key material that any host has opened: it must be nowhere else. */
static struct secret seen[SEEN_MAX];
static size_t n_seen;

static struct played *find_played(const char *id)
{
	for (size_t i = 0; i < n_played; i++)
		if (strcmp(played[i].id, id) == 0)
			return &played[i];
	return NULL;
}

static struct played *there(const char *id)
{
	struct played *p = find_played(id);

	return p && p->play != PLAY_AWAY ? p : NULL;
}

static inline void play_host(const char *id)
{
	struct played *p = &played[n_played++];
	struct error e = ERROR_NULL;

	assert_true(n_played <= PLAYED_MAX);
	*p = (struct played) { .asked = json_array(), .keys = json_object(),
				.kdks = json_object() };
	snprintf(p->id, sizeof(p->id), "%s", id);
	assert_int_equal(box_key_new(&p->box, &e), 0);
}

static inline void play_end(void)
{
	while (n_played) {
		struct played *p = &played[--n_played];

		box_key_done(&p->box);
		json_decref(p->asked);
		json_decref(p->keys);
		json_decref(p->kdks);
	}
	while (n_seen)
		secret_done(&seen[--n_seen]);
}

static int away(struct error *e)
{
	return error_set(e, ENOTCONN, EXIT_NO_KEY, 0, "The host is not connected");
}

bool link_connected(struct manager *m, const char *host)
{
	(void) m;
	return there(host);
}

/* At once. */
void link_look_after(struct manager *m, const char *host)
{
	if (there(host))
		host_greeted(m, host);
}

static void read_box(const char *text, struct box *ret)
{
	assert_non_null(text);
	assert_int_equal(base64_decode(text, strlen(text), ret->data, sizeof(ret->data), &ret->size), 0);
}

/* What the host makes of a KEY. */
static void open_key(struct played *p, const json_t *key, struct secret *ret)
{
	uint8_t provider[UUID_SIZE], host[UUID_SIZE];
	struct error e = ERROR_NULL;
	struct box box;

	assert_int_equal(uuid_parse_text(json_text(key, "provider"), provider), 0);
	assert_int_equal(uuid_parse_text(p->id, host), 0);
	read_box(json_text(key, "sealed"), &box);
	if (box_open_kek(&p->box, provider, json_text(key, "key"), host, &box, ret, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(n_seen < SEEN_MAX);
	assert_int_equal(secret_copy(ret->data, ret->size, &seen[n_seen++]), 0);
}

static json_t *take_keys(struct played *p, const json_t *args)
{
	json_t *refused = json_array(), *key;
	size_t i;

	json_array_foreach(json_object_get(args, "keys"), i, key) {
		struct secret kek _cleanup_secret_ = SECRET_NULL;

		open_key(p, key, &kek);
		if (p->play == PLAY_REFUSES)
			json_array_append_new(refused, json_pack("{s:O, s:O, s:s}", "provider",
				json_object_get(key, "provider"), "key", json_object_get(key, "key"),
				"text", "not today"));
		else
			json_object_set_new(p->keys, json_text(key, "key"), json_true());
	}
	return json_pack("{s:o}", "refused", refused);
}

static json_t *answer_probe(struct played *p, const json_t *args)
{
	struct secret kek _cleanup_secret_ = SECRET_NULL, nonce _cleanup_secret_ = SECRET_NULL;
	uint8_t iv[GCM_IV_SIZE] = { 1 }, tag[GCM_TAG_SIZE], data[CHANNEL_NONCE_SIZE];
	json_t *answer = json_object();
	struct error e = ERROR_NULL;
	char aad[80];

	open_key(p, json_object_get(args, "key"), &kek);
	assert_int_equal(secret_new(CHANNEL_NONCE_SIZE, &nonce), 0);
	assert_int_equal(json_get_base64(args, "args", "nonce", nonce.data, nonce.size, &e), 0);
	if (p->play == PLAY_WRONG)
		kek.data[0] ^= 1;
	snprintf(aad, sizeof(aad), "vmcrypt-probe-v1|%s", p->id);
	assert_int_equal(gcm_seal(&kek, iv, aad, strlen(aad), &nonce, data, tag), 0);
	json_set_base64(answer, "iv", iv, sizeof(iv));
	json_set_base64(answer, "tag", tag, sizeof(tag));
	json_set_base64(answer, "ciphertext", data, sizeof(data));
	return answer;
}

/* Without a TPM where it may be. */
static json_t *take_kdk(struct played *p, const json_t *args)
{
	struct secret kdk _cleanup_secret_ = SECRET_NULL;
	uint8_t provider[UUID_SIZE], host[UUID_SIZE];
	struct error e = ERROR_NULL;
	struct box box;

	assert_int_equal(uuid_parse_text(json_text(args, "provider"), provider), 0);
	assert_int_equal(uuid_parse_text(p->id, host), 0);
	read_box(json_text(args, "sealed"), &box);
	if (box_open_kdk(&p->box, provider, host, &box, &kdk, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(n_seen < SEEN_MAX);
	assert_int_equal(secret_copy(kdk.data, kdk.size, &seen[n_seen++]), 0);
	json_object_set_new(p->kdks, json_text(args, "provider"), json_true());
	return json_pack("{s:O}", "sealed", json_object_get(args, "require_tpm"));
}

/* NULL: refused. */
static json_t *drop_kdk(struct played *p, const json_t *args, struct error *e)
{
	if (p->play == PLAY_REFUSES) {
		error_fail(e, EBUSY, "Disk vdb is attached and uses it");
		return NULL;
	}
	if (json_object_del(p->kdks, json_text(args, "provider")) == 0)
		return json_object();
	error_fail(e, ENOENT, "It is not here");
	return NULL;
}

static json_t *answer_op(struct played *p, const char *op, const json_t *args, struct error *e)
{
	if (strcmp(op, "key.push") == 0)
		return take_keys(p, args);
	if (strcmp(op, "key.probe") == 0)
		return answer_probe(p, args);
	if (strcmp(op, "kdk.push") == 0) {
		json_t *answer = take_kdk(p, args);

		if (p->play != PLAY_DIES)
			return answer;
		json_decref(answer);
		error_set(e, ECONNRESET, EXIT_NO_KEY, 0, "The host is gone");
		return NULL;
	}
	if (strcmp(op, "provider.remove") == 0)
		return drop_kdk(p, args, e);
	if (strcmp(op, "key.remove") == 0) {
		if (p->play == PLAY_REFUSES) {
			error_fail(e, EBUSY, "Disk vdb uses it");
			return NULL;
		}
		json_object_del(p->keys, json_text(args, "key"));
	}
	if (strcmp(op, "run") == 0)
		return json_pack("{s:b}", "ok", p->play != PLAY_WRONG);
	return json_object();
}

/* As the channel does it: what has another form than common/channel.h says is not sent. */
int link_ask(struct manager *m, const char *host, const char *op, json_t *args,
	     unsigned int timeout_ms, json_t **ret, struct channel_failure *why)
{
	struct played *p;
	json_t *answer;
	char *text = NULL;
	size_t size;
	int r;

	(void) m;
	(void) timeout_ms;
	r = channel_build_request(CHANNEL_MANAGER, 1, op, args, &text, &size, &why->error);
	free(text);
	if (r < 0)
		fail_msg("%s", why->error.text);
	pthread_mutex_lock(&play_lock);
	p = there(host);
	answer = p ? answer_op(p, op, args, &why->error) : NULL;
	if (p)
		json_array_append_new(p->asked, json_pack("{s:s, s:o}", "op", op, "args",
							  json_deep_copy(args)));
	pthread_mutex_unlock(&play_lock);
	if (!p)
		return away(&why->error);
	if (!answer)
		return why->error.code;
	if (channel_check_result(CHANNEL_MANAGER, op, answer, &why->error) < 0)
		fail_msg("%s", why->error.text);
	if (ret)
		*ret = answer;
	else
		json_decref(answer);
	return 0;
}

int link_seal_kek(struct manager *m, const char *host, const uint8_t provider[UUID_SIZE],
		  const char *provider_name, const char *key_id, const struct secret *kek,
		  json_t **ret, struct error *e)
{
	struct played *p = there(host);
	uint8_t id[UUID_SIZE];
	char text[UUID_TEXT_SIZE];
	struct box box;

	(void) m;
	if (!p)
		return away(e);
	assert_int_equal(uuid_parse_text(host, id), 0);
	if (box_seal_kek(p->box.public_key, provider, key_id, id, kek, &box, e) < 0)
		return e->code;
	uuid_format(provider, text);
	*ret = json_pack("{s:s, s:s, s:s}", "provider", text, "provider_name", provider_name, "key", key_id);
	return json_set_base64(*ret, "sealed", box.data, box.size);
}

int link_seal_kdk(struct manager *m, const char *host, const uint8_t provider[UUID_SIZE],
		  const struct secret *kdk, char **ret, struct error *e)
{
	struct played *p = there(host);
	uint8_t id[UUID_SIZE];
	struct box box;

	(void) m;
	if (!p)
		return away(e);
	assert_int_equal(uuid_parse_text(host, id), 0);
	if (box_seal_kdk(p->box.public_key, provider, id, kdk, &box, e) < 0)
		return e->code;
	*ret = malloc(BASE64_SIZE(box.size));
	base64_encode(box.data, box.size, *ret);
	return 0;
}

void link_close(struct manager *m, const char *host)
{
	(void) m;
	(void) host;
}

#endif
