/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/boot.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/wakeup.h"
#include "host/attach.h"
#include "host/disktab.h"

#define USEC_PER_SEC	1000000ULL
#define POLL_S		2	/* where no udev tells of devices */
#define RETRY_MAX_S	300	/* what fails again and again: each try is two events */
#define ATTACH_S	60	/* deadline of one attach */

enum line_state { LINE_WAITING, LINE_ATTACHING, LINE_ATTACHED, LINE_FAILED };

static const char *const state_names[] = { "waiting", "attaching", "attached", "failed" };

/**
 * struct boot_line - one line on its way
 * @bad: the line itself is wrong: never tried
 * @no_key: it failed for want of its key, which may come
 * @again: its device came anew after the attach that failed had begun: it may
 *	have been not whole then. Tried with the next poll and not at once, for
 *	udev tells of our own writing, too: a repair that fails would go round.
 * @delay_s: between a failure and the next try; doubles with each
 * @retry_usec: when that is (CLOCK_MONOTONIC)
 */
struct boot_line {
	const struct disktab_line *tab;
	enum line_state state;
	bool bad;
	bool no_key;
	bool again;
	unsigned int delay_s;
	uint64_t retry_usec;
	char error[ERROR_TEXT_SIZE];
};

/**
 * struct boot - all lines
 * @lock: of @lines and @tab, which boot_json() reads in workers; changed in the
 *	main loop only
 * @generation: rises with each reload: attachments of an older list report to
 *	nobody
 * @settled: NULL once it was called
 */
struct boot {
	struct host *host;
	pthread_mutex_t lock;
	struct disktab tab;
	struct boot_line *lines;
	unsigned int generation;
	bool waited;
	void (*settled)(struct host *host);
	int retry_fd;
	sd_event_source *retry_source;
	sd_event_source *wait_timer;
	sd_event_source *poll_timer;
};

/* One attach in a worker, with its own copy of the line. */
struct boot_attach {
	struct work work;
	struct host *host;
	unsigned int generation;
	size_t index;
	char *name, *path, *header;
	struct dm_disk_options options;
	struct error e;
};

static struct boot_attach *from_work(struct work *work)
{
	return (struct boot_attach *)((char *)work - offsetof(struct boot_attach, work));
}

static bool is_settled(const struct boot *boot)
{
	const struct boot_line *line;
	size_t i;

	for (i = 0; i < boot->tab.n_lines; i++) {
		line = &boot->lines[i];
		if (line->state == LINE_ATTACHING)
			return false;
		if (!boot->waited && (line->state == LINE_WAITING ||
				      (line->state == LINE_FAILED && line->again)))
			return false;
	}
	return true;
}

static void check_settled(struct boot *boot)
{
	void (*settled)(struct host *host) = boot->settled;

	if (!settled || !is_settled(boot))
		return;
	boot->settled = NULL;
	settled(boot->host);
}

static void set_state(struct boot *boot, struct boot_line *line, enum line_state state,
		      const char *error)
{
	pthread_mutex_lock(&boot->lock);
	line->state = state;
	snprintf(line->error, sizeof(line->error), "%s", error ? error : "");
	pthread_mutex_unlock(&boot->lock);
}

static uint64_t now_usec(const struct boot *boot)
{
	uint64_t now = 0;

	(void)sd_event_now(boot->host->event, CLOCK_MONOTONIC, &now);
	return now;
}

static void fail(struct boot *boot, struct boot_line *line, const struct error *e)
{
	bool news = strcmp(line->error, e->text) != 0;

	line->no_key = e->status == EXIT_NO_KEY;
	line->delay_s = line->delay_s * 2 < RETRY_MAX_S ? line->delay_s * 2 : RETRY_MAX_S;
	if (line->delay_s < POLL_S)
		line->delay_s = POLL_S;
	line->retry_usec = now_usec(boot) + line->delay_s * USEC_PER_SEC;
	set_state(boot, line, LINE_FAILED, e->text);
	if (news)
		log_print(line->tab->nofail ? LOG_NOTICE : LOG_ERR, "%s line %u: %s",
			  boot->host->conf.disks, line->tab->line, e->text);
}

static void wait_for(struct boot *boot, struct boot_line *line, const char *what)
{
	if (line->state == LINE_WAITING && !strcmp(line->error, what))
		return;
	log_info("%s line %u: %s waits: %s", boot->host->conf.disks, line->tab->line,
		 line->tab->name, what);
	set_state(boot, line, LINE_WAITING, what);
}

static bool given_up(void *userdata)
{
	return work_is_expired(userdata);
}

/* Whether the name is there already, from an earlier agent. */
static int is_attached(struct host *host, const struct boot_attach *a, struct error *e)
{
	struct dm_disk there;
	char dek[UUID_TEXT_SIZE], known[UUID_TEXT_SIZE];

	if (dm_disk_get(a->name, &there, NULL) < 0)
		return 0;
	uuid_format(there.dek, dek);
	/* The state knows whose it is; an unknown one is taken as it is. */
	if (state_find(host->state, a->path, known, NULL) == 0 && strcmp(known, dek) != 0)
		return error_fail(e, EEXIST, "Cannot attach %s as %s: that name has the disk with DEK %s already",
				  a->path, a->name, dek);
	return 1;
}

static void run(struct work *work)
{
	struct boot_attach *a = from_work(work);
	const struct attach attach = {
		.device = a->path, .name = a->name, .header = a->header, .options = a->options,
		.user = EVENT_USER_AGENT, .given_up = given_up, .userdata = work,
	};
	struct error e = ERROR_NULL;
	uint8_t dek[UUID_SIZE];
	int r;

	r = is_attached(a->host, a, &e);
	if (r == 0)
		(void)attach_disk(a->host, &attach, dek, &e);
	a->e = e;
}

/* The line that an attach is about, unless the list is a newer one. */
static struct boot_line *line_of(const struct boot_attach *a)
{
	struct boot *boot = a->host->boot;

	return boot && boot->generation == a->generation ? &boot->lines[a->index] : NULL;
}

static void ended(struct boot_attach *a, const struct error *e)
{
	struct boot *boot = a->host->boot;
	struct boot_line *line = line_of(a);

	if (!line)
		return;
	if (error_is_set(e)) {
		fail(boot, line, e);
	} else {
		line->delay_s = 0;
		set_state(boot, line, LINE_ATTACHED, NULL);
		log_info("%s is attached as %s", a->path, a->name);
	}
	check_settled(boot);
}

static void done(struct work *work)
{
	struct boot_attach *a = from_work(work);

	ended(a, &a->e);
}

static void expired(struct work *work)
{
	struct boot_attach *a = from_work(work);
	struct error e;

	error_set(&e, ETIMEDOUT, EXIT_NO_KEY, 0,
		  "Cannot attach %s as %s: it does not answer within %u s", a->path, a->name,
		  ATTACH_S);
	ended(a, &e);
}

static void release(struct work *work)
{
	struct boot_attach *a = from_work(work);

	free(a->name);
	free(a->path);
	free(a->header);
	free(a);
}

static struct boot_attach *attach_new(struct boot *boot, const struct boot_line *line)
{
	struct boot_attach *a = calloc(1, sizeof(*a));
	const struct disktab_line *tab = line->tab;

	if (!a)
		return NULL;
	a->host = boot->host;
	a->generation = boot->generation;
	a->index = (size_t)(line - boot->lines);
	a->name = strdup(tab->name);
	a->path = strdup(tab->path);
	a->header = tab->header ? strdup(tab->header) : NULL;
	a->options = (struct dm_disk_options){
		.allow_discards = tab->discard,
		.read_only = tab->read_only,
		.key_loss = tab->key_loss,
	};
	a->work = (struct work){ .deadline_s = ATTACH_S, .run = run, .done = done,
				 .expired = expired, .release = release };
	if (a->name && a->path && (a->header || !tab->header))
		return a;
	release(&a->work);
	return NULL;
}

static void submit(struct boot *boot, struct boot_line *line, dev_t device)
{
	struct boot_attach *a = attach_new(boot, line);
	struct error e;
	int r = -ENOMEM;

	if (a) {
		a->work.subject = device;
		r = workers_submit(boot->host->operations, &a->work);
	}
	if (r == 0) {
		line->again = false;
		set_state(boot, line, LINE_ATTACHING, NULL);
		return;
	}
	error_set(&e, r, EXIT_NO_KEY, 0, "Cannot attach %s as %s now: %s", line->tab->path,
		  line->tab->name,
		  r == -EBUSY ? "an earlier read of the device hangs" : strerror(-r));
	fail(boot, line, &e);
	if (a)
		release(&a->work);
}

static void try_line(struct boot *boot, struct boot_line *line)
{
	struct stat st;

	if (line->bad || line->state == LINE_ATTACHED || line->state == LINE_ATTACHING)
		return;
	if (nl_client_check(boot->host->netlink, NULL) < 0) {
		wait_for(boot, line, "the kernel module dm-vmcrypt is not loaded");
		return;
	}
	if (stat(line->tab->path, &st) < 0 || !S_ISBLK(st.st_mode)) {
		wait_for(boot, line, "its device is not there");
		return;
	}
	submit(boot, line, st.st_rdev);
}

void boot_retry(struct boot *boot)
{
	size_t i;

	if (!boot)
		return;
	for (i = 0; i < boot->tab.n_lines; i++)
		try_line(boot, &boot->lines[i]);
	check_settled(boot);
}

void boot_device_came(struct boot *boot, dev_t device, bool added)
{
	struct boot_line *line;
	struct stat st;
	size_t i;

	if (!boot)
		return;
	for (i = 0; i < boot->tab.n_lines; i++) {
		line = &boot->lines[i];
		if (line->bad || stat(line->tab->path, &st) < 0 || st.st_rdev != device)
			continue;
		if (line->state == LINE_WAITING)
			try_line(boot, line);
		else
			line->again = true;
		if (added) {
			line->delay_s = 0;
			line->retry_usec = 0;
		}
	}
}

void boot_retry_soon(struct host *host)
{
	if (host->boot)
		wakeup_set(host->boot->retry_fd);
}

static int on_retry(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	int r = wakeup_clear(fd);

	(void)source;
	(void)revents;
	if (r == 0)
		boot_retry(userdata);
	return r;
}

static int on_waited(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct boot *boot = userdata;
	struct boot_line *line;
	struct error e;
	size_t i;

	(void)source;
	(void)usec;
	boot->waited = true;
	for (i = 0; i < boot->tab.n_lines; i++) {
		line = &boot->lines[i];
		if (line->state != LINE_WAITING)
			continue;
		error_set(&e, ENODEV, EXIT_NO_KEY, 0, "Cannot attach %s as %s: %s; it is tried again when that comes",
			  line->tab->path, line->tab->name, line->error);
		fail(boot, line, &e);
	}
	check_settled(boot);
	return 0;
}

/* Failed for a reason that may have passed, and long enough ago. */
static bool is_due(const struct boot_line *line, uint64_t now)
{
	struct stat st;

	return line->state == LINE_FAILED && !line->bad && (line->again || line->no_key) &&
	       now >= line->retry_usec && stat(line->tab->path, &st) == 0;
}

/* Lines whose device came without a word from udev, and those that are due. */
static int on_poll(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct boot *boot = userdata;
	struct boot_line *line;
	size_t i;

	for (i = 0; i < boot->tab.n_lines; i++) {
		line = &boot->lines[i];
		if (line->state == LINE_WAITING || is_due(line, usec))
			try_line(boot, line);
	}
	check_settled(boot);
	sd_event_source_set_time_relative(source, POLL_S * USEC_PER_SEC);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

/* Takes @tab over. */
static int take_table(struct boot *boot, struct disktab *tab, struct error *e)
{
	struct boot_line *lines = calloc(tab->n_lines + 1, sizeof(*lines)), *old;
	struct disktab old_tab;
	size_t i;

	if (!lines) {
		disktab_done(tab);
		return error_oom(e);
	}
	for (i = 0; i < tab->n_lines; i++) {
		lines[i].tab = &tab->lines[i];
		lines[i].bad = tab->lines[i].error != NULL;
		lines[i].state = lines[i].bad ? LINE_FAILED : LINE_WAITING;
		if (!lines[i].bad)
			continue;
		snprintf(lines[i].error, sizeof(lines[i].error), "%s", tab->lines[i].error);
		log_error("%s", tab->lines[i].error);
	}
	pthread_mutex_lock(&boot->lock);
	old_tab = boot->tab;
	old = boot->lines;
	boot->tab = *tab;
	boot->lines = lines;
	boot->generation++;
	pthread_mutex_unlock(&boot->lock);
	free(old);
	disktab_done(&old_tab);
	return 0;
}

int boot_reload(struct boot *boot, struct error *e)
{
	struct disktab tab;
	int r;

	r = disktab_load(boot->host->conf.disks, &tab, e);
	if (r == 0)
		r = take_table(boot, &tab, e);
	if (r == 0)
		boot_retry(boot);
	return r;
}

static int add_sources(struct boot *boot)
{
	sd_event *event = boot->host->event;
	uint64_t wait = boot->host->conf.boot_wait_s * USEC_PER_SEC;
	int r;

	boot->retry_fd = wakeup_new();
	if (boot->retry_fd < 0)
		return boot->retry_fd;
	r = sd_event_add_io(event, &boot->retry_source, boot->retry_fd, EPOLLIN, on_retry, boot);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &boot->wait_timer, CLOCK_MONOTONIC, wait, 0,
					       on_waited, boot);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &boot->poll_timer, CLOCK_MONOTONIC,
					       POLL_S * USEC_PER_SEC, 0, on_poll, boot);
	return r;
}

int boot_new(struct host *host, void (*settled)(struct host *host), struct boot **ret,
	     struct error *e)
{
	struct boot *boot = calloc(1, sizeof(*boot));
	int r;

	if (!boot)
		return error_oom(e);
	boot->host = host;
	boot->settled = settled;
	boot->retry_fd = -1;
	pthread_mutex_init(&boot->lock, NULL);
	r = add_sources(boot);
	if (r < 0) {
		boot_free(boot);
		return error_fail(e, r, "Cannot prepare attaching: %s", strerror(-r));
	}
	/* Known to its context from here on: lines may end at once. */
	*ret = boot;
	if (boot_reload(boot, e) < 0) {
		/* An agent without its list still answers the kernel. */
		log_error("No disk is attached at start: %s", e->text);
		*e = ERROR_NULL;
		boot_retry(boot);
	}
	return 0;
}

void boot_free(struct boot *boot)
{
	if (!boot)
		return;
	sd_event_source_disable_unref(boot->retry_source);
	sd_event_source_disable_unref(boot->wait_timer);
	sd_event_source_disable_unref(boot->poll_timer);
	close_fd(boot->retry_fd);
	free(boot->lines);
	disktab_done(&boot->tab);
	pthread_mutex_destroy(&boot->lock);
	free(boot);
}

void boot_count(struct boot *boot, unsigned int *ret_attached, unsigned int *ret_failed,
		unsigned int *ret_waiting)
{
	unsigned int counts[ARRAY_SIZE(state_names)] = { 0 };
	size_t i;

	pthread_mutex_lock(&boot->lock);
	for (i = 0; i < boot->tab.n_lines; i++)
		counts[boot->lines[i].state]++;
	pthread_mutex_unlock(&boot->lock);
	*ret_attached = counts[LINE_ATTACHED];
	*ret_failed = counts[LINE_FAILED];
	*ret_waiting = counts[LINE_WAITING] + counts[LINE_ATTACHING];
}

json_t *boot_json(struct boot *boot)
{
	unsigned int attached, failed, waiting;
	const struct boot_line *line;
	json_t *lines = json_array();
	size_t i;

	boot_count(boot, &attached, &failed, &waiting);
	pthread_mutex_lock(&boot->lock);
	for (i = 0; i < boot->tab.n_lines; i++) {
		line = &boot->lines[i];
		json_array_append_new(lines,
			json_pack("{s:i, s:s?, s:s?, s:s, s:s?}", "line", (int)line->tab->line,
				  "name", line->tab->name, "device", line->tab->device,
				  "state", state_names[line->state],
				  "error", line->error[0] ? line->error : NULL));
	}
	pthread_mutex_unlock(&boot->lock);
	return json_pack("{s:i, s:i, s:i, s:o}", "attached", (int)attached, "failed", (int)failed,
			 "waiting", (int)waiting, "lines", lines);
}
