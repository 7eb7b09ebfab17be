// SPDX-License-Identifier: LGPL-2.1-or-later
/* The commands of the family, well-formed. */
#include <linux/netlink.h>

#include <openssl/crypto.h>

#include "lib.h"

int key_prepare(struct nl *nl, uint32_t *id, uint8_t public[PUBLIC_LEN])
{
	static _Thread_local struct answer a;
	struct msg m;
	int r;

	msg_begin(nl, &m, CMD_KEY_PREPARE, 0);
	r = nl_call(nl, &m, &a);
	if (r)
		return r;
	if (!has_attr(&a, A_SEAL_ID, 4) || !has_attr(&a, A_PUBLIC_KEY, PUBLIC_LEN))
		return -EPROTO;
	*id = get_u32(&a, A_SEAL_ID);
	memcpy(public, a.attr[A_PUBLIC_KEY].data, PUBLIC_LEN);
	return 0;
}

void key_set_message(const struct nl *nl, struct msg *m, const uint8_t *uuid, uint32_t bits, uint32_t id,
		     const uint8_t *public, const uint8_t *sealed, size_t sealed_size)
{
	msg_begin(nl, m, CMD_KEY_SET, 0);
	msg_put(m, A_DEK, uuid, UUID_LEN);
	msg_u32(m, A_KEY_BITS, bits);
	msg_u32(m, A_SEAL_ID, id);
	msg_put(m, A_PUBLIC_KEY, public, PUBLIC_LEN);
	msg_put(m, A_SEALED_KEY, sealed, sealed_size);
}

int key_set_as(struct nl *nl, const struct dek *d, const uint8_t uuid[UUID_LEN])
{
	static _Thread_local struct answer a;
	uint8_t kernel[PUBLIC_LEN], mine[PUBLIC_LEN], sealed[KEY_MAX + TAG_LEN];
	const uint32_t bits = (uint32_t)d->size * 8;
	struct msg m;
	uint32_t id;
	int r = key_prepare(nl, &id, kernel);

	if (!r)
		r = seal(kernel, uuid, bits, d->key, d->size, mine, sealed);
	if (r)
		return r;
	key_set_message(nl, &m, uuid, bits, id, mine, sealed, d->size + TAG_LEN);
	return nl_call(nl, &m, &a);
}

int key_set(struct nl *nl, const struct dek *d)
{
	return key_set_as(nl, d, d->uuid);
}

int key_wipe(struct nl *nl, const uint8_t uuid[UUID_LEN], uint32_t flags)
{
	static _Thread_local struct answer a;
	struct msg m;

	msg_begin(nl, &m, CMD_KEY_WIPE, 0);
	msg_put(&m, A_DEK, uuid, UUID_LEN);
	if (flags)
		msg_u32(&m, A_FLAGS, flags);
	return nl_call(nl, &m, &a);
}

int key_reject(struct nl *nl, const uint8_t uuid[UUID_LEN], uint32_t reason)
{
	static _Thread_local struct answer a;
	struct msg m;

	msg_begin(nl, &m, CMD_KEY_REJECT, 0);
	msg_put(&m, A_DEK, uuid, UUID_LEN);
	msg_u32(&m, A_REASON, reason);
	return nl_call(nl, &m, &a);
}

static int key_get(struct nl *nl, const uint8_t uuid[UUID_LEN], struct answer *a)
{
	struct msg m;

	msg_begin(nl, &m, CMD_KEY_GET, 0);
	msg_put(&m, A_DEK, uuid, UUID_LEN);
	return nl_call(nl, &m, a);
}

int key_state(struct nl *nl, const uint8_t uuid[UUID_LEN])
{
	static _Thread_local struct answer a;
	int r = key_get(nl, uuid, &a);

	if (r == -ENOENT)
		return KEY_ABSENT;
	if (r)
		return r;
	return has_attr(&a, A_STATE, 4) ? (int)get_u32(&a, A_STATE) : -EPROTO;
}

int key_targets(struct nl *nl, const uint8_t uuid[UUID_LEN])
{
	static _Thread_local struct answer a;
	int r = key_get(nl, uuid, &a);

	if (r)
		return r;
	return has_attr(&a, A_TARGETS, 4) ? (int)get_u32(&a, A_TARGETS) : -EPROTO;
}

int key_wait(struct nl *nl, const uint8_t uuid[UUID_LEN], int state, int timeout_ms)
{
	const uint64_t end = now_ms() + (uint64_t)patient_ms(timeout_ms);
	int s;

	while ((s = key_state(nl, uuid)) != state) {
		if (s < 0)
			return s;
		if (now_ms() > end)
			return -ETIME;
		sleep_ms(5);
	}
	return 0;
}

int key_count(struct nl *nl)
{
	static _Thread_local struct answer a;
	struct msg m;
	int r;

	msg_begin(nl, &m, CMD_KEY_GET, NLM_F_DUMP);
	r = nl_call(nl, &m, &a);
	return r ? r : (int)a.messages;
}

int disk_get(struct nl *nl, const char *name, struct answer *a)
{
	struct msg m;

	msg_begin(nl, &m, CMD_DISK_GET, 0);
	msg_put(&m, A_NAME, name, strlen(name) + 1);
	return nl_call(nl, &m, a);
}
