/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The channel between a host and the manager. This text is normative for both
 * sides.
 *
 * Transport
 * =========
 *
 * A WebSocket (RFC 6455) at CHANNEL_PATH with the subprotocol CHANNEL_PROTOCOL,
 * inside TLS 1.3 with certificates on both sides, dialled by the host. The CN of
 * the host's certificate is its UUID; the host trusts the authority that its
 * join token pinned and no other.
 *
 * Each text message is one JSON object: UTF-8, at most CHANNEL_FRAME_MAX bytes,
 * nested at most JSON_MAX_DEPTH deep, no member twice. Both sides may ask:
 *
 *   request   {"id":N,"op":"NOUN.VERB","args":{...}}
 *   answer    {"id":N,"ok":true,"result":{...}}
 *   failure   {"id":N,"ok":false,"error":{"status":S,"errno":"ENOKEY",
 *              "reason":s|null,"key_reason":s|null,"text":s}}
 *
 * id is an integer from 0 to CHANNEL_ID_MAX, chosen by who asks and not used
 * again while it waits; each side counts for itself. Answers may come in any
 * order, requests are worked on in the order of their coming; a host's key.new and
 * key.get in an order of their own, for they wait for key servers. At most
 * CHANNEL_PENDING_MAX requests of one side wait at one time; who gets more closes
 * the channel.
 *
 * All members written here are there, no others; what is null stands as null. A
 * message that is none of the three, an answer to what was not asked, and a
 * result of another form close the channel. A request whose operation is
 * unknown, or not for this side to ask, fails with EOPNOTSUPP; one whose args
 * have another form fails with EBADMSG; both leave the channel open.
 *
 * status, errno, reason and text are those of the agent's control socket
 * (host/protocol.h). key_reason says why a key cannot be had, by vSphere's name,
 * and is null for other failures:
 *
 *   KeyStateMissingInCache, KeyStateClusterInvalid, KeyStateClusterUnreachable,
 *   KeyStateMissingInKMS, KeyStateNotActiveOrEnabled,
 *   KeyStateManagedByTrustAuthority, KeyStateManagedByNKP,
 *   NoPermissionToAccessKeyProvider, WrappingKeyMissingInKMS,
 *   WrappingKeyNotActiveOrEnabled
 *
 * Each side sends a ping every CHANNEL_PING_S seconds when it has sent nothing
 * else, and gives the other up CHANNEL_DEAD_S seconds after the last byte it had
 * from it. What then still waits fails with EXIT_NO_KEY. The host dials again
 * after 1, 2, 4 … CHANNEL_RETRY_MAX_S seconds, each made longer or shorter by up
 * to half at random. A new connection of a host replaces the one that was there.
 *
 * Keys
 * ====
 *
 * A KEK never stands in a message in clear: message buffers of libraries are not
 * erased. For each connection the host makes an X25519 key pair and says its
 * public half in hello. A KEK is sealed for it with box_seal_kek()
 * (crypto/box.h), which binds it to provider, key and host; "sealed" is the
 * base64 of the box. The host erases the private half when the connection ends.
 *
 *   KEY = {"provider":uuid, "provider_name":name, "key":word, "sealed":base64}
 *
 * A KEK or a KDK travels only to a host in mode safe, a KEK only if the VM that the key is
 * for is registered to the host or its cluster, a KDK only if its provider is the host's
 * default one, or a disk of such a VM has a key of it.
 *
 * Operations
 * ==========
 *
 * Types: uuid lower case; name a provider's, 1 to 64 bytes; word printable
 * ASCII without space, 1 to 128 bytes; text UTF-8 without control characters;
 * pem printable ASCII and line feeds; x|null may be null.
 *
 * Host asks manager
 * -----------------
 *
 * hello         {"version":text, "name":text, "boot_id":uuid, "module":text|null,
 *                "tpm":b, "public_key":base64 of 32 bytes}
 *   -> {"host":uuid, "name":text}
 *   The first request, once; anything else before it fails with EACCES. module
 *   is the version of the loaded kernel module, null: not loaded. The manager
 *   then sends mode.set, key.remove and provider.remove for what the host lost the
 *   right to while it was away, provider.set, kdk.push, and key.push with the keys of
 *   the host's VMs.
 *
 * key.new       {"provider":uuid|null, "vm":text, "disk":text} -> KEY
 *   Makes a key at the provider's key server and activates it; null: the
 *   provider that is the default of the host's cluster. Sent to the cluster's
 *   other hosts by key.push before it is answered, as far as they can be
 *   reached. A VM that is registered nowhere yet is registered to the host's
 *   cluster, or to the host when that is in none.
 *
 * key.get       {"provider":uuid, "key":word, "vm":text|null} -> KEY
 *   vm: as the disk's header names it, null when that is not known; a hint for
 *   the record, for the header is not authenticated yet. What counts is the VM
 *   that the key was made for: EACCES when that is registered elsewhere, which the
 *   manager records.
 *
 * disk.report   {"disks":[DISK...], "more":b} -> {}
 *   All disks that the host knows, after hello and whenever that changes, in
 *   parts of at most CHANNEL_LIST_MAX; more: another part follows, and the list
 *   stands once the last one has come.
 *   DISK = {"dek":uuid, "vm":text|null, "disk":text|null, "state":"loaded"|
 *           "locked"|"wiping"|"absent", "attached":b,
 *           "keys":[{"provider":uuid, "key":word}...] (at most 16)}
 *
 * cert.renew    {"csr":pem} -> {"certificate":pem}
 *
 * Manager asks host
 * -----------------
 *
 * mode.set      {"mode":"incapable"|"prepared"|"safe"|"pending-incapable"} -> {}
 *   In incapable and pending-incapable the host forgets all keys of standard
 *   providers, and the manager's native providers but those of attached disks.
 * provider.set  {"providers":[{"uuid":uuid, "name":name, "type":"standard",
 *                              "default":b}...]} -> {}
 *   All standard providers that the host may use. One that is missing is taken
 *   from the host, unless a disk there needs it: EBUSY, and nothing is changed.
 *
 * key.push      {"keys":[KEY...]} -> {"refused":[{"provider":uuid, "key":word,
 *                                     "text":text}...]}
 *   At most CHANNEL_LIST_MAX.
 * key.remove    {"provider":uuid, "key":word} -> {}
 *   EBUSY while a disk of the host uses it; ENOENT: it was not there. After EBUSY
 *   the manager asks again: at the next hello, once a disk.report has no disk with
 *   the key, and now and then.
 * key.probe     {"key":KEY, "nonce":base64 of 32 bytes}
 *   -> {"iv":base64 of 12, "ciphertext":base64 of 32, "tag":base64 of 16}
 *   The host opens the KEK, encrypts the nonce under it (AES-256-GCM, additional
 *   data "vmcrypt-probe-v1|HOST") and forgets it: whoever has the KEK sees that
 *   this host can wrap with it.
 *
 * kdk.push      {"provider":uuid, "name":name, "created":text, "require_tpm":b,
 *                "default":b, "sealed":base64} -> {"sealed":b}
 *   A native provider: the host keeps the KDK, and makes and gets keys of this
 *   provider by itself from then on. The KDK is sealed with box_seal_kdk(). It is
 *   kept sealed to the TPM; without one as a file, or refused with ENODEV where
 *   require_tpm; the answer's sealed says whether the TPM has sealed it. EEXIST: another provider has the name, EKEYREJECTED: another KDK is
 *   here under this UUID, and stays. created: RFC 3339.
 * provider.remove {"provider":uuid, "kept":b} -> {}
 *   The reverse, erased. kept: the manager keeps the KDK, and the host has lost the
 *   right to it; else the provider is deleted. EBUSY while a disk needs it that is
 *   attached (kept) or that the host knows (else), ENOENT: it was not there, EINVAL:
 *   not one that the manager gave. After EBUSY the manager asks again, as with
 *   key.remove.
 *
 * host.removed  {} -> {}
 *   The host is not one of the manager's any more: it forgets all keys, its
 *   certificate and the manager, once it has answered.
 *
 * run           {"op":word, "args":{...}, "user":text} -> {...}
 *   An operation of the agent's control socket that needs no file, as host/protocol.h
 *   has it, on behalf of a user whose privilege the manager has checked.
 */
#ifndef VMCRYPT_COMMON_CHANNEL_H
#define VMCRYPT_COMMON_CHANNEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/errors.h"

#define CHANNEL_PATH		"/api/v1/channel"
#define CHANNEL_PROTOCOL	"vmcrypt-host-v1"

#define CHANNEL_FRAME_MAX	((size_t) 64 * 1024)
#define CHANNEL_ID_MAX		((uint64_t) 1 << 53)
#define CHANNEL_PENDING_MAX	64
#define CHANNEL_LIST_MAX	64	/* elements of the lists of one message */
#define CHANNEL_PING_S		20
#define CHANNEL_DEAD_S		60
#define CHANNEL_RETRY_MAX_S	60

#define CHANNEL_WORD_MAX	128	/* bytes */
#define CHANNEL_TEXT_MAX	255	/* bytes */
#define CHANNEL_PEM_MAX		16384	/* bytes */
#define CHANNEL_PUBLIC_KEY_SIZE	32	/* bytes, of hello */
#define CHANNEL_SEALED_SIZE	80	/* bytes, of KEY and kdk.push */
#define CHANNEL_NONCE_SIZE	32	/* bytes, of key.probe, and of its ciphertext */
#define CHANNEL_PROBE_LABEL	"vmcrypt-probe-v1"

/** enum channel_side - who asks */
enum channel_side {
	CHANNEL_HOST,
	CHANNEL_MANAGER,
};

/** CHANNEL_KEY_REASON_SIZE - bytes of the longest key_reason, with the NUL */
#define CHANNEL_KEY_REASON_SIZE	32

/**
 * struct channel_failure - why a request failed
 * @error: code, status, reason and text as they were on the other side
 * @key_reason: one of the ten names above, "": none
 */
struct channel_failure {
	struct error error;
	char key_reason[CHANNEL_KEY_REASON_SIZE];
};

/** CHANNEL_NO_ANSWER - the key_reason where the manager was asked in vain */
#define CHANNEL_NO_ANSWER	"KeyStateClusterUnreachable"

/** channel_key_reason_valid() - whether it is one of the ten */
bool channel_key_reason_valid(const char *key_reason);

enum channel_kind {
	CHANNEL_REQUEST,
	CHANNEL_ANSWER,
	CHANNEL_FAILURE,
};

/**
 * struct channel_frame - one message, taken apart
 * @kind: which of the three
 * @id: of the request
 * @op: of a request: what it asks for, not checked yet
 * @body: args of a request, result of an answer; borrowed from @json
 * @failure: of a failure
 * @json: the whole
 */
struct channel_frame {
	enum channel_kind kind;
	uint64_t id;
	const char *op;
	json_t *body;
	struct channel_failure failure;
	json_t *json;
};

/** channel_frame_done() - NULL and one that is all zero are left alone */
void channel_frame_done(struct channel_frame *frame);

#define _cleanup_channel_frame_ __attribute__((cleanup(channel_frame_done)))

/**
 * channel_parse() - take a message apart
 * @text: @size bytes
 * @ret: written only on success
 *
 * Looks at the outer form only: then comes channel_check_args() for a request, and
 * channel_check_result() for an answer, with the operation that was asked for.
 *
 * Return: 0; -EBADMSG, -EFBIG: close the channel; -ENOMEM.
 */
int channel_parse(const char *text, size_t size, struct channel_frame *ret, struct error *e);

/**
 * channel_check_args() - hold a request against the text above
 * @from: who asks
 *
 * Return: 0; -EOPNOTSUPP (no such operation for this side), -EBADMSG.
 */
int channel_check_args(enum channel_side from, const char *op, const json_t *args,
		       struct error *e);

/** channel_check_result() - hold an answer's result against it. Return: as before */
int channel_check_result(enum channel_side from, const char *op, const json_t *result,
			 struct error *e);

/*
 * Building. The same checks: what the other side would refuse is not sent.
 * @ret is malloc'ed and ends in NUL, @ret_size is without the NUL; written only on
 * success. References to @args and @result stay the caller's.
 *
 * Return: 0; -EBADMSG, -EOPNOTSUPP, -EFBIG (larger than CHANNEL_FRAME_MAX), -ENOMEM.
 */

/** channel_build_request() - @from: us */
int channel_build_request(enum channel_side from, uint64_t id, const char *op, json_t *args,
			  char **ret, size_t *ret_size, struct error *e);

/** channel_build_answer() - @from: who asked */
int channel_build_answer(enum channel_side from, uint64_t id, const char *op, json_t *result,
			 char **ret, size_t *ret_size, struct error *e);

/**
 * channel_build_failure()
 * @failure: its error is set; a key_reason that is none is sent as null
 */
int channel_build_failure(uint64_t id, const struct channel_failure *failure, char **ret,
			  size_t *ret_size, struct error *e);

#endif
