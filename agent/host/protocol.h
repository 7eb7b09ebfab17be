/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control socket of vmcryptd. This text is normative for both sides.
 *
 * Transport
 * =========
 *
 * SOCK_STREAM unix socket, VMCRYPT_SOCKET_PATH. Each message is one JSON object
 * on one line, ended by '\n', UTF-8, at most PROTOCOL_LINE_MAX bytes (from the
 * client) or PROTOCOL_ANSWER_MAX bytes (from the agent) with the newline,
 * nested at most PROTOCOL_DEPTH_MAX deep, no member twice. A client may
 * send further requests before the first is answered; answers carry the id
 * of their request and may come in any order.
 *
 *   request   {"v":1,"id":N,"op":"NOUN.VERB","args":{...}}
 *   progress  {"id":N,"progress":{"step":S,"steps":T,"phase":"...","text":"..."}}
 *   event     {"id":N,"event":{...}}                      (event.list only)
 *   done      {"id":N,"ok":true,"result":{...}}
 *   failed    {"id":N,"ok":false,"error":{"status":S,"errno":"ENOKEY",
 *              "reason":"...","text":"..."}}
 *
 * id is an integer from 0 to 2^53. "args" may be left out when it is empty. A
 * member that is not written here is refused (EINVAL), in the request and in
 * its args. Progress and events come before the one line that ends the request.
 *
 * A line that is no request (too long, not JSON, no id) is answered with
 * "id":null and the connection is closed; a request that is refused leaves the
 * connection open.
 *
 * error.status is the exit status of vmcryptctl: 1 failed, 2 wrong usage, 3 the
 * key cannot be had now, 4 not allowed. error.errno is the symbolic name of the
 * error. error.reason is one of the words below when the failure is one that
 * the kernel knows (enum vmcrypt_reason), else null: no-header, unavailable,
 * not-allowed, locked, header-damaged, internal. error.text says what was
 * tried, on what, why it failed and what to do.
 *
 * Secrets and files
 * =================
 *
 * Passwords, exported DEKs and backups never stand in JSON. They cross as file
 * descriptors (SCM_RIGHTS) sent with the first byte of the request's line, in
 * the order that the operation lists; at most PROTOCOL_FDS_MAX. A request with
 * more or fewer than its operation wants is refused (EINVAL). The agent reads or
 * writes them with read(2) and write(2) and closes them. A password is the whole
 * content, without one '\n' at its end, 1 to 512 bytes. "out" is an empty regular
 * file, open for reading and writing: what is written is read back.
 *
 * Who may
 * =======
 *
 * SO_PEERCRED and SO_PEERGROUPS of the connection decide. "read" is root or a
 * member of the group vmcrypt, "change" is root. Anybody else is answered with
 * status 4 to every request.
 *
 * Operations
 * ==========
 *
 * Types: s string, b boolean (false when left out), n integer; [x] may be left
 * out. Times are RFC 3339 in UTC. UUIDs are lower case.
 *
 * status                read
 *   -> {"version":s, "protocol":1, "pid":n, "started":time,
 *       "mode":"incapable"|"prepared"|"safe"|"pending-incapable",
 *       "module":{"loaded":b, "text":s},
 *       "memory_locked":b, "tpm":b,
 *       "default_provider":s|null, "providers":[PROVIDER...],
 *       "manager":MANAGER|null (not joined),
 *       "disks":{"known":n, "attached":n, "locked":n},
 *       "boot":{"attached":n, "failed":n, "waiting":n,
 *               "lines":[{"line":n, "name":s|null, "device":s|null,
 *                         "state":"waiting"|"attaching"|"attached"|"failed",
 *                         "error":s|null}...]},
 *       "events":{"path":s, "bytes":n, "reserved":n, "healthy":b},
 *       "warnings":[s...]}
 *   incapable: the kernel module is not loaded. prepared: it is, but there is
 *   no default provider that is backed up. safe: disks can be made and opened.
 *   On a host that has joined a manager, and has the module loaded, it is the mode
 *   that the manager gave last; incapable before it gave one.
 *
 * provider.create       change  {"type":"native", "name":s, ["require_tpm":b],
 *                                ["allow_unsealed":b]}
 *   -> PROVIDER
 *   Without either flag the KDK is sealed to the TPM when there is one, and the
 *   operation is refused when there is none. Both flags: EINVAL.
 *
 * provider.list         read    -> {"providers":[PROVIDER...]}
 * provider.show         read    {"name":s} -> PROVIDER
 * provider.default      change  {"name":s} -> PROVIDER
 * provider.check        read    {"name":s}
 *   -> {"name":s, "ok":b, "checks":[{"check":s, "ok":b, "text":s}...]}
 * provider.delete       change  {"name":s} -> {"name":s}
 *   EBUSY while a disk that the agent knows has a wrap of it.
 * provider.backup       change  {"name":s}, files: out, password
 *   -> {"name":s, "uuid":s, "bytes":n, "backup_time":time}
 *   The provider counts as backed up once the file is written and synced.
 * provider.restore      change  {["dry_run":b], ["require_tpm":b],
 *                                ["allow_unsealed":b]}, files: backup, password
 *   -> {"name":s, "uuid":s, "created":time, "dry_run":b,
 *       "state":"new"|"same"}
 *   A dry run opens the backup and compares it with what is there, and changes
 *   nothing. "same": this provider is here already with the same key.
 *
 *   PROVIDER = {"name":s, "uuid":s, "type":"native"|"standard",
 *     "created":time|null (standard), "protection":"tpm"|"unsealed"|"key-server",
 *     "default":b, "managed":b (given by the manager),
 *     "backed_up":b (true for standard and managed ones: their keys are elsewhere, too),
 *     "backup_time":time|null, "disks":n}
 *
 * host.join             change  {"url":s, ["name":s]}, files: token
 *   -> {"manager":MANAGER}
 *   url: https://NAME[:PORT]. name: how the manager lists this host, default: this
 *   machine's name. token: as common/jointoken.h has it. EEXIST: joined already.
 * host.leave            change  {["force":b]} -> {"url":s, "host":s}
 *   Forgets the manager: its keys, its providers, the certificate. What is attached
 *   goes on. EBUSY while a disk that the agent knows has a wrap of one of the
 *   providers, unless force. The manager is not told: the host is removed there.
 * host.show             read    -> {"manager":MANAGER|null (not joined)}
 *
 *   MANAGER = {"url":s, "host":s (UUID), "name":s|null (not connected yet),
 *     "connected":b, "connected_since":time|null, "certificate_end":time,
 *     "mode":as in status, "protection":"tpm"|"unsealed" (of the certificate's key),
 *     "trouble":s|null (why there is no connection)}
 *
 * disk.create           change  {"device":s, "vm":s, ["disk":s], ["provider":s],
 *                                ["sector_size":n], ["key_bits":n],
 *                                ["header":s], ["force":b]}
 *   -> DISK; sends progress
 *   disk: default the last part of device's path. sector_size: 512, 1024, 2048,
 *   4096, default 4096 (512 where the device's size is no multiple). key_bits:
 *   256 or 512, default 512. header: path of a detached header to be made.
 *   EEXIST when the device carries a LUKS header already and not force. EACCES
 *   where the provider is the manager's and the mode is not safe.
 *
 * disk.attach           change  {"device":s, "name":s, ["header":s],
 *                                ["discard":b], ["key_loss":"queue"|"error"],
 *                                ["read_only":b], ["dek":s]}
 *   -> DISK
 *   header may be left out once the agent knows where it is. EEXIST when the
 *   name is taken. dek: a disk with another DEK is refused (ESTALE); for who
 *   knows the disk, and is told the device by others.
 * disk.detach           change  {"name":s, ["force":b]} -> {"name":s}
 *   EBUSY while the device is open. force: the table is replaced by one that
 *   fails all I/O, and the device goes when its last user closes it.
 * disk.lock             change  {"name":s} -> DISK
 * disk.unlock           change  {"name":s} -> DISK
 *   name: the mapped device, or, when it is not attached, the name that the
 *   disk had last, or its DEK's UUID.
 * disk.forget           change  {"name":s} -> {"dek":s}
 *   name: as before. The disk is listed and reported no more. EBUSY while it is
 *   attached or its header is on its device.
 * disk.table            read    {"device":s, ["header":s], ["discard":b],
 *                                ["key_loss":s]}
 *   -> {"table":s, "dek":s}
 *   The line for `dmsetup create`, from authenticated values: the wrap is
 *   opened for that, which is recorded as an event.
 * disk.list             read    -> {"disks":[DISK...]}
 * disk.show             read    {"name":s} -> DISK
 *   name: a mapped device, the path of the device below it, or the DEK's UUID.
 * disk.export-key       change  {"device":s, ["header":s]}, files: out
 *   -> {"dek":s, "key_bits":n, "bytes":n}
 *
 *   DISK = {"name":s|null, "path":s|null, "device":s|null, "header":s|null,
 *     "dek":s, "key_bits":n, "sector_size":n, "size":n (bytes),
 *     "vm":s|null, "disk":s|null, "created":time|null
 *       (null: attached by somebody else, its header not seen yet),
 *     "keys":[s...] (key locators PROVIDER/KEY-ID),
 *     "state":"loaded"|"locked"|"wiping"|"absent",
 *     "attached":b, "locked":b (by an administrator),
 *     "counters":{"inflight":n, "queued":n, "reads":n, "writes":n, "errors":n}
 *                |null (not attached)}
 *
 * key.list              read
 *   -> {"keys":[{"dek":s, "key_bits":n, "state":s, "targets":n,
 *                "disks":[s...], "keys":[s...], "locked":b}...]}
 *
 * event.list            read    {["follow":b], ["limit":n]}
 *   -> event lines, then {"count":n}
 *   limit: the newest n only, default all that is kept. follow: goes on with
 *   what comes, until the client closes the connection.
 *
 *   EVENT = {"time":time, "id":s (UUID, the same for intent and outcome),
 *     "user":s, "operation":s, "object":s, "key":s|null (key locator),
 *     "phase":"intent"|"outcome", "result":s|null ("ok", or the error's text),
 *     "host":s, "vm":s|null}
 */
#ifndef HOST_PROTOCOL_H
#define HOST_PROTOCOL_H

#define VMCRYPT_SOCKET_PATH	"/run/vmcrypt/vmcryptd.sock"
#define VMCRYPT_GROUP		"vmcrypt"

#define PROTOCOL_VERSION	1
#define PROTOCOL_LINE_MAX	65536	/* bytes of a request, with the newline */
#define PROTOCOL_ANSWER_MAX	(4U << 20)	/* bytes of a line from the agent */
#define PROTOCOL_DEPTH_MAX	16	/* objects and arrays inside each other */
#define PROTOCOL_FDS_MAX	2	/* descriptors with one request */

#define PROTOCOL_NAME_MAX	127	/* bytes: mapped device, VM, label, provider */
#define PROTOCOL_PATH_MAX	4095	/* bytes: device and header paths */
#define PROTOCOL_PASSWORD_MAX	512	/* bytes */

#endif /* HOST_PROTOCOL_H */
