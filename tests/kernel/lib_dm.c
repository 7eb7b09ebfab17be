// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Device-mapper by its ioctls, so that a test decides about every flag and sees
 * every errno.
 */
#include <linux/dm-ioctl.h>
#include <sys/sysmacros.h>

#include "lib.h"

#define DM_BUFFER	65536

static int dm_control(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	return fd;
}

static struct dm_ioctl *dm_request(const char *name, uint32_t flags)
{
	struct dm_ioctl *io = calloc(1, DM_BUFFER);

	if (!io)
		abort();
	io->version[0] = DM_VERSION_MAJOR;
	io->data_size = DM_BUFFER;
	io->data_start = sizeof(*io);
	io->flags = flags;
	if (name)
		snprintf(io->name, sizeof(io->name), "%s", name);
	return io;
}

static int dm_do(unsigned long cmd, struct dm_ioctl *io)
{
	return ioctl(dm_control(), cmd, io) ? -errno : 0;
}

static int dm_simple(unsigned long cmd, const char *name, uint32_t flags, unsigned int *minor)
{
	struct dm_ioctl *io = dm_request(name, flags);
	int r = dm_do(cmd, io);

	if (!r && minor)
		*minor = minor(io->dev);
	free(io);
	return r;
}

int dm_new(const char *name, unsigned int *minor)
{
	return dm_simple(DM_DEV_CREATE, name, 0, minor);
}

int dm_resume(const char *name)
{
	return dm_simple(DM_DEV_SUSPEND, name, 0, NULL);
}

int dm_suspend(const char *name, unsigned int flags)
{
	uint32_t f = DM_SUSPEND_FLAG;

	if (flags & DMF_NOFLUSH)
		f |= DM_NOFLUSH_FLAG;
	if (flags & DMF_NOLOCKFS)
		f |= DM_SKIP_LOCKFS_FLAG;
	return dm_simple(DM_DEV_SUSPEND, name, f, NULL);
}

int dm_remove(const char *name)
{
	int r;

	/* udev, where there is one, holds a new device open for a moment */
	for (int i = 0; i < 50; i++) {
		r = dm_simple(DM_DEV_REMOVE, name, 0, NULL);
		if (r != -EBUSY)
			break;
		sleep_ms(20);
	}
	return r;
}

/* one line into @spec; what room it took, 0 when it makes no sense */
static size_t dm_spec(struct dm_target_spec *spec, size_t room, const char *line, size_t size)
{
	unsigned long long start, length;
	int at = 0;
	char type[DM_MAX_TYPE_NAME];
	size_t need;

	if (sscanf(line, "%llu %llu %15s %n", &start, &length, type, &at) < 3 || !at)
		return 0;
	/* the line may end where its parameters would begin */
	if ((size_t)at > size)
		at = (int)size;
	need = (sizeof(*spec) + size - (size_t)at + 1 + 7) & ~7ul;
	if (need > room)
		return 0;
	spec->sector_start = start;
	spec->length = length;
	spec->next = (uint32_t)need;
	snprintf(spec->target_type, sizeof(spec->target_type), "%s", type);
	memcpy(spec + 1, line + at, size - (size_t)at);
	((char *)(spec + 1))[size - (size_t)at] = 0;
	return need;
}

int dm_load(const char *name, const char *table, unsigned int flags)
{
	struct dm_ioctl *io = dm_request(name, flags & DMF_READONLY ? DM_READONLY_FLAG : 0);
	size_t at = sizeof(*io);
	int r = 0;

	while (*table) {
		const size_t n = strcspn(table, "\n");
		size_t took = dm_spec((void *)((char *)io + at), DM_BUFFER - at, table, n);

		if (!took) {
			r = -E2BIG;
			break;
		}
		at += took;
		io->target_count++;
		table += n + (table[n] == '\n');
	}
	if (!r)
		r = dm_do(DM_TABLE_LOAD, io);
	free(io);
	return r;
}

int dm_rename(const char *name, const char *new_name)
{
	struct dm_ioctl *io = dm_request(name, 0);
	int r;

	snprintf((char *)io + io->data_start, DM_NAME_LEN, "%s", new_name);
	r = dm_do(DM_DEV_RENAME, io);
	free(io);
	return r;
}

int dm_make(const char *name, const char *table, unsigned int flags, unsigned int *minor)
{
	int r = dm_new(name, minor);

	if (r)
		return r;
	r = dm_load(name, table, flags);
	if (!r)
		r = dm_resume(name);
	if (r)
		dm_remove(name);
	return r;
}

int dm_swap(const char *name, const char *table, unsigned int flags)
{
	int r = dm_load(name, table, flags);

	if (!r)
		r = dm_suspend(name, flags);
	return r ? r : dm_resume(name);
}

static int dm_query(const char *name, uint32_t flags, char *buf, size_t size)
{
	struct dm_ioctl *io = dm_request(name, flags);
	const char *base;
	size_t at = 0;
	size_t used = 0;
	int r = dm_do(DM_TABLE_STATUS, io);

	if (!r && io->flags & DM_BUFFER_FULL_FLAG)
		r = -E2BIG;
	buf[0] = 0;
	base = (const char *)io + io->data_start;
	for (uint32_t i = 0; !r && i < io->target_count; i++) {
		const struct dm_target_spec *s = (const void *)(base + at);
		int n = snprintf(buf + used, size - used, "%s%llu %llu %s %s", i ? "\n" : "",
				 (unsigned long long)s->sector_start, (unsigned long long)s->length,
				 s->target_type, (const char *)(s + 1));

		if (n < 0 || (size_t)n >= size - used) {
			r = -E2BIG;
			break;
		}
		used += (size_t)n;
		at = s->next;
	}
	free(io);
	return r;
}

int dm_table(const char *name, bool inactive, char *buf, size_t size)
{
	return dm_query(name, DM_STATUS_TABLE_FLAG | (inactive ? DM_QUERY_INACTIVE_TABLE_FLAG : 0), buf, size);
}

int dm_status(const char *name, char *buf, size_t size)
{
	/* what counts is what the target knows now, not what it has flushed */
	return dm_query(name, DM_NOFLUSH_FLAG, buf, size);
}

int dm_counters(const char *name, struct status *s)
{
	char line[512];
	int r = dm_status(name, line, sizeof(line));

	if (r)
		return r;
	memset(s, 0, sizeof(*s));
	if (sscanf(line, "%*u %*u vmcrypt %15s %llu %llu %llu %llu %llu", s->state, &s->inflight,
		   &s->queued, &s->reads, &s->writes, &s->errors) != 6)
		return -EPROTO;
	return 0;
}

int dm_open(unsigned int minor, int flags)
{
	char path[32];
	int fd = -1;

	snprintf(path, sizeof(path), "/dev/dm-%u", minor);
	/* devtmpfs makes the node in a thread of its own */
	for (int i = 0; i < 100; i++) {
		fd = open(path, flags | O_CLOEXEC);
		if (fd >= 0 || errno != ENOENT)
			break;
		sleep_ms(10);
	}
	return fd < 0 ? -errno : fd;
}

/* lets held I/O fail by a table of errors, then removes the device */
static void dm_put_down(const char *name, uint64_t length)
{
	char table[64];

	if (!dm_remove(name))
		return;
	snprintf(table, sizeof(table), "0 %llu error ", (unsigned long long)(length ? length : 1));
	if (!dm_load(name, table, 0)) {
		dm_suspend(name, DMF_NOFLUSH | DMF_NOLOCKFS);
		dm_resume(name);
	}
	dm_remove(name);
}

static uint64_t dm_length(const char *name)
{
	char line[8192];
	unsigned long long start = 0, length = 0;
	const char *last;

	if (dm_table(name, false, line, sizeof(line)))
		return 0;
	last = strrchr(line, '\n');
	if (sscanf(last ? last + 1 : line, "%llu %llu", &start, &length) != 2)
		return 0;
	return start + length;
}

void dm_sweep(void)
{
	/* stacks come down from the top: what is open goes in a later round */
	for (int round = 0; round < 4; round++) {
		struct dm_ioctl *io = dm_request(NULL, 0);
		const struct dm_name_list *l;
		bool any = false;

		if (dm_do(DM_LIST_DEVICES, io)) {
			free(io);
			return;
		}
		l = (const void *)((char *)io + io->data_start);
		while (l->dev) {
			if (!strncmp(l->name, DM_TEST_PREFIX, strlen(DM_TEST_PREFIX))) {
				any = true;
				dm_put_down(l->name, dm_length(l->name));
			}
			if (!l->next)
				break;
			l = (const void *)((const char *)l + l->next);
		}
		free(io);
		if (!any)
			return;
	}
}

void line_print(const struct line *l, char *buf, size_t size)
{
	snprintf(buf, size, "%llu %llu vmcrypt aes-xts-plain64 %s %llu %s %llu%s%s",
		 (unsigned long long)l->start, (unsigned long long)l->length, l->uuid,
		 (unsigned long long)l->iv_offset, l->device, (unsigned long long)l->offset,
		 l->options && *l->options ? " " : "", l->options ? l->options : "");
}
