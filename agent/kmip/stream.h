/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What KMIP messages travel over.
 */
#ifndef VMCRYPT_KMIP_STREAM_H
#define VMCRYPT_KMIP_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/errors.h"

/**
 * struct kmip_stream - bytes in both directions
 * @read: some bytes, at least one, at most @size; short reads are normal.
 *	Return: how many; 0: the other side has closed; -ETIMEDOUT; -errno
 * @write: the same for sending
 * @context: theirs
 *
 * @deadline: CLOCK_MONOTONIC, ms, when they give up.
 */
struct kmip_stream {
	ssize_t (*read)(void *context, void *data, size_t size, int64_t deadline, struct error *e);
	ssize_t (*write)(void *context, const void *data, size_t size, int64_t deadline,
			 struct error *e);
	void *context;
};

/**
 * kmip_deadline() - @ms from now, as the functions of a stream take it
 */
int64_t kmip_deadline(unsigned int ms);

/**
 * kmip_stream_fd() - a stream over a socket
 * @fd: stays the caller's, who has made it non-blocking; as long as the stream
 */
struct kmip_stream kmip_stream_fd(int *fd);

#endif
