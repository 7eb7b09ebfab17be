/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files under the event store: lines at the end of one file whose space is
 * allocated before they come, and its change for a spare one when it is full.
 * Not thread-safe: events.c has the lock.
 */
#ifndef HOST_EVENTFILE_H
#define HOST_EVENTFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/errors.h"

#define EVENTFILE_NAME		"events"
#define EVENTFILE_OLD		"events.1"
#define EVENTFILE_SPARE		"events.spare"

/**
 * struct eventfile - the open files
 * @dir: path of the state folder, for messages
 * @dir_fd: the state folder, under flock(2) while it is open
 * @fd: EVENTFILE_NAME
 * @spare_fd: EVENTFILE_SPARE with its space, or -1
 * @size: bytes of lines in EVENTFILE_NAME
 * @extent: bytes allocated for it, @size at least
 * @max: bytes at which it is full
 * @old_size: bytes of EVENTFILE_OLD
 * @no_reserve: the file system cannot allocate space beforehand
 */
struct eventfile {
	char *dir;
	int dir_fd;
	int fd;
	int spare_fd;
	uint64_t size;
	uint64_t extent;
	uint64_t max;
	uint64_t old_size;
	bool no_reserve;
};

/**
 * eventfile_open() - open or make the files
 * @valid: whether a line is whole; what comes behind the last such line is cut
 *
 * Return: 0; -EBUSY when another process has the folder; -errno.
 */
int eventfile_open(const char *dir, uint64_t max,
		   bool (*valid)(const char *line, size_t size, void *userdata), void *userdata,
		   struct eventfile *ret, struct error *e);
void eventfile_close(struct eventfile *f);

/**
 * eventfile_reserve() - see to it that @need bytes can be appended, disk full or not
 *
 * Changes for the spare file when this one is full. Without any other space
 * the oldest lines go.
 *
 * Return: 0 or -ENOSPC.
 */
int eventfile_reserve(struct eventfile *f, uint64_t need, struct error *e);

/* Append and sync. On failure the file is as it was. Return: 0 or -errno. */
int eventfile_append(struct eventfile *f, const char *text, size_t size, struct error *e);

/* Whether this file and its spare have all their space. */
bool eventfile_healthy(const struct eventfile *f);

/* Bytes allocated for lines to come, in both. */
uint64_t eventfile_reserved(const struct eventfile *f);

/**
 * eventfile_readers() - open what is kept for reading
 * @ret: the old file (or NULL) and the present one, read up to @ret_sizes
 */
int eventfile_readers(const struct eventfile *f, FILE *ret[2], uint64_t ret_sizes[2],
		      struct error *e);

/**
 * eventfile_lines() - go over the lines of a file
 * @size: bytes to read
 * @line: without the newline; negative ends the walk; @end is the offset behind
 *	the line
 *
 * A last line without a newline is passed over. Return: 0 or what @line returned.
 */
int eventfile_lines(FILE *file, uint64_t size,
		    int (*line)(const char *text, size_t size, uint64_t end, void *userdata),
		    void *userdata);

#endif /* HOST_EVENTFILE_H */
