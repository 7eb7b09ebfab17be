/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the agent knows of disks beyond what kernel and headers say:
 * STATE/disks.json, replaced as a whole, an object by DEK.
 *
 * Its two weighty members are "header", the way to a detached header, and
 * "locked", an administrator's lock, which outlives a restart. The rest is a
 * copy of what the header said when it was last read, so that a disk can be
 * listed without touching its device.
 *
 * Any thread may call what is here.
 */
#ifndef HOST_STATE_H
#define HOST_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/encode.h"
#include "common/errors.h"
#include "disk/header.h"

#define STATE_FILE		"disks.json"
#define STATE_SIZE_MAX		(8U << 20)	/* bytes */
#define STATE_DISKS_MAX		4096

struct state;

/**
 * state_open() - read the file; one that does not exist is empty
 *
 * Return: 0; -EBADMSG when it cannot be understood: locks would be lost, so the
 * agent must not go on.
 */
int state_open(const char *dir, struct state **ret, struct error *e);
void state_free(struct state *state);

/**
 * struct state_disk - what is remembered with a header
 * @h: open header of the disk
 * @name: mapped device, NULL: unknown, keeps what was known
 */
struct state_disk {
	const struct disk_header *h;
	const char *name;
};

/**
 * state_remember() - note a disk; the lock it has stays
 *
 * Writes only when something changed. Other records of the same device without
 * a detached header are replaced: the header on it is a new one.
 */
int state_remember(struct state *state, const struct state_disk *disk, struct error *e);

/**
 * state_begin_create() - note where the header of a new disk will be
 * @header: path of a detached header
 *
 * After a crash state_pending() finds it.
 */
int state_begin_create(struct state *state, const char *dek, const char *device,
		       const char *header, struct error *e);

/* Records that state_begin_create() left: array of [dek, device, header]. */
json_t *state_pending(struct state *state);

int state_forget(struct state *state, const char *dek, struct error *e);

/* Put on or take off the lock, durably. -ENOENT: no such disk. */
int state_set_locked(struct state *state, const char *dek, bool locked, struct error *e);
bool state_is_locked(struct state *state, const char *dek);

/* malloc'ed path of the detached header, or NULL: of a DEK, or of a device. */
char *state_header_of_dek(struct state *state, const char *dek);
char *state_header_of_device(struct state *state, const char *device);

/**
 * state_find() - a disk by the name it had last, its device or its DEK
 *
 * Return: 0 or -ENOENT; -ENOTUNIQ when several had the name.
 */
int state_find(struct state *state, const char *what, char ret_dek[UUID_TEXT_SIZE],
	       struct error *e);

/* A copy of a record or of all of them, for the caller to release; or NULL. */
json_t *state_get(struct state *state, const char *dek);
json_t *state_all(struct state *state);

#endif /* HOST_STATE_H */
