/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The key servers of one provider: one vendor's, which replicate their keys.
 *
 * Who asks gets the first connection that can be had: one that is kept, else the
 * healthy servers are tried before those that failed last, the next one beside
 * those before it when they take long. Calls may come from any thread.
 */
#ifndef VMCRYPT_KMIP_SERVERS_H
#define VMCRYPT_KMIP_SERVERS_H

#include "kmip/keystate.h"
#include "kmip/server.h"

/** KMIP_SERVERS_MAX - servers in one set */
#define KMIP_SERVERS_MAX 16

/**
 * struct kmip_label - a custom attribute of a key, as vCenter sets them
 * @name: "x-Product"
 */
struct kmip_label {
	const char *name;
	const char *value;
};

/**
 * struct kmip_server_status - what a probe of one server has found
 * @code: 0 or -errno
 * @text: of the failure
 * @why: the failure as a reason
 * @took: ms
 * @certificate_end: of the server's certificate, seconds since 1970; 0: not known
 */
struct kmip_server_status {
	char name[KMIP_SERVER_NAME_SIZE];
	char vendor[KMIP_TEXT_SIZE];
	struct kmip_version version;
	int code;
	enum keystate why;
	char text[ERROR_TEXT_SIZE];
	int64_t took;
	int64_t certificate_end;
};

/**
 * struct kmip_server_found - what a new server was found to be, to be kept with its settings
 * @version: that it was pinned to, or else the one agreed on
 */
struct kmip_server_found {
	char vendor[KMIP_TEXT_SIZE];
	struct kmip_version version;
};

/**
 * struct kmip_wanted - a key that is wanted
 * @wrapping_id: of the key that the servers wrap it with on its way; NULL: TLS protects it
 * @check: kdf_key_check() of it: a server that gives another key under this id does not
 *	hold it; NULL: not known, what the server gives is taken
 */
struct kmip_wanted {
	const char *id;
	const char *wrapping_id;
	const uint8_t *check;
};

struct kmip_servers;

/**
 * kmip_servers_new() - an empty set
 * @timeout: for finding a server, and again for each message to it, ms. A call has a
 *	@deadline beside it, as kmip_deadline(): nothing is begun after that, and what
 *	was begun before has its time
 */
int kmip_servers_new(unsigned int timeout, struct kmip_servers **ret, struct error *e);

/**
 * kmip_servers_free() - wait for connections that are being made, and free
 *
 * No other thread may be in a call. NULL is left alone.
 */
void kmip_servers_free(struct kmip_servers *set);

/**
 * kmip_servers_put() - take in a server as it was kept, without asking it
 *
 * Return: 0; -EEXIST (name), -ENOSPC, -EINVAL with EXIT_USAGE.
 */
int kmip_servers_put(struct kmip_servers *set, const struct kmip_server_settings *settings,
		     struct error *e);

/**
 * kmip_servers_add() - take in a new server, if it fits to the others
 * @probe: that the others hold, which is read through the new one; NULL: none yet
 *
 * From then on it is pinned to the version.
 *
 * Return: 0; -EXDEV with EXIT_USAGE (another vendor's); -ENOKEY (does not hold the
 * key, or another one under its id); as kmip_servers_put() and kmip_tls_connect().
 */
int kmip_servers_add(struct kmip_servers *set, const struct kmip_server_settings *settings,
		     const struct kmip_wanted *probe, struct kmip_server_found *ret, struct error *e);

/**
 * kmip_servers_remove() - forget a server; calls that use it go on
 *
 * Return: 0; -EINVAL with EXIT_USAGE (there is none of that name).
 */
int kmip_servers_remove(struct kmip_servers *set, const char *name, struct error *e);

/**
 * kmip_servers_call() - have something done by one of the servers
 * @work: returns 0 or -errno. It is called again with another server when one breaks
 *	down, cannot do it now (-EAGAIN), or does not know the key (-ENOKEY)
 *
 * When none of the servers could be had, this is told for two seconds to whoever calls
 * next, unless a probe or a connection still under way has found one well again.
 *
 * Return: 0; -ENOENT with EXIT_NO_KEY (no server in the set); -ETIMEDOUT; what @work or
 * connecting returned last, where -ENOKEY goes before others.
 */
int kmip_servers_call(struct kmip_servers *set, int64_t deadline,
		      int (*work)(struct kmip_client *client, void *userdata, struct error *e),
		      void *userdata, struct error *e);

/**
 * kmip_servers_create() - make a KEK and make it active
 *
 * A key that is not active by the deadline is destroyed, however long that takes. When a
 * server breaks down in between, a key that nobody uses may stay on it.
 */
int kmip_servers_create(struct kmip_servers *set, int64_t deadline, char ret_id[KMIP_ID_SIZE],
			struct error *e);

/**
 * kmip_servers_destroy() - revoke and destroy a key
 *
 * Asks even while the servers could not be had just now, for who gives up a key does not
 * come again.
 */
int kmip_servers_destroy(struct kmip_servers *set, int64_t deadline, const char *id,
			 struct error *e);

/**
 * kmip_servers_fetch() - get a KEK that is active; one that was never active becomes so
 * @ret: the caller owns it
 * @wrapping: on failure, whether that was about the wrapping key
 *
 * Return: 0; -ENOKEY, -EKEYREJECTED (not active), -EACCES and others:
 * keystate_of_error() tells which reason.
 */
int kmip_servers_fetch(struct kmip_servers *set, int64_t deadline,
		       const struct kmip_wanted *wanted, struct secret *ret, bool *wrapping,
		       struct error *e);

/**
 * kmip_servers_state() - enum kmip_state of a key
 *
 * In three time-outs.
 */
int kmip_servers_state(struct kmip_servers *set, const char *id, uint32_t *ret, struct error *e);

/**
 * kmip_servers_tag() - write custom attributes to a key
 * @n: 1..KMIP_BATCH_MAX
 *
 * Not all servers take them: a failure is worth a line in a log and no more.
 */
int kmip_servers_tag(struct kmip_servers *set, int64_t deadline, const char *id,
		     const struct kmip_label *labels, size_t n, struct error *e);

/**
 * kmip_servers_probe() - ask all servers at once, each over a new connection
 * @wanted: that each of them has to give, in whatever state it is; NULL: none
 * @ret: KMIP_SERVERS_MAX entries
 * @ret_n: how many
 */
int kmip_servers_probe(struct kmip_servers *set, const struct kmip_wanted *wanted,
		       struct kmip_server_status *ret, size_t *ret_n, struct error *e);

/**
 * kmip_servers_read() - get a key through one server, without a look at its state
 * @ret: the caller owns it
 * @wrapping: as in kmip_servers_fetch()
 */
int kmip_servers_read(struct kmip_client *client, const struct kmip_wanted *wanted,
		      struct secret *ret, bool *wrapping, struct error *e);

#endif
