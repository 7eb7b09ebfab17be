/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encode.h"
#include "disk/client.h"
#include "disk/message.h"
#include "disk/netlink.h"

/* "VERB DEK-UUID" for error texts */
static const char *about_dek(char *buf, size_t size, const char *verb, const uint8_t *dek)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(dek, text);
	snprintf(buf, size, "%s %s", verb, text);
	return buf;
}

/* What the makers below need, in one structure for all of them. */
struct arguments {
	const uint8_t *dek;
	uint32_t number;
	const struct sealed_key *sealed;
};

static struct nl_msg *make_prepare(uint16_t family, const void *in)
{
	(void) in;
	return message_key_prepare(family);
}

static struct nl_msg *make_set(uint16_t family, const void *in)
{
	const struct arguments *a = in;

	return message_key_set(family, a->dek, a->number, a->sealed);
}

static struct nl_msg *make_reject(uint16_t family, const void *in)
{
	const struct arguments *a = in;

	return message_key_reject(family, a->dek, a->number);
}

static struct nl_msg *make_wipe(uint16_t family, const void *in)
{
	const struct arguments *a = in;

	return message_key_wipe(family, a->dek, a->number);
}

static struct nl_msg *make_key_get(uint16_t family, const void *in)
{
	return message_key_get(family, in);
}

static struct nl_msg *make_disk_get(uint16_t family, const void *in)
{
	return message_disk_get(family, in);
}

static struct nl_msg *make_dump(uint16_t family, const void *in)
{
	return message_dump(family, *(const uint8_t *) in);
}

static int take_prepared(struct nlmsghdr *h, void *out)
{
	return message_parse_prepared(h, out);
}

static int take_key(struct nlmsghdr *h, void *out)
{
	return message_parse_key(h, out);
}

static int take_disk(struct nlmsghdr *h, void *out)
{
	return message_parse_disk(h, out);
}

static int take_request(struct nlmsghdr *h, void *out)
{
	return message_parse_request(h, out);
}

static int load_once(struct nl_client *c, const uint8_t *dek, const struct secret *key,
		     const char *what, struct error *e)
{
	struct message_prepared prepared = { .seal_id = 0 };
	const struct client_command prepare = {
		.make = make_prepare, .take = take_prepared, .out = &prepared,
	};
	struct sealed_key sealed;
	struct arguments args = { .dek = dek, .sealed = &sealed };
	const struct client_command set = { .make = make_set, .in = &args };
	int r;

	r = client_run(c, &prepare, what, e);
	if (r < 0)
		return r;
	r = seal_key(prepared.public_key, dek, key, &sealed, e);
	if (r < 0) {
		error_prefix(e, "%s", what);
		return r;
	}
	args.number = prepared.seal_id;
	return client_run(c, &set, what, e);
}

int nl_client_key_load(struct nl_client *c, const uint8_t dek[VMCRYPT_DEK_UUID_LEN],
		       const struct secret *key, struct error *e)
{
	struct error first = ERROR_NULL;
	char what[80];
	int r;

	about_dek(what, sizeof(what), "Loading the key", dek);
	r = load_once(c, dek, key, what, &first);
	/* The prepared key lives VMCRYPT_SEAL_LIFETIME_S: a machine that was
	 * stopped in between finds it gone. */
	if (r == -ENOENT)
		return load_once(c, dek, key, what, e);
	if (r < 0 && e)
		*e = first;
	return r;
}

int nl_client_key_reject(struct nl_client *c, const uint8_t dek[VMCRYPT_DEK_UUID_LEN],
			 uint32_t reason, struct error *e)
{
	const struct arguments args = { .dek = dek, .number = reason };
	const struct client_command cmd = { .make = make_reject, .in = &args };
	char what[80];

	return client_run(c, &cmd, about_dek(what, sizeof(what), "Rejecting the request for key", dek), e);
}

int nl_client_key_wipe(struct nl_client *c, const uint8_t dek[VMCRYPT_DEK_UUID_LEN], bool force,
		       struct error *e)
{
	const struct arguments args = { .dek = dek, .number = force ? VMCRYPT_WIPE_FORCE : 0 };
	const struct client_command cmd = { .make = make_wipe, .in = &args };
	char what[80];

	return client_run(c, &cmd, about_dek(what, sizeof(what), "Wiping the key", dek), e);
}

int nl_client_key_get(struct nl_client *c, const uint8_t dek[VMCRYPT_DEK_UUID_LEN],
		      struct nl_key *ret, struct error *e)
{
	const struct client_command cmd = {
		.make = make_key_get, .in = dek, .take = take_key, .out = ret,
	};
	char what[80];

	return client_run(c, &cmd, about_dek(what, sizeof(what), "Asking the kernel for the key", dek), e);
}

int nl_client_disk_get(struct nl_client *c, const char *name, struct nl_disk *ret, struct error *e)
{
	const struct client_command cmd = {
		.make = make_disk_get, .in = name, .take = take_disk, .out = ret,
	};
	char what[VMCRYPT_NAME_MAX + 40];

	if (strlen(name) > VMCRYPT_NAME_MAX)
		return error_usage(e, "The name of a mapped device has at most %d bytes",
				   VMCRYPT_NAME_MAX);
	snprintf(what, sizeof(what), "Asking the kernel for the disk %s", name);
	return client_run(c, &cmd, what, e);
}

/**
 * struct list - what a dump grows
 * @take: one message into one element of @size bytes
 */
struct list {
	char *data;
	size_t n, room, size;
	int (*take)(struct nlmsghdr *h, void *element);
};

static void list_reset(void *out)
{
	struct list *l = out;

	l->n = 0;
}

static int list_take(struct nlmsghdr *h, void *out)
{
	struct list *l = out;
	int r;

	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 16;
		char *data = reallocarray(l->data, room, l->size);

		if (!data)
			return -ENOMEM;
		l->data = data;
		l->room = room;
	}
	r = l->take(h, l->data + l->n * l->size);
	if (r == 0)
		l->n++;
	return r;
}

static int dump(struct nl_client *c, uint8_t number, struct list *l, void *ret, size_t *ret_n,
		const char *what, struct error *e)
{
	const struct client_command cmd = {
		.make = make_dump, .in = &number, .take = list_take, .reset = list_reset, .out = l,
	};
	int r = client_run(c, &cmd, what, e);

	if (r < 0 || l->n == 0) {
		free(TAKE_PTR(l->data));
		if (r < 0)
			return r;
	}
	*(void **) ret = l->data;
	*ret_n = l->n;
	return 0;
}

int nl_client_key_list(struct nl_client *c, struct nl_key **ret, size_t *ret_n, struct error *e)
{
	struct list l = { .size = sizeof(struct nl_key), .take = take_key };

	return dump(c, VMCRYPT_CMD_KEY_GET, &l, ret, ret_n, "Listing the kernel's keys", e);
}

int nl_client_disk_list(struct nl_client *c, struct nl_disk **ret, size_t *ret_n, struct error *e)
{
	struct list l = { .size = sizeof(struct nl_disk), .take = take_disk };

	return dump(c, VMCRYPT_CMD_DISK_GET, &l, ret, ret_n, "Listing the kernel's disks", e);
}

int nl_client_request_list(struct nl_client *c, struct nl_request **ret, size_t *ret_n,
			   struct error *e)
{
	struct list l = { .size = sizeof(struct nl_request), .take = take_request };

	return dump(c, VMCRYPT_CMD_REQUEST_GET, &l, ret, ret_n, "Listing pending key requests", e);
}
