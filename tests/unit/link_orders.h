/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a manager that the test plays gives to its host.
 */
#ifndef VMCRYPT_TESTS_LINK_ORDERS_H
#define VMCRYPT_TESTS_LINK_ORDERS_H

#include "link_fixture.h"

#include "crypto/wrap.h"
#include "host/linkstate.h"

#define PROVIDER_1 "33333333-3333-4333-8333-333333333333"
#define PROVIDER_2 "44444444-4444-4444-8444-444444444444"
#define KEY_BYTES "0123456789abcdef0123456789abcdef"

static inline uint64_t in_s(unsigned int seconds)
{
	return (uint64_t)time_monotonic_ms() + seconds * 1000ULL;
}

static inline json_t *sealed_key(const char *key_id, const char *bytes)
{
	struct secret kek = unit_secret(bytes, KEK_SIZE);
	uint8_t provider[UUID_SIZE], id[UUID_SIZE];
	char text[BASE64_SIZE(BOX_SIZE_MAX)];
	struct box box;

	uuid_parse_text(PROVIDER_1, provider);
	uuid_parse_text(HOST_1, id);
	must(box_seal_kek(host_public, provider, key_id, id, &kek, &box, &e));
	secret_done(&kek);
	base64_encode(box.data, box.size, text);
	return json_pack("{s:s, s:s, s:s, s:s}", "provider", PROVIDER_1, "provider_name", "kms",
			 "key", key_id, "sealed", text);
}

static inline json_t *sealed_kdk(bool require_tpm)
{
	struct secret kdk = unit_secret("abcdefghijklmnopqrstuvwxyz012345", 32);
	uint8_t provider[UUID_SIZE], id[UUID_SIZE];
	char text[BASE64_SIZE(BOX_SIZE_MAX)];
	struct box box;

	uuid_parse_text(PROVIDER_2, provider);
	uuid_parse_text(HOST_1, id);
	must(box_seal_kdk(host_public, provider, id, &kdk, &box, &e));
	secret_done(&kdk);
	base64_encode(box.data, box.size, text);
	return json_pack("{s:s, s:s, s:s, s:b, s:b, s:s}", "provider", PROVIDER_2, "name", "native",
			 "created", "2026-01-01T00:00:00Z", "require_tpm", require_tpm, "default", 1,
			 "sealed", text);
}

static inline json_t *one_provider(void)
{
	return json_pack("{s:[{s:s, s:s, s:s, s:b}]}", "providers", "uuid", PROVIDER_1, "name",
			 "kms", "type", "standard", "default", 1);
}

/* Joined, connected, safe, with a provider. */
static inline struct peer *ready(void)
{
	struct peer *peer;

	join_well();
	peer = hello_well();
	ask_well(peer, "mode.set", json_pack("{s:s}", "mode", "safe"));
	ask_well(peer, "provider.set", one_provider());
	return peer;
}

/* As if it had come. */
static inline struct link_order *make_order(const char *op, json_t *args)
{
	struct link_order *order = calloc(1, sizeof(*order));

	order->connection = host.link->connection;
	order->frame.json = json_pack("{s:s, s:o}", "op", op, "args", args);
	order->frame.op = json_text(order->frame.json, "op");
	order->frame.body = json_object_get(order->frame.json, "args");
	return order;
}

/* Lines of the host's record. */
static inline size_t count_events(const char *operation)
{
	_cleanup_free_ char *text = NULL;
	char wanted[64];
	size_t n = 0, size = 0;
	FILE *file = fopen(unit_path(host_dir, "events"), "r");

	assert_non_null(file);
	snprintf(wanted, sizeof(wanted), "\"operation\":\"%s\"", operation);
	while (getline(&text, &size, file) > 0)
		n += strstr(text, wanted) != NULL;
	fclose(file);
	return n;
}

#endif
