/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/retry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/wakeup.h"
#include "host/boot.h"
#include "host/ops.h"
#include "vmcrypt.h"

#define USEC_PER_SEC	1000000ULL
#define LOOK_S		120	/* deadline of one look */

/**
 * struct retry - all in the main loop, but for writes to @fd
 * @delay_s: until the next look, 0: none is planned
 * @looking: a look is under way
 * @again: something came meanwhile
 */
struct retry {
	struct host *host;
	int fd;
	sd_event_source *source;
	sd_event_source *timer;
	unsigned int delay_s;
	bool looking;
	bool again;
};

/* One look, in a worker; @retry is for the main loop. */
struct look {
	struct work work;	/* must be first */
	struct host *host;
	struct retry *retry;
	unsigned int left;
};

static bool is_lost(struct host *host, const struct nl_disk *disk)
{
	char dek[UUID_TEXT_SIZE];

	uuid_format(disk->dek, dek);
	return (disk->state == VMCRYPT_KEY_LOCKED || disk->state == VMCRYPT_KEY_ABSENT) &&
	       !state_is_locked(host->state, dek);
}

static void look_run(struct work *work)
{
	struct look *look = (struct look *)work;
	_cleanup_free_ struct nl_disk *disks = NULL;
	struct host *host = look->host;
	size_t n = 0, i;
	struct error e;

	if (nl_client_check(host->netlink, NULL) < 0 ||
	    nl_client_disk_list(host->netlink, &disks, &n, NULL) < 0)
		return;
	for (i = 0; i < n && !work_is_expired(work); i++) {
		e = ERROR_NULL;
		/* Several targets of one key stand as several disks. */
		if (!is_lost(host, &disks[i]))
			continue;
		if (ops_disk_load(host, disks[i].name, EVENT_USER_AGENT, &e) == 0) {
			log_notice("The key of %s is back: the disk is unlocked", disks[i].name);
			continue;
		}
		log_info("The key of %s is still missing: %s", disks[i].name, e.text);
		look->left++;
	}
}

static void plan(struct retry *retry, unsigned int delay_s)
{
	retry->delay_s = delay_s;
	sd_event_source_set_time_relative(retry->timer, delay_s * USEC_PER_SEC);
	sd_event_source_set_enabled(retry->timer, SD_EVENT_ONESHOT);
}

static void begin(struct retry *retry);

static void ended(struct retry *retry, bool left)
{
	unsigned int next = retry->delay_s * 2 < RETRY_LAST_S ? retry->delay_s * 2 : RETRY_LAST_S;

	retry->looking = false;
	if (retry->again) {
		begin(retry);
	} else if (left) {
		plan(retry, next ? next : RETRY_FIRST_S);
	} else {
		retry->delay_s = 0;
		sd_event_source_set_enabled(retry->timer, SD_EVENT_OFF);
	}
}

static void look_done(struct work *work)
{
	const struct look *look = (struct look *)work;

	ended(look->retry, look->left > 0);
}

static void look_expired(struct work *work)
{
	const struct look *look = (struct look *)work;

	ended(look->retry, /* left= */ true);
}

static void look_release(struct work *work)
{
	free(work);
}

static void begin(struct retry *retry)
{
	struct look *look;
	int r = -ENOMEM;

	if (retry->looking) {
		retry->again = true;
		return;
	}
	retry->again = false;
	look = calloc(1, sizeof(*look));
	if (look) {
		look->host = retry->host;
		look->retry = retry;
		look->work = (struct work){
			.deadline_s = LOOK_S, .run = look_run, .done = look_done,
			.expired = look_expired, .release = look_release,
		};
		r = workers_submit(retry->host->operations, &look->work);
	}
	if (r == 0) {
		retry->looking = true;
		return;
	}
	free(look);
	plan(retry, RETRY_FIRST_S);
}

static int on_soon(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	int r = wakeup_clear(fd);

	(void)source;
	(void)revents;
	if (r == 0)
		begin(userdata);
	return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	begin(userdata);
	return 0;
}

void retry_soon(struct retry *retry)
{
	if (retry)
		wakeup_set(retry->fd);
}

void retry_all_soon(struct host *host)
{
	boot_retry_soon(host);
	retry_soon(host->retry);
}

void retry_later(struct retry *retry)
{
	if (retry && !retry->looking && !retry->delay_s)
		plan(retry, RETRY_FIRST_S);
}

int retry_new(struct host *host, struct retry **ret, struct error *e)
{
	struct retry *retry = calloc(1, sizeof(*retry));
	int r;

	if (!retry)
		return error_oom(e);
	retry->host = host;
	retry->fd = wakeup_new();
	r = retry->fd < 0 ? retry->fd : 0;
	if (r == 0)
		r = sd_event_add_io(host->event, &retry->source, retry->fd, EPOLLIN, on_soon,
				    retry);
	if (r >= 0)
		r = sd_event_add_time(host->event, &retry->timer, CLOCK_MONOTONIC, UINT64_MAX, 0,
				      on_timer, retry);
	if (r < 0) {
		retry_free(retry);
		return error_fail(e, r, "Cannot prepare unlocking: %s", strerror(-r));
	}
	*ret = retry;
	return 0;
}

void retry_free(struct retry *retry)
{
	if (!retry)
		return;
	sd_event_source_disable_unref(retry->source);
	sd_event_source_disable_unref(retry->timer);
	close_fd(retry->fd);
	free(retry);
}
