/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include <libdevmapper.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "disk/dm.h"
#include "disk/library.h"

#define SECTOR			512
#define TARGET			"vmcrypt"
#define UUID_MAX		128	/* of device-mapper, without the NUL */
#define REMOVE_RETRIES		50
#define REMOVE_PAUSE_MS		100
#define UDEV_PAUSE_MS		5
#define UDEV_TRIES		2000	/* 10 s */

/* What a guest wrote must not steer the host: no links from labels and UUIDs
 * that it chose, no activation of volumes that it made. */
#define UDEV_FLAGS (DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | DM_UDEV_DISABLE_DISK_RULES_FLAG | \
		    DM_UDEV_DISABLE_OTHER_RULES_FLAG)

/**
 * struct job - what a task of libdevmapper is given
 * @type: DM_DEVICE_*
 * @uuid: for DM_DEVICE_CREATE
 * @target, @params, @length: the one target of a table; @target NULL: no table
 * @flags: DM_SUSPEND_* or DM_REMOVE_DEFERRED
 * @udev: the kernel will tell udev, which has to be waited for
 */
struct job {
	int type;
	const char *name;
	const char *uuid;
	const char *target, *params;
	uint64_t length;		/* sectors of 512 bytes */
	bool read_only;
	unsigned int flags;
	bool udev;
};

static void task_freep(struct dm_task **t)
{
	if (*t)
		dm_task_destroy(*t);
}

#define _cleanup_task_ _cleanup_(task_freep)

static void pause_ms(long ms)
{
	const struct timespec t = { .tv_nsec = ms * 1000000 };

	nanosleep(&t, NULL);
}

static bool set_suspend(struct dm_task *t, const struct job *j)
{
	return ((j->flags & DM_SUSPEND_FLUSH) || dm_task_no_flush(t)) &&
	       ((j->flags & DM_SUSPEND_LOCKFS) || dm_task_skip_lockfs(t));
}

static bool prepare(struct dm_task *t, const struct job *j, uint32_t *cookie)
{
	if (!dm_task_set_name(t, j->name) || (j->uuid && !dm_task_set_uuid(t, j->uuid)))
		return false;
	if (j->target && !dm_task_add_target(t, 0, j->length, j->target, j->params))
		return false;
	if (j->read_only && !dm_task_set_ro(t))
		return false;
	if (j->type == DM_DEVICE_SUSPEND && !set_suspend(t, j))
		return false;
	if (j->type == DM_DEVICE_REMOVE && (j->flags & DM_REMOVE_DEFERRED) &&
	    !dm_task_deferred_remove(t))
		return false;
	if (j->type == DM_DEVICE_CREATE && !dm_task_set_add_node(t, DM_ADD_NODE_ON_RESUME))
		return false;
	return !j->udev || dm_task_set_cookie(t, cookie, j->type == DM_DEVICE_REMOVE ? 0 : UDEV_FLAGS);
}

static int task_errno(struct dm_task *t)
{
	int code = dm_task_get_errno(t);

	return code ? -code : -EIO;
}

/* Waits without the lock, for udev may itself wait for what another thread does. */
static void wait_for_udev(uint32_t cookie, const char *name)
{
	int ready = 0;

	for (int i = 0; i < UDEV_TRIES && cookie; i++) {
		int ok;

		disk_library_lock();
		ok = dm_udev_wait_immediate(cookie, &ready);
		disk_library_unlock();
		if (!ok || ready)
			return;
		pause_ms(UDEV_PAUSE_MS);
	}
	if (!cookie)
		return;
	log_warning("udev has not dealt with /dev/mapper/%s within 10 seconds: is it alive?", name);
	disk_library_lock();
	dm_udev_complete(cookie);
	dm_udev_wait_immediate(cookie, &ready);
	disk_library_unlock();
}

/* Runs one task. @ret_said gets libdevmapper's words on failure. */
static int run(const struct job *j, char *ret_said, size_t size)
{
	uint32_t cookie = 0;
	struct dm_task *t;
	int r = 0;

	disk_library_lock();
	t = dm_task_create(j->type);
	if (!t)
		r = -ENOMEM;
	else if (!prepare(t, j, &cookie))
		r = -EINVAL;
	else if (!dm_task_run(t))
		r = task_errno(t);
	if (t)
		dm_task_destroy(t);
	/* Where no udev runs, libdevmapper makes the nodes, when it is told to. */
	if (!cookie)
		dm_task_update_nodes();
	snprintf(ret_said, size, "%s", r < 0 ? disk_library_message() : "");
	disk_library_unlock();
	wait_for_udev(cookie, j->name);
	return r;
}

static const char *hint(int r)
{
	switch (r) {
	case -EBUSY:
		return "; the device is in use: stop what uses it first";
	case -ENXIO:
		return "; there is no mapped device of this name";
	case -EINVAL:
	case -ENOKEY:
	case -EKEYREJECTED:
		return "; the kernel's log says more (dmesg)";
	case -ETIMEDOUT:
		return "; nobody answered the request for the key in time";
	case -EPERM:
	case -EACCES:
		return "; this needs CAP_SYS_ADMIN of the host";
	default:
		return "";
	}
}

static int run_or_tell(const struct job *j, const char *doing, struct error *e)
{
	char said[256];
	int r = run(j, said, sizeof(said));

	if (r == 0)
		return 0;
	return error_set(e, r, r == -EPERM || r == -EACCES ? EXIT_NOT_ALLOWED : EXIT_FAILED, 0,
			 "%s %s: %s%s%s%s%s", doing, j->name, strerror(-r), hint(r), said[0] ? " (" : "",
			 said, said[0] ? ")" : "");
}

/* A path stands in a table line as one word; device-mapper knows no quotes. */
static void device_word(const struct disk_header *hdr, bool path, char *ret, size_t size)
{
	if (path && strlen(hdr->device) < size && hdr->device[0] == '/' &&
	    strcspn(hdr->device, " \t\n\\#") == strlen(hdr->device))
		snprintf(ret, size, "%s", hdr->device);
	else
		snprintf(ret, size, "%u:%u", major(hdr->rdev), minor(hdr->rdev));
}

static int make_table(const struct disk_header *hdr, bool path, const struct dm_disk_options *o,
		      char **ret_params, uint64_t *ret_length, struct error *e)
{
	char device[256];
	uint64_t size;
	int r;

	if (hdr->rdev == 0)
		return error_fail(e, ENOTBLK, "%s is a plain file, which device-mapper cannot use: put "
				  "a loop device in front of it (losetup)", hdr->device);
	r = header_data_size(hdr, &size, e);
	if (r < 0)
		return r;
	device_word(hdr, path, device, sizeof(device));
	r = dm_format_table(hdr, device, o, ret_params, e);
	if (r == 0)
		*ret_length = size / SECTOR;
	return r;
}

int dm_disk_table(const struct disk_header *hdr, const struct dm_disk_options *o, char **ret,
		  struct error *e)
{
	_cleanup_free_ char *params = NULL;
	uint64_t length = 0;
	int r = make_table(hdr, /* path= */ true, o, &params, &length, e);

	if (r < 0)
		return r;
	if (asprintf(ret, "0 %" PRIu64 " " TARGET " %s", length, params) < 0)
		return error_oom(e);
	return 0;
}

static void make_uuid(const struct disk_header *hdr, const char *name, char ret[UUID_MAX + 1])
{
	char plain[HEADER_UUID_MAX];
	size_t n = 0;

	for (const char *p = hdr->uuid; *p; p++)
		if (*p != '-')
			plain[n++] = *p;
	plain[n] = '\0';
	/* A name that is too long is cut, as cryptsetup does. */
	if (snprintf(ret, UUID_MAX + 1, DM_DISK_UUID_PREFIX "%s-%s", plain, name) > UUID_MAX)
		ret[UUID_MAX] = '\0';
}

/* 0: there is no such device, 1: there is */
static int device_exists(const char *name, struct error *e)
{
	struct dm_info info = { .exists = 0 };
	struct dm_task *t;
	int r = 0;

	disk_library_lock();
	t = dm_task_create(DM_DEVICE_INFO);
	if (!t || !dm_task_set_name(t, name) || !dm_task_run(t) || !dm_task_get_info(t, &info))
		r = error_fail(e, t ? task_errno(t) : -EIO, "Asking device-mapper for %s: %s; is the "
			       "module dm-mod loaded?", name, disk_library_message());
	task_freep(&t);
	disk_library_unlock();
	return r < 0 ? r : info.exists != 0;
}

int dm_disk_create(const struct disk_header *hdr, const char *name,
		   const struct dm_disk_options *o, struct error *e)
{
	_cleanup_free_ char *params = NULL;
	char uuid[UUID_MAX + 1];
	struct job j = {
		.type = DM_DEVICE_CREATE, .name = name, .uuid = uuid, .target = TARGET,
		.read_only = o->read_only, .udev = true,
	};
	int r;

	r = dm_name_check(name, e);
	if (r == 0)
		r = make_table(hdr, /* path= */ false, o, &params, &j.length, e);
	if (r == 0)
		r = device_exists(name, e);
	if (r < 0)
		return r;
	if (r > 0)
		return error_fail(e, EEXIST, "Attaching %s: there is a mapped device %s already: choose "
				  "another name or detach that one", hdr->device, name);
	make_uuid(hdr, name, uuid);
	j.params = params;
	r = run_or_tell(&j, "Creating the mapped device", e);
	if (r < 0)
		error_prefix(e, "Attaching %s", hdr->device);
	return r;
}

static int simple(int type, const char *name, unsigned int flags, bool udev, const char *doing,
		  struct error *e)
{
	const struct job j = { .type = type, .name = name, .flags = flags, .udev = udev };

	return run_or_tell(&j, doing, e);
}

/* Loads a table beside the live one and changes over, held I/O pushed back. */
static int change_over(struct job *load, struct error *e)
{
	struct error ignored = ERROR_NULL;
	int r = run_or_tell(load, "Loading a table for", e);

	if (r < 0)
		return r;
	r = dm_disk_suspend(load->name, /* flags= */ 0, e);
	if (r < 0) {
		(void) simple(DM_DEVICE_CLEAR, load->name, 0, /* udev= */ false, "Clearing",
			      &ignored);
		return r;
	}
	return dm_disk_resume(load->name, e);
}

int dm_disk_reload(const struct disk_header *hdr, const char *name,
		   const struct dm_disk_options *o, struct error *e)
{
	_cleanup_free_ char *params = NULL;
	struct job j = {
		.type = DM_DEVICE_RELOAD, .name = name, .target = TARGET, .read_only = o->read_only,
	};
	struct dm_disk now;
	int r = dm_disk_get(name, &now, e);

	if (r == 0)
		r = make_table(hdr, /* path= */ false, o, &params, &j.length, e);
	if (r < 0)
		return r;
	j.params = params;
	return change_over(&j, e);
}

int dm_disk_suspend(const char *name, unsigned int flags, struct error *e)
{
	return simple(DM_DEVICE_SUSPEND, name, flags, /* udev= */ false, "Suspending", e);
}

int dm_disk_resume(const char *name, struct error *e)
{
	return simple(DM_DEVICE_RESUME, name, 0, /* udev= */ true, "Resuming", e);
}

/**
 * struct look - what one look at a device brings
 * @found: it has a vmcrypt target, which is in @disk
 * @sectors: of the whole device
 */
struct look {
	struct dm_disk disk;
	bool found;
	uint64_t sectors;
};

static void take_info(struct dm_task *t, const struct dm_info *info, struct look *l)
{
	const char *uuid = dm_task_get_uuid(t), *name = dm_task_get_name(t);

	snprintf(l->disk.name, sizeof(l->disk.name), "%s", name ? name : "");
	snprintf(l->disk.uuid, sizeof(l->disk.uuid), "%s", uuid ? uuid : "");
	l->disk.major = info->major;
	l->disk.minor = info->minor;
	l->disk.open_count = (uint32_t) info->open_count;
	l->disk.suspended = info->suspended;
	l->disk.read_only = info->read_only;
	l->disk.deferred_remove = info->deferred_remove;
}

static int take_targets(struct dm_task *t, int type, struct look *l, struct error *e)
{
	char *target, *params;
	uint64_t start, length;
	void *next = NULL;

	l->sectors = 0;
	do {
		target = params = NULL;
		next = dm_get_next_target(t, next, &start, &length, &target, &params);
		if (!target)
			continue;
		l->sectors += length;
		if (strcmp(target, TARGET) != 0 || (l->found && start != l->disk.start))
			continue;
		l->found = true;
		l->disk.start = start;
		l->disk.length = length;
		int r = type == DM_DEVICE_TABLE ? dm_parse_table(params, &l->disk, e) :
						  dm_parse_status(params, &l->disk, e);
		if (r < 0)
			return r;
	} while (next);
	return 0;
}

/* One of TABLE and STATUS; status without a flush, which could wait for a key. */
static int look_once(const char *name, int type, struct look *l, struct error *e)
{
	_cleanup_task_ struct dm_task *t = dm_task_create(type);
	struct dm_info info = { .exists = 0 };
	int r;

	if (!t || !dm_task_set_name(t, name) || !dm_task_no_flush(t) || !dm_task_run(t) ||
	    !dm_task_get_info(t, &info)) {
		r = t ? task_errno(t) : -ENOMEM;
		return error_fail(e, r, "Looking at the mapped device %s: %s%s", name, strerror(-r),
				  hint(r));
	}
	if (!info.exists)
		return error_fail(e, ENXIO, "There is no mapped device %s", name);
	take_info(t, &info, l);
	return take_targets(t, type, l, e);
}

static int look(const char *name, struct look *ret, struct error *e)
{
	struct look l = { .found = false };
	int r;

	disk_library_lock();
	r = look_once(name, DM_DEVICE_TABLE, &l, e);
	if (r == 0 && l.found)
		r = look_once(name, DM_DEVICE_STATUS, &l, e);
	disk_library_unlock();
	if (r == 0)
		*ret = l;
	return r;
}

int dm_disk_get(const char *name, struct dm_disk *ret, struct error *e)
{
	struct look l = { .found = false };
	int r = look(name, &l, e);

	if (r < 0)
		return r;
	if (!l.found)
		return error_fail(e, ENOTBLK, "The mapped device %s is no disk of vmcrypt's", name);
	*ret = l.disk;
	return 0;
}

/* A table that fails everything, in the place of the disk's own. */
static int replace_by_error(const char *name, uint64_t sectors, struct error *e)
{
	struct job j = {
		.type = DM_DEVICE_RELOAD, .name = name, .target = "error", .params = "",
		.length = sectors,
	};

	return change_over(&j, e);
}

static int remove_retrying(const char *name, unsigned int flags, struct error *e)
{
	const bool retry = (flags & DM_REMOVE_RETRY) && !(flags & DM_REMOVE_DEFERRED);
	int r;

	for (int i = 0;; i++) {
		r = simple(DM_DEVICE_REMOVE, name, flags & DM_REMOVE_DEFERRED, /* udev= */ true,
			   "Removing the mapped device", e);
		if (r != -EBUSY || !retry || i == REMOVE_RETRIES)
			return r;
		pause_ms(REMOVE_PAUSE_MS);
	}
}

int dm_disk_remove(const char *name, unsigned int flags, struct error *e)
{
	struct look l = { .found = false };
	int r = look(name, &l, e);

	if (r < 0)
		return r;
	/* One that was removed by force has our UUID, but no longer our target. */
	if (!l.found && strncmp(l.disk.uuid, DM_DISK_UUID_PREFIX, strlen(DM_DISK_UUID_PREFIX)) != 0)
		return error_fail(e, ENOTBLK, "The mapped device %s is no disk of vmcrypt's: it is left "
				  "alone", name);
	if ((flags & DM_REMOVE_FORCE) && l.found) {
		r = replace_by_error(name, l.sectors, e);
		if (r < 0)
			return r;
	}
	return remove_retrying(name, flags, e);
}

/* Names of all mapped devices, each ended by a NUL, "" at the end. */
static int list_names(char **ret, struct error *e)
{
	_cleanup_task_ struct dm_task *t = NULL;
	_cleanup_free_ char *text = NULL;
	struct dm_names *n;
	size_t size = 0;
	FILE *f;

	t = dm_task_create(DM_DEVICE_LIST);
	if (!t || !dm_task_run(t) || !(n = dm_task_get_names(t)))
		return error_fail(e, t ? task_errno(t) : -ENOMEM, "Listing mapped devices: %s",
				  disk_library_message());
	f = open_memstream(&text, &size);
	if (!f)
		return error_oom(e);
	while (n->dev) {
		fwrite(n->name, 1, strlen(n->name) + 1, f);
		if (!n->next)
			break;
		n = (struct dm_names *) ((char *) n + n->next);
	}
	fputc('\0', f);
	if (fclose(f) != 0)
		return error_oom(e);
	*ret = TAKE_PTR(text);
	return 0;
}

int dm_disk_list(struct dm_disk **ret, size_t *ret_n, struct error *e)
{
	_cleanup_free_ char *names = NULL;
	_cleanup_free_ struct dm_disk *disks = NULL;
	size_t n = 0, room = 0;
	int r;

	disk_library_lock();
	r = list_names(&names, e);
	disk_library_unlock();
	if (r < 0)
		return r;
	for (const char *name = names; *name; name += strlen(name) + 1) {
		struct look l = { .found = false };

		r = look(name, &l, e);
		if (r == -ENXIO)	/* went meanwhile */
			continue;
		if (r < 0)
			return r;
		if (!l.found)
			continue;
		if (n == room) {
			void *more = reallocarray(disks, room = room ? 2 * room : 16, sizeof(*disks));

			if (!more)
				return error_oom(e);
			disks = more;
		}
		disks[n++] = l.disk;
	}
	*ret = n ? TAKE_PTR(disks) : NULL;
	*ret_n = n;
	return 0;
}
