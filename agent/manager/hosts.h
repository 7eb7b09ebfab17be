/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hosts: documents of kind "host" {name, cluster: UUID|null, mode, host_key: {provider,
 * key}|null, state: "active", serial, fingerprint and certificate_end (RFC 3339) of its
 * certificate, joined, last_seen, reported (when it told of its disks since it has connected),
 * version, module, tpm, boot_id}. What is not known yet is
 * null. old_serial: of the certificate before, which counts until the new one was used;
 * null: none. A host that was removed has no document any more, and its name is free.
 *
 * Their disks: documents of kind "disk" {vm: UUID|null, host: UUID, disk: label|null, state,
 * attached, keys: [{provider, key}...], seen}, the id is that of the DEK.
 *
 * May be called from any thread.
 */
#ifndef MANAGER_HOSTS_H
#define MANAGER_HOSTS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/encode.h"
#include "common/errors.h"

/** HOSTS_NAME_MAX - bytes of a host's or a VM's name as the channel brings it */
#define HOSTS_NAME_MAX 255

struct hosts;
struct manager;

/** hosts_new() - what is known of hosts beside their documents; to be put into @m */
int hosts_new(struct hosts **ret, struct error *e);

/** hosts_free() - NULL is left alone */
void hosts_free(struct hosts *hosts);

/**
 * struct host_view - what decides what a host may have
 * @cluster: "": in none
 */
struct host_view {
	char name[HOSTS_NAME_MAX + 1];
	char cluster[UUID_TEXT_SIZE];
	bool safe;
	bool tpm;
};

/** host_view() - Return: 0; -ENOENT: no such host, or one that was removed */
int host_view(struct manager *m, const char *host, struct host_view *ret, struct error *e);

/**
 * host_may_have_vm() - whether the VM is registered to the host or its cluster
 * @vm: UUID as text
 *
 * Return: 1, 0; -ENOENT (no such VM).
 */
int host_may_have_vm(struct manager *m, const char *host, const char *vm, struct error *e);

/**
 * hosts_of_vm() - UUIDs (strings) of all active hosts that may have the VM's keys
 * @ret: an array
 */
int hosts_of_vm(struct manager *m, const char *vm, json_t **ret, struct error *e);

/**
 * host_vm_named() - the VM that a header of this host names, registered if it is new
 * @name: the VM's name, or its UUID
 * @ret_vm: its UUID
 *
 * A VM that is registered nowhere becomes one of the host's cluster, or of the host when
 * that is in none: recorded as vm.register.
 *
 * Return: 0; -EACCES with EXIT_NOT_ALLOWED (registered elsewhere).
 */
int host_vm_named(struct manager *m, const char *host, const char *name,
		  char ret_vm[UUID_TEXT_SIZE], struct error *e);

/** host_vm_known() - the same, but -ENOENT for a VM that is new */
int host_vm_known(struct manager *m, const char *host, const char *name,
		  char ret_vm[UUID_TEXT_SIZE], struct error *e);

#endif
