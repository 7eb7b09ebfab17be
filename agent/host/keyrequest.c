/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/keyrequest.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/fileio.h"
#include "common/log.h"
#include "host/link.h"
#include "host/retry.h"
#include "host/unlock.h"

struct key_requests {
	struct host *host;
	struct nl_listener *listener;
	sd_event_source *source;
	void (*module_came)(struct host *host);
	bool module_loaded;
	TAILQ_HEAD(, key_request) under_way;
};

/**
 * struct key_request - one request and its answer under way
 * @owner: NULL once it was given up: the main loop's alone
 * @again: the kernel asked for the same DEK meanwhile. The key may be loaded,
 *	used and gone before the outcome of the first request is on stable storage.
 * @e: why there is no key
 */
struct key_request {
	struct work work;
	struct host *host;
	struct key_requests *owner;
	struct nl_request request;
	bool again;
	char dek[UUID_TEXT_SIZE];
	struct error e;
	TAILQ_ENTRY(key_request) entry;
};

static struct key_request *from_work(struct work *work)
{
	return (struct key_request *)((char *)work - offsetof(struct key_request, work));
}

static bool is_device(const char *path, uint32_t major, uint32_t minor)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == makedev(major, minor);
}

/* The node as sysfs names it: where no udev runs there is no /dev/block. */
static int sysfs_path(uint32_t major, uint32_t minor, char **ret)
{
	_cleanup_free_ char *uevent = NULL;
	char path[64];
	char *name, *end;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major, minor);
	if (file_read_bounded(path, 65536, &uevent, NULL, NULL) < 0)
		return -ENOENT;
	name = strstr(uevent, "DEVNAME=");
	if (!name)
		return -ENOENT;
	name += strlen("DEVNAME=");
	end = strchr(name, '\n');
	if (end)
		*end = '\0';
	return asprintf(ret, "/dev/%s", name) < 0 ? -ENOMEM : 0;
}

int device_path(uint32_t major, uint32_t minor, char **ret, struct error *e)
{
	_cleanup_free_ char *path = NULL;

	if (sysfs_path(major, minor, &path) == 0 && is_device(path, major, minor)) {
		*ret = TAKE_PTR(path);
		return 0;
	}
	free(path);
	if (asprintf(&path, "/dev/block/%u:%u", major, minor) < 0) {
		path = NULL;
		return error_oom(e);
	}
	if (!is_device(path, major, minor))
		return error_set(e, ENOENT, EXIT_NO_KEY, VMCRYPT_REASON_NO_HEADER,
				 "There is no device node for block device %u:%u", major, minor);
	*ret = TAKE_PTR(path);
	return 0;
}

/* The path by which the disk is known, where that still is the same device. */
static int known_path(struct host *host, const struct key_request *q, char **ret,
		      struct error *e)
{
	_cleanup_json_ json_t *record = state_get(host->state, q->dek);
	const char *device = json_string_value(json_object_get(record, "device"));

	if (device && is_device(device, q->request.major, q->request.minor)) {
		*ret = strdup(device);
		return *ret ? 0 : error_oom(e);
	}
	return device_path(q->request.major, q->request.minor, ret, e);
}

static int open_header(struct host *host, const struct key_request *q, struct disk_header **ret,
		       struct error *e)
{
	_cleanup_free_ char *header = state_header_of_dek(host->state, q->dek);
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_free_ char *device = NULL;
	char found[UUID_TEXT_SIZE];
	int r;

	r = known_path(host, q, &device, e);
	if (r == 0)
		r = header_open(device, header, HEADER_REPAIR, &h, e);
	if (r < 0)
		return r;
	assert(h);
	if (memcmp(h->token.dek, q->request.dek, UUID_SIZE) != 0) {
		uuid_format(h->token.dek, found);
		return error_set(e, ENOENT, EXIT_NO_KEY, VMCRYPT_REASON_NO_HEADER,
				 "The header of %s is of DEK %s, not of %s: is the table line of another disk?",
				 header ? header : device, found, q->dek);
	}
	*ret = TAKE_PTR(h);
	return 0;
}

static int check_expired(struct key_request *q, struct error *e)
{
	if (!work_is_expired(&q->work))
		return 0;
	return error_set(e, ETIMEDOUT, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
			 "the request was given up before its key was there");
}

/* Everything between intent and outcome. */
static int answer(struct host *host, struct key_request *q, struct event_record *record,
		  struct error *e)
{
	_cleanup_header_ struct disk_header *h = NULL;
	_cleanup_secret_ struct secret dek = SECRET_NULL;
	struct state_disk remember;
	char locator[LOCATOR_TEXT_SIZE];
	struct error trouble = ERROR_NULL;
	struct key_locator used;
	int r;

	r = host_check_lock(host, q->request.dek, e);
	if (r == 0)
		r = open_header(host, q, &h, e);
	if (r < 0)
		return r;
	host_first_locator(h, locator);
	events_learn(record, locator, h->token.vm);
	r = host_unlock(host, h, &dek, &used, e);
	if (r < 0)
		return r;
	locator_format(&used, locator);
	events_learn(record, locator, NULL);
	r = check_expired(q, e);
	if (r == 0)
		r = host_key_load(host, q->request.dek, &dek, e);
	if (r < 0)
		return r;
	remember = (struct state_disk){ .h = h, .name = q->request.name };
	if (state_remember(host->state, &remember, &trouble) < 0)
		log_warning("The agent will not know %s after a restart: %s", q->request.name,
			    trouble.text);
	return 0;
}

static void run(struct work *work)
{
	struct key_request *q = from_work(work);
	struct host *host = q->host;
	struct event_record record = EVENT_RECORD_NULL;
	struct error e = ERROR_NULL;
	int r;

	r = events_begin(host->events,
			 &(struct event){ .user = EVENT_USER_KERNEL, .operation = "key.load",
					  .object = q->request.name },
			 &record, &e);
	if (r == 0) {
		r = answer(host, q, &record, &e);
		events_end(host->events, &record, r < 0 ? &e : NULL);
	}
	q->e = e;
}

static void reject(struct key_request *q, const struct error *why)
{
	uint32_t reason = why->reason ? why->reason : VMCRYPT_REASON_INTERNAL;
	struct error e = ERROR_NULL;

	log_warning("The key of %s (DEK %s) is refused: %s", q->request.name, q->dek, why->text);
	/* ENOENT: nobody waits any more. */
	if (nl_client_key_reject(q->host->netlink, q->request.dek, reason, &e) < 0 &&
	    e.code != -ENOENT)
		log_error("Cannot tell the kernel that the key of %s is refused: %s",
			  q->request.name, e.text);
}

static void take_pending(struct key_requests *requests);

static void done(struct work *work)
{
	struct key_request *q = from_work(work);
	struct key_requests *requests = q->owner;

	if (error_is_set(&q->e))
		reject(q, &q->e);
	else
		log_info("The key of %s (DEK %s) is loaded", q->request.name, q->dek);
	if (!q->again)
		return;
	TAILQ_REMOVE(&requests->under_way, q, entry);
	q->owner = NULL;
	take_pending(requests);
}

static void expired(struct work *work)
{
	struct key_request *q = from_work(work);
	struct error e;

	error_set(&e, ETIMEDOUT, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
		  "the header could not be read within %u s: block device %u:%u or the key provider does not answer",
		  q->work.deadline_s, q->request.major, q->request.minor);
	reject(q, &e);
	TAILQ_REMOVE(&q->owner->under_way, q, entry);
	q->owner = NULL;
}

static void release(struct work *work)
{
	struct key_request *q = from_work(work);

	if (q->owner)
		TAILQ_REMOVE(&q->owner->under_way, q, entry);
	free(q);
}

static struct key_request *find_under_way(const struct key_requests *requests,
					  const struct nl_request *request)
{
	struct key_request *q;

	TAILQ_FOREACH(q, &requests->under_way, entry)
		if (!memcmp(q->request.dek, request->dek, UUID_SIZE))
			return q;
	return NULL;
}

static void submit(struct key_requests *requests, const struct nl_request *request)
{
	struct host *host = requests->host;
	struct key_request *q;
	struct error e;
	int r;

	q = find_under_way(requests, request);
	if (q) {
		q->again = true;
		return;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		log_error("Out of memory: the key request of %s waits for its time-out",
			  request->name);
		return;
	}
	q->host = host;
	q->owner = requests;
	q->request = *request;
	uuid_format(request->dek, q->dek);
	q->work = (struct work){
		.subject = makedev(request->major, request->minor),
		.deadline_s = host->conf.key_deadline_s,
		.run = run, .done = done, .expired = expired, .release = release,
	};
	TAILQ_INSERT_TAIL(&requests->under_way, q, entry);
	r = workers_submit(host->key_work, &q->work);
	if (r == 0)
		return;
	error_set(&e, r, EXIT_NO_KEY, VMCRYPT_REASON_UNAVAILABLE,
		  r == -EBUSY ? "an earlier read of block device %u:%u hangs" :
		  "too many requests are under way (block device %u:%u)",
		  request->major, request->minor);
	reject(q, &e);
	release(&q->work);
}

static void take_pending(struct key_requests *requests)
{
	_cleanup_free_ struct nl_request *list = NULL;
	struct error e = ERROR_NULL;
	size_t n = 0, i;

	if (nl_client_request_list(requests->host->netlink, &list, &n, &e) < 0) {
		log_error("Cannot ask the kernel for pending key requests: %s", e.text);
		return;
	}
	for (i = 0; i < n; i++)
		submit(requests, &list[i]);
}

static void module_came(struct key_requests *requests)
{
	log_notice("The kernel module dm-vmcrypt is loaded");
	requests->module_loaded = true;
	take_pending(requests);
	requests->module_came(requests->host);
}

static const char *state_name(uint32_t state)
{
	static const char *const names[] = { "absent", "loaded", "wiping", "locked" };

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

static void log_key_change(const struct nl_event *event)
{
	char dek[UUID_TEXT_SIZE];

	uuid_format(event->key.dek, dek);
	log_info("The kernel's key %s is now %s", dek, state_name(event->key.state));
}

/* What the manager knows of the disks may be old now, and a key may have been lost. */
static void note_change(struct key_requests *requests)
{
	link_report_soon(requests->host->link);
	retry_later(requests->host->retry);
}

static void handle(struct key_requests *requests, const struct nl_event *event)
{
	if (event->type != NL_EVENT_NONE && event->type != NL_EVENT_KEY_REQUEST)
		note_change(requests);
	switch (event->type) {
	case NL_EVENT_KEY_REQUEST:
		submit(requests, &event->request);
		break;
	case NL_EVENT_RESYNC:
		take_pending(requests);
		break;
	case NL_EVENT_MODULE_LOADED:
		module_came(requests);
		break;
	case NL_EVENT_MODULE_GONE:
		log_notice("The kernel module dm-vmcrypt is not loaded any more");
		requests->module_loaded = false;
		break;
	case NL_EVENT_KEY_CHANGED:
		log_key_change(event);
		break;
	case NL_EVENT_DISK_CHANGED:
		log_info("Disk %s is now %s", event->disk.name, state_name(event->disk.state));
		break;
	case NL_EVENT_NONE:
		break;
	}
}

static int on_netlink(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct key_requests *requests = userdata;
	struct error e = ERROR_NULL;
	struct nl_event event;

	(void)source;
	(void)fd;
	(void)revents;
	for (;;) {
		if (nl_listener_next(requests->listener, &event, &e) < 0) {
			log_error("Cannot hear the kernel: %s", e.text);
			return 0;
		}
		if (event.type == NL_EVENT_NONE)
			return 0;
		handle(requests, &event);
	}
}

/* What the listener has to say before its descriptor is polled. */
static int on_first(sd_event_source *source, void *userdata)
{
	struct key_requests *requests = userdata;

	if (!requests->module_loaded)
		on_netlink(source, -1, 0, userdata);
	return 0;
}

int key_requests_new(struct host *host, void (*module_came_cb)(struct host *host),
		     struct key_requests **ret, struct error *e)
{
	struct key_requests *requests = calloc(1, sizeof(*requests));
	sd_event_source *first = NULL;
	int r;

	if (!requests)
		return error_oom(e);
	requests->host = host;
	requests->module_came = module_came_cb;
	TAILQ_INIT(&requests->under_way);
	r = nl_listener_new(NL_LISTEN_REQUESTS | NL_LISTEN_EVENTS, &requests->listener, e);
	if (r < 0) {
		key_requests_free(requests);
		return r;
	}
	r = sd_event_add_io(host->event, &requests->source, nl_listener_fd(requests->listener),
			    EPOLLIN, on_netlink, requests);
	if (r >= 0)
		r = sd_event_add_defer(host->event, &first, on_first, requests);
	if (r >= 0)
		r = sd_event_source_set_floating(first, true);
	sd_event_source_unref(first);
	if (r < 0) {
		key_requests_free(requests);
		return error_fail(e, r, "Cannot listen to the kernel: %s", strerror(-r));
	}
	*ret = requests;
	return 0;
}

bool key_requests_module_loaded(const struct key_requests *requests)
{
	return requests && requests->module_loaded;
}

void key_requests_free(struct key_requests *requests)
{
	if (!requests)
		return;
	sd_event_source_disable_unref(requests->source);
	nl_listener_free(requests->listener);
	free(requests);
}
