/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making an encrypted disk. Runs in a worker.
 *
 * Killed at any moment it leaves either nothing or a complete disk: the state
 * first notes where the header will be, then the header is written so that it
 * is valid only once it is whole, then the note becomes a record. A note that
 * is found at start is either completed or taken back.
 */
#ifndef HOST_CREATE_H
#define HOST_CREATE_H

#include "common/errors.h"
#include "host/host.h"

#define CREATE_STEPS	5

/**
 * struct create - what to make; strings are the caller's
 * @disk: label; NULL: the last part of @device
 * @provider: name; NULL: the default one
 * @sector_size: bytes, 0: what suits the device
 * @key_bits: 256 or 512, 0: 512
 * @header: path of a detached header to be made, or NULL
 * @force: though the device carries something already
 * @progress: called before each step; may be NULL
 */
struct create {
	const char *device;
	const char *vm;
	const char *disk;
	const char *provider;
	uint32_t sector_size;
	uint32_t key_bits;
	const char *header;
	bool force;
	const char *user;
	void (*progress)(void *userdata, unsigned int step, const char *phase, const char *text);
	void *userdata;
};

int create_disk(struct host *host, const struct create *create, uint8_t ret_dek[UUID_SIZE],
		struct error *e);

/* Complete or take back what an earlier agent began. May wait for storage. */
void create_resume(struct host *host);

#endif /* HOST_CREATE_H */
