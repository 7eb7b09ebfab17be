// SPDX-License-Identifier: LGPL-2.1-or-later
/* The devices that tests encrypt: loop over a memfd (sparse, of any size), null_blk. */
#include <dirent.h>
#include <linux/fs.h>
#include <linux/loop.h>

#include "lib.h"

#define NULLB_DIR	"/sys/kernel/config/nullb"

static int loop_attach(struct disk *d, unsigned int block_size, unsigned int flags)
{
	struct loop_config c = {
		.fd = (uint32_t)d->raw,
		.block_size = block_size,
		.info.lo_flags = (flags & LOOP_RO ? LO_FLAGS_READ_ONLY : 0) |
				 (flags & LOOP_DIO ? LO_FLAGS_DIRECT_IO : 0),
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int r = -ENODEV;

	if (control < 0)
		return -errno;
	for (int i = 0; i < 20; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		if (n < 0) {
			r = -errno;
			break;
		}
		snprintf(d->node, sizeof(d->node), "/dev/loop%d", n);
		for (int wait = 0; access(d->node, F_OK) && wait < 100; wait++)
			sleep_ms(10);
		d->fd = open(d->node, (flags & LOOP_RO ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (d->fd < 0) {
			r = -errno;
			break;
		}
		if (!ioctl(d->fd, LOOP_CONFIGURE, &c)) {
			r = 0;
			break;
		}
		/* another took it: ask again */
		r = -errno;
		close(d->fd);
		d->fd = -1;
	}
	close(control);
	return r;
}

int loop_new(struct disk *d, uint64_t size, unsigned int block_size, unsigned int flags)
{
	int r;

	memset(d, 0, sizeof(*d));
	d->fd = -1;
	d->loop = true;
	d->size = size;
	d->raw = memfd_create("vt-disk", MFD_CLOEXEC);
	if (d->raw < 0)
		return -errno;
	r = ftruncate(d->raw, (off_t)size) ? -errno : loop_attach(d, block_size, flags);
	if (r)
		disk_free(d);
	return r;
}

int loop_over(struct disk *d, const char *node, uint64_t size, unsigned int flags)
{
	int r;

	memset(d, 0, sizeof(*d));
	d->fd = -1;
	d->loop = true;
	d->size = size;
	d->raw = open(node, O_RDWR | O_CLOEXEC);
	if (d->raw < 0)
		return -errno;
	r = loop_attach(d, SECTOR, flags);
	if (r)
		disk_free(d);
	return r;
}

static int nullb_set(const char *name, const char *attribute, const char *value)
{
	char path[160];

	snprintf(path, sizeof(path), NULLB_DIR "/%s/%s", name, attribute);
	return file_write(path, value);
}

static int nullb_attributes(const char *name, const char *attributes)
{
	char copy[256], *save = NULL;
	int r = 0;

	snprintf(copy, sizeof(copy), "%s", attributes);
	for (char *a = strtok_r(copy, " ", &save); a && !r; a = strtok_r(NULL, " ", &save)) {
		char *v = strchr(a, '=');

		if (!v)
			return -EINVAL;
		*v++ = 0;
		r = nullb_set(name, a, v);
	}
	return r;
}

static int nullb_node(struct disk *d)
{
	char path[160], index[16];

	snprintf(d->node, sizeof(d->node), "/dev/%s", d->name);
	for (int i = 0; i < 50; i++) {
		if (!access(d->node, F_OK))
			return 0;
		snprintf(path, sizeof(path), NULLB_DIR "/%s/index", d->name);
		if (!file_read(path, index, sizeof(index))) {
			char numbered[64];

			snprintf(numbered, sizeof(numbered), "/dev/nullb%u", (unsigned int)strtoul(index, NULL, 10));
			if (!access(numbered, F_OK)) {
				memcpy(d->node, numbered, sizeof(d->node));
				return 0;
			}
		}
		sleep_ms(20);
	}
	return -ENOENT;
}

int nullb_new(struct disk *d, const char *name, uint64_t size, const char *attributes)
{
	char path[160], mib[24];
	int r;

	memset(d, 0, sizeof(*d));
	d->raw = d->fd = -1;
	d->size = size;
	snprintf(d->name, sizeof(d->name), DM_TEST_PREFIX "%s", name);
	snprintf(path, sizeof(path), NULLB_DIR "/%s", d->name);
	snprintf(mib, sizeof(mib), "%llu", (unsigned long long)(size / MIB));
	if (mkdir(path, 0700))
		return -errno;
	r = nullb_set(d->name, "size", mib);
	if (!r)
		r = nullb_attributes(d->name, attributes);
	if (!r)
		r = nullb_set(d->name, "power", "1");
	if (!r)
		r = nullb_node(d);
	if (!r) {
		d->raw = d->fd = open(d->node, O_RDWR | O_CLOEXEC | O_DIRECT);
		if (d->fd < 0)
			r = -errno;
	}
	if (r)
		disk_free(d);
	return r;
}

static void nullb_free(const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), NULLB_DIR "/%s", name);
	for (int i = 0; i < 50 && rmdir(path) && errno == EBUSY; i++)
		sleep_ms(20);
}

void nullb_sweep(void)
{
	DIR *dir = opendir(NULLB_DIR);
	const struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (!strncmp(e->d_name, DM_TEST_PREFIX, strlen(DM_TEST_PREFIX)))
			nullb_free(e->d_name);
	closedir(dir);
}

void disk_free(struct disk *d)
{
	if (d->fd >= 0) {
		if (d->loop)
			ioctl(d->fd, LOOP_CLR_FD);
		close(d->fd);
	}
	if (d->raw >= 0 && d->raw != d->fd)
		close(d->raw);
	if (d->name[0])
		nullb_free(d->name);
	memset(d, 0, sizeof(*d));
	d->fd = d->raw = -1;
}
