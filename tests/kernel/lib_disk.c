// SPDX-License-Identifier: LGPL-2.1-or-later
/* The usual case: one loop device, one vmcrypt target over all of it, one key. */
#include "lib.h"

void vdisk_line(const struct vdisk *v, char *buf, size_t size)
{
	const struct line l = {
		.length = v->below.size / SECTOR,
		.uuid = v->dek.text,
		.device = v->below.node,
		.options = v->options,
	};

	line_print(&l, buf, size);
}

int vdisk_over(struct vdisk *v, struct nl *nl, const char *name, size_t key_size, const char *options)
{
	char table[512];
	int r;

	snprintf(v->name, sizeof(v->name), DM_TEST_PREFIX "%s", name);
	v->options = options;
	v->fd = -1;
	dek_random(&v->dek, key_size);
	vdisk_line(v, table, sizeof(table));
	r = key_set(nl, &v->dek);
	if (!r)
		r = dm_make(v->name, table, 0, &v->minor);
	if (r) {
		v->name[0] = 0;
		return r;
	}
	v->fd = dm_open(v->minor, O_RDWR | O_DIRECT);
	return v->fd < 0 ? v->fd : 0;
}

int vdisk_new(struct vdisk *v, struct nl *nl, const char *name, uint64_t size, size_t key_size,
	      const char *options)
{
	int r;

	memset(v, 0, sizeof(*v));
	v->fd = -1;
	r = loop_new(&v->below, size, 512, 0);
	if (!r)
		r = vdisk_over(v, nl, name, key_size, options);
	if (r)
		vdisk_free(v);
	return r;
}

void vdisk_free(struct vdisk *v)
{
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	if (v->name[0])
		dm_remove(v->name);
	v->name[0] = 0;
	disk_free(&v->below);
}
