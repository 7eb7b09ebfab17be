/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's end of the channel to its manager (common/channel.h), and what it
 * knows of the manager.
 *
 * Three threads: one carries the connection (libwebsockets), one works on the manager's
 * requests in the order of their coming, one reports the disks and renews the
 * certificate. None of them runs while the host has not joined. Nothing that a running
 * disk needs waits for any of them.
 *
 * Any thread may call what is here, unless it says otherwise.
 */
#ifndef HOST_LINK_H
#define HOST_LINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/channel.h"
#include "common/errors.h"
#include "common/jointoken.h"
#include "common/secret.h"
#include "host/host.h"
#include "host/identity.h"
#include "provider/provider.h"

struct link;

/** struct link_times - how long things take; tests have them shorter */
struct link_times {
	unsigned int retry_ms;		/* the first pause before dialling again */
	unsigned int retry_max_ms;
	unsigned int ping_ms;
	unsigned int dead_ms;
	unsigned int report_ms;		/* after a change, for more to come */
};

extern const struct link_times link_times_default;

/**
 * uplink_new() - read who this host is to its manager
 * @times: copied; NULL: link_times_default
 *
 * An identity that cannot be read is said in the log and in link_look(), and stops nothing.
 */
int uplink_new(struct host *host, const struct link_times *times, struct link **ret,
	       struct error *e);

/**
 * link_start() - begin; in the main loop
 *
 * All other objects of the host are there.
 */
int link_start(struct link *link, struct error *e);

/** link_stop() - hang up; who waits for an answer gets none. NULL is left alone */
void link_stop(struct link *link);

/**
 * link_free() - end the threads
 * @wait_s: how long they may take
 *
 * Return: false: one hangs, and the link is leaked to it: the process must end.
 */
bool link_free(struct link *link, unsigned int wait_s);

/**
 * struct link_view - for `status` and `host show`
 * @joined: what follows is set
 * @sealed: the certificate's key is sealed to the TPM
 * @certificate_end: seconds since 1970
 * @connected_since: seconds since 1970, 0: not connected
 * @trouble: why there is no connection, ""
 */
struct link_view {
	bool joined;
	bool connected;
	bool sealed;
	enum host_mode mode;
	char url[IDENTITY_URL_MAX + 1];
	char host[UUID_TEXT_SIZE];
	char name[CHANNEL_TEXT_MAX + 1];
	int64_t certificate_end;
	int64_t connected_since;
	struct error trouble;
};

void link_look(struct link *link, struct link_view *ret);

/**
 * link_check_safe() - whether new disks may be encrypted with keys of the manager's
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED and what to do.
 */
int link_check_safe(struct link *link, struct error *e);

/**
 * link_join() - join a manager, and connect
 *
 * Waits; for a worker. Return: 0; -EEXIST (joined already, or under way); what
 * join_manager() answers.
 */
int link_join(struct link *link, const char *url, const char *name,
	      const struct jointoken *token, struct error *e);

/**
 * link_leave() - forget the manager: its keys and providers, the certificate
 *
 * Disks that are attached go on. Waits for storage. Return: 0; -ENOENT (not joined).
 */
int link_leave(struct link *link, struct error *e);

/**
 * uplink_ask() - ask the manager and wait for its answer
 * @args: the reference is taken; NULL: out of memory
 * @deadline_ms: as time_monotonic_ms()
 * @ret: the result, the caller owns it; written only on success
 * @ret_connection: number of the connection that it came over, for link_open_kek();
 *	may be NULL
 * @why: the manager's failure as it was, or ours
 *
 * Return: 0; -ENOTCONN, -ETIMEDOUT, -ECONNRESET (went away meanwhile), -EAGAIN
 * (CHANNEL_PENDING_MAX wait already), all with EXIT_NO_KEY; what the manager answered.
 */
int uplink_ask(struct link *link, const char *op, json_t *args, uint64_t deadline_ms,
	       json_t **ret, uint64_t *ret_connection, struct channel_failure *why);

/** link_report_soon() - a disk has changed; NULL is left alone */
void link_report_soon(struct link *link);

/* provider_settings.make and .fetch */
int link_key_new(struct link *link, const uint8_t provider[UUID_SIZE], const struct key_use *use,
		 uint64_t deadline_ms, char *ret_key_id, struct secret *ret_kek,
		 struct channel_failure *ret_why);
int link_key_get(struct link *link, const uint8_t provider[UUID_SIZE], const char *key_id,
		 const struct key_use *use, uint64_t deadline_ms, struct secret *ret_kek,
		 struct channel_failure *ret_why);

#endif /* HOST_LINK_H */
