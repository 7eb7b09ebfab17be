/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/unlock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/log.h"

#define WIPE_POLL_MS	50
#define WIPE_POLLS	100

int host_check_lock(struct host *host, const uint8_t dek[UUID_SIZE], struct error *e)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(dek, text);
	if (!state_is_locked(host->state, text))
		return 0;
	return error_set(e, EACCES, EXIT_NOT_ALLOWED, VMCRYPT_REASON_LOCKED,
			 "The disk with DEK %s is locked by an administrator: take the lock off with vmcryptctl disk unlock",
			 text);
}

struct lookup {
	struct host *host;
	struct key_use use;
	struct key_locator used;
};

static int lookup_kek(const struct key_locator *locator, void *userdata, struct secret *ret_kek,
		      struct error *e)
{
	struct lookup *lookup = userdata;
	int r;

	r = provider_key_get(lookup->host->providers, locator, &lookup->use, ret_kek, e);
	if (r == 0)
		lookup->used = *locator;
	return r;
}

int host_unlock(struct host *host, struct disk_header *h, struct secret *ret_dek,
		struct key_locator *ret_used, struct error *e)
{
	struct lookup lookup = {
		.host = host, .use = { .vm = h->token.vm, .disk = h->token.disk },
	};
	int r;

	r = header_unlock(h, lookup_kek, &lookup, ret_dek, e);
	if (r == 0 && ret_used)
		*ret_used = lookup.used;
	return r;
}

int host_key_load(struct host *host, const uint8_t dek[UUID_SIZE], const struct secret *key,
		  struct error *e)
{
	const struct timespec pause = { .tv_nsec = WIPE_POLL_MS * 1000000L };
	int i, r = -EBUSY;

	for (i = 0; i < WIPE_POLLS && r == -EBUSY; i++) {
		if (i)
			nanosleep(&pause, NULL);
		r = nl_client_key_load(host->netlink, dek, key, e);
	}
	if (r < 0)
		return r;
	if (e)
		*e = ERROR_NULL;
	/* A lock that came since it was looked for: its wipe may have been too early. */
	r = host_check_lock(host, dek, e);
	if (r < 0)
		(void)nl_client_key_wipe(host->netlink, dek, /* force= */ true, NULL);
	return r;
}

void host_first_locator(const struct disk_header *h, char ret[LOCATOR_TEXT_SIZE])
{
	locator_format(&h->token.wraps[0].locator, ret);
}

int host_open_header(struct host *host, const char *device, const char *header,
		     unsigned int flags, struct disk_header **ret, struct error *e)
{
	_cleanup_free_ char *known = NULL;
	struct error first = ERROR_NULL;
	int r;

	if (header)
		return header_open(device, header, flags, ret, e);
	r = header_open(device, NULL, flags, ret, &first);
	if (r == 0)
		return 0;
	/* What is on the device itself comes first: a path in the state may be old. */
	known = state_header_of_device(host->state, device);
	if (known && first.reason == VMCRYPT_REASON_NO_HEADER)
		return header_open(device, known, flags, ret, e);
	*e = first;
	return r;
}
